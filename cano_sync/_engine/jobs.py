"""What a thread does for somebody who may abandon it, and the abandoned tasks of the process."""

from __future__ import annotations

__all__ = ("Doing", "Job", "abandoned_tasks", "left_behind", "wait_for_abandoned", "wait_returned")

import _thread
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextvars import Context
from typing import Any, Protocol, TypeAlias

from .._base.durations import Duration, limit
from .._base.waiting import Completion, Wakeup, interruptible_wait, wait_first
from .._base.world import world
from .report import DeafTask

Doing: TypeAlias = "Callable[[], tuple[str, DeafTask] | None]"
"""Says, of an abandoned job, the id of the run and the task that its thread is with."""


class Lender(Protocol):
    """Whose thread does a job: a pool that can do without it, and takes it back."""

    def write_off(self, ident: int) -> bool:
        """Do without the thread of this identity; is `fill()` to be called? A second call may come.

        It comes where Ctrl-C was in the middle of the first, and does what that has not done.
        """
        ...

    def fill(self) -> None:
        """Start the threads that jobs wait for; called without any lock."""
        ...

    def reclaim(self, ident: int) -> None:
        """The thread of this identity, if it was written off, can work again."""
        ...


# The jobs whose owner has gone on without them while a thread is still with them; and the lock
# that guards this set, who waits until it is empty and, of each job, `_on_return`. No lock guards a
# job's `_ended` and `_is_abandoned`: each is written by one thread only, and the order in which
# they are written and looked at sees to it that one of the two threads sees both.
_lock = threading.RLock()  # re-entrant for a signal handler that cancels a run
_abandoned: set[Job] = set()
_all_returned: list[Wakeup] = []  # of those who wait; each is set when the set becomes empty
_each_return: list[Wakeup] = []  # the same, set whenever one has returned


class Job:
    """A thread's time with one piece of work, which its owner may abandon.

    Args:
        lender: the pool whose thread does it; None for an executor of a user's.
        work: gets the job.
        context: the `contextvars` context to do it in; None for the thread's own.
        future: gets what came of it, a user's `Future` or the `Completion` of one of our own
            waits; None where nobody waits, and `work` raises nothing.

    Attributes:
        doing: what it is doing, for who abandons it and knows that; to be set before.
        on_cancelled: called when it is known that the future was cancelled before it began.
    """

    __slots__ = (
        "_context",
        "_ended",
        "_future",
        "_is_abandoned",
        "_lender",
        "_on_return",
        "_thread",
        "_work",
        "doing",
        "on_cancelled",
    )

    def __init__(
        self,
        lender: Lender | None,
        work: Callable[[Job], Any],
        *,
        context: Context | None = None,
        future: Future[Any] | Completion[Any] | None = None,
    ) -> None:
        self._lender = lender
        self._work = work
        self._context = context
        self._future = future
        self._thread = 0  # its identity, once the work has begun
        self._ended = False
        self._is_abandoned = False
        self._on_return: Callable[[], None] | None = None
        self.doing: Doing | None = None
        self.on_cancelled: Callable[[], None] | None = None

    def run(self) -> None:
        """Do the work, on this thread."""
        future = self._future
        if future is None:
            self._do()
            return
        if not future.set_running_or_notify_cancel():
            self._never_begins()
            return
        try:
            result = self._do()
        except BaseException as error:
            future.set_exception(error)
            del future, self  # or the error's traceback would keep them alive, and they the error
        else:
            future.set_result(result)

    def _do(self) -> Any:
        self._thread = _thread.get_ident()
        try:
            if self._context is None:
                return self._work(self)
            return self._context.run(self._work, self)
        finally:
            # First write, then look: abandon() does the same the other way round, so that either
            # it sees that the work has ended, or this thread sees that it was abandoned.
            self._ended = True
            if self._is_abandoned:
                self._return()

    @property
    def has_future(self) -> bool:
        """Whether somebody waits for it by a future."""
        return self._future is not None

    def cancel(self) -> None:
        """Make sure that it is never run, and let those know who wait for its future."""
        if self._future is not None and self._future.cancel():
            self._future.set_running_or_notify_cancel()
            self._never_begins()

    def _never_begins(self) -> None:
        if self.on_cancelled is not None:
            self.on_cancelled()

    def _return(self) -> None:
        with _lock:
            if self not in _abandoned:  # abandon() has seen that the work had ended
                return
            _abandoned.remove(self)
            if self._lender is not None:
                self._lender.reclaim(self._thread)
            waiting = [] if _abandoned else [*_all_returned]
            waiting += _each_return
        for returned in waiting:
            returned.set()
        if self._on_return is not None:
            self._on_return()

    def abandon(self, on_return: Callable[[], None] | None = None) -> bool:
        """Wait for it no longer. Nothing to do if the work has not begun, or has ended.

        A second call, after Ctrl-C in the first, does what that has not done.

        Args:
            on_return: called on the thread when its work has ended after all.

        Returns:
            Whether a thread was left with the work; False the second time.
        """
        lender, is_wanting, is_first = self._lender, False, False
        with interruptible_wait(), _lock:
            self._is_abandoned = True
            # No thread: the future may be running, with the work not begun; then the first thing
            # in it, which is to look at its token (`run_on_pool`), ends it at once.
            if self._ended or not self._thread:
                return False
            is_first = self not in _abandoned
            if is_first:
                self._on_return = on_return
                _abandoned.add(self)
            if lender is not None:
                # Under the lock, so that the thread is never reclaimed before it was written off.
                is_wanting = lender.write_off(self._thread)
        if is_wanting and lender is not None:
            lender.fill()
        return is_first


