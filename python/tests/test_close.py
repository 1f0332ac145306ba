"""The end of a client: everything is let go, everybody who waits is told, and the next one can start at once."""

import os
import threading

import pytest
from spotflow_device import ClosedError, DeviceClient

from support import (
    DEVICE,
    PATIENCE,
    arguments,
    cut_off,
    eventually,
    in_thread,
    native_threads,
    payloads,
    python_threads,
)


def test_a_context_manager_closes_at_the_end_of_the_block(spotflow_emulator, tmp_path):
    with DeviceClient.start(**arguments(spotflow_emulator, tmp_path)) as client:
        assert type(client) is DeviceClient
        client.create_stream_sender().send_message("inside", timeout=PATIENCE)
    with pytest.raises(ClosedError):
        client.status()
    eventually("the threads end", lambda: native_threads() == python_threads() == [])
    DeviceClient.start(**arguments(spotflow_emulator, tmp_path)).close()


def test_a_context_manager_closes_after_an_exception_and_lets_it_through(spotflow_emulator, tmp_path):
    with pytest.raises(KeyError, match="of the block"):
        with DeviceClient.start(**arguments(spotflow_emulator, tmp_path)) as client:
            raise KeyError("of the block")
    with pytest.raises(ClosedError):
        client.status()


def test_a_block_may_close_its_client(spotflow_emulator, tmp_path):
    with DeviceClient.start(**arguments(spotflow_emulator, tmp_path)) as client:
        client.close()


def test_close_may_be_called_again(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator)
    for _ in range(3):
        assert client.close() is None


def test_close_may_be_called_by_many_threads_and_returns_when_the_file_is_free(spotflow_emulator, start_client):
    for _ in range(5):
        client = start_client(spotflow_emulator)
        together = threading.Barrier(8)

        def close():
            together.wait(PATIENCE)
            client.close()

        closing = [in_thread(close) for _ in range(7)]
        together.wait(PATIENCE)
        client.close()
        start_client(spotflow_emulator).close()
        assert [thread.result(PATIENCE) for thread in closing] == [None] * 7


WAITS = {
    "send_message": lambda client, sender: sender.send_message("x"),
    "send_message with a time limit": lambda client, sender: sender.send_message("x", timeout=10 * PATIENCE),
    "wait_enqueued_messages_sent": lambda client, sender: client.wait_enqueued_messages_sent(),
    "wait_enqueued_messages_sent with a time limit": lambda client, sender: client.wait_enqueued_messages_sent(
        10 * PATIENCE
    ),
    "get_desired_properties": lambda client, sender: client.get_desired_properties(),
    "receive_cloud_message": lambda client, sender: client.receive_cloud_message(),
    "receive_cloud_message with a time limit": lambda client, sender: client.receive_cloud_message(10 * PATIENCE),
}


@pytest.mark.parametrize("name", WAITS)
def test_a_close_in_another_thread_ends_a_wait(spotflow_emulator, start_client, name):
    # So nothing is acknowledged, and no properties come.
    spotflow_emulator.go_silent()
    client = start_client(spotflow_emulator, cloud_messages=True)
    sender = client.create_stream_sender()
    sender.enqueue_message("pending")
    begun = threading.Event()

    def wait():
        begun.set()
        WAITS[name](client, sender)

    waiting = [in_thread(wait) for _ in range(3)]
    assert begun.wait(PATIENCE)
    assert not any(thread.done() for thread in waiting)
    client.close()
    for thread in waiting:
        with pytest.raises(ClosedError, match="closed"):
            thread.result(PATIENCE)


def test_a_wait_of_the_main_thread_is_ended_by_another(spotflow_emulator, start_client):
    spotflow_emulator.acknowledge("withhold")
    client = start_client(spotflow_emulator)
    sender = client.create_stream_sender()

    def close():
        eventually("the Message is stored", lambda: client.pending_messages_count == 1)
        client.close()

    closing = in_thread(close)
    with pytest.raises(ClosedError):
        sender.send_message("x")
    closing.result(PATIENCE)


