"""Parts of a record while the run goes on; each is built into what a record holds."""

from __future__ import annotations

__all__ = ("TaskBuilder", "VisitBuilder")

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..status import Status, status_of
from .record import Attempt, JoinRecord, Span, Visit


@dataclass(slots=True, eq=False)
class TaskBuilder:
    """A task: a branch, that of a single state, or the one that lists the branches.

    Both builders keep what they have built once it has ended; with the next event it is built anew.
    """

    visit: VisitBuilder
    name: str
    index: int | None
    began: float
    duration: float | None = None  # None until its end
    status: Status = Status.RUNNING
    error: BaseException | None = None
    reason: str | None = None
    value: Any = None
    attempts: list[Attempt] = field(default_factory=list)
    abandoned_at: dict[int, float] = field(default_factory=dict)  # by attempt: the moment
    late: dict[int, float] = field(default_factory=dict)  # by attempt: seconds until its return
    built: Span | None = None  # what it has become, once it has ended

    def changed(self) -> VisitBuilder:
        """It has had an event; returns the visit that it belongs to."""
        self.built = None
        return self.visit

    @property
    def status_now(self) -> Status:
        """Cancelled, if its threads have returned; otherwise abandoned."""
        if self.status is Status.CANCELLED and self.abandoned_at.keys() - self.late.keys():
            return Status.ABANDONED
        return self.status

    def _attempts(self, end: float) -> Iterator[Attempt]:
        attempts: Iterable[Attempt] = self.attempts
        if not self.attempts and self.status is Status.FAILED:
            # A task without retries has no events of attempts: an abandoned one is its only one.
            own = Attempt(
                number=1,
                began=self.began,
                duration=self.duration or 0.0,
                status=Status.FAILED,
                error=self.error,
            )
            attempts = [replace(own, number=number) for number in self.abandoned_at]
        for attempt in attempts:
            number = attempt.number
            if attempt.status is Status.RUNNING:  # without an end of its own: that of the task
                duration = max(0.0, end - attempt.began)
                attempt = replace(
                    attempt, duration=duration, status=self.status_now, error=self.error
                )
            elif number in self.abandoned_at and number not in self.late:
                attempt = replace(attempt, status=Status.ABANDONED)
            yield replace(attempt, late=self.late[number]) if number in self.late else attempt

    def build(self, now: float) -> Span:
        """The task as it is now; the same object as before, if nothing has changed since."""
        if self.built is not None:
            return self.built
        duration = max(0.0, now - self.began) if self.duration is None else self.duration
        end = self.began + duration
        span = Span(
            name=self.name,
            index=self.index,
            began=self.began,
            duration=duration,
            status=self.status_now,
            error=self.error,
            reason=self.reason,
            value=self.value,
            attempts=tuple(self._attempts(end)),
            late=max(self.late.values()) if self.status is Status.CANCELLED and self.late else None,
        )
        if self.duration is not None:
            self.built = span
        return span


@dataclass(slots=True, eq=False)
class VisitBuilder:
    """A visit to a state."""

    state: Any
    began: float
    is_exit: bool = False
    duration: float | None = None  # None until it is left
    next_state: Any = None
    error: BaseException | None = None
    is_cancelled: bool = False
    tasks: dict[int | None, TaskBuilder] = field(default_factory=dict)
    names: Sequence[str] = ()  # of all branches, those that have not begun included
    join: JoinRecord | None = None
    events: int = 0  # how many have been folded into it and its tasks
    built: Visit | None = None  # what it has become, once it and its tasks have ended
    _waiting: tuple[Span, ...] = ()  # the branches as they were before any had begun

    @property
    def is_over(self) -> bool:
        """Whether it has been left and all its tasks have ended."""
        if not self.is_exit and self.duration is None:
            return False
        return None not in [task.duration for task in self.tasks.values()]

    def build(self, run_id: str, now: float, end: float) -> Visit:
        """The visit as it is `now`; of a run that is over, what has no end ended with it."""
        if self.built is not None:
            return self.built
        duration = max(0.0, end - self.began) if self.duration is None else self.duration
        visit = Visit(
            state=self.state,
            began=self.began,
            duration=0.0 if self.is_exit else duration,
            status=self._status(run_id),
            is_exit=self.is_exit,
            next_state=self.next_state,
            error=self.error,
            spans=tuple(self._spans(now)),
            join=self.join,
        )
        if self.is_over:
            self.built = visit
        return visit

    def _status(self, run_id: str) -> Status:
        if self.is_cancelled:
            return Status.CANCELLED
        if self.duration is None and not self.is_exit:
            return Status.RUNNING
        return status_of(run_id, self.error)

    def _spans(self, now: float) -> Iterator[Span]:
        if None in self.tasks:
            yield self.tasks[None].build(now)
        if len(self._waiting) != len(self.names):
            self._waiting = tuple([_not_started(*each) for each in enumerate(self.names)])
        for index, waiting in enumerate(self._waiting):
            yield self.tasks[index].build(now) if index in self.tasks else waiting
        if not self.names:  # the event that names them has not come, or was dropped
            indexes = sorted(index for index in self.tasks if index is not None)
            yield from (self.tasks[index].build(now) for index in indexes)


def _not_started(index: int, name: str) -> Span:
    return Span(name=name, index=index, began=None, duration=0.0, status=Status.NOT_STARTED)
