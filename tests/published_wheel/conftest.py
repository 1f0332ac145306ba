import pytest

from device import Device
from emulator import Emulator


@pytest.fixture
def start_emulator():
    running = []

    def start(*options):
        running.append(Emulator("--standard-ports", *options))
        return running[-1]

    yield start
    for emulator in running:
        emulator.close()


@pytest.fixture
def emulator(start_emulator):
    return start_emulator("--approve", "auto")


@pytest.fixture
def start_device(tmp_path):
    running = []

    def start(emulator, device_id="wheel-1", database="device.db", **options):
        running.append(Device(emulator, tmp_path / database, device_id, **options))
        return running[-1]

    yield start
    for device in running:
        device.kill()
