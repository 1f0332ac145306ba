"""Every error is a SpotflowError, with Python's type where there is one, and says what it is about."""

import os
from pathlib import Path

import pytest
import spotflow_device
from spotflow_device import (
    ClosedError,
    Compression,
    DatabaseError,
    DatabaseInUseError,
    DeviceClient,
    DroppedError,
    ExpiredError,
    Durability,
    InvalidArgumentError,
    InvalidTypeError,
    LostError,
    Message,
    OutboxFullError,
    OutcomeUnknownError,
    Pace,
    RegistrationError,
    ReplacedError,
    SetAsideError,
    SpotflowError,
    StorageFullError,
    UnreadableFileError,
    WaitTimeoutError,
    WhenFull,
)

from support import DEVICE, PATIENCE, Seen, arguments, in_thread, payloads

#: What Python calls such an error, and whether the same call can succeed later.
KINDS = {
    InvalidArgumentError: (ValueError, False),
    InvalidTypeError: (TypeError, False),
    WaitTimeoutError: (TimeoutError, True),
    ClosedError: (SpotflowError, False),
    SetAsideError: (SpotflowError, False),
    DroppedError: (SpotflowError, False),
    ExpiredError: (SpotflowError, False),
    ReplacedError: (SpotflowError, False),
    OutboxFullError: (SpotflowError, True),
    LostError: (SpotflowError, False),
    RegistrationError: (SpotflowError, False),
    DatabaseError: (OSError, False),
    DatabaseInUseError: (DatabaseError, True),
    StorageFullError: (DatabaseError, True),
    OutcomeUnknownError: (DatabaseError, False),
    UnreadableFileError: (OSError, True),
}

NOT_TEXT = [5, b"bytes", True, ["a"], object()]
NOT_A_PATH = [5, b"device.db", True, ["a"], object()]
NOT_CALLABLE = [5, "text", True, object()]
NOT_BOOL = [0, 1, "yes", object()]
NOT_SECONDS = ["1", b"1", True, [1], object(), 1j]
NOT_A_COUNT = ["1", 1.0, True, object()]
NOT_A_LIMIT = [0, -1, 2 ** 64, 2 ** 200]

SURROGATE = "a\udc80b"
NAN, INFINITY = float("nan"), float("inf")
TOO_LONG = "x" * 70000

NOT_A_PACE = [1, 0.5, True, "1", {}, Pace, spotflow_device.Priority.LOW]
NOT_LANES = [1, Pace(), [], {1: Pace()}, {"LOW": Pace()}, {spotflow_device.Priority.LOW: 1}, {None: Pace()}]

#: The arguments of the start: what has a wrong type, and what breaks a rule.
START = {
    "device_id": (NOT_TEXT, ["", "abc", "a" * 91, "with space", "a/bc", "geräte", "null\0", SURROGATE]),
    "provisioning_token": (NOT_TEXT + [None], ["", "to ken", "tokén", "line\nend", "null\0", SURROGATE]),
    "db": (NOT_A_PATH + [None], ["", ".db", "device", "device.sqlite", "device.DB", "null\0.db", "a\ud800.db"]),
    "instance": (NOT_TEXT, ["", "http://host", "host/path", "user@host", "a b", "host:0", SURROGATE]),
    "display_provisioning_operation_callback": (NOT_CALLABLE, []),
    "desired_properties_updated_callback": (NOT_CALLABLE, []),
    "connection_changed_callback": (NOT_CALLABLE, []),
    "allow_remote_access": (NOT_BOOL, []),
    "ca_file": (NOT_A_PATH, ["", "missing.pem", __file__, "null\0"]),
    "cloud_messages": (NOT_BOOL, []),
    "in_flight_window": (NOT_A_COUNT, [0, 257, -1, 2 ** 64, 2 ** 200]),
    "durability": ([0, "POWER_SAFE", Compression.FASTEST, Durability], []),
    "keep_alive": (NOT_SECONDS, [0, 4, 4.999, 1768, -1, NAN, INFINITY, -INFINITY, 10 ** 400]),
    "codec": ([0, "gzip", Compression.FASTEST], []),
    "outbox_messages_max": (NOT_A_COUNT, NOT_A_LIMIT),
    "outbox_bytes_max": (NOT_A_COUNT, NOT_A_LIMIT),
    "free_disk_bytes_min": (NOT_A_COUNT, NOT_A_LIMIT),
    "when_full": ([0, "DROP_OLDEST", Compression.FASTEST, WhenFull], []),
    "methods": ([0, "restart", [print], {1: print}, {"restart": 1}], []),
    "method_request_callback": (NOT_CALLABLE, []),
    "method_threads": (NOT_A_COUNT, [0, 65, -1, 2 ** 64, 2 ** 200]),
    "proxy": (NOT_TEXT, ["", "https://host", "socks4://host", "http://a b", "host:0", "http://:password@host", SURROGATE]),
    "timeout": (NOT_SECONDS, [-1, -0.001, NAN, -INFINITY, 10 ** 400]),
    "transport": ([0, "MQTT", Compression.FASTEST, spotflow_device.Transport], []),
    "remote_access_callback": (NOT_CALLABLE, []),
    "pacing": (NOT_A_PACE, []),
    "lane_pacing": (NOT_LANES, []),
    "slow_down_when_throttled": (NOT_BOOL, []),
    "upload_progress_callback": (NOT_CALLABLE, []),
}

