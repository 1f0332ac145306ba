"""Waiting in an event loop of :mod:`asyncio` without a thread for each wait.

One thread waits for all tasks that wait for a client. It starts with the first of them, and ends when there are none.

>>> from spotflow_device import aio
>>> async def send(client, sender, readings):
...     for reading in readings:
...         sender.enqueue_message(reading)
...     await aio.wait_enqueued_messages_sent(client)
"""

import asyncio
import os
import threading
import weakref
from typing import TYPE_CHECKING, List, Optional

from . import _background

if TYPE_CHECKING:
    from . import DeviceClient

    _Futures = List["asyncio.Future[None]"]

__all__ = ["wait_enqueued_messages_sent"]


async def wait_enqueued_messages_sent(client: "DeviceClient") -> None:
    """Wait until all Messages enqueued before are sent, as ``DeviceClient.wait_enqueued_messages_sent`` does.

    While other tasks wait for the same client, this waits for the end of their wait, and then for what is enqueued by
    that time: so it can also wait for Messages enqueued later, and raise for one of those.

    The task can be cancelled at any time; for a time limit use ``asyncio.wait_for``. What is stored is sent all the
    same. Raises ``ClosedError`` when the client is closed, and what the client's own method raises.
    """
    # Raises if the client is closed, or of a parent process.
    if client.pending_messages_count == 0:
        return
    future: "asyncio.Future[None]" = asyncio.get_running_loop().create_future()
    with _lock:
        waits = _waits_of.get(client)
        if waits is None:
            waits = _waits_of[client] = _Waits()
    waits.add(client, future)
    await future


class _Waits:
    """The tasks that wait for one client."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: Those who came since the wait that is under way began: they are for the next one.
        self._next: "_Futures" = []
        self._has_thread = False

    def add(self, client: "DeviceClient", future: "asyncio.Future[None]") -> None:
        with self._lock:
            if not self._has_thread:
                # A program that ends does not wait for it.
                _background.start_thread("spotflow_device-aio", self._run, client)
                self._has_thread = True
            self._next.append(future)

    def _run(self, client: "DeviceClient") -> None:
        while True:
            with self._lock:
                waiting = [future for future in self._next if not future.done()]
                self._next = []
                if not waiting:
                    self._has_thread = False
                    return
            _wait(client, waiting)
            # Not kept alive while waiting for the next ones.
            del waiting


def _wait(client: "DeviceClient", waiting: "_Futures") -> None:
    error: Optional[BaseException] = None
    try:
        client.wait_enqueued_messages_sent()
    except BaseException as raised:
        error = raised
    for future in waiting:
        _end(future, error)


def _end(future: "asyncio.Future[None]", error: Optional[BaseException]) -> None:
    def end() -> None:
        # Its task may have been cancelled.
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    try:
        future.get_loop().call_soon_threadsafe(end)
    except RuntimeError:
        # The loop is closed: nobody waits any more.
        pass


_lock = threading.Lock()
_waits_of: "weakref.WeakKeyDictionary[DeviceClient, _Waits]" = weakref.WeakKeyDictionary()


def _start_afresh() -> None:
    global _lock, _waits_of
    _lock = threading.Lock()
    _waits_of = weakref.WeakKeyDictionary()


if hasattr(os, "register_at_fork"):
    # A child has no thread that waits, and a thread of its parent may have had the lock.
    os.register_at_fork(after_in_child=_start_afresh)
