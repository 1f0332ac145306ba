"""Desired Properties come, Reported Properties go, and nothing of a value is lost on the way."""

import enum
import gc
import math
import random
import sys
import threading
from collections import OrderedDict, defaultdict

import pytest
from spotflow_device import InvalidArgumentError, InvalidTypeError, SpotflowError

from support import DEVICE, PATIENCE, Seen, cut_off, eventually, in_thread

SEEDS = [random.SystemRandom().randrange(2 ** 32) for _ in range(3)] + [1]


def same(left, right):
    """Whether these are the same values of the same types; 1, 1.0 and True are not, nor 0.0 and -0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    return left == right


SPECIAL = {
    "true": True,
    "false": False,
    "zero": 0,
    "one": 1,
    "one_as_float": 1.0,
    "largest_signed": 2 ** 63 - 1,
    "smallest_signed": -(2 ** 63),
    "just_unsigned": 2 ** 63,
    "largest_unsigned": 2 ** 64 - 1,
    "over_53_bits": 2 ** 53 + 1,
    "tenth": 0.1,
    "negative_zero": -0.0,
    "smallest_normal": sys.float_info.min,
    "subnormal": 5e-324,
    "large_subnormal": 2.225073858507201e-308,
    "huge": 1e308,
    "largest": sys.float_info.max,
    "smallest": -sys.float_info.max,
    "exact": 123456789.12345679,
    "whole_but_float": 1e16,
    "empty_text": "",
    "text": "grüße \U0001f600 名前",
    "astral_last": "\U0010ffff",
    "nul": "a\0b",
    "controls": "".join(map(chr, range(32))) + "\x7f\x80\u2028\u2029\ufeff\uffff",
    "quotes": "\"\\/'",
    "long": "ä" * 2000,
    "numbers_in_text": "1e400",
    "empty_list": [],
    "list": [1, 1.0, True, "1", [], [[]], [[1], [2.5, [-0.0]]]],
    "objects_in_list": [{"a": 1}, {"b": {"c": [2]}}],
    "schlüssel": {"ключ": {"\U0001f600": 1}},
    "ten_levels": {"2": {"3": {"4": {"5": {"6": {"7": {"8": {"9": {"10": {"11": 1}}}}}}}}}},
}


class Documents:
    """Random documents within the hub's rules."""

    def __init__(self, seed):
        self._random = random.Random(seed)

    def document(self):
        return {key: self._value(1) for key in self._keys(12)}

    def _value(self, depth):
        kinds = [self._integer, self._float, self._text, self._boolean]
        if depth < 6:
            kinds += [lambda: self._list(depth), lambda: self._object(depth)]
        return self._random.choice(kinds)()

    def _list(self, depth):
        return [self._value(depth + 1) for _ in range(self._random.randrange(4))]

    def _object(self, depth):
        # Not empty: whether the hub keeps an empty object is not the package's matter.
        return {key: self._value(depth + 1) for key in self._keys(4)}

    def _keys(self, most):
        count = self._random.randrange(1, most + 1)
        return {"".join(self._random.choice("abcäß_-名\U0001f600") for _ in range(5)) for _ in range(count)}

    def _boolean(self):
        return self._random.random() < 0.5

    def _integer(self):
        number = self._random.getrandbits(self._random.randrange(1, 65))
        return -number if number <= 2 ** 63 and self._boolean() else number

    def _float(self):
        return math.ldexp(self._random.uniform(-1, 1), self._random.randrange(-1073, 1024))

    def _text(self):
        def character():
            area = self._random.choice([(0, 0x7F), (0x80, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x10FFFF)])
            return chr(self._random.randint(*area))

        return "".join(character() for _ in range(self._random.randrange(20)))


# Both ways, without loss


@pytest.mark.parametrize("name", SPECIAL)
def test_a_value_is_reported_and_desired_without_loss(module_stage, name):
    platform, client = module_stage
    document = {name: SPECIAL[name]}
    report(platform, client, document)
    desire(platform, client, document)


def report(platform, client, document):
    client.update_reported_properties(document)
    eventually("it is reported", lambda: not client.any_pending_reported_properties_updates)
    assert same(platform.reported(DEVICE).properties, document)


def desire(platform, client, document):
    version = platform.set_desired(DEVICE, document)
    newer = eventually("it arrives", lambda: client.get_desired_properties_if_newer(version - 1))
    assert newer.version == version
    assert same(newer.values, document)
    assert same(client.get_desired_properties().values, document)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_documents_are_reported_and_desired_without_loss(module_stage, seed):
    print("seed", seed)
    platform, client = module_stage
    documents = Documents(seed)
    for _ in range(15):
        document = documents.document()
        report(platform, client, document)
        desire(platform, client, document)


