"""Starts: provisioning, registration, connecting, and what each argument does to them."""

import os

from . import session
from .rig import DEVICE_ID, Rig

#: Starts that both SDKs know, by what is said otherwise than usual.
_GOOD = {
    "usual": {},
    "no Device ID": {"device_id": None},
    "Device ID of all characters": {"device_id": "aZ09-_.x"},
    "Device ID of 4 characters": {"device_id": "a--z"},
    "Device ID of 90 characters": {"device_id": "x" * 90},
    "remote access not allowed": {"allow_remote_access": False},
}

_BAD = {
    "Device ID/empty": {"device_id": ""},
    "Device ID/of 3 characters": {"device_id": "abc"},
    "Device ID/of 91 characters": {"device_id": "x" * 91},
    "Device ID/with a space": {"device_id": "dev 1"},
    "Device ID/with a slash": {"device_id": "dev/1"},
    "Device ID/with a colon": {"device_id": "ws:dev-1"},
    "Device ID/not ASCII": {"device_id": "žluťoučký"},
    "token/unknown": {"provisioning_token": "unknown"},
    "token/empty": {"provisioning_token": ""},
    "database/empty": {"db": ""},
    "instance/empty": {"instance": ""},
    "instance/no host": {"instance": "not a host"},
    "wrong type/int as Device ID": {"device_id": 1234},
    "wrong type/None as token": {"provisioning_token": None},
    "wrong type/int as token": {"provisioning_token": 1},
    "wrong type/None as database": {"db": None},
    "wrong type/int as database": {"db": 1},
    "wrong type/int as instance": {"instance": 1},
    "wrong type/int as permission": {"allow_remote_access": 1},
    "wrong type/str as permission": {"allow_remote_access": "yes"},
    "None as permission": {"allow_remote_access": None},
    "callback/int to display": {"display_provisioning_operation_callback": 1, "displays": False},
    "callback/int for Desired Properties": {"desired_properties_updated_callback": 1},
}


def run(cases, seed):
    with Rig() as rig:
        for number, (name, options) in enumerate({**_GOOD, **_instances(rig), **_databases(rig)}.items()):
            _start(cases, rig, f"starts/{name}", **{"device_id": f"starts-{number}", **options})
        for name, options in {**_BAD, **_bad_databases(rig)}.items():
            before = len(rig.traffic())
            told = rig.run_device(**options)
            requests = [request.target for request in rig.requests(before)]
            cases.note(f"starts/bad/{name}", result=told["start"], requests=requests)
        token = rig.another_token(device="of-the-token")
        _start(cases, rig, "starts/token with a Device ID", provisioning_token=token, device_id=None)
        _start(cases, rig, "starts/token with another Device ID", provisioning_token=token, device_id="of-its-own")
        _start(cases, rig, "starts/remote access allowed", device_id="accessible", allow_remote_access=True)
        _displayed(cases, rig)
    with Rig("--approve", "manual") as rig:
        _decided(cases, rig)


def _instances(rig):
    host = rig.emulator.instance
    return {
        "instance with a scheme": {"instance": f"https://{host}"},
        "instance with a scheme and a slash": {"instance": f"https://{host}/"},
        "instance with a slash": {"instance": f"{host}/"},
        "instance with a port": {"instance": f"{host}:443"},
        "instance in capitals": {"instance": host.upper()},
    }


def _databases(rig):
    return {
        "database with spaces": {"db": os.path.join(rig.directory, " a b .db")},
        "database with accents": {"db": os.path.join(rig.directory, "zařízení.db")},
        "database with a percent sign": {"db": os.path.join(rig.directory, "100%20.db")},
        "database with a question mark": {"db": os.path.join(rig.directory, "really?.db")},
        "database with a relative path": {"db": os.path.relpath(os.path.join(rig.directory, "relative.db"))},
        "database with another suffix": {"db": os.path.join(rig.directory, "device.sqlite")},
    }


def _bad_databases(rig):
    directory, other = os.path.join(rig.directory, "directory.db"), os.path.join(rig.directory, "text.db")
    os.mkdir(directory)
    with open(other, "w") as file:
        file.write("This is no database.\n" * 100)
    return {
        "file/in no directory": {"db": os.path.join(rig.directory, "nowhere", "device.db")},
        "file/a directory": {"db": directory},
        "file/a text file": {"db": other},
    }


def _start(cases, rig, case, **options):
    before = len(rig.traffic())
    told = rig.run_device(["identity"], ["desired"], ["enqueue", "first"], ["sent"], ["pending"], **options)
    cases.note(case, result=told["start"])
    if told["start"] == "returns":
        results = [rig.placeholders().text(told) for told in told["results"]]
        cases.note(case, results=results)
        session.note(cases, case, rig, before)


def _displayed(cases, rig):
    """What is shown to the technician: by default on standard output, or to a callback."""
    told = rig.run_device(device_id="displays-1", displays=False, abrupt=False)
    operation = rig.emulator.operations()[-1]
    cases.note(
        "starts/display/by default",
        has_code=operation.verification_code in told["output"],
        has_id=operation.id in told["output"],
        output=rig.placeholders().text(told["output"]),
    )
    told = rig.run_device(["displayed"], device_id="displays-2")
    [(id_, code, expires)] = told["operations"]
    operation = rig.emulator.operations()[-1]
    cases.note(
        "starts/display/to a callback",
        is_of_the_operation=(id_, code) == (operation.id, operation.verification_code),
        expiration_time=expires.replace(operation.expiration_time[:-1], "{time}"),
        output=told["output"],
    )


def _decided(cases, rig):
    """What the technician decides."""

    def decide(name, decision, device_id=DEVICE_ID):
        before = len(rig.traffic())
        with rig.start_device(["identity"], ["desired"], ["enqueue", "first"], ["sent"], device_id=device_id) as device:
            operation = rig.emulator.wait_operation()
            decision(operation)
            told = device.wait()
        case = f"starts/decided/{name}"
        cases.note(case, result=told["start"], results=told.get("results"))
        session.note(cases, case, rig, before)

    def expire(operation):
        rig.emulator.expire_operation(operation.id)
        rig.emulator.approve(rig.emulator.wait_operation().id)

    decide("approved", lambda operation: rig.emulator.approve(operation.id))
    decide("approved with another Device ID", lambda operation: rig.emulator.approve(operation.id, "decided"))
    decide(
        "approved with a Device ID",
        lambda operation: rig.emulator.approve(operation.id, "decided-2"),
        device_id=None,
    )
    decide("refused", lambda operation: rig.emulator.refuse(operation.id))
    decide("expired", expire, device_id="expired")
