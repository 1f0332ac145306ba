"""Payloads and ids on their way from Python to the Platform."""

import array
import ctypes
import mmap

import pytest
from spotflow_device import Durability, InvalidArgumentError, InvalidTypeError, Message, SpotflowError

from support import PATIENCE, cut_off, payloads

MAX_PAYLOAD_BYTES = 64 * 1024 * 1024

IDS = ["batch_id", "message_id", "batch_slice_id", "chunk_id"]
ODD_TEXTS = ["ä b/c&d=e?f#g+h%20", "\U0001f600", "\0", "\n", "名前", "é" * 1000, " ", "$sys", "a,b;c'\"\\"]


def mapped(content):
    area = mmap.mmap(-1, len(content))
    area.write(content)
    return area


class Text(str):
    pass


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_uint16), ("y", ctypes.c_uint16)]


#: What is sent, and what has to arrive.
GOOD = {
    "str": ("grüße \U0001f600", "grüße \U0001f600".encode()),
    "str with NUL": ("a\0b", b"a\0b"),
    "subclass of str": (Text("text"), b"text"),
    "empty str": ("", b""),
    "bytes": (bytes(range(256)), bytes(range(256))),
    "empty bytes": (b"", b""),
    "bytearray": (bytearray(b"\x00\xff"), b"\x00\xff"),
    "empty bytearray": (bytearray(), b""),
    "memoryview": (memoryview(b"abc"), b"abc"),
    "empty memoryview": (memoryview(b""), b""),
    "slice of a memoryview": (memoryview(b"abcdef")[2:4], b"cd"),
    "memoryview of wide items": (memoryview(b"abcdefgh").cast("I"), b"abcdefgh"),
    "memoryview of two dimensions": (memoryview(b"abcdef").cast("B", (2, 3)), b"abcdef"),
    "memoryview of three dimensions of wide items": (
        memoryview(bytes(range(48))).cast("H", (2, 3, 4)),
        bytes(range(48)),
    ),
    "array of bytes": (array.array("B", [1, 2, 3]), b"\x01\x02\x03"),
    "array of doubles": (array.array("d", [1.5, -2.25]), array.array("d", [1.5, -2.25]).tobytes()),
    "empty array": (array.array("d"), b""),
    "mmap": (mapped(b"mapped"), b"mapped"),
    "ctypes array": ((ctypes.c_char * 3)(b"a", b"b", b"c"), b"abc"),
    "ctypes array of wide items": ((ctypes.c_uint16 * 2)(1, 2), bytes((ctypes.c_uint16 * 2)(1, 2))),
    "ctypes array of structures": ((Point * 1)(Point(3, 4)), bytes(Point(3, 4))),
    "ctypes array of two dimensions": (((ctypes.c_uint8 * 2) * 2)((1, 2), (3, 4)), b"\x01\x02\x03\x04"),
    "at the threshold": (b"\xa7" * 250000, b"\xa7" * 250000),
    "over the threshold": (b"\xa8" * 250001, b"\xa8" * 250001),
    "large str": ("ü" * 200000, ("ü" * 200000).encode()),
}


def closed_mmap():
    area = mmap.mmap(-1, 8)
    area.close()
    return area


def released_view():
    view = memoryview(b"abc")
    view.release()
    return view


class BrokenBuffer:
    """Has a buffer where Python classes can, and then one that fails."""

    def __buffer__(self, flags):
        raise RuntimeError("broken")


class HasBytes:
    def __bytes__(self):
        return b"only if asked for"


