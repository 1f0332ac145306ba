"""The threads of Python's side, and how they end.

The library's own threads never take the interpreter's lock: what they have for Python is queued there. Two kinds
of threads fetch it, waiting without the lock: one for each client, which runs its callbacks, and one for the
process, which hands log records to :mod:`logging`.
"""

import atexit
import os
import sys
import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple, Union

from . import _greenlets, _native
from ._errors import ClosedError

if TYPE_CHECKING:
    import logging

    _Request = Union[_native.MethodRequest, _native.TunnelRequest]
    #: For Provisioning Operations, Desired Properties, the connection, and the progress of uploads.
    _Told = Tuple[
        Optional[Callable[[_native.ProvisioningOperation], object]],
        Optional[Callable[[_native.DesiredProperties], object]],
        Optional[Callable[[_native.ConnectionChange], object]],
        Optional[Callable[[_native.UploadStatus], object]],
    ]
    #: Methods by name, for other names, and who agrees to a tunnel.
    _Functions = Tuple[
        Optional[Dict[str, Callable[[_native.MethodRequest], object]]],
        Optional[Callable[[_native.MethodRequest], object]],
        Optional[Callable[[_native.TunnelRequest], bool]],
    ]


def install() -> None:
    """Has everything end in order with the interpreter, and has a forked child start afresh."""
    atexit.register(_native.at_exit)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=_native.before_fork,
            after_in_parent=_native.after_fork_in_parent,
            after_in_child=_native.after_fork_in_child,
        )


# Callbacks


class Callbacks:
    """What a client calls. The client and its senders keep it, their thread does not."""

    def __init__(self, functions: "_Told") -> None:
        display, desired, connection, upload = functions
        self.display_provisioning_operation_callback = _display if display is None else display
        self.desired_properties_updated_callback = desired
        self.connection_changed_callback = connection
        self.upload_progress_callback = upload
        self.methods: "Dict[str, Callable[[_native.MethodRequest], object]]" = {}
        self.method_request_callback: "Optional[Callable[[_native.MethodRequest], object]]" = None
        self.remote_access_callback: "Optional[Callable[[_native.TunnelRequest], bool]]" = None

    def for_request(self, request: "_Request") -> "Optional[Callable[[Any], object]]":
        """The function that a call is for."""
        if isinstance(request, _native.TunnelRequest):
            return self.remote_access_callback
        return self.methods.get(request.name, self.method_request_callback)


def start_callbacks(events: "_native.Events", functions: "_Told") -> Callbacks:
    """Starts the thread that runs a client's callbacks until the events end."""
    callbacks = Callbacks(functions)
    _greenlets.look_for_hub()
    _native.start_thread(_greenlets.start_new_thread, _run_callbacks, (events, weakref.ref(callbacks)))
    return callbacks


def _run_callbacks(events: "_native.Events", callbacks: "weakref.ref[Callbacks]") -> None:
    _enter("spotflow_device-callbacks")
    try:
        while True:
            event = events.next()
            if event is None:
                return
            name, argument = event
            callback = getattr(callbacks(), name, None)
            if callback is not None:
                call = partial(_call, events, name, callback, argument)
                # A start that waits for the approval keeps the greenlets from running.
                _greenlets.run(call, may_wait=name != "display_provisioning_operation_callback")
                del call
            # Not kept alive while waiting for the next one.
            del event, argument, callback
    finally:
        _leave()
        events.end()


# Methods, and questions about remote access: each call is answered


def start_calls(calls: "_native.Calls", callbacks: Callbacks, functions: "_Functions") -> None:
    """Starts the thread that starts one for each call, until the calls end."""
    methods, others, remote_access = functions
    # Whatever the program does with its own later.
    callbacks.methods = dict(methods or {})
    callbacks.method_request_callback = others
    callbacks.remote_access_callback = remote_access
    _native.start_thread(_greenlets.start_new_thread, _run_calls, (calls, weakref.ref(callbacks)))


def _run_calls(calls: "_native.Calls", callbacks: "weakref.ref[Callbacks]") -> None:
    _enter("spotflow_device-methods")
    try:
        while True:
            call = calls.next()
            if call is None:
                return
            try:
                _native.start_thread(_greenlets.start_new_thread, _run_call, (calls, call, callbacks))
            except BaseException:
                call.fail()
                _report()
            # Not kept alive while waiting for the next one.
            del call
    finally:
        _leave()


