"""The fold of one run's events: each goes into the state, task or attempt that it is about."""

from __future__ import annotations

__all__ = ("History",)

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, TypeAlias

from ..._model.hooks import HOOKS
from ..status import Status, status_of
from .builders import TaskBuilder, VisitBuilder
from .record import Attempt, JoinRecord, Record

Facts: TypeAlias = Mapping[str, Any]


class _DroppedError(LookupError):
    """An event is about a visit that has been dropped, or of which no event has come."""


class History:
    """What has become of one run up to now. Each event is folded into it once, as it comes.

    Events come from several threads, those of abandoned tasks late. An end whose beginning has
    not come yet, or has been dropped, is dated back by its duration. Where there are too many
    events, the first visits are dropped; the last one stays.

    It has no lock: that of its `Recorder` guards it.

    Args:
        run_id: the run's id.
        state: the initial state.
        started_at: when the run began, in seconds since the epoch.
        limit: how many events to keep.
    """

    def __init__(self, run_id: str, state: Any, started_at: float, limit: int) -> None:
        self.run_id = run_id
        self.abandoned = 0  # how many abandoned tasks have not returned
        self.is_over = False
        self._limit = limit
        self._started_at = started_at
        self._state = state
        self._end = 0.0
        self._error: BaseException | None = None
        self._is_cancelled = False
        self._reason: str | None = None
        self._visits: deque[VisitBuilder] = deque()
        self._visit_of: dict[Any, VisitBuilder] = {}  # by state: the latest
        # By state and branch: the tasks that have no end yet, and if there are none, the latest.
        self._tasks: dict[tuple[Any, int | None], list[TaskBuilder]] = {}
        # Abandoned tasks that have not returned, by state, branch and attempt.
        self._out: dict[tuple[Any, int | None, int], list[TaskBuilder]] = {}
        self._kept = 0  # how many events of states, tasks and splits these hold
        self._forgotten = 0

    def record(self, now: float, latest: int | None = None) -> Record:
        """The record `now`, in seconds from the start of the run.

        It has so many of the `latest` visits; None for all that are kept.
        """
        end = self._end if self.is_over else now
        status = Status.CANCELLED if self._is_cancelled else status_of(self.run_id, self._error)
        visits: Iterable[VisitBuilder] = self._visits
        if latest is not None:
            visits = list(islice(reversed(self._visits), latest))[::-1]
        return Record(
            run_id=self.run_id,
            state=self._state,
            status=status if self.is_over else Status.RUNNING,
            started_at=self._started_at,
            duration=end,
            error=self._error,
            reason=self._reason,
            visits=tuple([visit.built or visit.build(self.run_id, now, end) for visit in visits]),
            forgotten=self._forgotten,
        )

    def earlier(self, latest: int) -> int:
        """How many visits came before so many of the latest, as far as they are kept."""
        return max(0, len(self._visits) - latest)

    # The fold: a method for each event, by its name. It gives the visit that has changed.

    def fold(self, at: float, event: str, facts: Facts) -> None:
        """Take in an event of this name, so many seconds after the start of the run."""
        fold = _FOLDS.get(event)
        if fold is None:  # a later engine may have more events
            return
        try:
            visit = fold(self, at, facts)
        except _DroppedError:
            self._forgotten += 1
            return
        if visit is not None:
            visit.events += 1
            visit.built = None
            self._kept += 1
            while self._kept > self._limit and len(self._visits) > 1:
                self._drop_first()

    def _drop_first(self) -> None:
        visit = self._visits.popleft()
        if self._visit_of.get(visit.state) is visit:
            del self._visit_of[visit.state]
        for index, task in visit.tasks.items():
            _remove(self._tasks, (visit.state, index), task)
            for attempt in task.abandoned_at:
                _remove(self._out, (visit.state, index, attempt), task)
        self._kept -= visit.events
        self._forgotten += visit.events

    # The run.

    def run_cancelled(self, at: float, facts: Facts) -> None:
        self._is_cancelled, self._reason = True, facts["reason"]
        visit = self._visit_of.get(facts["state"])
        if visit is not None:
            visit.is_cancelled, visit.built = True, None

    def run_finished(self, at: float, facts: Facts) -> None:
        self._state, self._error = facts["state"], facts["error"]
        self._end, self.is_over = max(at, facts["duration"]), True

    # States.

    def state_entered(self, at: float, facts: Facts) -> VisitBuilder:
        self._state = state = facts["state"]
        visit = self._visit_of[state] = VisitBuilder(state, at, facts["is_exit"])
        self._visits.append(visit)
        return visit

    def _visit(self, facts: Facts) -> VisitBuilder:
        """The latest one to this state."""
        visit = self._visit_of.get(facts["state"])
        if visit is None:
            raise _DroppedError
        return visit

    def state_left(self, at: float, facts: Facts) -> VisitBuilder:
        visit = self._visit(facts)
        visit.duration = duration = facts["duration"]
        visit.next_state, visit.error = facts["next_state"], facts["error"]
        if at - duration < visit.began:
            visit.began = max(0.0, at - duration)
        return visit

    # Tasks.

    def task_started(self, at: float, facts: Facts) -> VisitBuilder:
        visit, index = self._visit(facts), facts["index"]
        if index not in visit.tasks:  # else its end has come before: the run has abandoned it
            self._begin(visit, at, facts["task"], index)
        return visit

    def _begin(self, visit: VisitBuilder, at: float, name: str, index: int | None) -> TaskBuilder:
        task = visit.tasks[index] = TaskBuilder(visit, name, index, max(0.0, at))
        tasks = self._tasks.setdefault((visit.state, index), [])
        if tasks and tasks[-1].duration is not None:
            tasks.pop()
        tasks.append(task)
        return task

    def _known(self, at: float, facts: Facts) -> TaskBuilder:
        """The latest task of this branch, begun now if none is known."""
        tasks = self._tasks.get((facts["state"], facts["index"]))
        if tasks:
            return tasks[-1]
        return self._begin(self._visit(facts), at, facts["task"], facts["index"])

    def _end_task(self, at: float, facts: Facts, status: Status) -> VisitBuilder:
        """The end of an abandoned task may come after the same branch has begun in another visit.

        So an end belongs to the oldest task of this branch that has none.
        """
        index, duration = facts["index"], facts["duration"]
        began = max(0.0, at - duration)
        tasks = self._tasks.get((facts["state"], index))
        if not tasks or tasks[-1].duration is not None:
            visit = self._visit(facts)
            if index in visit.tasks:
                raise _DroppedError
            task = self._begin(visit, began, facts["task"], index)
        else:
            task = tasks.pop(0) if len(tasks) > 1 else tasks[0]
        task.status, task.duration = status, duration
        task.began = min(task.began, began)
        task.error, task.reason = facts.get("error"), facts.get("reason")
        return task.changed()

    def task_succeeded(self, at: float, facts: Facts) -> VisitBuilder:
        return self._end_task(at, facts, Status.SUCCEEDED)

    def task_failed(self, at: float, facts: Facts) -> VisitBuilder:
        return self._end_task(at, facts, Status.FAILED)

    def task_cancelled(self, at: float, facts: Facts) -> VisitBuilder:
        return self._end_task(at, facts, Status.CANCELLED)

    def task_abandoned(self, at: float, facts: Facts) -> VisitBuilder:
        self.abandoned += 1
        task, attempt = self._known(at, facts), facts["attempt"]
        task.abandoned_at[attempt] = at
        if attempt not in task.late:  # else it has returned before this event could come
            self._out.setdefault((facts["state"], facts["index"], attempt), []).append(task)
        return task.changed()

    def task_returned(self, at: float, facts: Facts) -> VisitBuilder:
        self.abandoned -= 1
        attempt, late = facts["attempt"], facts["late"]
        key = (facts["state"], facts["index"], attempt)
        if key in self._out:  # of several visits to this state: what was abandoned so long ago
            task = min(self._out[key], key=lambda task: abs(at - late - task.abandoned_at[attempt]))
            _remove(self._out, key, task)
        else:
            task = self._known(at, facts)
        task.late[attempt] = late
        return task.changed()

    # Attempts.

    def attempt_started(self, at: float, facts: Facts) -> VisitBuilder:
        task = self._known(at, facts)
        task.attempts.append(_attempt(facts["attempt"], at))
        return task.changed()

    def attempt_failed(self, at: float, facts: Facts) -> VisitBuilder:
        task = self._known(at, facts)
        number, duration = facts["attempt"], facts["duration"]
        if not task.attempts or task.attempts[-1].number != number:
            task.attempts.append(_attempt(number, at - duration))
        task.attempts[-1] = replace(
            task.attempts[-1],
            duration=duration,
            status=Status.FAILED,
            error=facts["error"],
            delay=facts["delay"],
        )
        return task.changed()

    # Splits.

    def split_started(self, at: float, facts: Facts) -> VisitBuilder:
        visit = self._visit(facts)
        visit.names, visit.join = facts["tasks"], JoinRecord(config=facts["join"])
        return visit

    def branch_landed(self, at: float, facts: Facts) -> VisitBuilder:
        outcome = facts["outcome"]
        of_task = {"state": facts["state"], "task": outcome.name, "index": outcome.index}
        task = self._known(at, of_task)
        task.value = outcome.value
        return task.changed()

    def join_decided(self, at: float, facts: Facts) -> VisitBuilder:
        visit = self._visit(facts)
        if visit.join is not None:
            decided = {name: facts[name] for name in ("verdict", "timed_out", "duration")}
            visit.join = replace(visit.join, **decided)
        return visit


def _attempt(number: int, began: float) -> Attempt:
    return Attempt(number=number, began=max(0.0, began), duration=0.0, status=Status.RUNNING)


def _remove(tasks: dict[Any, list[TaskBuilder]], key: object, task: TaskBuilder) -> None:
    """Take the task off those under this key, if it is there."""
    found = tasks.get(key, [])
    if task in found:
        found.remove(task)
        if not found:
            del tasks[key]


_FOLDS: Mapping[str, Callable[[History, float, Facts], VisitBuilder | None]] = {
    event: getattr(History, event) for event in HOOKS if hasattr(History, event)
}
