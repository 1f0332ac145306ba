"""What the Platform tells: objects that hold what was so when it was asked."""

import base64
import json
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, Dict, List, Mapping, Optional, Type, TypeVar


class Route(str, Enum):
    """An HTTP call of a device."""

    INIT = "init"
    """``POST /provisioning-operations/init``"""
    COMPLETE = "complete"
    """``PUT /provisioning-operations/complete``"""
    REGISTER = "register"
    """``PUT /devices/register``"""
    REFRESH = "refresh"
    """``PUT /devices/registration-tokens/refresh``"""
    FILE_UPLOAD = "file_upload"
    """``POST /devices/{id}/files``: asks for a place to upload to."""
    BLOB_PUT = "blob_put"
    """``PUT /{container}/{blob}``: the upload, as a whole."""
    BLOCK_PUT = "block_put"
    """``PUT /{container}/{blob}?...&comp=block``: a block of it."""
    BLOCK_LIST_PUT = "block_list_put"
    """``PUT /{container}/{blob}?...&comp=blocklist``: the list that makes blocks a blob."""
    FILE_NOTIFICATION = "file_notification"
    """``POST /devices/{id}/files/notifications``: tells how the upload went."""
    HUB_WEB_SOCKET = "hub_web_socket"
    """``GET /$iothub/websocket``: MQTT over WebSocket."""
    TUNNEL = "tunnel"
    """``GET /remote-access/tunnels/{id}``: a device's connection to the relay."""
    ANY = "any"
    """For faults and questions: all of them, and what is none of them."""


class AckMode(str, Enum):
    """When the hub acknowledges Messages."""

    IMMEDIATELY = "immediately"
    """At once."""
    AFTER = "after"
    """So many seconds after each arrived."""
    WITHHOLD = "withhold"
    """Not before :meth:`~spotflow_emulator.Emulator.release_acknowledgements`."""


class CutPoint(str, Enum):
    """Where a connection is cut."""

    BEFORE_ACK = "before_ack"
    """The Message is recorded, its acknowledgement never sent."""
    AFTER_ACK = "after_ack"
    """The acknowledgement is sent, and nothing after it."""


class Transport(str, Enum):
    """What MQTT goes over."""

    MQTT = "mqtt"
    """TLS, usually on port 8883."""
    WEB_SOCKET = "web_socket"
    """A WebSocket over TLS, usually on port 443."""


class Way(str, Enum):
    """A way to the Platform that can be blocked."""

    MQTT = "mqtt"
    """MQTT to the hub. With ``"--standard-ports"`` that is the port 8883; else it shares a port with HTTP, and is
    blocked as soon as a connection turns out to be MQTT."""
    WEB_SOCKET = "web_socket"
    """MQTT over WebSocket to the hub, which shares a port with HTTP: blocked as soon as it is asked for."""
    HTTPS = "https"
    """The ports for HTTP, which serve the API, uploads, WebSockets, and MQTT where it has no port of its own."""


class Blockage(str, Enum):
    """How a way is blocked."""

    REFUSED = "refused"
    """Nothing listens. Where the port is shared the connection is closed, a WebSocket is answered with 403."""
    SILENT = "silent"
    """Connections are taken, and nothing is ever said, not even for TLS. They go on when the blockage ends."""
    CUT = "cut"
    """Connections are closed once the device has said something: amid the TLS handshake, or after it where the port is
    shared."""
    FOREIGN = "foreign"
    """Something else answers: HTTP without TLS; with TLS where the port is shared, and HTML to WebSockets."""


class OperationState(str, Enum):
    """Where a Provisioning Operation stands."""

    PENDING = "pending"
    """Waits for a decision."""
    APPROVED = "approved"
    """The device was let in."""
    REFUSED = "refused"
    """The operator refused it."""
    EXPIRED = "expired"
    """Nobody decided in time."""


R = TypeVar("R", bound="Record")