IDS = {
    name: (NOT_TEXT, ["", TOO_LONG, SURROGATE])
    for name in ("batch_id", "message_id", "batch_slice_id", "chunk_id", "latest_key")
}
PAYLOAD = {"payload": ([5, None, object()], [SURROGATE, memoryview(b"abcd")[::2]])}
TIMEOUT = {"timeout": (NOT_SECONDS, [-1, -0.001, NAN, -INFINITY, 10 ** 400])}
REQUIRED = {name: (NOT_TEXT + [None], bad[1]) for name, bad in IDS.items()}
NOT_IDS = [5, None, object(), "12", ["1"], [1.5], [None]]
MESSAGE_IDS = {"message_ids": (NOT_IDS, [[-1], [2 ** 63], [1, 2 ** 200]])}

#: The same for what is called on a client or a sender, beside good arguments.
CALLS = {
    "create_stream_sender": (
        {},
        {
            "stream_group": (NOT_TEXT, ["", TOO_LONG, SURROGATE]),
            "stream": (NOT_TEXT, ["", TOO_LONG, SURROGATE]),
            "compression": ([0, 1, "FASTEST", Compression, spotflow_device.Codec.GZIP], []),
            "priority": ([0, 1, "URGENT", spotflow_device.Priority, Compression.FASTEST], []),
            "time_to_live": (["1", True, b"1", []], [0, -1, float("nan"), 0.0001]),
            "keep_latest": (NOT_BOOL, []),
        },
    ),
    "set_outbox_limits": (
        {},
        {
            "outbox_messages_max": (["1", 1.5, b"1", []], [0, -1]),
            "outbox_bytes_max": (["1", 1.5, b"1", []], [0, -1]),
            "free_disk_bytes_min": (["1", 1.5, b"1", []], [0, -1]),
            "when_full": ([0, "DROP_OLDEST", Compression.FASTEST, WhenFull], []),
        },
    ),
    "set_pacing": (
        {},
        {
            "pacing": (NOT_A_PACE, []),
            "lane_pacing": (NOT_LANES, []),
            "slow_down_when_throttled": (NOT_BOOL, []),
        },
    ),
    "wait_enqueued_messages_sent": ({}, TIMEOUT),
    "get_desired_properties_if_newer": ({}, {"version": (NOT_A_COUNT, [-1, 2 ** 64])}),
    "update_reported_properties": ({}, {"properties": ([5, None, [], "text", {1}], [{"": 1}, {"a.b": 1}])}),
    "receive_cloud_message": ({}, TIMEOUT),
    "retry_set_aside_messages": ({}, MESSAGE_IDS),
    "drop_set_aside_messages": ({}, MESSAGE_IDS),
    "enqueue_message": ({"payload": "x"}, dict(PAYLOAD, **IDS)),
    "send_message": ({"payload": "x"}, dict(PAYLOAD, **IDS, **TIMEOUT)),
    "enqueue_messages": ({}, {"messages": ([5, None, "text", b"x", [5]], [[SURROGATE]])}),
    "enqueue_file": ({"path": "device.db"}, dict(IDS, path=(NOT_A_PATH + [None], ["/", "null\0"]))),
    "enqueue_batch_completion": ({}, {"batch_id": REQUIRED["batch_id"]}),
    "enqueue_message_completion": (
        {"batch_id": "b", "message_id": "m"},
        {"batch_id": REQUIRED["batch_id"], "message_id": REQUIRED["message_id"]},
    ),
}


