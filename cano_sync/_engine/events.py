"""The events of a run: what its observers hear, each once, and in an order to rely on."""

from __future__ import annotations

__all__ = ("RunEvents", "TaskEvents")

import logging
import threading
from contextlib import ExitStack
from typing import Any

from .._base.cancellation import CancellationToken, Cancelled
from .._base.world import world
from .._model.hooks import Listeners, Observer
from ..errors import WorkflowCancelledError
from .jobs import Job

_log = logging.getLogger("cano_sync")
_NOWHERE: Any = object()


class RunEvents:
    """The events of one run; made only where somebody listens.

    Several threads emit: the caller's, the run's, the branches', and those of abandoned tasks. An
    event that comes after the end of the run is not emitted any more. Each start has exactly one
    end, whichever of two threads comes to it first.

    `lock` guards `_listeners`, `_state`, `_entered_at`, `_is_over`, `_open` and `_ended_by_run`,
    and of each abandonment how far it has come. Observers are called without it. What is a task's
    own, its attempt and whether that is offloaded, is written by the thread that runs the task, and
    by others only looked at.
    """

    __slots__ = (
        "_began",
        "_ended_by_run",
        "_entered_at",
        "_id",
        "_is_over",
        "_listeners",
        "_open",
        "_state",
        "lock",
    )

    def __init__(self, run_id: str, listeners: Listeners) -> None:
        self.lock = threading.Lock()
        self._id = run_id
        self._listeners = listeners
        self._began = self._entered_at = world.perf_counter()
        self._state: Any = _NOWHERE  # the state that the run is in, and has to leave
        self._is_over = False
        self._open: dict[int | None, TaskEvents] = {}  # tasks without an end yet, by index
        self._ended_by_run: dict[int | None, TaskEvents] = {}  # to which the run's end gave theirs

    def has_listeners(self, event: str) -> bool:
        """Whether anybody listens: for events whose facts cost something to put together."""
        return event in self._listeners

    def emit(self, event: str, **facts: Any) -> None:
        """Call all who listen to this event. What they raise, but Ctrl-C, is their own loss.

        Raises:
            KeyboardInterrupt: it came while one of them was called; the others were called, too.
        """
        interrupt: KeyboardInterrupt | None = None
        for observer, call in self._listeners.get(event, ()):
            try:
                call(run_id=self._id, **facts)
            except KeyboardInterrupt as error:
                interrupt = error
            except BaseException:  # Cancelled among them, from a store that is closed by now
                if self._drop(observer):
                    _log.exception(
                        "observer %r raised in %s() and hears no more of run %s",
                        observer,
                        event,
                        self._id,
                    )
        if interrupt is not None:
            raise interrupt

    def _drop(self, observer: Observer) -> bool:
        """Emit nothing more to this observer; False if another thread did this before."""
        with self.lock:
            remaining = {
                event: tuple(pair for pair in pairs if pair[0] is not observer)
                for event, pairs in self._listeners.items()
            }
            is_first = any(
                len(remaining[event]) < len(pairs) for event, pairs in self._listeners.items()
            )
            self._listeners = remaining
        return is_first

    # The run and its states.

    def run_started(self, state: Any) -> None:
        """The run begins in this state."""
        self.emit("run_started", state=state)

    def state_entered(self, state: Any, error: BaseException | None, *, is_exit: bool) -> None:
        """The run comes to a state, and so leaves another; with the error that led here, if any."""
        now = world.perf_counter()
        with self.lock:
            if self._is_over:
                return
            left, since = self._state, self._entered_at
            self._state, self._entered_at = (_NOWHERE if is_exit else state), now
        try:
            if left is not _NOWHERE:
                self._emit_left(left, state, now - since, error)
        finally:  # after Ctrl-C as well, for the end of the run will say that this state is left
            self.emit("state_entered", state=state, is_exit=is_exit)

    def run_finished(self, state: Any, error: BaseException | None) -> None:
        """The run is over, though a thread of it may still be on its way.

        What has no end yet ends here. Only the first call has an effect.
        """
        now = world.perf_counter()
        with self.lock:
            if self._is_over:
                return
            self._is_over = True
            left, since = self._state, self._entered_at
            self._state = _NOWHERE
            # The split may abandon them only after this, and then looks for them here.
            self._ended_by_run = dict(self._open)
            unended = list(self._open.values())
        is_cancelled = isinstance(error, Cancelled | KeyboardInterrupt)
        if isinstance(error, WorkflowCancelledError):  # or that of a run nested in a task of it
            is_cancelled = error.run_id == self._id
        reason = getattr(error, "reason", "interrupted" if is_cancelled else None)
        duration = now - self._began
        with ExitStack() as last_first:  # all of it is emitted, whenever Ctrl-C comes
            emits = last_first.callback
            emits(self.emit, "run_finished", state=state, duration=duration, error=error)
            if is_cancelled:
                emits(self.emit, "run_cancelled", state=state, reason=reason)
            if left is not _NOWHERE:
                emits(self._emit_left, left, None, now - since, error)
            for task in reversed(unended):
                emits(task.cancelled, reason)

    def _emit_left(
        self, state: Any, following: Any, duration: float, error: BaseException | None
    ) -> None:
        self.emit("state_left", state=state, next_state=following, duration=duration, error=error)

    # Tasks.

    def task_started(
        self, name: str, state: Any, index: int | None, token: CancellationToken
    ) -> TaskEvents:
        """A task begins.

        Raises:
            Cancelled: it need not begin any more: the run goes on without it, or is over.
        """
        task = TaskEvents(self, name, state, index)
        with self.lock:
            # Who abandons tasks cancels their token first, and then looks for them here.
            if self._is_over or token.cancelled:
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

    def abandon(self, index: int | None, job: Job, reason: str | None) -> None:
        """Abandon the job that runs this task (a branch; None: the run's own), if it goes on.

        The job is abandoned first, then the events are emitted: a second call, after Ctrl-C in the
        first, does what that has not done, and emits nothing twice.
        """
        with self.lock:
            task = self._open.get(index) or self._ended_by_run.get(index)
        # Where an attempt is offloaded, this job only waits for the one that runs the task.
        if task is None or task.is_offloaded:
            job.abandon()
            abandonment = None
        else:
            abandonment = task.left_with(job)
        try:
            if task is not None:
                task.cancelled(reason)
        finally:
            if abandonment is not None:
                abandonment.begun()


