"""Cloud-to-device messages: whether they are acknowledged, and in which order."""

import spotflow_device

from . import wire
from .rig import DEVICE_ID, Rig, until

_MESSAGES = (
    ("plain", b"text", {}),
    ("empty", b"", {}),
    ("binary", bytes(range(256)), {}),
    ("properties", b"x", {"key": "value", "č &=%": "ž /?#", "empty": ""}),
    # The published SDK loses its connection to packets of more than 10 KiB, again and again.
    ("large", b"x" * 8_000, {"many": "y" * 1000}),
)

#: Ours takes them if it is told to.
_TAKES_THEM = {"cloud_messages": True} if hasattr(spotflow_device, "CloudMessage") else {}


def run(cases, seed):
    with Rig() as rig:
        rig.start(**_TAKES_THEM)
        rig.emulator.wait_connected(DEVICE_ID)
        subscriptions = until(lambda: _at_least(3, rig.emulator.subscriptions(DEVICE_ID)), "subscriptions")
        cases.note("cloud/subscriptions", filters=sorted(subscriptions))
        for name, payload, properties in _MESSAGES:
            before = len(_acknowledged(rig))
            rig.emulator.send(DEVICE_ID, payload, properties)
            rig.emulator.wait_cloud_messages(DEVICE_ID)
            cases.note(f"cloud/{name}", acknowledgements=len(_acknowledged(rig)) - before)
        # The published SDK stops to acknowledge soon, as nothing takes the messages from it.
        for number in range(4):
            rig.emulator.send(DEVICE_ID, f"{number}", {"number": f"{number}"})
        rig.emulator.wait_cloud_messages(DEVICE_ID)
        cases.note("cloud/several", acknowledged_in_order=_acknowledged(rig) == _delivered(rig))


def _at_least(count, found):
    return found if len(found) >= count else None


def _acknowledged(rig):
    """The packet ids of the messages that the device acknowledged."""
    delivered = _delivered(rig)
    acknowledgements = [packet.body for packet in rig.sessions()[0] if packet.kind == "PUBACK"]
    packet_ids = [int.from_bytes(body, "big") for body in acknowledgements]
    return [packet_id for packet_id in packet_ids if packet_id in delivered]


def _delivered(rig):
    """The packet ids of the messages that the hub sent."""
    [sent] = [connection.to_device for connection in rig.traffic() if wire.is_mqtt(connection.from_device)]
    publishes = [wire.publish(packet) for packet in wire.packets(sent) if packet.kind == "PUBLISH"]
    return [publish.packet_id for publish in publishes if "/messages/devicebound/" in publish.topic]