#: What is refused, and with which error.
BAD = {
    "every second byte": (memoryview(b"abcdef")[::2], InvalidArgumentError),
    "backwards": (memoryview(b"abcdef")[::-1], InvalidArgumentError),
    "a closed mmap": (closed_mmap(), SpotflowError),
    "a released memoryview": (released_view(), SpotflowError),
    "a broken buffer": (BrokenBuffer(), SpotflowError),
    "a lone surrogate": ("a\ud800b", InvalidArgumentError),
    "int": (5, InvalidTypeError),
    "bool": (True, InvalidTypeError),
    "float": (1.5, InvalidTypeError),
    "list": ([1, 2], InvalidTypeError),
    "tuple": ((1, 2), InvalidTypeError),
    "dict": ({"a": 1}, InvalidTypeError),
    "None": (None, InvalidTypeError),
    "object": (object(), InvalidTypeError),
    "class": (bytes, InvalidTypeError),
    "what has only __bytes__": (HasBytes(), InvalidTypeError),
    "a Message": (Message(b"x"), InvalidTypeError),
}


def arrived(platform):
    return [(message.payload, message.external) for message in platform.messages()]


@pytest.mark.parametrize("payload, content", GOOD.values(), ids=GOOD)
def test_what_is_text_or_a_contiguous_buffer_arrives_as_it_is(module_stage, payload, content):
    platform, client = module_stage
    platform.clear_messages()
    sender = client.create_stream_sender()
    sender.enqueue_message(payload, message_id="1")
    sender.enqueue_messages([payload, Message(payload, message_id="3")])
    sender.send_message(payload, message_id="4", timeout=PATIENCE)
    assert arrived(platform) == [(content, len(content) > 250000)] * 4


@pytest.mark.parametrize("payload, error", BAD.values(), ids=BAD)
def test_what_is_no_payload_is_refused_by_name_and_nothing_is_stored(module_stage, payload, error):
    platform, client = module_stage
    platform.clear_messages()
    sender = client.create_stream_sender()
    for call in (sender.enqueue_message, sender.send_message):
        with pytest.raises(error, match="^payload: "):
            call(payload)
    sender.send_message("after", timeout=PATIENCE)
    assert [message.payload for message in platform.messages()] == [b"after"]


def test_a_payload_of_64_mib_is_stored_and_a_larger_one_is_refused(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator, durability=Durability.KILL_SAFE)
    cut_off(spotflow_emulator, client)
    sender = client.create_stream_sender()
    sender.enqueue_message(bytes(MAX_PAYLOAD_BYTES))
    assert client.status().pending_bytes == MAX_PAYLOAD_BYTES
    larger = bytes(MAX_PAYLOAD_BYTES + 1)
    for payload in (larger, larger.decode(), memoryview(larger)):
        for call in (sender.enqueue_message, sender.send_message, lambda payload: sender.enqueue_messages([payload])):
            with pytest.raises(InvalidArgumentError, match=f"^payload: .*{MAX_PAYLOAD_BYTES}"):
                call(payload)
    assert client.pending_messages_count == 1


def test_a_payload_is_taken_at_once_and_its_buffer_let_go(module_stage):
    platform, client = module_stage
    platform.clear_messages()
    sender = client.create_stream_sender()
    content = bytearray(b"before")
    sender.enqueue_message(content)
    message = Message(content)
    # Impossible while somebody holds the buffer.
    content[:] = b"afterwards"
    area = mapped(b"mapped")
    sender.enqueue_message(area)
    area.close()
    sender.enqueue_messages([message])
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    assert payloads(platform) == [b"before", b"mapped", b"before"]


@pytest.mark.parametrize("name", IDS)
def test_ids_arrive_whatever_they_are_made_of(module_stage, name):
    platform, client = module_stage
    platform.clear_messages()
    sender = client.create_stream_sender()
    for text in ODD_TEXTS:
        sender.enqueue_message(b"x", **{name: text})
        sender.enqueue_messages([Message(b"x", **{name: text})])
        sender.send_message(b"x", **{name: text})
    expected = [{name.replace("_", "-"): text} for text in ODD_TEXTS for _ in range(3)]
    assert [message.properties for message in platform.messages()] == expected


