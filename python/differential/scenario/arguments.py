"""What calls take: which types, by position and by name, and what comes back."""

import array
import copy
import enum
import pickle

import spotflow_device
from spotflow_device import Compression

from . import messages
from .cases import result
from .rig import Rig, messages_sent

_FASTEST, _SMALLEST, _NONE = Compression.FASTEST, Compression.SMALLEST_SIZE, Compression.UNCOMPRESSED


class _Text(str):
    pass


class _Bytes(bytes):
    pass


class _HasBytes:
    def __bytes__(self):
        return b"x"


class _Index:
    def __index__(self):
        return 1


_PAYLOADS = {
    "bytes": b"\x00ab\xff",
    "bytearray": bytearray(b"ab"),
    "subclass of bytes": _Bytes(b"ab"),
    "memoryview": memoryview(b"ab"),
    "memoryview of a part": memoryview(b"abcd")[1:3],
    "array of bytes": array.array("B", [1, 2]),
    "text/str": "text",
    "text/empty": "",
    "text/not ASCII": "ž\U0001f321",
    "text/subclass of str": _Text("text"),
    "lone surrogate": "\ud800",
    "numbers/list": [1, 2, 255],
    "numbers/empty list": [],
    "numbers/list of bool": [True, False],
    "numbers/list of objects with an index": [_Index()],
    "numbers/tuple": (1, 2),
    "numbers/range": range(3),
    "not bytes/list of too large int": [256],
    "not bytes/list of negative int": [-1],
    "not bytes/list of str": ["a"],
    "not bytes/list of float": [1.0],
    "view/with steps": memoryview(b"abcd")[::2],
    "view/of wider items": memoryview(b"\x01\x00\x02\x00").cast("H"),
    "view/of two dimensions": memoryview(b"abcd").cast("B", (2, 2)),
    "view/array of wider items": array.array("I", [1, 2]),
    "view/array of signed bytes": array.array("b", [1, -2]),
    "wrong type/set": {1, 2},
    "wrong type/dict": {1: 2},
    "wrong type/iterator": iter([1, 2]),
    "wrong type/object with __bytes__": _HasBytes(),
    "wrong type/int": 5,
    "wrong type/bool": True,
    "wrong type/float": 1.5,
    "wrong type/None": None,
}

_COMPRESSIONS = {
    "None": None,
    "FASTEST": _FASTEST,
    "wrong type/int": 1,
    "wrong type/str": "FASTEST",
    "wrong type/bool": True,
}

#: Calls of `enqueue_message`: positional arguments, named ones.
_CALLS = {
    "nothing": ((), {}),
    "payload by name": ((), {"payload": b"x"}),
    "all by position": ((b"x", "b", "m", "s", "c"), {}),
    "all by name": ((), {"chunk_id": "c", "batch_slice_id": "s", "message_id": "m", "batch_id": "b", "payload": b"x"}),
    "mixed": ((b"x", "b"), {"chunk_id": "c"}),
    "one too many": ((b"x", "b", "m", "s", "c", "d"), {}),
    "unknown name": ((b"x",), {"stream": "s"}),
    "twice": ((b"x",), {"payload": b"y"}),
    "None for all ids": ((b"x", None, None, None, None), {}),
    "wrong type/int as id": ((b"x", 1), {}),
    "wrong type/bytes as id": ((b"x", b"b"), {}),
    "wrong type/bool as id": ((b"x", True), {}),
    "lone surrogate as id": ((b"x", "\ud800"), {}),
    "subclass of str as id": ((b"x", _Text("b")), {}),
}

_SENDERS = {
    "nothing": ((), {}),
    "all by position": (("g", "s", _FASTEST), {}),
    "all by name": ((), {"compression": _SMALLEST, "stream": "s", "stream_group": "g"}),
    "None for all": ((None, None, None), {}),
    "one too many": (("g", "s", None, None), {}),
    "unknown name": ((), {"group": "g"}),
    "wrong type/int as group": ((1,), {}),
    "wrong type/bytes as stream": ((None, b"s"), {}),
    "lone surrogate as stream": ((None, "\ud800"), {}),
}


#: The published classes and their members.
_MEMBERS = {
    "DeviceClient": """
        any_pending_reported_properties_updates create_stream_sender device_id get_desired_properties
        get_desired_properties_if_newer pending_messages_count start update_reported_properties
        wait_enqueued_messages_sent workspace_id""",
    "StreamSender": "enqueue_batch_completion enqueue_message enqueue_message_completion send_message",
    "DesiredProperties": "values version",
    "ProvisioningOperation": "expiration_time id verification_code",
    "Compression": "FASTEST SMALLEST_SIZE UNCOMPRESSED",
}


