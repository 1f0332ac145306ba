"""What a connected device costs that has nothing to do: memory, threads, wake-ups; and one with an old backlog that the
hub does not acknowledge. Both packages are idle at the same time."""

import contextlib
import time

from rig import MESSAGE_BYTES, AckMode


def measure(rig):
    _connected(rig)
    _old_backlog(rig)


def _connected(rig):
    with contextlib.ExitStack() as stack:
        devices, bare = [], []
        for side in rig.sides:
            platform = stack.enter_context(rig.platform())
            device = stack.enter_context(rig.device(side, platform))
            # The first look is not free itself.
            device.order("memory")
            bare.append(device.order("memory"))
            devices.append(device.start_and_send())
        idle = _idle(devices, rig.scale.idle_seconds)
        memory = [device.order("memory") for device in devices]
    over = [{name: now[name] - then[name] for name in now} for now, then in zip(memory, bare)]

    def mebibytes(name):
        return [part[name] / 2**20 for part in over]

    rig.less("resident memory over the bare interpreter, connected", *mebibytes("resident"), "MiB", 2)
    rig.less("- of it the process's own (the rest: mapped from the library's file)", *mebibytes("anonymous"), "MiB")
    rig.row("threads beside the main one", *(str(cost["threads"]) for cost in idle))
    rig.row("wake-ups in an idle minute", *(f"{cost['switches']:.0f}" for cost in idle))
    rig.row("CPU in an idle minute", *(f"{cost['cpu_ms']:.1f} ms" for cost in idle))


def _old_backlog(rig):
    with contextlib.ExitStack() as stack:
        devices = []
        for side in rig.sides:
            platform = stack.enter_context(rig.platform())
            device = stack.enter_context(rig.device(side, platform)).start_and_send()
            platform.acknowledge(AckMode.WITHHOLD)
            device.order("enqueue", count=rig.scale.old_backlog, size=MESSAGE_BYTES)
            devices.append(device.restart())
        published, ours = (cost["cpu_ms"] for cost in _idle(devices, rig.scale.idle_seconds))
    work = f"CPU in an idle minute, {rig.scale.old_backlog} Messages unacknowledged since before a restart"
    rig.row(work, f"{published:,.0f} ms", f"{ours:.1f} ms", "", "10 ms", ours < 10)


def _idle(devices, seconds):
    """What each costs in a minute, by so many seconds."""
    before = [device.settled_cost() for device in devices]
    began = time.monotonic()
    time.sleep(seconds)
    after = [device.order("cost") for device in devices]
    minutes = (time.monotonic() - began) / 60
    return [_difference(then, now, minutes) for then, now in zip(before, after)]


def _difference(then, now, minutes):
    cpu_seconds = now["background_cpu_seconds"] - then["background_cpu_seconds"]
    switches = sum(count - then["switches"].get(task, 0) for task, count in now["switches"].items())
    return {
        "threads": len(now["switches"]),
        "switches": switches / minutes,
        # Two clocks are read, one after the other.
        "cpu_ms": max(0.0, cpu_seconds) * 1000 / minutes,
    }
