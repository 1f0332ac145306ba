"""Payloads of every size, kind of content and compression, inline and uploaded."""

import itertools

from spotflow_device import Compression

from . import http, inputs, messages
from .cases import result
from .rig import DEVICE_ID, Rig, messages_sent

COMPRESSIONS = {
    "default": None,
    "UNCOMPRESSED": Compression.UNCOMPRESSED,
    "FASTEST": Compression.FASTEST,
    "SMALLEST_SIZE": Compression.SMALLEST_SIZE,
}
SIZES = (0, 1, 2, 3, 10, 100, 1_000, 100_000, 249_999, 250_000, 250_001, 1_000_000)
#: The smallest result of much incompressible content takes minutes without optimization.
SIZE_MAX_OF_SMALLEST_NOISE = 250_001


def contents(seed):
    """Makers of content of a size."""
    reading = b'{"temperatureCelsius": 21.05, "humidityPercent": 50.1}\n'
    return {
        "zeros": bytes,
        "readings": lambda size: (reading * (size // len(reading) + 1))[:size],
        "noise": lambda size: inputs.random_bytes(inputs.seeded(seed, f"noise {size}"), size),
    }


def run(cases, seed):
    with Rig() as rig:
        client = rig.start()
        rig.emulator.wait_connected(DEVICE_ID)
        before = len(rig.traffic())
        names = []
        for name, compression, payload in _inputs(seed):
            sender = client.create_stream_sender(compression=compression)
            cases.note(name, result=result(sender.enqueue_message, payload))
            names.append(name)
        messages_sent(client)
        placeholders = rig.placeholders()
        messages.note(cases, names, rig.messages(), placeholders)
        for name, message in zip(names, rig.emulator.messages(DEVICE_ID)):
            cases.note(name, content_after_decompression=message.payload, uploaded=message.external)

        uploaded = [name for name in names if cases.seen[name]["uploaded"] == "True"]
        requests = rig.requests(skip=before)
        steps = ("open", "content", "notification")
        assert len(requests) == len(steps) * len(uploaded), [request.target for request in requests]
        for (name, step), request in zip(itertools.product(uploaded, steps), requests):
            http.note(cases, f"{name}/{step}", request, placeholders)


def _inputs(seed):
    for kind, content in contents(seed).items():
        for size, (label, compression) in itertools.product(SIZES, COMPRESSIONS.items()):
            if label == "SMALLEST_SIZE" and kind == "noise" and size > SIZE_MAX_OF_SMALLEST_NOISE:
                continue
            yield f"payloads/{label}/{kind}/{size}", compression, content(size)
    source = inputs.seeded(seed, "payloads")
    for number in range(60):
        label = source.choice(sorted(COMPRESSIONS))
        words = [inputs.random_bytes(source, source.randint(1, 6)) for _ in range(source.randint(1, 8))]
        payload = b"".join(source.choice(words) for _ in range(source.randint(0, 300)))
        yield f"payloads/{label}/random/{number}", COMPRESSIONS[label], payload
