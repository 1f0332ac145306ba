"""``python -m spotflow_device`` says what is installed, and is the tool."""

import json
import os
import re
import random
import subprocess
import sys

import pytest
import spotflow_device
from spotflow_device import Codec, Compression

from support import cut_off


def test_the_version_and_what_is_in_the_build_are_printed():
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-m", "spotflow_device"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    facts = dict(re.split(" {2,}", line, maxsplit=1) for line in ended.stdout.splitlines())
    assert facts["spotflow_device"] == spotflow_device.__version__
    assert all(codec in facts["codecs"] for codec in ("Brotli", "gzip", "Zstandard"))
    assert "rustls" in facts["TLS"] and "1.3" in facts["TLS"]
    assert tuple(map(int, facts["SQLite"].split("."))) >= (3, 51, 3)
    assert "abi3" in facts["Python ABI"]


def run_tool(*arguments):
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "spotflow_device", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=60,
    )


def test_with_arguments_it_is_the_tool_of_the_same_name_and_exit_codes():
    shown = run_tool("--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Usage: spotflow-device <COMMAND>" in shown.stdout
    assert all(command in shown.stdout for command in ("status", "outbox", "doctor", "send"))
    wrong = run_tool("status")
    assert wrong.returncode == 2 and "--db" in wrong.stderr
    missing = run_tool("status", "--db", "there-is-none.db")
    assert missing.returncode == 1 and "there-is-none.db: cannot find the file" in missing.stderr


def test_the_tool_looks_at_a_file_beside_its_client(spotflow_emulator, start_client, tmp_path):
    path = str(tmp_path / "beside.db")
    client = start_client(spotflow_emulator, db=path)
    shown = run_tool("status", "--json", "--db", path)
    assert (shown.returncode, shown.stderr) == (0, "")
    status = json.loads(shown.stdout)
    assert status["client_process"] == os.getpid()
    assert status["device_id"] == client.device_id
    refused = run_tool("send", "--db", path, "payload")
    assert refused.returncode == 1 and "in use by another client" in refused.stderr


@pytest.mark.parametrize("codec", list(Codec), ids=lambda codec: codec.name)
def test_the_tool_decodes_what_was_stored_with_each_codec(codec, spotflow_emulator, start_client, tmp_path):
    path = str(tmp_path / "stored.db")
    client = start_client(spotflow_emulator, db=path, device_id=codec.name.lower(), codec=codec)
    cut_off(spotflow_emulator, client)
    seed = random.randrange(2**32)
    words = random.Random(seed)
    texts = [" ".join(str(words.gauss(20, 5)) for _ in range(count)) for count in (10, 300, 10_000)]
    for compression in (Compression.FASTEST, Compression.SMALLEST_SIZE):
        sender = client.create_stream_sender(compression=compression)
        for text in texts:
            sender.enqueue_message(text)
    shown = run_tool("outbox", "export", "--decode", "--db", path)
    assert (shown.returncode, shown.stderr) == (0, "")
    stored = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [message["payload"] for message in stored] == 2 * texts, f"seed {seed}"
    assert all("content-encoding" in message["properties"] for message in stored), f"seed {seed}"


def test_importing_it_prints_nothing_and_starts_no_thread():
    program = "import threading, spotflow_device, spotflow_device.__main__; assert threading.active_count() == 1"
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (0, b"")
