"""What runs and flows do as lines of log on stderr: `-v`, and where nothing can move."""

from __future__ import annotations

__all__ = ("lines", "log_flows", "log_runs")

import logging
from typing import Any

from ..observe import LoggingObserver, RunFilter
from ..scheduler import LoggingFlowObserver, Scheduler
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


def lines(level: int) -> logging.Logger:
    """A logger that writes plain lines, whatever the user's module has set up for logging."""
    logger = logging.Logger("cano_sync", level)  # it has no parent, and so no handlers of others
    handler = _OnStderr()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
    return logger


def _logger(verbosity: int) -> logging.Logger:
    """The library's logger, set up; to be called when the user's module has been loaded.

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
    return own


def log_runs(workflow: Workflow[Any], verbosity: int) -> Workflow[Any]:
    """The workflow with its runs in the log, unless it has such an observer already."""
    return _logged(workflow, LoggingObserver(_logger(verbosity))) if verbosity else workflow


def _logged(workflow: Workflow[Any], observer: LoggingObserver) -> Workflow[Any]:
    has_one = any(isinstance(each, LoggingObserver) for each in workflow.description.observers)
    return workflow if has_one else workflow.with_observer(observer)


def log_flows(scheduler: Scheduler, verbosity: int) -> bool:
    """Log the flows of a scheduler and their runs, unless it has such observers already.

    Returns:
        Whether lines of it come to stderr, and not to where the user's module logs to.
    """
    if not verbosity:
        return False
    logger = _logger(verbosity)
    runs = LoggingObserver(logger)
    scheduler.update_workflows(lambda workflow: _logged(workflow, runs))
    if not any(isinstance(each, LoggingFlowObserver) for each in scheduler.observers):
        scheduler.add_observer(LoggingFlowObserver(logger, beside=runs))
    return any(isinstance(handler, _OnStderr) for handler in logging.getLogger().handlers)
