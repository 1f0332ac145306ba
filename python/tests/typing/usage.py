"""A program as users write it: type checkers must find nothing in it. It is never run."""

import array
import pathlib
from datetime import timedelta
from typing import Any, Dict, Iterator, List, Optional, Union

import spotflow_device
from spotflow_device import (
    ClosedError,
    CloudMessage,
    Codec,
    Compression,
    ConnectionChange,
    DatabaseError,
    DesiredProperties,
    DeviceClient,
    Durability,
    InvalidArgumentError,
    Message,
    MethodRequest,
    MethodResponse,
    Pace,
    PacingStatus,
    Priority,
    ProvisioningOperation,
    RemoteAccess,
    SetAsideMessage,
    SpotflowError,
    Status,
    StreamSender,
    Transport,
    TunnelRequest,
    TunnelStatus,
    UploadStatus,
    WaitTimeoutError,
    aio,
)

VERSION: str = spotflow_device.__version__


def show(operation: ProvisioningOperation) -> None:
    lines: List[str] = [operation.id, operation.verification_code, operation.expiration_time, str(operation)]
    print(lines)


class Configuration:
    """Callbacks can be methods."""

    def __init__(self) -> None:
        self.version: Optional[int] = None
        self.interval: float = 1.0

    def update(self, properties: DesiredProperties) -> None:
        values: Dict[str, Any] = properties.values
        self.version = properties.version
        self.interval = float(values.get("interval", 1))


def positional() -> DeviceClient:
    return DeviceClient.start("gateway-7", "CAEaBA...", "spotflow.db", None, show, lambda properties: None, False)


def by_name(configuration: Configuration) -> DeviceClient:
    changes: List[ConnectionChange] = []
    return DeviceClient.start(
        device_id=None,
        provisioning_token="CAEaBA...",
        db=pathlib.Path("spotflow.db"),
        instance="localhost:42701",
        display_provisioning_operation_callback=show,
        desired_properties_updated_callback=configuration.update,
        allow_remote_access=True,
        connection_changed_callback=changes.append,
        ca_file=pathlib.PurePosixPath("ca.pem"),
        cloud_messages=True,
        in_flight_window=16,
        durability=Durability.KILL_SAFE,
        keep_alive=30,
        codec=Codec.GZIP,
        transport=Transport.WEB_SOCKET,
    )


def restart(request: MethodRequest) -> MethodResponse:
    name: str = request.name
    delay: float = float(request.payload or 0)
    return MethodResponse(200 if delay >= 0 else 400, {"name": name, "cancelled": request.is_cancelled})


def is_welcome(request: TunnelRequest) -> bool:
    traceparent: Optional[str] = request.traceparent
    return request.port == 22 and request.tunnel_id != "" and traceparent is not None


