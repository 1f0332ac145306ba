# The native module, for type checkers and editors. Its docstrings are those of python/src, which stub_docs.py
# copies from the built module.

from datetime import timedelta
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple, Type, Union

from typing_extensions import Buffer, Self, TypeAlias, disjoint_base, final

from . import _held
from ._choices import Codec, Compression, Durability, Priority, Transport, WhenFull
from ._errors import SpotflowError

__all__ = [
    "__version__",
    "after_fork_in_child",
    "after_fork_in_parent",
    "at_exit",
    "before_fork",
    "build_info",
    "is_exiting",
    "is_main_thread",
    "logging_is_over",
    "next_log_records",
    "restore",
    "run_tool",
    "start_thread",
    "Call",
    "Calls",
    "CloudMessage",
    "ConnectionChange",
    "DesiredProperties",
    "DeviceClient",
    "Events",
    "Message",
    "MethodRequest",
    "MethodResponse",
    "Pace",
    "PacingStatus",
    "ProvisioningOperation",
    "Recovery",
    "RemoteAccess",
    "SetAsideMessage",
    "Status",
    "StreamSender",
    "TunnelRequest",
    "TunnelStatus",
    "UploadStatus",
]

_Path: TypeAlias = Union[str, PathLike[str]]
_Payload: TypeAlias = Union[str, bytes, bytearray, memoryview, Buffer]

__version__: str

