import functools

import pytest

from device import Device

# The package is not installed here but on the path; see pytest.ini.
pytest_plugins = ["spotflow_emulator.pytest_plugin"]


@pytest.fixture
def start_emulator(start_spotflow_emulator):
    # The published SDK knows no other ports.
    return functools.partial(start_spotflow_emulator, "--standard-ports")


@pytest.fixture
def emulator(start_emulator):
    return start_emulator()


@pytest.fixture
def start_device(tmp_path):
    running = []

    def start(emulator, device_id="wheel-1", database="device.db", **options):
        running.append(Device(emulator, tmp_path / database, device_id, **options))
        return running[-1]

    yield start
    for device in running:
        device.kill()