def test_desired_properties_survive_a_restart_without_loss(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator)
    version = spotflow_emulator.set_desired(DEVICE, SPECIAL)
    eventually("they arrive", lambda: client.get_desired_properties().version == version)
    cut_off(spotflow_emulator, client)
    client.close()
    # Offline: from the file.
    client = start_client(spotflow_emulator)
    assert client.get_desired_properties().version == version
    assert same(client.get_desired_properties().values, SPECIAL)


def test_reported_properties_survive_a_restart_without_loss(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator)
    cut_off(spotflow_emulator, client)
    client.update_reported_properties(SPECIAL)
    client.close()
    spotflow_emulator.accept_connections(True)
    client = start_client(spotflow_emulator)
    eventually("they are reported", lambda: not client.any_pending_reported_properties_updates)
    assert same(spotflow_emulator.reported(DEVICE).properties, SPECIAL)


class Level(enum.IntEnum):
    HIGH = 7


class Text(str):
    pass


def test_subclasses_and_tuples_are_reported_as_what_json_has(module_stage):
    platform, client = module_stage
    ordered = OrderedDict([("b", 1), ("a", (1, (2.5,)))])
    counted = defaultdict(int, n=Level.HIGH)
    client.update_reported_properties({"ordered": ordered, "counted": counted, "text": Text("x"), Text("key"): ()})
    expected = {"ordered": {"b": 1, "a": [1, [2.5]]}, "counted": {"n": 7}, "text": "x", "key": []}
    platform.wait_reported(DEVICE, expected)


def test_what_is_none_or_left_out_is_removed(module_stage):
    platform, client = module_stage
    report(platform, client, {"stays": 1, "goes": 2, "inside": {"stays": 3, "goes": 4}})
    client.update_reported_properties({"stays": 1, "goes": None, "inside": {"stays": 3}})
    platform.wait_reported(DEVICE, {"stays": 1, "inside": {"stays": 3}})
    client.update_reported_properties({})
    platform.wait_reported(DEVICE, {})


def test_what_is_reported_is_taken_at_once(module_stage):
    platform, client = module_stage
    document = {"list": [1], "object": {"a": 1}}
    client.update_reported_properties(document)
    document["list"].append(2)
    document["object"]["a"] = 2
    platform.wait_reported(DEVICE, {"list": [1], "object": {"a": 1}})


def test_desired_values_are_the_objects_own(module_stage):
    platform, client = module_stage
    version = platform.set_desired(DEVICE, {"list": [1]})
    eventually("it arrives", lambda: client.get_desired_properties().version == version)
    desired = client.get_desired_properties()
    desired.values["list"].append(2)
    desired.values["more"] = 3
    # As of any attribute; and nobody else's.
    assert desired.values == {"list": [1, 2], "more": 3}
    assert client.get_desired_properties().values == {"list": [1]}
    assert "list" in repr(desired) and str(version) in repr(desired)


# What JSON cannot say


def self_containing_list():
    endless = [1]
    endless.append(endless)
    return {"outer": endless}


def self_containing_dict():
    endless = {}
    endless["inner"] = endless
    return endless


def deep(levels):
    value = 1
    for _ in range(levels):
        value = {"k": value}
    return value


