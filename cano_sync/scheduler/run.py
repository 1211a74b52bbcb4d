"""One run of a flow, on a thread of the scheduler's own pool, and how it is abandoned."""

from __future__ import annotations

__all__ = ("FlowRun",)

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, TypeAlias

from .._base.cancellation import CancellationToken, Cancelled
from .._base.engine_token import EngineToken
from .._base.fence import Gate
from .._base.waiting import interruptible_wait
from .._base.world import world
from .._engine import WRITE_GRACE, Job, Nesting, Pool
from ..errors import WorkflowCancelledError
from .flow import Flow

OnEnd: TypeAlias = "Callable[[FlowRun, Any, BaseException | None], None]"
"""Gets the run, and its result or its error."""


class FlowRun:
    """A run, from its beginning until it is over: because it has ended, or was abandoned.

    It takes one thread. What may end it early is the token that its thread has as the current one;
    so the engine walks on that thread, and whoever cancels does not wait for it: its future is
    given its error, its store is closed, and the thread counts as abandoned until it returns.

    Attributes:
        is_over: whether its end has been taken care of; whoever sets it, under the dispatcher's
            lock, ends the future.
        future: what `Scheduler.trigger` returns.
        returned: set when its thread is done with it, callbacks included, or is not waited for.
    """

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.is_over = False
        self.future: Future[Any] = Future()
        self.future.set_running_or_notify_cancel()  # from now on, Future.cancel has no effect
        self.returned = threading.Event()
        self._claim = threading.Lock()  # acquired once, by whoever executes the run or drops it
        self._token = EngineToken()
        self._gate = Gate()
        self._job: Job | None = None
        self._ident: int | None = None  # of its thread, from when that has begun

    def begin(self, pool: Pool, on_end: OnEnd) -> None:
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
                context.run(self._execute, on_end)
            finally:
                self._job = None  # it holds this function, and so this run

        self._job = Job(pool, work)
        pool.start(self._job)

    def _execute(self, on_end: OnEnd) -> None:
        self._ident = threading.get_ident()
        if self.is_over or not self.claim():  # cancelled, or dropped, before it had a thread
            return
        try:
            result = self.flow.execute()
        except Cancelled as signal:
            on_end(self, None, self.cancelled_error(signal.reason, signal.__cause__))
        except BaseException as error:  # once it is cancelled, an error is a consequence of that
            if self._token.cancel_called:
                on_end(self, None, self.cancelled_error(self._token.reason, error))
            else:
                on_end(self, None, error)
        else:
            on_end(self, result, None)

    def claim(self) -> bool:
        """Take it on, to execute or to drop it; False if somebody else has."""
        return self._claim.acquire(blocking=False)

    def finish(self, result: Any, error: BaseException | None) -> None:
        """End its future; calls the callbacks that users have added to it."""
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)

    def wait_returned(self, timeout: float) -> bool:
        """Whether the thread of a run that is over returns within so many seconds."""
        with interruptible_wait():
            return world.wait(self.returned, max(0.0, timeout))

    def cancel(self, reason: str) -> None:
        """Ask its tasks to stop. `abandon` it a moment later, if it is not over by then."""
        self._token.cancel_nowait(reason)

    def abandon(self) -> None:
        """Wait for it no longer: close its store, and do without its thread."""
        self._gate.close(WRITE_GRACE)
        job = self._job
        if job is not None:
            job.abandon()

    def is_current(self, token: CancellationToken | None) -> bool:
        """Whether the code that asks is part of it, so that the run waits for that code.

        Either on its thread, or in a task or branch of it (by the current token). What one of its
        tasks has submitted, or triggered, is not part of it.
        """
        if self._ident == threading.get_ident():
            return True
        tokens = [] if token is None else [token]
        while tokens:
            token = tokens.pop()
            if token is self._token:
                return True
            tokens += token._parents
        return False

    def cancelled_error(
        self, reason: str | None, cause: BaseException | None = None
    ) -> WorkflowCancelledError:
        """The error of a run that its scheduler has cancelled: it has no id of a workflow's run."""
        error = WorkflowCancelledError(
            f"flow {self.flow.id!r}: the run was cancelled" + (f": {reason}" if reason else ""),
            reason=reason,
        )
        error.__cause__ = cause
        return error
