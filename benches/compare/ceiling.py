"""What the embedded Platform allows: a bare MQTT client that stores nothing, against a Platform in its process."""

import re

from rig import number

#: Window and round trip in milliseconds.
RUNS = ((1, 0), (16, 0), (64, 0), (1, 50), (64, 50))


def measure(rig):
    for window, round_trip_ms in RUNS:
        count = rig.scale.round_trips * window if round_trip_ms else rig.scale.bare_messages
        told = rig.bare("throughput", count, window, round_trip_ms)
        rate = float(re.search(r"(\d+) a second", told).group(1))
        work = f"the Platform's own ceiling: a bare client, round trip {round_trip_ms} ms, window {window}"
        rig.row(work, "", "", f"{number(rate)}/s")
