import functools

import pytest

from published import Published
from upgraded import Upgraded

# The package is not installed here but on the path; see pytest.ini.
pytest_plugins = ["spotflow_emulator.pytest_plugin"]


@pytest.fixture
def emulator(start_spotflow_emulator):
    # The published SDK knows no other ports.
    return start_spotflow_emulator("--standard-ports")


def _starter(kind, emulator, database):
    running = []

    def start(*arguments, device_id="wheel-1", database=database):
        running.append(kind(emulator, database, device_id, *arguments))
        return running[-1]

    yield start
    for device in running:
        device.kill()


@pytest.fixture
def database(tmp_path):
    return tmp_path / "device.db"


@pytest.fixture
def start_published(emulator, database):
    yield from _starter(Published, emulator, database)


@pytest.fixture
def start_upgraded(emulator, database):
    yield from _starter(Upgraded, emulator, database)
