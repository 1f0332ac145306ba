"""Reported Properties: which patches bring the Platform from one document to the next."""

import json

from . import inputs
from .cases import result
from .rig import Rig, reported_sent


class _Odd(dict):
    """A subclass of what is expected."""


def _sequences(seed):
    """Documents, each stated after the one before by the same device, which starts with `{}`."""
    deep = current = {}
    for level in range(9):
        current["down"] = {"level": level}
        current = current["down"]
    return {
        "values": {
            repr(value)[:40]: {"value": value}
            for value in (
                True, False, 0, 1, -1, 2**31, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1,
                0.0, 1.0, 0.1, 1e15, 5e-324, 1e-7, 0.1 + 0.2, 123456789.12345678,
                "", "text", '"quoted" \\ /', "\x00\x01\n\t\x7f", "ěščř 传感器 \U0001f321", "\u2028\ufeff",
                {}, {"a": {}}, {"a": {"b": {"c": 1}}}, [], [[]], [1, "a", True, 1.5, {"b": [2]}], [{}, {"a": {}}],
            )
        },
        "large floats": [{"value": value} for value in (1e16, 1e17, 1e21, 1e22, 1.5e300, -1e16)],
        "exact floats": [{"value": value} for value in (123456789.123456789, 250289.11895267246, 1.5e-300)],
        "keys": [
            {key: 1}
            for key in ("a", "A", "with-dash", "_", "1", "ключ", "\U0001f321", "a/b", "a:b", '"', "\\", "a" * 1024)
        ],
        "one value after another": [
            {"a": value}
            for value in (1, True, "1", [1], {"0": 1}, {"0": {"0": 1}}, [{"0": 1}], 0, False, "", [], {}, 2)
        ],
        "no change": [{"a": 0.0, "b": 1}, {"a": -0.0, "b": 1}, {"b": 1, "a": 0.0}, {"b": 1, "a": 0.0}],
        "another notation": [{"a": 1}, {"a": 1.0}],
        "removals": [
            {"a": 1, "b": 2, "c": {"d": 1, "e": 2}},
            {"b": 2, "c": {"d": 1, "e": 2}},
            {"b": 2, "c": {"e": 2}},
            {"b": 2, "c": {}},
            {"b": 2},
            {},
            {"c": {"d": 1}},
            {"c": 1},
            {"c": {"e": 1}},
            {"c": [1]},
            {"c": {"f": {"g": 1, "h": 1}}},
            {"c": {"f": {"h": [1, 2]}}},
            {"c": {"f": {"h": [1, 2, 3]}}},
        ],
        "nulls": [{"a": None}, {"a": None, "b": 1}, {"b": None}, {"a": {"b": None}}, {"a": {"b": 1, "c": None}}, {}],
        "order of keys": [{"b": 1, "a": 2, "c": 3}, {"z": 1, "c": 3, "a": 1}, {"B": 1, "b": 1, "10": 1, "9": 1}],
        "eleven levels": [{"1": {"2": {"3": {"4": {"5": {"6": {"7": {"8": {"9": {"10": {"11": 1}}}}}}}}}}}],
        "many": [{f"key-{n}": n for n in range(500)}, {f"key-{n}": n for n in range(0, 500, 2)}, deep, {}],
        "types": [{"t": (1, 2)}, {"t": ()}, _Odd(a=1), {"o": _Odd(a=1)}, {"s": type("S", (str,), {})("x")}],
        "random": [
            {"n": n, "r": inputs.random_json(inputs.seeded(seed, f"reported {n}"))} for n in range(100)
        ],
    }


