"""Choices, as enumerations."""

import enum


class _Choice(enum.Enum):
    """A member equals its number, as in the published package."""

    def __int__(self) -> int:
        return int(self.value)

    def __eq__(self, other: object) -> bool:
        return self is other or (type(other) in (int, bool) and self.value == other)

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    __str__ = __repr__


class Compression(_Choice):
    """How the payloads of a sender's Messages are compressed.

    - `UNCOMPRESSED`: stored and sent as they are.
    - `FASTEST`: little processor time and memory.
    - `SMALLEST_SIZE`: the smallest result, at many times the processor time and memory: with Brotli, 200 kB
      take some 15 MB of memory, and 8 MB take 75 MB and many seconds.

    A payload that would not get smaller is sent as it is.
    """

    UNCOMPRESSED = 0
    FASTEST = 1
    SMALLEST_SIZE = 2


class Codec(_Choice):
    """What compresses: `BROTLI` (the default, and the only one that the public instance is known to read),
    `GZIP` or `ZSTD` (for an instance that says it accepts them).
    """

    BROTLI = 0
    GZIP = 1
    ZSTD = 2


class Durability(_Choice):
    """What a stored Message survives.

    - `POWER_SAFE` (the default): the loss of power. Each commit is synced to the disk.
    - `KILL_SAFE`: the end of the process at any instant. Storing is many times faster and spares the flash;
      the loss of power can cost the newest Messages: the last 500, if they are small, at most.
    """

    KILL_SAFE = 0
    POWER_SAFE = 1


class WhenFull(_Choice):
    """What happens when a Message would exceed a limit of the outbox.

    - `REJECT` (the default): the call that would store it raises `OutboxFullError`, and nothing is stored.
    - `DROP_OLDEST`: as many of the oldest Messages as it takes are dropped, of the lowest priority first and
      never of a higher one than what comes in, but for those in flight. They are counted in the status and logged as ranges; whoever waits for one gets `DroppedError`.
    """

    REJECT = 0
    DROP_OLDEST = 1


class Priority(_Choice):
    """Which Messages go first: `URGENT`, `HIGH`, `NORMAL` (the default), `LOW`, `BULK`.

    Those of one priority are sent in the order in which they were stored, over all senders and restarts. One of a
    higher priority overtakes all others that are stored, and waits only for what is in flight.
    """

    URGENT = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3
    BULK = 4


class Transport(_Choice):
    """How to connect to the Platform.

    - `AUTOMATIC` (the default): MQTT at first, and WebSocket where that does not come through. What worked is kept in
      the database file, and tried first from then on.
    - `MQTT`: MQTT over TLS, port 8883.
    - `WEB_SOCKET`: MQTT over WebSocket over TLS, port 443, which is that of HTTPS.
    """

    AUTOMATIC = 0
    MQTT = 1
    WEB_SOCKET = 2


for _kind in (Compression, Codec, Durability, WhenFull, Transport, Priority):
    _kind.__module__ = "spotflow_device"
