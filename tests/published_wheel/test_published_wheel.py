"""What users' programs do with the published SDK works against the embedded Platform."""

import datetime
import json
import os

import pytest

from spotflow_emulator import CutPoint, Route


def message(payload, **ids):
    return ("enqueue_message", {"payload": payload, **ids})


def started(device):
    return device.next("started")


def _time(rfc3339):
    return datetime.datetime.fromisoformat(rfc3339.replace("Z", "+00:00"))


def test_a_device_is_let_in_at_once(emulator, start_device):
    device = start_device(emulator)
    operation = device.next("operation")
    assert started(device) == {"workspace_id": emulator.workspace_id, "device_id": "wheel-1"}
    assert [o.verification_code for o in emulator.operations()] == [operation["verification_code"]]
    assert emulator.devices()[0].device_id == "wheel-1"


def test_a_device_waits_for_its_approval_and_takes_the_id_it_is_given(start_emulator, start_device):
    emulator = start_emulator("--approve", "manual")
    device = start_device(emulator)
    displayed = device.next("operation")
    waiting = emulator.wait_operation()
    assert [displayed["id"], displayed["verification_code"]] == [waiting.id, waiting.verification_code]
    # The SDK writes the zone its own way.
    assert _time(displayed["expiration_time"]) == _time(waiting.expiration_time)
    assert waiting.requested_device_id == "wheel-1"
    emulator.approve(displayed["verification_code"], device="decided")
    assert started(device)["device_id"] == "decided"


def test_a_refused_device_fails(start_emulator, start_device):
    emulator = start_emulator("--approve", "manual")
    device = start_device(emulator)
    emulator.refuse(device.next("operation")["id"])
    assert device.next("failed")


def test_a_wrong_token_fails(emulator, start_device):
    assert start_device(emulator, token="wrong").next("failed")


def test_sixty_readings_arrive_in_order(emulator, start_device):
    device = start_device(emulator)
    readings = [
        json.dumps({"temperatureCelsius": 21 + i * 0.05, "humidityPercent": 50 + i * 0.1}).encode()
        for i in range(60)
    ]
    started(device)
    pending = device.enqueue(
        [message(reading) for reading in readings], group="default-stream-group", stream="default-stream"
    )
    assert pending == 0
    messages = emulator.wait_messages(60)
    assert [m.payload for m in messages] == readings
    assert not any(m.repeat or m.dup for m in messages)
    assert messages[0].properties == {
        "stream-group-name": "default-stream-group",
        "stream-name": "default-stream",
    }


@pytest.mark.parametrize("compression", ["UNCOMPRESSED", "FASTEST", "SMALLEST_SIZE"])
def test_compressed_content_is_read(emulator, start_device, compression):
    device = start_device(emulator)
    started(device)
    text, noise = b"temperature " * 200, os.urandom(2000)
    device.enqueue([message(content) for content in (text, noise, b"")], compression=compression)
    messages = emulator.wait_messages(3)
    assert [m.payload for m in messages] == [text, noise, b""]
    encodings = [m.properties.get("content-encoding") for m in messages]
    packed = None if compression == "UNCOMPRESSED" else "br"
    assert encodings == [packed, None, None], "only what gets smaller is sent compressed"
    assert (messages[0].raw_length < len(text)) == (packed is not None)


def test_batches_and_chunks_are_completed(emulator, start_device):
    device = start_device(emulator)
    started(device)
    ids = {"batch_id": "b 1/ä", "message_id": "m&1"}
    device.enqueue(
        [
            message(b"0", **ids, batch_slice_id="slice", chunk_id="c0"),
            message(b"1", **ids, batch_slice_id="slice", chunk_id="c1"),
            ("enqueue_message_completion", ids),
            ("enqueue_batch_completion", {"batch_id": ids["batch_id"]}),
        ],
        group="group",
        stream="stream",
    )
    first, second, chunks_done, batch_done = (m.properties for m in emulator.wait_messages(4))
    stream = {"stream-group-name": "group", "stream-name": "stream"}
    names = {"batch-id": "b 1/ä", "message-id": "m&1"}
    assert first == {**stream, **names, "batch-slice-id": "slice", "chunk-id": "c0"}
    assert second == {**first, "chunk-id": "c1"}
    assert chunks_done == {**stream, **names, "complete-message": "true", "ignore-payload": "true"}
    assert batch_done == {
        **stream, "batch-id": "b 1/ä", "complete-batch": "true", "ignore-payload": "true"
    }


