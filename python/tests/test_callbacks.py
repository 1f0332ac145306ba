"""Callbacks: they may do anything, fail in any way, and take their time; they end with the client."""

import gc
import logging
import sys
import threading
import weakref

import pytest
from spotflow_device import ClosedError, ConnectionChange, DeviceClient, UploadStatus
from spotflow_emulator import Route

from support import DEVICE, PATIENCE, Seen, arguments, eventually, in_thread, native_threads, payloads, python_threads


class Trouble(Exception):
    pass


class WorseTrouble(BaseException):
    pass


def updates(emulator, seen):
    """Shows that updates still come."""
    for number in range(2):
        version = emulator.set_desired(DEVICE, {"number": number})
        seen.wait(lambda desired: desired.version == version)


def failing(seen, error):
    def callback(item):
        seen(item)
        raise error

    return callback


def logged(caplog, level):
    records = [record for record in caplog.records if record.levelno == level]
    return [record for record in records if record.name == "spotflow_device.callbacks"]


# Exceptions


@pytest.mark.parametrize("error", [Trouble, WorseTrouble, KeyboardInterrupt, GeneratorExit, RecursionError])
def test_an_exception_is_logged_with_its_traceback_and_the_next_update_still_comes(
    spotflow_emulator, start_client, caplog, error
):
    seen = Seen()
    client = start_client(spotflow_emulator, desired_properties_updated_callback=failing(seen, error("what happened")))
    seen.wait()
    updates(spotflow_emulator, seen)
    client.create_stream_sender().send_message("works", timeout=PATIENCE)
    eventually("all are logged", lambda: len(logged(caplog, logging.ERROR)) == 3)
    for record in logged(caplog, logging.ERROR):
        assert "desired_properties_updated_callback" in record.getMessage()
        assert (record.exc_info[0], str(record.exc_info[1])) == (error, "what happened")
        traceback = logging.Formatter().format(record)
        assert "raise error" in traceback and "test_callbacks.py" in traceback


@pytest.mark.parametrize("error", [Trouble, SystemExit])
def test_a_log_handler_that_fails_beside_the_callback_does_not_stop_the_updates(
    spotflow_emulator, start_client, capfd, error
):
    class Failing(logging.Handler):
        def emit(self, record):
            raise WorseTrouble("of the handler")

    handler, seen = Failing(), Seen()
    logger = logging.getLogger("spotflow_device.callbacks")
    logger.addHandler(handler)
    try:
        start_client(spotflow_emulator, desired_properties_updated_callback=failing(seen, error()))
        seen.wait()
        updates(spotflow_emulator, seen)
    finally:
        logger.removeHandler(handler)
    assert "WorseTrouble: of the handler" in capfd.readouterr().err


def test_a_callback_that_uses_another_closed_client_is_logged(spotflow_emulator, start_client, tmp_path, caplog):
    other = start_client(spotflow_emulator, device_id="another-device", db=str(tmp_path / "other.db"))
    other.close()
    start_client(spotflow_emulator, desired_properties_updated_callback=lambda desired: other.status())
    record = eventually("it is logged", lambda: logged(caplog, logging.ERROR))[0]
    assert record.exc_info[0] is ClosedError


@pytest.mark.parametrize("end", [SystemExit, sys.exit], ids=["SystemExit", "sys.exit"])
def test_system_exit_ends_neither_the_program_nor_the_updates(spotflow_emulator, start_client, caplog, end):
    seen = Seen()

    def callback(desired):
        seen(desired)
        raise end("over")

    start_client(spotflow_emulator, desired_properties_updated_callback=callback)
    seen.wait()
    updates(spotflow_emulator, seen)
    warning = eventually("it is logged", lambda: logged(caplog, logging.WARNING))[0]
    assert "SystemExit" in warning.getMessage()


def test_an_operation_is_shown_before_the_start_returns(spotflow_emulator, start_client):
    shown = []

    def display(operation):
        # Longer than an approval at once takes.
        threading.Event().wait(0.5)
        shown.append(operation.verification_code)

    start_client(spotflow_emulator, display_provisioning_operation_callback=display)
    assert shown == [operation.verification_code for operation in spotflow_emulator.operations()]