@disjoint_base
class DeviceClient:
    """A device of the Spotflow IoT Platform. Made by `DeviceClient.start`.

    It stores everything that goes out in the database file and sends it in the background. Any number of
    threads, and callbacks, can share it.

    As a context manager it closes itself at the end of the block. It is closed at the end of the program,
    too, and when nothing refers to it or its senders any more.
    """
    @staticmethod
    def start(
        device_id: Optional[str],
        provisioning_token: str,
        db: _Path,
        instance: Optional[str] = None,
        display_provisioning_operation_callback: Optional[Callable[[ProvisioningOperation], object]] = None,
        desired_properties_updated_callback: Optional[Callable[[DesiredProperties], object]] = None,
        allow_remote_access: Union[bool, RemoteAccess] = False,
        *,
        connection_changed_callback: Optional[Callable[[ConnectionChange], object]] = None,
        ca_file: Optional[_Path] = None,
        cloud_messages: bool = False,
        in_flight_window: int = 1,
        durability: Optional[Durability] = None,
        keep_alive: float = 120,
        codec: Optional[Codec] = None,
        outbox_messages_max: Optional[int] = None,
        outbox_bytes_max: Optional[int] = None,
        free_disk_bytes_min: Optional[int] = None,
        when_full: Optional[WhenFull] = None,
        methods: Optional[Dict[str, Callable[[MethodRequest], object]]] = None,
        method_request_callback: Optional[Callable[[MethodRequest], object]] = None,
        method_threads: int = 4,
        proxy: Optional[str] = None,
        timeout: Optional[float] = None,
        transport: Optional[Transport] = None,
        remote_access_callback: Optional[Callable[[TunnelRequest], bool]] = None,
        pacing: Optional[Pace] = None,
        lane_pacing: Optional[Dict[Priority, Pace]] = None,
        slow_down_when_throttled: bool = True,
        upload_progress_callback: Optional[Callable[[UploadStatus], object]] = None,
    ) -> _held.DeviceClient:
        """Start communicating with the Platform.

        If the device has no valid registration in the database file, it is provisioned: the call shows a
        Provisioning Operation and waits until a technician has approved it. Otherwise it returns as soon as
        the device is registered, or goes on offline: at once if the network refuses, after 10 s if the
        Platform is silent. Each half minute it logs what it waits for. Ctrl+C ends the wait with
        `KeyboardInterrupt`, a `timeout` with `WaitTimeoutError`.

        - `device_id`: the Device ID to ask for, 4 to 90 characters of `0-9 a-z A-Z - _ .`; with `None` the
          Provisioning Token or the technician decides. Another one than at the last start means another
          approval.
        - `provisioning_token`: the Provisioning Token.
        - `db`: the path of the database file, which ends in `.db`. It is created if it is missing; one client
          at a time can use it. A file of the published package (up to 2.1.1) is taken over, and cannot be given
          back to it.
        - `instance`: the host of the Platform's instance, with or without a port and `https://`, by default
          `api.eu1.spotflow.io`.
        - `display_provisioning_operation_callback`: shows a `ProvisioningOperation` to the technician; by
          default it is printed. Called again for each new operation, also long after the start.
        - `desired_properties_updated_callback`: called with the current `DesiredProperties` right after the
          start and after every update. If it is slow, it sees only the latest version.
        - `allow_remote_access`: whether a technician can reach ports of this device through the Platform: `True`
          for every port, or a `RemoteAccess` that says which, and how much at once.
        - `connection_changed_callback`: called with a `ConnectionChange` when the connection comes or goes.
        - `ca_file`: a PEM file with certificates to trust beside the system's.
        - `cloud_messages`: whether to take messages for `receive_cloud_message` from the Platform.
        - `in_flight_window`: how many Messages may be under way without an acknowledgement, 1 to 256. With
          more than 1, a lost connection can repeat that many, which the Platform does not drop. Those that an
          earlier run had sent, and this one replaced (`keep_latest`), do not count.
        - `durability`: what a stored Message survives, by default `Durability.POWER_SAFE`.
        - `keep_alive`: seconds without traffic after which the connection is tested, 5 to 1767, by default
          120.
        - `codec`: what compresses, by default `Codec.BROTLI`.
        - `outbox_messages_max`: how many Messages may be stored without an acknowledgement, by default as many
          as the disk holds; completions count, Messages set aside do not.
        - `outbox_bytes_max`: how many bytes their payloads may have together, after compression.
        - `free_disk_bytes_min`: the outbox is full while the disk of the file has less free space.
        - `when_full`: what happens to a Message that would exceed one of these, by default `WhenFull.REJECT`.
        - `methods`: functions that the cloud can call (direct methods), a `dict` by name. A function gets a
          `MethodRequest`, and returns a `MethodResponse`, or a payload to answer with status 200. If it raises, the
          caller gets status 500. An unknown name is answered 404, a body that is no JSON 400.
        - `method_request_callback`: such a function for all names that are not in `methods`.
        - `method_threads`: how many calls run at once, 1 to 64, by default 4; 64 more wait, the rest is answered 503.
        - `proxy`: `http://`, `socks5://` or `socks5h://`, then `[user[:password]@]host[:port]`, or `none`; by default
          as the environment says (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, as curl reads them).
        - `timeout`: for how many seconds the call may wait for the Platform and for an approval, by default as long
          as it takes. Then a device that was registered before goes on offline, and any other gets
          `WaitTimeoutError`; the next start begins another Provisioning Operation.
        - `transport`: how to connect to the Platform, by default `Transport.AUTOMATIC`: at port 8883, and where that
          does not come through within some seconds, over WebSocket at port 443.
        - `remote_access_callback`: asked with a `TunnelRequest` before each tunnel to an allowed port, and opens it by
          `True`; by default each is opened. `False` or an exception refuses it.
        - `pacing`: a `Pace` of all Messages and uploads together, by default as fast as they can.
        - `lane_pacing`: a `dict` of the `Pace` for each `Priority` that has one of its own. A priority that has to wait
          holds up no other.
        - `slow_down_when_throttled`: whether the client goes more slowly by itself for a while when the Platform
          throttles, by default `True`; the log tells of it.
        - `upload_progress_callback`: called with an `UploadStatus` when an attempt to upload large content begins, after
          each block of 1 MiB, and when all of it is there. If it is slow, it sees only the latest.

        Callbacks run in a thread of their own, methods and `remote_access_callback` in others, and may use the client;
        an exception in one is logged.

        Raises `InvalidArgumentError` or `InvalidTypeError` for an argument, `DatabaseError` for the file,
        `RegistrationError` if the Platform or the technician does not want the device.
        """
    @property
    def workspace_id(self) -> str:
        """The ID of the Workspace that the device belongs to."""
    @property
    def device_id(self) -> str:
        """The Device ID. The technician who approved the device may have chosen another than was asked for."""
    @property
    def pending_messages_count(self) -> int:
        """The number of Messages that are stored and not yet acknowledged by the Platform."""
    @property
    def any_pending_reported_properties_updates(self) -> bool:
        """Whether the Platform has yet to confirm Reported Properties."""
    def create_stream_sender(
        self,
        stream_group: Optional[str] = None,
        stream: Optional[str] = None,
        compression: Optional[Compression] = None,
        *,
        priority: Optional[Priority] = None,
        time_to_live: Optional[float] = None,
        keep_latest: bool = False,
    ) -> _held.StreamSender:
        """Make a `StreamSender` for Messages to a Stream in a Stream Group. If either is omitted, the Platform
        takes its default. Without a `compression` payloads are sent as they are.

        Messages of a higher `priority` go first, in the order in which they were stored; without one it is
        `Priority.NORMAL`. What is older than `time_to_live`, in seconds, when its turn comes is not sent, and
        counted in the status; without one nothing is too old.

        With `keep_latest=True` a Message takes the place of those of its Stream that are not sent yet, or of
        those with the same `latest_key`: only the newest is kept, and what it replaces is counted in the status.
        What is in flight, or whose upload has begun, is sent all the same.
        """
    def set_outbox_limits(
        self,
        *,
        outbox_messages_max: Optional[int] = None,
        outbox_bytes_max: Optional[int] = None,
        free_disk_bytes_min: Optional[int] = None,
        when_full: Optional[WhenFull] = None,
    ) -> None:
        """Set the limits of the outbox in the place of those that hold, for example as Desired Properties say. The
        arguments are those of `start`; a limit that is not given does not hold any more.

        They hold from the next call that stores on. The next start has its own.
        """
    def set_pacing(
        self,
        *,
        pacing: Optional[Pace] = None,
        lane_pacing: Optional[Dict[Priority, Pace]] = None,
        slow_down_when_throttled: bool = True,
    ) -> None:
        """Set how fast Messages and uploads may go in the place of what holds, for example as Desired Properties say. The
        arguments are those of `start`; a limit that is not given does not hold any more.

        It holds at once, for an upload that is waiting within a second. The next start has its own.
        """
    def wait_enqueued_messages_sent(self, timeout: Optional[float] = None) -> None:
        """Wait until all Messages that were enqueued before this call are sent. What is enqueued later does not
        prolong the wait.

        With a `timeout` in seconds it raises `WaitTimeoutError` when that has passed. Then, and after Ctrl+C,
        everything stays stored and goes on being sent. Raises `SetAsideError`, `DroppedError`,
        `ExpiredError` or `ReplacedError` if something that it waits for was set aside, dropped, too old or
        replaced.
        """
    def get_desired_properties(self) -> DesiredProperties:
        """Get the current Desired Properties. Blocks only if none were ever received. Offline, they are those
        received last.
        """
    def get_desired_properties_if_newer(self, version: Optional[int] = None) -> Optional[DesiredProperties]:
        """Get the current Desired Properties if their version is higher than `version`, or if that is `None`;
        otherwise `None`. Does not block.
        """
    def update_reported_properties(self, properties: Dict[str, Any]) -> None:
        """State the whole Reported Properties, a `dict` that JSON can express. They are stored, then brought to
        the Platform as the difference from what it has: what is no longer in them is removed there.

        Blocks for a commit to the disk. Raises `InvalidArgumentError` or `InvalidTypeError` that names the
        path and the rule.
        """
    def receive_cloud_message(self, timeout: Optional[float] = None) -> Optional[CloudMessage]:
        """Take the next cloud-to-device message; `None` if none came within `timeout` seconds. Without a
        `timeout` it waits until one comes.

        It is handed out once in this run, and again in the next unless it was completed. Raises
        `InvalidArgumentError` if the client was started without `cloud_messages=True`.
        """
    def status(self) -> Status:
        """How the client is doing. Does not block."""
    def set_aside_messages(self) -> List[SetAsideMessage]:
        """List the Messages that will not be sent as things stand, oldest first: those stored under another
        Workspace or Device ID, and those that the Platform refused again and again. They are kept until they
        are retried or dropped.
        """
    def retry_set_aside_messages(self, message_ids: Sequence[int]) -> int:
        """Put Messages set aside back, behind all others, and return how many. Only those of the device's
        present identity can be sent again; others stay where they are.
        """
    def drop_set_aside_messages(self, message_ids: Sequence[int]) -> int:
        """Delete Messages set aside, and return how many there were."""
    def close(self) -> None:
        """End the client and all its senders: wake all who wait, give Messages in flight a second to be
        acknowledged, and say goodbye to the Platform. What is stored stays stored, for the next start.

        Blocks for up to 5 s, usually for milliseconds, and up to a second more for a callback that is
        running. A second call does nothing. Afterwards everything but the ids raises `ClosedError`.
        """
    def __enter__(self) -> Self:
        """Return the client. Raises `ClosedError` if it is closed."""
    def __exit__(
        self,
        __exception_type: Optional[Type[BaseException]] = None,
        __exception: Optional[BaseException] = None,
        __traceback: Optional[TracebackType] = None,
    ) -> None:
        """Close the client, as `close` does, whether or not the block raised an exception."""

