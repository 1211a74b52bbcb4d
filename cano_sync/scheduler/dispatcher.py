"""The dispatcher: looks at the clock, starts what is due, and sees every run to its end."""

from __future__ import annotations

__all__ = ("Dispatcher",)

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from contextlib import ExitStack, suppress
from enum import Enum, auto
from queue import SimpleQueue
from random import Random
from typing import Any

from .._base.current import current_token_or_none
from .._base.text import did_you_mean
from .._base.waiting import interruptible_wait
from .._base.world import world
from .._engine import Pool, check_not_draining, stop_with_drain
from .._model.hooks import listeners_of
from ..errors import ConfigurationError, WorkflowError
from ..workflow import Workflow
from .clock import Alarm, Clock, Mailbox, Moment
from .flow import Event, Flow
from .observer import FlowObserver
from .run import FlowRun
from .status import FlowStatus
from .timers import Timers

_log = logging.getLogger("cano_sync")

MAX_THREADS = 1_000_000
"""Threads are made as they are needed. A flow has one run at a time, and never waits for that of
another, so there is no ceiling but the system's."""
CANCEL_GRACE = 0.005
"""Seconds that cancelled runs get to end by themselves, before they are abandoned."""
CALLBACK_GRACE = 0.1
"""Seconds that the thread of a run that is over gets to return from users' callbacks."""
STOPPED = "the scheduler was stopped"
STARTS = "start(), start_in_background(), or for a test start_by_hand()"


class _Phase(Enum):
    NEW = auto()
    OPEN = auto()
    CLOSED = auto()


