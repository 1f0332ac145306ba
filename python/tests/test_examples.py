"""The examples run as they stand."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from spotflow_emulator import CommandFailed

from support import PATIENCE, eventually

EXAMPLES = Path(__file__).parent.parent / "examples"
EMULATOR_PACKAGE = Path(__file__).parents[2] / "tests" / "emulator" / "python"
DEVICE = "my-device"
METHODS = "$iothub/methods/POST/#"
SSH = 22


def test_field_day_finds_that_all_arrived_as_promised_and_leaves_nothing(tmp_path):
    directory = tmp_path / "temporary"
    directory.mkdir()
    path = os.pathsep.join(filter(None, [str(EMULATOR_PACKAGE), os.environ.get("PYTHONPATH")]))
    program = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / "field_day.py")],
        cwd=str(tmp_path),
        env=dict(os.environ, TMPDIR=str(directory), PYTHONPATH=path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        timeout=4 * PATIENCE,
    )
    assert program.returncode == 0, program.stdout
    lines = [line.split()[:2] for line in program.stdout.splitlines()]
    assert ["2", "alarms,"] in lines, program.stdout
    assert list(tmp_path.iterdir()) == [directory] and not list(directory.iterdir())


@pytest.fixture
def remote_hands(spotflow_emulator, tmp_path):
    environment = dict(
        os.environ,
        SPOTFLOW_PROVISIONING_TOKEN=spotflow_emulator.provisioning_token,
        SPOTFLOW_INSTANCE=spotflow_emulator.instance,
    )
    process = subprocess.Popen(
        [sys.executable, "-W", "error", str(EXAMPLES / "remote_hands.py")],
        cwd=str(tmp_path),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
    )
    yield process
    process.kill()
    process.communicate()


def test_remote_hands_answers_the_cloud_and_lets_a_technician_to_port_22_alone(spotflow_emulator, remote_hands):
    def subscribed():
        try:
            return METHODS in spotflow_emulator.subscriptions(DEVICE)
        except CommandFailed:
            # Not known yet.
            return False

    def call(method, payload=None):
        answer = spotflow_emulator.call_method(DEVICE, method, payload, timeout=PATIENCE)
        return answer.status, json.loads(answer.payload)

    def technician(port):
        """What the device says to a technician who wants to reach that port."""
        local_port = spotflow_emulator.forward(DEVICE, port)
        try:
            connection = socket.create_connection(("127.0.0.1", local_port), timeout=PATIENCE)
        except ConnectionResetError:
            # The device has refused before the connection was seen to be there.
            connection = contextlib.nullcontext()
        with connection:
            tunnels = spotflow_emulator.tunnels
            return eventually("the device answers", lambda: [one for one in tunnels() if one.port == port and one.status])

    eventually("the device can be called", subscribed)
    assert call("setInterval", {"seconds": 10}) == (200, {"secondsBefore": 60})
    assert call("setInterval", {"seconds": 20}) == (200, {"secondsBefore": 10})
    for wrong in ({"seconds": "often"}, {"seconds": 0}, {"seconds": 3601}, {}, 10, None):
        assert call("setInterval", wrong)[0] == 400
    assert call("selfDestruct")[0] == 404
    # There need not be an SSH server on this machine.
    [to_ssh] = technician(SSH)
    assert to_ssh.status == 200 or "port 22 of the device cannot be reached" in to_ssh.answer
    [elsewhere] = technician(SSH + 1)
    assert (elsewhere.status, "does not allow" in elsewhere.answer) == (500, True)
    assert call("restart") == (200, "restarting")
    output, _ = remote_hands.communicate(timeout=PATIENCE)
    assert remote_hands.returncode == 0
    lines = output.splitlines()
    assert lines[-1] == "this is where it would restart"
    assert [line for line in lines if "technician" in line] == ["a technician comes to port 22"]
