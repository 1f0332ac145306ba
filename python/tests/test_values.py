"""Objects behave as Python's own do: they can be compared, copied and pickled, or say what to do instead."""

import copy
import ctypes
import datetime
import enum
import gc
import pickle
import socket
import weakref

import pytest
import spotflow_device
from spotflow_device import (
    Codec,
    Compression,
    DeviceClient,
    Durability,
    InvalidArgumentError,
    InvalidTypeError,
    Message,
    MethodResponse,
    Pace,
    Priority,
    RemoteAccess,
    SpotflowError,
    StreamSender,
    Transport,
    WhenFull,
)
from spotflow_emulator import Emulator, Route

from support import DEVICE, PATIENCE, Seen, arguments, eventually, payloads

CHOICES = [Codec, Compression, Durability, Priority, Transport, WhenFull]

#: Each way to get another object that is the same.
WAYS = {
    "copied": copy.copy,
    "copied deeply": copy.deepcopy,
}
WAYS.update(
    {
        f"pickled by protocol {protocol}": lambda thing, protocol=protocol: pickle.loads(pickle.dumps(thing, protocol))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    }
)
BY_ALL_WAYS = pytest.mark.parametrize("again", WAYS.values(), ids=WAYS)

#: Every attribute that each has.
FIELDS = {
    "ProvisioningOperation": ["id", "verification_code", "expiration_time"],
    "DesiredProperties": ["version", "values"],
    "ConnectionChange": ["is_connected", "error"],
    "Status": [
        "is_connected",
        "connection_age",
        "transport",
        "reconnects",
        "last_error",
        "last_error_age",
        "held_back",
        "held_back_age",
        "pending_messages",
        "pending_bytes",
        "oldest_pending_age",
        "dropped_messages",
        "dropped_bytes",
        "expired_messages",
        "replaced_messages",
        "set_aside_messages",
        "recovery",
        "tunnels",
        "upload",
        "pacing",
    ],
    "Recovery": [
        "set_aside",
        "has_registration",
        "messages",
        "lost_messages",
        "set_aside_messages",
        "cloud_messages",
        "is_complete",
    ],
    "TunnelRequest": ["tunnel_id", "port", "traceparent"],
    "TunnelStatus": ["tunnel_id", "port", "age", "received_bytes", "sent_bytes"],
    "PacingStatus": ["messages_per_second", "bytes_per_second", "throttled_messages_per_second"],
    "UploadStatus": ["uploaded_bytes", "total_bytes"],
    "SetAsideMessage": ["id", "reason", "workspace_id", "device_id", "properties", "payload_bytes"],
}


# Choices


@pytest.mark.parametrize("kind", CHOICES)
def test_choices_are_an_enumeration(kind):
    members = list(kind)
    assert len(members) == len(kind) > 1 and issubclass(kind, enum.Enum)
    for number, member in enumerate(members):
        assert kind[member.name] is kind(number) is getattr(kind, member.name) is member
        assert member in kind
        assert (member.value, int(member), str(member)) == (number, number, f"{kind.__name__}.{member.name}")
        assert member == member and member == number and not member != number
        assert all(member != other for other in members if other is not member)
        assert member not in (None, member.name, float("nan"), number + 0.5)
        assert {member: 1}[kind[member.name]] == 1
    with pytest.raises(KeyError):
        kind["UNKNOWN"]
    with pytest.raises(AttributeError):
        kind.UNKNOWN


@BY_ALL_WAYS
@pytest.mark.parametrize("kind", CHOICES)
def test_choices_are_copied_and_pickled_as_themselves(kind, again):
    assert [again(member) for member in kind] == list(kind)
    assert all(again(member) is member for member in kind)


def test_members_of_different_choices_are_different():
    assert Compression.FASTEST != Codec.GZIP and Durability.POWER_SAFE != WhenFull.DROP_OLDEST


# Values


