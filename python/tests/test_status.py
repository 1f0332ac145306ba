"""The status tells how the device is doing; what is set aside can be listed, retried and dropped."""

from datetime import timedelta

import pytest
from spotflow_device import Recovery, SetAsideError, SetAsideMessage, SpotflowError, Status

from support import DEVICE, PATIENCE, Seen, cut_off, eventually, in_thread, payloads


def wait_connected(client):
    return eventually("the device is connected", lambda: client.status().is_connected)


def test_a_fresh_device_has_nothing_pending(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator)
    wait_connected(client)
    status = client.status()
    assert type(status) is Status
    assert status.is_connected is True
    assert type(status.connection_age) is timedelta
    assert timedelta() <= status.connection_age < timedelta(seconds=PATIENCE)
    assert (status.last_error, status.last_error_age, status.oldest_pending_age) == (None, None, None)
    counts = (status.reconnects, status.pending_messages, status.pending_bytes, status.set_aside_messages)
    assert counts == (0, 0, 0, 0)
    assert repr(status) == "<spotflow_device.Status connected, 0 pending, 0 set aside>"


def test_a_status_cannot_be_written(spotflow_emulator, start_client):
    status = start_client(spotflow_emulator).status()
    names = [name for name in vars(Status) if not name.startswith("_")]
    assert len(names) == 20
    for name in names:
        with pytest.raises(AttributeError):
            setattr(status, name, None)


def test_a_damaged_file_is_saved_and_reported(spotflow_emulator, start_client, tmp_path):
    client = start_client(spotflow_emulator)
    assert client.status().recovery is None
    wait_connected(client)
    cut_off(spotflow_emulator, client)
    client.create_stream_sender().enqueue_messages(["1", "2"])
    client.close()
    (database,) = tmp_path.rglob("*.db")
    with database.open("r+b") as file:
        file.write(b"\x99" * 1024)
    client = start_client(spotflow_emulator)
    recovery = client.status().recovery
    assert type(recovery) is Recovery
    assert recovery.set_aside.read_bytes()[:1024] == b"\x99" * 1024
    assert (recovery.messages, recovery.lost_messages, recovery.set_aside_messages) == (2, 0, 0)
    assert (recovery.has_registration, recovery.cloud_messages, recovery.is_complete) == (True, 0, True)
    assert repr(recovery).startswith("<spotflow_device.Recovery of 2 Messages from ")


def test_pending_messages_are_counted_with_their_bytes_and_age(spotflow_emulator, start_client):
    spotflow_emulator.acknowledge("withhold")
    client = start_client(spotflow_emulator)
    sender = client.create_stream_sender()
    before = client.status()
    sender.enqueue_message("12345")
    sender.enqueue_messages(["678", ""])
    status = client.status()
    assert (status.pending_messages, status.pending_bytes) == (3, 8)
    age = timedelta(milliseconds=20)
    eventually("the oldest one ages", lambda: client.status().oldest_pending_age > age)
    # It is a picture of its moment.
    assert (before.pending_messages, before.pending_bytes, before.oldest_pending_age) == (0, 0, None)
    client.close()

    client = start_client(spotflow_emulator)
    status = client.status()
    assert (status.pending_messages, status.pending_bytes) == (3, 8)
    assert status.oldest_pending_age > age
    spotflow_emulator.acknowledge("immediately")
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    assert (client.status().pending_messages, client.status().oldest_pending_age) == (0, None)


def test_the_connection_and_its_last_error_are_told(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator)
    wait_connected(client)
    cut_off(spotflow_emulator, client)
    status = eventually("it is noticed", lambda: not client.status().is_connected and client.status())
    error = eventually("the reason is told", lambda: client.status().last_error)
    assert type(error) is SpotflowError
    assert error.retryable is True
    assert str(error)
    assert timedelta() <= client.status().last_error_age < timedelta(seconds=PATIENCE)
    assert "not connected" in repr(status)
    spotflow_emulator.accept_connections(True)
    wait_connected(client)
    assert client.status().reconnects == 1


