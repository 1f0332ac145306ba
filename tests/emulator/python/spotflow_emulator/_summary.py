"""What the Platform saw, as lines for a person."""

from typing import Callable, List, Sequence, TypeVar

from .records import Connection, Message, Operation, Request

LINES_MAX = 20
PAYLOAD_BYTES_MAX = 60

T = TypeVar("T")


def summary(
    operations: Sequence[Operation],
    requests: Sequence[Request],
    connections: Sequence[Connection],
    messages: Sequence[Message],
) -> str:
    """The last of each kind."""
    lines = [
        *_section("Provisioning Operations", operations, _operation),
        *_section("HTTP requests", requests, _request),
        *_section("MQTT connections", connections, _connection),
        *_section("Messages", messages, _message),
    ]
    return "\n".join(lines)


def _section(title: str, all_: Sequence[T], line: Callable[[T], str]) -> List[str]:
    shown = all_[-LINES_MAX:]
    how_many = f"the last {len(shown)} of {len(all_)}" if len(shown) < len(all_) else str(len(all_))
    return [f"{title}: {how_many}", *(f"  {line(one)}" for one in shown)]


def _operation(operation: Operation) -> str:
    device = operation.device_id or operation.requested_device_id or "(any Device ID)"
    return f"{operation.verification_code} {operation.state.value} for {device}"


def _request(request: Request) -> str:
    return f"{request.method} {request.path}: {request.status or 'not answered'}"


def _connection(connection: Connection) -> str:
    if connection.code:
        end = f"refused with code {connection.code}"
    else:
        end = connection.end or "open"
    return f"{connection.number} {connection.client_id}: {end}"


def _message(message: Message) -> str:
    marks = [
        *(["repeat"] if message.repeat else []),
        *([] if message.acknowledged else ["not acknowledged"]),
        *([message.payload_error] if message.payload_error else []),
    ]
    properties = " ".join(f"{key}={value}" for key, value in message.properties.items())
    content = repr(message.payload[:PAYLOAD_BYTES_MAX])
    if len(message.payload) > PAYLOAD_BYTES_MAX:
        content += f"... ({len(message.payload)} bytes)"
    line = f"{message.sequence} {message.device_id} {properties} {content}"
    return f"{line} ({', '.join(marks)})" if marks else line
