"""How long a start takes, and what it says meanwhile."""

import logging
import time

import pytest
from spotflow_device import DeviceClient, WaitTimeoutError

from support import DEVICE, PATIENCE, Seen, arguments, eventually, in_thread, native_threads, payloads, python_threads


def test_a_start_that_nobody_approves_ends_at_its_time_limit_and_leaves_nothing_behind(
    start_spotflow_emulator, tmp_path
):
    emulator = start_spotflow_emulator("--approve", "manual")
    shown = Seen()
    options = arguments(emulator, tmp_path, display_provisioning_operation_callback=shown, timeout=0.5)
    began = time.monotonic()
    with pytest.raises(WaitTimeoutError) as caught:
        DeviceClient.start(**options)
    assert time.monotonic() - began >= 0.5
    assert caught.value.retryable
    first = shown.wait()
    eventually("the threads end", lambda: native_threads() == python_threads() == [])
    # The next one begins another operation, on the same file.
    starting = in_thread(DeviceClient.start, **dict(options, timeout=PATIENCE))
    second = shown.wait(lambda operation: operation.id != first.id)
    emulator.approve(second.id)
    with starting.result(PATIENCE) as client:
        assert client.device_id == DEVICE


@pytest.mark.parametrize("fault", ["refuses", "is silent"])
def test_a_new_device_whose_platform_cannot_be_reached_waits_until_its_time_limit(
    spotflow_emulator, tmp_path, fault
):
    if fault == "refuses":
        spotflow_emulator.accept_connections(False)
    else:
        spotflow_emulator.http_hang("any")
    with pytest.raises(WaitTimeoutError):
        DeviceClient.start(**arguments(spotflow_emulator, tmp_path, timeout=1))
    eventually("the threads end", lambda: native_threads() == python_threads() == [])


def test_a_registered_device_goes_on_offline_at_its_time_limit(spotflow_emulator, start_client):
    start_client(spotflow_emulator).close()
    spotflow_emulator.http_hang("any")
    client = start_client(spotflow_emulator, timeout=0.5)
    client.create_stream_sender().enqueue_message("stored")
    assert client.pending_messages_count == 1
    spotflow_emulator.clear_http_faults()
    client.wait_enqueued_messages_sent(timeout=2 * PATIENCE)
    assert payloads(spotflow_emulator) == [b"stored"]


@pytest.mark.parametrize("limit", [None, 60, float("inf")])
def test_a_start_that_is_in_time_is_one_like_any_other(spotflow_emulator, start_client, limit):
    client = start_client(spotflow_emulator, timeout=limit)
    client.create_stream_sender().send_message("works", timeout=PATIENCE)


def test_a_start_that_waits_says_each_half_minute_what_for(start_spotflow_emulator, tmp_path, caplog):
    emulator = start_spotflow_emulator("--approve", "manual")
    silent = start_spotflow_emulator()
    silent.accept_connections(False)
    directories = [tmp_path / "approval", tmp_path / "network"]
    for directory in directories:
        directory.mkdir()
    with caplog.at_level(logging.WARNING, logger="spotflow_device"):
        limit = {"timeout": 40}
        starts = [
            in_thread(DeviceClient.start, **arguments(emulator, directories[0], ca_file=emulator.ca_file, **limit)),
            in_thread(DeviceClient.start, **arguments(silent, directories[1], ca_file=silent.ca_file, **limit)),
        ]
        for start in starts:
            with pytest.raises(WaitTimeoutError):
                start.result(40 + PATIENCE)
    said = sorted(record.getMessage() for record in caplog.records if "the start has waited" in record.getMessage())
    network, approval = said
    (operation,) = emulator.operations()
    assert approval == f"the start has waited 30 s for the approval of Provisioning Operation {operation.id}"
    assert network.startswith("the start has waited 30 s for the Platform, and tries again: ")
