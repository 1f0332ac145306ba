"""How long it takes after a cut connection until the next Message arrives."""

import time

from rig import DEVICE_ID, MESSAGE_BYTES, median


def measure(rig):
    counts = {rig.published: rig.scale.cuts_of_published, rig.ours: rig.scale.cuts}
    published, ours = (median(_cuts(rig, side, counts[side])) for side in rig.sides)
    rig.row(
        "after a cut connection, next Message arrives, median",
        f"{published:.2f} s",
        f"{ours:.3f} s",
        f"1/{published / ours:.3g}",
        "under 1 s",
        ours < 1,
    )


def _cuts(rig, side, count):
    with rig.platform() as platform, rig.device(side, platform) as device:
        device.start_and_send()
        took = []
        for _ in range(count):
            platform.wait_connected(DEVICE_ID)
            platform.clear_messages()
            began = time.perf_counter()
            platform.close_connections()
            device.order("enqueue", count=1, size=MESSAGE_BYTES)
            platform.wait_messages(1, timeout=60.0)
            took.append(time.perf_counter() - began)
            device.order("wait")
        return took