def test_an_exception_of_the_display_is_logged_and_the_start_goes_on(start_spotflow_emulator, start_client, caplog):
    emulator = start_spotflow_emulator("--approve", "manual")
    shown = Seen()
    starting = in_thread(
        start_client, emulator, display_provisioning_operation_callback=failing(shown, Trouble("no display"))
    )
    emulator.approve(shown.wait().id)
    assert starting.result(PATIENCE).device_id == DEVICE
    record = eventually("it is logged", lambda: logged(caplog, logging.ERROR))[0]
    assert "display_provisioning_operation_callback" in record.getMessage()
    assert record.exc_info[0] is Trouble


def test_an_exception_of_the_connection_callback_is_logged_and_the_next_change_still_comes(
    spotflow_emulator, start_client, caplog
):
    seen = Seen()
    start_client(spotflow_emulator, connection_changed_callback=failing(seen, Trouble()))
    seen.wait(lambda change: change.is_connected)
    spotflow_emulator.accept_connections(False)
    spotflow_emulator.close_connections()
    seen.wait(lambda change: not change.is_connected)
    eventually("both are logged", lambda: len(logged(caplog, logging.ERROR)) == 2)


def test_a_callback_with_another_signature_is_logged(spotflow_emulator, start_client, caplog):
    start_client(spotflow_emulator, desired_properties_updated_callback=lambda: None)
    record = eventually("it is logged", lambda: logged(caplog, logging.ERROR))[0]
    assert record.exc_info[0] is TypeError


# What they may do


def test_a_callback_may_use_the_client(spotflow_emulator, start_client):
    results, ready = Seen(), threading.Event()

    def callback(desired):
        assert ready.wait(PATIENCE)
        sender = client.create_stream_sender()
        sender.enqueue_message("enqueued in the callback")
        sender.send_message("sent in the callback", timeout=PATIENCE)
        client.wait_enqueued_messages_sent(timeout=PATIENCE)
        client.update_reported_properties({"version": desired.version})
        current = client.get_desired_properties()
        newer = client.get_desired_properties_if_newer(desired.version)
        results((current.version, newer, client.pending_messages_count, client.status().pending_messages))

    client = start_client(spotflow_emulator, desired_properties_updated_callback=callback)
    ready.set()
    version, newer, *pending = results.wait()
    assert (version, newer, pending) == (client.get_desired_properties().version, None, [0, 0])
    spotflow_emulator.wait_reported(DEVICE, {"version": version})
    assert payloads(spotflow_emulator) == [b"enqueued in the callback", b"sent in the callback"]


@pytest.mark.parametrize("name", ["desired_properties_updated_callback", "connection_changed_callback"])
def test_a_callback_may_close_the_client(spotflow_emulator, start_client, name):
    closed, ready = Seen(), threading.Event()

    def callback(item):
        assert ready.wait(PATIENCE)
        client.close()
        closed(item)

    client = start_client(spotflow_emulator, **{name: callback})
    ready.set()
    closed.wait()
    with pytest.raises(ClosedError):
        client.status()
    eventually("the threads end", lambda: python_threads() == [] and native_threads() == [])
    # The file is free.
    start_client(spotflow_emulator)


def test_a_callback_may_start_another_client(spotflow_emulator, start_client, tmp_path):
    started = Seen()

    def callback(desired):
        started(start_client(spotflow_emulator, device_id="second-device", db=str(tmp_path / "second.db")))

    start_client(spotflow_emulator, desired_properties_updated_callback=callback)
    second = started.wait()
    second.create_stream_sender().send_message("of the second", timeout=PATIENCE)
    assert spotflow_emulator.messages()[0].device_id == "second-device"


def test_a_slow_callback_does_not_delay_acknowledgements(spotflow_emulator, start_client):
    called, go_on = Seen(), threading.Event()

    def slow(item):
        called(item)
        assert go_on.wait(PATIENCE)

    client = start_client(spotflow_emulator, desired_properties_updated_callback=slow)
    called.wait()
    sender = client.create_stream_sender()
    for number in range(20):
        sender.send_message(str(number), timeout=PATIENCE)
    version = spotflow_emulator.set_desired(DEVICE, {"a": 1})
    eventually("updates arrive", lambda: client.get_desired_properties_if_newer(version - 1))
    client.update_reported_properties({"b": 2})
    spotflow_emulator.wait_reported(DEVICE, {"b": 2})
    go_on.set()


