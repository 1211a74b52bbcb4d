"""One run of a flow, on a thread of the scheduler's own pool, and how it is left behind."""

from __future__ import annotations

__all__ = ("Doer", "Run", "is_called_off")

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from .._base.cancellation import CancellationToken, Cancelled
from .._base.engine_token import EngineToken
from .._base.fence import Gate
from .._base.waiting import interruptible_wait
from .._engine import WRITE_GRACE, Job, Nesting, Pool
from ..errors import WorkflowCancelledError


class Doer(Protocol):
    """What is run."""

    @property
    def id(self) -> str: ...
    def perform(self) -> Any:
        """Do it, on this thread."""


F = TypeVar("F", bound=Doer)
End: TypeAlias = "Callable[[Run[F], Any, BaseException | None], None]"
"""Gets the run, and its result or its error."""


class Run(Generic[F]):
    """A run, from its beginning until it is over: because it has ended, or was left behind.

    It takes one thread. What may end it early is the token that its thread has as the current one;
    so the engine walks on that thread, and whoever cancels does not wait for it: its future is
    given its error, its store is closed, and the thread counts as abandoned until it comes back.
    """

    __slots__ = (
        "_claim",
        "_gate",
        "_job",
        "_token",
        "began",
        "flow",
        "future",
        "is_back",
        "is_over",
    )  # fmt: skip

    def __init__(self, flow: F, began: float) -> None:
        self.flow = flow
        self.began = began  # on the monotonic clock
        self.is_over = False  # the dispatcher's lock guards it; who sets it ends the future
        self.future: Future[Any] = Future()
        self.future.set_running_or_notify_cancel()  # from now on, Future.cancel has no effect
        self.is_back = threading.Event()  # its thread is done with it, or was left behind
        self._claim = threading.Lock()  # who takes it, for good, does the run or calls it off
        self._token = EngineToken()
        self._gate = Gate()
        self._job: Job | None = None

    def begin(self, pool: Pool, end: End[F]) -> None:
        """Begin on a thread of the pool, detached from the task that asks for it, if there is one.

        That task may wait for it. So its splits go deeper than that task's (law 3), and the pool
        itself has a thread for each.

        Raises:
            RuntimeError: there is no thread, as at the interpreter's exit.
        """
        nesting = Nesting.current()
        context = copy_context()
        inside = Nesting(nesting.depth, on_user_executor=nesting.on_user_executor, gate=self._gate)
        context.run(inside.enter, self._token)

        def work(job: Job) -> None:
            try:
                context.run(self._perform, end)
            finally:
                self._job = None  # it holds this function, and so this run

        self._job = Job(pool, work)
        pool.start(self._job)

    def _perform(self, end: End[F]) -> None:
        if self.is_over or not self.claim():  # left behind, or called off, before it had a thread
            return
        try:
            result = self.flow.perform()
        except Cancelled as signal:
            end(self, None, self.cancelled(signal.reason, signal.__cause__))
        except BaseException as error:  # once it is cancelled, an error is a consequence of that
            reason = self._token.reason
            end(self, None, self.cancelled(reason, error) if self._token.cancel_called else error)
        else:
            end(self, result, None)

    def claim(self) -> bool:
        """Take it on; False if somebody has, its own thread or who calls it off."""
        return self._claim.acquire(blocking=False)

    def finish(self, result: Any, error: BaseException | None) -> None:
        """End its future."""
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)

    def comes_back(self, timeout: float) -> bool:
        """Whether the thread of a run that is over comes back within so many seconds."""
        with interruptible_wait():
            return self.is_back.wait(max(0.0, timeout))

    def cancel(self, reason: str) -> None:
        """Tell its tasks to stop. `leave` it a moment later, if it is not over by then."""
        self._token.cancel_nowait(reason)

    def holds(self, token: CancellationToken | None) -> bool:
        """Whether what has this token as the current one is part of it: the run waits for it.

        What was submitted, or triggered, by one of its tasks is not.
        """
        tokens = [] if token is None else [token]
        while tokens:
            token = tokens.pop()
            if token is self._token:
                return True
            tokens += token._parents
        return False

    def leave(self) -> None:
        """Wait for it no longer: close its store, and do without its thread."""
        self._gate.close(WRITE_GRACE)
        job = self._job
        if job is not None:
            job.abandon()

    def cancelled(
        self, reason: str | None, cause: BaseException | None = None
    ) -> WorkflowCancelledError:
        """The error of a run that was cancelled."""
        error = WorkflowCancelledError(
            f"flow {self.flow.id!r}: the run was cancelled" + (f": {reason}" if reason else ""),
            reason=reason,
        )
        error.__cause__ = cause
        return error


def is_called_off(error: BaseException | None) -> bool:
    """Whether `Run.cancelled` has made it: other such errors have the id of a workflow's run."""
    return isinstance(error, WorkflowCancelledError) and error.run_id is None
