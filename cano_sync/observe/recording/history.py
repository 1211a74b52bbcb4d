"""The fold of one run's events: each goes into the state, task or attempt that it is about."""

from __future__ import annotations

__all__ = ("History", "Unbuilt")

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

from ..._model.hooks import HOOKS
from ..status import Status, status_of
from .builders import AttemptBuilder, TaskBuilder, VisitBuilder
from .record import Record, Span, Visit

Facts: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unbuilt:
    """Something that has ended and has not been built yet: that needs no lock, and takes longest.

    Attributes:
        part: the visit or task.
        events: how many events it had: if it has more by now, what was built is of no use.
    """

    part: VisitBuilder | TaskBuilder
    events: int

    def build(self, run_id: str) -> Visit | Span:
        """What it has become; without a lock."""
        if isinstance(self.part, TaskBuilder):
            return self.part.build(0.0)
        return self.part.build(run_id, 0.0, 0.0)


class History:
    """What has become of one run up to now. Each event is folded into it once, as it comes.

    Events come from several threads, those of abandoned tasks late. An end whose beginning has
    not come yet, or has been dropped, is dated back by its duration. The first events are dropped
    where there are too many: whole visits, and the first branches of the last one.

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
        self._latest: dict[tuple[Any, int | None], TaskBuilder] = {}  # by state and branch
        # Abandoned tasks that have not returned, by state, branch and attempt.
        self._out: dict[tuple[Any, int | None, int], list[TaskBuilder]] = {}
        self._kept = 0  # how many events of states, tasks and splits these hold
        self._forgotten = 0

    # What there is to see.

    def unbuilt(self, latest: int | None = None) -> list[Unbuilt]:
        """What has ended among the latest visits and has not been built yet."""
        found: list[Unbuilt] = []
        for visit in self._last(latest):
            if visit.built is not None:
                continue
            if visit.is_over:
                found.append(Unbuilt(visit, visit.events))
            else:
                found += [
                    Unbuilt(task, task.events)
                    for task in visit.tasks.values()
                    if task.built is None and task.duration is not None
                ]
        return found

    def running_splits(self, latest: int | None = None) -> list[VisitBuilder]:
        """Splits that have branches without a turn yet, of which each is shown."""
        return [visit for visit in self._last(latest) if visit.built is None and visit.names]

    def store(self, built: Iterable[tuple[Unbuilt, Visit | Span]]) -> None:
        """Store what was built of parts that no event has changed since."""
        for unbuilt, value in built:
            if unbuilt.part.events == unbuilt.events:
                unbuilt.part.built = value  # pyright: ignore[reportAttributeAccessIssue]

    def record(self, now: float, latest: int | None = None) -> Record:
        """The record at this moment, in seconds from the start of the run.

        Args:
            now: the moment.
            latest: of how many visits at most; None for all that are kept.
        """
        end = self._end if self.is_over else now
        status = Status.CANCELLED if self._is_cancelled else status_of(self.run_id, self._error)
        return Record(
            run_id=self.run_id,
            state=self._state,
            status=status if self.is_over else Status.RUNNING,
            started_at=self._started_at,
            duration=end,
            error=self._error,
            reason=self._reason,
            visits=tuple(
                [visit.built or visit.build(self.run_id, now, end) for visit in self._last(latest)]
            ),
            forgotten=self._forgotten,
        )

    def earlier(self, latest: int) -> int:
        """How many visits came before so many of the latest, as far as they are kept."""
        return max(0, len(self._visits) - latest)

    def _last(self, latest: int | None) -> Iterable[VisitBuilder]:
        if latest is None or latest >= len(self._visits):
            return self._visits
        return list(islice(reversed(self._visits), latest))[::-1]

    # The fold: a method for each event, by its name. It gives the visit that has changed, or None.

    def fold(self, at: float, event: str, facts: Facts) -> None:
        """Take in an event of this name, so many seconds after the start of the run."""
        fold = _FOLDS.get(event)
        if fold is None:  # a later engine may have more events
            return
        visit = fold(self, at, facts)
        if visit is not None:
            visit.events += 1
            visit.built = None
            self._kept += 1
            if self._kept > self._limit:
                self._drop()
        elif not event.startswith("run_"):  # it is about a visit that has been dropped
            self._forgotten += 1

    def _drop(self) -> None:
        while self._kept > self._limit and self._visits:
            first = self._visits[0]
            if len(self._visits) > 1:
                self._visits.popleft()
                gone = first.events - first.dropped
                tasks = list(first.tasks.items())
                if self._visit_of.get(first.state) is first:
                    del self._visit_of[first.state]
            elif len(first.tasks) > 1:
                before = dict(first.tasks)
                gone = first.drop_first_tasks()
                tasks = [
                    (index, task) for index, task in before.items() if index not in first.tasks
                ]
            else:
                return
            for index, task in tasks:
                self._forget(first.state, index, task)
            self._kept -= gone
            self._forgotten += gone

    def _forget(self, state: Any, index: int | None, task: TaskBuilder) -> None:
        """Refer to this task no more."""
        newer = self._latest.get((state, index))
        if newer is task:
            del self._latest[state, index]
        while newer is not None and newer.older is not task:
            newer = newer.older
        if newer is not None:
            newer.older = task.older
        for attempt in task.abandoned_at:
            self._remove_abandoned((state, index, attempt), task)

    def _remove_abandoned(self, key: tuple[Any, int | None, int], task: TaskBuilder) -> None:
        """Take this task off those that have not returned; by its identity."""
        tasks = [each for each in self._out.get(key, ()) if each is not task]
        if tasks:
            self._out[key] = tasks
        else:
            self._out.pop(key, None)

    # The run.

    def run_cancelled(self, at: float, facts: Facts) -> VisitBuilder | None:
        self._is_cancelled, self._reason = True, facts["reason"]
        visit = self._visit_of.get(facts["state"])
        if visit is not None:
            visit.is_cancelled = True
        return visit

    def run_finished(self, at: float, facts: Facts) -> None:
        self._state, self._error = facts["state"], facts["error"]
        self._end, self.is_over = max(at, facts["duration"]), True

    # States.

    def state_entered(self, at: float, facts: Facts) -> VisitBuilder:
        self._state = state = facts["state"]
        visit = self._visit_of[state] = VisitBuilder(state, at, facts["is_exit"])
        self._visits.append(visit)
        return visit

    def state_left(self, at: float, facts: Facts) -> VisitBuilder | None:
        visit = self._visit_of.get(facts["state"])
        if visit is None:
            return None
        visit.duration = duration = facts["duration"]
        visit.next_state, visit.error = facts["next_state"], facts["error"]
        if at - duration < visit.began:
            visit.began = max(0.0, at - duration)
        return visit

    # Tasks.

    def task_started(self, at: float, facts: Facts) -> VisitBuilder | None:
        visit = self._visit_of.get(facts["state"])
        if visit is None:
            return None
        index = facts["index"]
        if index not in visit.tasks:  # else its end has come before: the run has abandoned it
            self._begin(visit, max(0.0, at), facts["task"], index).events += 1
        return visit

    def _begin(self, visit: VisitBuilder, at: float, name: str, index: int | None) -> TaskBuilder:
        task = visit.tasks[index] = TaskBuilder(name, index, at)
        key = (visit.state, index)
        before = self._latest.get(key)
        if before is not None and before.duration is None:
            task.older = before
        self._latest[key] = task
        return task

    def _known(self, at: float, facts: Facts) -> TaskBuilder | None:
        """The latest task of this branch, begun now if none is known; None if its visit is not."""
        key = (facts["state"], facts["index"])
        task = self._latest.get(key)
        if task is None:
            visit = self._visit_of.get(key[0])
            if visit is not None:
                task = self._begin(visit, max(0.0, at), facts["task"], key[1])
        return task

    def _changed(self, facts: Facts, task: TaskBuilder) -> VisitBuilder | None:
        """A task has had an event; the visit that it belongs to."""
        task.events += 1
        task.built = None
        visit = self._visit_of.get(facts["state"])
        if visit is not None and visit.tasks.get(task.index) is task:
            return visit
        others = (each for each in reversed(self._visits) if each.tasks.get(task.index) is task)
        return next(others, None)

    def _end_task(self, at: float, facts: Facts, status: Status) -> VisitBuilder | None:
        """The end of an abandoned task may come after the same branch has begun in another visit.

        So an end belongs to the oldest task of this branch that has none.
        """
        state, index, duration = facts["state"], facts["index"], facts["duration"]
        began = at - duration if at > duration else 0.0
        task = self._latest.get((state, index))
        if task is None or task.duration is not None:
            visit = self._visit_of.get(state)
            if visit is None or index in visit.tasks:
                return None
            task = self._begin(visit, began, facts["task"], index)
        elif task.older is not None:
            task = _without_oldest(task)
        task.status, task.duration = status, duration
        if began < task.began:
            task.began = began
        task.error, task.reason = facts.get("error"), facts.get("reason")
        return self._changed(facts, task)

    def task_succeeded(self, at: float, facts: Facts) -> VisitBuilder | None:
        return self._end_task(at, facts, Status.SUCCEEDED)

    def task_failed(self, at: float, facts: Facts) -> VisitBuilder | None:
        return self._end_task(at, facts, Status.FAILED)

    def task_cancelled(self, at: float, facts: Facts) -> VisitBuilder | None:
        return self._end_task(at, facts, Status.CANCELLED)

    def task_abandoned(self, at: float, facts: Facts) -> VisitBuilder | None:
        self.abandoned += 1
        task = self._known(at, facts)
        if task is None:
            return None
        attempt = facts["attempt"]
        task.abandoned_at[attempt] = at
        if attempt not in task.late:  # else it has returned before this event could come
            self._out.setdefault((facts["state"], facts["index"], attempt), []).append(task)
        return self._changed(facts, task)

    def task_returned(self, at: float, facts: Facts) -> VisitBuilder | None:
        self.abandoned -= 1
        attempt, late = facts["attempt"], facts["late"]
        key = (facts["state"], facts["index"], attempt)
        task: TaskBuilder | None
        if key in self._out:  # of several visits to this state: what was abandoned so long ago
            task = min(self._out[key], key=lambda task: abs(at - late - task.abandoned_at[attempt]))
            self._remove_abandoned(key, task)
        else:
            task = self._known(at, facts)
        if task is None:
            return None
        task.late[attempt] = late
        return self._changed(facts, task)

    # Attempts.

    def attempt_started(self, at: float, facts: Facts) -> VisitBuilder | None:
        task = self._known(at, facts)
        if task is None:
            return None
        task.attempts.append(AttemptBuilder(facts["attempt"], max(0.0, at)))
        return self._changed(facts, task)

    def attempt_failed(self, at: float, facts: Facts) -> VisitBuilder | None:
        task = self._known(at, facts)
        if task is None:
            return None
        number, duration = facts["attempt"], facts["duration"]
        if not task.attempts or task.attempts[-1].number != number:
            task.attempts.append(AttemptBuilder(number, max(0.0, at - duration)))
        attempt = task.attempts[-1]
        attempt.duration, attempt.error, attempt.delay = duration, facts["error"], facts["delay"]
        return self._changed(facts, task)

    # Splits.

    def split_started(self, at: float, facts: Facts) -> VisitBuilder | None:
        visit = self._visit_of.get(facts["state"])
        if visit is None:
            return None
        visit.names, visit.config = facts["tasks"], facts["join"]
        return visit

    def branch_landed(self, at: float, facts: Facts) -> VisitBuilder | None:
        outcome = facts["outcome"]
        of_task = {"state": facts["state"], "task": outcome.name, "index": outcome.index}
        task = self._known(at, of_task)
        if task is None:
            return None
        task.value = outcome.value
        return self._changed(of_task, task)

    def join_decided(self, at: float, facts: Facts) -> VisitBuilder | None:
        visit = self._visit_of.get(facts["state"])
        if visit is None:
            return None
        visit.verdict, visit.timed_out = facts["verdict"], facts["timed_out"]
        visit.decided = facts["duration"]
        return visit


def _without_oldest(task: TaskBuilder) -> TaskBuilder:
    """Take the last one off a chain of tasks, each older than the one before it."""
    newer, oldest = task, task
    while oldest.older is not None:
        newer, oldest = oldest, oldest.older
    newer.older = None
    return oldest


_FOLDS: Mapping[str, Callable[[History, float, Facts], VisitBuilder | None]] = {
    event: getattr(History, event) for event in HOOKS if hasattr(History, event)
}
