"""The reference of the published package, name for name, and what this one adds to it."""

import inspect
import logging
import re

import pytest
import spotflow_device
from spotflow_device import (
    Compression,
    DesiredProperties,
    DeviceClient,
    ProvisioningOperation,
    SpotflowError,
    StreamSender,
)

from support import DEVICE, PATIENCE, Seen, in_thread

EMPTY = inspect.Parameter.empty
POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY

MESSAGE = [("payload", EMPTY), ("batch_id", None), ("message_id", None), ("batch_slice_id", None), ("chunk_id", None)]

#: The published parameters in their order, with their defaults.
PUBLISHED = {
    DeviceClient.start: [
        ("device_id", EMPTY),
        ("provisioning_token", EMPTY),
        ("db", EMPTY),
        ("instance", None),
        ("display_provisioning_operation_callback", None),
        ("desired_properties_updated_callback", None),
        ("allow_remote_access", False),
    ],
    DeviceClient.create_stream_sender: [("stream_group", None), ("stream", None), ("compression", None)],
    DeviceClient.get_desired_properties: [],
    DeviceClient.get_desired_properties_if_newer: [("version", None)],
    DeviceClient.update_reported_properties: [("properties", EMPTY)],
    StreamSender.send_message: MESSAGE,
    StreamSender.enqueue_message: MESSAGE,
    StreamSender.enqueue_batch_completion: [("batch_id", EMPTY)],
    StreamSender.enqueue_message_completion: [("batch_id", EMPTY), ("message_id", EMPTY)],
    DeviceClient.wait_enqueued_messages_sent: [],
}

#: What comes behind them here.
ADDED = {
    DeviceClient.start: [
        ("connection_changed_callback", None),
        ("ca_file", None),
        ("cloud_messages", False),
        ("in_flight_window", 1),
        ("durability", None),
        ("keep_alive", 120),
        ("codec", None),
        ("outbox_messages_max", None),
        ("outbox_bytes_max", None),
        ("free_disk_bytes_min", None),
        ("when_full", None),
        ("methods", None),
        ("method_request_callback", None),
        ("method_threads", 4),
        ("proxy", None),
        ("timeout", None),
        ("transport", None),
        ("remote_access_callback", None),
        ("pacing", None),
        ("lane_pacing", None),
        ("slow_down_when_throttled", True),
        ("upload_progress_callback", None),
    ],
    DeviceClient.create_stream_sender: [("priority", None), ("time_to_live", None), ("keep_latest", False)],
    StreamSender.enqueue_message: [("latest_key", None)],
    StreamSender.send_message: [("timeout", None), ("latest_key", None)],
}


def parameters(function):
    found = list(inspect.signature(function).parameters.values())
    return [parameter for parameter in found if parameter.name != "self"]


@pytest.mark.parametrize("function", PUBLISHED, ids=lambda function: function.__qualname__)
def test_signatures_start_with_the_published_parameters_and_add_only_optional_ones(function):
    published = PUBLISHED[function]
    found = [(parameter.name, parameter.default) for parameter in parameters(function)]
    assert found[: len(published)] == published
    assert all(parameter.kind is POSITIONAL for parameter in parameters(function)[: len(published)])
    added = parameters(function)[len(published) :]
    assert all(parameter.default is not EMPTY for parameter in added)
    if function in ADDED:
        assert [(parameter.name, parameter.default) for parameter in added] == ADDED[function]
        assert all(parameter.kind is KEYWORD_ONLY for parameter in added)


def test_the_wait_takes_a_time_limit():
    assert inspect.signature(DeviceClient.wait_enqueued_messages_sent).parameters["timeout"].default is None


def test_the_published_names_are_there():
    published = ["SpotflowError", "ProvisioningOperation", "Compression", "DeviceClient", "StreamSender"]
    assert set(published + ["DesiredProperties"]) <= set(spotflow_device.__all__)


def test_all_names_exist_and_are_those_without_an_underscore():
    for name in spotflow_device.__all__:
        assert hasattr(spotflow_device, name), name
    public = {name for name in dir(spotflow_device) if not name.startswith("_")}
    assert public == set(spotflow_device.__all__) - {"__version__"}


@pytest.mark.parametrize("name", sorted(set(spotflow_device.__all__) - {"__version__"}))
def test_every_class_says_that_it_is_of_this_package_and_what_it_is(name):
    kind = getattr(spotflow_device, name)
    assert (kind.__module__, kind.__name__) == ("spotflow_device", name)
    assert kind.__doc__
    public = [member for member in vars(kind) if not member.startswith("_")]
    for member in public:
        # Members of enumerations are told of in their class.
        if not isinstance(getattr(kind, member), kind):
            assert inspect.getdoc(inspect.getattr_static(kind, member)) or kind is SpotflowError, member