# Set aside


@pytest.fixture
def with_two_set_aside(spotflow_emulator, start_client):
    """A client of another Workspace than its unsent Messages."""
    client = start_client(spotflow_emulator)
    cut_off(spotflow_emulator, client)
    client.create_stream_sender("group", "stream").enqueue_message("12", batch_id="ä", message_id="m")
    client.create_stream_sender().enqueue_message("345")
    client.close()
    spotflow_emulator.accept_connections(True)
    token = spotflow_emulator.add_provisioning_token(workspace="other-workspace")
    client = start_client(spotflow_emulator, provisioning_token=token)
    assert client.workspace_id == "other-workspace"
    return client


def test_messages_of_another_identity_are_listed_and_not_sent(spotflow_emulator, with_two_set_aside):
    client = with_two_set_aside
    status = client.status()
    assert (status.set_aside_messages, status.pending_messages, client.pending_messages_count) == (2, 0, 0)
    first, second = client.set_aside_messages()
    assert (type(first), type(first.id), type(first.properties)) == (SetAsideMessage, int, dict)
    for message in (first, second):
        assert (message.workspace_id, message.device_id) == (spotflow_emulator.workspace_id, DEVICE)
        assert spotflow_emulator.workspace_id in message.reason
        assert message.reason in repr(message) and str(message.id) in repr(message)
    assert (first.payload_bytes, second.payload_bytes) == (2, 3)
    expected = {"stream-group-name": "group", "stream-name": "stream", "batch-id": "ä", "message-id": "m"}
    assert (first.properties, second.properties) == (expected, {})
    client.create_stream_sender().send_message("new", timeout=PATIENCE)
    assert payloads(spotflow_emulator) == [b"new"]


def test_messages_of_another_identity_are_sent_when_it_is_back(spotflow_emulator, start_client, with_two_set_aside):
    client = with_two_set_aside
    ids = [message.id for message in client.set_aside_messages()]
    assert client.retry_set_aside_messages(ids) == 0
    client.close()
    client = start_client(spotflow_emulator)
    assert [message.id for message in client.set_aside_messages()] == ids
    assert client.retry_set_aside_messages(tuple(ids[1:])) == 1
    assert client.retry_set_aside_messages(message_ids=(number for number in ids)) == 1
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    assert payloads(spotflow_emulator) == [b"345", b"12"]
    assert client.set_aside_messages() == []
    assert client.retry_set_aside_messages(ids) == 0


def test_what_is_set_aside_can_be_dropped(with_two_set_aside):
    client = with_two_set_aside
    first, second = [message.id for message in client.set_aside_messages()]
    assert client.drop_set_aside_messages([first]) == 1
    assert client.drop_set_aside_messages([first]) == 0
    assert [message.id for message in client.set_aside_messages()] == [second]
    assert client.drop_set_aside_messages([]) == 0
    assert client.drop_set_aside_messages({first, second}) == 1
    assert client.status().set_aside_messages == 0


def test_who_waits_for_what_is_set_aside_is_told(start_spotflow_emulator, start_client):
    emulator = start_spotflow_emulator("--approve", "manual")
    operations = Seen()
    starting = in_thread(start_client, emulator, display_provisioning_operation_callback=operations)
    first = operations.wait().id
    emulator.approve(first)
    client = starting.result(PATIENCE)
    emulator.acknowledge("withhold")
    # It has to ask again, and is let in as somebody else.
    emulator.delete_device(DEVICE)
    second = operations.wait(lambda operation: operation.id != first).id
    sending = in_thread(client.create_stream_sender().send_message, "of the one before")
    eventually("it is stored", lambda: client.pending_messages_count == 1)
    emulator.approve(second, "renamed")
    with pytest.raises(SetAsideError) as caught:
        sending.result(PATIENCE)
    assert caught.value.retryable is False
    eventually("it has its new name", lambda: client.device_id == "renamed")
    (message,) = client.set_aside_messages()
    assert (message.device_id, message.payload_bytes) == (DEVICE, len("of the one before"))
