"""gevent and eventlet: what they replaced, and the way to a program's greenlets.

They put greenlets in place of Python's threads and locks. The package's threads stay real ones: they wait in native
code, which would stop all greenlets. But what they call, callbacks and log handlers, is made for greenlets: so it runs
as one, in the main thread, with its hub.
"""

import _thread
import importlib
import os
import sys
from collections import deque
from typing import Any, Callable, Deque, Optional

from . import _native

#: For how long the hub may be busy before what shall not wait for it runs in the package's own thread.
_PATIENCE_SECONDS = 1.0
#: How often one that waits for the hub looks whether the program ends.
_LOOK_SECONDS = 0.1

_Call = Callable[[], None]


def _real(name: str) -> Any:
    """What the module `_thread` had before."""
    real = getattr(_thread, name)
    if "gevent.monkey" in sys.modules:
        real = sys.modules["gevent.monkey"].get_original("_thread", name)
    if "eventlet.patcher" in sys.modules:
        real = getattr(sys.modules["eventlet.patcher"].original("_thread"), name)
    return real


# Taken at once: they may be replaced later.
start_new_thread = _real("start_new_thread")
_allocate_lock = _real("allocate_lock")


class _Turn:
    """A call that waits for the hub, or for its end."""

    def __init__(self, call: _Call) -> None:
        self._call = call
        self._is_over = _allocate_lock()
        self._is_over.acquire()

    def run(self) -> None:
        try:
            self._call()
        finally:
            self._is_over.release()

    def wait(self, seconds: float) -> bool:
        return bool(self._is_over.acquire(timeout=seconds))


class _Hub:
    """The hub of the main thread."""

    def __init__(self, spawn: Callable[[_Call], object], wait_readable: Callable[[int], object]) -> None:
        self._spawn, self._wait_readable = spawn, wait_readable
        self._turns: Deque[_Turn] = deque()
        # The only thing that another thread may do to a hub is to make a file readable.
        self._readable, self._writable = os.pipe()
        self._pid = os.getpid()
        spawn(self._serve)

    def is_alive(self) -> bool:
        """Not in a forked child, which has the hub of its parent in no state to speak of."""
        return self._pid == os.getpid()

    def _serve(self) -> None:
        while True:
            self._wait_readable(self._readable)
            os.read(self._readable, 1)
            if self._turns:
                self._spawn(self._turns.popleft().run)

    def run(self, call: _Call, may_wait: bool) -> None:
        """Runs it there, and waits for its end. Unless it may wait for a hub that is busy, it runs here then."""
        turn = _Turn(call)
        self._turns.append(turn)
        os.write(self._writable, b"x")
        patience = _PATIENCE_SECONDS
        while not turn.wait(_LOOK_SECONDS):
            patience -= _LOOK_SECONDS
            if (patience <= 0 and not may_wait) or _native.is_exiting():
                try:
                    self._turns.remove(turn)
                except ValueError:
                    # It is running.
                    may_wait = True
                    if _native.is_exiting():
                        return
                else:
                    return turn.run()


_hub: Optional[_Hub] = None


def look_for_hub() -> None:
    """Finds the hub, if there is one: where a client is started in the main thread."""
    global _hub
    if (_hub is None or not _hub.is_alive()) and _native.is_main_thread():
        _hub = _gevent_hub() or _eventlet_hub()


def _gevent_hub() -> Optional[_Hub]:
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        return None
    gevent = importlib.import_module("gevent")
    wait_readable = importlib.import_module("gevent.socket").wait_read
    return _Hub(gevent.spawn, wait_readable)


def _eventlet_hub() -> Optional[_Hub]:
    patcher = sys.modules.get("eventlet.patcher")
    if patcher is None or not patcher.is_monkey_patched("thread"):
        return None
    eventlet = importlib.import_module("eventlet")
    trampoline = importlib.import_module("eventlet.hubs").trampoline
    return _Hub(eventlet.spawn, lambda readable: trampoline(readable, read=True))


def run(call: _Call, may_wait: bool) -> None:
    """Runs a call, which raises nothing, where the program's greenlets are; without them here."""
    hub = _hub
    if hub is None or not hub.is_alive() or _native.is_exiting():
        call()
    else:
        hub.run(call, may_wait)
