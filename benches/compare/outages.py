"""How soon after an outage the next Message arrives. Takes long, so it is done only when it is named."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from rig import HERE, median

#: Each try has a network and a view of the name service of its own.
ALONE = ("unshare", "--user", "--map-root-user", "--net", "--mount", sys.executable, os.path.join(HERE, "outage.py"))


def measure(rig):
    for kind in rig.scale.outages:
        for seconds in rig.scale.outage_seconds:
            with ThreadPoolExecutor(2 * rig.scale.outage_tries) as pool:
                tries = {
                    side.name: [pool.submit(_try, rig, side, kind, seconds) for _ in range(rig.scale.outage_tries)]
                    for side in rig.sides
                }
            published, ours = (sorted(it.result() for it in tries[side.name]) for side in rig.sides)
            # And what it takes a busy machine to connect.
            limits = max(0.5, seconds / 4) + 0.5, min(max(1, seconds / 2), 30) + 0.5
            rig.row(
                f"{kind} for {seconds} s: next Message after its end, median and worst of {len(ours)}",
                _shown(published),
                _shown(ours),
                "",
                f"{max(0.5, seconds / 4):g} s, {min(max(1, seconds / 2), 30):g} s",
                median(ours) <= limits[0] and ours[-1] <= limits[1],
            )


def _shown(took):
    # Before the outage was over: it did not need what was missing.
    return ", ".join("during it" if it < 0 else f"{it:.1f} s" for it in (median(took), took[-1]))


def _try(rig, side, kind, seconds):
    command = [*ALONE, side.python, kind, str(seconds), rig.directory]
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if ended.returncode != 0:
        raise RuntimeError(f"{kind} for {seconds} s, {side.name}: {ended.stderr}")
    return float(ended.stdout.split()[-1])
