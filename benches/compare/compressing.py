"""How small `SmallestSize` makes telemetry in JSON. The published package knows Brotli only."""

import datetime
import json
import random

from rig import number

CODECS = ("BROTLI", "ZSTD", "GZIP")
READINGS = (1, 10, 100, 1000)
START = datetime.datetime(2026, 11, 22)


def measure(rig):
    texts = [_telemetry(count) for count in READINGS]
    lengths = [len(text) for text in texts]
    published = _compressed(rig, rig.published, texts)
    for codec in CODECS:
        ours = _compressed(rig, rig.ours, texts, codec=codec)
        work = f"SmallestSize, telemetry of {', '.join(map(number, lengths))} B: {codec.lower()} (published: brotli)"
        columns = (", ".join(map(number, sizes)) + " B" for sizes in (published, ours))
        brotli = codec == "BROTLI"
        met = all(own <= theirs for own, theirs in zip(ours, published)) if brotli else None
        ratio = f"{sum(ours) / sum(published):.3f} x"
        rig.row(work, *columns, ratio, "not larger" if brotli else "", met)


def _compressed(rig, side, texts, **options):
    """The bytes that arrive of each."""
    with rig.platform() as platform, rig.device(side, platform, compression="SMALLEST_SIZE", **options) as device:
        device.start().order("enqueue_texts", texts=texts)
        messages = platform.wait_messages(len(texts))
    assert [message.payload.decode() for message in messages] == texts
    return [message.raw_length for message in messages]


def _telemetry(readings):
    """One reading a second of a machine, as a device would write it."""
    chance = random.Random(readings)
    temperature, pressure = 21.5, 1013.2
    lines = []
    for second in range(readings):
        temperature += chance.gauss(0, 0.05)
        pressure += chance.gauss(0, 0.02)
        at = START + datetime.timedelta(seconds=second, milliseconds=chance.randrange(1000))
        lines.append(
            {
                "timestamp": at.isoformat(timespec="milliseconds") + "Z",
                "machine": "press-4",
                "temperatureCelsius": round(temperature, 2),
                "pressureHectopascal": round(pressure, 1),
                "cycles": 48_211 + second,
                "isRunning": chance.random() < 0.95,
            }
        )
    return json.dumps(lines if readings > 1 else lines[0])
