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
        "switches": _switches(),
    }


def memory():
    """What is resident, in bytes: all of it, and of that what is no unchanged part of a file, which the kernel could
    drop and other processes share. What they do share is not told: with large folios the kernel only estimates it."""
    rollup = {}
    with open("/proc/self/smaps_rollup") as file:
        for line in file:
            name, _, value = line.partition(":")
            if value.endswith("kB\n"):
                rollup[name] = int(value.split()[0]) * 1024
    return {"resident": rollup["Rss"], "anonymous": rollup["Anonymous"]}


def _switches():
    """How often each thread but the main one was given the processor, by its id."""
    switches = {}
    for task in os.listdir("/proc/self/task"):
        path = f"/proc/self/task/{task}/status"
        if int(task) != os.getpid():
            try:
                switches[task] = _field(path, "voluntary_ctxt_switches") + _field(path, "nonvoluntary_ctxt_switches")
            except OSError:
                # It has just ended.
                pass
    return switches


def _field(path, name):
    with open(path) as file:
        for line in file:
            key, _, value = line.partition(":")
            if key == name:
                return int(value)
    raise KeyError(name)
