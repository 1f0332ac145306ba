"""The embedded Platform as a child process, driven by JSON lines."""

import base64
import json
import os
import subprocess
import threading

#: Ends a wait that a fault made endless.
DEADLINE = 30.0


class CommandFailed(Exception):
    pass


class Emulator:
    """A running `spotflow-emulator --control`. Its commands are methods: `emulator.approve(operation=...)`."""

    def __init__(self, *options):
        self._process = subprocess.Popen(
            [os.environ["SPOTFLOW_EMULATOR"], "--control", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lock = threading.Lock()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the emulator did not start")
        self.started = json.loads(line)

    def __getattr__(self, command):
        return lambda **arguments: self.command(command, **arguments)

    def command(self, command, **arguments):
        request = json.dumps({"command": command, **arguments})
        with self._lock:
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
            response = json.loads(self._process.stdout.readline())
        if not response["ok"]:
            raise CommandFailed(response["error"])
        return response["result"]

    def wait_messages(self, count):
        """The Messages, with their properties as a dictionary and their payload as bytes."""
        messages = self.command("wait_messages", count=count, timeout=DEADLINE)
        for message in messages:
            message["properties"] = dict(message["properties"])
            message["payload"] = base64.b64decode(message["payload"])
        return messages

    def request_count(self, route):
        return sum(request["route"] == route for request in self.requests())

    def close(self):
        with self._lock:
            self._process.stdin.close()
            self._process.stdout.close()
        self._process.wait(DEADLINE)
