"""Microsoft's SDK for IoT Hub finds in the embedded Platform the hub that it knows."""

import os
import queue

import pytest

from azure.iot.device import Message, MethodResponse
from azure.storage.blob import BlobBlock, BlobClient
from conftest import DEVICE_ID
from spotflow_emulator import AckMode, MethodOutcome, Route, Transport

PATIENCE = 20.0


def test_telemetry_arrives_with_its_properties(emulator, device, transport):
    message = Message('{"temperatureCelsius": 21.5}', message_id="id 1")
    message.content_type = "application/json"
    message.content_encoding = "utf-8"
    message.custom_properties["alert"] = "yes & no/ä"
    device.send_message(message)
    device.send_message(os.urandom(200_000))
    first, second = emulator.wait_messages(2)
    assert first.json() == {"temperatureCelsius": 21.5}
    assert first.properties == {
        "$.mid": "id 1",
        "$.ct": "application/json",
        "$.ce": "utf-8",
        "alert": "yes & no/ä",
    }
    assert second.raw_length == 200_000
    [connection] = emulator.connections()
    assert connection.transport is (Transport.MQTT if transport == "mqtt" else Transport.WEB_SOCKET)
    assert emulator.request_count(Route.HUB_WEB_SOCKET) == (transport == "websocket")


def test_messages_wait_for_their_acknowledgements(emulator, device):
    emulator.acknowledge(AckMode.AFTER, seconds=0.1)
    for number in range(5):
        device.send_message(str(number))
    messages = emulator.wait_messages(5)
    assert [message.text for message in messages] == ["0", "1", "2", "3", "4"]
    assert all(message.acknowledged for message in emulator.messages())


def test_the_twin_is_read_and_patched(emulator, device):
    emulator.set_desired(DEVICE_ID, {"interval": 5, "deep": {"a": [1, None]}})
    twin = device.get_twin()
    assert twin["desired"] == {"interval": 5, "deep": {"a": [1, None]}, "$version": 2}
    assert twin["reported"] == {"$version": 1}
    device.patch_twin_reported_properties({"state": "ok", "deep": {"x": 1, "y": 2}})
    device.patch_twin_reported_properties({"deep": {"x": None}})
    emulator.wait_reported(DEVICE_ID, {"state": "ok", "deep": {"y": 2}})
    assert device.get_twin()["reported"] == {"state": "ok", "deep": {"y": 2}, "$version": 3}


def test_desired_properties_are_pushed(emulator, device):
    patches = queue.Queue()
    device.on_twin_desired_properties_patch_received = patches.put
    version = emulator.patch_desired(DEVICE_ID, {"interval": 5})
    assert patches.get(timeout=PATIENCE) == {"interval": 5, "$version": version}
    version = emulator.patch_desired(DEVICE_ID, {"interval": None})
    assert patches.get(timeout=PATIENCE) == {"interval": None, "$version": version}


def test_commands_arrive_once(emulator, device):
    received = queue.Queue()
    device.on_message_received = received.put
    emulator.send(DEVICE_ID, "restart", {"reason": "an update & more"})
    message = received.get(timeout=PATIENCE)
    assert (message.data, message.custom_properties) == (b"restart", {"reason": "an update & more"})
    emulator.wait_cloud_messages(DEVICE_ID)
    emulator.send(DEVICE_ID, b"\x00\xff")
    assert received.get(timeout=PATIENCE).data == b"\x00\xff"
    emulator.wait_cloud_messages(DEVICE_ID)
    assert received.empty()


def test_methods_are_called_and_answered(emulator, device):
    def called(request):
        answer = {"name": request.name, "payload": request.payload}
        device.send_method_response(MethodResponse.create_from_method_request(request, 202, answer))

    # Returns when the hub has acknowledged the subscription.
    device.on_method_request_received = called
    for payload in ({"x": [1, None]}, "text", 5, None):
        answer = emulator.call_method(DEVICE_ID, "restart now", payload)
        assert (answer.status, answer.json()) == (202, {"name": "restart now", "payload": payload})
    assert [call.outcome for call in emulator.method_calls()] == [MethodOutcome.ANSWERED] * 4


def test_a_device_that_was_cut_off_comes_back_with_what_it_listens_to(emulator, device):
    received = queue.Queue()
    device.on_message_received = received.put
    emulator.close_connections()
    emulator.send(DEVICE_ID, "while it was away")
    assert received.get(timeout=PATIENCE).data == b"while it was away"
    emulator.wait_cloud_messages(DEVICE_ID)
    device.send_message("back")
    assert emulator.wait_messages(1)[0].text == "back"
    assert len(emulator.connections()) == 2


def test_a_newer_connection_of_the_same_device_wins(emulator, start_device):
    # Otherwise the first may take the connection back before the second is told that it has one.
    start_device(connection_retry=False)
    start_device()
    assert emulator.connections()[0].end == "a newer connection of the same device"


def test_an_expired_password_is_refused(emulator, connection_string, start_device):
    emulator.expire_sas(DEVICE_ID)
    with pytest.raises(Exception):
        start_device()
    assert {connection.code for connection in emulator.connections()} == {5}


@pytest.mark.parametrize("size", [1_000, 3_000_000])
def test_a_file_is_uploaded(emulator, device, size):
    content = os.urandom(size)
    place = device.get_storage_info_for_blob("report.bin")
    with blob_client(emulator, place) as blob:
        blob.upload_blob(content, overwrite=True)
    device.notify_blob_upload_status(place["correlationId"], True, 200, "Done")
    [upload] = emulator.uploads()
    assert (upload.blob_name, upload.bytes, upload.success) == ("report.bin", size, True)
    assert (upload.blocks > 1) == (size > BLOCK_BYTES)


def test_a_file_is_uploaded_block_by_block(emulator, device):
    place = device.get_storage_info_for_blob("report.bin")
    with blob_client(emulator, place) as blob:
        blob.stage_block("1", b"first ")
        blob.stage_block("2", b"second")
    assert len(emulator.uncommitted_blocks(DEVICE_ID, "report.bin")) == 2
    emulator.expire_upload_sas()
    with blob_client(emulator, place) as blob:
        with pytest.raises(Exception, match="AuthenticationFailed"):
            blob.commit_block_list([BlobBlock("1"), BlobBlock("2")])
    place = device.get_storage_info_for_blob("report.bin")
    with blob_client(emulator, place) as blob:
        blob.commit_block_list([BlobBlock("1"), BlobBlock("2")])
    assert emulator.uploads()[1].bytes == 12


#: Larger content goes in blocks.
BLOCK_BYTES = 1_000_000


def blob_client(emulator, place):
    return BlobClient.from_blob_url(
        "https://{hostName}/{containerName}/{blobName}{sasToken}".format(**place),
        connection_verify=emulator.ca_file,
        max_single_put_size=BLOCK_BYTES,
        max_block_size=BLOCK_BYTES,
        retry_total=0,
    )
