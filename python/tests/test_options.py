"""The options of the start that the published package does not have."""

from pathlib import Path

import pytest
from spotflow_device import Codec, Compression, Durability, SpotflowError, Transport
from spotflow_emulator import Blockage, Way

from support import DEVICE, PATIENCE, eventually, payloads

CODECS = {None: "br", Codec.BROTLI: "br", Codec.GZIP: "gzip", Codec.ZSTD: "zstd"}


@pytest.mark.parametrize("compression", [Compression.FASTEST, Compression.SMALLEST_SIZE])
@pytest.mark.parametrize("codec", CODECS)
def test_the_codec_compresses_what_gets_smaller(spotflow_emulator, start_client, codec, compression):
    client = start_client(spotflow_emulator, codec=codec)
    sender = client.create_stream_sender(compression=compression)
    content = b"the same again and again, " * 100
    for payload in (content, b"short", b""):
        sender.send_message(payload, timeout=PATIENCE)
    client.create_stream_sender().send_message(content, timeout=PATIENCE)
    messages = spotflow_emulator.messages()
    encodings = [message.properties.get("content-encoding") for message in messages]
    assert encodings == [CODECS[codec], None, None, None]
    assert messages[0].raw_length < len(content) / 5
    assert payloads(spotflow_emulator) == [content, b"short", b"", content]


def test_the_smallest_size_is_smaller_than_the_fastest(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator)
    content = " ".join(f"reading {number}: {number * number % 1009}" for number in range(2000))
    for compression in (Compression.FASTEST, Compression.SMALLEST_SIZE):
        client.create_stream_sender(compression=compression).send_message(content, timeout=PATIENCE)
    fastest, smallest = [message.raw_length for message in spotflow_emulator.messages()]
    assert smallest < 0.9 * fastest


def test_large_content_is_compressed_too(spotflow_emulator, start_client):
    client = start_client(spotflow_emulator, codec=Codec.ZSTD)
    content = bytes(range(256)) * 2000
    client.create_stream_sender(compression=Compression.FASTEST).send_message(content, timeout=PATIENCE)
    (message,) = spotflow_emulator.messages()
    assert (message.properties, message.external) == ({"content-encoding": "zstd"}, False)
    assert message.payload == content


def roundtrip(emulator, client, number):
    """Returns when the hub has read all that the client wrote before."""
    client.update_reported_properties({"number": number})
    emulator.wait_reported(DEVICE, {"number": number})


@pytest.mark.parametrize("window, under_way", [(None, 1), (1, 1), (16, 16), (256, 40)])
def test_the_window_bounds_what_is_under_way(spotflow_emulator, start_client, window, under_way):
    spotflow_emulator.acknowledge("withhold")
    client = start_client(spotflow_emulator, in_flight_window=window)
    client.create_stream_sender().enqueue_messages(map(str, range(40)))
    spotflow_emulator.wait_messages(under_way)
    roundtrip(spotflow_emulator, client, 1)
    assert len(spotflow_emulator.messages()) == under_way
    spotflow_emulator.acknowledge("immediately")
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    assert payloads(spotflow_emulator) == [str(number).encode() for number in range(40)]


@pytest.mark.parametrize("keep_alive, seconds", [(None, 120), (5, 5), (5.0, 5), (1767, 1767), (60.5, 60)])
def test_the_keep_alive_is_told_to_the_hub(spotflow_emulator, start_client, keep_alive, seconds):
    start_client(spotflow_emulator, keep_alive=keep_alive)
    spotflow_emulator.wait_connected(DEVICE)
    assert [connection.keep_alive for connection in spotflow_emulator.connections()] == [seconds]


@pytest.mark.parametrize(
    "transport, over, used",
    [
        (None, "mqtt", Transport.MQTT),
        (Transport.AUTOMATIC, "mqtt", Transport.MQTT),
        (Transport.MQTT, "mqtt", Transport.MQTT),
        (Transport.WEB_SOCKET, "web_socket", Transport.WEB_SOCKET),
    ],
)
def test_the_transport_is_used_and_told(spotflow_emulator, start_client, transport, over, used):
    client = start_client(spotflow_emulator, transport=transport)
    client.create_stream_sender().send_message("in", timeout=PATIENCE)
    assert [connection.transport for connection in spotflow_emulator.connections()] == [over]
    assert client.status().transport is used


def test_where_mqtt_is_blocked_it_goes_over_websocket(spotflow_emulator, start_client):
    spotflow_emulator.block(Way.MQTT, Blockage.SILENT)
    client = start_client(spotflow_emulator)
    assert client.status().transport is None
    client.create_stream_sender().send_message("in", timeout=PATIENCE)
    assert client.status().transport is Transport.WEB_SOCKET


@pytest.mark.parametrize("durability", [None, Durability.POWER_SAFE, Durability.KILL_SAFE])
def test_what_is_stored_survives_a_kill(spotflow_emulator, run, start_client, tmp_path, durability):
    spotflow_emulator.acknowledge("withhold")
    program = run(
        spotflow_emulator,
        f"""
        sender = start(durability={durability}).create_stream_sender()
        for number in range(100):
            sender.enqueue_message(str(number))
        tell("stored")
        time.sleep(1000)
        """,
    )
    assert program.line() == "stored"
    program.kill()
    spotflow_emulator.acknowledge("immediately")
    client = start_client(spotflow_emulator, device_id="program", db=tmp_path / "program.db", durability=durability)
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    assert payloads(spotflow_emulator) == [str(number).encode() for number in range(100)]


class Somewhere:
    """What only has a path."""

    def __init__(self, path):
        self._path = path

    def __fspath__(self):
        return str(self._path)


@pytest.mark.parametrize("kind", [str, Path, Somewhere])
def test_paths_are_text_or_have_one(spotflow_emulator, start_client, tmp_path, monkeypatch, kind):
    monkeypatch.delenv("SSL_CERT_FILE")
    directory = tmp_path / "directory with späces"
    directory.mkdir()
    client = start_client(
        spotflow_emulator, db=kind(directory / "device.db"), ca_file=kind(Path(spotflow_emulator.ca_file))
    )
    client.create_stream_sender().send_message("works", timeout=PATIENCE)
    assert (directory / "device.db").exists()


def test_a_relative_path_is_relative_to_the_working_directory(spotflow_emulator, start_client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    start_client(spotflow_emulator, db="relative.db").close()
    assert (tmp_path / "relative.db").exists()


def test_a_platform_that_is_not_trusted_hears_nothing(spotflow_emulator, start_client, monkeypatch):
    start_client(spotflow_emulator).close()
    connections, requests = spotflow_emulator.connections(), spotflow_emulator.request_count()
    monkeypatch.delenv("SSL_CERT_FILE")
    client = start_client(spotflow_emulator)
    error = eventually("it is told", lambda: client.status().last_error)
    assert type(error) is SpotflowError
    assert "TLS" in str(error)
    assert client.status().is_connected is False
    client.close()
    assert (spotflow_emulator.connections(), spotflow_emulator.request_count()) == (connections, requests)


def test_an_instance_may_be_a_url(spotflow_emulator, start_client):
    start_client(spotflow_emulator).close()
    start_client(spotflow_emulator, instance=f"https://{spotflow_emulator.instance}/")
    assert len(spotflow_emulator.operations()) == 1


def test_without_a_device_id_the_token_decides(spotflow_emulator, start_client):
    token = spotflow_emulator.add_provisioning_token(device="of-the-token")
    assert start_client(spotflow_emulator, device_id=None, provisioning_token=token).device_id == "of-the-token"