def same(left, right):
    """Whether two values, and those in them, are the same in all that they show."""
    assert type(left) is type(right)
    if isinstance(left, BaseException):
        return (str(left), left.retryable) == (str(right), right.retryable)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    fields = FIELDS.get(type(left).__name__)
    if fields is None:
        return left == right
    assert [name for name in dir(left) if not name.startswith("_")] == sorted(fields)
    assert (repr(left), str(left)) == (repr(right), str(right))
    return all(same(getattr(left, name), getattr(right, name)) for name in fields)


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    """One of each, with something in as many of its fields as can be had."""
    directory = tmp_path_factory.mktemp("values")
    found = []
    with Emulator("--approve", "auto") as emulator, socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        operations, changes, requests = Seen(), Seen(), Seen()
        options = dict(
            arguments(emulator, directory),
            ca_file=emulator.ca_file,
            display_provisioning_operation_callback=operations,
            connection_changed_callback=changes,
            allow_remote_access=RemoteAccess([port]),
            remote_access_callback=lambda request: requests(request) is None,
        )
        with DeviceClient.start(**options) as client:
            version = emulator.set_desired(DEVICE, {"a": [1, 2.5, None, {"b": "ü"}]})
            eventually("they come", lambda: client.get_desired_properties_if_newer(version - 1))
            # A technician's tunnel to a port of the device's.
            eventually("the device can be asked", lambda: "$iothub/methods/POST/#" in emulator.subscriptions(DEVICE))
            local_port = emulator.forward(DEVICE, port)
            with socket.create_connection(("127.0.0.1", local_port), timeout=PATIENCE):
                eventually("the tunnel is open", lambda: client.status().tunnels)
                found += client.status().tunnels
                found.append(requests.wait())
                emulator.http_hang(Route.BLOCK_PUT)
                client.create_stream_sender().enqueue_message(bytes(2_000_000))
                eventually("an upload waits", lambda: client.status().upload)
                found += [client.status(), client.status().upload, client.status().pacing]
                emulator.http_hang(Route.BLOCK_PUT, False)
                client.wait_enqueued_messages_sent()
            emulator.acknowledge("withhold")
            client.create_stream_sender(stream="s").enqueue_message("stays", batch_id="b")
            emulator.accept_connections(False)
            emulator.close_connections()
            gone = changes.wait(lambda change: not change.is_connected)
            eventually("the error shows", lambda: client.status().last_error)
            found += [operations.wait(), client.get_desired_properties(), gone, changes.all()[0], client.status()]
        emulator.accept_connections(True)
        # Under another Device ID the Message is set aside.
        with DeviceClient.start(**dict(options, device_id="another-device")) as client:
            found += client.set_aside_messages()
            found.append(client.status())
        # A damaged file is recovered from.
        with open(options["db"], "r+b") as file:
            file.seek(5000)
            file.write(b"\xff" * 3000)
        with DeviceClient.start(**dict(options, device_id="another-device")) as client:
            found.append(client.status())
            assert found[-1].recovery is not None
            found.append(found[-1].recovery)
    assert {type(value).__name__ for value in found} == set(FIELDS)
    return found


@BY_ALL_WAYS
def test_values_are_copied_and_pickled_with_all_that_they_show(values, again):
    for value in values:
        other = again(value)
        assert other is not value and same(value, other)
        # Also once more.
        assert same(value, again(other))


def test_a_copy_of_desired_properties_shares_its_values_and_a_deep_one_does_not(values):
    (desired,) = [value for value in values if type(value).__name__ == "DesiredProperties"]
    assert copy.copy(desired).values is desired.values
    deep = copy.deepcopy(desired)
    deep.values["a"].append("more")
    assert len(desired.values["a"]) == 4


def test_an_error_that_is_raised_from_a_change_keeps_nothing_alive(spotflow_emulator, start_client):
    changes = Seen()
    client = start_client(spotflow_emulator, connection_changed_callback=changes)
    changes.wait(lambda change: change.is_connected)
    spotflow_emulator.accept_connections(False)
    spotflow_emulator.close_connections()
    changes.wait(lambda change: not change.is_connected)
    eventually("the error shows", lambda: client.status().last_error)

    class Canary:
        pass

    def raise_it(status):
        canary = Canary()
        try:
            raise status.last_error
        except SpotflowError:
            return weakref.ref(canary)

    gone = raise_it(client.status())
    gc.collect()
    assert gone() is None