def test_senders_in_the_midst_of_their_work_are_told(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator)
    sender = client.create_stream_sender()
    stored = []

    def enqueue():
        for number in range(10 ** 9):
            sender.enqueue_message(str(number))
            stored.append(number)

    enqueuing = in_thread(enqueue)
    eventually("some are stored", lambda: len(stored) > 10)
    client.close()
    with pytest.raises(ClosedError):
        enqueuing.result(PATIENCE)
    client = start_client(spotflow_emulator)
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    # One may have been stored, of which the close kept the return.
    sent = [int(payload) for payload in payloads(spotflow_emulator)]
    assert sent[: len(stored)] == stored
    assert sent == list(range(len(sent))) and len(sent) - len(stored) <= 1


def test_what_is_pending_stays_stored_for_the_next_start(spotflow_emulator, start_client):
    spotflow_emulator.acknowledge("withhold")
    client = start_client(spotflow_emulator)
    client.create_stream_sender().enqueue_messages(["1", "2", "3"])
    spotflow_emulator.wait_messages(1)
    client.close()
    spotflow_emulator.acknowledge("immediately")
    client = start_client(spotflow_emulator)
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    assert payloads(spotflow_emulator) == [b"1", b"2", b"3"]


def test_the_close_says_goodbye(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator)
    eventually("the device knows that it is connected", lambda: client.status().is_connected)
    client.close()
    spotflow_emulator.wait_connected(DEVICE, False)
    assert [connection.end for connection in spotflow_emulator.connections()] == ["DISCONNECT"]


def handles():
    """What the process has open."""
    return len(os.listdir("/proc/self/fd"))


def test_a_client_can_start_on_the_same_file_at_once_and_leaves_nothing_behind(spotflow_emulator, tmp_path):
    def live(text):
        callbacks = dict.fromkeys(
            ["desired_properties_updated_callback", "connection_changed_callback"], lambda item: None
        )
        with DeviceClient.start(**arguments(spotflow_emulator, tmp_path, **callbacks)) as client:
            client.create_stream_sender().send_message(text, timeout=PATIENCE)
        eventually("the threads end", lambda: native_threads() == python_threads() == [])

    live("0")
    before = handles()
    for number in range(1, 20):
        live(str(number))
    assert handles() <= before
    assert payloads(spotflow_emulator) == [str(number).encode() for number in range(20)]


def test_several_clients_live_side_by_side(spotflow_emulator, start_client, tmp_path):
    names = [f"device-{number}" for number in range(4)]
    clients = [start_client(spotflow_emulator, device_id=name, db=str(tmp_path / f"{name}.db")) for name in names]
    clients.pop(0).close()
    for client in clients:
        client.create_stream_sender().send_message("x", timeout=PATIENCE)
    assert [message.device_id for message in spotflow_emulator.messages()] == names[1:]


def test_a_registered_device_starts_without_a_network(spotflow_emulator, start_client):
    start_client(spotflow_emulator).close()
    spotflow_emulator.wait_connected(DEVICE, False)
    spotflow_emulator.accept_connections(False)
    client = start_client(spotflow_emulator)
    assert (client.workspace_id, client.device_id) == (spotflow_emulator.workspace_id, DEVICE)
    assert client.status().is_connected is False
    client.create_stream_sender().enqueue_message("offline")
    client.update_reported_properties({"offline": True})
    assert client.pending_messages_count == 1
    assert client.any_pending_reported_properties_updates is True
    spotflow_emulator.accept_connections(True)
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    assert payloads(spotflow_emulator) == [b"offline"]
    spotflow_emulator.wait_reported(DEVICE, {"offline": True})


def test_the_close_needs_no_network(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator)
    cut_off(spotflow_emulator, client)
    client.create_stream_sender().enqueue_message("stays")
    client.close()
    eventually("the threads end", lambda: native_threads() == [])
