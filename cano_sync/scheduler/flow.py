"""One flow: what it runs, when it is due, and how its runs have ended."""

from __future__ import annotations

__all__ = ("Event", "Flow")

import math
from datetime import UTC, datetime
from random import Random
from typing import Any, TypeAlias

from ..errors import WorkflowError
from ..workflow import Workflow
from .clock import Moment
from .options import Settings, check_flow
from .status import FlowState, FlowStatus, outcome_of
from .timetable import Timetable

Event: TypeAlias = tuple[str, dict[str, Any]]
"""The name of a hook, and what it is given but for the flow's id."""


class Flow:
    """The state of a flow. It starts nothing and emits nothing: the dispatcher does.

    The dispatcher's lock guards all that changes. Only `execute` and `problem_with` run users'
    code, and are called without it.

    Which times were missed follows from one number: up to `_handled`, on the flow's clock,
    whatever was due has run or is left out. Without `catch_up` that moves on to the present with
    each run, with it from due time to due time.
    """

    def __init__(
        self,
        id: str,
        workflow: Workflow[Any],
        initial_state: Any,
        timetable: Timetable,
        settings: Settings,
    ) -> None:
        self.id = id
        self.workflow = workflow
        self.settings = settings
        self.on_wall_clock = timetable.on_wall_clock
        self._initial_state = initial_state
        self._timetable = timetable
        self._until = timetable.until
        self._schedule = str(timetable)

        self.running_since: float | None = None  # on the monotonic clock
        self._start = 0.0  # on the flow's clock, as all up to `_not_before`
        self._handled = 0.0
        self._due = 0.0  # what its timer is set for, without the jitter
        self._not_before: float | None = None  # while it backs off
        self._is_paused = False
        self._is_tripped = False
        self._failures = 0
        self._runs = 0
        self._skipped = 0
        self._last_start: float | None = None  # on the wall clock
        self._last_duration: float | None = None
        self._last_result: Any = None
        self._last_error: BaseException | None = None
        self._timetable_error: Exception | None = None

    # What a run does, on its own thread: no lock is held.

    def execute(self) -> Any:
        """Run the workflow once, in a store of the flow's; return the exit state."""
        return self.workflow.orchestrate(self._initial_state, store=self.settings.store())

    def problem_with(self, result: Any) -> WorkflowError | None:
        """Why a run that has come to this exit state counts as failed; None if it does not."""
        text = self.settings.fail_on.get(result)
        if text is None:
            return None
        return WorkflowError(f"the run came to {text}, which fail_on names", state=result)

    def checked(self, workflow: Workflow[Any]) -> Workflow[Any]:
        """The workflow, which it could run.

        Raises:
            ConfigurationError: it could not.
        """
        check_flow(self.id, workflow, self._initial_state, self._timetable)
        return workflow

    # When it is due.

    def _clock(self, now: Moment) -> float:
        return now.wall if self.on_wall_clock else now.monotonic

    def begin(self, now: Moment) -> None:
        """The scheduler starts, or has started already when the flow is added."""
        self._start = self._handled = self._clock(now)

    def next_time(self, now: Moment, random: Random) -> float | None:
        """When to run it next, on its clock; None for not at all."""
        if self._is_paused or self._is_tripped:
            return None
        earliest, handled = self._not_before, self._handled
        if earliest is not None and not self.settings.catch_up:
            handled = max(handled, math.nextafter(earliest, -math.inf))
        self._timetable_error = None
        try:
            due = self._timetable.after(handled, self._start, random)
        except Exception as error:  # out of a user's own time zone: its flow is due no more
            self._timetable_error = error
            return None
        if due is None:
            return None
        wall = due if self.on_wall_clock else now.wall_of(due)
        if self._until is not None and wall > self._until:
            return None
        self._due = due
        jitter = self.settings.jitter
        at = due + random.uniform(0.0, jitter) if jitter else due
        return at if earliest is None else max(at, earliest)

    def is_over(self, now: Moment) -> bool:
        """Whether its timetable has ended by now: it is due too late."""
        return self._until is not None and now.wall > self._until + self.settings.jitter

    def _handle(self, now: Moment) -> None:
        """The time that is due has its run, or is left out."""
        self._handled = self._due if self.settings.catch_up else max(self._due, self._clock(now))

    # Its runs.

    def start(self, now: Moment, *, is_due: bool) -> None:
        """A run begins: because it is due, or by hand."""
        if is_due:
            self._handle(now)
        self.running_since = now.monotonic
        self._runs += 1
        self._last_start = now.wall

    def skip(self, now: Moment) -> Event:
        """It is due while it is still running, and leaves this time out."""
        self._skipped += 1
        self._handle(now)
        since = now.monotonic if self.running_since is None else self.running_since
        return "flow_skipped", {"running_for": now.monotonic - since}

    def finish(
        self, now: Moment, result: Any, error: BaseException | None, random: Random
    ) -> tuple[bool, list[Event]]:
        """The run under way is over: with a result, an error, or both.

        Returns:
            Whether its next time is another now, and what to emit.
        """
        duration = now.monotonic - (self.running_since or 0.0)
        self.running_since = None
        self._last_duration, self._last_result, self._last_error = duration, result, error
        outcome = outcome_of(error)
        end = {"state": result, "duration": duration, "outcome": outcome, "error": error}
        events: list[Event] = [("flow_finished", end)]
        if error is None:
            return self._succeed(now), events
        if outcome == "cancelled":  # by the scheduler: no fault of the flow's
            return False, events
        events += self._fail(now, error, random)
        return len(events) > 1, events

    def _succeed(self, now: Moment) -> bool:
        self._failures = 0
        if self._not_before is None:
            return False
        self._not_before = None
        if not self.settings.catch_up:
            self._leave_out(now)
        return True

    def _fail(self, now: Moment, error: BaseException, random: Random) -> list[Event]:
        self._failures += 1
        facts: dict[str, Any] = {"failures": self._failures, "error": error}
        backoff = self.settings.backoff
        if backoff is None:
            return []
        if backoff.trips(self._failures):
            self._is_tripped = True
            return [("flow_tripped", facts)]
        delay = backoff.delay(self._failures, random)
        self._not_before = self._clock(now) + delay
        return [("flow_backed_off", {**facts, "delay": delay})]

    def why_not(self) -> str | None:
        """Why it cannot be run by hand; None if it can."""
        if self.running_since is not None:
            return "it is running; wait for its end"
        if self._is_tripped:
            number = "a failure" if self._failures == 1 else f"{self._failures} failures"
            return f"it has tripped after {number}; call reset({self.id!r}) before"
        return None

    # What somebody does to it.

    def pause(self, now: Moment) -> None:
        """Leave out what is due from now on."""
        self._is_paused = True

    def resume(self, now: Moment) -> None:
        """Go on from now."""
        if self._is_paused:
            self._is_paused = False
            self._leave_out(now)

    def reset(self, now: Moment) -> None:
        """Forget its failures, and go on from now, even if the clock was set back."""
        self._failures = 0
        self._is_tripped = False
        self._not_before = None
        self._handled = self._clock(now)

    def _leave_out(self, now: Moment) -> None:
        """Whatever was due up to now is left out; what was handled once stays so."""
        self._handled = max(self._handled, self._clock(now))

    # How it is.

    def status(self, now: Moment, due: float | None, *, is_stopped: bool) -> FlowStatus:
        """How it is now; `due` is the moment for which its timer is set, if it has one."""
        if due is not None and not self.on_wall_clock:
            due = now.wall_of(due)
        error = self._last_error
        return FlowStatus(
            id=self.id,
            schedule=self._schedule,
            tags=self._timetable.tags,
            state=self._state(now, is_stopped=is_stopped),
            runs=self._runs,
            failures=self._failures,
            skipped=self._skipped,
            last_start=_local(self._last_start),
            last_duration=self._last_duration,
            last_result=self._last_result,
            last_error=self._timetable_error if error is None else error,
            next_due=None if is_stopped else _local(due),
            fail_on=tuple(self.settings.fail_on),
            last_outcome=None if self._last_duration is None else outcome_of(error),
        )

    def _state(self, now: Moment, *, is_stopped: bool) -> FlowState:
        waits = self._not_before is not None and self._clock(now) < self._not_before
        for state, holds in (
            (FlowState.RUNNING, self.running_since is not None),
            (FlowState.TRIPPED, self._is_tripped),
            (FlowState.STOPPED, is_stopped),
            (FlowState.PAUSED, self._is_paused),
            (FlowState.BACKING_OFF, waits),
        ):
            if holds:
                return state
        return FlowState.IDLE


def _local(wall: float | None) -> datetime | None:
    if wall is None:
        return None
    try:
        return datetime.fromtimestamp(wall, UTC).astimezone()
    except (ValueError, OverflowError, OSError):  # beyond the years that there are
        return None
