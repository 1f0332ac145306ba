"""What this process has cost so far, as Linux counts it."""

import os
import time


def cost():
    """CPU time (user and system), bytes written to the disk, and what there is beside the main thread."""
    process_seconds = time.process_time()
    return {
        "cpu_seconds": process_seconds,
        "background_cpu_seconds": process_seconds - time.thread_time(),
        "written_bytes": _field("/proc/self/io", "write_bytes"),
        "switches": sum(_switches(task) for task in _other_threads()),
        "threads": len(_other_threads()),
    }


def memory():
    """What is resident, in bytes: all of it, what only this process holds, and what others could share."""
    rollup = {}
    with open("/proc/self/smaps_rollup") as file:
        for line in file:
            name, _, value = line.partition(":")
            if value.endswith("kB\n"):
                rollup[name] = int(value.split()[0]) * 1024
    private = rollup["Private_Clean"] + rollup["Private_Dirty"]
    return {"resident": rollup["Rss"], "private": private, "dirty": rollup["Private_Dirty"]}


def _other_threads():
    return [task for task in os.listdir("/proc/self/task") if int(task) != os.getpid()]


def _switches(task):
    try:
        path = f"/proc/self/task/{task}/status"
        return _field(path, "voluntary_ctxt_switches") + _field(path, "nonvoluntary_ctxt_switches")
    except OSError:
        # It has just ended.
        return 0


def _field(path, name):
    with open(path) as file:
        for line in file:
            key, _, value = line.partition(":")
            if key == name:
                return int(value)
    raise KeyError(name)
