"""The Spotflow IoT Platform on this machine, for tests of device programs.

An :class:`Emulator` is a running ``spotflow-emulator``: a Platform of its own on loopback ports, which forgets
everything when it is closed. Tell a device its ``instance`` and its ``provisioning_token``, let it trust the
certificate in ``ca_file`` (the environment variable ``SSL_CERT_FILE`` is enough), and look at what arrives::

    with Emulator("--approve", "auto") as emulator:
        os.environ["SSL_CERT_FILE"] = emulator.ca_file
        ...  # start the device with emulator.instance and emulator.provisioning_token
        messages = emulator.wait_messages(60)
        assert messages[0].properties["stream-name"] == "readings"

With pytest all of this is the fixture ``spotflow_emulator``; see :mod:`spotflow_emulator.pytest_plugin`.
"""

from .emulator import Emulator
from .errors import CommandFailed, EmulatorEnded, EmulatorError, ProgramNotFound
from .records import (
    AckMode,
    Blockage,
    Connection,
    CutPoint,
    Device,
    DropReason,
    DroppedAnswer,
    Forwarding,
    Message,
    MethodAnswer,
    MethodCall,
    MethodOutcome,
    Operation,
    OperationState,
    Properties,
    RelayFault,
    Request,
    Route,
    StorageWrite,
    Traffic,
    Transport,
    Tunnel,
    Upload,
    Way,
    WriteKind,
)

__all__ = [
    "AckMode",
    "Blockage",
    "CommandFailed",
    "Connection",
    "CutPoint",
    "Device",
    "DropReason",
    "DroppedAnswer",
    "Emulator",
    "EmulatorEnded",
    "EmulatorError",
    "Forwarding",
    "Message",
    "MethodAnswer",
    "MethodCall",
    "MethodOutcome",
    "Operation",
    "OperationState",
    "ProgramNotFound",
    "Properties",
    "RelayFault",
    "Request",
    "Route",
    "StorageWrite",
    "Traffic",
    "Transport",
    "Tunnel",
    "Upload",
    "Way",
    "WriteKind",
]
