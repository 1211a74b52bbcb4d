"""`cano-sync schedule`: a scheduler in the foreground, until a signal stops it."""

from __future__ import annotations

__all__ = ("serve",)

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from .. import abandoned_tasks, wait_for_abandoned
from .._base.cancellation import CancellationToken
from ..observe.recording.text import plural
from ..scheduler import FlowState, FlowStatus, LoggingFlowObserver, Scheduler
from .errors import FAILED, say
from .flows import draw_flows
from .live import console_on_stderr, is_moving, live_view
from .log import lines
from .process_exit import ProcessExit
from .run import MOMENT
from .signals import interruptions

LOOK = 0.2
"""Seconds after which it is looked whether a flow has stopped the scheduler."""


def serve(
    scheduler: Scheduler,
    *,
    stop_timeout: float | None,
    grace: float | None,
    is_logged: bool,
    process_exit: ProcessExit,
) -> int:
    """Run it until Ctrl-C or SIGTERM, and then stop it in good order.

    A second signal cancels what still runs, a third ends the process.

    Args:
        scheduler: not started yet.
        stop_timeout: how many seconds running flows have to finish after a signal; None for as
            long as it takes.
        grace: how many seconds abandoned tasks may hold the process then.
        is_logged: whether a log on stderr has the lines that are written where nothing can move.
        process_exit: how the process will end.

    Returns:
        The exit code: 0 if all flows could finish.
    """
    view = _view(scheduler, is_logged)
    stopping = CancellationToken()  # what a signal handler can cancel, and a thread wait for
    with interruptions(stopping.cancel, lambda name: scheduler.stop(0)) as signals:
        with view:
            background = scheduler.start_in_background(stop_timeout=stop_timeout)
            while background.is_running and not stopping.wait(LOOK):
                pass
            before = scheduler.list()
            say(f"stopping, by {signals.name or 'itself'}{_running(before)}")
            background.close()
        cancelled = _cancelled(before, scheduler.list())
        if cancelled:
            say(f"cancelled: {', '.join(cancelled)}{_abandoned()}")
        process_exit.done(by_signal=signals.number is not None, grace=grace)
    return FAILED if cancelled else 0


def _view(scheduler: Scheduler, is_logged: bool) -> AbstractContextManager[object]:
    """A table of the flows; or, where nothing can move, lines that say what becomes of them."""
    console = console_on_stderr()
    if is_moving(console):
        return live_view(console, partial(draw_flows, scheduler.list, console))
    for flow in scheduler.list():
        say(f"{flow.id}: {flow.schedule}")
    if not is_logged:
        scheduler.add_observer(LoggingFlowObserver(lines(logging.INFO), tracebacks="none"))
    return nullcontext()


def _running(flows: Sequence[FlowStatus]) -> str:
    names = [flow.id for flow in flows if flow.state is FlowState.RUNNING]
    return f"; {', '.join(names)} may finish" if names else ""


def _cancelled(before: Sequence[FlowStatus], after: Sequence[FlowStatus]) -> list[str]:
    """The flows whose runs were going on when it was to stop, and were cancelled."""
    running = {flow.id for flow in before if flow.state is FlowState.RUNNING}
    return [flow.id for flow in after if flow.id in running and flow.last_outcome == "cancelled"]


def _abandoned() -> str:
    """How many threads do not listen: one that does returns in a moment."""
    if wait_for_abandoned(MOMENT):
        return ""
    return f"; {plural(abandoned_tasks(), 'thread')} still running"
