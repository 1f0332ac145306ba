"""Remote access: the same technicians, services and relays; and what is asked wrongly. The last relay is of another make
than the Platform's, and than the WebSockets of both SDKs: `websockets` of PyPI."""

import contextlib
import json
import os
import socket
import ssl
import threading

import trustme
from spotflow_emulator import CommandFailed, RelayFault, Route
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

from .rig import DEADLINE, DEVICE_ID, Rig, until

METHOD, METHODS = "!remote-access", "$iothub/methods/POST/#"
#: Every answer comes sooner, but those that never come.
ANSWER_SECONDS = 8.0
#: Of nobody.
URI = "wss://localhost:1/tunnel"
ID = "7d793037-a076-4a0c-8f5a-2f4dd5b1a0d3"

_WRONG = {
    "nothing": b"",
    "no JSON": b"{",
    "null": b"null",
    "a list": b"[]",
    "a text": b'"text"',
    "an empty object": b"{}",
    "no tunnel": {"port": 22, "tunnelSecureUri": URI},
    "no port": {"tunnelId": ID, "tunnelSecureUri": URI},
    "no address": {"tunnelId": ID, "port": 22},
    "a number as tunnel": {"tunnelId": 1, "port": 22, "tunnelSecureUri": URI},
    "a tunnel that is no UUID": {"tunnelId": "t", "port": 1, "tunnelSecureUri": URI},
    "a text as port": {"tunnelId": ID, "port": "22", "tunnelSecureUri": URI},
    "a negative port": {"tunnelId": ID, "port": -1, "tunnelSecureUri": URI},
    "a port that is too high": {"tunnelId": ID, "port": 65536, "tunnelSecureUri": URI},
    "a number as address": {"tunnelId": ID, "port": 22, "tunnelSecureUri": 1},
}


def run(cases, seed):
    with Rig() as rig, contextlib.ExitStack() as stack:
        authority = trustme.CA()
        _trust(rig, authority)
        rig.start(allow_remote_access=True)
        until(lambda: METHODS in rig.emulator.subscriptions(DEVICE_ID), "the subscription")
        service = stack.enter_context(Service())
        _ways(cases, rig, service)
        _relays(cases, rig, service)
        _refusals(cases, rig, service)
        _another_relay(cases, rig, service, authority)
        _ask(cases, rig, "tunnels/another method", b"{}", "restart")
        _ask(cases, rig, "tunnels/asked after another method", b"{}")


def _trust(rig, authority):
    """Beside the Platform's authority."""
    path = os.path.join(rig.directory, "authorities.pem")
    with open(rig.emulator.ca_file, "rb") as file, open(path, "wb") as both:
        both.write(file.read() + authority.cert_pem.bytes())
    os.environ["SSL_CERT_FILE"] = path


