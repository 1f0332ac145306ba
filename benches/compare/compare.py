"""The published SDK and ours side by side against the embedded Platform, as a Markdown table; run.sh prepares it.

Each work is done by both in turn, in the same run: the ratios count, as absolute numbers move with the machine.
"""

import argparse
import datetime
import os
import platform
import sys
import tempfile
import time

import ceiling
import compressing
import draining
import idle
import latency
import reconnecting
import sizes
import storing
from rig import FULL, QUICK, Rig, Side

WORKS = (latency, storing, draining, reconnecting, idle, sizes, compressing, ceiling)


def main():
    arguments = _arguments()
    chosen = [work for work in WORKS if not arguments.works or work.__name__ in arguments.works]
    with tempfile.TemporaryDirectory(prefix="databases-", dir=arguments.directory) as directory:
        rig = Rig(
            Side("published", *arguments.published),
            Side("our", *arguments.ours),
            arguments.programs,
            directory,
            QUICK if arguments.quick else FULL,
        )
        for work in chosen:
            began = time.monotonic()
            work.measure(rig)
            print(f"{work.__name__:<13} {time.monotonic() - began:5.1f} s", file=sys.stderr, flush=True)
    print(_machine())
    print()
    print("| work | published | ours | ratio | to reach | met |")
    print("|---|---|---|---|---|---|")
    for row in rig.rows:
        print(row.markdown())


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
    parser.add_argument("works", nargs="*", choices=[[], *(work.__name__ for work in WORKS)], help="all unless named")
    return parser.parse_args()


main()