class Record:
    """Base of all records. They cannot be changed, and are equal if all that they hold is."""

    @classmethod
    def from_json(cls: Type[R], told: Mapping[str, Any]) -> R:
        """Makes the record of what the program wrote; what this class does not know is left out."""
        return cls(**{field.name: told[field.name] for field in fields(cls)})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Operation(Record):
    """A device's request to be let in: a Provisioning Operation."""

    id: str
    """The operation's id."""
    verification_code: str
    """What the technician compares with the device's display."""
    requested_device_id: Optional[str]
    """The Device ID that the device asked for."""
    expiration_time: str
    """When the operation expires (RFC 3339), as the device was told."""
    state: OperationState
    """Where the operation stands."""
    device_id: Optional[str]
    """The Device ID under which it was approved."""

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Operation":
        """Makes the record of what the program wrote."""
        return super().from_json({**told, "state": OperationState(told["state"])})


@dataclass(frozen=True)
class Device(Record):
    """A device that the Platform knows."""

    workspace_id: str
    """The Workspace it belongs to."""
    device_id: str
    """Its name inside the Workspace."""
    connected: bool
    """Whether it is connected to the hub."""


@dataclass(frozen=True)
class Properties(Record):
    """One side of a device twin."""

    properties: Dict[str, Any]
    """The whole document."""
    version: int
    """Its version."""


@dataclass(frozen=True)
class Message(Record):
    """A device-to-cloud Message as the Platform understood it."""

    sequence: int
    """Counts the Messages that the Platform received, from 1, over all devices."""
    workspace_id: str
    """The Workspace of the device that sent it."""
    device_id: str
    """The device that sent it."""
    connection: int
    """The number of the connection that it came over; see :class:`Connection`."""
    topic: str
    """The topic as it was on the wire."""
    properties: Dict[str, str]
    """The topic's properties, decoded: ``stream-group-name``, ``stream-name``, ``batch-id``, ``message-id``, ..."""
    payload: bytes
    """The content: uploaded content joined in, and decompressed. As far as it came, if there is a `payload_error`."""
    payload_error: Optional[str]
    """Why `payload` is not the content: a missing upload, an unknown or broken encoding."""
    raw_length: int
    """The size of the MQTT packet's payload in bytes."""
    external: bool
    """Whether the content was uploaded, and the packet only links to it."""
    packet_id: Optional[int]
    """The packet identifier, if sent with QoS 1."""
    dup: bool
    """Whether the packet had its DUP flag set."""
    repeat: bool
    """Whether topic and payload are the same as in the Message before it from the same device. The Platform drops
    such a repeat."""
    acknowledged: bool
    """Whether the hub acknowledged it."""

    @property
    def text(self) -> str:
        """The content as text, unreadable parts replaced."""
        return self.payload.decode("utf-8", errors="replace")

    def json(self) -> Any:
        """The content, which has to be JSON, as Python objects."""
        return json.loads(self.payload.decode("utf-8"))

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Message":
        """Makes the record of what the program wrote; of properties with the same name the first counts."""
        pairs: List[List[str]] = told["properties"]
        properties: Dict[str, str] = {}
        for key, value in pairs:
            properties.setdefault(key, value)
        payload = base64.b64decode(told["payload"])
        return super().from_json({**told, "properties": properties, "payload": payload})


@dataclass(frozen=True)
class MethodAnswer(Record):
    """What a device answered to a direct method."""

    status: int
    """The status, by convention one of HTTP's."""
    payload: str
    """The answer's body."""

    def json(self) -> Any:
        """The body, which has to be JSON or nothing, as Python objects; None for nothing."""
        return json.loads(self.payload or "null")


