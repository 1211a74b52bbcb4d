"""How threads wait, and how they are woken."""

from __future__ import annotations

__all__ = (
    "INTERRUPTS",
    "SIGNAL_CHECK",
    "Callback",
    "Completion",
    "Wakeup",
    "interruptible_wait",
    "is_waiting",
    "on_new_thread",
    "wait_first",
    "wait_slice",
)

import _thread
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, suppress
from typing import Any, Generic, TypeVar

from .world import world

T = TypeVar("T")

Callback = Callable[[], object]


class Wakeup:
    """Something that happens once, and that a thread can wait for; an `Event` without a lock.

    Why no `threading.Event`, and no `Future` with `concurrent.futures.wait`: their locks are taken
    in Python code, so Ctrl-C can come between the taking and the `with` block, or in the middle of
    `wait()`, and the lock stays taken for ever. Whoever sets it then blocks for good: another
    thread in `set_result`, or the main thread itself on its way out. It makes no difference who
    waits how: the main thread sets, too, in `CancellationToken.cancel`. So here nothing is ever
    locked: all is done by single steps that are atomic, first written and then looked at. Any
    thread may call any method, and a signal handler in the middle of any other.
    """

    __slots__ = ("_callbacks", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._callbacks: list[Callback] = []

    def set(self) -> None:
        """It has happened. A second call does nothing, or what Ctrl-C kept the first from doing."""
        self._is_set = True
        for callback in tuple(self._callbacks):
            callback()

    def done(self) -> bool:
        """Whether it has happened."""
        return self._is_set

    def add_callback(self, callback: Callback) -> None:
        """Call this when it happens, on the thread that sets it; at once if it has.

        It must raise nothing, and may be called more than once.
        """
        self._callbacks.append(callback)
        # First inserted, then looked: a set() in between finds the callback, or is seen here.
        if self._is_set:
            callback()


class Completion(Wakeup, Generic[T]):
    """What comes of a job, for the one thread that waits for it: a `Future` without a lock.

    The futures that users get are those of the standard library. This one has their methods as far
    as a `Job` needs them.
    """

    __slots__ = ("_begun", "_error", "_result")

    def __init__(self) -> None:
        super().__init__()
        self._begun = _thread.allocate_lock()  # never waited for: who can take it, takes the job
        self._error: BaseException | None = None
        self._result: T

    def set_running_or_notify_cancel(self) -> bool:
        """The job begins; False if it was cancelled."""
        return self._begun.acquire(False)

    def cancel(self) -> bool:
        """Keep the job from beginning, and wake who waits; False if it has begun."""
        if not self._begun.acquire(False):
            return False
        self._error = CancelledError()
        self.set()
        return True

    def set_result(self, result: T) -> None:
        """It has returned."""
        self._result = result
        self.set()

    def set_exception(self, error: BaseException) -> None:
        """It has raised."""
        self._error = error
        self.set()

    def exception(self) -> BaseException | None:
        """What it has raised, once it is done."""
        return self._error

    def result(self) -> T:
        """What it has returned, once it is done; what it raised is raised."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                del self  # or the error's traceback would keep this alive, and this the error
        return self._result


def wait_first(first: Wakeup, second: Wakeup | None, deadline: float | None) -> None:
    """Wait until one of the two has happened or the time is up.

    Args:
        first: what is waited for.
        second: what else ends the wait: a cancellation.
        deadline: on the clock of `time.monotonic()`; None for no limit.
    """
    woken = _thread.allocate_lock()  # each of the two releases it
    woken.acquire()

    def wake() -> None:
        with suppress(RuntimeError):  # it was released: by the other of the two, or before Ctrl-C
            woken.release()

    first.add_callback(wake)
    if second is not None:
        second.add_callback(wake)
    with interruptible_wait():
        # A call, and no loop, is the last thing in the block: at the end of a loop there, Python
        # 3.13 lets Ctrl-C come where the mark is not released.
        _wait_for(woken, first, second, deadline)


def _wait_for(woken: Any, first: Wakeup, second: Wakeup | None, deadline: float | None) -> None:
    while not (first.done() or (second is not None and second.done())):
        left = None if deadline is None else deadline - world.monotonic()
        if left is not None and left <= 0:
            return
        world.acquire(woken, wait_slice(left))


INTERRUPTS = range(10)
"""For a loop that begins again what must be done, how often Ctrl-C may come in the middle of it.

The loop stands where it is needed, and is no function: Ctrl-C comes when a function begins, which
must be within the loop's own `try`. What it does can be done twice.
"""

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
        world.start_function(function)
    except RuntimeError:
        return False
    return True
