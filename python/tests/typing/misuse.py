"""Mistakes that type checkers must find. It is never run.

Each is marked with the rule of mypy and of pyright that finds it. Both report marks that they do not need, too: so
what they find are exactly the marked lines.
"""

from spotflow_device import (
    CloudMessage,
    Codec,
    Compression,
    DesiredProperties,
    DeviceClient,
    Durability,
    Message,
    ProvisioningOperation,
    Status,
    StreamSender,
)


def show(operation: ProvisioningOperation) -> None:
    print(operation)


def start() -> None:
    DeviceClient.start("a-device", "CAE")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    DeviceClient.start("a-device", None, "a.db")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    DeviceClient.start(7, "CAE", "a.db")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    DeviceClient.start(None, "CAE", b"a.db")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    DeviceClient.start(None, "CAE", "a.db", windows=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    DeviceClient("a-device")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    # What the published package does not have goes by name only.
    DeviceClient.start(None, "CAE", "a.db", None, None, None, False, None)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def callbacks() -> None:
    DeviceClient.start(
        None,
        "CAE",
        "a.db",
        display_provisioning_operation_callback=show,
        desired_properties_updated_callback=show,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        connection_changed_callback=start,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        keep_alive="120",  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        in_flight_window=1.5,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        durability=Compression.FASTEST,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        codec="brotli",  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    )


def send(client: DeviceClient, sender: StreamSender) -> None:
    client.create_stream_sender(compression=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.create_stream_sender(compression=Codec.ZSTD)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.wait_enqueued_messages_sent(None, 1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    sender.enqueue_message(21.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sender.enqueue_message(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sender.enqueue_message({"a": 1})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sender.enqueue_message(["text"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sender.enqueue_message("text", 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sender.enqueue_message("text", timeout=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    sender.enqueue_message(Message("text"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sender.enqueue_messages(b"bytes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sender.enqueue_messages([1, 2])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    sender.send_message("text", "a", "b", "c", "d", 1.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    sender.send_message("text", timeout="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sender.enqueue_batch_completion()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    sender.enqueue_message_completion("batch")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Message()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def read(client: DeviceClient, properties: DesiredProperties, status: Status) -> None:
    client.device_id = "another"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    properties.version = 2  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    print(client.pending_messages_count())  # type: ignore[operator]  # pyright: ignore[reportCallIssue]
    print(client.get_desired_properties_if_newer().values)  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    print(client.receive_cloud_message(1).payload)  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    print(status.last_error.retryable)  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    print(status.connection_age + 1)  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
    client.get_desired_properties_if_newer("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.update_reported_properties([1])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.update_reported_properties({1: 1})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    client.retry_set_aside_messages(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.drop_set_aside_messages(["1"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


def choose() -> Durability:
    print(Compression.BEST)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    return Codec.ZSTD  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


class Own(CloudMessage):  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    """The classes are final."""
