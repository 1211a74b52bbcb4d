"""Parts of a record while a run is being told; each freezes into what a record holds."""

from __future__ import annotations

__all__ = ("AttemptBuilder", "TaskBuilder", "VisitBuilder")

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..._model.join import JoinConfig
from ..._model.strategy import Verdict
from .record import Attempt, JoinRecord, Span, Status, Visit


@dataclass(slots=True)
class AttemptBuilder:
    """An attempt that is being told."""

    number: int
    began: float
    duration: float | None = None
    status: Status = Status.RUNNING
    error: BaseException | None = None
    delay: float | None = None

    def frozen(self, span: TaskBuilder, end: float) -> Attempt:
        status, duration = self.status, self.duration
        if status is Status.RUNNING:  # the span's last one: only failed attempts are told of
            status, duration = span.frozen_status, max(0.0, end - self.began)
        elif self.number in span.left_at and self.number not in span.late:
            status = Status.ABANDONED
        return Attempt(
            number=self.number,
            began=self.began,
            duration=duration or 0.0,
            status=status,
            error=self.error or (span.error if self.status is Status.RUNNING else None),
            delay=self.delay,
            late=span.late.get(self.number),
        )


@dataclass(slots=True)
class TaskBuilder:
    """A task that is being told."""

    name: str
    index: int | None
    began: float
    duration: float | None = None
    status: Status = Status.RUNNING
    error: BaseException | None = None
    reason: str | None = None
    value: Any = None
    trials: list[AttemptBuilder] = field(default_factory=list)
    left_at: dict[int, float] = field(default_factory=dict)  # by attempt: when it was left behind
    late: dict[int, float] = field(default_factory=dict)  # by attempt: how late it came back

    @property
    def frozen_status(self) -> Status:
        """Cancelled, if its thread has come back since; otherwise abandoned."""
        if self.status is Status.CANCELLED and self.left_at.keys() - self.late.keys():
            return Status.ABANDONED
        return self.status

    def _told(self) -> list[AttemptBuilder]:
        """Its attempts. One that has no retries tells of none: it is one if its time was up."""
        if self.trials or self.status is not Status.FAILED:
            return self.trials
        return [
            AttemptBuilder(number, self.began, self.duration, self.status, self.error)
            for number in self.left_at
        ]

    def frozen(self, now: float) -> Span:
        duration = max(0.0, now - self.began) if self.duration is None else self.duration
        end = self.began + duration
        return Span(
            name=self.name,
            index=self.index,
            began=self.began,
            duration=duration,
            status=self.frozen_status,
            error=self.error,
            reason=self.reason,
            value=self.value,
            attempts=tuple(trial.frozen(self, end) for trial in self._told()),
            late=max(self.late.values()) if self.status is Status.CANCELLED and self.late else None,
        )


@dataclass(slots=True)
class VisitBuilder:
    """A visit that is being told."""

    state: Any
    began: float
    is_exit: bool = False
    duration: float | None = None
    next_state: Any = None
    error: BaseException | None = None
    cancelled: bool = False
    tasks: dict[int | None, TaskBuilder] = field(default_factory=dict)
    names: Sequence[str] = ()
    config: JoinConfig[Any] | None = None
    verdict: Verdict | None = None
    timed_out: bool = False
    decided: float | None = None

    def frozen(self, now: float, end: float, over: bool) -> Visit:
        duration = max(0.0, end - self.began) if self.duration is None else self.duration
        return Visit(
            state=self.state,
            began=self.began,
            duration=0.0 if self.is_exit else duration,
            status=self._status(over),
            is_exit=self.is_exit,
            next_state=self.next_state,
            error=self.error,
            spans=tuple(self._spans(now)),
            join=None
            if self.config is None
            else JoinRecord(
                config=self.config,
                verdict=self.verdict,
                timed_out=self.timed_out,
                duration=self.decided,
            ),
        )

    def _status(self, over: bool) -> Status:
        if self.cancelled:
            return Status.CANCELLED
        if self.error is not None:
            return Status.FAILED
        if self.is_exit or self.duration is not None:
            return Status.SUCCEEDED
        return Status.FAILED if over else Status.RUNNING

    def _spans(self, now: float) -> Iterable[Span]:
        if None in self.tasks:
            yield self.tasks[None].frozen(now)
        told = {index for index in self.tasks if index is not None}
        for index in sorted(told.union(range(len(self.names)))):
            task = self.tasks.get(index)
            if task is not None:
                yield task.frozen(now)
            else:
                yield Span(
                    name=self.names[index],
                    index=index,
                    began=None,
                    duration=0.0,
                    status=Status.NOT_STARTED,
                )