def _run_call(calls: "_native.Calls", call: "_native.Call", callbacks: "weakref.ref[Callbacks]") -> None:
    _enter("spotflow_device-method")
    try:
        request = calls.begin(call)
        owner = callbacks()
        function = None if owner is None else owner.for_request(request)
        del owner
        if function is None:
            call.fail()
            return
        _greenlets.run(partial(_answer, calls, call, function, request), may_wait=True)
    finally:
        _leave()


def _answer(
    calls: "_native.Calls",
    call: "_native.Call",
    function: "Callable[[Any], object]",
    request: "_Request",
) -> None:
    if isinstance(request, _native.TunnelRequest):
        name = "remote_access_callback"
    else:
        name = f"the method {request.name}"
    try:
        try:
            call.answer(function(request))
        except BaseException as error:
            call.fail()
            if isinstance(error, ClosedError) and calls.are_over:
                # The usual end of a method that waits in the client.
                _callback_logger().debug("%s was ended by the client's closing", name)
            elif not (isinstance(error, SystemExit) and calls.are_over):
                _callback_logger().exception("%s raised an exception", name)
    except BaseException:
        # A log handler or filter of the program's.
        _report()


def _call(events: "_native.Events", name: str, callback: "Callable[..., object]", argument: object) -> None:
    events.enter()
    try:
        _call_and_log(events, name, callback, argument)
    except BaseException:
        # A log handler or filter of the program's.
        _report()


def _call_and_log(events: "_native.Events", name: str, callback: "Callable[..., object]", argument: object) -> None:
    try:
        callback(argument)
    except SystemExit:
        # As in every other thread, it would end only this one, and with it all updates.
        if not events.are_over:
            _callback_logger().warning("%s raised SystemExit, which ends no program from a callback", name)
    except BaseException as error:
        if isinstance(error, ClosedError) and events.are_over:
            # The usual end of a callback that waits in the client.
            _callback_logger().debug("%s was ended by the client's closing", name)
        else:
            _callback_logger().exception("%s raised an exception", name)


def _display(operation: "_native.ProvisioningOperation") -> None:
    print(operation, flush=True)


def tell_that_a_callback_is_left() -> None:
    """Says that a client is closed and one of its callbacks has not ended."""
    _callback_logger().warning("a callback is still running; its thread is left behind")


# Logging: the standard library's is loaded with the first record that somebody is to see, as it takes 0.7 MB

#: What is below is seen by nobody unless the program asks for it, for which it loads :mod:`logging`.
_WARNING = 30


def _callback_logger() -> "logging.Logger":
    import logging

    return logging.getLogger("spotflow_device.callbacks")


def start_logging() -> None:
    """Starts the thread that hands log records over until the interpreter ends."""
    _native.start_thread(_greenlets.start_new_thread, _run_logging, ())


def _run_logging() -> None:
    _enter("spotflow_device-logging")
    try:
        while True:
            records = _native.next_log_records()
            if records is None:
                return
            # Also while the hub is busy: a greenlet may have the lock of a handler.
            _greenlets.run(partial(_emit_all, records), may_wait=True)
    finally:
        _leave()
        _native.logging_is_over()


def _emit_all(records: "List[_native._LogRecord]") -> None:
    for record in records:
        try:
            _emit(*record)
        except BaseException:
            # A filter or handler of the program's.
            _report()


def _report() -> None:
    """Prints the exception that is handled, as :mod:`logging` does."""
    import logging
    import traceback

    if logging.raiseExceptions and sys.stderr is not None:
        try:
            traceback.print_exc()
        except Exception:
            # There is nobody to tell: standard error is closed or broken.
            pass


def _emit(name: str, level: int, message: str, thread_name: str, created: float) -> None:
    if level < _WARNING and "logging" not in sys.modules:
        return
    import logging

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


# Waits for others


def start_thread(name: str, function: "Callable[..., object]", *arguments: object) -> None:
    """Starts a thread of the package's own, which no signal reaches."""
    _native.start_thread(_greenlets.start_new_thread, _run_named, (name, function, arguments))


def _run_named(name: str, function: "Callable[..., object]", arguments: "Tuple[object, ...]") -> None:
    _enter(name)
    try:
        function(*arguments)
    finally:
        _leave()


# What `threading` does for the threads that it starts


def _enter(name: str) -> None:
    """Gives this thread its name in log records, and debuggers and coverage tools their hooks."""
    threading.current_thread().name = name
    if sys.version_info >= (3, 10):
        sys.setprofile(threading.getprofile())
        sys.settrace(threading.gettrace())


def _leave() -> None:
    """Takes this thread from the list of those that are alive, in which Python before 3.13 keeps it."""
    getattr(threading, "_active", {}).pop(threading.get_ident(), None)