@disjoint_base
class StreamSender:
    """Sends Messages to one Stream. Made by `DeviceClient.create_stream_sender`.

    Any number of threads can share it. The order of Messages is the order in which they were stored, over
    all senders of a client with the same priority.
    """
    def enqueue_message(
        self,
        payload: _Payload,
        batch_id: Optional[str] = None,
        message_id: Optional[str] = None,
        batch_slice_id: Optional[str] = None,
        chunk_id: Optional[str] = None,
        *,
        latest_key: Optional[str] = None,
    ) -> None:
        """Store a Message to be sent, and return when it is stored: it then survives the end of the program and,
        unless the client was started with `Durability.KILL_SAFE`, the loss of power.

        `payload` is text (sent as UTF-8), `bytes`, or any contiguous buffer of at most 64 MiB. Over 250,000
        bytes after compression it is uploaded as a file, in its turn.

        `batch_id`, `message_id`, `batch_slice_id` and `chunk_id` say where the Message belongs; what is not
        said, the Platform decides. `latest_key` is for a sender with `keep_latest`: the Message takes the place
        of unsent ones with the same key alone.

        Blocks for one commit to the disk, and for the compression. Raises `InvalidArgumentError` or
        `InvalidTypeError` that names the argument and the rule; `DatabaseError` if the disk fails or is full;
        `OutboxFullError` if a limit of the outbox is reached.
        """
    def enqueue_messages(self, messages: Iterable[Union[Message, _Payload]]) -> None:
        """Store many Messages in one commit: all of them, in this order, or none. Much faster than as many
        calls of `enqueue_message`.

        `messages` is an iterable of payloads and of `Message` objects.
        """
    def enqueue_file(
        self,
        path: _Path,
        batch_id: Optional[str] = None,
        message_id: Optional[str] = None,
        batch_slice_id: Optional[str] = None,
        chunk_id: Optional[str] = None,
        *,
        latest_key: Optional[str] = None,
    ) -> None:
        """Store the content of a file as a Message to be sent, and return when it is stored. From then on the file can
        change or go.

        `path` is a `str` or what has `__fspath__`, of a regular file of at most 1 GiB, of which only parts are in
        memory at any time. The other arguments are those of `enqueue_message`.

        Blocks while the file is read, compressed if the sender says so, and copied into the database file; other
        threads store meanwhile. The copy needs as much space there as the content, until that is uploaded. If it
        fails, or the program ends before, nothing is stored.

        Raises `UnreadableFileError` if the file is not there, cannot be read, or changes meanwhile;
        `InvalidArgumentError` for what is no regular file, or the client's own database; otherwise what
        `enqueue_message` raises.
        """
    def send_message(
        self,
        payload: _Payload,
        batch_id: Optional[str] = None,
        message_id: Optional[str] = None,
        batch_slice_id: Optional[str] = None,
        chunk_id: Optional[str] = None,
        *,
        timeout: Optional[float] = None,
        latest_key: Optional[str] = None,
    ) -> None:
        """Store a Message, and return when it and all before it of its priority are sent, that is,
        acknowledged by the Platform.

        Without a network it waits; with a `timeout` in seconds it raises `WaitTimeoutError` when that has
        passed. Then, and after Ctrl+C, the Message stays stored and will be sent: do not send it again. The
        other arguments are those of `enqueue_message`.
        """
    def enqueue_batch_completion(self, batch_id: str) -> None:
        """Say that nothing more follows of the Batch. Stored and sent in order, like a Message."""
    def enqueue_message_completion(self, batch_id: str, message_id: str) -> None:
        """Say that no more chunks follow of the Message. Stored and sent in order, like a Message."""

