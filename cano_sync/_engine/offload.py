"""Work on another thread, while the caller waits for its end, its deadline or a cancellation."""

from __future__ import annotations

__all__ = ("Abandoned", "Wakeup", "abandon", "run_on_pool", "wait_first")

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextvars import copy_context
from typing import Any, TypeVar

from .._base.cancellation import CancellationToken, Cancelled
from .._base.engine_token import EngineToken
from .._base.fence import fence
from .._base.store import Store
from .._base.waiting import interruptible_wait, wait_slice
from ..errors import WorkflowError
from .nesting import Nesting
from .pool import Job, process_pool

T = TypeVar("T")

LAST_WORD_GRACE = 0.0002
"""Seconds that a cancelled task gets to say how it ended, before it is abandoned."""
WRITE_GRACE = 0.005
"""Seconds that a closing fence waits for a user's own backend to finish a write."""
TIME_IS_UP = "its time was up"

Wakeup = Future[None]
"""Rung once, from any thread, to wake a waiting coordinator."""


def wait_first(first: Future[Any], second: Wakeup, deadline: float | None) -> None:
    """Wait until one of the two is done or the time is up."""
    both: tuple[Future[Any], Wakeup] = (first, second)
    while True:
        left = None if deadline is None else deadline - time.monotonic()
        with interruptible_wait():
            done = wait(both, wait_slice(left), FIRST_COMPLETED).done
        if done or (deadline is not None and time.monotonic() >= deadline):
            return


class Abandoned(Exception):
    """The work was left behind.

    Attributes:
        timed_out: whether its own time limit was the reason, or else a cancellation.
        told: whether somebody cancelled it, or one above; else a deadline did.
        reason: what was said to the token that was cancelled, or None.
        error: what the work had raised by then, as a consequence.
    """

    def __init__(
        self, *, timed_out: bool, told: bool, reason: str | None, error: BaseException | None
    ) -> None:
        super().__init__()
        self.timed_out = timed_out
        self.told = told
        self.reason = reason
        self.error = error


OnAbandon = Callable[[Job, str | None], object]
"""Abandons an job; gets the reason, too."""


def abandon(job: Job, reason: str | None) -> None:
    """Abandon it, and tell nobody."""
    job.abandon()


def run_on_pool(
    work: Callable[[Store, CancellationToken], T],
    store: Store,
    *parents: CancellationToken,
    limit: float | None,
    what: str = "the work",
    on_abandon: OnAbandon = abandon,
) -> T:
    """Do `work` on a pool thread, behind a fence, with a token below the `parents`.

    Args:
        work: gets the fenced store and the token.
        store: the store as the caller sees it.
        parents: each ends the wait when it is cancelled, or its time is up.
        limit: seconds; ends the wait as well.
        what: how an error names it.
        on_abandon: abandons the job, and knows whom to tell.

    Returns:
        What `work` returned; what it raised is raised.

    Raises:
        Abandoned: the wait ended first. The store is closed to the work by then.
        WorkflowError: there is no thread, as at the interpreter's exit.
    """
    nesting = Nesting.current()
    pool = process_pool(nesting.depth + 1)
    stopped: Wakeup = Future()
    own = None if limit is None else time.monotonic() + limit
    token = EngineToken(*parents, deadline=own, wakeup=lambda: stopped.set_result(None))
    fenced, gate = fence(store, nesting.gate)
    context = copy_context()
    inside = Nesting(nesting.depth + 1, on_user_executor=nesting.on_user_executor, gate=gate)
    context.run(inside.enter, token)

    def do(job: Job) -> T:
        token.check()  # it may have waited for a worker until nobody wanted it any more
        return work(fenced, token)

    job = Job(pool, do)
    future: Future[T] | None = None
    ended = False
    try:
        if not token.cancel_called:
            try:
                future = pool.submit(context.run, job.run)
            except RuntimeError as error:
                raise WorkflowError(f"there is no thread for {what}: {error}") from error
            wait_first(future, stopped, token.deadline)
            if future.done() and not (token.cancelled and future.exception() is not None):
                ended = True
                return _result(future, token)
        told, reason = token.cancel_called, token.reason
        # The token's deadline is the earliest of all: is it our own?
        timed_out = not told and own is not None and own == token.deadline
        token.cancel_nowait(TIME_IS_UP)
        raise Abandoned(timed_out=timed_out, told=told, reason=reason, error=_last_word(future))
    finally:
        try:
            if not ended:  # by a cancellation, a deadline or Ctrl-C
                token.cancel_nowait("interrupted")
                gate.close(WRITE_GRACE)
                if future is None or not future.cancel():
                    on_abandon(job, token.reason)
        finally:
            token.release()


def _result(future: Future[T], token: EngineToken) -> T:
    error = future.exception()
    if error is not None and not isinstance(error, Exception | Cancelled):
        token.cancel("interrupted")  # it wants out of the program: whoever listens shall stop
    return future.result()


def _last_word(future: Future[Any] | None) -> BaseException | None:
    """What the work raised, if it ends within the grace that a cancelled task gets."""
    if future is None:
        return None
    with interruptible_wait():
        wait((future,), LAST_WORD_GRACE)
    return future.exception() if future.done() else None
