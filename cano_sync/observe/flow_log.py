"""A scheduler's flows in the log of the standard library."""

from __future__ import annotations

__all__ = ("FlowLog",)

import logging
from typing import Any

from .._base.text import error_text, full_name
from .._model.hooks import Observer
from .labels import flow_ending
from .tracebacks import Tracebacks

NOTICED = 0.001
"""Seconds that a flow must be late for the log to mention it."""


class FlowLog(Observer):
    """What a `LoggingObserver` writes of flows, which have no run_id.

    Args:
        logger: the logger.
        tracebacks: which are in the log already.
    """

    def __init__(self, logger: logging.Logger, tracebacks: Tracebacks) -> None:
        self._logger = logger
        self._tracebacks = tracebacks

    def flow_started(self, *, flow: str, lag: float, **_: object) -> None:
        """INFO."""
        extra = {"flow": flow, "lag": lag}
        if lag < NOTICED:
            self._logger.info("flow %s: begins a run", flow, extra=extra)
        else:
            self._logger.info("flow %s: begins a run, %.3f s late", flow, lag, extra=extra)

    def flow_finished(
        self, *, flow: str, state: Any, duration: float, error: BaseException | None, **_: object
    ) -> None:
        """INFO; ERROR for a failure."""
        outcome = flow_ending(error)
        extra: dict[str, Any] = {"flow": flow, "duration": duration, "outcome": outcome}
        if state is not None:
            extra["state"] = full_name(state)
        if error is None:
            text = "flow %s: finished in %s after %.3f s"
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
        text = "flow %s: was due, and is left out: it has been running for %.3f s"
        self._logger.warning(text, flow, running_for, extra={"flow": flow, "duration": running_for})

    def flow_backed_off(
        self, *, flow: str, failures: int, delay: float, error: BaseException, **_: object
    ) -> None:
        """WARNING."""
        text = "flow %s: has failed %s, and waits for %.3f s: %s"
        extra = {"flow": flow, "failures": failures, "delay": delay}
        self._logger.warning(text, flow, _row(failures), delay, error_text(error), extra=extra)

    def flow_tripped(self, *, flow: str, failures: int, error: BaseException, **_: object) -> None:
        """ERROR."""
        text = "flow %s: has failed %s, and runs no more until it is reset: %s"
        extra = {"flow": flow, "failures": failures}
        self._logger.error(text, flow, _row(failures), error_text(error), extra=extra)


def _row(failures: int) -> str:
    return "once" if failures == 1 else f"{failures} times in a row"
