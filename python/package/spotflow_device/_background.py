"""The threads of Python's side, and how they end.

The library's own threads never take the interpreter's lock: what they have for Python is queued there. Two kinds
of daemon threads fetch it, waiting without the lock: one for each client, which runs its callbacks, and one for
the process, which hands log records to :mod:`logging`.
"""

import atexit
import logging
import os
import sys
import threading
import time
import traceback
from typing import Callable, Dict, Optional, Set

from . import _native
from ._errors import ClosedError

_logger = logging.getLogger("spotflow_device")
_callback_logger = logging.getLogger("spotflow_device.callbacks")

#: How long the exit of the interpreter waits for callbacks and log handlers that are running.
_EXIT_GRACE_SECONDS = 1.0

_log_lock = threading.Lock()
_log_thread: Optional[threading.Thread] = None
_callback_threads: Set[threading.Thread] = set()


def install() -> None:
    """Has everything end in order with the interpreter, and has a forked child start afresh."""
    atexit.register(_at_exit)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=_native.before_fork,
            after_in_parent=_native.after_fork_in_parent,
            after_in_child=_after_fork_in_child,
        )


# Callbacks


def start_callbacks(
    events: "_native.Events",
    display: "Optional[Callable[[_native.ProvisioningOperation], object]]",
    desired: "Optional[Callable[[_native.DesiredProperties], object]]",
    connection: "Optional[Callable[[_native.ConnectionChange], object]]",
) -> threading.Thread:
    """Starts the thread that runs a client's callbacks until the events end."""
    callbacks = {
        "display_provisioning_operation_callback": display or _display,
        "desired_properties_updated_callback": desired,
        "connection_changed_callback": connection,
    }
    thread = threading.Thread(
        target=_run_callbacks, args=(events, callbacks), name="spotflow_device-callbacks", daemon=True
    )
    _callback_threads.add(thread)
    thread.start()
    return thread


def _run_callbacks(events: "_native.Events", callbacks: "Dict[str, Optional[Callable[..., object]]]") -> None:
    try:
        while True:
            event = events.next()
            if event is None:
                return
            name, argument = event
            callback = callbacks[name]
            if callback is not None:
                try:
                    _call(events, name, callback, argument)
                except BaseException:
                    # A log handler or filter of the program's.
                    _report()
            # Not kept alive while waiting for the next one.
            del event, argument
    finally:
        _callback_threads.discard(threading.current_thread())


def _call(events: "_native.Events", name: str, callback: "Callable[..., object]", argument: object) -> None:
    try:
        callback(argument)
    except SystemExit:
        # As in every other thread, it would end only this one, and with it all updates.
        _callback_logger.warning("%s raised SystemExit, which ends no program from a callback", name)
    except BaseException as error:
        if isinstance(error, ClosedError) and events.are_over:
            # The usual end of a callback that waits in the client.
            _callback_logger.debug("%s was ended by the client's closing", name)
        else:
            _callback_logger.exception("%s raised an exception", name)


def _display(operation: "_native.ProvisioningOperation") -> None:
    print(operation, flush=True)


def join_callbacks(thread: threading.Thread, seconds: float) -> None:
    """Waits for the end of a callback that is running, unless it is the one that asks."""
    if thread is threading.current_thread():
        return
    thread.join(seconds)
    if thread.is_alive():
        _callback_logger.warning("a callback is still running; its thread is left behind")


# Logging


def start_logging() -> None:
    """Starts the thread that hands log records over, unless it is running."""
    global _log_thread
    with _log_lock:
        if _log_thread is None:
            _log_thread = threading.Thread(target=_run_logging, name="spotflow_device-logging", daemon=True)
            _log_thread.start()


def _run_logging() -> None:
    while True:
        records = _native.next_log_records()
        if records is None:
            return
        for record in records:
            try:
                _emit(*record)
            except BaseException:
                # A filter or handler of the program's.
                _report()


def _report() -> None:
    """Prints the exception that is handled, as :mod:`logging` does."""
    if logging.raiseExceptions and sys.stderr is not None:
        try:
            traceback.print_exc()
        except Exception:
            # There is nobody to tell: standard error is closed or broken.
            pass


def _emit(name: str, level: int, message: str, thread_name: str, created: float) -> None:
    logger = logging.getLogger(name)
    if not logger.isEnabledFor(level):
        return
    record = logger.makeRecord(name, level, "(spotflow_device)", 0, message, (), None)
    record.relativeCreated += (created - record.created) * 1000
    record.created = created
    record.msecs = (created - int(created)) * 1000
    record.threadName = thread_name
    record.thread = None
    logger.handle(record)


# The end of the interpreter, and forks


def _at_exit() -> None:
    """Ends all that could want the interpreter's lock when there is no interpreter any more."""
    deadline = time.monotonic() + _EXIT_GRACE_SECONDS
    _native.close_all()
    for thread in list(_callback_threads):
        if thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))
    _native.stop_logging()
    if _log_thread is not None and _log_thread is not threading.current_thread():
        _log_thread.join(max(0.1, deadline - time.monotonic()))
    _native.end_waits()


def _after_fork_in_child() -> None:
    global _log_lock, _log_thread
    _log_lock = threading.Lock()
    _log_thread = None
    _callback_threads.clear()
    _native.after_fork_in_child()