@BY_ALL_WAYS
def test_messages_are_copied_and_pickled(module_stage, again):
    platform, client = module_stage
    platform.clear_messages()
    messages = [
        Message("text"),
        Message(b"\0\xff", "batch"),
        Message(bytearray(b"x"), batch_id="b", message_id="m", batch_slice_id="s", chunk_id="c"),
    ]
    sender = client.create_stream_sender()
    sender.enqueue_messages(messages)
    sender.enqueue_messages([again(message) for message in messages])
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    received = [(message.payload, message.properties) for message in platform.messages()]
    assert received[:3] == received[3:] and len(received) == 6
    assert received[2][1] == {"batch-id": "b", "message-id": "m", "batch-slice-id": "s", "chunk-id": "c"}


@BY_ALL_WAYS
def test_what_programs_make_themselves_is_copied_and_pickled(again):
    response = MethodResponse(201, {"a": [1, "ü", None]})
    other = again(response)
    assert (other.status, other.payload, repr(other)) == (201, response.payload, repr(response))
    for access in (RemoteAccess(None), RemoteAccess([22, 80], max_tunnels=2, idle_limit=1.5, bytes_per_second=2048)):
        assert again(access) == access
    for pace in (Pace(), Pace(messages_per_second=0.5, bytes_per_second=2048, burst=1.5)):
        assert again(pace) == pace and repr(again(pace)) == repr(pace)


# What is no value


@BY_ALL_WAYS
def test_clients_and_senders_say_what_to_do_instead_of_a_copy(module_stage, again):
    _, client = module_stage
    with pytest.raises(TypeError, match="^a DeviceClient cannot be copied or pickled: share it between threads, and"):
        again(client)
    with pytest.raises(TypeError, match="^a StreamSender cannot be copied or pickled: .* DeviceClient.create_stream_sender"):
        again(client.create_stream_sender())


@BY_ALL_WAYS
def test_a_cloud_message_says_what_to_take_of_it(spotflow_emulator, start_client, again):
    client = start_client(spotflow_emulator, cloud_messages=True)
    spotflow_emulator.send(DEVICE, "command")
    with pytest.raises(TypeError, match="^a CloudMessage cannot be copied or pickled: take its payload"):
        again(client.receive_cloud_message(PATIENCE))


@pytest.mark.parametrize(
    "kind, instead",
    [(DeviceClient, r"DeviceClient\.start"), (StreamSender, r"DeviceClient\.create_stream_sender")],
)
def test_their_constructors_say_how_they_are_made(module_stage, kind, instead):
    for call in (kind, lambda: kind("device", token="token"), lambda: kind(object()), lambda: kind.__new__(kind)):
        with pytest.raises(TypeError, match=f"is made by {instead}"):
            call()


# Callbacks


class Falsy(Seen):
    """A callback that passes for nothing."""

    def __bool__(self):
        return False


def test_a_callback_that_is_false_is_called_like_any_other(start_spotflow_emulator, start_client, capfd):
    emulator = start_spotflow_emulator("--approve", "auto")
    display, desired, connection = Falsy(), Falsy(), Falsy()
    start_client(
        emulator,
        display_provisioning_operation_callback=display,
        desired_properties_updated_callback=desired,
        connection_changed_callback=connection,
    )
    assert display.wait() and desired.wait() and connection.wait()
    assert capfd.readouterr().out == ""


# Arguments that are nearly right


class Pointers(ctypes.Structure):
    _fields_ = [("Object", ctypes.c_int), ("at", ctypes.POINTER(ctypes.c_int))]


class Named(ctypes.Structure):
    _fields_ = [("OPzZ", ctypes.c_int)]


NO_PAYLOADS = {
    "objects": (ctypes.py_object * 1)(object()),
    "addresses": (ctypes.c_void_p * 1)(1),
    "strings by address": (ctypes.c_char_p * 1)(b"x"),
    "wide strings by address": (ctypes.c_wchar_p * 1)("x"),
    "structures with pointers": (Pointers * 1)(),
}


