"""``python -m scenario.device FILE``: a device in a process of its own, so that it can end and start again.

Reads as JSON from standard input how to start and what to do, and writes what came of it to the file."""

import json
import os
import sys
import time

import spotflow_device

from .cases import raised, shown


class Device:
    """The steps that a device can be told to take."""

    def __init__(self, client, operations):
        self._client, self._operations = client, operations

    def displayed(self):
        """Waits until the callback was called, which may be after the start where it is a thread's of its own."""
        while not self._operations:
            time.sleep(0.005)

    def identity(self):
        return [self._client.workspace_id, self._client.device_id]

    def enqueue(self, *payloads):
        sender = self._client.create_stream_sender()
        for payload in payloads:
            sender.enqueue_message(payload.encode())

    def sent(self):
        self._client.wait_enqueued_messages_sent()

    def pending(self):
        return self._client.pending_messages_count

    def report(self, document):
        self._client.update_reported_properties(document)

    def reported(self):
        while self._client.any_pending_reported_properties_updates:
            time.sleep(0.005)

    def desired(self, version=1):
        """What there is, once it has that version."""
        desired = self._client.get_desired_properties()
        while desired.version < version:
            time.sleep(0.005)
            desired = self._client.get_desired_properties()
        return [desired.version, desired.values]


def main(path):
    orders = json.load(sys.stdin)
    told = {"operations": []}

    def display(operation):
        told["operations"].append([operation.id, operation.verification_code, operation.expiration_time])

    options = orders["options"]
    if orders["displays"]:
        options["display_provisioning_operation_callback"] = display
    try:
        client = spotflow_device.DeviceClient.start(**options)
    except BaseException as error:
        told["start"] = raised(error)
    else:
        told["start"] = "returns"
        device = Device(client, told["operations"])
        told["results"] = [shown(getattr(device, step)(*arguments)) for step, *arguments in orders["steps"]]
    with open(path, "w") as file:
        json.dump(told, file)
    sys.stdout.flush()
    if orders["abrupt"]:
        # As by a kill.
        os._exit(0)


main(sys.argv[1])
