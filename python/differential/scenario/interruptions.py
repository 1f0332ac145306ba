"""Connections that end in the middle: what is sent again, and how."""

from spotflow_emulator import CutPoint

from . import messages
from .rig import Rig, messages_sent


def run(cases, seed):
    with Rig() as rig:
        for number, (name, interrupt) in enumerate(_INTERRUPTIONS.items()):
            _interrupt(cases, rig, f"interruptions/{name}", f"interrupted-{number}", interrupt)


def _forget(emulator, device_id):
    emulator.forget_sessions()
    emulator.close_connections()


_INTERRUPTIONS = {
    "cut before the acknowledgement": lambda emulator, _: emulator.cut_after_messages(1, CutPoint.BEFORE_ACK),
    "cut after the acknowledgement": lambda emulator, _: emulator.cut_after_messages(1, CutPoint.AFTER_ACK),
    "password expired": lambda emulator, device_id: emulator.expire_sas(device_id),
    "connection closed": lambda emulator, _: emulator.close_connections(),
    "session forgotten": _forget,
}


def _interrupt(cases, rig, case, device_id, interrupt):
    client = rig.start(device_id=device_id)
    sender = client.create_stream_sender()
    sender.send_message(b"before")
    before = len(rig.traffic())
    interrupt(rig.emulator, device_id)
    for payload in (b"1", b"2", b"3"):
        sender.enqueue_message(payload)
    messages_sent(client)
    connections = [c for c in rig.emulator.connections() if c.client_id.endswith(device_id)]
    recorded = rig.emulator.messages(device_id)
    cases.note(
        case,
        received=[message.payload for message in recorded if not message.repeat],
        last_connection=(connections[-1].session_present, connections[-1].code),
        subscriptions=rig.emulator.subscriptions(device_id),
        requests=sorted({f"{request.method} {request.target}" for request in rig.requests(before)}),
    )
    if "cut before" in case:
        # Elsewhere it is chance whether a Message is under way at that moment.
        sent = rig.messages(device_id=device_id)
        cases.note(
            case,
            sent=[publish.payload for publish in sent],
            flags=[messages.flags(publish) for publish in sent],
            repeats=[message.payload for message in recorded if message.repeat],
        )