def check(caught, kind, argument, value):
    error = caught.value
    assert type(error) is kind, (argument, value)
    assert str(error).startswith(argument + ": "), (value, str(error))
    assert len(str(error)) > len(argument) + 10, "the rule is told"
    assert error.retryable is False


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_errors_are_spotflow_errors_and_what_python_calls_them(kind):
    base, retryable = KINDS[kind]
    assert issubclass(kind, SpotflowError)
    assert issubclass(kind, base)
    assert kind.retryable is retryable
    assert str(kind("what happened")) == "what happened"


def test_no_error_is_forgotten_here():
    named = [getattr(spotflow_device, name) for name in spotflow_device.__all__ if name.endswith("Error")]
    assert set(named) == set(KINDS) | {SpotflowError}


@pytest.mark.parametrize("argument", START)
def test_a_bad_argument_of_start_is_named_and_leaves_nothing_behind(module_stage, tmp_path, monkeypatch, argument):
    platform, _ = module_stage
    monkeypatch.chdir(tmp_path)
    requests = platform.request_count()
    wrong_types, wrong_values = START[argument]
    for kind, values in ((InvalidTypeError, wrong_types), (InvalidArgumentError, wrong_values)):
        for value in values:
            options = dict({"ca_file": platform.ca_file}, **{argument: value})
            with pytest.raises(SpotflowError) as caught:
                DeviceClient.start(**arguments(platform, tmp_path, **options))
            check(caught, kind, argument, value)
    assert os.listdir(str(tmp_path)) == []
    assert platform.request_count() == requests


def test_every_argument_of_start_was_tried():
    assert START.keys() == set(arguments_of(DeviceClient.start))


def arguments_of(function):
    inside = function.__text_signature__.strip("()").replace("$self", "").replace("*", "")
    return [part.split("=")[0].strip() for part in inside.split(",") if part.strip(" /")]


def owner_of(method):
    return DeviceClient if hasattr(DeviceClient, method) else spotflow_device.StreamSender


@pytest.mark.parametrize("method", CALLS)
def test_a_bad_argument_is_named_and_nothing_is_stored(module_stage, method):
    _, client = module_stage
    good, bad = CALLS[method]
    owner = client if owner_of(method) is DeviceClient else client.create_stream_sender()
    assert set(bad) == set(arguments_of(getattr(owner_of(method), method)))
    for argument, (wrong_types, wrong_values) in bad.items():
        for kind, values in ((InvalidTypeError, wrong_types), (InvalidArgumentError, wrong_values)):
            for value in values:
                with pytest.raises(SpotflowError) as caught:
                    getattr(owner, method)(**dict(good, **{argument: value}))
                check(caught, kind, argument, value)
    assert client.pending_messages_count == 0
    assert client.any_pending_reported_properties_updates is False


@pytest.mark.parametrize("argument", list(PAYLOAD) + list(IDS))
def test_a_bad_argument_of_a_message_is_named(module_stage, argument):
    _, client = module_stage
    sender = client.create_stream_sender()
    wrong_types, wrong_values = dict(PAYLOAD, **IDS)[argument]
    for kind, values in ((InvalidTypeError, wrong_types), (InvalidArgumentError, wrong_values)):
        for value in values:
            with pytest.raises(SpotflowError) as caught:
                # Whether it is too long, only the sender knows, for its names count.
                sender.enqueue_messages([Message(**dict({"payload": "x"}, **{argument: value}))])
            check(caught, kind, argument, value)
    assert client.pending_messages_count == 0


