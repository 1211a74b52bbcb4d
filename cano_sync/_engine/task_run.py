"""One task with its attempts, in one run: what belongs together while it runs."""

from __future__ import annotations

__all__ = ("NEVER_RUN", "TaskRun", "failure")

from typing import TYPE_CHECKING, Any, NoReturn

from .._base.cancellation import CancellationToken, Cancelled
from .._base.lazy import Lazy
from .._base.store import Store
from .._base.text import error_text, full_name
from .._base.tracebacks import without_engine_frames
from .._model.task import BoundTask, TaskContext
from ..errors import AttemptTimeoutError, CanoError, TaskExecutionError
from .events import RunEvents, TaskEvents
from .offload import Abandoned, abandon, run_on_pool

if TYPE_CHECKING:
    from . import retrying
else:
    retrying = Lazy(".retrying", __package__)  # it brings tenacity along

NEVER_RUN = "a coroutine that nobody has run: call the asynchronous function by asyncio.run(...)"


class TaskRun:
    """One task of one run: of a state, or a branch of a split. Used by one thread at a time.

    Attributes:
        task: what is run.
        store: the store that it gets, behind a fence where the task may be abandoned.
        token: the token that it gets.
        run_id: the run's id.
        state: the state that it belongs to.
        index: the branch's place in its split; None in a single state.
        error: the error that led to this error state, or None.
        run_events: where to emit its events; None where nobody listens.
        events: its own, while it is executed and somebody listens.
    """

    __slots__ = (
        "error",
        "events",
        "index",
        "run_events",
        "run_id",
        "state",
        "store",
        "task",
        "token",
    )

    def __init__(
        self,
        task: BoundTask,
        store: Store,
        token: CancellationToken,
        run_id: str,
        state: Any,
        *,
        index: int | None = None,
        error: CanoError | None = None,
        events: RunEvents | None = None,
    ) -> None:
        self.task = task
        self.store = store
        self.token = token
        self.run_id = run_id
        self.state = state
        self.index = index
        self.error = error
        self.run_events = events
        self.events: TaskEvents | None = None

    def execute(self) -> Any:
        """Run the task as its config says; what its last attempt raised is raised.

        Raises:
            Cancelled: the token was cancelled, between two attempts or in one.
            RetryExhaustedError: from the error of the last of several attempts.
            AttemptTimeoutError: the only attempt took too long.
        """
        if self.run_events is not None:
            self.events = self.run_events.task_started(
                self.task.name, self.state, self.index, self.token
            )
        try:
            if self.task.config.retry is None:
                result = self.attempt(1)
            else:
                result = retrying.Attempts(self).run()
        except BaseException as error:
            if self.events is None:
                raise
            self._emit_end(self.events, error)
        if self.events is not None:
            self.events.succeeded()
        return result

    def _emit_end(self, events: TaskEvents, error: BaseException) -> NoReturn:
        """Emit how the task has ended, and raise the error that its observers have received."""
        if not isinstance(error, Exception | Cancelled):  # it wants out of the program
            events.failed(error)
            raise error
        if self.token.cancelled:
            events.cancelled(self.token.reason)
            raise error
        # A CanoError is located only further up, where it is known whose mistake it is.
        known = error if isinstance(error, CanoError) else self.fail(error)
        events.failed(known)
        if known is error:
            raise error  # as it is: its context is shown, as without observers
        raise known from known.__cause__

    def attempt(self, number: int) -> Any:
        """One attempt, on another thread where it has a time limit."""
        task = self.task
        context = None
        if task.wants_context:
            context = TaskContext(self.run_id, self.state, self.index, number, self.error)
        limit = task.config.attempt_timeout
        if limit is not None:
            return self._attempt_within(limit, number, context)
        # As task.call() would, without a frame of it between the user's and this one.
        named = task.named(self.token, context)
        return task.function(self.store, **named) if task.takes_store else task.function(**named)

    def _attempt_within(self, limit: float, number: int, context: TaskContext | None) -> Any:
        task, token, events = self.task, self.token, self.events
        if events is not None:
            events.is_offloaded = True
        try:
            return run_on_pool(
                lambda fenced, inner: task.call(fenced, inner, context),
                self.store,
                token,
                limit=limit,
                what=f"task {task.name!r}",
                on_abandon=abandon if events is None else lambda job, reason: events.abandon(job),
            )
        except Abandoned as abandoned:
            if abandoned.cancel_called:
                token.cancel(abandoned.reason)  # the task may have cancelled the token it was given
            if not abandoned.timed_out:
                raise Cancelled(token.reason) from abandoned.error
            raise AttemptTimeoutError(
                f"state {full_name(self.state)}: attempt {number} of task {task.name!r} took "
                f"longer than its attempt_timeout of {limit:g} s and was abandoned",
                state=self.state,
                task=task.name,
                run_id=self.run_id,
            ) from abandoned.error
        finally:
            if events is not None:
                events.is_offloaded = False

    def fail(self, error: Exception | Cancelled) -> CanoError:
        """The error as the run reports it; see `failure`."""
        return failure(error, self.task.name, self.state, self.run_id)


def failure(error: Exception | Cancelled, task: str | None, state: Any, run_id: str) -> CanoError:
    """An error as the run reports it: located, and a `TaskExecutionError` if it is foreign.

    Args:
        error: what was raised.
        task: the name of the task that raised it; None for a split's join.
        state: the state that it was raised in.
        run_id: the run's id.
    """
    if not isinstance(error, CanoError):
        who = "the join" if task is None else f"task {task!r}"
        why = f"raised {error_text(error)}"
        if isinstance(error, Cancelled):
            why = "raised Cancelled, though nobody had cancelled it"
        wrapped = TaskExecutionError(f"state {full_name(state)}: {who} {why}")
        wrapped.__cause__ = without_engine_frames(error)
        error = wrapped
    error.locate(state=state, task=task, run_id=run_id)
    return error