def test_the_connection_callback_is_told_of_coming_and_going(spotflow_emulator, start_client):
    changes = Seen()
    start_client(spotflow_emulator, connection_changed_callback=changes)
    came = changes.wait()
    assert type(came) is ConnectionChange
    assert (came.is_connected, came.error) == (True, None)
    for count in range(2, 6, 2):
        spotflow_emulator.accept_connections(False)
        spotflow_emulator.close_connections()
        eventually("it goes", lambda: len(changes.all()) == count)
        spotflow_emulator.accept_connections(True)
        eventually("it comes", lambda: len(changes.all()) == count + 1)
    assert [change.is_connected for change in changes.all()] == [True, False, True, False, True]
    assert [change.error is None for change in changes.all()] == [True, False, True, False, True]
    assert "not connected" in repr(changes.all()[1])


def test_the_progress_callback_is_told_of_an_upload_from_its_beginning_to_its_end(
    spotflow_emulator, start_client, caplog
):
    told = Seen()
    spotflow_emulator.http_hang(Route.BLOCK_PUT)
    client = start_client(spotflow_emulator, upload_progress_callback=failing(told, Trouble()))
    content = bytes(3 << 20)
    client.create_stream_sender().enqueue_message(content)
    begun = told.wait()
    assert type(begun) is UploadStatus
    assert (begun.uploaded_bytes, begun.total_bytes) == (0, len(content))
    spotflow_emulator.http_hang(Route.BLOCK_PUT, False)
    client.wait_enqueued_messages_sent(timeout=PATIENCE)
    told.wait(lambda upload: upload.uploaded_bytes == len(content))
    steps = [upload.uploaded_bytes for upload in told.all()]
    assert steps == sorted(set(steps)) and all(step % (1 << 20) == 0 for step in steps)
    eventually("each exception is logged", lambda: len(logged(caplog, logging.ERROR)) == len(steps))
    assert "upload_progress_callback" in logged(caplog, logging.ERROR)[0].getMessage()


# Their end


def test_no_callback_starts_after_the_close(spotflow_emulator, start_client):
    seen = Seen()
    client = start_client(
        spotflow_emulator, desired_properties_updated_callback=seen, connection_changed_callback=seen
    )
    eventually("both are called", lambda: len(seen.all()) == 2)
    client.close()
    # The goodbye is a change, too, but nobody is told any more.
    assert python_threads() == []
    assert len(seen.all()) == 2


def test_the_close_waits_for_a_callback_that_is_about_to_end(spotflow_emulator, start_client):
    called, go_on, ended = Seen(), threading.Event(), Seen()

    def callback(desired):
        called(desired)
        assert go_on.wait(PATIENCE)
        ended(desired)

    client = start_client(spotflow_emulator, desired_properties_updated_callback=callback)
    called.wait()
    go_on.set()
    client.close()
    assert len(ended.all()) == 1
    assert python_threads() == []


def test_the_close_leaves_a_callback_behind_that_does_not_end(spotflow_emulator, start_client, caplog):
    called, go_on, ended = Seen(), threading.Event(), Seen()

    def callback(desired):
        called(desired)
        assert go_on.wait(PATIENCE)
        ended(desired)

    client = start_client(spotflow_emulator, desired_properties_updated_callback=callback)
    called.wait()
    client.close()
    assert "left behind" in logged(caplog, logging.WARNING)[0].getMessage()
    assert ended.all() == []
    start_client(spotflow_emulator)
    go_on.set()
    ended.wait()


def test_the_close_ends_a_callback_that_waits_in_the_client(spotflow_emulator, start_client, caplog):
    spotflow_emulator.acknowledge("withhold")
    waiting, ready = Seen(), threading.Event()

    def callback(desired):
        assert ready.wait(PATIENCE)
        waiting(desired)
        client.create_stream_sender().send_message("never acknowledged")

    client = start_client(spotflow_emulator, desired_properties_updated_callback=callback)
    ready.set()
    waiting.wait()
    eventually("it waits", lambda: client.pending_messages_count == 1)
    client.close()
    assert python_threads() == []
    assert logged(caplog, logging.ERROR) == logged(caplog, logging.WARNING) == []