def test_the_type_that_was_given_is_told(module_stage):
    _, client = module_stage
    with pytest.raises(InvalidTypeError, match="^stream: must be str, not int$"):
        client.create_stream_sender(stream=5)


def test_a_second_client_on_the_same_file_is_told_who_has_it(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator)
    with pytest.raises(DatabaseInUseError) as caught:
        start_client(spotflow_emulator)
    assert caught.value.retryable is True
    assert "device.db" in str(caught.value)
    assert str(os.getpid()) in str(caught.value)
    # The first one is none the worse for it.
    client.create_stream_sender().send_message("works", timeout=PATIENCE)
    client.close()
    start_client(spotflow_emulator)


def test_a_file_that_is_no_database_is_refused_and_left_alone(spotflow_emulator, start_client, tmp_path):
    content = "not a database, but what somebody needs\n" * 100
    file = tmp_path / "device.db"
    file.write_text(content)
    with pytest.raises(DatabaseError) as caught:
        start_client(spotflow_emulator)
    assert type(caught.value) is DatabaseError
    assert caught.value.retryable is False
    assert str(file) in str(caught.value)
    assert file.read_text() == content


def test_a_missing_directory_is_told(spotflow_emulator, start_client, tmp_path):
    file = tmp_path / "missing" / "device.db"
    with pytest.raises(DatabaseError) as caught:
        start_client(spotflow_emulator, db=file)
    assert str(file) in str(caught.value)
    assert not file.parent.exists()


def test_a_directory_is_no_file(spotflow_emulator, start_client, tmp_path):
    (tmp_path / "directory.db").mkdir()
    with pytest.raises(InvalidArgumentError, match="^db: "):
        start_client(spotflow_emulator, db=str(tmp_path / "directory.db"))


def test_an_unknown_token_is_refused_without_being_shown(spotflow_emulator, start_client):
    with pytest.raises(RegistrationError, match="Provisioning Token") as caught:
        start_client(spotflow_emulator, provisioning_token="an-unknown-token")
    assert caught.value.retryable is False
    assert "an-unknown-token" not in str(caught.value)


def test_a_revoked_token_is_refused(spotflow_emulator, start_client):
    spotflow_emulator.revoke_provisioning_token(spotflow_emulator.provisioning_token)
    with pytest.raises(RegistrationError, match="Provisioning Token"):
        start_client(spotflow_emulator)


def test_a_request_that_the_platform_will_never_accept_is_told_with_its_status(spotflow_emulator, start_client):
    spotflow_emulator.http_status("init", 400)
    with pytest.raises(RegistrationError, match="400") as caught:
        start_client(spotflow_emulator)
    assert caught.value.retryable is False


def test_a_technician_who_refuses_ends_the_start(start_spotflow_emulator, start_client, tmp_path):
    emulator = start_spotflow_emulator("--approve", "manual")
    starting = in_thread(start_client, emulator)
    emulator.refuse(emulator.wait_operation().id)
    with pytest.raises(RegistrationError, match="refused"):
        starting.result(PATIENCE)
    # Nobody holds the file.
    starting = in_thread(start_client, emulator)
    emulator.approve(emulator.wait_operation().id)
    assert starting.result(PATIENCE).device_id == DEVICE


@pytest.mark.parametrize("timeout", [0, 0.0, 0.01, 1e-9])
def test_a_time_limit_ends_a_wait_and_what_is_stored_is_sent_later(spotflow_emulator, start_client, timeout):
    spotflow_emulator.acknowledge("withhold")
    client = start_client(spotflow_emulator)
    sender = client.create_stream_sender()
    with pytest.raises(WaitTimeoutError) as caught:
        sender.send_message("stays stored", timeout=timeout)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.retryable is True
    with pytest.raises(TimeoutError):
        client.wait_enqueued_messages_sent(timeout=timeout)
    with pytest.raises(SpotflowError):
        client.wait_enqueued_messages_sent(timeout)
    assert client.pending_messages_count == 1
    spotflow_emulator.acknowledge("immediately")
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    assert payloads(spotflow_emulator) == [b"stays stored"]


