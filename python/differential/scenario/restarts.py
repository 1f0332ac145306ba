"""Starting again on the same file: what is kept of the registration, the Messages and the properties."""

import os

from . import session
from .rig import Rig

_USUAL = (["identity"], ["desired"], ["enqueue", "again"], ["sent"], ["pending"])


def run(cases, seed):
    with Rig() as rig:
        again = _Again(cases, rig)
        again.start("unchanged", {}, {})
        again.start("ended in order", {"abrupt": False}, {"abrupt": False})
        again.start("in a new session/another Device ID", {}, {"device_id": "another"})
        again.start("in a new session/no Device ID any more", {}, {"device_id": None})
        again.start("in a new session/a Device ID for the first time", {"device_id": None}, {"device_id": "first-time"})
        again.start("another token", {}, {"provisioning_token": rig.another_token()})
        other = rig.another_token(workspace="ws-2")
        again.start("in a new session/another Workspace", {}, {"provisioning_token": other})
        again.start("another name of the instance", {}, {"instance": f"https://{rig.emulator.instance}/"})
        again.start("revoked registration", {}, {}, between=rig.emulator.revoke_registration_tokens)
        again.start("in a new session/deleted device", {}, {}, between=rig.emulator.delete_device)
        again.start(
            "new Desired Properties",
            {},
            {"steps": (["desired", 2],)},
            between=lambda device_id: rig.emulator.set_desired(device_id, {"a": [1]}),
        )
        again.start(
            "reported before",
            {"steps": (["report", {"a": 1, "b": 2}], ["reported"])},
            {"steps": (["report", {"b": 3}], ["reported"])},
        )
        _offline(cases, rig)


class _Again:
    """Runs a device twice on a file of its own."""

    def __init__(self, cases, rig):
        self._cases, self._rig, self._count = cases, rig, 0

    def start(self, name, first, second, between=lambda device_id: None):
        self._count += 1
        rig, case = self._rig, f"restarts/{name}" if "/" in name else f"restarts/in the same session/{name}"
        usual = {"device_id": f"again-{self._count}", "db": os.path.join(rig.directory, f"again-{self._count}.db")}

        def start(options):
            return rig.run_device(*options.get("steps", _USUAL), **{**usual, **_without_steps(options)})

        start(first)
        between(usual["device_id"])
        before = len(rig.traffic())
        told = start(second)
        results = [rig.placeholders().text(shown) for shown in told["results"]]
        self._cases.note(case, result=told["start"], results=results)
        session.note(self._cases, case, rig, before)


def _without_steps(options):
    return {name: value for name, value in options.items() if name != "steps"}


def _offline(cases, rig):
    """Runs without a network, after one with."""
    steps = {
        "Messages": (["enqueue", "a", "b"], ["pending"]),
        "properties": (["desired"], ["report", {"kept": 2}]),
    }
    for number, name in enumerate(steps):
        device_id = f"offline-{number}"
        rig.run_device(["desired"], **_offline_device(rig, device_id))
        rig.emulator.set_desired(device_id, {"kept": {"a": [1, None]}})
        told = rig.run_device(["desired", 2], ["report", {"kept": 1}], ["reported"], **_offline_device(rig, device_id))
        cases.note(f"restarts/offline/{name}/before", results=told["results"])
    rig.emulator.accept_connections(False)
    for number, (name, taken) in enumerate(steps.items()):
        for run in (1, 2):
            told = rig.run_device(["identity"], *taken, **_offline_device(rig, f"offline-{number}"))
            cases.note(f"restarts/offline/{name}/{run}", result=told["start"], results=told["results"])
    rig.emulator.accept_connections(True)
    for number, name in enumerate(steps):
        device_id, before = f"offline-{number}", len(rig.traffic())
        then = (["sent"], ["pending"], ["report", {"n": 1}], ["reported"])
        told = rig.run_device(*then, **_offline_device(rig, device_id))
        cases.note(
            f"restarts/offline/{name}/after",
            result=told["start"],
            results=told["results"],
            messages=[message.payload for message in rig.messages(before, device_id)],
            # How many came before is chance on ours, and on the published SDK it is what it had left undone.
            last_patch=rig.patches(before, device_id)[-1:],
            twin=rig.emulator.reported(device_id).properties,
        )


def _offline_device(rig, device_id):
    return {"device_id": device_id, "db": os.path.join(rig.directory, f"{device_id}.db")}
