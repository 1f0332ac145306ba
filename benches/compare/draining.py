"""How fast a backlog leaves, and what a Message costs on its way into the file and out of it again: CPU time of the
device's process, and bytes written to the disk. Stored without a network, then sent; each part is counted by itself."""

import time
from dataclasses import dataclass

from rig import MESSAGE_BYTES, AckMode, median

WINDOWS = (1, 16, 64)
ROUND_TRIP_SECONDS = 0.05


@dataclass
class Drained:
    """Of a Message."""

    rate: float
    stored_us: float
    sent_us: float
    stored_kb: float
    deleted_kb: float


def measure(rig):
    published, ours = [], {window: [] for window in WINDOWS}
    for _ in range(rig.scale.backlog_rounds):
        published.append(_drain(rig, rig.published))
        for window in WINDOWS:
            ours[window].append(_drain(rig, rig.ours, in_flight_window=window))
    counts = f"{rig.scale.backlog:,} of 200 B (published: {rig.scale.backlog_of_published:,}, window 1)"
    for window in WINDOWS:
        rates = ([one.rate for one in drained] for drained in (published, ours[window]))
        rig.faster(f"drain {counts}, round trip 0, window {window}", *rates, 10 if window == 1 else 0)
    _costs(rig, published, ours[1])
    _over_a_round_trip(rig)


def _costs(rig, *both):
    stored_us, sent_us, stored_kb, deleted_kb = (
        [_median(drained, name) for drained in both] for name in ("stored_us", "sent_us", "stored_kb", "deleted_kb")
    )
    rig.less("CPU per Message, stored and sent, window 1", *map(sum, zip(stored_us, sent_us)), "µs", 10)
    rig.less("- to store it", *stored_us, "µs")
    rig.less("- to send and delete it", *sent_us, "µs")
    rig.less("written per Message, stored and deleted, window 1", *map(sum, zip(stored_kb, deleted_kb)), "KB", 8)
    rig.less("- to store it", *stored_kb, "KB")
    rig.less("- to delete it", *deleted_kb, "KB")


def _median(drained, name):
    return median(getattr(one, name) for one in drained)


def _drain(rig, side, **options):
    count = rig.scale.backlog if side is rig.ours else rig.scale.backlog_of_published
    with rig.platform() as platform, rig.device(side, platform, **options) as device:
        device.start_and_send().go_offline()
        stored = device.order("enqueue", count=count, size=MESSAGE_BYTES)
        device.go_online_unacknowledged()
        before = device.settled_cost()
        began = time.perf_counter()
        platform.acknowledge(AckMode.IMMEDIATELY)
        device.order("wait")
        seconds = time.perf_counter() - began
        # The file may be made smaller after the last acknowledgement.
        after = device.settled_cost()
    return Drained(
        rate=count / seconds,
        stored_us=stored["cpu_seconds"] / count * 1e6,
        sent_us=(after["cpu_seconds"] - before["cpu_seconds"]) / count * 1e6,
        stored_kb=stored["written_bytes"] / count / 1000,
        deleted_kb=(after["written_bytes"] - before["written_bytes"]) / count / 1000,
    )


def _over_a_round_trip(rig):
    published = _rate_over_a_round_trip(rig, rig.published, 1)
    one = _rate_over_a_round_trip(rig, rig.ours, 1, in_flight_window=1)
    many = _rate_over_a_round_trip(rig, rig.ours, 64, in_flight_window=64)
    # "The same" is what a round trip of 50 ms allows; a twentieth is for timers and short runs.
    rig.faster("drain, round trip 50 ms, window 1", [published], [one], 0.95)
    rig.faster("drain, round trip 50 ms, window 64 (published: 1)", [published], [many], 50)


def _rate_over_a_round_trip(rig, side, window, **options):
    # The first window is acknowledged when the clock starts: it costs no round trip.
    count = rig.scale.round_trips * window
    with rig.platform() as platform, rig.device(side, platform, **options) as device:
        device.start_and_send()
        platform.acknowledge(AckMode.WITHHOLD)
        device.order("enqueue", count=count + window, size=MESSAGE_BYTES)
        began = time.perf_counter()
        platform.acknowledge(AckMode.AFTER, ROUND_TRIP_SECONDS)
        device.order("wait")
        return count / (time.perf_counter() - began)
