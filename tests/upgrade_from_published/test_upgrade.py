"""A device that ran the published SDK goes on with this one, whatever it had not sent yet."""

import os
import random
import shutil
import sqlite3
import time

import pytest

from spotflow_emulator import AckMode, Route
from upgraded import is_ours, stored_texts

DEVICE = "wheel-1"


def message(payload, **ids):
    return ("enqueue_message", {"payload": payload, **ids})


TEXT = b"temperature " * 200
NOISE = os.urandom(300)
RESERVED = "AZaz09-._~ !\"#$%&'()*+,/:;<=>?@[\\]^`{|}\x7f\u00e9\U0001f680"
CHUNKS = {"batch_id": "b 1", "message_id": "m&1"}

#: The options of senders, and what they send: every kind of Message that there is.
SENDERS = [
    ((None, None, None), [message(b"first"), message(b""), message(b"\x00\xff"), message(TEXT)]),
    (("group", "stream", "UNCOMPRESSED"), [message(TEXT), message(NOISE, batch_id="b", message_id="m")]),
    (("group", None, "FASTEST"), [message(TEXT), message(NOISE), message(b""), message(b"x" * 3_000_000)]),
    ((None, "stream", "SMALLEST_SIZE"), [message(TEXT), message(NOISE), message(b""), message(b"short")]),
    (
        ("group", "stream", "FASTEST"),
        [
            message(b"c0", **CHUNKS, batch_slice_id="slice", chunk_id="c0"),
            message(TEXT, **CHUNKS, batch_slice_id="slice", chunk_id="c1"),
            ("enqueue_message_completion", CHUNKS),
            ("enqueue_batch_completion", {"batch_id": "b 1"}),
            message(b"reserved", batch_id=RESERVED),
        ],
    ),
    (
        ("group", "stream", "FASTEST"),
        [message(os.urandom(250_000)), message(os.urandom(250_001), batch_id="large"), message(os.urandom(400_000))],
    ),
    ((None, None, None), [message(b"last")]),
]
COUNT = sum(len(messages) for _, messages in SENDERS)


def what_arrived(messages):
    """Without the direct repeats, which the Platform drops: properties as they were in the topic, and content."""
    assert not any(message.payload_error for message in messages)
    return [
        (message.topic.split("/messages/events/")[1], message.external, message.payload)
        for message in messages
        if not message.repeat
    ]


def take_the_network_away(emulator):
    emulator.accept_connections(False)
    emulator.close_connections()
    emulator.wait_connected(DEVICE, connected=False)


def test_an_upgraded_device_sends_what_the_published_sdk_would_have_sent(emulator, start_published, start_upgraded, database):
    reference = start_published(device_id="reference", database=database.with_name("reference.db"))
    reference.store(SENDERS)
    reference.wait_sent()
    reference.kill()

    published = start_published()
    emulator.wait_connected(DEVICE)
    desired_version = emulator.set_desired(DEVICE, {"interval": 5, "deep": {"a": [1, 2.5]}})
    for number in range(3):
        emulator.send(DEVICE, f"{number}", properties={"k": f"v \u00e4 {number}"})
    emulator.wait_cloud_messages(DEVICE, waiting=0)
    emulator.acknowledge(AckMode.WITHHOLD)
    published.store(SENDERS)
    emulator.wait_messages(COUNT + 1)
    take_the_network_away(emulator)
    published.report({"a": 1, "b": {"c": True}})
    published.report({"b": {"c": False, "d": "x"}})
    assert published.pending() == COUNT
    published.kill()
    approvals = emulator.request_count(Route.INIT)

    emulator.accept_connections(True)
    emulator.acknowledge(AckMode.IMMEDIATELY)
    upgraded = start_upgraded("send")
    emulator.wait_reported(DEVICE, {"b": {"c": False, "d": "x"}})
    identity, desired, *cloud_messages = upgraded.end(cloud_messages=3)

    assert emulator.request_count(Route.INIT) == approvals
    assert identity["device_id"] == DEVICE
    assert identity["workspace_id"] == emulator.workspace_id
    assert identity["set_aside"] == 0
    sent = emulator.messages(device=DEVICE)
    # The first one was under way, and is sent once more, directly after itself.
    assert [message.repeat for message in sent] == [False, True] + [False] * (COUNT - 1)
    assert what_arrived(sent) == what_arrived(emulator.messages(device="reference"))
    assert desired == {"version": desired_version, "desired": {"interval": 5, "deep": {"a": [1, 2.5]}}}
    assert cloud_messages == [
        {"payload": f"{number}", "properties": [["k", f"v \u00e4 {number}"]]} for number in range(3)
    ]


