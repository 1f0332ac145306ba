"""What a device writes to its disk for each Message at one Message a second, and how large a backlog's file is.

    python benches/flash.py [SECONDS]

Half an hour unless said otherwise. Needs both Python packages of this repository, and a database on the disk that is to
be measured: it is made in the current directory.
"""

import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

from spotflow_device import DeviceClient, Durability
from spotflow_emulator import Emulator

sys.path.insert(0, str(Path(__file__).parent / "compare"))
import counters  # noqa: E402

MESSAGE_BYTES = 200
#: What is measured: the durability, and how many Messages are stored with one call.
WAYS = {
    "one by one": (Durability.POWER_SAFE, 1),
    "one by one, KILL_SAFE": (Durability.KILL_SAFE, 1),
    "60 at once, each minute": (Durability.POWER_SAFE, 60),
}
BACKLOGS = ((200, 100_000), (1000, 50_000), (10_000, 5000))


def payloads(count, size=MESSAGE_BYTES):
    return [b"%-*d" % (size, index) for index in range(count)]


def device(emulator, directory, **options):
    os.environ["SSL_CERT_FILE"] = emulator.ca_file
    token, instance = emulator.provisioning_token, emulator.instance
    return DeviceClient.start("flash", token, Path(directory) / "device.db", instance, lambda operation: None, **options)


def measure(way, seconds):
    durability, at_once = WAYS[way]
    with Emulator("--approve", "auto") as emulator, tempfile.TemporaryDirectory(dir=".") as directory:
        with device(emulator, directory, durability=durability) as client:
            sender = client.create_stream_sender()
            sender.send_message("the first is not counted")
            before, began = counters.cost()["written_bytes"], time.monotonic()
            for sent in range(at_once, seconds + 1, at_once):
                sender.enqueue_messages(payloads(at_once))
                time.sleep(max(0, began + sent - time.monotonic()))
            client.wait_enqueued_messages_sent()
            written = (counters.cost()["written_bytes"] - before) / (seconds // at_once * at_once)
    print(f"{way}: {written:,.0f} bytes a Message, {written * 365 * 86_400 / 1e9:,.0f} GB a year", flush=True)


def backlog(size, count):
    with Emulator("--approve", "auto") as emulator, tempfile.TemporaryDirectory(dir=".") as directory:
        with device(emulator, directory) as client:
            emulator.accept_connections(False)
            emulator.close_connections()
            for _ in range(count // 1000):
                client.create_stream_sender("plant", "readings").enqueue_messages(payloads(1000, size))
        file_bytes = (Path(directory) / "device.db").stat().st_size
    print(f"backlog of {size:,} B: {file_bytes / count:,.0f} bytes of file a Message", flush=True)


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 1800
    for size, count in BACKLOGS:
        backlog(size, count)
    work = [multiprocessing.Process(target=measure, args=(way, seconds)) for way in WAYS]
    for process in work:
        process.start()
    for process in work:
        process.join()


if __name__ == "__main__":
    main()