@final
class Message:
    """A Message with its ids, for `StreamSender.enqueue_messages`.

    The arguments are those of `StreamSender.enqueue_message`.
    """
    def __new__(
        cls,
        payload: _Payload,
        batch_id: Optional[str] = None,
        message_id: Optional[str] = None,
        batch_slice_id: Optional[str] = None,
        chunk_id: Optional[str] = None,
        latest_key: Optional[str] = None,
    ) -> Message: ...

@final
class ProvisioningOperation:
    """What a technician needs to approve the device."""
    @property
    def id(self) -> str:
        """The operation's id."""
    @property
    def verification_code(self) -> str:
        """The code to compare with the one in the portal."""
    @property
    def expiration_time(self) -> str:
        """Until when it can be approved (RFC 3339, UTC written as `+00:00`). Then a new one is started."""

@final
class DesiredProperties:
    """The configuration that the Platform wants of the device, in one version."""
    @property
    def version(self) -> int:
        """The version: it grows with every change."""
    @property
    def values(self) -> Dict[str, Any]:
        """The properties, in a `dict` of this object's own."""

@final
class ConnectionChange:
    """The connection to the Platform came or went."""
    @property
    def is_connected(self) -> bool:
        """Whether the client is connected now."""
    @property
    def error(self) -> Optional[SpotflowError]:
        """Why the connection ended or could not be made: a `SpotflowError`, or `None`."""

