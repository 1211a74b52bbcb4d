"""From what a run has told, event by event, to its record."""

from __future__ import annotations

__all__ = ("Event", "history")

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from ..._model.join import JoinConfig
from ..._model.outcome import Outcome
from ..._model.strategy import Verdict
from ...errors import WorkflowCancelledError
from .builders import AttemptBuilder, TaskBuilder, VisitBuilder
from .record import Record, Status

Event: TypeAlias = tuple[float, str, Mapping[str, Any]]
"""When (seconds from the start of the run), which hook, and what it was told."""


def history(events: Iterable[Event], now: float, started_at: float, forgotten: int = 0) -> Record:
    """The record of one run.

    The first events may be missing, and those of threads that were left behind may come late: an
    end without a beginning is dated back by its duration.

    Args:
        events: in the order in which they were told.
        now: when the record is asked for, in seconds from the start of the run.
        started_at: when the run began, in seconds since the epoch.
        forgotten: how many events are missing.
    """
    builder = _Builder()
    for at, hook, told in events:
        getattr(builder, hook)(at, **told)
    return builder.record(now, started_at, forgotten)


class _Builder:
    """Hears a run's events again, in order; its methods are named as the hooks."""

    def __init__(self) -> None:
        self._run_id: str | None = None
        self._visits: list[VisitBuilder] = []
        self._visit_of: dict[Any, VisitBuilder] = {}  # by state: the latest
        # By state and branch. A thread that was left behind may tell its end after the same
        # branch has begun in another visit: ends belong to the oldest that is still open.
        self._open: dict[tuple[Any, int | None], deque[TaskBuilder]] = {}
        self._latest: dict[tuple[Any, int | None], TaskBuilder] = {}
        self._left: dict[tuple[Any, int | None, int], list[TaskBuilder]] = {}
        self._over: tuple[float, BaseException | None] | None = None
        self._state: Any = None
        self._cancelled = False
        self._reason: str | None = None

    def record(self, now: float, started_at: float, forgotten: int) -> Record:
        over, error = self._over or (None, None)
        status = Status.RUNNING
        if over is not None:
            cancelled = self._cancelled or isinstance(error, WorkflowCancelledError)
            status = Status.SUCCEEDED if error is None else Status.FAILED
            status = Status.CANCELLED if error is not None and cancelled else status
        end = now if over is None else over
        return Record(
            run_id=self._run_id,
            state=self._state,
            status=status,
            started_at=started_at,
            duration=end,
            error=error,
            reason=self._reason,
            visits=tuple(visit.frozen(now, end, over is not None) for visit in self._visits),
            forgotten=forgotten,
        )

    # The run.

    def run_started(self, at: float, run_id: str, state: Any, **_: Any) -> None:
        self._run_id, self._state = run_id, state

    def run_cancelled(
        self, at: float, run_id: str, state: Any, reason: str | None, **_: Any
    ) -> None:
        self._cancelled, self._reason = True, reason
        self._in(state, at).cancelled = True

    def run_finished(
        self,
        at: float,
        run_id: str,
        state: Any,
        duration: float,
        error: BaseException | None,
        **_: Any,
    ) -> None:
        self._run_id, self._state = run_id, state
        self._over = (max(at, duration), error)

    # States.

    def state_entered(
        self, at: float, run_id: str, state: Any, is_exit: bool, **_: Any
    ) -> VisitBuilder:
        self._run_id, self._state = run_id, state
        visit = VisitBuilder(state, at, is_exit)
        self._visits.append(visit)
        self._visit_of[state] = visit
        return visit

    def _in(self, state: Any, began: float) -> VisitBuilder:
        """The latest visit to a state; a new one if that has been forgotten."""
        visit = self._visit_of.get(state)
        if visit is None:
            visit = self.state_entered(max(0.0, began), self._run_id or "", state, False)
        return visit

    def state_left(
        self,
        at: float,
        state: Any,
        next_state: Any,
        duration: float,
        error: BaseException | None,
        **_: Any,
    ) -> None:
        visit = self._in(state, at - duration)
        visit.began = min(visit.began, max(0.0, at - duration))
        visit.duration, visit.next_state, visit.error = duration, next_state, error

    # Tasks.

    def task_started(
        self, at: float, state: Any, task: str, index: int | None, **_: Any
    ) -> TaskBuilder:
        task_builder = TaskBuilder(task, index, max(0.0, at))
        self._in(state, at).tasks[index] = task_builder
        self._open.setdefault((state, index), deque()).append(task_builder)
        self._latest[state, index] = task_builder
        return task_builder

    def _end(
        self, status: Status, at: float, state: Any, task: str, index: int | None, duration: float
    ) -> TaskBuilder:
        if not self._open.get((state, index)):
            self.task_started(at - duration, state, task, index)
        task_builder = self._open[state, index].popleft()
        task_builder.status, task_builder.duration = status, duration
        task_builder.began = min(task_builder.began, max(0.0, at - duration))
        return task_builder

    def task_succeeded(
        self, at: float, state: Any, task: str, index: int | None, duration: float, **_: Any
    ) -> None:
        self._end(Status.SUCCEEDED, at, state, task, index, duration)

    def task_failed(
        self,
        at: float,
        state: Any,
        task: str,
        index: int | None,
        duration: float,
        error: BaseException,
        **_: Any,
    ) -> None:
        self._end(Status.FAILED, at, state, task, index, duration).error = error

    def task_cancelled(
        self,
        at: float,
        state: Any,
        task: str,
        index: int | None,
        duration: float,
        reason: str | None,
        **_: Any,
    ) -> None:
        self._end(Status.CANCELLED, at, state, task, index, duration).reason = reason

    def task_abandoned(
        self, at: float, state: Any, task: str, index: int | None, attempt: int, **_: Any
    ) -> None:
        task_builder = self._known(at, state, task, index)
        task_builder.left_at[attempt] = at
        if attempt not in task_builder.late:  # else it was back before this could be told
            self._left.setdefault((state, index, attempt), []).append(task_builder)

    def task_returned(
        self,
        at: float,
        state: Any,
        task: str,
        index: int | None,
        attempt: int,
        late: float,
        **_: Any,
    ) -> None:
        left = self._left.get((state, index, attempt))
        if left:  # of several visits to this state: the one that was left so long ago
            task_builder = min(
                left, key=lambda task_builder: abs(at - late - task_builder.left_at[attempt])
            )
            left.remove(task_builder)
        else:
            task_builder = self._known(at, state, task, index)
        task_builder.late[attempt] = late

    def _known(self, at: float, state: Any, task: str, index: int | None) -> TaskBuilder:
        """The latest task of this branch."""
        task_builder = self._latest.get((state, index))
        return task_builder or self.task_started(at, state, task, index)

    # Attempts.

    def attempt_started(
        self, at: float, state: Any, task: str, index: int | None, attempt: int, **_: Any
    ) -> AttemptBuilder:
        trial = AttemptBuilder(attempt, max(0.0, at))
        self._known(at, state, task, index).trials.append(trial)
        return trial

    def attempt_failed(
        self,
        at: float,
        state: Any,
        task: str,
        index: int | None,
        attempt: int,
        duration: float,
        error: BaseException | None,
        delay: float | None,
        **_: Any,
    ) -> None:
        trials = self._known(at, state, task, index).trials
        if not trials or trials[-1].number != attempt:
            self.attempt_started(at - duration, state, task, index, attempt)
        trial = trials[-1]
        trial.status, trial.duration, trial.error, trial.delay = (
            Status.FAILED,
            duration,
            error,
            delay,
        )

    # Splits.

    def split_started(
        self, at: float, state: Any, tasks: Sequence[str], join: JoinConfig[Any], **_: Any
    ) -> None:
        visit = self._in(state, at)
        visit.names, visit.config = tasks, join

    def branch_landed(self, at: float, state: Any, outcome: Outcome, **_: Any) -> None:
        self._known(at, state, outcome.name, outcome.index).value = outcome.value

    def join_decided(
        self,
        at: float,
        state: Any,
        verdict: Verdict,
        timed_out: bool,
        duration: float,
        **_: Any,
    ) -> None:
        visit = self._in(state, at - duration)
        visit.verdict, visit.timed_out, visit.decided = verdict, timed_out, duration
