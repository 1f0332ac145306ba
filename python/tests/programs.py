"""Programs of a user's, in processes of their own."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

#: Ends a wait that a fault made endless.
DEADLINE = 60.0

_PRELUDE = """
import os, signal, sys, threading, time
from spotflow_device import *
import spotflow_device

# Ignored, by whoever starts it, where the tests are a job in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)

def start(db={db!r}, **options):
    arguments = dict(device_id="program", provisioning_token={token!r}, instance={instance!r})
    arguments["display_provisioning_operation_callback"] = lambda operation: None
    arguments.update(options)
    return DeviceClient.start(db=db, **arguments)

def tell(text):
    os.write(1, (text + "\\n").encode())
"""


class Program:
    """A Python program that has `start()` for a client on `db`, and `tell()` for its output; `before` comes before its
    first import."""

    def __init__(self, emulator, db, source, token=None, environment=None, before=""):
        prelude = _PRELUDE.format(
            db=str(db),
            token=token or emulator.provisioning_token,
            instance=emulator.instance,
        )
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(before) + prelude + textwrap.dedent(source)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(os.environ, PYTHONFAULTHANDLER="1", **(environment or {})),
            universal_newlines=True,
        )

    @property
    def pid(self):
        return self._process.pid

    def line(self):
        """The next line of its output; empty if it ended, or had to be ended, without one."""
        watchdog = threading.Timer(DEADLINE, self._process.send_signal, [signal.SIGABRT])
        watchdog.start()
        try:
            return self._process.stdout.readline().rstrip("\n")
        finally:
            watchdog.cancel()

    def signal(self, number):
        self._process.send_signal(number)

    def interrupt_until_it_ends(self):
        """Sends SIGINT again and again; then there are `exit_code` and `errors`."""
        deadline = time.monotonic() + DEADLINE
        while self._process.poll() is None:
            assert time.monotonic() < deadline, "it does not end"
            self._process.send_signal(signal.SIGINT)
            time.sleep(0.005)
        _, self.errors = self._process.communicate()
        self.exit_code = self._process.returncode

    def write(self, text):
        """Writes to its input."""
        self._process.stdin.write(text)
        self._process.stdin.flush()

    def wait(self):
        """Waits for its end only, whoever has its output open."""
        self._process.wait(DEADLINE)

    def end(self, code=0, error=""):
        """Its remaining output, once it ended as it should."""
        output, errors = self._outputs()
        ended = (self._process.returncode, errors)
        assert ended == (code, error), "exit code {}\n{}".format(*ended)
        return output

    def end_with_error(self, code):
        """The lines of its error output, once it ended as it should."""
        _, errors = self._outputs()
        assert self._process.returncode == code, errors
        return errors.strip().splitlines()

    def _outputs(self):
        try:
            return self._process.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            # It tells where its threads are.
            self._process.send_signal(signal.SIGABRT)
            return self._process.communicate(timeout=DEADLINE)
        finally:
            self.kill()

    def kill(self):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            stream.close()
