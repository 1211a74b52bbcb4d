"""How threads wait, and how they are woken."""

from __future__ import annotations

__all__ = (
    "SIGNAL_CHECK",
    "Callback",
    "Wakeup",
    "interruptible_wait",
    "is_waiting",
    "on_new_thread",
    "wait_first",
    "wait_slice",
    "wake",
)

import _thread
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError, wait
from contextlib import AbstractContextManager, suppress
from typing import Any

Callback = Callable[[], object]

Wakeup = Future[None]
"""Wakes a coordinator that waits for it, among other things; done once somebody has."""


def wake(wakeup: Wakeup) -> None:
    """Wake who waits for it. A second call does nothing."""
    with suppress(InvalidStateError):
        wakeup.set_result(None)


def wait_first(first: Future[Any], second: Wakeup, deadline: float | None) -> None:
    """Wait until one of the two is done or the time is up.

    Args:
        first: what is waited for.
        second: what else ends the wait: a cancellation.
        deadline: on the clock of `time.monotonic()`; None for no limit.
    """
    both: tuple[Future[Any], Wakeup] = (first, second)
    while True:
        left = None if deadline is None else deadline - time.monotonic()
        with interruptible_wait():
            done = wait(both, wait_slice(left), FIRST_COMPLETED).done
        if done or (deadline is not None and time.monotonic() >= deadline):
            return


SIGNAL_CHECK = 0.5
"""Seconds after which a waiting main thread looks whether a signal has come."""

_LONGEST = threading.TIMEOUT_MAX


def wait_slice(left: float | None) -> float:
    """How long to block at once, in seconds, where `left` are to be waited; None is for ever.

    Whoever waits goes round until the time is up. On the main thread a slice is short: Python
    looks for signals between two steps only, so one that comes in the moment before the thread
    blocks is not handled until it wakes. Elsewhere it is the longest that a lock can do: centuries.
    """
    longest = SIGNAL_CHECK if threading.current_thread() is threading.main_thread() else _LONGEST
    return longest if left is None else max(0.0, min(left, longest))


class _Waiting(threading.local):
    """A mark for each thread, which it holds while it sits in one of the library's own waits.

    A lock that nobody else takes: one that is written in C, so that Ctrl-C cannot come between the
    end of the wait and the beginning of the mark's release, which would never happen then.
    """

    def __init__(self) -> None:
        self.mark: Any = threading.RLock()


_waiting = _Waiting()


def interruptible_wait() -> AbstractContextManager[object]:
    """Mark this thread as waiting, or as holding a lock that is held for a moment only.

    What a signal handler cancels meanwhile calls its callbacks on another thread: the frame that
    the signal interrupts may hold the locks that they need.
    """
    mark: AbstractContextManager[object] = _waiting.mark
    return mark


def is_waiting() -> bool:
    """Whether this thread is marked as waiting.

    Then the code that asks was called by a signal handler, or by a finalizer.
    """
    owned: bool = _waiting.mark._is_owned()
    return owned


def on_new_thread(function: Callback) -> bool:
    """Call the function on a thread that ends with it; nobody waits for that.

    By the low-level call: `threading.Thread.start` waits until the thread runs, and takes locks
    that an interrupted frame may hold.

    Returns:
        False if no thread can be had.
    """
    try:
        _thread.start_new_thread(function, ())
    except RuntimeError:
        return False
    return True