@final
class CloudMessage:
    """A message that the cloud sent to this device. Made by `DeviceClient.receive_cloud_message`.

    It stays stored, and is handed out again after a restart, until `complete` says that it was processed.
    """
    @property
    def payload(self) -> bytes:
        """The content."""
    @property
    def properties(self) -> Dict[str, str]:
        """The properties by name; IoT Hub's own start with `$.`."""
    def complete(self) -> None:
        """Say that the message is processed: it is deleted, and not handed out again. A second call does
        nothing. Blocks for a commit that is not synced: after the loss of power it may come once more.
        """

@final
class Status:
    """How the client is doing, at one moment. Made by `DeviceClient.status`."""
    @property
    def is_connected(self) -> bool:
        """Whether the Platform has accepted the current connection."""
    @property
    def connection_age(self) -> timedelta:
        """How long `is_connected` has been as it is, a `timedelta`."""
    @property
    def transport(self) -> Optional[Transport]:
        """What the connection uses, or the last one used: `Transport.MQTT` or `Transport.WEB_SOCKET`; `None` before the
        first.
        """
    @property
    def reconnects(self) -> int:
        """How often the connection was made again after the first time."""
    @property
    def last_error(self) -> Optional[SpotflowError]:
        """The last failure of the connection, the registration, an upload or the disk since the start, or `None`."""
    @property
    def last_error_age(self) -> Optional[timedelta]:
        """How long ago that was, a `timedelta`, or `None`."""
    @property
    def held_back(self) -> Optional[str]:
        """Why no Messages are sent, although there may be a connection, or `None` when they are. The Platform has
        closed the connection on the same Message several times: it is tried alone, each time after a minute at most.
        """
    @property
    def held_back_age(self) -> Optional[timedelta]:
        """For how long that has been so, a `timedelta`, or `None`."""
    @property
    def pending_messages(self) -> int:
        """Messages stored and not yet acknowledged by the Platform."""
    @property
    def pending_bytes(self) -> int:
        """The bytes of their stored payloads."""
    @property
    def oldest_pending_age(self) -> Optional[timedelta]:
        """How long ago the oldest of them was stored, a `timedelta`, or `None`."""
    @property
    def dropped_messages(self) -> int:
        """Messages dropped since the start, as the outbox was full: see `WhenFull`."""
    @property
    def dropped_bytes(self) -> int:
        """The bytes of their stored payloads."""
    @property
    def expired_messages(self) -> int:
        """Messages that were not sent, since the start, as they were older than their `time_to_live`."""
    @property
    def replaced_messages(self) -> int:
        """Messages that were not sent, since the start, as a newer one took their place: see `keep_latest`."""
    @property
    def set_aside_messages(self) -> int:
        """Messages that will not be sent as things stand: see `DeviceClient.set_aside_messages`."""
    @property
    def tunnels(self) -> List[TunnelStatus]:
        """The remote access that is open, or being opened."""
    @property
    def upload(self) -> Optional[UploadStatus]:
        """The large content that is being uploaded, or was last and waits for its next attempt, or `None`."""
    @property
    def pacing(self) -> PacingStatus:
        """How fast Messages and uploads may go."""
    @property
    def recovery(self) -> Optional[Recovery]:
        """What was saved of a damaged database file, the last time that it was damaged since, or at, the
        start, or `None`.
        """

