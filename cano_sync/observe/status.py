"""The one vocabulary of outcomes: in logs, spans, metrics, records, JSON and pictures."""

from __future__ import annotations

__all__ = ("Status", "status_of")

from enum import Enum

from .._base.cancellation import Cancelled
from ..errors import WorkflowCancelledError, WorkflowTimeoutError


class Status(Enum):
    """What became of a run, a state, a task or an attempt; its value is the word for programs.

    >>> Status.NOT_STARTED.value, Status.NOT_STARTED.label
    ('not_started', 'not started')
    """

    RUNNING = "running"
    """It has not ended."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """It raised; an attempt or a split whose own time limit has passed is among these."""
    TIMED_OUT = "timed_out"
    """The time limit of the whole run has passed: of the run, and of the state that it was in."""
    CANCELLED = "cancelled"
    """It was stopped, or the run went on or ended without it, and its thread has returned."""
    ABANDONED = "abandoned"
    """The run went on or ended without it, and its thread has not returned."""
    NOT_STARTED = "not_started"
    """A branch that has not begun, a run that could not begin, or a recorder that has seen none."""

    @property
    def label(self) -> str:
        """The word for people."""
        return self.value.replace("_", " ")


def status_of(run_id: str, error: BaseException | None) -> Status:
    """How a run, or a state of it, has ended.

    What ended a run that was nested in a task is a failure of this one: it has another id.

    >>> status_of("a1", None).value, status_of("a1", ValueError("no")).value
    ('succeeded', 'failed')
    >>> timeout = WorkflowTimeoutError("its time was up", run_id="a1")
    >>> status_of("a1", timeout).value, status_of("b2", timeout).value
    ('timed_out', 'failed')
    """
    if error is None:
        return Status.SUCCEEDED
    if isinstance(error, Cancelled) or not isinstance(error, Exception):
        return Status.CANCELLED  # by what it is nested in, by Ctrl-C, by sys.exit() in a handler
    if getattr(error, "run_id", None) == run_id:
        if isinstance(error, WorkflowCancelledError):
            return Status.CANCELLED
        if isinstance(error, WorkflowTimeoutError):
            return Status.TIMED_OUT
    return Status.FAILED
