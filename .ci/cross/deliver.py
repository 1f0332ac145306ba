"""Imports the package, and delivers a Message to the embedded Platform."""

import os
import platform
import tempfile

import spotflow_device
from spotflow_emulator import Emulator

with tempfile.TemporaryDirectory() as directory, Emulator("--approve", "auto") as emulator:
    os.environ["SSL_CERT_FILE"] = emulator.ca_file
    client = spotflow_device.DeviceClient.start(
        device_id="my-device",
        provisioning_token=emulator.provisioning_token,
        db=os.path.join(directory, "device.db"),
        instance=emulator.instance,
    )
    sender = client.create_stream_sender(compression=spotflow_device.Compression.SMALLEST_SIZE)
    sender.enqueue_message("reading " * 100)
    client.wait_enqueued_messages_sent(timeout=60)
    [message] = emulator.wait_messages(1)
    assert message.payload == b"reading " * 100, message
    client.close()
libc = "glibc" if platform.libc_ver()[0] == "glibc" else "musl"
print("imported, and a Message delivered, on", platform.machine(), platform.system(), libc if os.name == "posix" else "", platform.python_version())
