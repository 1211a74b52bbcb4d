"""One flow: what it runs, when it is due, and how it has fared."""

from __future__ import annotations

__all__ = ("Flow",)

import logging
import math
from collections.abc import Hashable, Iterable
from datetime import UTC, datetime
from random import Random
from typing import Any, TypeAlias

from .._model.hooks import Observer, listeners_of
from ..errors import WorkflowError
from ..workflow import Workflow
from .agenda import Entry
from .clock import Moment
from .options import Options
from .runs import Run, is_called_off
from .status import FlowState, FlowStatus
from .timetable import Timetable

_log = logging.getLogger("cano_sync")

RunEvents: TypeAlias = tuple[str, dict[str, Any]]
"""A hook, and what it is told."""


class Flow:
    """Passive: the dispatcher's lock guards all that changes. `perform`, `verdict` and `tell` run
    users' code, and are called without it.

    `served` is the last moment on the flow's clock for which it has done its duty: whatever is
    due up to then has run, or is left out. What follows from it is all there is to missed times:
    without `catch_up` it moves on to the present with each run, with it from due time to due time.
    """

    def __init__(
        self,
        id: str,
        workflow: Workflow[Any],
        initial_state: Any,
        timetable: Timetable | None,
        options: Options,
        *,
        observers: Iterable[Observer] = (),
        tags: frozenset[Hashable] = frozenset(),
    ) -> None:
        self.id = id
        self.timetable = timetable
        self.options = options
        self.tags = tags
        self._workflow = workflow
        self._initial_state = initial_state
        # Each observer once, though it may be attached to the scheduler and to the workflow.
        everybody = (*observers, *workflow.description.observers)
        self._heard = listeners_of({_identity(each): each for each in everybody}.values())

        self.entry: Entry[Flow] | None = None  # in the agenda
        self.run: Run[Flow] | None = None  # under way
        self.is_removed = False
        self.is_paused = False
        self.is_tripped = False
        self.failures = 0
        self._served = 0.0
        self._due = 0.0  # of the entry, without its jitter
        self._not_before: float | None = None  # on the flow's clock, while it backs off
        self._runs = 0
        self._skipped = 0
        self._last_start: float | None = None  # on the wall clock
        self._last_duration: float | None = None
        self._last_result: Any = None
        self._last_error: BaseException | None = None
        self._broken: Exception | None = None  # what its timetable has failed with

    # What a run does, on its own thread, and who hears of it: no lock is held.

    def perform(self) -> Any:
        """Run the workflow once, in a store of the flow's; return the exit state."""
        return self._workflow.orchestrate(self._initial_state, store=self.options.store())

    def verdict(self, result: Any) -> WorkflowError | None:
        """What is wrong with a run that has come to this exit state; None for nothing."""
        text = self.options.fail_on.get(result)
        if text is None:
            return None
        return WorkflowError(f"the run came to {text}, which fail_on names", state=result)

    def tell(self, *news: RunEvents) -> None:
        """Tell whoever listens, whatever they do.

        Raises:
            KeyboardInterrupt: it came while one heard this; all has been told by then.
        """
        interrupt: KeyboardInterrupt | None = None
        for hook, facts in news:
            for observer, listener in self._heard.get(hook, ()):
                try:
                    listener(flow=self.id, **facts)
                except KeyboardInterrupt as error:
                    interrupt = error
                except BaseException:  # as for what is told of a run, it is the observer's own loss
                    _log.exception("flow %r: %s of the observer %r raised", self.id, hook, observer)
        if interrupt is not None:
            raise interrupt

    # When it is due.

    @property
    def on_wall_clock(self) -> bool:
        """Which clock it lives by."""
        return self.timetable is not None and self.timetable.on_wall_clock

    def _clock(self, now: Moment) -> float:
        return now.wall if self.on_wall_clock else now.monotonic

    def begin(self, now: Moment) -> None:
        """The scheduler starts, or has started already when the flow is added."""
        if self.timetable is not None:
            self.timetable.begin(self._clock(now))
        self._served = self._clock(now)

    def next_time(self, now: Moment, random: Random) -> float | None:
        """When to run it next, on its clock; None for not at all."""
        timetable = self.timetable
        if timetable is None or self.is_paused or self.is_tripped:
            return None
        self._broken = None
        served, earliest = self._served, self._not_before
        if earliest is not None and not self.options.catch_up:
            served = max(served, math.nextafter(earliest, -math.inf))
        try:
            due = timetable.after(served)
        except Exception as error:  # out of a user's own time zone: its flow is due no more
            self._broken = error
            return None
        if due is None:
            return None
        if timetable.until is not None:
            wall = due if self.on_wall_clock else now.wall_of(due)
            if wall > timetable.until:
                return None
        self._due = due
        at = due + random.uniform(0.0, self.options.jitter) if self.options.jitter else due
        return at if earliest is None else max(at, earliest)

    def is_over(self, now: Moment) -> bool:
        """Whether it has come so late that its timetable has ended meanwhile."""
        until = None if self.timetable is None else self.timetable.until
        return until is not None and now.wall > until + self.options.jitter

    def serve(self, now: Moment) -> None:
        """It runs now for the time that was due, or leaves it out."""
        present = self._clock(now)
        self._served = self._due if self.options.catch_up else max(self._due, present)

    def skip(self, now: Moment) -> None:
        """It is still running, and leaves this time out."""
        self._skipped += 1
        self.serve(now)

    # How it fares.

    def started(self, run: Run[Flow], now: Moment) -> None:
        """A run begins."""
        self.run = run
        self._runs += 1
        self._last_start = now.wall

    def ended(
        self, run: Run[Flow], now: Moment, result: Any, error: BaseException | None
    ) -> RunEvents:
        """The run that is under way is over; returns the news of it."""
        self.run = None
        self._last_duration = duration = now.monotonic - run.began
        self._last_result, self._last_error = result, error
        return "flow_finished", {"state": result, "duration": duration, "error": error}

    def fared(
        self, now: Moment, error: BaseException | None, random: Random
    ) -> tuple[bool, Iterable[RunEvents]]:
        """Count how a run went; returns whether the next time is another now, and the news."""
        is_due_anew = self.entry is None
        if error is None:
            return self.succeeded(now) or is_due_anew, ()
        if is_called_off(error):  # that is no fault of the flow's
            return is_due_anew, ()
        delay = self.failed(now, random)
        facts: dict[str, Any] = {"failures": self.failures, "error": error}
        if self.is_tripped:
            return True, [("flow_tripped", facts)]
        if delay is None:
            return is_due_anew, ()
        return True, [("flow_backed_off", {**facts, "delay": delay})]

    def succeeded(self, now: Moment) -> bool:
        """It ended well; returns whether that ends a time of backing off."""
        self.failures = 0
        if self._not_before is None:
            return False
        self._not_before = None
        if not self.options.catch_up:
            self._leave_out(now)
        return True

    def failed(self, now: Moment, random: Random) -> float | None:
        """It failed; returns for how long it backs off, if it does. It may have tripped."""
        self.failures += 1
        backoff = self.options.backoff
        if backoff is None:
            return None
        if backoff.trips(self.failures):
            self.is_tripped = True
            return None
        delay = backoff.delay(self.failures, random)
        self._not_before = self._clock(now) + delay
        return delay

    def why_not(self) -> str | None:
        """Why it cannot be run by hand; None if it can."""
        if self.run is not None:
            return "it is running; wait for its end"
        if self.is_tripped:
            number = "a failure" if self.failures == 1 else f"{self.failures} failures"
            return f"it has tripped after {number}; call reset({self.id!r}) before"
        return None

    # What somebody does to it; each says whether its next time is another now.

    def pause(self, now: Moment) -> bool:
        """Leave out what comes."""
        self.is_paused = True
        return True

    def resume(self, now: Moment) -> bool:
        """Go on from now."""
        if not self.is_paused:
            return False
        self.is_paused = False
        self._leave_out(now)
        return True

    def reset(self, now: Moment) -> bool:
        """Forget its failures, and go on from now, even if the clock was set back."""
        self.failures = 0
        self.is_tripped = False
        self._not_before = None
        self._served = self._clock(now)
        return True

    def _leave_out(self, now: Moment) -> None:
        """Whatever was due up to now is left out; what was served once stays so."""
        self._served = max(self._served, self._clock(now))

    def status(self, now: Moment, *, is_stopped: bool) -> FlowStatus:
        """How it is now."""
        due = None
        if self.entry is not None:
            due = self.entry.at if self.on_wall_clock else now.wall_of(self.entry.at)
        return FlowStatus(
            self.id,
            "by hand" if self.timetable is None else self.timetable.words,
            self.tags,
            self._state(now, is_stopped=is_stopped),
            self._runs,
            self.failures,
            self._skipped,
            _local(self._last_start),
            self._last_duration,
            self._last_result,
            self._broken if self._last_error is None else self._last_error,
            None if is_stopped else _local(due),
            tuple(self.options.fail_on),
        )

    def _state(self, now: Moment, *, is_stopped: bool) -> FlowState:
        waits = self._not_before is not None and self._clock(now) < self._not_before
        for state, holds in (
            (FlowState.RUNNING, self.run is not None),
            (FlowState.TRIPPED, self.is_tripped),
            (FlowState.STOPPED, is_stopped),
            (FlowState.PAUSED, self.is_paused),
            (FlowState.BACKING_OFF, waits),
        ):
            if holds:
                return state
        return FlowState.IDLE

    def hear(self, observer: Observer) -> bool:
        """Tell one more observer, of its runs and of itself; before the scheduler starts.

        One of its kind that is there already is enough: that of the scheduler serves the runs,
        too.
        """
        kind, attached = type(observer), self._workflow.description.observers
        told = [each for listeners in self._heard.values() for each, _ in listeners]
        known = next((each for each in told if type(each) is kind), observer)
        if not any(type(each) is kind for each in attached):
            self._workflow = self._workflow.with_observer(known)
            everybody = {_identity(each): each for each in (*told, *attached, known)}
            self._heard = listeners_of(everybody.values())
        return False  # its next time is the same


def _identity(observer: Observer) -> int:
    """Which object it is: observers may be equal, and not hashable."""
    return id(observer)


def _local(wall: float | None) -> datetime | None:
    if wall is None:
        return None
    try:
        return datetime.fromtimestamp(wall, UTC).astimezone()
    except (ValueError, OverflowError, OSError):  # beyond the years that there are
        return None
