"""What disk and embedded Platform allow: a loop of append and fdatasync, and a bare MQTT client that stores nothing,
against a Platform in its process."""

import re

from rig import median, number

#: Window and round trip in milliseconds.
RUNS = ((1, 0), (16, 0), (64, 0), (1, 50), (64, 50))


def measure(rig):
    sent_us = []
    for window, round_trip_ms in RUNS:
        count = rig.scale.round_trips * window if round_trip_ms else rig.scale.bare_messages
        told = rig.bare("throughput", count, window, round_trip_ms)
        rate = float(re.search(r"(\d+) a second", told).group(1))
        work = f"the Platform's own ceiling: a bare client, round trip {round_trip_ms} ms, window {window}"
        rig.row(work, "", "", f"{number(rate)}/s")
        sent_us.append(float(re.search(r"([\d.]+) us of CPU each", told).group(1)))
    stored_us = median(rig.bare_append(rig.scale.stored)[1] for _ in range(rig.scale.rounds))
    rig.row("CPU per Message of the bare loop of append and fdatasync", "", "", f"{number(stored_us)} µs")
    rig.row("CPU per Message of the bare client, window 1", "", "", f"{number(sent_us[0])} µs")
