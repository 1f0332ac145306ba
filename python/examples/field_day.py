"""A day in the field, over a link that comes and goes: what matters goes first, what is stale is not sent, and large
content goes on where the link broke.

    python field_day.py

It runs on the embedded Platform (the package `spotflow-emulator`), which takes the link away and gives it back, and
ends by checking what arrived there.
"""

import hashlib
import os
import random
import sys
import tempfile
import time
from typing import Callable, List, Set, Tuple

from spotflow_device import Compression, DeviceClient, ExpiredError, Priority, Status
from spotflow_emulator import Emulator, Message, StorageWrite, WriteKind

OUTAGES = 2
# Seconds stand for hours.
OUTAGE = 2.5
LIFETIME = 2.0
STALE_READINGS = 200
FRESH_READINGS = 20
STATES = 10
IMAGE_BYTES = 6_000_000
# So that the link never lasts long enough for the whole image.
UPLOAD_BYTES_PER_SECOND = 2_000_000
# For whatever should come promptly.
PATIENCE = 30.0


class Station:
    """The device's senders, and what it stored, for the comparison with what arrives."""

    def __init__(self, client: DeviceClient) -> None:
        # Alarms go first after an outage, whatever has piled up meanwhile.
        self.alarm_sender = client.create_stream_sender("field", "alarms", priority=Priority.URGENT)
        # When the link is back, stale readings have made room for fresh ones.
        self.reading_sender = client.create_stream_sender("field", "readings", time_to_live=LIFETIME)
        # The newest takes the place of those that were not sent.
        self.state_sender = client.create_stream_sender("field", "state", keep_latest=True)
        # It goes up in blocks, and an outage costs one block at most.
        self.camera = client.create_stream_sender("field", "camera", priority=Priority.LOW)
        # It has time.
        self.logs = client.create_stream_sender("field", "logs", Compression.FASTEST, priority=Priority.BULK)
        self.alarms: List[str] = []
        self.readings: List[str] = []
        self.states: List[str] = []
        self.stale_readings: Set[str] = set()

    def raise_alarm(self, alarm: str) -> None:
        self.alarm_sender.enqueue_message(alarm)
        self.alarms.append(alarm)

    def measure(self, count: int) -> List[str]:
        """Stores so many readings, and returns them."""
        readings = [self._next_reading() for _ in range(count)]
        self.reading_sender.enqueue_messages(readings)
        return readings

    def measure_and_send(self) -> None:
        """Returns when the reading is sent, and with it all before it that were not stale."""
        try:
            self.reading_sender.send_message(self._next_reading(), timeout=PATIENCE)
        except ExpiredError:
            # It took the link longer to come back than a reading lives.
            pass

    def tell_states(self) -> None:
        """The pump changes its state several times."""
        for _ in range(STATES):
            state = f"state {len(self.states)}"
            self.state_sender.enqueue_message(state)
            self.states.append(state)

    def _next_reading(self) -> str:
        reading = f"reading {len(self.readings)}"
        self.readings.append(reading)
        return reading


class Link:
    """The device's link to the Platform, which is slow, and breaks where that hurts."""

    def __init__(self, platform: Emulator) -> None:
        self.platform = platform
        platform.storage_rate(UPLOAD_BYTES_PER_SECOND)

    def take_away(self, client: DeviceClient) -> None:
        """Returns when the device has noticed: until then something may be in flight, and never expires."""
        self.platform.accept_connections(False)
        self.platform.cut_storage_after(1)
        self.platform.close_connections()
        wait_until("the device has a link", lambda: not client.status().is_connected)

    def give_back(self) -> None:
        self.platform.cut_storage_after(None)
        self.platform.accept_connections(True)

    def wait_until_amid_a_block(self) -> None:
        """Returns when another block has come up, and the next is under way."""
        up_before = len(whole_blocks(self.platform.storage_writes()))

        def is_amid_a_block() -> bool:
            writes = self.platform.storage_writes()
            is_begun = bool(writes) and writes[-1].status is None and writes[-1].received_bytes > 0
            return is_begun and len(whole_blocks(writes)) > up_before

        wait_until("the upload does not get on", is_amid_a_block)


def main() -> None:
    with tempfile.TemporaryDirectory() as directory, Emulator("--approve", "auto") as platform:
        link = Link(platform)
        with DeviceClient.start(
            device_id="field-station",
            provisioning_token=platform.provisioning_token,
            instance=platform.instance,
            ca_file=platform.ca_file,
            db=os.path.join(directory, "spotflow.db"),
            display_provisioning_operation_callback=lambda operation: None,
        ) as client:
            spend_a_day(client, link, os.path.join(directory, "yesterday.log"))