class RelayFault(str, Enum):
    """What the relay does wrong with tunnels. What it answers before, a status or nothing, is told as for other HTTP
    requests, with :attr:`Route.TUNNEL`. Some take a number."""

    GARBAGE = "garbage"
    """It sends bytes that are no frames."""
    TEXT_FRAMES = "text_frames"
    """It sends the content in text frames."""
    MASKED_FRAMES = "masked_frames"
    """It masks its frames, which only clients may."""
    FRAGMENTS = "fragments"
    """It sends messages of several frames, each with so many bytes at most. That is allowed."""
    LARGE_FRAMES = "large_frames"
    """It sends frames of so many bytes, and gathers as long as there are fewer. That is allowed."""
    ENDLESS_FRAME = "endless_frame"
    """It announces one frame of so many bytes, and sends the content as the beginning of that."""
    CLOSE_WITH = "close_with"
    """It sends a close frame with that code as soon as the tunnel is open, and ends the connection."""
    CUT_AFTER = "cut_after"
    """It ends the connection after so many bytes of content in both directions, without a close frame."""
    STALL_AFTER = "stall_after"
    """It neither reads nor sends any more after so many bytes of content in both directions."""
    NO_PONGS = "no_pongs"
    """It does not answer pings."""


@dataclass(frozen=True)
class Tunnel(Record):
    """A connection of a technician to a port of a device."""

    id: str
    """The id that the device was given."""
    device: str
    """The device, as the forwarding names it."""
    port: int
    """The device's port."""
    uri: str
    """Where the device was told to connect to. It is a secret of the device's."""
    status: Optional[int]
    """The status of the device's answer to the call; nothing as long as there is none."""
    answer: Optional[str]
    """The body of that answer."""
    traceparent: str
    """The ``traceparent`` that the device was told."""
    traceparent_header: Optional[str]
    """The ``traceparent`` header with which it connected."""
    open: bool
    """Whether bytes can go both ways."""
    bytes_to_device: int
    """How many bytes went from the technician to the device."""
    bytes_from_device: int
    """How many bytes came from the device for the technician."""
    frames_from_device: int
    """How many frames with content came from the device."""
    frame_bytes_max: int
    """The largest of them."""
    pings_from_device: int
    """How many pings came from the device."""
    close_code: Optional[int]
    """The code of the device's close frame, 1005 if it has none; nothing as long as none came."""
    end: Optional[str]
    """Why it ended; nothing while it lives."""


@dataclass(frozen=True)
class Forwarding(Record):
    """A local port that leads to a port of a device."""

    local_port: int
    """The port on 127.0.0.1."""
    device: str
    """The device."""
    port: int
    """The device's port."""


class MethodOutcome(str, Enum):
    """What became of a direct method."""

    WAITING = "waiting"
    """The device has still time to answer."""
    ANSWERED = "answered"
    """The device answered in time."""
    BAD_ANSWER = "bad_answer"
    """The device answered with what is no JSON, or too much."""
    GIVEN_UP = "given_up"
    """The device did not answer in time."""


class DropReason(str, Enum):
    """Why the hub dropped the answer to a direct method."""

    UNKNOWN = "unknown"
    """The device was never given such a `$rid`."""
    LATE = "late"
    """The hub had given up."""
    OTHER_CONNECTION = "other_connection"
    """It came over another connection than the call went."""
    REPEATED = "repeated"
    """The call had its answer."""


@dataclass(frozen=True)
class MethodCall(Record):
    """A direct method that was called."""

    number: int
    """Counts the calls, from 1, over all devices."""
    device_id: str
    """The device."""
    method: str
    """The method's name."""
    payload: str
    """What went with it."""
    request_id: str
    """The ``$rid`` that the device was given."""
    connection: int
    """The number of the connection that it was sent over; see :class:`Connection`."""
    outcome: MethodOutcome
    """What became of it."""
    answer: Optional[MethodAnswer]
    """The answer, if there is one that the hub takes."""
    error: Optional[str]
    """What is wrong with the answer, if anything."""

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "MethodCall":
        """Makes the record of what the program wrote."""
        answer = told["answer"] and MethodAnswer.from_json(told["answer"])
        return super().from_json({**told, "outcome": MethodOutcome(told["outcome"]), "answer": answer})


