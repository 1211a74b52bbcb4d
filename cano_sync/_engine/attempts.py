"""One attempt at a task: the call, its time limit, and what its failure is called."""

from __future__ import annotations

__all__ = ("Site", "attempt", "failure")

from typing import Any

from .._base.cancellation import CancellationToken, Cancelled
from .._base.store import Store
from .._base.text import error_text, full_name
from .._model.task import BoundTask, TaskContext
from ..errors import AttemptTimeoutError, CanoError, TaskExecutionError
from .events import RunEvents, TaskEvents
from .offload import Abandoned, abandon, run_on_pool

NEVER_RUN = "a coroutine that nobody has run: call the asynchronous function by asyncio.run(...)"


class Site:
    """Where a task is performed, for its context and its errors.

    Attributes:
        events: where the run's observers hear of it; None if they do not.
        told: what they are told of this task, while it is performed.
    """

    __slots__ = ("error", "events", "index", "run_id", "state", "told")

    def __init__(
        self,
        run_id: str,
        state: Any,
        index: int | None = None,
        error: CanoError | None = None,
        events: RunEvents | None = None,
    ) -> None:
        self.run_id = run_id
        self.state = state
        self.index = index
        self.error = error
        self.events = events
        self.told: TaskEvents | None = None


def failure(error: Exception | Cancelled, task: str | None, site: Site) -> CanoError:
    """The error as the run reports it: located, and a `TaskExecutionError` if it is foreign."""
    if not isinstance(error, CanoError):
        who = "the join" if task is None else f"task {task!r}"
        why = f"raised {error_text(error)}"
        if isinstance(error, Cancelled):
            why = "raised Cancelled, though nobody had cancelled it"
        wrapped = TaskExecutionError(f"state {full_name(site.state)}: {who} {why}")
        wrapped.__cause__ = error
        error = wrapped
    error.locate(state=site.state, task=task, run_id=site.run_id)
    return error


def attempt(
    task: BoundTask, store: Store, token: CancellationToken, site: Site, number: int
) -> Any:
    """One attempt, on another thread where it has a time limit."""
    context = None
    if task.wants_context:
        context = TaskContext(site.run_id, site.state, site.index, number, site.error)
    limit = task.config.attempt_timeout
    if limit is None:
        return task.call(store, token, context)
    told = site.told
    if told is not None:
        told.is_offloaded = True
    try:
        return run_on_pool(
            lambda fenced, inner: task.call(fenced, inner, context),
            store,
            token,
            limit=limit,
            what=f"task {task.name!r}",
            on_abandon=abandon if told is None else lambda job, reason: told.leave(job),
        )
    except Abandoned as left:
        if left.told:
            token.cancel(left.reason)  # the task may have cancelled the token that it was given
        if not left.timed_out:
            raise Cancelled(token.reason) from left.error
        raise AttemptTimeoutError(
            f"state {full_name(site.state)}: attempt {number} of task {task.name!r} took longer "
            f"than its attempt_timeout of {limit:g} s and was abandoned",
            state=site.state,
            task=task.name,
            run_id=site.run_id,
        ) from left.error
    finally:
        if told is not None:
            told.is_offloaded = False
