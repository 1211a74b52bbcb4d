"""What a scheduler says of a flow: a picture of one moment, which never changes."""

from __future__ import annotations

__all__ = ("FlowState", "FlowStatus", "outcome_of")

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from ..errors import WorkflowCancelledError


class FlowState(Enum):
    """What a flow is doing."""

    IDLE = "idle"
    """It waits for its next time, or for `trigger`."""
    RUNNING = "running"
    BACKING_OFF = "backing off"
    """It has failed, and leaves out the times that come too soon."""
    TRIPPED = "tripped"
    """It has failed too often in a row, and waits for `reset`. It stays so after the stop."""
    PAUSED = "paused"
    """It waits for `resume`; `trigger` runs it nevertheless."""
    STOPPED = "stopped"
    """Its scheduler is stopping, or has."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class FlowStatus:
    """A flow, as it was when somebody asked. Immutable; equal when all its fields are.

    Attributes:
        id: the flow's id.
        schedule: its timetable as text, such as "every 10 s" or "by hand".
        tags: those of its timetable, as an `At` has those of its `schedule` job.
        state: what it is doing; its `str` is a word or two, such as "backing off".
        runs: how many of its runs have begun.
        failures: how many of them failed in a row, up to now. A run that its scheduler cancelled
            counts neither as failed nor as the end of a row; one that comes to a state of
            `fail_on` has failed.
        skipped: how many times were left out because it was still running.
        last_start: when its last run began, in local time; None before the first.
        last_duration: seconds that the last run took that has ended, or None.
        last_result: the exit state that it came to; None if it raised an error.
        last_error: what it failed with, or None; or why its timetable cannot tell the next time.
        next_due: when it is due next; None if it is not, as while it is paused.
        fail_on: the exit states that count as a failure.
        last_outcome: how the last run has ended: "succeeded", "failed" or "cancelled"; None before
            the first end.
    """

    id: str
    schedule: str
    tags: frozenset[Hashable]
    state: FlowState
    runs: int
    failures: int
    skipped: int
    last_start: datetime | None
    last_duration: float | None
    last_result: Any
    last_error: BaseException | None
    next_due: datetime | None
    fail_on: tuple[Any, ...] = ()
    last_outcome: str | None = None


def outcome_of(error: BaseException | None) -> str:
    """How a run of a flow has ended: "succeeded", "failed" or "cancelled".

    Only what the scheduler itself has cancelled is cancelled; that error has no run's id. Whatever
    else ends a run early, its own time limit among it, is a failure.

    >>> outcome_of(None), outcome_of(ValueError("no")), outcome_of(SystemExit(3))
    ('succeeded', 'failed', 'failed')
    >>> ours = WorkflowCancelledError("the scheduler was stopped")
    >>> outcome_of(ours), outcome_of(WorkflowCancelledError("by a task", run_id="a1"))
    ('cancelled', 'failed')
    """
    if error is None:
        return "succeeded"
    if isinstance(error, WorkflowCancelledError) and error.run_id is None:
        return "cancelled"
    return "failed"