#: What at least one SDK refuses. Each is stated by a device of its own.
_REFUSED = {
    "not in JSON/NaN": {"a": float("nan")},
    "not in JSON/infinity": {"a": float("inf")},
    "not in JSON/lone surrogate": {"a": "\ud800"},
    "not in JSON/lone surrogate as key": {"\ud800": 1},
    "wrong type/bytes": {"a": b"a"},
    "wrong type/set": {"a": {1}},
    "wrong type/object": {"a": object()},
    "wrong type/complex number": {"a": 1j},
    "wrong type/key of bytes": {b"a": "a"},
    "wrong type/None": None,
    "wrong type/list": [1],
    "wrong type/str": '{"a": 1}',
    "wrong type/int": 1,
    "wrong type/pairs": [("a", 1)],
    "keys/int": {1: "a"},
    "keys/None": {None: "a"},
    "keys/bool": {True: "a"},
    "keys/nested int": {"a": {1: "a"}},
    "numbers/65 bits": {"a": 2**64},
    "numbers/65 bits, negative": {"a": -(2**63) - 1},
    "by the hub/key with a dot": {"a.b": 1},
    "by the hub/key with a dollar": {"$a": 1},
    "by the hub/key with a space": {"a b": 1},
    "by the hub/key with a control character": {"a\nb": 1},
    "by the hub/empty key": {"": 1},
    "by the hub/string of 4097 bytes": {"a": "x" * 4097},
    "by the hub/40 KB": {f"k{n}": "x" * 4000 for n in range(10)},
    "by the hub/key of 1025 bytes": {"a" * 1025: 1},
    "null in an array": {"a": [1, None]},
}


def run(cases, seed):
    with Rig() as rig:
        for device, (name, documents) in enumerate(_sequences(seed).items()):
            client = rig.start(device_id=f"reports-{device}")
            labelled = documents if isinstance(documents, dict) else dict(enumerate(documents))
            for label, document in labelled.items():
                _state(cases, rig, client, f"reported/{name}/{label}", document)
        for device, (name, document) in enumerate(_REFUSED.items()):
            _refused(cases, rig, f"refused-{device}", f"reported/refused/{name}", document)
        _while_away(cases, rig)


def _state(cases, rig, client, case, document):
    """States a document and waits until it is confirmed."""
    before = len(rig.patches(device_id=client.device_id))
    cases.note(case, result=result(client.update_reported_properties, document))
    reported_sent(client)
    sent = rig.patches(device_id=client.device_id)[before:]
    cases.note(case, patches=sent, parsed=[json.loads(patch.decode()) for patch in sent])
    cases.note(case, twin=rig.emulator.reported(client.device_id).properties)


def _refused(cases, rig, device_id, case, document):
    """States what is out of bounds, then something that is not."""
    client = rig.start(device_id=device_id)
    cases.note(case, result=result(client.update_reported_properties, document))
    reported_sent(client)
    sent = rig.patches(device_id=device_id)
    client.update_reported_properties({"fine": 1})
    reported_sent(client)
    then_sent = rig.patches(device_id=device_id)[len(sent) :]
    cases.note(case, patches=sent, then_patches=then_sent, then_twin=rig.emulator.reported(device_id).properties)


#: What is stated without a connection, one after the other.
_WHILE_AWAY = {
    "one": [{"a": 1}],
    "nothing": [{}],
    "the same twice": [{"a": 1}, {"a": 1}],
    "two": [{"a": 1, "b": {"c": 1}}, {"a": 2, "b": {"d": 1}}],
    "three": [{"a": 1}, {"b": 1}, {"c": 1}],
    "there and back": [{"a": 1}, {}],
}


def _while_away(cases, rig):
    clients = [rig.start(device_id=f"away-{number}") for number, _ in enumerate(_WHILE_AWAY)]
    before = len(rig.traffic())
    rig.emulator.accept_connections(False)
    rig.emulator.close_connections()
    for documents, client in zip(_WHILE_AWAY.values(), clients):
        for document in documents:
            client.update_reported_properties(document)
    rig.emulator.accept_connections(True)
    for name, client in zip(_WHILE_AWAY, clients):
        reported_sent(client)
        cases.note(
            f"reported/while away/{name}",
            patches=rig.patches(before, client.device_id),
            twin=rig.emulator.reported(client.device_id).properties,
        )
