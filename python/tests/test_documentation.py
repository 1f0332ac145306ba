"""The documentation's first example runs, unchanged but for token, instance and the length of its pause."""

import json
import os
import subprocess
import sys

import pytest
from documentation import example

#: Nothing takes so long, in seconds.
DEADLINE = 30.0


@pytest.fixture
def run_example(spotflow_emulator, tmp_path):
    def run():
        text = example.program(spotflow_emulator.provisioning_token, spotflow_emulator.instance, 0.001)
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", text],
            cwd=str(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=DEADLINE,
        )

    return run


def test_the_example_sends_sixty_readings(spotflow_emulator, run_example, tmp_path):
    ended = run_example()
    assert (ended.returncode, ended.stderr) == (0, b"")
    [operation] = spotflow_emulator.operations()
    # First the Provisioning Operation, then each reading.
    shown = ended.stdout.decode().splitlines()
    printed = shown[-example.MESSAGES :]
    assert operation.verification_code in "\n".join(shown[: -example.MESSAGES])

    messages = spotflow_emulator.messages("my-device")
    assert [message.text for message in messages] == printed
    assert not any(message.repeat for message in messages)
    addresses = [message.properties for message in messages]
    assert addresses == [{"stream-group-name": "default-stream-group", "stream-name": "default-stream"}] * 60
    readings = [json.loads(line) for line in printed]
    assert [reading["temperatureCelsius"] for reading in readings] == [21 + (i * 0.05) for i in range(60)]
    assert [reading["humidityPercent"] for reading in readings] == [50 + (i * 0.1) for i in range(60)]
    assert os.path.getsize(str(tmp_path / "spotflow.db")) > 0
    # It ends without being asked to: by saying goodbye.
    assert [connection.end for connection in spotflow_emulator.connections()] == ["DISCONNECT"]


def test_the_example_runs_again_without_approval(spotflow_emulator, run_example):
    for run in (1, 2):
        ended = run_example()
        assert (ended.returncode, ended.stderr) == (0, b"")
        assert len(spotflow_emulator.messages("my-device")) == run * example.MESSAGES
    assert len(spotflow_emulator.operations()) == 1
    # In the second run there is nothing to approve, so nothing but readings is shown.
    assert len(ended.stdout.decode().splitlines()) == example.MESSAGES
