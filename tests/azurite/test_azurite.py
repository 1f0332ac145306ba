"""Microsoft's own emulator of the storage takes what a device uploads in blocks, and what it goes on with."""

import array
import json
import os
import subprocess
import sys

import brotli
import pytest
from spotflow_emulator import Route

from azurite import PATIENCE, sas

BLOB = "workspace:device/content"
#: What the device uploads is 64 MiB; see `content` in tests/crash/src/lib.rs.
BLOCKS = 64


def content():
    words = array.array("I", ((number * 0x9E3779B9) & 0xFFFFFFFF for number in range(1 << 24)))
    if sys.byteorder == "big":
        words.byteswap()
    return words.tobytes()


@pytest.fixture
def start(spotflow_emulator, trusted, tmp_path):
    """Starts the device on its database: it stores the content ("content"), that of the file `file` in its ledger
    ("file" or "compressed-file"), or sends what is left ("drain")."""
    (tmp_path / "ledger").mkdir()
    devices = []

    def start(mode):
        command = [os.environ["SPOTFLOW_CRASH"], mode, spotflow_emulator.instance, spotflow_emulator.provisioning_token]
        command += [str(trusted), str(tmp_path / "device.db"), str(tmp_path / "ledger"), "1", "power-safe", "one", "0"]
        devices.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        return devices[-1]

    yield start
    for device in devices:
        device.kill()
        device.wait()


@pytest.fixture
def hand_out(spotflow_emulator, azurite):
    """Has the hub hand out Azurite with this signature, the next `count` times or always."""
    spotflow_emulator.http_answer(Route.FILE_NOTIFICATION, 204)

    def hand_out(signature, count=None):
        place = json.dumps(azurite.place(BLOB, signature))
        headers = {"content-type": "application/json"}
        spotflow_emulator.http_answer(Route.FILE_UPLOAD, 200, headers, place, count)

    return hand_out


def assert_is_whole(azurite, emulator):
    assert azurite.content(BLOB) == content()
    assert azurite.committed_blocks(BLOB) == BLOCKS
    (message,) = emulator.wait_messages(1)
    assert message.external


def test_an_upload_in_blocks_goes_on_behind_a_kill(spotflow_emulator, azurite, start, hand_out):
    hand_out(sas())
    device = start("content")
    azurite.wait("some blocks are up", lambda: len(azurite.writes()[0]) >= 10)
    device.kill()
    device.wait()
    before = len(azurite.writes()[0])
    assert before < BLOCKS, "it was killed in the middle"

    start("drain")
    spotflow_emulator.wait_messages(1, timeout=PATIENCE)
    assert_is_whole(azurite, spotflow_emulator)
    blocks, others = azurite.writes()
    assert len(blocks) == BLOCKS and sum(blocks.values()) <= BLOCKS + 1, "one block again at most"
    assert others == [("blocklist", 201)]


def test_a_link_that_has_expired_is_replaced_and_is_no_refusal_of_blocks(spotflow_emulator, azurite, start, hand_out):
    hand_out(sas(lifetime=-60), count=1)
    hand_out(sas())
    start("content")
    spotflow_emulator.wait_messages(1, timeout=PATIENCE)
    assert_is_whole(azurite, spotflow_emulator)
    blocks, others = azurite.writes()
    assert len(blocks) == sum(blocks.values()) == BLOCKS
    assert others == [("block", 403), ("blocklist", 201)]


def test_the_content_of_a_file_arrives_as_it_was(spotflow_emulator, azurite, start, hand_out, tmp_path):
    stored = content()[: (5 << 20) + 7]
    (tmp_path / "ledger" / "file").write_bytes(stored)
    hand_out(sas())
    start("file")
    (message,) = spotflow_emulator.wait_messages(1, timeout=PATIENCE)
    assert message.external
    assert azurite.content(BLOB) == stored
    blocks, others = azurite.writes()
    assert len(blocks) == sum(blocks.values()) == 6
    assert others == [("blocklist", 201)]


def test_the_content_of_a_file_arrives_compressed(spotflow_emulator, azurite, start, hand_out, tmp_path):
    stored = content()[: 3 << 20].hex().encode()
    (tmp_path / "ledger" / "file").write_bytes(stored)
    hand_out(sas())
    start("compressed-file")
    (message,) = spotflow_emulator.wait_messages(1, timeout=PATIENCE)
    assert message.external and dict(message.properties)["content-encoding"] == "br"
    uploaded = azurite.content(BLOB)
    assert len(uploaded) < len(stored) and brotli.decompress(uploaded) == stored
    assert azurite.writes()[1] == [("blocklist", 201)]