def spend_a_day(client: DeviceClient, link: Link, log_file: str) -> None:
    station = Station(client)
    print("-- Morning: a camera image and yesterday's log file are to be sent", flush=True)
    log, image = log_of_a_day(), picture()
    with open(log_file, "wb") as file:
        file.write(log)
    station.camera.enqueue_message(image)
    station.logs.enqueue_file(log_file)
    link.wait_until_amid_a_block()

    for outage in range(1, OUTAGES + 1):
        link.take_away(client)
        print(f"-- Outage {outage}: readings grow stale; then come fresh ones, and an alarm", flush=True)
        stale = station.measure(STALE_READINGS)
        station.tell_states()
        time.sleep(OUTAGE)
        station.stale_readings.update(stale)
        station.measure(FRESH_READINGS)
        station.raise_alarm(f"outage {outage}: the door is open")
        show(client.status())

        link.give_back()
        print("-- The link is back", flush=True)
        station.measure_and_send()
        link.wait_until_amid_a_block()
        show(client.status())

    print("-- Evening: the link lasts", flush=True)
    client.wait_enqueued_messages_sent(timeout=4 * PATIENCE)

    print("The Platform received:")
    received = [message for message in link.platform.messages() if not message.repeat]
    check_alarms(received, station.alarms)
    check_readings(received, station, client.status().expired_messages)
    check_states(received, station.states, client.status().replaced_messages)
    check_whole("image", in_stream(received, "camera"), image)
    check_blocks(link.platform.storage_writes())
    check_whole("log file", in_stream(received, "logs"), log)


def log_of_a_day() -> bytes:
    """A line a second."""
    values = random.Random(1)
    seconds = range(24 * 3600)
    times = (f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}" for second in seconds)
    lines = (f"{time} {values.randrange(1400, 1600)} rpm, {values.randrange(95_000, 105_000)} Pa\n" for time in times)
    return "".join(lines).encode()


def picture() -> bytes:
    """No codec makes it smaller."""
    return random.Random(1).getrandbits(8 * IMAGE_BYTES).to_bytes(IMAGE_BYTES, "big")


def show(status: Status) -> None:
    upload = status.upload
    uploaded = f"; {upload.uploaded_bytes} of {upload.total_bytes} bytes uploaded" if upload else ""
    waiting = f"{status.pending_messages} Messages pending, {status.expired_messages} readings too old"
    print(waiting + uploaded, flush=True)


def check(is_right: bool, problem: str) -> None:
    if not is_right:
        sys.exit(problem)


def wait_until(problem: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        check(time.monotonic() < deadline, problem)
        time.sleep(0.005)


def in_stream(received: List[Message], stream: str) -> List[Message]:
    return [message for message in received if message.properties.get("stream-name") == stream]


def check_alarms(received: List[Message], stored: List[str]) -> None:
    """Each is there, and went over the connection that the outage ended with before everything else."""
    alarms = in_stream(received, "alarms")
    check([alarm.text for alarm in alarms] == stored, "the alarms are not those raised")
    for alarm in alarms:
        over_connection = [message for message in received if message.connection == alarm.connection]
        # What was in flight when the link broke is sent again first.
        check(over_connection.index(alarm) <= 1, "an alarm had to wait")
    print(f"  {len(alarms)} alarms, each first after its outage")


def check_readings(received: List[Message], station: Station, expired: int) -> None:
    """Each is there in its order, or was too old and counted; none that was stale is there."""
    readings = [message.text for message in in_stream(received, "readings")]
    arrived = set(readings)
    in_order = [reading for reading in station.readings if reading in arrived]
    check(readings == in_order, "the readings are not those stored, in order")
    check(not arrived & station.stale_readings, "a stale reading was sent")
    check(len(station.readings) - len(readings) == expired, "not each reading is accounted for")
    print(f"  {len(readings)} readings; {expired} were too old")


def check_states(received: List[Message], stored: List[str], replaced: int) -> None:
    """The newest of each outage is there, and the others are counted."""
    states = [message.text for message in in_stream(received, "state")]
    check(states == stored[STATES - 1 :: STATES], "the states are not the newest")
    check(len(stored) - len(states) == replaced, "not each state is accounted for")
    print(f"  {len(states)} states; newer ones took the place of {replaced}")


def check_whole(name: str, received: List[Message], stored: bytes) -> None:
    check(len(received) == 1, f"not one {name} came")
    [message] = received
    check(message.external, f"the {name} was not uploaded")
    digest = hashlib.sha256(message.payload).hexdigest()
    check(digest == hashlib.sha256(stored).hexdigest(), f"the {name} is not the one stored")
    print(f"  the {name}, whole: {len(stored)} bytes, SHA-256 {digest}")


def whole_blocks(writes: List[StorageWrite]) -> List[Tuple[str, str]]:
    """What was stored of blocks, by content and number."""
    blocks = [write for write in writes if write.kind is WriteKind.BLOCK and write.status == 201]
    return [(block.blob_name, str(block.block_id)) for block in blocks]


def check_blocks(writes: List[StorageWrite]) -> None:
    """None was sent again that had come up, and each outage interrupted one at most."""
    whole = whole_blocks(writes)
    check(len(set(whole)) == len(whole), "a block came up twice")
    interrupted = sum(write.kind is WriteKind.BLOCK for write in writes) - len(whole)
    check(interrupted <= OUTAGES, "an outage cost several blocks")
    print(f"    in {len(whole)} blocks, {interrupted} of them begun anew")


if __name__ == "__main__":
    main()
