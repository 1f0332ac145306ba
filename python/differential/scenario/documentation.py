"""The documentation's first example, as a program of its own."""

import os
import subprocess
import sys

import spotflow_device

from . import session
from .rig import DEADLINE, TOKEN, Rig

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests"))

from documentation import example  # noqa: E402


def run(cases, seed):
    if not hasattr(spotflow_device, "__version__"):
        # The published package shows it by `help`.
        assert example.TEXT.strip() in spotflow_device.__doc__, "the example is not as it stands there"
    with Rig() as rig:
        text = example.program(TOKEN, rig.emulator.instance, 0.001)
        ended = subprocess.run(
            [sys.executable, "-c", text],
            cwd=rig.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DEADLINE,
        )
        shown = ended.stdout.decode().splitlines()[-example.MESSAGES :]
        sent = [message.payload.decode() for message in rig.messages(device_id="my-device")]
        cases.note("documentation", exit_code=ended.returncode, sent_as_shown=sent == shown)
        session.note(cases, "documentation", rig, 0)
