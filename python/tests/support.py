"""What tests of the package share."""

import os
import threading
import time
from concurrent.futures import Future

#: The Device ID that tests ask for.
DEVICE = "test-device"

#: The deadline, in seconds, for whatever should come promptly: never reached unless something is broken.
PATIENCE = 30.0


def arguments(emulator, directory, **options):
    """What a device of `emulator` is started with, its database in `directory`."""
    return dict(
        {
            "device_id": DEVICE,
            "provisioning_token": emulator.provisioning_token,
            "db": str(directory / "device.db"),
            "instance": emulator.instance,
            "display_provisioning_operation_callback": lambda operation: None,
        },
        **options
    )


def eventually(what, condition):
    """Waits until `condition()` is true, and returns what it is: for what nothing signals."""
    deadline = time.monotonic() + PATIENCE
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        time.sleep(0.005)


def in_thread(function, *arguments, **options):
    """Runs a function in a thread of its own; returns the Future of its result."""
    future = Future()

    def run():
        try:
            future.set_result(function(*arguments, **options))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="in_thread", daemon=True).start()
    return future


class Seen:
    """A callback that keeps what it is called with."""

    def __init__(self):
        self._items = []
        self._changed = threading.Condition()

    def __call__(self, item):
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def all(self):
        with self._changed:
            return list(self._items)

    def wait(self, wanted=lambda item: True):
        """The first item that is wanted, as soon as there is one."""

        def find():
            return [item for item in self._items if wanted(item)]

        with self._changed:
            assert self._changed.wait_for(find, PATIENCE), f"not within {PATIENCE} s, but {self._items}"
            return find()[0]


def cut_off(emulator, client):
    """Takes the network away from a client that is connected. It has to be: a connection that is still being made
    would pass the closed door."""
    emulator.wait_connected(client.device_id)
    emulator.accept_connections(False)
    emulator.close_connections()
    emulator.wait_connected(client.device_id, False)


def payloads(emulator):
    """The payloads that the Platform received, without repeats."""
    return [message.payload for message in emulator.messages() if not message.repeat]


def native_threads():
    """The names of the library's threads in this process.

    The system lists a thread for a moment longer than it takes to join it: on an emulated processor it is seen.
    """
    names = []
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/comm") as comm:
                names.append(comm.read().strip())
        except OSError:
            # It ended meanwhile.
            pass
    return [name for name in names if name.startswith("spotflow-")]


def python_threads():
    """The names of the package's threads in Python, but for the one that serves the whole process."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("spotflow_device") and name != "spotflow_device-logging"]
