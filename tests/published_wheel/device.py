"""A device on the published SDK, in a process of its own: it ends when the process does, like a real one."""

import multiprocessing
import threading

#: Ends a wait that a fault made endless.
DEADLINE = 30.0


class Device:
    def __init__(self, emulator, database, device_id, token=None, **started_with):
        self._here, there = multiprocessing.Pipe()
        self._unread = []
        options = {
            "device_id": device_id,
            "provisioning_token": token or emulator.provisioning_token,
            "db": str(database),
            "instance": emulator.instance,
            **started_with,
        }
        # It trusts the Platform by the environment that the emulator's fixture has set.
        self._process = multiprocessing.get_context("spawn").Process(
            target=_run, args=(there, options), daemon=True
        )
        self._process.start()
        there.close()

    def next(self, kind):
        """The next thing of that kind that the device tells: operation, started, failed, desired, result."""
        for index, (told, content) in enumerate(self._unread):
            if told == kind:
                del self._unread[index]
                return content
        while self._here.poll(DEADLINE):
            told, content = self._here.recv()
            if told == kind:
                return content
            if told == "failed":
                raise AssertionError(content)
            self._unread.append((told, content))
        raise AssertionError(f"the device tells no {kind!r}, but {self._unread}")

    def start_enqueue(self, messages, group=None, stream=None, compression=None):
        """Has the device enqueue them and wait until they are sent."""
        self._here.send(("enqueue", (messages, group, stream, compression)))

    def enqueue(self, messages, **options):
        self.start_enqueue(messages, **options)
        return self.next("result")

    def call(self, name, *arguments):
        self._here.send((name, arguments))
        return self.next("result")

    def kill(self):
        self._process.kill()
        self._process.join(DEADLINE)


def _run(connection, options):
    import spotflow_device

    lock = threading.Lock()

    def tell(kind, content):
        with lock:
            connection.send((kind, content))

    def display(operation):
        fields = ("id", "verification_code", "expiration_time")
        tell("operation", {field: getattr(operation, field) for field in fields})

    def updated(desired):
        tell("desired", (desired.version, desired.values))

    try:
        client = spotflow_device.DeviceClient.start(
            **options,
            display_provisioning_operation_callback=display,
            desired_properties_updated_callback=updated,
        )
    except spotflow_device.SpotflowError as error:
        tell("failed", str(error))
        return
    tell("started", {"workspace_id": client.workspace_id, "device_id": client.device_id})
    while True:
        name, arguments = connection.recv()
        tell("result", _COMMANDS[name](spotflow_device, client, *arguments))


def _enqueue(sdk, client, messages, group, stream, compression):
    chosen = getattr(sdk.Compression, compression) if compression else None
    sender = client.create_stream_sender(group, stream, chosen)
    for method, arguments in messages:
        getattr(sender, method)(**arguments)
    client.wait_enqueued_messages_sent()
    return client.pending_messages_count


def _store(_sdk, client, payloads):
    sender = client.create_stream_sender()
    for payload in payloads:
        sender.enqueue_message(payload)


def _desired(_sdk, client):
    desired = client.get_desired_properties()
    return desired.version, desired.values


def _report(_sdk, client, properties):
    client.update_reported_properties(properties)


_COMMANDS = {"enqueue": _enqueue, "store": _store, "desired": _desired, "report": _report}