class Dispatcher:
    """The one part of a scheduler that acts: on a thread of its own, or on that of its caller.

    `_lock` guards `_flows` and all that changes in a flow, `_timers`, `_running`, `_observers`
    with `_listeners`, and `_phase`. No user code runs under it (but a user's own clock, timetable
    or time zone, where there is one), nothing is logged and nobody waits.

    The thread that is in `run` waits in one place, for the mailbox: for the next due time, the end
    of a run while it is stopping, or whoever puts something there. `stop` takes no lock, for a
    signal handler may have interrupted whoever holds it. `run` joins the threads of the pool.
    """

    def __init__(self, clock: Clock, observers: Iterable[FlowObserver], random: Random) -> None:
        self._clock = clock
        self._random = random
        self._lock = threading.Lock()
        self._observers = tuple(observers)
        self._listeners = listeners_of(self._observers, FlowObserver)
        self._flows: dict[str, Flow] = {}
        self._timers: Timers[Flow] = Timers()
        self._running: dict[FlowRun, None] = {}  # in the order in which they began
        self._phase = _Phase.NEW
        self._pool = Pool(MAX_THREADS, "cano-flow")
        self._mailbox: Mailbox = SimpleQueue()
        self._last_look = Moment(0.0, 0.0)
        self._forget_drain: Callable[[], object] = lambda: None  # until it is opened
        # Written by `stop` alone, each by one step, and read by everybody.
        self._is_stopping = False
        self._deadlines: list[float] = []  # on the monotonic clock

    def _now(self) -> Moment:
        """Read under the lock, so that what happens later has the later time."""
        self._last_look = Moment(self._clock.monotonic(), self._clock.wall())
        return self._last_look

    def _now_or_last(self) -> Moment:
        """For the end of a run, which takes place though a user's clock may fail."""
        with suppress(Exception):  # the dispatcher's thread meets it, too, and raises it
            self._now()
        return self._last_look

    def _wake(self) -> None:
        # One note is enough: the dispatcher's thread takes it first, and looks then.
        if self._mailbox.empty():
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
            if flow.id in self._flows:
                raise ConfigurationError(
                    f"there is a flow {flow.id!r} already; give this one an id of its own, or "
                    "remove() the other"
                )
            self._flows[flow.id] = flow
            flow.begin(now)
            self._set_timer(flow, now)
        self._wake()

    def remove(self, id: str) -> None:
        """Drop a flow; it is due no more. A run that is under way goes on."""
        with self._lock:
            self._timers.cancel(self._find(id))
            del self._flows[id]

    def change(self, id: str, method: Callable[[Flow, Moment], None]) -> None:
        """Change a flow by a method that may lead to another next time."""
        with self._lock:
            now = self._now()
            flow = self._find(id)
            method(flow, now)
            self._set_timer(flow, now)
        self._wake()

    def update_workflows(self, change: Callable[[Workflow[Any]], Workflow[Any]]) -> None:
        """Give each flow the workflow that `change`, which is users' code, makes of its own."""
        with self._lock:
            flows = tuple(self._flows.values())
        changed = [flow.checked(change(flow.workflow)) for flow in flows]
        with self._lock:
            for flow, workflow in zip(flows, changed, strict=True):
                flow.workflow = workflow

    def status(self, id: str) -> FlowStatus:
        """How a flow is."""
        with self._lock:
            return self._status(self._find(id), self._now())

    def statuses(self) -> tuple[FlowStatus, ...]:
        """How all are, in the order in which they were added."""
        with self._lock:
            now = self._now()
            return tuple([self._status(flow, now) for flow in self._flows.values()])

    def _status(self, flow: Flow, now: Moment) -> FlowStatus:
        return flow.status(now, self._timers.get(flow), is_stopped=self._is_stopping)

    def _find(self, id: str) -> Flow:
        flow = self._flows.get(id)
        if flow is None:
            raise ConfigurationError(f"there is no flow {id!r}{_known(id, self._flows)}")
        return flow

    def _set_timer(self, flow: Flow, now: Moment) -> None:
        """Set a flow's timer for its next time, if it has one."""
        self._timers.cancel(flow)
        if self._phase is not _Phase.NEW and self._flows.get(flow.id) is flow:
            at = flow.next_time(now, self._random)
            if at is not None:
                self._timers.set(flow, at, on_wall_clock=flow.on_wall_clock)

    # The observers.

    @property
    def observers(self) -> tuple[FlowObserver, ...]:
        """Those that hear what the flows do."""
        return self._observers

    def add_observer(self, observer: FlowObserver) -> None:
        """One more of them."""
        with self._lock:
            self._observers = (*self._observers, observer)
            self._listeners = listeners_of(self._observers, FlowObserver)

    def _emit(self, flow: Flow, *events: Event) -> None:
        """Call the hooks, whatever they raise.

        Raises:
            KeyboardInterrupt: it came meanwhile; all hooks have been called by then.
        """
        interrupt: KeyboardInterrupt | None = None
        for hook, facts in events:
            for observer, call in self._listeners.get(hook, ()):
                try:
                    call(flow=flow.id, **facts)
                except KeyboardInterrupt as error:
                    interrupt = error
                except BaseException:  # as for the events of a run, it is the observer's own loss
                    _log.exception("flow %r: %s of the observer %r raised", flow.id, hook, observer)
        if interrupt is not None:
            raise interrupt

    # Looking at the clock.

    def open(self, call: str) -> None:
        """From now on flows are due, until the process is drained. A scheduler does it once."""
        check_not_draining(call)
        with self._lock:
            now = self._now()
            if self._phase is not _Phase.NEW:
                how = "runs already" if self._phase is _Phase.OPEN else "has been stopped"
                raise ConfigurationError(
                    f"{call}: this scheduler {how}, and one is started once; make another"
                )
            self._phase = _Phase.OPEN
            for flow in self._flows.values():
                flow.begin(now)
                self._set_timer(flow, now)
        self._forget_drain = stop_with_drain(self.stop)

    def run(self) -> None:
        """Start what is due and wait, until it is stopped and all runs are over."""
        try:
            while True:
                alarm = self.run_pending()
                if self._phase is _Phase.CLOSED:
                    return
                self._clock.wait(self._mailbox, alarm)
        finally:
            self._close()

    def run_pending(self) -> Alarm:
        """One look at the clock: start all that is due, or go on with stopping.

        Returns:
            When to look again, if nothing happens before.
        """
        while not self._mailbox.empty():
            self._mailbox.get_nowait()  # nobody else takes
        while not self._is_stopping:
            if not self._run_next():
                with self._lock:
                    return self._timers.alarm
        return self._go_on_stopping()

    def _run_next(self) -> bool:
        """Start, or leave out, what is longest overdue; False if nothing is due."""
        run: FlowRun | None = None
        skipped: Event | None = None
        try:
            with self._lock:
                now = self._now()
                due = self._timers.pop_due(now)
                if due is None:
                    return False
                flow, lag = due
                # There are four cases: its timetable has ended; it can run; it is running, and
                # leaves this time out; it is running, and makes up for this time when that run
                # has ended.
                if flow.is_over(now):
                    return True
                if flow.running_since is None:
                    run = FlowRun(flow)
                    self._begin(run, now, is_due=True)
                    self._set_timer(flow, now)
                elif not flow.settings.catch_up:
                    skipped = flow.skip(now)
                    self._set_timer(flow, now)
            if run is not None:
                self._hand_over(run, lag)
            elif skipped is not None:
                self._emit(flow, skipped)
        except BaseException as error:
            self._call_off(run, error)
            raise
        return True

    # The runs.

    def trigger(self, id: str) -> Future[Any]:
        """Run a flow now."""
        run: FlowRun | None = None
        try:
            with self._lock:
                now = self._now()
                flow = self._find(id)
                problem = self._why_not(flow)
                if problem is not None:
                    raise ConfigurationError(f"trigger(): flow {id!r} cannot run: {problem}")
                run = FlowRun(flow)
                self._begin(run, now, is_due=False)
            self._hand_over(run, 0.0)
        except BaseException as error:
            self._call_off(run, error)
            raise
        return run.future

    def _call_off(self, run: FlowRun | None, error: BaseException) -> None:
        """After Ctrl-C: a run that has begun goes on, one that has not ends with the error."""
        if run is not None and run.claim():
            self._on_end(run, None, error)

    def _why_not(self, flow: Flow) -> str | None:
        if self._is_stopping:
            return "the scheduler has been stopped"
        if self._phase is _Phase.NEW:
            return f"the scheduler is not started; call {STARTS} before"
        return flow.why_not()

    def _begin(self, run: FlowRun, now: Moment, *, is_due: bool) -> None:
        """A run begins; the lock is held."""
        self._running[run] = None  # first, so that `_close` finds it, whatever comes
        run.flow.start(now, is_due=is_due)

    def _hand_over(self, run: FlowRun, lag: float) -> None:
        """Give it a thread."""
        try:
            self._emit(run.flow, ("flow_started", {"lag": lag}))
            run.begin(self._pool, self._on_end)
        except RuntimeError as error:
            problem = WorkflowError(f"flow {run.flow.id!r}: there is no thread for it: {error}")
            problem.__cause__ = error
            self._on_end(run, None, problem)
            if self._pool.is_closed:  # the interpreter is exiting: it waits for what is running
                self.stop(None)

    def _on_end(self, run: FlowRun, result: Any, error: BaseException | None) -> None:
        """A run has ended by itself; on its thread."""
        with self._lock:
            if run.is_over:
                return
            run.is_over = True
        # From here on it has its end, whatever a user's hook or callback raises.
        try:
            self._account(run.flow, result, error)
        finally:
            try:
                run.finish(result, error)
            finally:
                self._forget(run)

    def _account(self, flow: Flow, result: Any, error: BaseException | None) -> None:
        """What the end of a run means for its flow."""
        error = flow.problem_with(result) if error is None else error
        with self._lock:
            now = self._now_or_last()
            is_due_anew, events = flow.finish(now, result, error, self._random)
            # One with `catch_up` that was due meanwhile has no timer.
            is_due_anew = is_due_anew or self._timers.get(flow) is None
            if is_due_anew:
                self._set_timer(flow, now)
        if is_due_anew:
            self._wake()
        self._emit(flow, *events)

    def _forget(self, run: FlowRun) -> None:
        """All is done that belongs to this run."""
        with self._lock:
            self._running.pop(run, None)
        run.returned.set()
        if self._is_stopping:
            self._wake()

    # The end.

    def stop(self, timeout: float | None) -> None:
        """Begin to stop. Takes no lock, and blocks nowhere."""
        try:
            if timeout is not None:
                self._deadlines.append(self._clock.monotonic() + timeout)
        finally:
            self._is_stopping = True
            self._mailbox.put(None)

    def _go_on_stopping(self) -> Alarm:
        """Wait for the runs that are under way, or cancel them when the time is up."""
        deadline = min(tuple(self._deadlines), default=None)
        is_late = deadline is not None and self._clock.monotonic() >= deadline
        if is_late:
            self._cancel_all()
        with self._lock:
            if not self._running:
                self._phase = _Phase.CLOSED
        # What is still there when the time is up only has to say that it is over.
        return Alarm() if is_late else Alarm(deadline)

    def _cancel_all(self) -> None:
        """Cancel what is running, and abandon what does not listen."""
        with self._lock:
            running = tuple(self._running)
        for run in running:
            run.cancel(STOPPED)
        self._wait_for(running, CANCEL_GRACE)
        limit = world.monotonic() + CALLBACK_GRACE
        for run in running:
            error = run.cancelled_error(STOPPED)
            events: list[Event] = []
            with self._lock:
                is_over, run.is_over = run.is_over, True
                if not is_over:
                    now = self._now_or_last()
                    _, events = run.flow.finish(now, None, error, self._random)
            if is_over and run.wait_returned(limit - world.monotonic()):
                continue
            run.abandon()  # its store is closed before anybody hears that it is over
            with ExitStack() as last_first:  # all of it is done, whatever a callback raises
                last_first.callback(self._forget, run)
                if not is_over:
                    last_first.callback(run.finish, None, error)
                    self._emit(run.flow, *events)

    def _close(self) -> None:
        """No run is left, whatever ended the loop, and no thread but the abandoned ones."""
        self._is_stopping = True
        self._cancel_all()
        with self._lock:
            self._phase = _Phase.CLOSED
        self._forget_drain()
        self._pool.shutdown(wait=True)

    # Waiting for runs.

    def check_outside(self, call: str) -> None:
        """Refuse what waits for all runs, on the thread of one of them, or in a task of one."""
        token = current_token_or_none()
        with self._lock:
            is_inside = any(run.is_current(token) for run in self._running)
        if is_inside:
            raise ConfigurationError(
                f"{call} waits for all runs to end, and so for the one that calls it; call stop()"
            )

    def settle(self, timeout: float | None) -> bool:
        """Wait until the runs that are under way are over; were there any?"""
        with self._lock:
            running = tuple(self._running)
        self._wait_for(running, timeout)
        return bool(running)

    def _wait_for(self, running: tuple[FlowRun, ...], timeout: float | None) -> None:
        with interruptible_wait():
            wait([run.future for run in running], timeout)


def _known(id: Any, ids: Iterable[str]) -> str:
    """What a message adds about a wrong id; it does not list all of a thousand."""
    known = sorted(ids)
    text = ", ".join(map(repr, known[:10])) or "none"
    more = f" and {len(known) - 10} more" if len(known) > 10 else ""
    return did_you_mean(str(id), known) or f"; there are {text}{more}"
