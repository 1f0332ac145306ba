"""The options of a sender that the published package does not have."""

import copy
from datetime import timedelta

import pytest
from spotflow_device import ExpiredError, InvalidArgumentError, Message, Priority, ReplacedError

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


def test_of_the_unsent_only_the_newest_is_kept(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator)
    spotflow_emulator.acknowledge("withhold")
    newest = client.create_stream_sender(stream="newest", keep_latest=True)
    newest.enqueue_message(b"in flight")
    spotflow_emulator.wait_messages(1)
    sending = in_thread(newest.send_message, b"replaced")
    eventually("it is stored", lambda: client.pending_messages_count == 2)
    client.create_stream_sender(stream="newest", keep_latest=False).enqueue_message(b"kept")
    newest.enqueue_messages([b"replaced", Message(b"of a", latest_key="a"), b"newest"])
    with pytest.raises(ReplacedError):
        sending.result(PATIENCE)
    newest.enqueue_message(b"newest of a", latest_key="a")
    assert client.pending_messages_count == 4
    assert client.status().replaced_messages == 3
    spotflow_emulator.acknowledge("immediately")
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    assert payloads(spotflow_emulator) == [b"in flight", b"kept", b"newest", b"newest of a"]


def test_a_key_is_for_a_sender_that_keeps_the_latest(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator)
    message = Message(b"1", latest_key="a")
    for same in [message, copy.copy(message)]:
        with pytest.raises(InvalidArgumentError, match="^latest_key: "):
            client.create_stream_sender().enqueue_messages([same])
    with pytest.raises(InvalidArgumentError, match="^chunk_id: "):
        client.create_stream_sender(keep_latest=True).enqueue_message(b"1", chunk_id="a")
    assert client.pending_messages_count == 0
