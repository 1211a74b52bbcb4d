"""Calling the callbacks of a cancellation: here, or in a thread of their own."""

from __future__ import annotations

__all__ = ("Callback", "call_elsewhere", "call_here", "interruptible_wait")

import _thread
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

_log = logging.getLogger("cano_sync")

Callback = Callable[[], object]


class _Waiting(threading.local):
    """Whether this thread sits in one of the library's own waits."""

    inside = False


_waiting = _Waiting()


@contextmanager
def interruptible_wait() -> Iterator[None]:
    """Mark this thread as waiting, so that a signal handler's callbacks run elsewhere."""
    before, _waiting.inside = _waiting.inside, True
    try:
        yield
    finally:
        _waiting.inside = before


def call_here(callbacks: Sequence[Callback]) -> None:
    """Call them in this thread, each of them, whatever the others raise.

    A thread that is marked as waiting can only have come here through a signal handler that
    interrupted the wait. The frame below may hold the locks of what it waits for, and a callback
    that notifies it would wait for them for ever: then they are called elsewhere.
    """
    if _waiting.inside:
        call_elsewhere(callbacks)
    else:
        _call_all(callbacks)


def call_elsewhere(callbacks: Sequence[Callback]) -> None:
    """Call them in a thread of their own, which ends with the last of them.

    By the low-level call: `threading.Thread.start` waits until the thread runs, and takes locks
    that an interrupted frame may hold.
    """
    _thread.start_new_thread(_call_all, (callbacks,))


def _call_all(callbacks: Sequence[Callback]) -> None:
    for callback in callbacks:
        try:
            callback()
        except Exception:
            _log.exception("a callback of CancellationToken.on_cancel raised")
