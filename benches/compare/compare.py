"""The published SDK and ours side by side against the embedded Platform, as a Markdown table; run.sh prepares it.

Each work is done by both in turn, in the same run: the ratios count, as absolute numbers move with the machine.
"""

import argparse
import dataclasses
import datetime
import os
import platform
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import ceiling
import compressing
import draining
import idle
import latency
import outages
import reconnecting
import sizes
import storing
import tunnels
from rig import FULL, QUICK, Rig, Side

WORKS = (latency, storing, draining, reconnecting, idle, tunnels, sizes, compressing, ceiling)
#: Only when named.
LONG_WORKS = (outages,)
LONG = ", ".join(work.__name__ for work in LONG_WORKS)


def main():
    arguments = _arguments()
    chosen = [work for work in WORKS + LONG_WORKS if work.__name__ in arguments.works] or WORKS
    with tempfile.TemporaryDirectory(prefix="databases-", dir=arguments.directory) as directory:
        rig = Rig(
            Side("published", *arguments.published),
            Side("our", *arguments.ours),
            arguments.programs,
            directory,
            QUICK if arguments.quick else FULL,
        )
        # Where figures mean nothing, all may run at once.
        with ThreadPoolExecutor(len(chosen) if arguments.quick else 1) as pool:
            rows = [row for rows in pool.map(lambda work: _run(rig, work), chosen) for row in rows]
    print(_machine())
    print()
    print("| work | published | ours | ratio | to reach | met |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(row.markdown())


def _run(rig, work):
    own = dataclasses.replace(rig, rows=[])
    began = time.monotonic()
    work.measure(own)
    print(f"{work.__name__:<13} {time.monotonic() - began:5.1f} s", file=sys.stderr, flush=True)
    return own.rows


def _machine():
    with open("/proc/cpuinfo") as file:
        models = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    load = os.getloadavg()[0]
    date = datetime.date.today().isoformat()
    return (
        f"{date}, {os.cpu_count()} cores ({model}), Linux {platform.release()}, CPython {platform.python_version()}, "
        f"load {load:.1f} at the end. The Platform runs on the same cores."
    )


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    for side in ("--published", "--ours"):
        parser.add_argument(side, nargs=2, required=True, metavar=("PYTHON", "WHEEL"))
    parser.add_argument("--programs", required=True, help="where the programs are that measure without an SDK")
    parser.add_argument("--directory", required=True, help="where databases are put: the disk that is measured")
    parser.add_argument("--quick", action="store_true", help="only shows that all runs: its figures mean nothing")
    parser.add_argument("works", nargs="*", choices=[[], *(work.__name__ for work in WORKS + LONG_WORKS)], help=f"unless named, all but {LONG}")
    return parser.parse_args()


main()
