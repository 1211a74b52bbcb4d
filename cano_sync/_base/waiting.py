"""Calling what a cancellation has to call: here, or in a thread of its own."""

from __future__ import annotations

__all__ = ("SIGNAL_CHECK", "Callback", "call_callbacks", "interruptible_wait", "wait_slice")

import _thread
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

_log = logging.getLogger("cano_sync")

Callback = Callable[[], object]


class _Waiting(threading.local):
    """A mark for each thread, which it holds while it sits in one of the library's own waits.

    A lock that nobody else takes: one that is written in C, so that Ctrl-C cannot come between the
    end of the wait and the beginning of the mark's release, which would never happen then.
    """

    def __init__(self) -> None:
        self.mark: Any = threading.RLock()


_waiting = _Waiting()


def interruptible_wait() -> AbstractContextManager[object]:
    """Marks this thread as waiting, so that a signal handler's callbacks run elsewhere."""
    mark: AbstractContextManager[object] = _waiting.mark
    return mark


def call_callbacks(
    wakeups: Sequence[Callback], callbacks: Sequence[Callback], *, nowait: bool = False
) -> None:
    """Ring the engine's wakeups, and then call the users' callbacks, whatever one of them does.

    All happens in this thread, with two exceptions. With `apart` the callbacks, which may take
    their time, get a thread of their own. And a thread that is marked as waiting can only have
    come here through a signal handler (or a finalizer) that interrupted the wait: the frame below
    may hold the locks of what it waits for, and whoever notifies it would wait for them for ever.
    Then another thread does it all.
    """
    if _waiting.mark._is_owned():
        _in_a_thread((*wakeups, *callbacks))
        return
    leaving = _call_all(wakeups)
    leaving = (_in_a_thread(callbacks) if nowait else _call_all(callbacks)) or leaving
    if leaving is not None:
        raise leaving


def _in_a_thread(callbacks: Sequence[Callback]) -> BaseException | None:
    """Call them in a thread that ends with the last of them; nobody waits for it.

    By the low-level call: `threading.Thread.start` waits until the thread runs, and takes locks
    that an interrupted frame may hold.
    """
    if not callbacks:
        return None
    try:
        _thread.start_new_thread(_call_all, (callbacks,))
    except RuntimeError:  # no thread can be had: rather late than never
        return _call_all(callbacks)
    return None


def _call_all(callbacks: Sequence[Callback]) -> BaseException | None:
    """Call each of them; return what wants out of the program, for when all have been called."""
    leaving: BaseException | None = None
    for callback in callbacks:
        try:
            callback()
        except (KeyboardInterrupt, SystemExit) as error:
            leaving = error
        except BaseException:  # Cancelled among them, from a store that is closed by now
            _log.exception("a callback of CancellationToken.on_cancel raised")
    return leaving


SIGNAL_CHECK = 0.5
"""Seconds after which a waiting main thread looks whether a signal has come."""


def wait_slice(left: float | None) -> float:
    """How long to block at once, in seconds, where `left` are to be waited; None is for ever.

    Whoever waits goes round until the time is up. On the main thread a slice is short: Python
    looks for signals between two steps only, so one that comes in the moment before the thread
    blocks is not handled until it wakes. Elsewhere it is the longest that a lock can do: centuries.
    """
    longest = SIGNAL_CHECK if threading.current_thread() is threading.main_thread() else _LONGEST
    return longest if left is None else max(0.0, min(left, longest))


_LONGEST = threading.TIMEOUT_MAX
