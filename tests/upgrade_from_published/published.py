"""A device on the published SDK, in a process of its own, that stores without waiting until it is killed."""

import multiprocessing

#: Ends a wait that should not be one.
DEADLINE = 30.0


class Published:
    def __init__(self, emulator, database, device_id):
        self._here, there = multiprocessing.Pipe()
        options = {
            "device_id": device_id,
            "provisioning_token": emulator.provisioning_token,
            "db": str(database),
            "instance": emulator.instance,
        }
        # It trusts the Platform by the environment that the emulator's fixture has set.
        self._process = multiprocessing.get_context("spawn").Process(target=_run, args=(there, options), daemon=True)
        self._process.start()
        there.close()
        self.workspace_id = self._next()

    @property
    def process_id(self):
        return self._process.pid

    def store(self, senders):
        """Stores what each sender sends: pairs of its options, and of method names and arguments."""
        self._ask("store", senders)

    def report(self, properties):
        self._ask("report", properties)

    def pending(self):
        return self._ask("pending")

    def wait_sent(self):
        self._ask("wait_sent")

    def store_numbers(self, until):
        """Stores 0, 1, 2, ... and returns the first number from `until` on that was stored; it goes on storing."""
        self._here.send(("store_numbers", ()))
        number = -1
        while number < until:
            number = self._next()
        return number

    def kill(self):
        """Returns the last that it told."""
        self._process.kill()
        self._process.join(DEADLINE)
        told = None
        try:
            while self._here.poll():
                told = self._here.recv()
        except (EOFError, OSError):
            pass
        return told

    def _ask(self, name, *arguments):
        self._here.send((name, arguments))
        return self._next()

    def _next(self):
        assert self._here.poll(DEADLINE), "the device does not answer"
        return self._here.recv()


def _run(connection, options):
    import spotflow_device

    client = spotflow_device.DeviceClient.start(
        **options, display_provisioning_operation_callback=lambda operation: None
    )
    connection.send(client.workspace_id)
    while True:
        name, arguments = connection.recv()
        connection.send(_COMMANDS[name](spotflow_device, client, connection, *arguments))


def _store(sdk, client, _connection, senders):
    for (group, stream, compression), messages in senders:
        chosen = getattr(sdk.Compression, compression) if compression else None
        sender = client.create_stream_sender(group, stream, chosen)
        for method, arguments in messages:
            getattr(sender, method)(**arguments)


def _store_numbers(_sdk, client, connection):
    sender = client.create_stream_sender()
    number = 0
    while True:
        sender.enqueue_message(str(number).encode())
        connection.send(number)
        number += 1


_COMMANDS = {
    "store": _store,
    "store_numbers": _store_numbers,
    "report": lambda _sdk, client, _connection, properties: client.update_reported_properties(properties),
    "pending": lambda _sdk, client, _connection: client.pending_messages_count,
    "wait_sent": lambda _sdk, client, _connection: client.wait_enqueued_messages_sent(),
}