def test_large_content_is_uploaded_in_its_turn(emulator, start_device):
    device = start_device(emulator)
    started(device)
    large, largest_in_packet = os.urandom(250_001), os.urandom(250_000)
    contents = [b"before", large, largest_in_packet, b"x" * 3_000_000, b"after"]
    device.enqueue([message(content) for content in contents], compression="FASTEST")
    messages = emulator.wait_messages(5)
    assert [m.payload for m in messages] == contents
    assert [m.external for m in messages] == [False, True, False, False, False]
    assert [(u.bytes, u.success) for u in emulator.uploads()] == [(250_001, True)]


def test_desired_properties_are_received_and_updated(emulator, start_device):
    device = start_device(emulator)
    started(device)
    first = device.next("desired")
    emulator.wait_connected("wheel-1")
    version = emulator.set_desired("wheel-1", {"interval": 5, "deep": {"a": [1, None]}})
    updated = device.next("desired")
    assert updated == (version, {"interval": 5, "deep": {"a": [1, None]}})
    assert first[0] < version
    version = emulator.patch_desired("wheel-1", {"interval": None, "deep": {"b": 2}})
    assert device.next("desired") == (version, {"deep": {"a": [1, None], "b": 2}})
    assert device.call("desired") == (version, {"deep": {"a": [1, None], "b": 2}})


def test_reported_properties_arrive(emulator, start_device):
    device = start_device(emulator)
    started(device)
    for properties in ({"a": 1, "b": {"c": True}}, {"b": {"c": False, "d": "x"}}, {}):
        device.call("report", properties)
        emulator.wait_reported("wheel-1", properties)


def test_cloud_to_device_messages_are_acknowledged(emulator, start_device):
    device = start_device(emulator)
    started(device)
    for number in range(3):
        emulator.send("wheel-1", f"{number}", {"k": "v"})
    emulator.wait_cloud_messages("wheel-1")


def test_a_restarted_device_goes_on_without_provisioning(emulator, start_device):
    device = start_device(emulator)
    started(device)
    device.enqueue([message(b"first run")])
    device.kill()
    device = start_device(emulator)
    assert started(device)["device_id"] == "wheel-1"
    device.enqueue([message(b"second run")])
    assert [m.payload for m in emulator.wait_messages(2)] == [b"first run", b"second run"]
    assert emulator.request_count(Route.INIT) == 1
    assert emulator.request_count(Route.REGISTER) == 2
    assert [c.session_present for c in emulator.connections()] == [False, True]


def test_a_cut_before_an_acknowledgement_repeats_that_message_only(emulator, start_device):
    device = start_device(emulator)
    started(device)
    device.enqueue([message(b"settled")])
    emulator.cut_after_messages(2, CutPoint.BEFORE_ACK)
    device.enqueue([message(str(i).encode()) for i in range(5)])
    messages = emulator.wait_messages(7)
    assert [m.payload for m in messages if not m.repeat] == [b"settled", b"0", b"1", b"2", b"3", b"4"]
    assert [m.payload for m in messages if m.repeat] == [b"1"]


def test_an_expired_password_is_renewed(emulator, start_device):
    device = start_device(emulator)
    started(device)
    device.enqueue([message(b"before")])
    emulator.expire_sas("wheel-1")
    device.enqueue([message(b"after")])
    assert [m.payload for m in emulator.wait_messages(2)] == [b"before", b"after"]
    assert emulator.request_count(Route.REGISTER) >= 2
