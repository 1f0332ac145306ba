"""The published SDK's remote access works against the embedded Platform's relay."""

import hashlib
import http.server
import os
import socket
import socketserver
import threading
import urllib.request

import pytest

from device import DEADLINE
from spotflow_emulator import MethodOutcome, RelayFault, Route


class Server(socketserver.ThreadingTCPServer):
    """What the device's port leads to."""

    daemon_threads = True
    allow_reuse_address = True

    @property
    def port(self):
        return self.server_address[1]


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while content := self.request.recv(65536):
            self.request.sendall(content)


@pytest.fixture
def serve():
    servers = []

    def start(handler):
        server = Server(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def remote(emulator, start_device):
    """A device that may be accessed."""
    device = start_device(emulator, allow_remote_access=True)
    device.next("started")
    emulator.wait_connected("wheel-1")
    # Its subscription has arrived when its Message has.
    device.enqueue([("enqueue_message", {"payload": b"ready"})])
    assert "$iothub/methods/POST/#" in emulator.subscriptions("wheel-1")
    return emulator


def technician(emulator, port):
    return socket.create_connection(("127.0.0.1", emulator.forward("wheel-1", port)), timeout=DEADLINE)


def test_bytes_go_both_ways_and_back(remote, serve):
    with technician(remote, serve(Echo)) as connection:
        for size in (1, 1000, 100_000):
            content = os.urandom(size)
            connection.sendall(content)
            received = b""
            while len(received) < size:
                received += connection.recv(65536)
            assert received == content
    [tunnel] = remote.wait_tunnels(ended=1)
    assert (tunnel.status, tunnel.answer) == (200, "")
    assert (tunnel.bytes_to_device, tunnel.bytes_from_device) == (101_001, 101_001)
    assert tunnel.traceparent_header == tunnel.traceparent
    [call] = remote.method_calls()
    assert (call.method, call.outcome) == ("!remote-access", MethodOutcome.ANSWERED)


def test_a_web_server_is_reached(remote, serve):
    content = os.urandom(3_000_000)

    class Web(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    local_port = remote.forward("wheel-1", serve(Web))
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(5):
        with direct.open(f"http://127.0.0.1:{local_port}/", timeout=DEADLINE) as answer:
            assert hashlib.sha256(answer.read()).digest() == hashlib.sha256(content).digest()
    assert len(remote.wait_tunnels(ended=5)) == 5


def test_tunnels_are_open_side_by_side(remote, serve):
    local_port = remote.forward("wheel-1", serve(Echo))
    connections = []
    for number in range(1, 11):
        connections.append(socket.create_connection(("127.0.0.1", local_port), timeout=DEADLINE))
        # Of many calls at once it leaves some without an answer.
        remote.wait_tunnels(open=number)
    for number, connection in enumerate(connections):
        connection.sendall(b"%d" % number)
    assert [connection.recv(10) for connection in connections] == [b"%d" % number for number in range(10)]
    for connection in connections:
        connection.close()
    remote.wait_tunnels(ended=10)


def test_the_devices_end_reaches_the_technician(remote, serve):
    class Greets(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.sendall(b"hello")

    with technician(remote, serve(Greets)) as connection:
        received = b""
        while piece := connection.recv(100):
            received += piece
        assert received == b"hello"


def test_a_port_where_nothing_listens_is_told(remote):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with technician(remote, taken.getsockname()[1]) as connection:
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
    [tunnel] = remote.wait_tunnels(ended=1)
    assert tunnel.status == 500
    assert "detail" in tunnel.answer


def test_a_payload_that_is_none_is_refused(remote):
    assert remote.call_method("wheel-1", "!remote-access", {"tunnelId": 1}).status == 400


def test_a_tunnel_that_is_active_is_not_opened_again(remote, serve):
    port = serve(Echo)
    with technician(remote, port):
        [tunnel] = remote.wait_tunnels(open=1)
        again = {"tunnelId": tunnel.id, "port": port, "tunnelSecureUri": tunnel.uri}
        assert remote.call_method("wheel-1", "!remote-access", again).status == 409


@pytest.mark.parametrize("status", [401, 503])
def test_a_relay_that_refuses_is_told(remote, serve, status):
    remote.http_status(Route.TUNNEL, status, count=10)
    with technician(remote, serve(Echo)) as connection:
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    [tunnel] = remote.wait_tunnels(ended=1)
    assert tunnel.status == 500


@pytest.mark.parametrize("fault", [RelayFault.FRAGMENTS, RelayFault.LARGE_FRAMES])
def test_frames_of_any_size_are_understood(remote, serve, fault):
    remote.break_relay(fault, 1000)
    with technician(remote, serve(Echo)) as connection:
        connection.sendall(b"x" * 10_000)
        received = b""
        while len(received) < 10_000:
            received += connection.recv(65536)
        assert received == b"x" * 10_000


def test_without_being_allowed_it_is_not_accessed(emulator, start_device):
    device = start_device(emulator)
    device.next("started")
    device.enqueue([("enqueue_message", {"payload": b"ready"})])
    # It can come to that before the connection is seen to be there.
    with pytest.raises(ConnectionResetError):
        with technician(emulator, 22) as connection:
            connection.recv(1)
    [tunnel] = emulator.wait_tunnels(ended=1)
    assert "has not subscribed" in tunnel.end
    assert emulator.method_calls() == []
