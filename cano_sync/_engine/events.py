"""What a run's observers are told, once for all that happens and in an order to rely on."""

from __future__ import annotations

__all__ = ("RunEvents", "TaskEvents")

import logging
import threading
import time
from contextlib import ExitStack
from typing import Any

from .._base.cancellation import CancellationToken, Cancelled
from .._model.hooks import Listeners, Observer
from ..errors import WorkflowCancelledError
from .pool import Job

_log = logging.getLogger("cano_sync")
_NOWHERE: Any = object()


class RunEvents:
    """The events of one run; made only where somebody hears them.

    Several threads tell: the caller's, the run's, the branches', and those that were left behind.
    Who comes too late is not told any more; each start is told one end, whoever of two threads
    comes first.

    The lock guards `_listeners`, `_state`, `_since`, `_over`, `_open` and `_cut`, and of each
    task's events how far it has come. Observers are called without it.
    """

    __slots__ = (
        "_began",
        "_cut",
        "_id",
        "_listeners",
        "_open",
        "_over",
        "_since",
        "_state",
        "lock",
    )

    def __init__(self, run_id: str, listeners: Listeners) -> None:
        self.lock = threading.Lock()
        self._id = run_id
        self._listeners = listeners
        self._began = self._since = time.perf_counter()
        self._state: Any = _NOWHERE  # what the run is in and has to leave
        self._over = False
        self._open: dict[int | None, TaskEvents] = {}  # the tasks that have no end yet, by index
        self._cut: dict[int | None, TaskEvents] = {}  # those that the end of the run gave theirs

    def has_listeners(self, hook: str) -> bool:
        """Whether anybody listens to this hook: for events that cost something to put together."""
        return hook in self._listeners

    def emit(self, hook: str, **facts: Any) -> None:
        """Call a hook of all that hear it. Whatever they raise, but Ctrl-C, is their own loss.

        Raises:
            KeyboardInterrupt: it came while one listeners this; the others have listeners it, too.
        """
        interrupt: KeyboardInterrupt | None = None
        for observer, call in self._listeners.get(hook, ()):
            try:
                call(run_id=self._id, **facts)
            except KeyboardInterrupt as error:
                interrupt = error
            except BaseException:  # Cancelled among them, from a store that is closed by now
                if self._drop(observer):
                    _log.exception(
                        "observer %r raised in %s() and hears no more of run %s",
                        observer,
                        hook,
                        self._id,
                    )
        if interrupt is not None:
            raise interrupt

    def _drop(self, observer: Observer) -> bool:
        """Tell this observer nothing more; False if another thread was first to say so."""
        with self.lock:
            left = {
                hook: tuple(pair for pair in pairs if pair[0] is not observer)
                for hook, pairs in self._listeners.items()
            }
            is_first = any(len(left[hook]) < len(pairs) for hook, pairs in self._listeners.items())
            self._listeners = left
        return is_first

    # The run and its states.

    def started(self, state: Any) -> None:
        """The run begins."""
        self.emit("run_started", state=state)

    def entered(self, state: Any, error: BaseException | None, *, is_exit: bool) -> None:
        """The run comes to a state, and so leaves another; with an error, if it led here."""
        now = time.perf_counter()
        with self.lock:
            if self._over:
                return
            left, since = self._state, self._since
            self._state, self._since = (_NOWHERE if is_exit else state), now
        try:
            if left is not _NOWHERE:
                self._left(left, state, now - since, error)
        finally:  # after Ctrl-C as well: it will be told that this state is left
            self.emit("state_entered", state=state, is_exit=is_exit)

    def finished(self, state: Any, error: BaseException | None) -> None:
        """The run is over, though a thread of it may still be on its way: from now on it is late.

        What is open ends here. It is told once.
        """
        now = time.perf_counter()
        with self.lock:
            if self._over:
                return
            self._over = True
            left, since = self._state, self._since
            self._state = _NOWHERE
            # Before the split among whose branches they are has left them, it may be.
            self._cut = dict(self._open)
            unended = list(self._open.values())
        is_cancelled = isinstance(error, Cancelled | KeyboardInterrupt)
        if isinstance(error, WorkflowCancelledError):  # or that of a run nested in a task of it
            is_cancelled = error.run_id == self._id
        reason = getattr(error, "reason", "interrupted" if is_cancelled else None)
        took = now - self._began
        with ExitStack() as last_first:  # all of it is told, whenever Ctrl-C comes
            told = last_first.callback
            told(self.emit, "run_finished", state=state, duration=took, error=error)
            if is_cancelled:
                told(self.emit, "run_cancelled", state=state, reason=reason)
            if left is not _NOWHERE:
                told(self._left, left, None, now - since, error)
            for task in reversed(unended):
                told(task.cancelled, reason)

    def _left(self, state: Any, following: Any, took: float, error: BaseException | None) -> None:
        self.emit("state_left", state=state, next_state=following, duration=took, error=error)

    # Tasks.

    def task(
        self, name: str, state: Any, index: int | None, token: CancellationToken
    ) -> TaskEvents:
        """A task begins.

        Raises:
            Cancelled: it need not begin any more: the run goes on without it, or is over.
        """
        task = TaskEvents(self, name, state, index)
        with self.lock:
            # Whoever leaves tasks behind cancels their token first, and then looks for them here.
            if self._over or token.cancelled:
                raise Cancelled(token.reason)
            self._open[index] = task
        task.emit("task_started")
        return task

    def close(self, index: int | None, task: TaskEvents) -> bool:
        """Take the task off the open ones; False if it has had its end already."""
        with self.lock:
            if self._open.get(index) is not task:
                return False
            del self._open[index]
            return True

    def leave(self, index: int | None, job: Job, reason: str | None) -> None:
        """Abandon who performs this task (a branch; None: the run's own), if it is not done."""
        with self.lock:
            task = self._open.get(index) or self._cut.get(index)
        if task is None:
            job.abandon()
            return
        is_offloaded = (
            task.is_offloaded
        )  # then this thread only waits for the one that has the task
        try:
            task.cancelled(reason)
        finally:
            if is_offloaded:
                job.abandon()
            else:
                task.leave(job)