def run(cases, seed):
    _enums(cases)
    _classes(cases)
    with Rig() as rig:
        client = rig.start()
        _send(cases, rig, client)
        _members(cases, client)
        _starts(cases, rig)


def _send(cases, rig, client):
    sent = []

    def note(case, sender, *arguments, **named):
        cases.note(case, result=result(sender.enqueue_message, *arguments, **named))
        if cases.seen[case]["result"] == "returns None":
            sent.append(case)

    plain = client.create_stream_sender()
    for label, payload in _PAYLOADS.items():
        note(f"arguments/payload/{label}", plain, payload)
    for label, (arguments, named) in _CALLS.items():
        note(f"arguments/enqueue_message/{label}", plain, *arguments, **named)
    cases.note("arguments/send_message/by name", result=result(plain.send_message, payload=b"x", message_id="m"))
    sent.append("arguments/send_message/by name")
    for label, compression in _COMPRESSIONS.items():
        _sender(cases, note, client, f"arguments/compression/{label}", (), {"compression": compression})
    for label, (arguments, named) in _SENDERS.items():
        _sender(cases, note, client, f"arguments/create_stream_sender/{label}", arguments, named)
    for method in ("enqueue_batch_completion", "enqueue_message_completion"):
        for label, arguments, named in (
            ("nothing", (), {}),
            ("one", ("b",), {}),
            ("two", ("b", "m"), {}),
            ("three", ("b", "m", "c"), {}),
            ("batch by name", (), {"batch_id": "b"}),
            ("both by name", (), {"message_id": "m", "batch_id": "b"}),
        ):
            case = f"arguments/{method}/{label}"
            cases.note(case, result=result(getattr(plain, method), *arguments, **named))
            if cases.seen[case]["result"] == "returns None":
                sent.append(case)
    messages_sent(client)
    messages.note(cases, sent, rig.messages())


def _sender(cases, note, client, case, arguments, named):
    made = result(client.create_stream_sender, *arguments, **named).partition("<")[0]
    cases.note(case, made=made)
    if made.startswith("returns"):
        note(f"{case}/Message", client.create_stream_sender(*arguments, **named), b"x" * 100)


def _members(cases, client):
    """Methods and properties that send nothing."""
    for name in ("workspace_id", "device_id", "pending_messages_count", "any_pending_reported_properties_updates"):
        cases.note(
            f"arguments/property/{name}",
            get=result(getattr, client, name),
            set=result(setattr, client, name, 1),
            delete=result(delattr, client, name),
        )
    cases.note("arguments/property/other", set=result(setattr, client, "other", 1))
    for name in ("wait_enqueued_messages_sent", "get_desired_properties"):
        method = getattr(client, name)
        cases.note(
            f"arguments/{name}",
            unknown_name=result(method, unknown=1),
        )
    cases.note("arguments/wait_enqueued_messages_sent", nothing=result(client.wait_enqueued_messages_sent))
    update = client.update_reported_properties
    cases.note(
        "arguments/update_reported_properties",
        nothing=result(update),
        by_name=result(update, properties={"a": 1}),
        unknown_name=result(update, values={}),
        two=result(update, {}, {}),
    )


def _starts(cases, rig):
    """Calls of `start` that do not come to a start."""
    start = spotflow_device.DeviceClient.start
    token, path = "token", rig.options()["db"]
    for label, arguments, named in (
        ("nothing", (), {}),
        ("no token", ("dev-1",), {}),
        ("no database", ("dev-1", token), {}),
        ("an eighth by position", ("dev-1", token, path, None, None, None, False, None), {}),
        ("unknown name", ("dev-1", token, path), {"unknown": 1}),
        ("twice", ("dev-1", token, path), {"device_id": "dev-2"}),
        ("lone surrogate as Device ID", ("\ud800", token, path), {}),
        ("wrong type/bytes as token", ("dev-1", b"token", path), {}),
        ("wrong type/bytes as database", ("dev-1", token, path.encode()), {}),
    ):
        cases.note(f"arguments/start/{label}", result=result(start, *arguments, **named))


