"""The short texts that stand for a workflow, a state and a run's ending in logs and telemetry."""

from __future__ import annotations

__all__ = ("ending", "flow_ending", "state_label", "workflow_label")

from enum import Enum
from typing import Any

from .._base.cancellation import Cancelled
from ..errors import WorkflowCancelledError, WorkflowTimeoutError


def ending(run_id: str, error: BaseException | None) -> str:
    """How a run has ended, in one word: finished, failed, cancelled or timed_out.

    What ended a run that was nested in a task is a failure of this one: it has another id.

    >>> ending("a1", None), ending("a1", ValueError("no"))
    ('finished', 'failed')
    >>> timeout = WorkflowTimeoutError("its time was up", run_id="a1")
    >>> ending("a1", timeout), ending("b2", timeout)
    ('timed_out', 'failed')
    """
    if error is None:
        return "finished"
    if isinstance(error, Cancelled) or not isinstance(error, Exception):
        return "cancelled"  # by what it is nested in, by Ctrl-C, by sys.exit() in a handler
    if getattr(error, "run_id", None) == run_id:
        if isinstance(error, WorkflowCancelledError):
            return "cancelled"
        if isinstance(error, WorkflowTimeoutError):
            return "timed_out"
    return "failed"


def flow_ending(error: BaseException | None) -> str:
    """How a run of a scheduler's flow has ended, in one word: finished, failed or cancelled.

    What the scheduler has cancelled has no run's id. Whatever else ends one early is a failure:
    nobody else waits for it.

    >>> flow_ending(None), flow_ending(ValueError("no")), flow_ending(SystemExit(3))
    ('finished', 'failed', 'failed')
    >>> ours = WorkflowCancelledError("the scheduler was stopped")
    >>> flow_ending(ours), flow_ending(WorkflowCancelledError("by a task", run_id="a1"))
    ('cancelled', 'failed')
    """
    if error is None:
        return "finished"
    if isinstance(error, WorkflowCancelledError) and error.run_id is None:
        return "cancelled"
    return "failed"


def state_label(state: Any) -> str:
    """A state without the name of its enum.

    >>> state_label("START"), state_label(Enum("Quote", "ASK").ASK)
    ('START', 'ASK')
    """
    return state.name if isinstance(state, Enum) else str(state)


def workflow_label(state: Any) -> str:
    """What a workflow is called after, if nobody has named it: its enum of states.

    >>> workflow_label(Enum("Quote", "ASK").ASK), workflow_label("START")
    ('Quote', 'str')
    """
    return type(state).__name__
