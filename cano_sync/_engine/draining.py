"""Draining: the end of all runs of the process, in time, each accounted for once."""

from __future__ import annotations

__all__ = (
    "Drain",
    "Running",
    "check_not_draining",
    "drain",
    "draining",
    "drains",
    "running",
    "stop_with_drain",
)

import logging
import os
import threading
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakMethod

from .._base.cancellation import CancellationToken, Cancelled
from .._base.current import current_token_or_none
from .._base.durations import Duration, seconds
from .._base.waiting import Wakeup, interruptible_wait, wait_first
from .._base.world import world
from ..errors import ConfigurationError, DrainingError
from .jobs import left_behind, wait_returned
from .report import AbandonedRun, DeafTask, DrainReport

_log = logging.getLogger("cano_sync")

CANCEL_GRACE = 0.04
"""Seconds that cancelled runs get to end by themselves, before they are named as abandoned."""
ENDING = "the process is ending"


class Running(Protocol):
    """A run, as a drain sees it. Its methods are called on another thread than its own."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def token(self) -> CancellationToken | None:
        """The token of its tasks, as soon as there is one."""
        ...

    def call_off(self, reason: str) -> None:
        """Cancel it, if it has its token; if not, it will ask."""
        ...

    def where(self, seconds: float) -> tuple[Any, tuple[DeafTask, ...]]:
        """The state that it is in, and the task that its own thread is with."""
        ...


# The runs of this process that have not ended, each with when it began (monotonic clock); and its
# drain, a list of one once that has begun. No lock guards them: each step is one operation on a
# dict or a list. That no run slips through follows from the order. A run is first registered, and
# then looks whether there is a drain; `drain()` first puts itself into the list, and then looks
# who is registered. So either the drain finds the run, or the run finds the drain, and asks it.
# The same holds for the run's token: first it is set, then the run looks.
running: dict[Running, float] = {}
drains: list[Drain] = []

_making = threading.Lock()  # guards that there is one drain only
_stops: dict[int, WeakMethod[Callable[[float], object]]] = {}  # what stops schedulers, by number
_numbers = iter(range(1 << 62))


class Drain:
    """The one drain of the process.

    `_lock` guards all that follows it in `__init__`. It is held while the runs are looked up, from
    before anybody can see the drain: who asks waits until that is done. No user code runs under it.
    Whoever calls `drain` goes through the same steps: the one who is there first does what is to be
    done.
    """

    def __init__(self, end: float) -> None:
        self._began = world.monotonic()
        self._lock = threading.RLock()  # re-entrant for a signal handler that cancels a run
        self._waiting: list[Wakeup] = []  # of those who wait for the runs
        self._end = end  # of the grace, on the monotonic clock
        self._cancelled_until: float | None = None  # set by who cancels what is left
        self._open: dict[Running, float] = {}
        self._ended: dict[Running, tuple[float, bool]] = {}  # and whether by a cancellation
        self._tokens: set[CancellationToken] = set()  # of the open ones
        self._report: DrainReport | None = None

    def begin(self) -> None:
        """Refuse new runs from now on, and account for those that there are."""
        with interruptible_wait(), self._lock:
            drains.append(self)
            self._open = running.copy()
            tokens = [run.token for run in self._open]
            self._tokens.update([token for token in tokens if token is not None])

    def hasten(self, end: float) -> None:
        """The grace ends then, if that is earlier."""
        with interruptible_wait(), self._lock:
            self._end = min(end, self._end)
        self._wake()

    def _wake(self) -> None:
        for waiting in tuple(self._waiting):
            waiting.set()

    # For runs, on their threads.

    def admit(self, run: Running, outer: CancellationToken | None, state: Any) -> None:
        """Let a run begin that was there before, or that belongs to one that is still running.

        Args:
            run: the run.
            outer: the token of the task that begins it, if one does.
            state: where it begins.

        Raises:
            DrainingError: it is a new one.
            Cancelled: it belongs to one that was cancelled, and for which nobody waits any more.
        """
        with interruptible_wait(), self._lock:
            if run in self._open:
                return
            if self._report is None and outer is not None and self._is_inside(outer):
                self._open[run] = world.monotonic()
                return
        if outer is not None and outer.cancelled:
            raise Cancelled(outer.reason)
        raise DrainingError(
            "the process is ending (drain() was called), and no run begins any more: give the "
            "work to another process, as by answering 503, or leaving the message in its queue; "
            "draining() says so before",
            state=state,
        )

    def _is_inside(self, token: CancellationToken) -> bool:
        """Whether a task with this token belongs to a run that is open. The lock is held."""
        return is_below(token, self._tokens)

    def hold(self, run: Running) -> None:
        """A run has its token now. It may be late, and be cancelled at once."""
        token = run.token
        with interruptible_wait(), self._lock:
            if token is not None and run in self._open:
                self._tokens.add(token)
            is_late = self._cancelled_until is not None
        if is_late:
            run.call_off(ENDING)

    def ended(self, run: Running, *, is_cancelled: bool) -> None:
        """A run has ended."""
        with interruptible_wait(), self._lock:
            began = self._open.pop(run, None)
            # None: it was refused, or had ended before the runs were looked up.
            if began is None or self._report is not None:
                return
            self._ended[run] = began, is_cancelled
            token = run.token
            if token is not None:
                self._tokens.discard(token)
            is_last = not self._open
        if is_last:
            self._wake()

    # For those who call drain().

    def see_through(self) -> DrainReport:
        """Wait for the runs, cancel what is left when the time is up, and report."""
        self._wait_until_ended(None)
        self._cancel_rest()
        end = self._cancelled_until
        if end is not None:
            self._wait_until_ended(end)
            with interruptible_wait(), self._lock:
                cancelled = [run.id for run, (_, by_us) in self._ended.items() if by_us]
            wait_returned(cancelled, end)
        return self._close()

    def _wait_until_ended(self, end: float | None) -> None:
        """Wait until no run is open, or the time is up: that of the grace, or another."""
        while True:
            woken = Wakeup()
            with interruptible_wait(), self._lock:
                limit = self._end if end is None else end
                if not self._open or self._report is not None or world.monotonic() >= limit:
                    return
                self._waiting.append(woken)
            try:
                wait_first(woken, None, limit)
            finally:
                with interruptible_wait(), self._lock:
                    self._waiting.remove(woken)

    def _cancel_rest(self) -> None:
        with interruptible_wait(), self._lock:
            if not self._open or self._cancelled_until is not None:
                return
            # First said, then cancelled: a run that has no token yet will ask, by `hold`.
            self._cancelled_until = world.monotonic() + CANCEL_GRACE
            rest = tuple(self._open)
        for run in rest:
            run.call_off(ENDING)

    def _close(self) -> DrainReport:
        with interruptible_wait(), self._lock:
            if self._report is None:
                self._report = self._account()
                self._ended.clear()  # they keep their stores alive
            report = self._report
        self._wake()
        return report

    def _account(self) -> DrainReport:
        """Each run once. The lock is held."""
        now = world.monotonic()
        left: dict[str, list[DeafTask]] = {}
        for run_id, task in left_behind():
            left.setdefault(run_id, []).append(task)
        abandoned: list[AbandonedRun] = []
        cancelled = 0
        for run, began in self._open.items():
            state, tasks = run.where(now - began)
            everything = (*tasks, *left.get(run.id, ()))
            abandoned.append(AbandonedRun(run.id, state, now - began, everything))
        for run, (began, by_us) in self._ended.items():
            deaf = left.get(run.id) if by_us else None
            if deaf:
                state, _ = run.where(0.0)
                abandoned.append(AbandonedRun(run.id, state, now - began, tuple(deaf)))
            else:
                cancelled += by_us
        return DrainReport(
            finished=len(self._open) + len(self._ended) - cancelled - len(abandoned),
            cancelled=cancelled,
            abandoned=tuple(abandoned),
            seconds=now - self._began,
        )


def is_below(token: CancellationToken, others: set[CancellationToken]) -> bool:
    """Whether a token is one of these, or below one of them."""
    tokens = [token]
    while tokens:
        token = tokens.pop()
        if token in others:
            return True
        tokens += token._parents
    return False


def drain(grace: Duration = 20.0) -> DrainReport:
    """End all runs of this process in time: for what is called when it shall end.

    From the first moment on, new runs are refused with `DrainingError`, and schedulers stop. Runs
    that are under way go on to their end, with all that they begin in their tasks. What is still
    running after `grace` seconds is cancelled; what does not listen to that is named in the
    report. Nothing is kept of a run that did not finish: begin it again, from its beginning, in
    another process. (Durable runs, once there are such, will be left so that they can go on.)

    It returns as soon as all runs have ended, and at most 0.1 s after the grace, whatever their
    tasks are doing. It cannot be taken back; a process that is forked afterwards is not draining.

    Safe from any thread, and from several at once: all get the same report, and the shortest
    grace counts. In a signal handler, use `drain_on_signals`, or start a thread that calls this.

    Args:
        grace: seconds (or a `timedelta`) for which running runs may go on; 0 cancels them now.

    Returns:
        How many have finished, were cancelled, and were abandoned: each run once.

    Raises:
        ConfigurationError: the grace is no duration; or it is called in a task, which would wait
            for itself.

    >>> print(drain(grace=5))  # doctest: +SKIP
    drained in 0.25 s: of 4 runs, 3 finished, 1 cancelled, 0 abandoned
    """
    length = seconds(grace, "drain()'s grace")
    _check_outside()
    end = world.monotonic() + length
    with interruptible_wait(), _making:
        current = drains[0] if drains else None
        if current is None:
            current = Drain(end)
            current.begin()
            held = world.holdings()
            if held is not None:  # of a simulation, which ends; the process does not
                held.undo.append(drains.clear)
    current.hasten(end)
    stop_schedulers(length)
    return current.see_through()


def draining() -> bool:
    """Whether this process is ending, so that no new run begins: for health checks.

    Safe from any thread and signal handler; it costs nothing.

    >>> draining()
    False
    """
    return bool(drains)


def _check_outside() -> None:
    token = current_token_or_none()
    if token is None:
        return
    tokens = {run.token for run in running.copy()}
    if is_below(token, {each for each in tokens if each is not None}):
        raise ConfigurationError(
            "drain() waits for all runs to end, and so for the one whose task calls it; call it "
            "outside of tasks: threading.Thread(target=cano_sync.drain).start() in a context of "
            "its own"
        )


# Schedulers, which the core does not know.


def check_not_draining(what: str) -> None:
    """Refuse to start something when the process is ending.

    Raises:
        DrainingError: it is.
    """
    if drains:
        raise DrainingError(f"{what}: the process is ending (drain() was called)")


def stop_with_drain(stop: Callable[[float], object]) -> Callable[[], None]:
    """Have a method called when the process is drained, with the seconds of the grace.

    Kept weakly: for as long as its object lives. It is called on the thread that drains; it must
    not block. It may be called twice. Where a drain has begun, it is called now.

    Returns:
        A function that takes it out again.
    """
    number = next(_numbers)
    _stops[number] = WeakMethod(stop, lambda _: _stops.pop(number, None))
    if drains:  # first registered, then looked: as a run does
        stop(0.0)

    def remove() -> None:
        _stops.pop(number, None)

    return remove


def stop_schedulers(grace: float) -> None:
    """Call what was given to `stop_with_drain`."""
    for reference in tuple(_stops.values()):
        stop = reference()
        if stop is None:
            continue
        try:
            stop(grace)
        except Exception:
            _log.exception("what stops with the drain of the process raised")


def _forget() -> None:
    """In a forked child: it is not draining, and the parent's runs and schedulers are not here."""
    global _making
    _making = threading.Lock()
    running.clear()
    drains.clear()
    _stops.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