@dataclass(frozen=True)
class DroppedAnswer(Record):
    """An answer to a direct method that the hub dropped."""

    device_id: str
    """The device."""
    request_id: str
    """The ``$rid`` that it named."""
    answer: MethodAnswer
    """What it answered."""
    connection: int
    """The number of the connection that it came over."""
    reason: DropReason
    """Why it was dropped."""

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "DroppedAnswer":
        """Makes the record of what the program wrote."""
        answer = MethodAnswer.from_json(told["answer"])
        return super().from_json({**told, "answer": answer, "reason": DropReason(told["reason"])})


@dataclass(frozen=True)
class Upload(Record):
    """A file upload."""

    hub_id: str
    """The device, ``{workspaceId}:{deviceId}``."""
    blob_name: str
    """The name that the device chose."""
    bytes: Optional[int]
    """How large the content is that was stored; nothing as long as none was. Blocks count once they are committed."""
    blocks: int
    """Of how many blocks it was made; none if it came as a whole."""
    success: Optional[bool]
    """What the device said about it; nothing as long as it did not."""


class WriteKind(str, Enum):
    """What was written to the storage."""

    BLOB = "blob"
    """A blob as a whole."""
    BLOCK = "block"
    """A block."""
    BLOCK_LIST = "block_list"
    """A list that makes blocks a blob."""


@dataclass(frozen=True)
class StorageWrite(Record):
    """A write to the storage whose SAS was right."""

    hub_id: str
    """The device, ``{workspaceId}:{deviceId}``."""
    blob_name: str
    """The name that the device chose."""
    kind: WriteKind
    """What was written."""
    block_id: Optional[str]
    """A block's id (Base64)."""
    content_length: int
    """How much content was to come."""
    received_bytes: int
    """How much came so far."""
    status: Optional[int]
    """What was answered; nothing yet, or never, if it broke off."""

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "StorageWrite":
        """Makes the record of what the program wrote."""
        return super().from_json({**told, "kind": WriteKind(told["kind"])})


@dataclass(frozen=True)
class Connection(Record):
    """One MQTT connection, past or present, refused ones too."""

    number: int
    """Counts the CONNECT packets that the hub received, from 1."""
    client_id: str
    """The client identifier, ``{workspaceId}:{deviceId}`` if it was right."""
    user_name: Optional[str]
    """The user name of the CONNECT packet."""
    keep_alive: int
    """The keep-alive in seconds."""
    clean_session: bool
    """The clean session flag."""
    session_present: bool
    """Whether the hub said that it still had the session."""
    code: int
    """The CONNACK's return code; 0 if it was accepted."""
    end: Optional[str]
    """Why it ended; nothing while it lives."""
    transport: Transport = Transport.MQTT
    """What it came over."""

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Connection":
        """Makes the record of what the program wrote."""
        return super().from_json({**told, "transport": Transport(told["transport"])})


@dataclass(frozen=True)
class Traffic(Record):
    """What went over one connection, HTTP or MQTT, without TLS."""

    from_device: bytes
    """What the device sent."""
    to_device: bytes
    """What the Platform sent."""

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Traffic":
        """Makes the record of what the program wrote."""
        return super().from_json({name: base64.b64decode(content) for name, content in told.items()})


@dataclass(frozen=True)
class Request(Record):
    """An HTTP request that arrived."""

    route: Route
    """Which call it is; :attr:`Route.ANY` if it is none of those that a device makes."""
    method: str
    """Its method."""
    path: str
    """Its path, without the query."""
    status: Optional[int]
    """What was answered; nothing yet if the answer is still to come, or will never."""

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Request":
        """Makes the record of what the program wrote."""
        return super().from_json({**told, "route": Route(told["route"])})