def abandoned_tasks() -> int:
    """How many abandoned tasks are still running, in the whole process.

    A task is abandoned when its run has moved on without it: its time was up, it was cancelled,
    or the join was decided. Its result is dropped and its store is closed to it, but Python
    cannot end its thread. The count falls as such tasks return. Threads are what is counted: for a
    moment also one that only waits for such a task, as that of a run does for the attempt or the
    split it is in, until it has seen that its own time is up. Safe from any thread.

    >>> abandoned_tasks()
    0
    """
    return len(_abandoned)


def wait_for_abandoned(timeout: Duration | None = None) -> bool:
    """Wait until no abandoned task is running any more, in the whole process.

    For who must see the tasks' cleaning up through: before a process ends, after Ctrl-C, in a
    test. A task that never returns is never waited for to its end: give a timeout. Safe from any
    thread; an abandoned task that calls this waits for itself.

    Args:
        timeout: seconds (or a `timedelta`) to wait at most; None for as long as it takes.

    Returns:
        Whether none is running; False when the time was up first.

    Raises:
        ConfigurationError: the timeout is no duration.

    >>> wait_for_abandoned(timeout=2)
    True
    """
    seconds = limit(timeout, "wait_for_abandoned()")
    end = None if seconds is None else world.monotonic() + seconds
    while True:
        returned = Wakeup()
        with interruptible_wait(), _lock:
            if not _abandoned:
                return True
            _all_returned.append(returned)
        try:
            wait_first(returned, None, end)
        finally:
            with interruptible_wait(), _lock:
                if returned in _all_returned:
                    _all_returned.remove(returned)
        if end is not None and world.monotonic() >= end:
            return not _abandoned


def left_behind() -> list[tuple[str, DeafTask]]:
    """The abandoned tasks that are running, each with its run's id, as far as that is known."""
    with interruptible_wait(), _lock:
        every = [job.doing for job in _abandoned if job.doing is not None]
    known = [doing() for doing in every]
    return [each for each in known if each is not None]


def wait_returned(run_ids: Iterable[str], end: float) -> bool:
    """Wait until no abandoned task of these runs is running.

    Args:
        run_ids: the ids of the runs.
        end: when the time is up, on the monotonic clock.

    Returns:
        False when the time was up first.
    """
    ids = frozenset(run_ids)
    while True:
        returned = Wakeup()
        with interruptible_wait(), _lock:
            _each_return.append(returned)
        try:
            if all(run_id not in ids for run_id, _ in left_behind()):
                return True
            wait_first(returned, None, end)
        finally:
            with interruptible_wait(), _lock:
                if returned in _each_return:
                    _each_return.remove(returned)
        if world.monotonic() >= end:
            return all(run_id not in ids for run_id, _ in left_behind())


def forget_abandoned() -> None:
    """In a forked child: the parent's tasks are not here, and its lock may have been held."""
    global _lock
    _lock = threading.RLock()
    _abandoned.clear()
    _all_returned.clear()
    _each_return.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_abandoned)
