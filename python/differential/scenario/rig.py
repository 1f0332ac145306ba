"""A Platform, and a device on it."""

import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

import spotflow_device
from spotflow_emulator import Emulator

from . import wire
from .placeholders import Placeholders

#: Fixed, so that two runs say the same.
WORKSPACE_ID, TOKEN, DEVICE_ID = "ws", "pt-differential", "dev-1"
HUB_ID = f"{WORKSPACE_ID}:{DEVICE_ID}"
REPORTED_PATCHES = "$iothub/twin/PATCH/properties/reported/"
#: Nothing takes so long, in seconds.
DEADLINE = 20.0

#: Kept to the end of the process: to say goodbye to a Platform that is gone takes the published SDK many seconds.
_CLIENTS = []


def until(condition, awaited):
    """Waits for what only the SDK knows, and returns it."""
    deadline = time.monotonic() + DEADLINE
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{awaited} did not happen within {DEADLINE:g} s")
        time.sleep(0.005)


class Rig(contextlib.ExitStack):
    """The Platform of one scenario. It records all that it is sent."""

    def __init__(self, *options):
        super().__init__()
        # The published SDK knows no other ports than the standard ones.
        # On an address of its own: while it does not listen, nobody else must take its place.
        fixed = ["--standard-ports", "--bind", os.environ["DIFFERENTIAL_ADDRESS"]]
        fixed += ["--record-traffic", "--workspace-id", WORKSPACE_ID]
        fixed += ["--provisioning-token", TOKEN, "--approve", "auto"]
        self.emulator = self.enter_context(Emulator(*fixed, *options))
        os.environ["SSL_CERT_FILE"] = self.emulator.ca_file
        # Not removed here, while a client may still use it: it is within a directory of whoever started the scenario.
        self.directory = tempfile.mkdtemp()
        self._tokens = []
        self._databases = itertools.count(1)

    def options(self, **options):
        """Arguments for `DeviceClient.start`, with a new database unless told so."""
        defaults = {
            "device_id": DEVICE_ID,
            "provisioning_token": TOKEN,
            "db": os.path.join(self.directory, f"device-{next(self._databases)}.db"),
            "instance": self.emulator.instance,
            "display_provisioning_operation_callback": lambda operation: None,
        }
        return {**defaults, **options}

    def start(self, **options):
        """A client that has read its twin. The published SDK takes the acknowledgement of any packet for that of its
        oldest Message: so Messages and requests to the twin are never under way together, here and elsewhere."""
        client = spotflow_device.DeviceClient.start(**self.options(**options))
        _CLIENTS.append(client)
        client.get_desired_properties()
        return client

    def run_device(self, *steps, displays=True, abrupt=True, **options):
        """Runs a device in a process of its own, to the end. Returns what it told, with its output and exit code."""
        with self.start_device(*steps, displays=displays, abrupt=abrupt, **options) as device:
            return device.wait()

    def start_device(self, *steps, displays=True, abrupt=True, **options):
        options = self.options(**options)
        # A callback of its own process, or none.
        options = {name: value for name, value in options.items() if not callable(value)}
        orders = {"options": options, "steps": steps, "displays": displays, "abrupt": abrupt}
        return Child("scenario.device", os.path.join(self.directory, "told.json"), orders)

    def traffic(self, skip=0):
        """What went over all connections but the first ones."""
        return self.emulator.traffic()[skip:]

    def sessions(self, skip=0, device_id=None):
        """The packets of each MQTT connection: of all devices, or of one."""
        found = []
        for connection in self.traffic(skip):
            if wire.is_mqtt(connection.from_device):
                packets = wire.packets(connection.from_device)
                if device_id is None or wire.connect(packets[0]).client_id == f"{WORKSPACE_ID}:{device_id}":
                    found.append(packets)
        return found

    def publishes(self, topic_start, skip=0, device_id=None):
        """What was published to such topics, in order."""
        packets = [packet for session in self.sessions(skip, device_id) for packet in session]
        published = [wire.publish(packet) for packet in packets if packet.kind == "PUBLISH"]
        return [publish for publish in published if publish.topic.startswith(topic_start)]

    def messages(self, skip=0, device_id=DEVICE_ID):
        """The device-to-cloud Messages of a device."""
        return self.publishes(f"devices/{WORKSPACE_ID}:{device_id}/messages/events/", skip, device_id)

    def patches(self, skip=0, device_id=DEVICE_ID):
        """The patches of a device's Reported Properties."""
        return [publish.payload for publish in self.publishes(REPORTED_PATCHES, skip, device_id)]

    def requests(self, skip=0):
        """The HTTP requests."""
        found = []
        for connection in self.traffic(skip):
            if not wire.is_mqtt(connection.from_device):
                found += wire.requests(connection.from_device)
        return found

    def placeholders(self):
        return Placeholders(self.emulator, self.emulator.traffic(), self._tokens)

    def another_token(self, **options):
        """Another Provisioning Token."""
        token = self.emulator.add_provisioning_token(**options)
        self._tokens.append(token)
        return token


class Child(contextlib.AbstractContextManager):
    """A module of the scenarios in a process of its own, which is told its orders and tells what came of them."""

    def __init__(self, module, path, orders):
        self._path = path
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._process.stdin.write(json.dumps(orders).encode())
        self._process.stdin.close()
        self._process.stdin = None

    def wait(self):
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(DEADLINE)
        self._process.kill()
        output, _ = self._process.communicate()
        if not os.path.exists(self._path):
            raise AssertionError(f"the device ended with {self._process.returncode}: {output.decode()}")
        with open(self._path) as file:
            told = json.load(file)
        os.remove(self._path)
        return {**told, "output": output.decode(), "exit code": self._process.returncode}

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


class Updates:
    """The Desired Properties that a callback was given, for `desired_properties_updated_callback`."""

    def __init__(self):
        self._changed = threading.Condition()
        self.received = []

    def __call__(self, desired):
        with self._changed:
            self.received.append(desired)
            self._changed.notify_all()

    def wait(self, version):
        """The first with that version."""

        def found():
            return next((desired for desired in self.received if desired.version == version), None)

        with self._changed:
            assert self._changed.wait_for(found, DEADLINE), f"version {version} was not received"
            return found()


def messages_sent(client):
    client.wait_enqueued_messages_sent()


def reported_sent(client):
    until(lambda: not client.any_pending_reported_properties_updates, "the confirmation of Reported Properties")