class Service(contextlib.AbstractContextManager):
    """A port of the device."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(DEADLINE)
        self.port = self._listener.getsockname()[1]

    def accept(self):
        connection, _ = self._listener.accept()
        connection.settimeout(DEADLINE)
        return connection

    def __exit__(self, *_):
        self._listener.close()


@contextlib.contextmanager
def _tunnel(rig, service, lasts=True):
    """The technician's end and the service's. One that does not last may have ended before anybody sees it open."""
    local_port = rig.emulator.forward(DEVICE_ID, service.port)
    with socket.create_connection(("127.0.0.1", local_port), timeout=DEADLINE) as technician:
        with service.accept() as end:
            if lasts:
                rig.emulator.wait_tunnels(open=1)
            yield technician, end
    rig.emulator.stop_forwarding(local_port)


def _receive(connection, length):
    """So many bytes, or what came before the end."""
    received = b""
    with contextlib.suppress(OSError):
        while len(received) < length:
            piece = connection.recv(length - len(received))
            if not piece:
                break
            received += piece
    return received


def _note_end(cases, case, rig, **aspects):
    ended = len(rig.emulator.tunnels())
    tunnel = rig.emulator.wait_tunnels(ended=ended)[-1]
    cases.note(
        case,
        status=tunnel.status,
        answer=tunnel.answer,
        traceparent_passed_on=tunnel.traceparent_header == tunnel.traceparent,
        close_code=tunnel.close_code,
        ended_in_order=tunnel.end == "closed",
        **aspects,
    )


def _ways(cases, rig, service):
    content = bytes(range(256)) * 1000
    with _tunnel(rig, service) as (technician, end):
        senders = [threading.Thread(target=one.sendall, args=(content,)) for one in (technician, end)]
        for sender in senders:
            sender.start()
        there, back = _receive(end, len(content)), _receive(technician, len(content))
        for sender in senders:
            sender.join()
        # One end first: the published SDK ends a tunnel by either.
        end.shutdown(socket.SHUT_WR)
        _receive(technician, 1)
    _note_end(cases, "tunnels/both ways", rig, whole=[there == content, back == content])
    for case, first in (("technician", 0), ("service", 1)):
        with _tunnel(rig, service) as ends:
            one, other = ends[first], ends[1 - first]
            one.sendall(b"question")
            one.shutdown(socket.SHUT_WR)
            question = _receive(other, 100)
            with contextlib.suppress(OSError):
                other.sendall(b"answer behind the other's end")
                other.shutdown(socket.SHUT_WR)
            answer = _receive(one, 100)
        _note_end(cases, f"tunnels/{case} ends first", rig, asked=question, answered=answer)


def _relays(cases, rig, service):
    content = bytes(range(256)) * 100
    for name, fault, number in (
        ("fragments", RelayFault.FRAGMENTS, 100),
        ("huge frames", RelayFault.LARGE_FRAMES, 1_000_000),
        ("text frames", RelayFault.TEXT_FRAMES, None),
        ("garbage", RelayFault.GARBAGE, None),
    ):
        sent = content * 40 if name == "huge frames" else content if name == "fragments" else b"text"
        rig.emulator.break_relay(fault, number)
        with _tunnel(rig, service, lasts=fault != RelayFault.GARBAGE) as (technician, end):
            with contextlib.suppress(OSError):
                technician.sendall(sent)
                technician.shutdown(socket.SHUT_WR)
            received = _receive(end, len(sent) + 1)
        rig.emulator.mend_relay()
        rig.emulator.wait_tunnels(ended=len(rig.emulator.tunnels()))
        cases.note(f"tunnels/{name}", received=received)
    for status in (401, 503):
        rig.emulator.http_status(Route.TUNNEL, status, count=1)
        local_port = rig.emulator.forward(DEVICE_ID, service.port)
        with socket.create_connection(("127.0.0.1", local_port), timeout=DEADLINE) as technician:
            # It was connected before the relay was asked.
            service.accept().close()
            _receive(technician, 1)
        tunnel = rig.emulator.wait_tunnels(ended=len(rig.emulator.tunnels()))[-1]
        _note_refusal(cases, f"tunnels/relay answers {status}", tunnel.status, tunnel.answer)


def _refusals(cases, rig, service):
    for name, payload in _WRONG.items():
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        _ask(cases, rig, f"tunnels/wrong/{name}", raw)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        asked = {"tunnelId": ID, "port": taken.getsockname()[1], "tunnelSecureUri": URI}
        _ask(cases, rig, "tunnels/nobody listens", json.dumps(asked).encode())
    with _tunnel(rig, service):
        tunnel = rig.emulator.wait_tunnels(open=1)[-1]
        asked = {"tunnelId": tunnel.id, "port": service.port, "tunnelSecureUri": tunnel.uri}
        _ask(cases, rig, "tunnels/active already", json.dumps(asked).encode())


def _ask(cases, rig, case, raw, method=METHOD):
    try:
        answer = rig.emulator.call_method(DEVICE_ID, method, raw=raw, timeout=ANSWER_SECONDS)
    except CommandFailed:
        cases.note(case, status="none", keys="none")
    else:
        _note_refusal(cases, case, answer.status, answer.payload)


def _note_refusal(cases, case, status, body):
    """The text of an answer is an SDK's own business."""
    keys = sorted(json.loads(body)) if body else "no body"
    cases.note(case, status=status, keys=keys)


def _another_relay(cases, rig, service, authority):
    """It answers the device, sends all kinds of frames, and tells what came back."""
    came, over = {}, threading.Event()
    large = os.urandom(3_000_000)

    def relay(device):
        came["path"], came["traceparent"] = device.request.path, device.request.headers.get("traceparent")
        device.send(b"one frame,")
        device.send([b" fragments", b"", b" of ", b"one"])
        device.ping()
        device.send(large)
        came["back"] = b""
        # It answers the device's close frame by itself.
        with contextlib.suppress(ConnectionClosed):
            while True:
                came["back"] += device.recv()
        came["code"] = int(device.protocol.close_code)
        over.set()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with serve(relay, "127.0.0.1", 0, ssl=context, max_size=None) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        asked = {
            "tunnelId": ID,
            "port": service.port,
            "tunnelSecureUri": f"wss://localhost:{server.socket.getsockname()[1]}/a/b?sig=s%20t",
            "traceparentHeader": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        }
        number = rig.emulator.begin_method(DEVICE_ID, METHOD, asked, timeout=DEADLINE)
        with service.accept() as end:
            answer = rig.emulator.wait_method(number, DEADLINE)
            expected = b"one frame, fragments of one" + large
            received = _receive(end, len(expected))
            end.sendall(b"x" * 100_000 + b"end of the service")
            end.shutdown(socket.SHUT_WR)
            rest = _receive(end, 1)
            assert over.wait(DEADLINE), "the relay did not come to its end"
        server.shutdown()
    cases.note(
        "tunnels/a relay of another make",
        status=answer.status,
        answer=answer.payload,
        path=came["path"],
        traceparent=came["traceparent"],
        to_the_service=received == expected and rest == b"",
        from_the_service=came["back"] == b"x" * 100_000 + b"end of the service",
        close_code=came["code"],
    )
