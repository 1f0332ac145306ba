"""Whose acknowledgement the published SDK takes for a Message's. What this SDK does in the same place is shown by
`what_a_property_update_is_acknowledged_for_is_not_a_message` in tests/faults/acknowledgements.rs.

A Reported Properties update and a Message go out on the same packet identifier, one after the other. The update is on
its way when the Message is stored, and the hub acknowledges the update.
"""

import sqlite3
import time

from spotflow_emulator import AckMode

DEVICE = "wheel-1"
DEADLINE = 30.0


def stored(database):
    """The Messages that the published SDK keeps, by its documented schema."""
    connection = sqlite3.connect(str(database))
    try:
        return [content for (content,) in connection.execute("SELECT content FROM Messages ORDER BY id")]
    finally:
        connection.close()


def wait_for(condition, what):
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def with_an_update_on_its_way(emulator, device):
    """A device that has sent a Message, and then an update which the hub does not answer yet."""
    device.next("started")
    emulator.wait_connected(DEVICE)
    device.enqueue([("enqueue_message", {"payload": b"settled"})])
    device.call("report", {"state": 0})
    emulator.wait_reported(DEVICE, {"state": 0})
    emulator.go_silent()
    device.call("report", {"state": 1})
    # Nothing tells when it has left, as a silent hub does not read. It follows the statement within milliseconds.
    time.sleep(0.5)


def test_it_forgets_a_message_whose_acknowledgement_is_withheld(emulator, start_device, tmp_path):
    device = start_device(emulator)
    with_an_update_on_its_way(emulator, device)
    emulator.acknowledge(AckMode.WITHHOLD)
    device.call("store", [b"first", b"second"])
    assert stored(tmp_path / "device.db") == [b"first", b"second"]
    emulator.go_silent(False)
    emulator.wait_reported(DEVICE, {"state": 1})
    wait_for(lambda: stored(tmp_path / "device.db") == [b"second"], "both Messages are kept, as they should be")


def test_it_loses_a_message_that_was_never_received(emulator, start_device, tmp_path):
    device = start_device(emulator)
    with_an_update_on_its_way(emulator, device)
    device.call("store", [b"first", b"second"])
    # The connection ends after the update was acknowledged and before the Message arrives.
    emulator.refuse_messages()
    emulator.go_silent(False)
    wait_for(lambda: stored(tmp_path / "device.db") == [b"second"], "both Messages are kept, as they should be")
    device.kill()
    emulator.refuse_messages(False)
    start_device(emulator).next("started")
    payloads = [message.payload for message in emulator.wait_messages(2)]
    assert payloads == [b"settled", b"second"], "the first is gone, from the device and from the Platform"
    assert b"first" not in stored(tmp_path / "device.db")