def _enums(cases):
    for label, evaluate in {
        "repr": lambda: repr(_FASTEST),
        "str": lambda: str(_FASTEST),
        "format": lambda: f"{_FASTEST}",
        "equal to itself": lambda: _FASTEST == Compression.FASTEST,
        "the same object": lambda: _FASTEST is Compression.FASTEST,
        "equal to another": lambda: _FASTEST == _SMALLEST,
        "unequal to another": lambda: _FASTEST != _SMALLEST,
        "equal to its number": lambda: [_NONE == 0, _FASTEST == 1, _SMALLEST == 2, _FASTEST == 2],
        "its number equal to it": lambda: [0 == _NONE, 1 == _FASTEST, 2 == _SMALLEST],
        "unequal to its number": lambda: [_FASTEST != 1, _FASTEST != 2],
        "equal to bool": lambda: [_NONE == False, _FASTEST == True],  # noqa: E712
        "equal to float": lambda: _FASTEST == 1.0,
        "equal to str": lambda: _FASTEST == "FASTEST",
        "equal to None": lambda: _FASTEST == None,  # noqa: E711
        "int": lambda: [int(member) for member in (_NONE, _FASTEST, _SMALLEST)],
        "index": lambda: [10, 11, 12][_FASTEST],
        "float": lambda: float(_FASTEST),
        "bool": lambda: [bool(_NONE), bool(_FASTEST)],
        "hash": lambda: hash(_FASTEST) == hash(Compression.FASTEST),
        "in a dict": lambda: {_FASTEST: 1}[Compression.FASTEST],
        "in a set": lambda: len({_NONE, _FASTEST, Compression.FASTEST}),
        "in a list": lambda: _FASTEST in [_NONE, _FASTEST],
        "less": lambda: _FASTEST < _SMALLEST,
        "sorted": lambda: sorted([_SMALLEST, _NONE]),
        "iterated": lambda: list(Compression),
        "length": lambda: len(Compression),
        "by number": lambda: Compression(1),
        "by name": lambda: Compression["FASTEST"],
        "name": lambda: _FASTEST.name,
        "value": lambda: _FASTEST.value,
        "is of its class": lambda: isinstance(_FASTEST, Compression),
        "is an int": lambda: isinstance(_FASTEST, int),
        "is an Enum": lambda: isinstance(_FASTEST, enum.Enum),
        "copied": lambda: copy.copy(_FASTEST) == _FASTEST,
        "deep-copied": lambda: copy.deepcopy(_FASTEST) == _FASTEST,
        "pickled": lambda: pickle.loads(pickle.dumps(_FASTEST)) == _FASTEST,
        "attribute set": lambda: setattr(_FASTEST, "other", 1),
        "an unknown member": lambda: Compression.BEST,
        "members": lambda: [name for name in dir(Compression) if name.isupper()],
        "member of a member": lambda: _FASTEST.SMALLEST_SIZE,
        "in an f-string with a width": lambda: f"{_FASTEST:>25}",
        "joined": lambda: " ".join(map(str, [_FASTEST, _NONE])),
    }.items():
        cases.note(f"arguments/Compression/{label}", result=result(evaluate))


def _subclass(cls):
    return type("Sub", (cls,), {}).__name__


def _classes(cases):
    for name, members in _MEMBERS.items():
        cls = getattr(spotflow_device, name)
        cases.note(
            f"arguments/class/{name}",
            called=result(cls),
            subclassed=result(_subclass, cls),
            qualified_name=cls.__qualname__,
            module=cls.__module__,
            documented=bool(cls.__doc__),
            members=[member for member in members.split() if hasattr(cls, member)],
            members_documented=[member for member in members.split() if getattr(cls, member).__doc__],
        )
    error = spotflow_device.SpotflowError
    cases.note(
        "arguments/class/SpotflowError",
        bases=[base.__name__ for base in error.__mro__],
        module=error.__module__,
        arguments=result(lambda: error("a", 1).args),
        text=result(lambda: str(error("a"))),
        subclassed=result(lambda: type("Sub", (error,), {})("x").args),
        pickled=result(lambda: pickle.loads(pickle.dumps(error("a"))).args),
    )
    names = [*_MEMBERS, "SpotflowError"]
    cases.note(
        "arguments/module",
        names=[name for name in names if hasattr(spotflow_device, name)],
        all=[name for name in names if name in spotflow_device.__all__],
        inner_module=hasattr(spotflow_device, "spotflow_device"),
        documented=bool(spotflow_device.__doc__),
    )
