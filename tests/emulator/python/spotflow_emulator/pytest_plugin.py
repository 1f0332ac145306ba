"""Fixtures for pytest: a fresh Platform for each test that asks for one.

They are there once this package is installed::

    def test_readings_arrive(spotflow_emulator, tmp_path):
        client = DeviceClient.start(
            device_id="my-device",
            provisioning_token=spotflow_emulator.provisioning_token,
            db=str(tmp_path / "device.db"),
            instance=spotflow_emulator.instance,
        )
        client.create_stream_sender().enqueue_message(b"21.5")
        assert spotflow_emulator.wait_messages(1)[0].payload == b"21.5"

A failed test's report has a section that tells what the Platform saw.
"""

import os
from typing import Any, Callable, Generator, Iterator, List, Union

import pytest

from .emulator import Emulator
from .errors import EmulatorError

StartEmulator = Callable[..., Emulator]
_STARTED = pytest.StashKey[List[Emulator]]()


@pytest.fixture
def start_spotflow_emulator(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StartEmulator]:
    """Starts Platforms with options of your own: ``start_spotflow_emulator("--approve", "manual")``. Unless told so,
    they let every device in at once. ``SSL_CERT_FILE`` is set for the one started last. All are closed after the
    test."""
    started: List[Emulator] = []
    request.node.stash[_STARTED] = started

    def start(*options: "Union[str, os.PathLike[str]]") -> Emulator:
        emulator = Emulator("--approve", "auto", *options)
        started.append(emulator)
        monkeypatch.setenv("SSL_CERT_FILE", emulator.ca_file)
        return emulator

    yield start
    for emulator in started:
        emulator.close()


@pytest.fixture
def spotflow_emulator(start_spotflow_emulator: StartEmulator) -> Emulator:
    """A fresh Platform that lets every device in at once. A device started in the test, in this process or in a child
    of it, trusts it: ``SSL_CERT_FILE`` is set until the test ends."""
    return start_spotflow_emulator()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Adds what the Platforms saw to a failed test's report."""
    outcome = yield
    report: pytest.TestReport = outcome.get_result()
    if report.failed:
        for emulator in item.stash.get(_STARTED, []):
            if not emulator.closed:
                report.sections.append((f"Spotflow Platform {emulator.instance}", _summary(emulator)))


def _summary(emulator: Emulator) -> str:
    try:
        return emulator.summary()
    except EmulatorError as error:
        return str(error)