@pytest.mark.parametrize("timeout", [INFINITY, 1e300, 10 ** 20, None, PATIENCE])
def test_a_long_time_limit_is_as_good_as_none(module_stage, timeout):
    _, client = module_stage
    client.create_stream_sender().send_message("x", timeout=timeout)
    client.wait_enqueued_messages_sent(timeout)
    assert client.pending_messages_count == 0


AFTER_CLOSE = {
    "pending_messages_count": lambda client, sender: client.pending_messages_count,
    "any_pending_reported_properties_updates": lambda client, sender: client.any_pending_reported_properties_updates,
    "create_stream_sender": lambda client, sender: client.create_stream_sender(),
    "wait_enqueued_messages_sent": lambda client, sender: client.wait_enqueued_messages_sent(),
    "wait_enqueued_messages_sent with a time limit": lambda client, sender: client.wait_enqueued_messages_sent(1),
    "get_desired_properties": lambda client, sender: client.get_desired_properties(),
    "get_desired_properties_if_newer": lambda client, sender: client.get_desired_properties_if_newer(),
    "update_reported_properties": lambda client, sender: client.update_reported_properties({}),
    "receive_cloud_message": lambda client, sender: client.receive_cloud_message(),
    "status": lambda client, sender: client.status(),
    "set_aside_messages": lambda client, sender: client.set_aside_messages(),
    "retry_set_aside_messages": lambda client, sender: client.retry_set_aside_messages([1]),
    "drop_set_aside_messages": lambda client, sender: client.drop_set_aside_messages([1]),
    "with": lambda client, sender: client.__enter__(),
    "send_message": lambda client, sender: sender.send_message("x"),
    "enqueue_message": lambda client, sender: sender.enqueue_message("x"),
    "enqueue_messages": lambda client, sender: sender.enqueue_messages(["x"]),
    "enqueue_messages without any": lambda client, sender: sender.enqueue_messages([]),
    "enqueue_batch_completion": lambda client, sender: sender.enqueue_batch_completion("b"),
    "enqueue_message_completion": lambda client, sender: sender.enqueue_message_completion("b", "m"),
}


@pytest.mark.parametrize("name", AFTER_CLOSE)
def test_after_the_close_everything_but_the_ids_says_so(closed, name):
    client, sender = closed
    with pytest.raises(ClosedError, match="closed") as caught:
        AFTER_CLOSE[name](client, sender)
    assert caught.value.retryable is False


@pytest.fixture(scope="module")
def closed(module_stage, tmp_path_factory):
    """A closed client and its sender."""
    platform, _ = module_stage
    options = arguments(platform, tmp_path_factory.mktemp("closed"), ca_file=platform.ca_file, cloud_messages=True)
    client = DeviceClient.start(**options)
    sender = client.create_stream_sender()
    client.close()
    return client, sender


def test_every_method_was_tried_after_the_close():
    public = [name for kind in (DeviceClient, spotflow_device.StreamSender) for name in vars(kind)]
    methods = {name for name in public if not name.startswith("_")} - {"start", "close", "workspace_id", "device_id"}
    assert methods <= set(AFTER_CLOSE)


def test_after_the_close_the_ids_are_still_there(module_stage, closed):
    platform, _ = module_stage
    client, _ = closed
    assert (client.workspace_id, client.device_id) == (platform.workspace_id, DEVICE)
    assert DEVICE in repr(client)
    client.close()


def test_a_cloud_message_cannot_be_completed_after_the_close(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator, cloud_messages=True)
    spotflow_emulator.send(DEVICE, "x")
    message = client.receive_cloud_message(PATIENCE)
    client.close()
    with pytest.raises(ClosedError):
        message.complete()
    assert message.payload == b"x"


def test_the_reason_of_a_lost_connection_is_a_spotflow_error(spotflow_emulator, start_client):
    changes = Seen()
    start_client(spotflow_emulator, connection_changed_callback=changes)
    came = changes.wait(lambda change: change.is_connected)
    assert came.error is None
    spotflow_emulator.accept_connections(False)
    spotflow_emulator.close_connections()
    went = changes.wait(lambda change: not change.is_connected)
    assert type(went.error) is SpotflowError
    assert went.error.retryable is True
    assert str(went.error)
