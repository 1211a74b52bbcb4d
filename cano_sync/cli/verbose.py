"""What runs do as lines of log on stderr: `-v`, and `--live` where nothing can move."""

from __future__ import annotations

__all__ = ("attach", "hear_flows", "hear_runs", "lines_on_stderr", "logs")

import logging
from typing import Any

from ..observe import LoggingObserver, Observer, RunFilter
from ..scheduler import Scheduler
from ..workflow import Workflow
from .errors import plain_lines, write

_LEVELS = (logging.INFO, logging.DEBUG)
_FORMAT = "%(asctime)s %(levelname)-7s [%(run_id).8s %(task)s] %(name)s: %(message)s"


class _OnStderr(logging.Handler):
    """Writes to what stderr is at the time: a live view puts its own in place of it.

    What a record says may come from anywhere, so that no escape sequence of it is let through.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        try:
            write(f"{plain_lines(self.format(record))}\n")
        except Exception:
            self.handleError(record)


def lines_on_stderr(level: int) -> LoggingObserver:
    """What writes a line for each event, beside all logs of the user's."""
    logger = logging.Logger("cano_sync", level)  # in no hierarchy: nobody else hears of it
    handler = _OnStderr()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
    return LoggingObserver(logger, tracebacks="none")


def logs(verbosity: int) -> LoggingObserver:
    """What writes the log; to be called when the user's module has been loaded.

    Where that has handlers of its own, for all loggers or for `cano_sync`, none is added, and a
    level that it has set for `cano_sync` stays.

    Args:
        verbosity: 1 for INFO, 2 or more for DEBUG.
    """
    level = _LEVELS[min(verbosity, len(_LEVELS)) - 1]
    root, own = logging.getLogger(), logging.getLogger("cano_sync")
    if not (root.handlers or own.handlers):
        handler = _OnStderr()
        handler.addFilter(RunFilter())
        handler.setFormatter(logging.Formatter(_FORMAT))
        root.addHandler(handler)
        root.setLevel(level)
    if own.level == logging.NOTSET:
        own.setLevel(level)
    return LoggingObserver(own)


def hear_runs(workflow: Workflow[Any], verbosity: int) -> Workflow[Any]:
    """The workflow with its runs in the log, unless it has such an observer already."""
    if not verbosity:
        return workflow
    observer = logs(verbosity)
    if any(isinstance(each, LoggingObserver) for each in workflow.description.observers):
        return workflow
    return workflow.with_observer(observer)


def hear_flows(scheduler: Scheduler, verbosity: int) -> None:
    """Log the flows of a scheduler, those that it has by now, and their runs."""
    if verbosity:
        attach(scheduler, logs(verbosity))


def attach(scheduler: Scheduler, observer: Observer) -> None:
    """Let an observer hear of all flows that a scheduler has by now."""
    for flow in scheduler.list():
        # Not by a call of the scheduler's: it has no use for observers that come late.
        scheduler._dispatcher.change(flow.id, lambda flow, now: flow.hear(observer))
