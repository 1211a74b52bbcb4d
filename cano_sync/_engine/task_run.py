"""One task with its attempts, in one run: what belongs together while it runs."""

from __future__ import annotations

__all__ = ("NEVER_RUN", "TaskRun", "failure")

from typing import TYPE_CHECKING, Any, NoReturn

from .._base.cancellation import CancellationToken, Cancelled
from .._base.current import set_current_token
from .._base.lazy import Lazy
from .._base.store import Store
from .._base.text import error_text, full_name
from .._base.tracebacks import without_engine_frames
from .._base.world import world
from .._model.task import BoundTask, TaskContext, Visit
from ..errors import AttemptTimeoutError, CanoError, TaskExecutionError
from .events import RunEvents, TaskEvents
from .jobs import Job
from .offload import Abandoned, run_on_pool
from .report import DeafTask
from .staying import Stopped, run_here
from .surroundings import Surroundings, ThreadKind

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
        surroundings: what surrounds it on this thread.
        stays: whether its attempts stay on this thread, though they have a time limit.
        visit: the visit of its state, where the run is recorded.
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
        "stays",
        "store",
        "surroundings",
        "task",
        "token",
        "visit",
    )

    def __init__(
        self,
        task: BoundTask,
        store: Store,
        token: CancellationToken,
        run_id: str,
        state: Any,
        surroundings: Surroundings,
        *,
        index: int | None = None,
        error: CanoError | None = None,
        stays: bool = False,
        events: RunEvents | None = None,
        visit: Visit | None = None,
    ) -> None:
        self.task = task
        self.store = store
        self.token = token
        self.run_id = run_id
        self.state = state
        self.index = index
        self.error = error
        self.surroundings = surroundings
        self.stays = stays
        self.visit = visit
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
        limit = task.config.attempt_timeout
        if limit is not None:
            if self.stays:
                return self._attempt_staying(limit, number)
            return self._attempt_offloaded(limit, number)
        if self.surroundings.has_tasks:
            return self._call(self.store, self.token, number, self.surroundings)
        # As _call() would, without a frame of it between the user's and this one.
        context = self._context(number, self.surroundings.thread) if task.wants_context else None
        named = task.named(self.token, context)
        return task.function(self.store, **named) if task.takes_store else task.function(**named)

    def _context(self, number: int, thread: ThreadKind) -> TaskContext:
        facts: tuple[Any, ...] = () if self.visit is None else self.visit.facts(self.index)
        return TaskContext(self.run_id, self.state, self.index, number, self.error, thread, *facts)

    def _call(
        self, store: Store, token: CancellationToken, number: int, surroundings: Surroundings
    ) -> Any:
        """Call the task on this thread, within its surroundings there."""
        context = self._context(number, surroundings.thread)
        if surroundings.has_tasks:
            return surroundings.call(self.task, store, token, context)
        return self.task.call(store, token, context)

    def _attempt_staying(self, limit: float, number: int) -> Any:
        """An attempt whose limit is kept on this thread: as well as the task listens to it."""
        try:
            return run_here(
                lambda token: self._call(self.store, token, number, self.surroundings),
                self.token,
                limit=limit,
                enter=set_current_token,
            )
        except Stopped as stopped:
            if not stopped.timed_out:
                self.token.cancel(
                    stopped.reason
                )  # the task may have cancelled the one it was given
                raise Cancelled(self.token.reason) from stopped.error
            raise self._too_long(limit, number, stopped.waited) from stopped.error

    def _attempt_offloaded(self, limit: float, number: int) -> Any:
        task, token, events = self.task, self.token, self.events
        surroundings = self.surroundings.hand_over("attempt", state=self.state, run_id=self.run_id)
        if events is not None:
            events.is_offloaded = True
        began = world.perf_counter()

        def doing() -> tuple[str, DeafTask]:
            since = world.perf_counter() - began
            return self.run_id, DeafTask(self.state, task.name, self.index, since)

        def abandon(job: Job, reason: str | None) -> None:
            job.doing = doing
            if events is None:
                job.abandon()
            else:
                events.abandon(job)

        try:
            return run_on_pool(
                lambda fenced, inner: self._call(fenced, inner, number, surroundings),
                self.store,
                token,
                limit=limit,
                around_job=surroundings.around_job(state=self.state, run_id=self.run_id),
                what=f"task {task.name!r}",
                on_abandon=abandon,
            )
        except Abandoned as abandoned:
            if abandoned.cancel_called:
                token.cancel(abandoned.reason)  # the task may have cancelled the token it was given
            if not abandoned.timed_out:
                raise Cancelled(token.reason) from abandoned.error
            raise self._too_long(limit, number, " and was abandoned") from abandoned.error
        finally:
            if events is not None:
                events.is_offloaded = False

    def _too_long(self, limit: float, number: int, fate: str) -> AttemptTimeoutError:
        return AttemptTimeoutError(
            f"state {full_name(self.state)}: attempt {number} of task {self.task.name!r} took "
            f"longer than its attempt_timeout of {limit:g} s{fate}",
            state=self.state,
            task=self.task.name,
            run_id=self.run_id,
        )

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
