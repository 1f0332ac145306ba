"""What the Platform can be asked and told: its commands, one method each."""

import base64
from typing import Any, Dict, List, Mapping, Optional, Union

from ._channel import Channel
from .records import (
    Connection,
    Device,
    DroppedAnswer,
    Forwarding,
    Message,
    MethodAnswer,
    MethodCall,
    Operation,
    Properties,
    Request,
    Route,
    StorageWrite,
    Traffic,
    Tunnel,
    Upload,
)

#: How long a wait lasts at most if nothing else is said, in seconds.
WAIT_TIMEOUT = 30.0


class Commands(Channel):
    """A device is named by its Device ID, or by ``{workspaceId}:{deviceId}`` where several Workspaces have one of
    that name. Whatever is waited for ends the wait at once; :class:`CommandFailed` says that it did not happen within
    `timeout` seconds."""

    # Provisioning

    def operations(self) -> List[Operation]:
        """All Provisioning Operations there ever were, the oldest first."""
        return [Operation.from_json(told) for told in self.command("operations")]

    def wait_operation(self, timeout: float = WAIT_TIMEOUT) -> Operation:
        """Waits for a Provisioning Operation that waits for a decision."""
        return Operation.from_json(self.command("wait_operation", timeout=timeout))

    def approve(self, operation: str, device: Optional[str] = None) -> str:
        """Approves an operation, named by its id or its verification code, under the Device ID given here, else the
        one that the device asked for, else the Provisioning Token's, else one made up. Returns it."""
        return str(self.command("approve", operation=operation, device=device))

    def refuse(self, operation: str) -> None:
        """Refuses an operation, named by its id or its verification code."""
        self.command("refuse", operation=operation)

    def expire_operation(self, operation: str) -> None:
        """Has an operation expire now."""
        self.command("expire_operation", operation=operation)

    def add_provisioning_token(self, device: Optional[str] = None, workspace: Optional[str] = None) -> str:
        """Makes another Provisioning Token, with a Device ID in it or not, of the same Workspace or another."""
        return str(self.command("add_provisioning_token", device=device, workspace=workspace))

    def revoke_provisioning_token(self, token: str) -> None:
        """From now on the Provisioning Token is answered with 401. Registered devices stay registered."""
        self.command("revoke_provisioning_token", token=token)

    # Devices and their connections

    def devices(self) -> List[Device]:
        """The devices that the Platform knows."""
        return [Device.from_json(told) for told in self.command("devices")]

    def delete_device(self, device: str) -> None:
        """Deletes a device: its Registration Tokens and its password are refused, its connection is closed, its twin
        and what waits for it are gone."""
        self.command("delete_device", device=device)

    def revoke_registration_tokens(self, device: str) -> None:
        """From now on the device's Registration Tokens are answered with 401."""
        self.command("revoke_registration_tokens", device=device)

    def expire_sas(self, device: str) -> None:
        """Has all passwords expire that the device has for the hub, which closes its connection."""
        self.command("expire_sas", device=device)

    def connections(self) -> List[Connection]:
        """All CONNECTs that the hub received, the oldest first, refused ones too."""
        return [Connection.from_json(told) for told in self.command("connections")]

    def wait_connected(self, device: str, connected: bool = True, timeout: float = WAIT_TIMEOUT) -> None:
        """Waits until the device is connected to the hub, or is not."""
        self.command("wait_connected", device=device, connected=connected, timeout=timeout)

    def subscriptions(self, device: str) -> List[str]:
        """The topic filters that the device's session holds."""
        return list(self.command("subscriptions", device=device))

    def requests(self) -> List[Request]:
        """The HTTP requests that arrived, the oldest first."""
        return [Request.from_json(told) for told in self.command("requests")]

    def request_count(self, route: Route = Route.ANY) -> int:
        """How many such HTTP requests arrived."""
        return sum(route in (Route.ANY, request.route) for request in self.requests())

    def traffic(self) -> List[Traffic]:
        """Every byte of every connection, HTTP and MQTT, in the order in which they came. Recorded only if the
        emulator was started with ``"--record-traffic"``."""
        return [Traffic.from_json(told) for told in self.command("traffic")]

    # Messages from devices

    def messages(self, device: Optional[str] = None, after: Optional[int] = None) -> List[Message]:
        """The recorded Messages in order, repeats too: all, or those of one device, or those with a
        :attr:`~Message.sequence` above `after`."""
        return [Message.from_json(told) for told in self.command("messages", device=device, after=after)]

    def wait_messages(self, count: int, timeout: float = WAIT_TIMEOUT) -> List[Message]:
        """Waits until so many Messages are recorded, repeats too, and returns all that are."""
        return [Message.from_json(told) for told in self.command("wait_messages", count=count, timeout=timeout)]

    def clear_messages(self) -> None:
        """Forgets the recorded Messages. Their numbers go on."""
        self.command("clear_messages")

    def uploads(self) -> List[Upload]:
        """All file uploads that were opened, the oldest first."""
        return [Upload.from_json(told) for told in self.command("uploads")]

    def storage_writes(self) -> List[StorageWrite]:
        """Every write to the storage whose SAS was right, the oldest first: blobs, blocks and lists of blocks, with how
        much of each came, those that broke off too."""
        return [StorageWrite.from_json(told) for told in self.command("storage_writes")]

    def wait_storage_writes(self, count: int, timeout: float = WAIT_TIMEOUT) -> List[StorageWrite]:
        """Waits until so many writes to the storage were answered, and returns all."""
        return [
            StorageWrite.from_json(told) for told in self.command("wait_storage_writes", count=count, timeout=timeout)
        ]

    def uncommitted_blocks(self, device: str, blob_name: str) -> Dict[str, int]:
        """The blocks that a device sent for a blob and did not commit: their ids (Base64) and sizes."""
        told = self.command("uncommitted_blocks", device=device, blob_name=blob_name)
        return {block: int(size) for block, size in told}

    def expire_uploads(self) -> None:
        """Ends the uploads that were never notified, as IoT Hub does when their time is over: their places are
        free."""
        self.command("expire_uploads")

    def expire_upload_sas(self) -> None:
        """Has every SAS expire that devices were given for uploads: the storage answers 403. Blocks stay, also for a
        newer upload of the same name."""
        self.command("expire_upload_sas")

    # Configuration, and what else goes to devices

    def desired(self, device: str) -> Properties:
        """The device's Desired Properties and their version."""
        return Properties.from_json(self.command("desired", device=device))

    def set_desired(self, device: str, properties: Mapping[str, Any]) -> int:
        """Replaces the device's Desired Properties; returns their new version."""
        return int(self.command("desired", device=device, properties=dict(properties)))

    def patch_desired(self, device: str, patch: Mapping[str, Any]) -> int:
        """Merges a patch into the device's Desired Properties (RFC 7386: `None` removes); returns their new
        version."""
        return int(self.command("patch_desired", device=device, patch=dict(patch)))

    def reported(self, device: str) -> Properties:
        """The device's Reported Properties and their version."""
        return Properties.from_json(self.command("reported", device=device))

    def reported_patches(self, device: str) -> List[Dict[str, Any]]:
        """The patches that the device sent and the hub took, the oldest first."""
        return list(self.command("reported_patches", device=device))

    def wait_reported(self, device: str, properties: Mapping[str, Any], timeout: float = WAIT_TIMEOUT) -> None:
        """Waits until the device's Reported Properties are exactly these."""
        self.command("wait_reported", device=device, properties=dict(properties), timeout=timeout)

    def reset_twin(self, device: str) -> None:
        """Empties the device's twin and lets its versions start over, as if it had been created anew. Tells
        nobody."""
        self.command("reset_twin", device=device)

    def send(self, device: str, payload: Union[str, bytes], properties: Optional[Mapping[str, str]] = None) -> None:
        """Queues a cloud-to-device message. It is delivered as soon as the device listens, and again after each
        reconnect until acknowledged."""
        content = payload.encode() if isinstance(payload, str) else payload
        encoded = base64.b64encode(content).decode()
        self.command("send", device=device, payload=encoded, properties=dict(properties or {}))

    def cloud_messages_waiting(self, device: str) -> int:
        """How many cloud-to-device messages the device has not acknowledged; none for an unknown device."""
        return int(self.command("cloud_messages_waiting", device=device))

    def wait_cloud_messages(self, device: str, waiting: int = 0, timeout: float = WAIT_TIMEOUT) -> None:
        """Waits until at most so many cloud-to-device messages are unacknowledged."""
        self.command("wait_cloud_messages", device=device, waiting=waiting, timeout=timeout)

    # Direct methods

    def call_method(
        self,
        device: str,
        method: str,
        payload: Any = None,
        timeout: float = WAIT_TIMEOUT,
        *,
        raw: Optional[bytes] = None,
    ) -> MethodAnswer:
        """Calls a direct method with a payload of JSON and waits for the answer. `raw` goes in place of `payload`, and
        need be no JSON: ``b""`` for a call without payload.

        IoT Hub lets a caller wait for 5 to 300 seconds; here any time will do."""
        return MethodAnswer.from_json(self._method("call_method", device, method, payload, raw, timeout))

    def begin_method(
        self,
        device: str,
        method: str,
        payload: Any = None,
        timeout: float = WAIT_TIMEOUT,
        *,
        raw: Optional[bytes] = None,
    ) -> int:
        """Calls a direct method without waiting for the answer; returns the number of the call, for
        :meth:`wait_method`. The hub gives up after `timeout`."""
        return int(self._method("begin_method", device, method, payload, raw, timeout))

    def _method(
        self, command: str, device: str, method: str, payload: Any, raw: Optional[bytes], timeout: float
    ) -> Any:
        content = {"payload": payload} if raw is None else {"raw": base64.b64encode(raw).decode()}
        return self.command(command, device=device, method=method, timeout=timeout, **content)

    def wait_method(self, number: int, timeout: float = WAIT_TIMEOUT) -> MethodAnswer:
        """Waits for the answer to the call with that number."""
        return MethodAnswer.from_json(self.command("wait_method", number=number, timeout=timeout))

    def method_calls(self) -> List[MethodCall]:
        """The direct methods that were called, the oldest first."""
        return [MethodCall.from_json(told) for told in self.command("method_calls")]

    def dropped_method_answers(self) -> List[DroppedAnswer]:
        """The answers to direct methods that the hub dropped, the oldest first."""
        return [DroppedAnswer.from_json(told) for told in self.command("dropped_method_answers")]

    # Remote access

    def forward(self, device: str, port: int, local_port: int = 0) -> int:
        """Has a port of 127.0.0.1 (0: any that is free) lead to a port of the device, so that
        ``ssh -p PORT user@127.0.0.1`` reaches the SSH server of the device; returns the local port. The device is asked
        for each connection, by the direct method ``!remote-access``: see :meth:`tunnels`."""
        return int(self.command("forward", device=device, port=port, local_port=local_port))

    def stop_forwarding(self, local_port: int) -> bool:
        """Ends a forwarding; tunnels that are open stay. Returns whether there was such a one."""
        return bool(self.command("stop_forwarding", local_port=local_port))

    def forwardings(self) -> List[Forwarding]:
        """The local ports that lead to devices."""
        return [Forwarding.from_json(told) for told in self.command("forwardings")]

    def tunnels(self) -> List[Tunnel]:
        """The connections of technicians to ports of devices, the oldest first, those that have ended too."""
        return [Tunnel.from_json(told) for told in self.command("tunnels")]

    def wait_tunnels(self, open: int = 0, ended: int = 0, timeout: float = WAIT_TIMEOUT) -> List[Tunnel]:
        """Waits until at least so many tunnels are open, and so many have ended; returns all."""
        told = self.command("wait_tunnels", open=open, ended=ended, timeout=timeout)
        return [Tunnel.from_json(tunnel) for tunnel in told]
