"""Remote access: `True` as in the published package, or an object that says what is allowed."""

import socket
import threading
from contextlib import contextmanager
from datetime import timedelta

import pytest
from spotflow_device import InvalidArgumentError, InvalidTypeError, RemoteAccess

from support import DEVICE, PATIENCE, Seen, eventually

METHODS = "$iothub/methods/POST/#"


@contextmanager
def echo_service():
    """A port of 127.0.0.1 that sends back what it gets."""
    with socket.socket() as service:
        service.bind(("127.0.0.1", 0))
        service.listen()

        def serve():
            while True:
                try:
                    connection, _ = service.accept()
                except OSError:
                    return
                threading.Thread(target=echo, args=(connection,), daemon=True).start()

        def echo(connection):
            with connection:
                while True:
                    data = connection.recv(65536)
                    if not data:
                        return
                    connection.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        yield service.getsockname()[1]
        service.shutdown(socket.SHUT_RDWR)


def technician(emulator, port):
    """A technician's connection to that port of the device."""
    eventually("the device can be asked", lambda: METHODS in emulator.subscriptions(DEVICE))
    local = emulator.forward(DEVICE, port)
    return socket.create_connection(("127.0.0.1", local), timeout=PATIENCE)


def receive(connection, length):
    received = b""
    while len(received) < length:
        data = connection.recv(length - len(received))
        assert data, received
        received += data
    return received


@pytest.mark.parametrize("chosen", [True, "that port", "all ports"])
def test_a_technician_reaches_an_allowed_port(spotflow_emulator, start_client, chosen):
    with echo_service() as port:
        allowed = {True: True, "that port": RemoteAccess([port], idle_limit=60), "all ports": RemoteAccess(None)}
        client = start_client(spotflow_emulator, allow_remote_access=allowed[chosen])
        with technician(spotflow_emulator, port) as connection:
            connection.sendall(b"hello")
            assert receive(connection, 5) == b"hello"
            [tunnel] = client.status().tunnels
            assert (tunnel.port, tunnel.received_bytes, tunnel.sent_bytes) == (port, 5, 5)
            assert tunnel.tunnel_id
            assert timedelta() <= tunnel.age < timedelta(seconds=PATIENCE)
            assert repr(tunnel) == f"<spotflow_device.TunnelStatus to port {port}, 5 bytes received, 5 bytes sent>"
        eventually("the tunnel has ended", lambda: client.status().tunnels == [])


def test_another_port_is_refused(spotflow_emulator, start_client):
    with echo_service() as port:
        start_client(spotflow_emulator, allow_remote_access=RemoteAccess([1]))
        with technician(spotflow_emulator, port) as connection:
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
        assert spotflow_emulator.tunnels()[-1].status == 500


def test_the_callback_learns_who_asks_and_can_refuse(spotflow_emulator, start_client):
    requests, answers = Seen(), iter([True, False])

    def decide(request):
        requests(request)
        return next(answers)

    with echo_service() as port:
        client = start_client(spotflow_emulator, allow_remote_access=True, remote_access_callback=decide)
        with technician(spotflow_emulator, port) as connection:
            connection.sendall(b"hello")
            assert receive(connection, 5) == b"hello"
        [request], [tunnel] = requests.all(), spotflow_emulator.tunnels()
        assert (request.tunnel_id, request.port, request.traceparent) == (tunnel.id, port, tunnel.traceparent)
        assert repr(request) == f"<spotflow_device.TunnelRequest {tunnel.id} to port {port}>"
        with technician(spotflow_emulator, port) as connection:
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
        tunnel = spotflow_emulator.tunnels()[-1]
        assert (tunnel.status, "refused" in tunnel.answer) == (500, True)
        eventually("no tunnel is left", lambda: client.status().tunnels == [])


@pytest.mark.parametrize("wrong", [lambda request: None, lambda request: 1, lambda request: 1 / 0])
def test_what_is_no_answer_refuses_and_is_logged(spotflow_emulator, start_client, caplog, wrong):
    with echo_service() as port:
        start_client(spotflow_emulator, allow_remote_access=True, remote_access_callback=wrong)
        with technician(spotflow_emulator, port) as connection:
            with pytest.raises(ConnectionResetError):
                connection.recv(1)

    def logged():
        records = [record for record in caplog.records if record.name == "spotflow_device.callbacks"]
        return [record.getMessage() for record in records]

    eventually("it is logged", logged)
    assert logged() == ["remote_access_callback raised an exception"]


def test_a_callback_without_permission_is_never_asked(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator, remote_access_callback=lambda request: True)
    client.create_stream_sender().send_message("behind the subscriptions", timeout=PATIENCE)
    assert METHODS not in spotflow_emulator.subscriptions(DEVICE)


@pytest.mark.parametrize("chosen", [False, None])
def test_without_permission_nothing_is_subscribed_to(spotflow_emulator, start_client, chosen):
    client = start_client(spotflow_emulator, allow_remote_access=chosen)
    client.create_stream_sender().send_message("behind the subscriptions", timeout=PATIENCE)
    assert METHODS not in spotflow_emulator.subscriptions(DEVICE)


@pytest.mark.parametrize("ports", [22, "ssh", [22.0], [True], ["22"]])
def test_what_is_no_list_of_ports_is_a_type_error(ports):
    with pytest.raises(InvalidTypeError, match="^ports: must be "):
        RemoteAccess(ports)


@pytest.mark.parametrize("ports", [[-1], [65536]])
def test_what_is_no_port_is_out_of_range(ports):
    with pytest.raises(InvalidArgumentError, match="^ports: is out of range"):
        RemoteAccess(ports)


@pytest.mark.parametrize(
    "options", [{"max_tunnels": 0}, {"max_tunnels": 257}, {"idle_limit": 0}, {"bytes_per_second": 1}, {"ports": [0]}]
)
def test_an_option_that_breaks_a_rule_is_found_at_the_start(spotflow_emulator, start_client, options):
    allowed = RemoteAccess(options.pop("ports", [22]), **options)
    with pytest.raises(InvalidArgumentError, match="^allow_remote_access: "):
        start_client(spotflow_emulator, allow_remote_access=allowed)


def test_equal_options_are_equal():
    assert RemoteAccess([22], max_tunnels=2) == RemoteAccess((22,), max_tunnels=2)
    assert RemoteAccess([22]) != RemoteAccess([23])
    assert repr(RemoteAccess([22])) == "<spotflow_device.RemoteAccess ports=[22]>"
