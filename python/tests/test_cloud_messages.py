"""Cloud-to-device messages: in order, each once in a run, and again in the next until they are completed."""

import pytest
from spotflow_device import CloudMessage, InvalidArgumentError

from support import DEVICE, PATIENCE, eventually, in_thread


def receive(client):
    message = client.receive_cloud_message(timeout=PATIENCE)
    assert message is not None, "none came"
    return message


def receive_payloads(client, count):
    return [receive(client).payload for _ in range(count)]


def send(emulator, *texts):
    for text in texts:
        emulator.send(DEVICE, text)


def test_messages_come_in_order_with_payload_and_properties(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator, cloud_messages=True)
    properties = {"command": "a b&c=d%20ä/+#\U0001f600", "empty": ""}
    spotflow_emulator.send(DEVICE, b"\x00\xff", properties)
    send(spotflow_emulator, "", *map(str, range(20)))
    first = receive(client)
    assert type(first) is CloudMessage
    assert (type(first.payload), first.payload) == (bytes, b"\x00\xff")
    own = {name: value for name, value in first.properties.items() if not name.startswith("$.")}
    assert own == properties
    assert receive_payloads(client, 21) == [b""] + [str(number).encode() for number in range(20)]


@pytest.mark.parametrize("options", [{}, {"cloud_messages": False}, {"cloud_messages": None}])
def test_without_the_wish_they_stay_in_the_hub(spotflow_emulator, start_client, options):
    client = start_client(spotflow_emulator, **options)
    with pytest.raises(InvalidArgumentError, match="^cloud_messages: "):
        client.receive_cloud_message()
    send(spotflow_emulator, "waits")
    client.create_stream_sender().send_message("x", timeout=PATIENCE)
    assert spotflow_emulator.cloud_messages_waiting(DEVICE) == 1
    client.close()
    client = start_client(spotflow_emulator, cloud_messages=True)
    assert receive(client).payload == b"waits"


@pytest.mark.parametrize("timeout", [0, 0.0, 0.01])
def test_a_time_limit_ends_the_wait_with_none(spotflow_emulator, start_client, timeout):
    client = start_client(spotflow_emulator, cloud_messages=True)
    assert client.receive_cloud_message(timeout) is None
    assert client.receive_cloud_message(timeout=timeout) is None


def test_a_wait_without_a_limit_ends_when_a_message_comes(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator, cloud_messages=True)
    waiting = in_thread(client.receive_cloud_message)
    assert not waiting.done()
    send(spotflow_emulator, "x")
    assert waiting.result(PATIENCE).payload == b"x"


def test_a_message_comes_again_in_the_next_run_until_it_is_completed(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator, cloud_messages=True)
    send(spotflow_emulator, "0", "1", "2")
    first, second, _ = receive(client), receive(client), receive(client)
    second.complete()
    second.complete()
    # In one run each is handed out once.
    assert client.receive_cloud_message(0) is None
    spotflow_emulator.wait_cloud_messages(DEVICE)
    client.close()
    assert first.payload == b"0"

    client = start_client(spotflow_emulator, cloud_messages=True)
    for expected in (b"0", b"2"):
        message = receive(client)
        assert message.payload == expected
        message.complete()
    client.close()

    client = start_client(spotflow_emulator, cloud_messages=True)
    send(spotflow_emulator, "3")
    assert receive(client).payload == b"3"


def test_stored_messages_are_there_without_a_network(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator, cloud_messages=True)
    spotflow_emulator.wait_connected(DEVICE)
    eventually("it listens", lambda: any("devicebound" in topic for topic in spotflow_emulator.subscriptions(DEVICE)))
    send(spotflow_emulator, "stored")
    spotflow_emulator.wait_cloud_messages(DEVICE)
    client.close()
    spotflow_emulator.accept_connections(False)
    assert receive(start_client(spotflow_emulator, cloud_messages=True)).payload == b"stored"


def test_threads_that_receive_share_the_messages(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator, cloud_messages=True)
    count = 40

    def receive_all():
        numbers = []
        while True:
            message = client.receive_cloud_message(PATIENCE)
            message.complete()
            if message.payload == b"end":
                return numbers
            numbers.append(int(message.payload))

    receiving = [in_thread(receive_all) for _ in range(4)]
    for number in range(count):
        send(spotflow_emulator, str(number))
        if number % 10 == 9:
            spotflow_emulator.wait_cloud_messages(DEVICE)
    send(spotflow_emulator, *["end"] * len(receiving))
    shares = [thread.result(PATIENCE) for thread in receiving]
    assert sorted(sum(shares, [])) == list(range(count)), "each once"
    assert all(share == sorted(share) for share in shares)