def test_completions_arrive_whatever_their_ids_are_made_of(module_stage):
    platform, client = module_stage
    platform.clear_messages()
    sender = client.create_stream_sender()
    for text in ODD_TEXTS:
        sender.enqueue_message_completion(text, text[::-1])
        sender.enqueue_batch_completion(text)
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    told = [(message.properties["batch-id"], message.properties.get("message-id")) for message in platform.messages()]
    assert told == [pair for text in ODD_TEXTS for pair in ((text, text[::-1]), (text, None))]


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_streams_arrive_whatever_their_names_are_made_of(module_stage, text):
    platform, client = module_stage
    platform.clear_messages()
    client.create_stream_sender(text, text[::-1]).send_message(b"x", timeout=PATIENCE)
    assert platform.messages()[0].properties == {"stream-group-name": text, "stream-name": text[::-1]}


def test_many_messages_are_stored_in_their_order(module_stage):
    platform, client = module_stage
    platform.clear_messages()
    sender = client.create_stream_sender()
    sender.enqueue_messages(str(number) for number in range(100))
    sender.enqueue_messages(iter(["100", Message("101", "b", "m", "s", "c"), b"102"]))
    sender.enqueue_messages(("103", bytearray(b"104")))
    sender.enqueue_messages([])
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    assert payloads(platform) == [str(number).encode() for number in range(105)]
    ids = {"batch-id": "b", "message-id": "m", "batch-slice-id": "s", "chunk-id": "c"}
    assert [message.properties for message in platform.messages()][100:103] == [{}, ids, {}]


def test_a_message_can_be_stored_again(module_stage):
    platform, client = module_stage
    platform.clear_messages()
    message = Message(payload="again", batch_id="b")
    client.create_stream_sender().enqueue_messages([message, "between", message])
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    assert payloads(platform) == [b"again", b"between", b"again"]


@pytest.mark.parametrize(
    "bad", [5, None, "a\ud800", memoryview(b"abcd")[::2], ["x"]], ids=lambda bad: type(bad).__name__
)
@pytest.mark.parametrize("position", [0, 1, 2])
def test_one_bad_message_keeps_all_from_being_stored(module_stage, bad, position):
    _, client = module_stage
    sender = client.create_stream_sender()
    messages = ["good", Message("good too"), "good as well"]
    messages[position] = bad
    with pytest.raises((InvalidTypeError, InvalidArgumentError), match="^(messages|payload): "):
        sender.enqueue_messages(messages)
    assert client.pending_messages_count == 0


def test_a_bad_id_keeps_all_from_being_stored(module_stage):
    _, client = module_stage
    sender = client.create_stream_sender()
    with pytest.raises(InvalidArgumentError, match="^batch_id: "):
        sender.enqueue_messages(["good", Message("x", batch_id="")])
    assert client.pending_messages_count == 0


def test_an_exception_of_the_iterable_comes_out_and_nothing_is_stored(module_stage):
    _, client = module_stage

    def broken():
        yield "good"
        raise KeyError("of the generator")

    with pytest.raises(KeyError, match="of the generator"):
        client.create_stream_sender().enqueue_messages(broken())
    assert client.pending_messages_count == 0


def test_a_generator_may_use_the_client(module_stage):
    platform, client = module_stage
    platform.clear_messages()
    sender = client.create_stream_sender()

    def numbers():
        for number in range(3):
            sender.send_message(f"first {number}", timeout=PATIENCE)
            yield f"then {number}"

    sender.enqueue_messages(numbers())
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    assert payloads(platform) == [f"{word} {number}".encode() for word in ("first", "then") for number in range(3)]


@pytest.mark.parametrize("one", ["text", b"bytes", bytearray(b"ab"), memoryview(b"ab"), Message("x"), 5, None])
def test_one_message_is_not_taken_for_many(module_stage, one):
    refused_as_many(module_stage[1], one)


@pytest.mark.parametrize("one", ["", b"", bytearray(), memoryview(b"")], ids=lambda one: type(one).__name__)
def test_an_empty_payload_is_not_taken_for_none(module_stage, one):
    refused_as_many(module_stage[1], one)


def refused_as_many(client, one):
    with pytest.raises(InvalidTypeError, match="^messages: "):
        client.create_stream_sender().enqueue_messages(one)
    assert client.pending_messages_count == 0
