"""The options of a sender that the published package does not have."""

from datetime import timedelta

import pytest
from spotflow_device import ExpiredError, Priority

from support import PATIENCE, eventually, in_thread, payloads

LANES = [Priority.URGENT, Priority.HIGH, Priority.NORMAL, Priority.LOW, Priority.BULK]


def test_a_message_of_a_higher_priority_goes_first(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator)
    spotflow_emulator.acknowledge("withhold")
    client.create_stream_sender().enqueue_message(b"in flight")
    spotflow_emulator.wait_messages(1)
    for priority in reversed(LANES):
        sender = client.create_stream_sender(priority=priority)
        for number in range(3):
            sender.enqueue_message(f"{priority.name} {number}")
    client.create_stream_sender(priority=None).enqueue_message(b"NORMAL 3")
    spotflow_emulator.acknowledge("immediately")
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    expected = [f"{priority.name} {number}" for priority in LANES for number in range(3)]
    expected.insert(expected.index("LOW 0"), "NORMAL 3")
    assert payloads(spotflow_emulator) == [text.encode() for text in ["in flight"] + expected]


def test_a_priority_is_given_by_its_name(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator)
    with pytest.raises(TypeError):
        client.create_stream_sender(None, None, None, Priority.URGENT)


def test_what_is_too_old_when_its_turn_comes_is_not_sent(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator)
    spotflow_emulator.acknowledge("withhold")
    client.create_stream_sender().enqueue_message(b"in flight")
    spotflow_emulator.wait_messages(1)
    sending = in_thread(client.create_stream_sender(time_to_live=0.001).send_message, b"stale")
    eventually("it is stored", lambda: client.pending_messages_count == 2)
    client.create_stream_sender(time_to_live=3600).enqueue_message(b"fresh")
    age = client.status().oldest_pending_age
    eventually("it is too old", lambda: client.status().oldest_pending_age > age + timedelta(seconds=0.01))
    spotflow_emulator.acknowledge("immediately")
    with pytest.raises(ExpiredError):
        sending.result(PATIENCE)
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    assert payloads(spotflow_emulator) == [b"in flight", b"fresh"]
    assert client.status().expired_messages == 1
