"""What the embedded Platform allows: a bare MQTT client that stores nothing, against a Platform in its process."""

import re

from rig import number

#: Window, round trip in milliseconds, and Messages for each place in the window.
RUNS = ((1, 0, 5000), (16, 0, 2000), (64, 0, 1000), (1, 50, 20), (64, 50, 20))


def measure(rig):
    for window, round_trip_ms, each in RUNS:
        told = rig.bare("throughput", each * window, window, round_trip_ms)
        rate = float(re.search(r"(\d+) a second", told).group(1))
        work = f"the Platform's own ceiling: a bare client, round trip {round_trip_ms} ms, window {window}"
        rig.row(work, f"{number(rate)}/s", "")
