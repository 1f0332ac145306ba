"""How long a blocking `send_message` takes."""

import contextlib

from rig import MESSAGE_BYTES, median


def measure(rig):
    counts = {rig.published: rig.scale.sent_by_published, rig.ours: rig.scale.sent}
    took = {side: [] for side in rig.sides}
    with contextlib.ExitStack() as stack:
        devices = {}
        for side in rig.sides:
            platform = stack.enter_context(rig.platform())
            devices[side] = stack.enter_context(rig.device(side, platform)).start_and_send()
        for _ in range(rig.scale.rounds):
            for side, device in devices.items():
                took[side] += device.order("send", count=counts[side], size=MESSAGE_BYTES)
    published, ours = (median(took[side]) * 1000 for side in rig.sides)
    rig.less("blocking `send_message`, median", published, ours, "ms", 100)