def start_forgotten(emulator, directory, **options):
    """A client that `start_client` does not keep."""
    return DeviceClient.start(**arguments(emulator, directory, **options))


def test_a_client_that_nothing_refers_to_is_closed(spotflow_emulator, tmp_path):
    called = threading.Event()

    def callback(desired):
        called.set()

    kept = weakref.ref(callback)
    client = start_forgotten(spotflow_emulator, tmp_path, desired_properties_updated_callback=callback)
    del callback
    assert called.wait(PATIENCE)
    eventually("it is connected", lambda: client.status().is_connected)
    assert native_threads() != [] and python_threads() != []
    del client
    eventually("the threads end", lambda: native_threads() == [])
    eventually("the thread for the callbacks ends", lambda: python_threads() == [])
    gc.collect()
    assert kept() is None
    spotflow_emulator.wait_connected(DEVICE, False)
    assert [connection.end for connection in spotflow_emulator.connections()] == ["DISCONNECT"]
    start_forgotten(spotflow_emulator, tmp_path).close()


def test_a_client_goes_on_as_long_as_there_is_a_sender(spotflow_emulator, tmp_path):
    seen = Seen()
    client = start_forgotten(spotflow_emulator, tmp_path, desired_properties_updated_callback=seen)
    sender = client.create_stream_sender()
    second = client.create_stream_sender()
    del client
    sender.send_message("without the client", timeout=PATIENCE)
    updates(spotflow_emulator, seen)
    del sender
    second.send_message("with the last sender", timeout=PATIENCE)
    del second
    eventually("the threads end", lambda: native_threads() == [])
    eventually("the thread for the callbacks ends", lambda: python_threads() == [])
    assert payloads(spotflow_emulator) == [b"without the client", b"with the last sender"]


def test_a_client_in_a_cycle_is_closed_when_that_is_collected(spotflow_emulator, tmp_path):
    class Device:
        pass

    device = Device()
    device.itself = device
    device.client = start_forgotten(spotflow_emulator, tmp_path)
    del device
    gc.collect()
    eventually("the threads end", lambda: native_threads() == [])


@pytest.mark.parametrize("kept", ["client", "sender"])
def test_a_client_whose_callbacks_are_its_owners_methods_is_collected_with_it(spotflow_emulator, tmp_path, kept):
    class Owner:
        def __init__(self):
            self.versions = Seen()
            client = DeviceClient.start(
                **arguments(
                    spotflow_emulator,
                    tmp_path,
                    display_provisioning_operation_callback=self.show,
                    desired_properties_updated_callback=self.updated,
                    connection_changed_callback=self.changed,
                )
            )
            self.kept = client if kept == "client" else client.create_stream_sender()

        def show(self, operation):
            pass

        def updated(self, properties):
            self.versions(properties.version)

        def changed(self, change):
            pass

    owner = Owner()
    assert owner.versions.wait() == 1
    gone = weakref.ref(owner)
    # They are called as long as it lives.
    version = spotflow_emulator.set_desired(DEVICE, {"a": 1})
    owner.versions.wait(lambda seen: seen == version)
    del owner
    eventually("it is collected", lambda: gc.collect() is not None and gone() is None)
    eventually("the threads end", lambda: native_threads() == python_threads() == [])
    DeviceClient.start(**arguments(spotflow_emulator, tmp_path)).close()


def test_clients_and_senders_take_weak_references(spotflow_emulator, tmp_path):
    client = start_forgotten(spotflow_emulator, tmp_path)
    sender = client.create_stream_sender()
    assert weakref.ref(client)() is client and weakref.ref(sender)() is sender
    senders = weakref.WeakSet([sender])
    gone = weakref.ref(client)
    assert len(senders) == 1
    del client, sender
    assert gone() is None and len(senders) == 0
    eventually("the threads end", lambda: native_threads() == [])


def test_a_start_that_fails_leaves_no_thread_behind(spotflow_emulator, tmp_path):
    for _ in range(3):
        with pytest.raises(Exception, match="Provisioning Token"):
            DeviceClient.start(DEVICE, "unknown-token", str(tmp_path / "device.db"), spotflow_emulator.instance)
    eventually("its threads end", lambda: python_threads() == [] and native_threads() == [])
