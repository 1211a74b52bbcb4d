"""What a scheduler says of a flow: a picture of one moment, which never changes."""

from __future__ import annotations

__all__ = ("FlowState", "FlowStatus")

from collections.abc import Hashable
from datetime import datetime
from enum import Enum
from typing import Any

from .._base.value import Value


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


class FlowStatus(Value):
    """A flow, as it was when somebody asked. Immutable; equal when all its fields are.

    Attributes:
        id: the flow's id.
        schedule: its timetable in words, such as "every 10 s" or "by hand".
        tags: those of the `schedule` job that it was added with; empty for the others.
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
    """

    __slots__ = (  # noqa: RUF023
        "id",
        "schedule",
        "tags",
        "state",
        "runs",
        "failures",
        "skipped",
        "last_start",
        "last_duration",
        "last_result",
        "last_error",
        "next_due",
        "fail_on",
    )

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
    fail_on: tuple[Any, ...]

    def __init__(
        self,
        id: str,
        schedule: str,
        tags: frozenset[Hashable],
        state: FlowState,
        runs: int,
        failures: int,
        skipped: int,
        last_start: datetime | None,
        last_duration: float | None,
        last_result: Any,
        last_error: BaseException | None,
        next_due: datetime | None,
        fail_on: tuple[Any, ...] = (),
    ) -> None:
        self._fill(
            id,
            schedule,
            tags,
            state,
            runs,
            failures,
            skipped,
            last_start,
            last_duration,
            last_result,
            last_error,
            next_due,
            fail_on,
        )