@final
class MethodRequest:
    """The cloud calls a method of this device: see `DeviceClient.start`."""
    @property
    def name(self) -> str:
        """The name of the method."""
    @property
    def payload(self) -> Any:
        """What the caller sent along, made of `dict`, `list`, `str`, `int`, `float`, `bool` and `None`; `None` for
        nothing.
        """
    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits for the answer any more: the connection that brought the call has ended, or the client
        is being closed.
        """

@final
class MethodResponse:
    """What a method answers: a status of the application's own, as of HTTP, and a payload of `dict`, `list`, `str`,
    `int`, `float`, `bool` and `None`, up to 128 KB as JSON.
    """
    def __new__(cls, status: int, payload: object = None) -> MethodResponse: ...
    @property
    def status(self) -> int:
        """The status."""
    @property
    def payload(self) -> Any:
        """The payload."""

@final
class Calls:
    """The calls of one client, for its thread that starts those that run them."""
    def next(self) -> Optional[Call]:
        """Waits for the next call; `None` at the end."""
    @property
    def are_over(self) -> bool:
        """Whether there will be no more, because the client is closing."""
    def begin(self, call: Call) -> Union[MethodRequest, TunnelRequest]:
        """What the function gets. This thread is one of the package's own from here on."""

@final
class Call:
    """One call, for the thread that runs it."""
    def answer(self, returned: object) -> None:
        """Answers with what the function returned."""
    def fail(self) -> None:
        """The function has raised an exception, which is logged already."""

@final
class Pace:
    """How fast Messages and uploads may go, for `DeviceClient.start` and `DeviceClient.set_pacing`.

    - `messages_per_second`: at most so many Messages, above 0, by default without limit; 0.1 is one in ten seconds.
    - `bytes_per_second`: at most so many bytes of Messages, with their topics, and of uploads, by default without limit.
    - `burst`: after a pause one Message goes at once, and as much beyond it as the limits give in this time, 0.1 to 3600
      seconds, by default 0.1.
    """
    def __new__(
        cls,
        *,
        messages_per_second: Optional[float] = None,
        bytes_per_second: Optional[int] = None,
        burst: float = 0.1,
    ) -> Pace: ...
    def __eq__(self, __other: object) -> bool: ...
    def __ne__(self, __other: object) -> bool: ...

@final
class RemoteAccess:
    """Which ports of this device a technician can reach through the Platform, for `DeviceClient.start`.

    - `ports`: the ports of 127.0.0.1 that are allowed, or `None` for all of them.
    - `max_tunnels`: how many connections may be open at once, 1 to 256, by default 8; each has a thread.
    - `idle_limit`: seconds without a byte after which one is ended, by default never.
    - `bytes_per_second`: how much each may bring and take together, 1,024 at least, by default without limit.
    """
    def __new__(
        cls,
        ports: Optional[Iterable[int]],
        *,
        max_tunnels: int = 8,
        idle_limit: Optional[float] = None,
        bytes_per_second: Optional[int] = None,
    ) -> RemoteAccess: ...
    def __eq__(self, __other: object) -> bool: ...
    def __ne__(self, __other: object) -> bool: ...

@final
class TunnelRequest:
    """The Platform asks for a tunnel: see `remote_access_callback` of `DeviceClient.start`."""
    @property
    def tunnel_id(self) -> str:
        """The Platform's name for the tunnel."""
    @property
    def port(self) -> int:
        """The port of this device that it is to lead to; it is one of those allowed."""
    @property
    def traceparent(self) -> Optional[str]:
        """Who asked, as far as the Platform tells: its `traceparent` (W3C Trace Context), by which it can say more, or
        `None`.
        """

@final
class TunnelStatus:
    """A connection of a technician's: see `Status.tunnels`."""
    @property
    def tunnel_id(self) -> str:
        """The Platform's name for it."""
    @property
    def port(self) -> int:
        """The port of this device that it leads to."""
    @property
    def age(self) -> timedelta:
        """How long ago the Platform asked for it, a `timedelta`."""
    @property
    def received_bytes(self) -> int:
        """Bytes that came through it to the device."""
    @property
    def sent_bytes(self) -> int:
        """Bytes that the device sent through it."""

@final
class PacingStatus:
    """The limits of all Messages and uploads together, each a second: see `Status.pacing`. Those of a priority come on
    top.
    """
    @property
    def messages_per_second(self) -> Optional[float]:
        """Messages, as the program has set it; `None` without a limit."""
    @property
    def bytes_per_second(self) -> Optional[int]:
        """Bytes, as the program has set it; `None` without a limit."""
    @property
    def throttled_messages_per_second(self) -> Optional[float]:
        """Messages, while the client goes slowly by itself, as the Platform throttles; otherwise `None`."""

