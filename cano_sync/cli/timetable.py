"""`cano-sync schedule`: a scheduler in the foreground, until a signal stops it."""

from __future__ import annotations

__all__ = ("keep", "news")

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial

from .. import abandoned_tasks
from .._base.cancellation import CancellationToken
from .._base.waiting import wait_slice
from ..observe.recording.text import plural
from ..scheduler import FlowState, FlowStatus, Scheduler
from .errors import FAILED, say
from .flows import draw_flows, outcome_of, short
from .leave import Leave
from .signals import Interruptions
from .states import name_of
from .views import Moving, console_on_stderr, is_moving
from .watch import MOMENT

LOOK = 0.5
"""Seconds between two looks at the flows, where nothing can move and lines tell what changed."""


def keep(scheduler: Scheduler, *, patience: float | None, grace: float | None, leave: Leave) -> int:
    """Run it until Ctrl-C or SIGTERM, and then stop it in good order.

    A second signal cancels what still runs, a third ends the process.

    Args:
        scheduler: not started yet.
        patience: how many seconds running flows have to finish after a signal; then they are
            cancelled. None for as long as it takes.
        grace: how many seconds what was left behind may hold the process then; None for little
            after a signal.
        leave: is told when nothing runs any more.

    Returns:
        The exit code: 0 if all flows could finish.
    """
    console = console_on_stderr()
    moves = is_moving(console)
    view = Moving(console, partial(draw_flows, scheduler.list, console)) if moves else nullcontext()
    clock = _Clock(scheduler)
    with Interruptions(clock.ended.cancel, lambda name: scheduler.stop(0)) as signals:
        with view:
            before = _watched(scheduler, clock, LOOK if not moves else None)
            if clock.error is None:
                say(f"stopping, by {signals.name or 'itself'}{_running(before)}")
            scheduler.stop(patience)
            clock.join()
        after = scheduler.list()
        if not moves:
            _told(before, after)
        cut_off = _cut_off(before, after)
        if cut_off:
            say(f"cancelled: {', '.join(cut_off)}{_still_running()}")
        leave.done(by_signal=signals.number is not None, grace=grace)
    if clock.error is not None:
        raise clock.error
    return FAILED if cut_off else 0


class _Clock:
    """The thread that a scheduler runs on; `ended` is cancelled when it has, or shall.

    It is no context manager of the scheduler's own, which would not say that the scheduler was
    stopped by one of its flows, or has failed.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.ended = CancellationToken()  # what a signal handler can cancel, and a thread wait for
        self.error: BaseException | None = None
        self._scheduler = scheduler
        self._thread = threading.Thread(target=self._run, name="cano-schedule", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._scheduler.start()
        except BaseException as error:
            self.error = error
        finally:
            self.ended.cancel()

    def join(self) -> None:
        """Wait for its end; a signal is handled meanwhile."""
        while self._thread.is_alive():
            self._thread.join(wait_slice(None))


def _watched(scheduler: Scheduler, clock: _Clock, look: float | None) -> Sequence[FlowStatus]:
    """The flows at the moment when it shall end; until then lines tell what changes, if wanted."""
    seen: Sequence[FlowStatus] = scheduler.list()
    if look is not None:
        for flow in seen:
            say(f"{flow.id}: {flow.schedule}")
    while not clock.ended.wait(look):
        seen = scheduler.list() if look is None else _told(seen, scheduler.list())
    return scheduler.list() if look is None else _told(seen, scheduler.list())


def _running(flows: Sequence[FlowStatus]) -> str:
    names = [flow.id for flow in flows if flow.state is FlowState.RUNNING]
    return f"; {', '.join(names)} may finish" if names else ""


def _told(before: Sequence[FlowStatus], after: Sequence[FlowStatus]) -> Sequence[FlowStatus]:
    for line in news(before, after):
        say(line)
    return after


def news(
    before: Sequence[FlowStatus], after: Sequence[FlowStatus], now: datetime | None = None
) -> Iterator[str]:
    """What has changed between two looks, a line for each flow and kind of news.

    Args:
        before: the flows at the first look.
        after: at the second.
        now: when that was; None for the present.
    """
    now = datetime.now(UTC) if now is None else now
    known = {flow.id: flow for flow in before}
    for flow in after:
        old = known.pop(flow.id, None)
        if old is None:
            yield f"{flow.id}: new, {flow.schedule}"
            continue
        if (flow.last_duration, flow.last_error) != (old.last_duration, old.last_error):
            yield f"{flow.id}: {ended(flow)}"
        if flow.skipped > old.skipped:
            times = plural(flow.skipped, "time")
            yield f"{flow.id}: skipped, for it is still running ({times} in all)"
        is_new = (flow.state, flow.failures) != (old.state, old.failures)
        if is_new and flow.state not in _USUAL:
            yield f"{flow.id}: {flow.state}{_until(flow, now)}"
    for gone in known:
        yield f"{gone}: removed"


_USUAL = (FlowState.IDLE, FlowState.RUNNING, FlowState.STOPPED)


def _until(flow: FlowStatus, now: datetime) -> str:
    """For how long it backs off, up to the time of its timetable that comes next."""
    if flow.state is not FlowState.BACKING_OFF or flow.next_due is None:
        return ""
    return f", the next run comes in {short(max(0.0, (flow.next_due - now).total_seconds()))}"


def ended(flow: FlowStatus) -> str:
    """How the last run of a flow has ended."""
    if flow.last_duration is None:
        return "has not run"
    if flow.last_error is not None:
        verb, why = outcome_of(flow.last_error)
        row = f", {flow.failures} in a row" if verb == "failed" and flow.failures > 1 else ""
        return f"{verb} after {flow.last_duration:.3f} s{row}" + (f": {why}" if why else "")
    return f"{name_of(flow.last_result)} after {flow.last_duration:.3f} s"


def _cut_off(before: Sequence[FlowStatus], after: Sequence[FlowStatus]) -> list[str]:
    """The flows whose runs were going on when it was to stop, and were cancelled."""
    running = {flow.id for flow in before if flow.state is FlowState.RUNNING}
    return [
        flow.id
        for flow in after
        if flow.id in running and flow.last_error and outcome_of(flow.last_error)[0] == "cancelled"
    ]


def _still_running() -> str:
    """How many threads do not listen: who does is back in a moment."""
    until = time.monotonic() + MOMENT
    while abandoned_tasks() and time.monotonic() < until:
        time.sleep(0.005)  # nothing tells when the last one comes back
    left = abandoned_tasks()
    return f"; {plural(left, 'thread')} still running" if left else ""
