"""A scheduler in a simulation: a timetable of a week, in the time that its runs take."""

from __future__ import annotations

__all__ = ("run_scheduler",)

from collections.abc import Callable

from ..._base.durations import Duration, seconds
from ...scheduler.scheduler import Scheduler
from ...scheduler.status import FlowStatus
from .stage import Stage


def run_scheduler(
    stage: Stage,
    make: Callable[[], Scheduler],
    duration: Duration,
    stop_timeout: Duration | None,
) -> dict[str, FlowStatus]:
    """Start a scheduler, let so much time pass, stop it; how each flow is then, by its id."""
    length = seconds(duration, "a scheduler's duration")
    scheduler = make()
    with scheduler.start_in_background(stop_timeout=stop_timeout):
        stage.sleep(length, "the end of the simulation")
    return {status.id: status for status in scheduler.list()}
