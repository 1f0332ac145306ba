"""Names and ids of Messages, each on its own and all together."""

from . import inputs, messages
from .cases import result
from .rig import DEVICE_ID, Rig, messages_sent

STREAM = ("stream_group", "stream")
MESSAGE = ("batch_id", "message_id", "batch_slice_id", "chunk_id")

_TOO_LONG = (
    ("one for the topic", 1, {"batch_id": "x" * 70_000}),
    ("two for the topic", 1, {"batch_id": "x" * 40_000, "message_id": "y" * 40_000}),
    ("for a packet with the payload", 250_000, {"batch_id": "x" * 20_000}),
)


def run(cases, seed):
    with Rig() as rig:
        client = rig.start()
        sent = [
            name for name, ids in _inputs(seed) if _enqueue(cases, client, name, ids)
        ]
        messages_sent(client)
        messages.note(cases, sent, rig.messages())
        for name, message in zip(sent, rig.emulator.messages(DEVICE_ID)):
            cases.note(name, read_by_the_Platform_as=message.properties)
        # At the very end: after that the published SDK sends nothing any more.
        sender = client.create_stream_sender()
        for label, size, ids in _TOO_LONG:
            cases.note(f"ids/too long/{label}", result=result(sender.enqueue_message, bytes(size), **ids))


def _inputs(seed):
    for field in STREAM + MESSAGE:
        for label, text in inputs.texts().items():
            yield f"ids/{field}/{label}", {field: text}
        yield f"ids/{field}/empty", {field: ""}
    source = inputs.seeded(seed, "ids")
    for number in range(100):
        fields = [field for field in STREAM + MESSAGE if source.random() < 0.6]
        yield f"ids/random/{number}", {field: inputs.random_text(source) for field in fields}


def _enqueue(cases, client, name, ids):
    stream = {field: text for field, text in ids.items() if field in STREAM}
    message = {field: text for field, text in ids.items() if field in MESSAGE}

    def enqueue():
        client.create_stream_sender(**stream).enqueue_message(b"content", **message)

    cases.note(name, result=result(enqueue))
    return cases.seen[name]["result"] == "returns None"