def test_the_file_is_refused_while_the_published_sdk_runs_which_goes_on(emulator, start_published, start_upgraded, database):
    published = start_published()
    failure = start_upgraded("look").failure()
    assert f"in use by another client (process {published.process_id})" in failure
    published.store([((None, None, None), [message(b"still running")])])
    published.wait_sent()
    assert [message.payload for message in emulator.wait_messages(1)] == [b"still running"]
    assert not is_ours(database)


def test_an_upgrade_that_was_rolled_back_and_done_again_loses_nothing(
    emulator, start_published, start_upgraded, database
):
    def published_stores(content):
        published = start_published()
        published.store([((None, None, None), [message(content)])])
        published.kill()

    emulator.acknowledge(AckMode.WITHHOLD)
    published_stores(b"before")
    start_upgraded("look").end()
    published_stores(b"rolled back")
    assert start_upgraded("look").end()[0]["pending"] == 2
    assert stored_texts(database) == ["before", "rolled back"]
    emulator.acknowledge(AckMode.IMMEDIATELY)
    start_upgraded("send").end()
    # The first may be a repeat of what was under way.
    assert [message.payload for message in emulator.messages()][-2:] == [b"before", b"rolled back"]


@pytest.mark.parametrize("until", [1, 20, 57, 200])
def test_a_device_killed_while_it_stored_loses_nothing(emulator, start_published, start_upgraded, database, until):
    emulator.acknowledge(AckMode.WITHHOLD)
    published = start_published()
    told = published.store_numbers(until)
    last = published.kill()
    stored = told if last is None else last
    [state] = start_upgraded("look").end()
    # One more may have been stored whose storing was not told.
    assert state["pending"] in (stored + 1, stored + 2)
    assert stored_texts(database) == [str(number) for number in range(state["pending"])]
    assert sorted(os.listdir(database.parent)) == ["device.db", "device.db-lock", "device.db-sent"]


def test_a_take_over_that_is_killed_leaves_a_file_that_either_sdk_starts_on(
    emulator, start_published, start_upgraded, database
):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    emulator.acknowledge(AckMode.WITHHOLD)
    published = start_published()
    published.kill()
    texts = [str(number) for number in range(5000)]
    with sqlite3.connect(database) as file:
        file.executemany(
            "INSERT INTO Messages (content, close_option, compression) VALUES (?, 'None', 'BrotliFastest')",
            [(text.encode(),) for text in texts],
        )
    file.close()
    pristine = database.read_bytes()
    approvals = emulator.request_count(Route.INIT)

    started = time.monotonic()
    start_upgraded("look").end()
    whole = time.monotonic() - started
    assert is_ours(database)

    rounds = 16
    for number in range(rounds):
        directory = database.with_name(f"round-{number}")
        directory.mkdir()
        copy = directory / "device.db"
        copy.write_bytes(pristine)
        upgraded = start_upgraded("look", database=copy)
        # When to kill is random, not what has to be true then.
        time.sleep(whole * (number + rng.random()) / rounds)
        upgraded.kill()
        if is_ours(copy):
            print(f"round {number}: killed behind the switch")
        else:
            print(f"round {number}: killed before it, beside {sorted(os.listdir(directory))}")
            assert copy.read_bytes() == pristine
            elsewhere = database.with_name(f"published-{number}.db")
            shutil.copy(copy, elsewhere)
            published = start_published(database=elsewhere)
            assert published.pending() == len(texts)
            published.kill()
        [state] = start_upgraded("look", database=copy).end()
        assert state["pending"] == len(texts)
        assert stored_texts(copy) == texts
        assert sorted(os.listdir(directory)) == ["device.db", "device.db-lock", "device.db-sent"]
    assert emulator.request_count(Route.INIT) == approvals
