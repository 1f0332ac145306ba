"""Desired Properties: what the callback and the getters give, value by value and type by type."""

from . import inputs
from .cases import result
from .rig import DEVICE_ID, Rig, Updates

_VALUES = (
    True, False, 0, -1, 2**31, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1,
    0.0, -0.0, 1.0, 0.1, 1e15, 1e16, 1e22, 1.5e300, 5e-324, 1e-7,
    "", "text", "\x00\n\t\x7f", "ěščř 传感器 \U0001f321", "\u2028\ufeff", "2026-11-22T12:00:00Z",
    {}, {"a": {}}, {"b": 1, "a": {"d": 1, "c": [1]}}, [], [[]], [1, "a", True, 1.5, None, {"b": [None]}],
)

_KEYS = ("a", "A", "with-dash", "_", "1", "ключ", "\U0001f321", "a/b", '"', "\\", "x" * 512)

#: Merge patches, one after the other.
_PATCHES = (
    {"a": 1, "b": {"c": 1, "d": [1, 2]}},
    {"a": None},
    {"b": {"c": None}},
    {"b": {"d": [3]}},
    {"b": {"e": {"f": 1}}},
    {"b": {"e": 1}},
    {"b": {"e": {"g": None, "h": 1}}},
    {"b": {"e": {}}},
    {"unknown": None},
    {"b": None, "c": {"z": 1, "a": 1}},
    {"c": None},
)

_VERSIONS = {
    "None": None, "0": 0, "1": 1, "current - 1": -1, "current": 0, "current + 1": 1,
    "2**32": 2**32, "2**63": 2**63, "2**64 - 1": 2**64 - 1,
    "out of range/2**64": 2**64, "out of range/-1": -1, "bool/True": True, "bool/False": False,
    "wrong type/1.0": 1.0, "wrong type/nan": float("nan"), "wrong type/str": "1", "wrong type/bytes": b"1",
    "wrong type/list": [1],
}


def run(cases, seed):
    with Rig() as rig:
        updates = Updates()
        client = rig.start(desired_properties_updated_callback=updates)
        first = updates.wait(1)
        cases.note("desired/at the start", callback=_all(first), getter=_all(client.get_desired_properties()))
        rig.emulator.wait_connected(DEVICE_ID)
        device = _Device(cases, rig, client, updates)
        for value in _VALUES:
            device.set(f"desired/values/{repr(value)[:40]}", {"value": value})
        for key in _KEYS:
            device.set(f"desired/keys/{key[:20]}", {key: 1})
        device.set("desired/empty", {})
        device.set("desired/order of keys", {"b": 1, "a": 2, "C": 3, "10": 4, "9": 5})
        device.set("desired/many", {f"key-{number}": number for number in range(500)})
        for number in range(60):
            source = inputs.seeded(seed, f"desired {number}")
            device.set(f"desired/random/{number}", {"r": inputs.random_json(source)})
        device.set("desired/patches", {})
        for number, patch in enumerate(_PATCHES):
            device.patch(f"desired/patches/{number}", patch)
        _if_newer(cases, client)
        _attributes(cases, client)


def _all(desired):
    return [desired.version, desired.values]


class _Device:
    """Changes the Desired Properties and tells what arrives."""

    def __init__(self, cases, rig, client, updates):
        self._cases, self._emulator, self._client, self._updates = cases, rig.emulator, client, updates

    def set(self, case, properties):
        self._note(case, self._emulator.set_desired(DEVICE_ID, properties))

    def patch(self, case, patch):
        self._note(case, self._emulator.patch_desired(DEVICE_ID, patch))

    def _note(self, case, version):
        updated = self._updates.wait(version)
        newer = self._client.get_desired_properties_if_newer(version - 1)
        self._cases.note(
            case,
            callback=_all(updated),
            getter=_all(self._client.get_desired_properties()),
            if_newer=_all(newer) if newer else None,
        )


def _if_newer(cases, client):
    current = client.get_desired_properties().version

    def get(*arguments, **named):
        desired = client.get_desired_properties_if_newer(*arguments, **named)
        return None if desired is None else desired.version - current

    for label, version in _VERSIONS.items():
        if "current" in label:
            version += current
        cases.note(f"desired/if newer/{label}", result=result(get, version), by_name=result(get, version=version))
    cases.note("desired/if newer/nothing", result=result(get))


def _attributes(cases, client):
    desired = client.get_desired_properties()
    for name in ("version", "values"):
        cases.note(f"desired/attributes/{name}", set=result(setattr, desired, name, 1))
    cases.note("desired/attributes/other", set=result(setattr, desired, "other", 1))
    values = desired.values
    values["mine"] = 1
    cases.note(
        "desired/attributes/a changed copy",
        same_object=result(lambda: desired.values is desired.values),
        seen_again=result(lambda: "mine" in desired.values),
        seen_by_others=result(lambda: "mine" in client.get_desired_properties().values),
    )
    cases.note(
        "desired/attributes/equality",
        equal=result(lambda: client.get_desired_properties() == client.get_desired_properties()),
    )
