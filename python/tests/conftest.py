"""Devices for tests, on an embedded Platform, and closed with the test."""

import faulthandler
import os

import pytest
from spotflow_device import DeviceClient
from spotflow_emulator import Emulator

from programs import Program
from support import PATIENCE, arguments

pytest_plugins = ["spotflow_emulator.pytest_plugin"]


def pytest_configure(config):
    # Standard error, whatever is captured later.
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        config.console = os.dup(2)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """A wait that a fault made endless ends the run, and says where it was."""
    faulthandler.dump_traceback_later(5 * PATIENCE, exit=True, file=item.config.console)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def start_client(start_spotflow_emulator, tmp_path):
    """Starts clients: ``start_client(emulator, cloud_messages=True)``, all on the same file unless told otherwise."""
    started = []

    def start(emulator, **options):
        client = DeviceClient.start(**arguments(emulator, tmp_path, **options))
        started.append(client)
        return client

    # That of the Platforms comes first, so that the clients are closed before them.
    yield start
    for client in started:
        client.close()


@pytest.fixture
def run(start_spotflow_emulator, tmp_path):
    """Starts programs: ``run(emulator, source)``, see :class:`programs.Program`; all on the same file."""
    started = []

    def start(emulator, source, **options):
        program = Program(emulator, tmp_path / "program.db", source, **options)
        started.append(program)
        return program

    yield start
    for program in started:
        program.kill()


@pytest.fixture(scope="module")
def module_stage(tmp_path_factory):
    """A Platform and a client for all tests of a file, for tests that leave nothing pending."""
    with Emulator("--approve", "auto") as emulator:
        options = arguments(emulator, tmp_path_factory.mktemp("device"), ca_file=emulator.ca_file)
        with DeviceClient.start(**options) as client:
            yield emulator, client
