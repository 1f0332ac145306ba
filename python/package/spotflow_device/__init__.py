"""Device SDK for the Spotflow IoT Platform.

A :class:`DeviceClient` registers the device, stores its Messages in a database file and sends them in order;
it receives the device's configuration (Desired Properties) and reports its state (Reported Properties).

>>> from spotflow_device import Compression, DeviceClient
>>> client = DeviceClient.start(
...     device_id="gateway-7", provisioning_token="CAEaBA...", db="spotflow.db"
... )  # doctest: +SKIP
>>> sender = client.create_stream_sender(stream="readings", compression=Compression.FASTEST)  # doctest: +SKIP
>>> sender.enqueue_message('{"temperatureCelsius": 21.5}')  # doctest: +SKIP
>>> client.wait_enqueued_messages_sent()  # doctest: +SKIP

When ``enqueue_message`` returns, the Message is on the disk; it is sent in the background, however often power
or network fail. Everything can be used from any number of threads, and from callbacks.

What the background threads log arrives in the loggers named after the package, ``spotflow_device`` and below.
Every error is a :class:`SpotflowError`.
"""

from . import _interpreter  # isort: skip. It refuses before anything else is loaded.
from . import _background
from ._choices import Codec, Compression, Durability, Priority, Transport, WhenFull
from ._errors import (
    ClosedError,
    DatabaseError,
    DatabaseInUseError,
    DroppedError,
    ExpiredError,
    InvalidArgumentError,
    InvalidTypeError,
    LostError,
    OutboxFullError,
    OutcomeUnknownError,
    RegistrationError,
    ReplacedError,
    SetAsideError,
    SpotflowError,
    StorageFullError,
    UnreadableFileError,
    WaitTimeoutError,
)
from ._held import DeviceClient, StreamSender
from ._native import (
    CloudMessage,
    ConnectionChange,
    DesiredProperties,
    Message,
    MethodRequest,
    MethodResponse,
    Pace,
    PacingStatus,
    ProvisioningOperation,
    Recovery,
    RemoteAccess,
    SetAsideMessage,
    Status,
    TunnelRequest,
    TunnelStatus,
    UploadStatus,
    __version__,
)

__all__ = [
    "ClosedError",
    "CloudMessage",
    "Codec",
    "Compression",
    "ConnectionChange",
    "DatabaseError",
    "DatabaseInUseError",
    "DesiredProperties",
    "DeviceClient",
    "DroppedError",
    "Durability",
    "ExpiredError",
    "InvalidArgumentError",
    "InvalidTypeError",
    "LostError",
    "Message",
    "MethodRequest",
    "MethodResponse",
    "OutboxFullError",
    "OutcomeUnknownError",
    "Pace",
    "PacingStatus",
    "Priority",
    "ProvisioningOperation",
    "Recovery",
    "RegistrationError",
    "ReplacedError",
    "RemoteAccess",
    "SetAsideError",
    "SetAsideMessage",
    "SpotflowError",
    "Status",
    "StorageFullError",
    "StreamSender",
    "Transport",
    "TunnelRequest",
    "TunnelStatus",
    "UnreadableFileError",
    "UploadStatus",
    "WaitTimeoutError",
    "WhenFull",
    "__version__",
]

_background.install()
