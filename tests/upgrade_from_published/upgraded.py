"""The same device on this SDK: the program `spotflow-upgraded`."""

import json
import os
import sqlite3
import subprocess

from published import DEADLINE


class Upgraded:
    def __init__(self, emulator, database, device_id, task):
        self._process = subprocess.Popen(
            [
                os.environ["SPOTFLOW_UPGRADED"],
                task,
                emulator.instance,
                emulator.provisioning_token,
                str(database),
                device_id,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, cloud_messages=0):
        """Lets it do its task, and returns what it told."""
        told, failure = self._process.communicate(f"{cloud_messages}\n", DEADLINE)
        assert self._process.returncode == 0, failure
        return [json.loads(line) for line in told.splitlines()]

    def failure(self):
        """Why it did not start."""
        _, failure = self._process.communicate("", DEADLINE)
        assert self._process.returncode == 1
        return failure

    def wait_started(self):
        assert self._process.stdout.readline(), "it did not start"

    def kill(self):
        self._process.kill()
        self._process.communicate()


def is_ours(database):
    return database.read_bytes()[68:72] == b"SpfD"


def stored_texts(database):
    """The unsent Messages in our file, while no device runs on it."""
    connection = sqlite3.connect(database)
    bodies = [body.decode() for (body,) in connection.execute("SELECT body FROM outbox ORDER BY id")]
    connection.close()
    return bodies
