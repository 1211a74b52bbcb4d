"""A scheduler's flows in the log of the standard library."""

from __future__ import annotations

__all__ = ("LoggingFlowObserver",)

import logging
from typing import TYPE_CHECKING, Any

from .._base.lazy import Lazy
from .._base.text import error_text, full_name
from ..errors import ConfigurationError
from .observer import FlowObserver

if TYPE_CHECKING:
    from ..observe import logs as runs_log
    from ..observe import tracebacks as tracebacks_room
else:
    # They bring their whole wing along, which takes longer to import than the scheduler itself.
    runs_log = Lazy("..observe.logs", __package__)
    tracebacks_room = Lazy("..observe.tracebacks", __package__)

NOTICED_LAG = 0.001
"""Seconds that a flow must be late for the log to mention it."""


class LoggingFlowObserver(FlowObserver):
    """Writes what flows do into the log. One object serves any number of flows and threads.

    - INFO: a run of a flow starts, has succeeded, was cancelled by the scheduler.
    - WARNING: a flow is skipped, or backs off.
    - ERROR: a run failed; a flow has tripped.

    What happens within the runs is logged by a `LoggingObserver` that is attached to their
    workflows. An error's traceback is logged once, with the failed run. It is that of the user's
    exception, with the frames of the user's code.

    Each record carries what it says as attributes, for structured logs: `flow`, and where they
    apply `lag`, `state` (as text), `duration`, `outcome` ("succeeded", "failed" or "cancelled"),
    `reason`, `failures` and `delay`.

    Args:
        logger: the logger, or its name.
        tracebacks: "short"; "full" with all errors on the way and the frames of the engine; or
            "none".
        beside: the `LoggingObserver` of the flows' workflows, if they have one: a traceback that
            it has logged is not logged again. Its own `tracebacks` decides then.

    Raises:
        ConfigurationError: an argument makes no sense.

    >>> import sys
    >>> from cano_sync import Workflow
    >>> from cano_sync.scheduler import Scheduler
    >>> log = logging.getLogger("night")
    >>> log.setLevel("INFO")
    >>> handler = logging.StreamHandler(sys.stdout)
    >>> handler.setFormatter(logging.Formatter("%(levelname)s %(message).31s"))
    >>> log.addHandler(handler)
    >>> workflow = Workflow().register("SWEEP", lambda: "DONE").add_exit_state("DONE")
    >>> scheduler = Scheduler(observers=[LoggingFlowObserver("night")])
    >>> scheduler.manual("sweep", workflow, "SWEEP")
    >>> with scheduler.start_in_background():
    ...     _ = scheduler.trigger("sweep").result()
    INFO flow sweep: started
    INFO flow sweep: succeeded in 'DONE'
    >>> log.removeHandler(handler)
    """

    def __init__(
        self,
        logger: str | logging.Logger = "cano_sync",
        *,
        tracebacks: tracebacks_room.Style = "short",
        beside: runs_log.LoggingObserver | None = None,
    ) -> None:
        if beside is not None and not isinstance(beside, runs_log.LoggingObserver):
            raise ConfigurationError(
                f"LoggingFlowObserver(beside=...) takes a LoggingObserver, not {beside!r}"
            )
        self._logger = runs_log.logger_of(logger, "LoggingFlowObserver")
        own = tracebacks_room.Tracebacks(tracebacks)
        self._tracebacks = own if beside is None else beside._tracebacks

    def __repr__(self) -> str:
        return f"LoggingFlowObserver({self._logger.name!r})"

    def flow_started(self, *, flow: str, lag: float, **_: object) -> None:
        """INFO."""
        extra = {"flow": flow, "lag": lag}
        if lag < NOTICED_LAG:
            self._logger.info("flow %s: started", flow, extra=extra)
        else:
            self._logger.info("flow %s: started, %.3f s late", flow, lag, extra=extra)

    def flow_finished(
        self,
        *,
        flow: str,
        state: Any,
        duration: float,
        outcome: str,
        error: BaseException | None,
        **_: object,
    ) -> None:
        """INFO; ERROR for a failure."""
        extra: dict[str, Any] = {"flow": flow, "duration": duration, "outcome": outcome}
        if state is not None:
            extra["state"] = full_name(state)
        if error is None:
            text = "flow %s: succeeded in %s after %.3f s"
            self._logger.info(text, flow, extra["state"], duration, extra=extra)
        elif outcome == "cancelled":
            extra["reason"] = reason = getattr(error, "reason", None) or error_text(error)
            text = "flow %s: cancelled after %.3f s: %s"
            self._logger.info(text, flow, duration, reason, extra=extra)
        else:
            # Nothing was raised where the run has come to an exit that counts as a failure.
            traceback = self._tracebacks.once(error) if state is None else None
            values = (flow, duration, error_text(error))
            text = "flow %s: failed after %.3f s: %s"
            self._logger.error(text, *values, exc_info=traceback, extra=extra)

    def flow_skipped(self, *, flow: str, running_for: float, **_: object) -> None:
        """WARNING."""
        text = "flow %s: skipped, for it has been running for %.3f s"
        self._logger.warning(text, flow, running_for, extra={"flow": flow, "duration": running_for})

    def flow_backed_off(
        self, *, flow: str, failures: int, delay: float, error: BaseException, **_: object
    ) -> None:
        """WARNING."""
        text = "flow %s: has failed %s, and backs off for %.3f s: %s"
        extra = {"flow": flow, "failures": failures, "delay": delay}
        self._logger.warning(text, flow, _times(failures), delay, error_text(error), extra=extra)

    def flow_tripped(self, *, flow: str, failures: int, error: BaseException, **_: object) -> None:
        """ERROR."""
        text = "flow %s: has failed %s, and runs no more until it is reset: %s"
        extra = {"flow": flow, "failures": failures}
        self._logger.error(text, flow, _times(failures), error_text(error), extra=extra)


def _times(failures: int) -> str:
    return "once" if failures == 1 else f"{failures} times in a row"
