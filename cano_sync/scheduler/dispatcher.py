"""The dispatcher: looks at the clock, hands over what is due, and sees every run to its end."""

from __future__ import annotations

__all__ = ("Dispatcher",)

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import ExitStack, suppress
from enum import Enum, auto
from queue import SimpleQueue
from random import Random
from typing import Any

from .._base.current import current_token_or_none
from .._base.waiting import interruptible_wait
from .._engine import Pool
from ..errors import ConfigurationError, WorkflowError
from .clock import Alarm, Clock, Mailbox, Moment
from .flow import Flow
from .roster import Roster
from .runs import Run
from .status import FlowStatus

SEATS = 1_000_000
"""Threads are made as they are needed. A flow has one run at a time, and never waits for that of
another, so there is no ceiling but the system's."""
GRACE = 0.005
"""Seconds that cancelled runs get to end by themselves, before they are left behind."""
PATIENCE = 0.1
"""Seconds that the thread of a run that is over gets to come back from users' callbacks."""
STOPPED = "the scheduler was stopped"
STARTS = "start(), start_in_background(), or for a test start_by_hand()"


class _Phase(Enum):
    NEW = auto()
    OPEN = auto()
    CLOSED = auto()


class Dispatcher:
    """The machinery of a scheduler: one clock thread that turns, and the threads of its runs.

    `_lock` guards the roster with its flows, `_running` and `_phase`. No user code runs under it
    (but a user's own clock or time zone, where there is one), nothing is logged and nobody waits.

    The clock thread waits in one place, for its mailbox: for the next due time, the end of a run
    while it is stopping, or whoever puts something there. `stop` takes no lock, for a signal
    handler may have interrupted whoever holds it.
    """

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._roster = Roster(random)
        self._running: dict[Run[Flow], None] = {}  # in the order in which they began
        self._phase = _Phase.NEW
        self._pool = Pool(SEATS, "cano-flow")
        self._mailbox: Mailbox = SimpleQueue()
        self._last_look = Moment(0.0, 0.0)
        # Written by `stop` alone, each by one step, and read by everybody.
        self._is_stopping = False
        self._deadlines: list[float] = []  # on the monotonic clock

    def _now(self) -> Moment:
        """Read under the lock, so that what happens later has the later time."""
        self._last_look = Moment(self._clock.monotonic(), self._clock.wall())
        return self._last_look

    def _now_at_an_end(self) -> Moment:
        """The same, for the end of a run: that takes place, though a user's clock may fail."""
        with suppress(Exception):  # the clock's thread meets it, too, and says so
            self._now()
        return self._last_look

    def _wake(self, needed: bool) -> None:
        # One note is enough: the clock thread takes it first, and looks then.
        if needed and self._mailbox.empty():
            self._mailbox.put(None)

    # The flows.

    def add(self, flow: Flow) -> None:
        """Take on a flow; it is due from now on, or from the start."""
        with self._lock:
            now = self._now()
            if self._is_stopping:
                raise ConfigurationError(
                    f"flow {flow.id!r} cannot be added: the scheduler has been stopped"
                )
            wake = self._roster.add(flow, now)
        self._wake(wake)

    def change(self, id: str, what: Callable[[Flow, Moment], bool]) -> None:
        """Change a flow by `what`, under the lock; it returns whether its next time has changed."""
        with self._lock:
            now = self._now()
            flow = self._roster.find(id)
            wake = what(flow, now) and self._roster.arm(flow, now)
        self._wake(wake)

    def remove(self, id: str) -> None:
        """Drop a flow. A run that is under way goes on."""
        with self._lock:
            self._roster.remove(id)

    def status(self, id: str) -> FlowStatus:
        """How a flow is."""
        with self._lock:
            now = self._now()
            return self._roster.find(id).status(now, is_stopped=self._is_stopping)

    def statuses(self) -> tuple[FlowStatus, ...]:
        """How all are, in the order in which they were added."""
        with self._lock:
            now = self._now()
            return self._roster.statuses(now, is_stopped=self._is_stopping)

    # The clock thread.

    def open(self, call: str) -> None:
        """Begin to live. A scheduler does it once."""
        with self._lock:
            now = self._now()
            if self._phase is not _Phase.NEW:
                how = "runs already" if self._phase is _Phase.OPEN else "has been stopped"
                raise ConfigurationError(
                    f"{call}: this scheduler {how}, and one is started once; make another"
                )
            self._phase = _Phase.OPEN
            self._roster.begin(now)

    def live(self) -> None:
        """Turn and wait, until it is stopped and all runs are over."""
        try:
            while True:
                alarm = self.turn()
                if self._phase is _Phase.CLOSED:
                    return
                self._clock.wait(self._mailbox, alarm)
        finally:
            self._close()

    def turn(self) -> Alarm:
        """One look at the clock: hand over all that is due, or go on with stopping.

        Returns:
            When to look again, if nothing happens before.
        """
        while not self._mailbox.empty():
            self._mailbox.get_nowait()  # nobody else takes
        while not self._is_stopping:
            if not self._serve_one():
                with self._lock:
                    return self._roster.alarm
        return self._stop_all()

    def _serve_one(self) -> bool:
        """Start, or leave out, what is longest overdue; False if nothing is due."""
        run: Run[Flow] | None = None
        running_for: float | None = None
        with self._lock:
            now = self._now()
            taken = self._roster.take(now)
            if taken is None:
                return False
            flow, lag = taken
            if flow.is_over(now):
                return True
            # There are three cases: it can run; it is running, and makes up for this time when it
            # has ended; it is running, and leaves this time out.
            if flow.run is None:
                flow.serve(now)
                run = Run(flow, now.monotonic)
                self._begin(run, now)
                self._roster.arm(flow, now)
            elif not flow.options.catch_up:
                running_for = now.monotonic - flow.run.began
                flow.skip(now)
                self._roster.arm(flow, now)
        if run is not None:
            self._hand_over(run, lag)
        elif running_for is not None:
            flow.tell(("flow_skipped", {"running_for": running_for}))
        return True

    # The runs.

    def trigger(self, id: str) -> Future[Any]:
        """Run a flow now."""
        run: Run[Flow] | None = None
        try:
            with self._lock:
                now = self._now()
                flow = self._roster.find(id)
                problem = self._why_not(flow)
                if problem is not None:
                    raise ConfigurationError(f"trigger(): flow {id!r} cannot run: {problem}")
                run = Run(flow, now.monotonic)
                self._begin(run, now)
            self._hand_over(run, 0.0)
        except BaseException as error:  # Ctrl-C: a run that has begun goes on, else there is none
            if run is not None and run.claim():
                self._ended(run, None, error)
            raise
        return run.future

    def _why_not(self, flow: Flow) -> str | None:
        if self._is_stopping:
            return "the scheduler has been stopped"
        if self._phase is _Phase.NEW:
            return f"the scheduler is not started; call {STARTS} before"
        return flow.why_not()

    def _begin(self, run: Run[Flow], now: Moment) -> None:
        """A run begins; the lock is held."""
        self._running[run] = None  # first, so that `_close` finds it, whatever comes
        run.flow.started(run, now)

    def _hand_over(self, run: Run[Flow], lag: float) -> None:
        try:
            run.flow.tell(("flow_started", {"lag": lag}))
            run.begin(self._pool, self._ended)
        except RuntimeError as error:
            problem = WorkflowError(f"flow {run.flow.id!r}: there is no thread for it: {error}")
            problem.__cause__ = error
            self._ended(run, None, problem)
            if self._pool._is_closed:  # the interpreter is exiting: it waits for what is running
                self.stop(None)

    def _ended(self, run: Run[Flow], result: Any, error: BaseException | None) -> None:
        """A run has ended by itself; on its thread."""
        with self._lock:
            if run.is_over:
                return
            run.is_over = True
        # From here on it has its end, whatever a user's hook or callback raises.
        try:
            self._account(run, result, error)
        finally:
            try:
                run.finish(result, error)
            finally:
                self._forget(run)

    def _account(self, run: Run[Flow], result: Any, error: BaseException | None) -> None:
        """What its end means for its flow."""
        flow = run.flow
        error = flow.verdict(result) if error is None else error
        with self._lock:
            now = self._now_at_an_end()
            end = flow.ended(run, now, result, error)
            is_due_anew, news = flow.fared(now, error, self._roster.random)
            wake = is_due_anew and self._roster.arm(flow, now)
        self._wake(wake)
        flow.tell(end, *news)

    def _forget(self, run: Run[Flow]) -> None:
        """All is done that belongs to this run."""
        with self._lock:
            self._running.pop(run, None)
        run.is_back.set()
        self._wake(self._is_stopping)

    # The end.

    def stop(self, timeout: float | None) -> None:
        """Begin to stop. Takes no lock, and blocks nowhere."""
        try:
            if timeout is not None:
                self._deadlines.append(self._clock.monotonic() + timeout)
        finally:
            self._is_stopping = True
            self._mailbox.put(None)

    def _stop_all(self) -> Alarm:
        """Wait for the runs that are under way, or cancel them when the time is up."""
        deadline = min(tuple(self._deadlines), default=None)
        is_late = deadline is not None and self._clock.monotonic() >= deadline
        if is_late:
            self._leave_all()
        with self._lock:
            if not self._running:
                self._phase = _Phase.CLOSED
        # What is still there when the time is up only has to say that it is over.
        return Alarm() if is_late else Alarm(deadline)

    def _leave_all(self) -> None:
        """Cancel what is running, and wait no longer for what does not listen."""
        with self._lock:
            running = tuple(self._running)
        for run in running:
            run.cancel(STOPPED)
        self._wait_for(running, GRACE)
        patient = time.monotonic() + PATIENCE
        for run in running:
            error = run.cancelled(STOPPED)
            with self._lock:
                is_over, run.is_over = run.is_over, True
                end = None if is_over else run.flow.ended(run, self._now_at_an_end(), None, error)
            if is_over and run.comes_back(patient - time.monotonic()):
                continue
            run.leave()  # its store is closed before anybody hears that it is over
            with ExitStack() as last_first:  # all of it is done, whatever a callback raises
                last_first.callback(self._forget, run)
                if end is not None:
                    last_first.callback(run.finish, None, error)
                    run.flow.tell(end)

    def check_outside(self, call: str) -> None:
        """Refuse what waits for all runs, on the thread of one of them, or in a task of one."""
        token = current_token_or_none()
        with self._lock:
            is_inside = any(run.holds(token) for run in self._running)
        if is_inside or self._pool.owns(threading.current_thread()):
            raise ConfigurationError(
                f"{call} waits for all runs to end, and so for the one that calls it; call stop()"
            )

    def settle(self, timeout: float | None) -> bool:
        """Wait until the runs that are under way are over; were there any?"""
        with self._lock:
            running = tuple(self._running)
        self._wait_for(running, timeout)
        return bool(running)

    def _wait_for(self, running: tuple[Run[Flow], ...], timeout: float | None) -> None:
        with interruptible_wait():
            wait([run.future for run in running], timeout)

    def _close(self) -> None:
        """No run is left, whatever ended the loop, and no thread but the abandoned ones."""
        self._is_stopping = True
        self._leave_all()
        with self._lock:
            self._phase = _Phase.CLOSED
        self._pool.shutdown(wait=True)