class TaskEvents:
    """The events of one task, from its start to its one end; and those of its abandoned threads.

    Attributes:
        is_offloaded: whether an attempt is being made on a thread of its own.
    """

    __slots__ = ("_attempt", "_attempt_began", "_began", "_facts", "_index", "_run", "is_offloaded")

    def __init__(self, run: RunEvents, name: str, state: Any, index: int | None) -> None:
        self._run = run
        self._index = index
        self._facts = {"state": state, "task": name, "index": index}
        self._began = world.perf_counter()
        self._attempt = 1
        self._attempt_began: float | None = None  # None: none was begun that has not failed yet
        self.is_offloaded = False

    def emit(self, event: str, **facts: Any) -> None:
        """Emit an event that is about this task."""
        self._run.emit(event, **self._facts, **facts)

    def _end(self, event: str, **facts: Any) -> None:
        duration = world.perf_counter() - self._began
        if self._run.close(self._index, self):
            self.emit(event, duration=duration, **facts)

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
        self._attempt_began = world.perf_counter()
        self.emit("attempt_started", attempt=number)

    def attempt_failed(self, error: BaseException | None, delay: float | None) -> None:
        """It has failed, if one was begun; the next begins after `delay` seconds, or never."""
        if self._attempt_began is None:
            return
        duration, self._attempt_began = world.perf_counter() - self._attempt_began, None
        self.emit(
            "attempt_failed", attempt=self._attempt, duration=duration, error=error, delay=delay
        )

    def abandon(self, job: Job) -> None:
        """Abandon the job that runs it, and say so, if it goes on; say when it returns, too."""
        abandonment = self.left_with(job)
        if abandonment is not None:
            abandonment.begun()

    def left_with(self, job: Job) -> _Abandonment | None:
        """Abandon the job that runs it; if it goes on, what is still to be emitted about that.

        The task may have had its end by then: it has succeeded, say, and its thread is still in a
        hook that hears so. Then `task_abandoned` comes after `task_succeeded`.
        """
        abandonment = _Abandonment(self, self._attempt, self._run.lock)
        return abandonment if job.abandon(abandonment.returned) else None


class _Abandonment:
    """The two events of an abandoned task: that it was abandoned, and that it has returned.

    It may return before the first of them was emitted: then the thread that does this emits both.

    The lock guards `_is_emitted` and `_late`.
    """

    __slots__ = ("_attempt", "_is_emitted", "_late", "_lock", "_since", "_task")

    def __init__(self, task: TaskEvents, attempt: int, lock: threading.Lock) -> None:
        self._task = task
        self._attempt = attempt
        self._lock = lock
        self._since = world.perf_counter()
        self._is_emitted = False
        self._late: float | None = None

    def begun(self) -> None:
        try:
            self._task.emit("task_abandoned", attempt=self._attempt)
        finally:  # after Ctrl-C in a hook, too
            with self._lock:
                self._is_emitted = True
                late = self._late
        if late is not None:
            self._task.emit("task_returned", attempt=self._attempt, late=late)

    def returned(self) -> None:
        late = world.perf_counter() - self._since
        with self._lock:
            self._late = late
            is_emitted = self._is_emitted
        if is_emitted:
            self._task.emit("task_returned", attempt=self._attempt, late=late)
