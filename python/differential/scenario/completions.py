"""Completions, slices and chunks, and Messages of many senders: in which order and how they are sent."""

import itertools

from spotflow_device import Compression

from . import inputs, messages
from .cases import result
from .rig import Rig, messages_sent

_TEXTS = ("b", "b 1/ä", "100%", "a=b&c", "\n", "\U0001f321", "")
_WRONG = {"type/None": None, "type/int": 1, "type/bytes": b"b", "text/lone surrogate": "\ud800"}


def run(cases, seed):
    with Rig() as rig:
        client = rig.start()
        sent = []

        def note(name, function, *arguments, **named):
            cases.note(name, result=result(function, *arguments, **named))
            if cases.seen[name]["result"] == "returns None":
                sent.append(name)

        for group, stream in itertools.product((None, "g 1"), (None, "s/1")):
            sender = client.create_stream_sender(group, stream, Compression.FASTEST)
            where = f"{group!r}, {stream!r}"
            for text in _TEXTS:
                note(f"completions/batch/{where}/{text!r}", sender.enqueue_batch_completion, text)
                note(f"completions/message/{where}/{text!r}", sender.enqueue_message_completion, text, f"m{text}")
        _wrong(note, client.create_stream_sender())
        _sequence(note, client)
        _interleaved(note, client, inputs.seeded(seed, "interleaved"))
        messages_sent(client)
        messages.note(cases, sent, rig.messages())


def _wrong(note, sender):
    for label, value in _WRONG.items():
        note(f"completions/batch/wrong {label}", sender.enqueue_batch_completion, value)
        note(f"completions/message/batch/wrong {label}", sender.enqueue_message_completion, value, "m")
        note(f"completions/message/message/wrong {label}", sender.enqueue_message_completion, "b", value)


def _sequence(note, client):
    """A Batch in slices, its Messages in chunks, each step in its place."""
    sender = client.create_stream_sender(stream="chunked")
    for batch, slice_, message in itertools.product("12", (None, "s1", "s2"), "ab"):
        step = f"completions/sequence/{batch}/{slice_}/{message}"
        for chunk in "xy":
            note(f"{step}/{chunk}", sender.enqueue_message, chunk.encode(), batch, message, slice_, chunk)
        note(f"{step}/complete", sender.enqueue_message_completion, batch, message)
        if (slice_, message) == ("s2", "b"):
            note(f"completions/sequence/{batch}/complete", sender.enqueue_batch_completion, batch)


def _interleaved(note, client, source):
    """Senders that take turns at random, with calls that wait among them."""
    senders = [
        client.create_stream_sender(group, stream, compression)
        for group, stream in ((None, None), ("g", None), ("g", "s"))
        for compression in (None, Compression.FASTEST)
    ]
    for number in range(60):
        sender = source.choice(senders)
        method = source.choice([sender.enqueue_message] * 5 + [sender.send_message])
        note(f"completions/interleaved/{number}", method, b"%d " % number * source.choice([1, 100]))
