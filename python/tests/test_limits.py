"""The outbox takes limits, and a policy for what does not fit."""

import pytest
from spotflow_device import (
    DatabaseError,
    DroppedError,
    InvalidArgumentError,
    InvalidTypeError,
    OutboxFullError,
    SpotflowError,
    WhenFull,
)

from support import PATIENCE, cut_off, eventually, in_thread, payloads


def test_a_full_outbox_raises_and_has_room_again_after_sending(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator, outbox_messages_max=2, outbox_bytes_max=10)
    cut_off(spotflow_emulator, client)
    sender = client.create_stream_sender()
    sender.enqueue_message("0")
    with pytest.raises(OutboxFullError, match="limit of 2 Messages") as caught:
        sender.enqueue_messages(["1", "2"])
    assert caught.value.retryable is True
    assert not isinstance(caught.value, DatabaseError)
    with pytest.raises(OutboxFullError, match="limit of 10 bytes"):
        sender.enqueue_message("x" * 10)
    with pytest.raises(InvalidArgumentError, match="^messages: "):
        sender.enqueue_message("x" * 11)
    assert client.pending_messages_count == 1
    spotflow_emulator.accept_connections(True)
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    sender.send_message("x" * 10, timeout=PATIENCE)
    assert payloads(spotflow_emulator) == [b"0", b"x" * 10]


def test_the_oldest_are_dropped_and_counted(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator, outbox_messages_max=2, when_full=WhenFull.DROP_OLDEST)
    cut_off(spotflow_emulator, client)
    sender = client.create_stream_sender()
    sending = in_thread(sender.send_message, "first")
    eventually("it is stored", lambda: client.pending_messages_count == 1)
    for number in range(4):
        sender.enqueue_message(str(number))
    with pytest.raises(DroppedError) as caught:
        sending.result(PATIENCE)
    assert isinstance(caught.value, SpotflowError)
    assert caught.value.retryable is False
    status = client.status()
    assert (status.dropped_messages, status.dropped_bytes, status.pending_messages) == (3, 7, 2)
    spotflow_emulator.accept_connections(True)
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    assert payloads(spotflow_emulator) == [b"2", b"3"]


def test_the_limits_can_be_changed_while_the_client_runs(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator, outbox_messages_max=1)
    cut_off(spotflow_emulator, client)
    sender = client.create_stream_sender()
    sender.enqueue_message("0")
    with pytest.raises(OutboxFullError):
        sender.enqueue_message("1")
    client.set_outbox_limits(outbox_messages_max=2)
    sender.enqueue_message("1")
    with pytest.raises(OutboxFullError, match="limit of 2 Messages"):
        sender.enqueue_message("2")
    client.set_outbox_limits(outbox_messages_max=1, when_full=WhenFull.DROP_OLDEST)
    sender.enqueue_message("2")
    assert client.pending_messages_count == 1
    client.set_outbox_limits()
    sender.enqueue_messages(["3", "4"])
    spotflow_emulator.accept_connections(True)
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    assert payloads(spotflow_emulator) == [b"2", b"3", b"4"]


def test_space_can_stay_free_on_the_disk(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator, free_disk_bytes_min=2 ** 62)
    with pytest.raises(OutboxFullError, match="stay free on the disk"):
        client.create_stream_sender().enqueue_message("0")


@pytest.mark.parametrize("name", ["outbox_messages_max", "outbox_bytes_max", "free_disk_bytes_min"])
def test_a_limit_is_a_number_of_at_least_one(spotflow_emulator, start_client, name):
    for value in (0, -1):
        with pytest.raises(InvalidArgumentError, match="^" + name):
            start_client(spotflow_emulator, **{name: value})
    with pytest.raises(InvalidTypeError, match="^" + name):
        start_client(spotflow_emulator, **{name: "1"})


def test_the_policy_is_a_choice(spotflow_emulator, start_client):
    with pytest.raises(InvalidTypeError, match="^when_full: must be a WhenFull"):
        start_client(spotflow_emulator, when_full="drop")