class TaskEvents:
    """The events of one task, from its start to its one end; and of a thread left with it.

    Attributes:
        is_offloaded: whether an attempt is being made on a thread of its own.
    """

    __slots__ = ("_attempt", "_began", "_events", "_facts", "_index", "_tried", "is_offloaded")

    def __init__(self, events: RunEvents, name: str, state: Any, index: int | None) -> None:
        self._events = events
        self._index = index
        self._facts = {"state": state, "task": name, "index": index}
        self._began = time.perf_counter()
        self._attempt = 1
        self._tried: float | None = None  # when the attempt began that has not failed yet
        self.is_offloaded = False

    def emit(self, hook: str, **facts: Any) -> None:
        """Call a hook that is about this task."""
        self._events.emit(hook, **self._facts, **facts)

    def _end(self, hook: str, **facts: Any) -> None:
        took = time.perf_counter() - self._began
        if self._events.close(self._index, self):
            self.emit(hook, duration=took, **facts)

    def succeeded(self) -> None:
        """It has returned."""
        self._end("task_succeeded")

    def failed(self, error: BaseException) -> None:
        """It has raised."""
        self._end("task_failed", error=error)

    def cancelled(self, reason: str | None) -> None:
        """It was stopped, or nobody waits for it any more."""
        self._end("task_cancelled", reason=reason)

    def attempt_started(self, number: int) -> None:
        """One of several attempts begins."""
        self._attempt = number
        self._tried = time.perf_counter()
        self.emit("attempt_started", attempt=number)

    def attempt_failed(self, error: BaseException | None, delay: float | None) -> None:
        """It has failed, if one was begun; the next comes after `delay` seconds, or none."""
        if self._tried is None:
            return
        took, self._tried = time.perf_counter() - self._tried, None
        self.emit("attempt_failed", attempt=self._attempt, duration=took, error=error, delay=delay)

    def leave(self, job: Job) -> None:
        """Abandon who performs it, and tell so, if it is not done; tell of its return, too."""
        absence = _Absence(self, self._attempt, self._events.lock)
        if job.abandon(absence.ends):
            absence.begins()


class _Absence:
    """A thread that is still with an abandoned task, until it comes back.

    It may do so before it was told that it was left: then who tells that tells both.
    """

    __slots__ = ("_attempt", "_cancel_called", "_late", "_left", "_lock", "_task")

    def __init__(self, task: TaskEvents, attempt: int, lock: threading.Lock) -> None:
        self._task = task
        self._attempt = attempt
        self._lock = lock  # guards `_cancel_called` and `_late`
        self._left = time.perf_counter()
        self._cancel_called = False
        self._late: float | None = None

    def begins(self) -> None:
        try:
            self._task.emit("task_abandoned", attempt=self._attempt)
        finally:  # after Ctrl-C in a hook, too
            with self._lock:
                self._cancel_called = True
                late = self._late
        if late is not None:
            self._task.emit("task_returned", attempt=self._attempt, late=late)

    def ends(self) -> None:
        late = time.perf_counter() - self._left
        with self._lock:
            self._late = late
            cancel_called = self._cancel_called
        if cancel_called:
            self._task.emit("task_returned", attempt=self._attempt, late=late)