def by_the_cloud() -> None:
    client = DeviceClient.start(
        None,
        "CAEaBA...",
        "spotflow.db",
        allow_remote_access=RemoteAccess([22], max_tunnels=2, idle_limit=900, bytes_per_second=1 << 20),
        methods={"restart": restart, "uptime": lambda request: 17},
        method_request_callback=lambda request: None,
        method_threads=2,
        remote_access_callback=is_welcome,
        pacing=Pace(bytes_per_second=20_000),
        lane_pacing={Priority.BULK: Pace()},
        slow_down_when_throttled=True,
        upload_progress_callback=lambda upload: print(upload.uploaded_bytes, upload.total_bytes),
    )
    upload: Optional[UploadStatus] = client.status().upload
    pacing: PacingStatus = client.status().pacing
    throttled: Optional[float] = pacing.throttled_messages_per_second
    if throttled is not None:
        print(throttled, "Messages a second")
    if upload is not None:
        print(100 * upload.uploaded_bytes // upload.total_bytes, "%")
    tunnels: List[TunnelStatus] = client.status().tunnels
    for tunnel in tunnels:
        age: timedelta = tunnel.age
        print(tunnel.tunnel_id, tunnel.port, age, tunnel.received_bytes + tunnel.sent_bytes)


def payloads() -> Iterator[Union[Message, bytes, str]]:
    yield b"bytes"
    yield "text"
    yield Message("text", "batch", message_id="message")


def send(client: DeviceClient) -> None:
    sender: StreamSender = client.create_stream_sender(stream="readings", compression=Compression.SMALLEST_SIZE)
    alarms: StreamSender = client.create_stream_sender(stream="alarms", priority=Priority.URGENT, time_to_live=3600)
    alarms.enqueue_message("the door is open")
    newest: StreamSender = client.create_stream_sender(stream="newest", keep_latest=True)
    newest.enqueue_message("21.5", latest_key="boiler")
    newest.send_message("21.5", latest_key="boiler", timeout=1)
    newest.enqueue_messages([Message("21.5", latest_key="boiler")])
    newest.enqueue_file("image.jpg", latest_key="north gate")
    replaced: int = client.status().replaced_messages
    print(replaced)
    client.set_outbox_limits(outbox_bytes_max=20_000_000, when_full=None)
    slowly = Pace(messages_per_second=0.5, bytes_per_second=2_000, burst=10)
    client.set_pacing(pacing=Pace(messages_per_second=50), lane_pacing={Priority.BULK: slowly})
    client.set_pacing(slow_down_when_throttled=False)
    client.create_stream_sender("group", "readings", None)
    sender.enqueue_message("text", batch_id="batch", message_id="message", batch_slice_id="slice", chunk_id="chunk")
    for payload in (b"bytes", bytearray(b"bytes"), memoryview(b"bytes")):
        sender.enqueue_message(payload, "batch", "message", "slice", "chunk")
    sender.enqueue_message(array.array("d", [21.5]))
    sender.enqueue_file(pathlib.Path("video.mp4"), "batch", "message", "slice", chunk_id="chunk")
    sender.enqueue_file("video.mp4")
    sender.enqueue_messages(payloads())
    sender.enqueue_messages(["text", Message(b"bytes")])
    sender.enqueue_batch_completion("batch")
    sender.enqueue_message_completion("batch", message_id="message")
    try:
        sender.send_message("text", "batch", timeout=0.5)
        client.wait_enqueued_messages_sent(timeout=10)
    except WaitTimeoutError:
        client.wait_enqueued_messages_sent()


def configure(client: DeviceClient, configuration: Configuration) -> None:
    newer: Optional[DesiredProperties] = client.get_desired_properties_if_newer(configuration.version)
    if newer is not None:
        configuration.update(newer)
    client.get_desired_properties_if_newer()
    configuration.update(client.get_desired_properties())
    client.update_reported_properties({"interval": configuration.interval, "sensors": ["a", {"b": None}]})
    counts: Dict[str, int] = {"restarts": 3}
    client.update_reported_properties(counts)
    is_pending: bool = client.any_pending_reported_properties_updates
    print(is_pending)


def obey(client: DeviceClient) -> None:
    command: Optional[CloudMessage] = client.receive_cloud_message(timeout=1.5)
    if command is not None:
        content: bytes = command.payload
        properties: Dict[str, str] = command.properties
        print(content, properties)
        command.complete()


def look(client: DeviceClient) -> timedelta:
    status: Status = client.status()
    print(client.workspace_id + client.device_id, client.pending_messages_count + status.pending_messages)
    error: Optional[SpotflowError] = status.last_error
    if error is not None and status.last_error_age is not None:
        print(error.retryable, status.last_error_age.total_seconds())
    set_aside: List[SetAsideMessage] = client.set_aside_messages()
    retried: int = client.retry_set_aside_messages([message.id for message in set_aside])
    dropped: int = client.drop_set_aside_messages(tuple(message.id for message in set_aside))
    print(retried + dropped, [message.reason + message.properties["stream-name"] for message in set_aside])
    return status.oldest_pending_age or status.connection_age


def choose(compression: Compression) -> Dict[Compression, int]:
    """The choices are values: they compare, are keys, and have a number."""
    return {compression: int(compression)} if compression == Compression.FASTEST else {}


async def send_in_a_loop(client: DeviceClient) -> None:
    await aio.wait_enqueued_messages_sent(client)


def main() -> None:
    configuration = Configuration()
    try:
        with by_name(configuration) as client:
            send(client)
            configure(client, configuration)
        client.close()
    except (ClosedError, InvalidArgumentError) as error:
        print(isinstance(error, ValueError), error.retryable)
    except DatabaseError as error:
        print(error.errno, error.retryable)
    except SpotflowError as error:
        print(error)