@pytest.mark.parametrize("payload", NO_PAYLOADS.values(), ids=NO_PAYLOADS)
def test_a_buffer_of_pointers_is_no_payload(module_stage, payload):
    _, client = module_stage
    sender = client.create_stream_sender()
    for call in (sender.enqueue_message, sender.send_message, Message):
        with pytest.raises(InvalidTypeError, match="^payload: must be a buffer of values, not of objects or pointers"):
            call(payload)
    with pytest.raises(InvalidTypeError, match="^messages: "):
        sender.enqueue_messages([payload])
    assert client.pending_messages_count == 0


def test_names_in_a_structure_are_no_pointers(module_stage):
    platform, client = module_stage
    platform.clear_messages()
    client.create_stream_sender().send_message((Named * 1)(Named(7)), timeout=PATIENCE)
    assert payloads(platform) == [bytes(Named(7))]


@pytest.mark.parametrize("messages", [{"a": 1}, {}, bytearray(b"x"), memoryview(b""), (ctypes.c_int * 2)(1, 2)])
def test_a_dictionary_or_an_array_is_no_iterable_of_messages(module_stage, messages):
    _, client = module_stage
    with pytest.raises(InvalidTypeError, match="^messages: must be an iterable of Messages, not "):
        client.create_stream_sender().enqueue_messages(messages)


def test_an_infinite_keep_alive_is_refused_in_plain_words(module_stage, tmp_path):
    platform, _ = module_stage
    with pytest.raises(InvalidArgumentError, match="^keep_alive: must not be infinite$"):
        DeviceClient.start(**arguments(platform, tmp_path, keep_alive=float("inf")))


def test_a_type_that_is_not_pythons_own_is_told_with_its_module(module_stage, tmp_path):
    platform, _ = module_stage

    class bool:
        __module__ = "numbers_of_others"
        __qualname__ = "bool"

    with pytest.raises(InvalidTypeError, match="^cloud_messages: must be bool, not numbers_of_others.bool$"):
        DeviceClient.start(**arguments(platform, tmp_path, cloud_messages=bool()))
    with pytest.raises(InvalidTypeError, match="^keep_alive: .*, not datetime.timedelta$"):
        DeviceClient.start(**arguments(platform, tmp_path, keep_alive=datetime.timedelta(minutes=1)))


# With numpy, where it is installed, as by .ci/python

try:
    import numpy
except ImportError:
    numpy = None

if numpy is not None:

    def test_arrays_of_numbers_are_payloads_and_those_of_objects_are_not(module_stage):
        platform, client = module_stage
        platform.clear_messages()
        sender = client.create_stream_sender()
        good = [
            numpy.array([1.5, 2.5]),
            numpy.array([1 + 2j]),
            numpy.array([[1, 2], [3, 4]], dtype="int16"),
            numpy.array([(1, 2.5)], dtype=[("Object", "i4"), ("Z", "f8")]),
        ]
        for array in good:
            sender.send_message(array, timeout=PATIENCE)
        assert payloads(platform) == [array.tobytes() for array in good]
        for array in (numpy.array([object()]), numpy.array([(1, "x")], dtype=[("a", "i4"), ("b", object)])):
            with pytest.raises(InvalidTypeError, match="^payload: "):
                sender.enqueue_message(array)
        with pytest.raises(InvalidTypeError, match="^messages: must be an iterable of Messages, not numpy.ndarray$"):
            sender.enqueue_messages(numpy.array([1.5, 2.5]))

    def test_a_bool_of_numpys_is_told_apart_from_pythons(module_stage, tmp_path):
        platform, _ = module_stage
        with pytest.raises(InvalidTypeError, match="^cloud_messages: must be bool, not numpy.bool_?$"):
            DeviceClient.start(**arguments(platform, tmp_path, cloud_messages=numpy.bool_(True)))


def test_every_value_that_is_public_is_tried_here():
    kinds = {name for name in spotflow_device.__all__ if isinstance(getattr(spotflow_device, name), type)}
    errors = {name for name in kinds if name.endswith("Error")}
    assert kinds - errors - {kind.__name__ for kind in CHOICES} == set(FIELDS) | {
        "DeviceClient",
        "StreamSender",
        "CloudMessage",
        "Message",
        "MethodRequest",
        "MethodResponse",
        "Pace",
        "RemoteAccess",
    }