@pytest.mark.parametrize(
    "kind",
    [DeviceClient, StreamSender, DesiredProperties, ProvisioningOperation, spotflow_device.Status],
    ids=lambda kind: kind.__name__,
)
def test_what_is_only_made_by_others_cannot_be_made_directly(kind):
    with pytest.raises(TypeError):
        kind()


def test_start_is_a_static_method():
    assert isinstance(inspect.getattr_static(DeviceClient, "start"), staticmethod)


def test_every_published_parameter_can_be_given_by_its_position(spotflow_emulator, tmp_path):
    operations, desired = Seen(), Seen()
    client = DeviceClient.start(
        DEVICE,
        spotflow_emulator.provisioning_token,
        str(tmp_path / "device.db"),
        spotflow_emulator.instance,
        operations,
        desired,
        False,
    )
    with client:
        assert len(operations.all()) == 1
        assert desired.wait().version == client.get_desired_properties().version
        assert client.get_desired_properties_if_newer(None) is not None
        client.update_reported_properties({"a": 1})
        sender = client.create_stream_sender("group", "stream", Compression.FASTEST)
        assert sender.send_message(b"1", "batch", "message", "slice", "chunk") is None
        assert sender.enqueue_message(b"2", "batch", "message", "slice", "chunk") is None
        assert sender.enqueue_batch_completion("batch") is None
        assert sender.enqueue_message_completion("batch", "message") is None
        assert client.wait_enqueued_messages_sent() is None
        spotflow_emulator.wait_reported(DEVICE, {"a": 1})
    where = {"stream-group-name": "group", "stream-name": "stream", "batch-id": "batch"}
    ids = {"batch-slice-id": "slice", "message-id": "message", "chunk-id": "chunk"}
    completion = {"complete-batch": "true", "ignore-payload": "true"}
    message_completion = {"message-id": "message", "complete-message": "true", "ignore-payload": "true"}
    assert [(message.payload, message.properties) for message in spotflow_emulator.messages()] == [
        (b"1", dict(where, **ids)),
        (b"2", dict(where, **ids)),
        (b"", dict(where, **completion)),
        (b"", dict(where, **message_completion)),
    ]


def test_every_published_parameter_can_be_given_by_its_name(spotflow_emulator, tmp_path):
    client = DeviceClient.start(
        device_id=DEVICE,
        provisioning_token=spotflow_emulator.provisioning_token,
        db=str(tmp_path / "device.db"),
        instance=spotflow_emulator.instance,
        display_provisioning_operation_callback=lambda operation: None,
        desired_properties_updated_callback=lambda properties: None,
        allow_remote_access=False,
    )
    with client:
        sender = client.create_stream_sender(stream_group="group", stream="stream", compression=None)
        ids = dict(batch_id="b", message_id="m", batch_slice_id="s", chunk_id="c")
        sender.send_message(payload=b"1", **ids)
        sender.enqueue_message(payload=b"2", **ids)
        sender.enqueue_batch_completion(batch_id="b")
        sender.enqueue_message_completion(batch_id="b", message_id="m")
        client.get_desired_properties()
        assert client.get_desired_properties_if_newer(version=10 ** 6) is None
        client.update_reported_properties(properties={})
        client.wait_enqueued_messages_sent()
    assert len(spotflow_emulator.messages()) == 4


def test_options_that_the_published_package_does_not_have_need_their_names(spotflow_emulator, tmp_path):
    published = [DEVICE, "token", str(tmp_path / "device.db"), None, None, None, False]
    with pytest.raises(TypeError):
        DeviceClient.start(*published, None)


def test_properties_cannot_be_written(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator)
    desired = client.get_desired_properties()
    readonly = [(client, name) for name in ("workspace_id", "device_id", "pending_messages_count")]
    readonly += [(client, "any_pending_reported_properties_updates"), (desired, "version"), (desired, "values")]
    for owner, name in readonly:
        with pytest.raises(AttributeError):
            setattr(owner, name, getattr(owner, name))
        with pytest.raises(AttributeError):
            delattr(owner, name)


def test_attributes_have_their_types(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator)
    assert (client.workspace_id, client.device_id) == (spotflow_emulator.workspace_id, DEVICE)
    assert (type(client.workspace_id), type(client.device_id)) == (str, str)
    assert type(client.pending_messages_count) is int
    assert type(client.any_pending_reported_properties_updates) is bool
    desired = client.get_desired_properties()
    assert type(desired) is DesiredProperties
    assert (type(desired.version), type(desired.values)) == (int, dict)
    assert type(client.create_stream_sender()) is StreamSender


