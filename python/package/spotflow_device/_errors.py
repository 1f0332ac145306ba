"""The exceptions: all are :class:`SpotflowError`, and what Python has a type for, besides."""


class SpotflowError(Exception):
    """Any function, method or property raises this when it cannot do what it was asked for.

    ``retryable`` tells whether the same call can succeed later without the program changing anything.

    What goes wrong in the background is logged, through the package :mod:`logging`.
    """

    retryable = False


class InvalidArgumentError(SpotflowError, ValueError):
    """An argument breaks a rule; the message names both. Nothing was stored or sent."""


class InvalidTypeError(SpotflowError, TypeError):
    """An argument has a type that it cannot have. Nothing was stored or sent."""


class WaitTimeoutError(SpotflowError, TimeoutError):
    """A time limit passed. What is stored stays stored, and goes on being sent."""

    retryable = True


class ClosedError(SpotflowError):
    """The client is closed. What is stored stays stored, for the next start."""


class SetAsideError(SpotflowError):
    """What was waited for was set aside, not sent: see ``DeviceClient.set_aside_messages``."""


class DroppedError(SpotflowError):
    """What was waited for was dropped to make room for newer Messages, not sent: see ``WhenFull``."""


class ExpiredError(SpotflowError):
    """What was waited for was not sent: it was older than its time to live when its turn came."""


class ReplacedError(SpotflowError):
    """What was waited for was not sent: a newer Message took its place, as the sender's ``keep_latest`` says."""


class OutboxFullError(SpotflowError):
    """A limit of the outbox is reached; the message says which. Nothing of the call was stored."""

    retryable = True


class LostError(SpotflowError):
    """What was waited for was lost with a damaged database file: see ``Status.recovery``."""


class RegistrationError(SpotflowError):
    """The Platform, or the technician, does not want this device: a token that is not valid, a
    Provisioning Operation that was refused, a request that it will never accept."""


class DatabaseError(SpotflowError, OSError):
    """The database file cannot be opened, read or written. Nothing of the call was stored."""


class DatabaseInUseError(DatabaseError):
    """Another client, in this or another process, uses the database file."""

    retryable = True


class StorageFullError(DatabaseError):
    """There is no space left for the database file. Nothing of the call was stored."""

    retryable = True


class OutcomeUnknownError(DatabaseError):
    """The disk failed at the moment of the commit: what the call was to store may or may not be there
    after a restart, and may or may not be sent."""


class UnreadableFileError(SpotflowError, OSError):
    """A file whose content was to be stored is not there, cannot be read, or changed while it was copied. Nothing of
    the call was stored."""

    retryable = True


__all__ = [
    "ClosedError",
    "DatabaseError",
    "DatabaseInUseError",
    "DroppedError",
    "ExpiredError",
    "InvalidArgumentError",
    "InvalidTypeError",
    "LostError",
    "OutboxFullError",
    "OutcomeUnknownError",
    "RegistrationError",
    "ReplacedError",
    "SetAsideError",
    "SpotflowError",
    "StorageFullError",
    "UnreadableFileError",
    "WaitTimeoutError",
]

for _name in __all__:
    globals()[_name].__module__ = "spotflow_device"