@final
class UploadStatus:
    """How far the upload of large content is: see `Status.upload`, and `upload_progress_callback` of the start."""
    @property
    def uploaded_bytes(self) -> int:
        """The bytes that the Platform's storage has, and that are not sent again: counted by blocks of 1 MiB. Content
        of one block, or that the storage takes only as a whole, is there when all of it is.
        """
    @property
    def total_bytes(self) -> int:
        """The bytes of the stored content."""

@final
class Recovery:
    """What was saved of a damaged database file: see `Status.recovery`."""
    @property
    def set_aside(self) -> Path:
        """Where the damaged file is kept, a `Path`. There are tokens in it."""
    @property
    def has_registration(self) -> bool:
        """Whether the device's registration was saved. If not, and there was one, it needs a new approval."""
    @property
    def messages(self) -> int:
        """Unsent Messages that were saved."""
    @property
    def lost_messages(self) -> Optional[int]:
        """Unsent Messages that were lost, or `None` if that is not known: then the log names the range of what
        could not be read, some of which had been sent.
        """
    @property
    def set_aside_messages(self) -> int:
        """Messages set aside that were saved."""
    @property
    def cloud_messages(self) -> int:
        """Unprocessed cloud-to-device messages that were saved."""
    @property
    def is_complete(self) -> bool:
        """Whether everything could be read."""

@final
class SetAsideMessage:
    """A Message that will not be sent as things stand: see `DeviceClient.set_aside_messages`."""
    @property
    def id(self) -> int:
        """Identifies it, to retry or drop it."""
    @property
    def reason(self) -> str:
        """Why it was set aside."""
    @property
    def workspace_id(self) -> str:
        """The Workspace that it was stored under."""
    @property
    def device_id(self) -> str:
        """The Device ID that it was stored under."""
    @property
    def properties(self) -> Dict[str, str]:
        """Its properties as they would be sent, such as `stream-name` and `batch-id`."""
    @property
    def payload_bytes(self) -> int:
        """The bytes of its stored payload."""

# For the package itself.

_Event: TypeAlias = Tuple[str, Union[ProvisioningOperation, DesiredProperties, ConnectionChange, UploadStatus]]
_LogRecord: TypeAlias = Tuple[str, int, str, str, float]

@final
class Events:
    """The news of one client, for its callback thread."""
    def next(self) -> Optional[_Event]:
        """Waits for the next event: the name of the callback that it is for and its argument, or `None` at
        the end.
        """
    @property
    def are_over(self) -> bool:
        """Whether there will be no more, because the client is closing."""
    def enter(self) -> None:
        """Says that a callback is called in the thread that asks: whoever closes the client in it must not
        wait for it.
        """
    def end(self) -> None:
        """Says that the thread ends."""

def build_info() -> Dict[str, str]:
    """Facts about this build, by name: version, codecs, TLS, SQLite, platform."""

def run_tool(arguments: List[str]) -> int:
    """Runs the tool with these arguments, of which the first is the program's name; returns its exit code."""

def next_log_records() -> Optional[List[_LogRecord]]:
    """Waits for what was logged, and takes all of it; `None` at the end."""

def logging_is_over() -> None:
    """Says that the thread that handles them ends."""

def start_thread(
    start: Callable[..., object], function: Callable[..., object], arguments: Tuple[object, ...]
) -> None:
    """Starts a thread that calls a function, and that no signal reaches. `start` is what starts threads."""

def is_exiting() -> bool:
    """Whether the interpreter is going down."""

def is_main_thread() -> bool:
    """Whether this is that thread. In a forked child it is the one that forked.

    The system is asked, as gevent and eventlet change what Python says.
    """

def restore(kind: str, fields: Dict[str, object]) -> object:
    """Makes a value again from what its `__reduce__` gave."""

def at_exit() -> None:
    """At exit: closes all clients and ends the package's threads. It is one function of Rust, so that Ctrl+C cannot
    end it half-way: Python raises the exception when it has returned.
    """

def before_fork() -> None:
    """Before `os.fork()`: keeps all threads out of SQLite, whose locks the child would inherit."""

def after_fork_in_parent() -> None:
    """After it, in the parent."""

def after_fork_in_child() -> None:
    """After it, in the child: leaves the parent's clients to the parent."""