def test_counts_follow_what_is_pending(spotflow_emulator, start_client):
    spotflow_emulator.acknowledge("withhold")
    client = start_client(spotflow_emulator)
    spotflow_emulator.wait_connected(DEVICE)
    assert client.pending_messages_count == 0
    assert client.any_pending_reported_properties_updates is False
    for count in range(1, 4):
        client.create_stream_sender().enqueue_message("x")
        assert client.pending_messages_count == count
    spotflow_emulator.go_silent()
    client.update_reported_properties({"a": 1})
    assert client.any_pending_reported_properties_updates is True
    spotflow_emulator.go_silent(False)
    spotflow_emulator.acknowledge("immediately")
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    assert client.pending_messages_count == 0


def test_the_desired_properties_are_newer_than_nothing(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator)
    version = client.get_desired_properties().version
    assert client.get_desired_properties_if_newer().version == version
    assert client.get_desired_properties_if_newer(None).version == version
    assert client.get_desired_properties_if_newer(version - 1).version == version
    assert client.get_desired_properties_if_newer(version) is None


def test_compressions_are_members_that_can_be_compared():
    members = [Compression.UNCOMPRESSED, Compression.FASTEST, Compression.SMALLEST_SIZE]
    assert [member for member in members if isinstance(member, Compression)] == members
    for index, member in enumerate(members):
        assert [other == member for other in members] == [other is member for other in members]
        # As in the published package.
        assert int(member) == index
        assert member == index
    assert [repr(member) for member in members] == [
        "Compression.UNCOMPRESSED",
        "Compression.FASTEST",
        "Compression.SMALLEST_SIZE",
    ]
    assert len(set(members)) == 3


def test_a_sender_does_not_compress_unless_told_so(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator)
    for compression in (None, Compression.UNCOMPRESSED, Compression.FASTEST, Compression.SMALLEST_SIZE):
        client.create_stream_sender(compression=compression).send_message("a" * 1000)
    client.create_stream_sender().send_message("a" * 1000)
    messages = spotflow_emulator.messages()
    encodings = [message.properties.get("content-encoding") for message in messages]
    assert encodings == [None, None, "br", "br", None]
    assert [message.payload for message in messages] == [b"a" * 1000] * 5


def test_spotflow_error_is_an_exception_of_this_package():
    assert SpotflowError.__mro__ == (SpotflowError, Exception, BaseException, object)
    assert str(SpotflowError("text")) == "text"
    errors = [kind for kind in vars(spotflow_device).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(errors) > 5
    assert all(issubclass(kind, SpotflowError) for kind in errors)


def test_an_operation_is_printed_unless_there_is_a_callback(start_spotflow_emulator, start_client, capfd):
    emulator = start_spotflow_emulator("--approve", "manual")
    starting = in_thread(start_client, emulator, display_provisioning_operation_callback=None)
    operation = emulator.wait_operation()
    emulator.approve(operation.id)
    starting.result(PATIENCE)
    printed = capfd.readouterr().out
    for fact in (operation.id, operation.verification_code, operation.expiration_time):
        assert fact in printed, fact


def test_the_callback_gets_the_operation(start_spotflow_emulator, start_client, capfd):
    emulator = start_spotflow_emulator("--approve", "manual")
    operations = Seen()
    starting = in_thread(start_client, emulator, display_provisioning_operation_callback=operations)
    shown = operations.wait()
    expected = emulator.wait_operation()
    assert type(shown) is ProvisioningOperation
    told = (shown.id, shown.verification_code, shown.expiration_time)
    # `datetime.fromisoformat` reads no "Z" before Python 3.11.
    expires = expected.expiration_time.replace("Z", "+00:00")
    assert told == (expected.id, expected.verification_code, expires)
    assert [type(fact) for fact in told] == [str, str, str]
    emulator.approve(shown.verification_code, "chosen-by-the-technician")
    client = starting.result(PATIENCE)
    assert client.device_id == "chosen-by-the-technician"
    assert capfd.readouterr().out == ""


def test_the_version_is_that_of_the_library():
    assert re.fullmatch(r"\d+\.\d+\.\d+", spotflow_device.__version__)


def test_the_version_is_above_the_published_one_which_an_upgrade_would_put_back():
    assert tuple(map(int, spotflow_device.__version__.split("."))) > (2, 1, 1)