def deep_list(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return {"list": value}


def doubled(levels):
    """Each level holds the one below twice: written out, it would fill all memory."""
    value = []
    for _ in range(levels):
        value = [value, value]
    return {"list": value}


NAN, INFINITY = float("nan"), float("inf")

#: What is refused, and the path that is told.
BAD_VALUES = {
    "NaN": ({"a": NAN}, '"a"'),
    "infinity": ({"a": {"b": [0, INFINITY]}}, '"a.b[1]"'),
    "negative infinity": ({"a": [[-INFINITY]]}, '"a[0][0]"'),
    "2**64": ({"a": {"big": 2 ** 64}}, '"a.big"'),
    "-2**63 - 1": ({"a": -(2 ** 63) - 1}, '"a"'),
    "10**400": ({"a": [1, 2, 10 ** 400]}, '"a[2]"'),
    "a lone surrogate": ({"a": {"b": "x\ud800"}}, '"a.b"'),
    "a key with a lone surrogate": ({"a": {"\udc80": 1}}, '"a"'),
    "a list in itself": (self_containing_list(), '"outer[1][1]'),
    "a dict in itself": (self_containing_dict(), '"inner.inner.inner'),
    "dicts nested too deep": (deep(12), '"k.k.k.k.k.k.k.k.k.k.k'),
    "dicts nested deeper than Python's stack": (deep(100000), '"k.k.k.k.k.k.k.k.k.k.k'),
    "lists nested too deep": (deep_list(11), '"list[0][0][0][0][0][0][0][0][0][0]'),
    "lists nested deeper than Python's stack": (deep_list(100000), '"list[0][0][0][0][0][0][0][0][0][0]'),
    "lists of one list twice": (doubled(60), '"list[0][0][0][0][0][0][0][0][0][0]'),
    "None in a list": ({"a": [1, None]}, '"a[1]"'),
    "a key with a dot": ({"a": {"b.c": 1}}, '"a"'),
    "a key with a dollar sign": ({"a": [{"$b": 1}]}, '"a[0]"'),
    "a key with a space": ({"a b": 1}, "a b"),
    "a key with NUL": ({"a": {"b\0": 1}}, '"a"'),
    "an empty key": ({"a": {"": 1}}, '"a"'),
    "a long string": ({"a": {"b": "x" * 4097}}, '"a.b"'),
    "too much together": ({f"k{number}": "x" * 4096 for number in range(9)}, "32768"),
}

BAD_TYPES = {
    "a set": ({"a": {"b": {1}}}, '"a.b"'),
    "bytes": ({"a": [b"x"]}, '"a[0]"'),
    "an object": ({"a": object()}, '"a"'),
    "a complex number": ({"a": 1j}, '"a"'),
    "a generator": ({"a": (number for number in range(3))}, '"a"'),
    "a key of int": ({"a": {1: 2}}, '"a"'),
    "a key of None": ({"a": {"b": {None: 2}}}, '"a.b"'),
    "a key of bytes": ({"a": [{b"k": 2}]}, '"a[0]"'),
    "a key of bool at the top": ({True: 2}, "key"),
    "a list": ([{"a": 1}], "dict"),
    "text": ('{"a": 1}', "dict"),
    "None": (None, "dict"),
}


@pytest.mark.parametrize("document, path", BAD_VALUES.values(), ids=BAD_VALUES)
def test_what_json_or_the_hub_cannot_take_is_refused_with_its_path(module_stage, document, path):
    _, client = module_stage
    check_refused(client, document, path, InvalidArgumentError)


@pytest.mark.parametrize("document, path", BAD_TYPES.values(), ids=BAD_TYPES)
def test_what_is_of_no_json_type_is_refused_with_its_path(module_stage, document, path):
    _, client = module_stage
    check_refused(client, document, path, InvalidTypeError)


def check_refused(client, document, path, kind):
    with pytest.raises(SpotflowError) as caught:
        client.update_reported_properties(document)
    assert type(caught.value) is kind
    assert str(caught.value).startswith("properties: ")
    assert path in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert client.any_pending_reported_properties_updates is False


# The callback


def test_the_callback_is_called_right_after_the_start_and_after_each_update(spotflow_emulator, start_client):
    seen = Seen()
    client = start_client(spotflow_emulator, desired_properties_updated_callback=seen)
    first = seen.wait()
    assert (first.version, first.values) == (client.get_desired_properties().version, {})
    for number in range(1, 4):
        version = spotflow_emulator.patch_desired(DEVICE, {"number": number})
        update = seen.wait(lambda desired: desired.version == version)
        assert update.values == {"number": number}
    assert [desired.version for desired in seen.all()] == list(range(first.version, first.version + 4))


def test_the_callback_gets_the_stored_properties_when_there_is_no_network(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator)
    version = spotflow_emulator.set_desired(DEVICE, {"stored": True})
    eventually("they arrive", lambda: client.get_desired_properties().version == version)
    cut_off(spotflow_emulator, client)
    client.close()
    seen = Seen()
    start_client(spotflow_emulator, desired_properties_updated_callback=seen)
    assert (seen.wait().version, seen.wait().values) == (version, {"stored": True})


def test_the_callback_runs_in_a_thread_of_its_own(spotflow_emulator, start_client):
    threads = Seen()
    start_client(
        spotflow_emulator,
        desired_properties_updated_callback=lambda desired: threads(threading.current_thread()),
        connection_changed_callback=lambda change: threads(threading.current_thread()),
    )
    eventually("both are called", lambda: len(threads.all()) == 2)
    assert len(set(threads.all())) == 1
    thread = threads.wait()
    assert thread is not threading.current_thread()
    assert thread.name.startswith("spotflow_device")


def test_a_slow_callback_sees_only_the_latest_version(spotflow_emulator, start_client):
    seen, go_on = Seen(), threading.Event()

    def slow(desired):
        seen(desired)
        assert go_on.wait(PATIENCE)

    client = start_client(spotflow_emulator, desired_properties_updated_callback=slow)
    first = seen.wait()
    for number in range(20):
        last = spotflow_emulator.set_desired(DEVICE, {"number": number})
    eventually("all have arrived", lambda: client.get_desired_properties().version == last)
    go_on.set()
    assert seen.wait(lambda desired: desired.version == last).values == {"number": 19}
    assert [desired.version for desired in seen.all()] == [first.version, last]


def test_an_update_is_newer_than_the_version_before(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator)
    before = client.get_desired_properties().version
    assert client.get_desired_properties_if_newer(before) is None
    assert client.get_desired_properties_if_newer(2 ** 64 - 1) is None
    after = spotflow_emulator.set_desired(DEVICE, {"a": 1})
    newer = eventually("it arrives", lambda: client.get_desired_properties_if_newer(before))
    assert (newer.version, newer.values) == (after, {"a": 1})
    assert client.get_desired_properties_if_newer(after) is None


def test_who_asks_before_any_came_waits_for_them_or_gets_none(spotflow_emulator, start_client):
    spotflow_emulator.go_silent()
    client = start_client(spotflow_emulator)
    assert client.get_desired_properties_if_newer() is None
    waiting = in_thread(client.get_desired_properties)
    assert not waiting.done()
    spotflow_emulator.go_silent(False)
    assert waiting.result(PATIENCE).values == {}


def test_what_is_reported_is_sent_as_the_difference(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator)
    for document in ({"a": 1, "b": {"c": [1], "d": 2}}, {"a": 1, "b": {"c": [2]}}, {"a": 1, "b": {"c": [2]}}):
        client.update_reported_properties(document)
        eventually("it is reported", lambda: not client.any_pending_reported_properties_updates)
    assert spotflow_emulator.reported_patches(DEVICE) == [
        {"a": 1, "b": {"c": [1], "d": 2}},
        {"b": {"c": [2], "d": None}},
    ]


# A document that others change


def confirmed(emulator, client):
    """The Reported Properties, once the Platform has all of them."""
    eventually("they are confirmed", lambda: not client.any_pending_reported_properties_updates)
    return emulator.reported(DEVICE).properties


def test_a_document_that_the_garbage_collector_changes_on_the_way_is_taken_as_it_was(module_stage):
    """Finalizers may run wherever something is made, as here an error on a number's way."""
    emulator, client = module_stage
    document = {"a": {str(number): 2 ** 63 + number for number in range(200)}, "list": [2 ** 63] * 200}
    expected = {"a": dict(document["a"]), "list": list(document["list"])}
    changes = []

    def change(phase, info):
        changes.append(phase)
        for thing in (document, document["a"]):
            thing["added-%d" % len(changes)] = 1
        del document["list"][100:]

    before = gc.get_threshold()
    gc.callbacks.append(change)
    gc.set_threshold(1)
    try:
        # Only beside another error Python before 3.12 makes one of its own at once.
        raise KeyError
    except KeyError:
        client.update_reported_properties(document)
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(change)
    reported = confirmed(emulator, client)
    assert {key: value for key, value in reported["a"].items() if not key.startswith("added")} == expected["a"]
    assert reported["list"] in (expected["list"], expected["list"][:100])


@pytest.mark.parametrize("container", [dict, OrderedDict, defaultdict])
def test_a_document_that_another_thread_changes_is_one_that_it_was_at_some_time(module_stage, container):
    emulator, client = module_stage
    document = container()
    document["stays"] = {"a": 1}
    stop = threading.Event()
    before = sys.getswitchinterval()

    def change():
        number = 0
        while not stop.is_set():
            number += 1
            document[f"comes-{number % 50}"] = 2 ** 63 + number
            document["stays"][f"comes-{number % 7}"] = [number] * (number % 5)
            document.pop(f"comes-{(number + 25) % 50}", None)

    sys.setswitchinterval(1e-6)
    changing = in_thread(change)
    try:
        for _ in range(300):
            client.update_reported_properties(document)
    finally:
        stop.set()
        sys.setswitchinterval(before)
    assert changing.result(PATIENCE) is None
    assert confirmed(emulator, client)["stays"]["a"] == 1
