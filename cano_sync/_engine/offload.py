"""Offloading: work on a pool's thread, while the caller waits for it within limits."""

from __future__ import annotations

__all__ = ("WRITE_GRACE", "Abandoned", "abandon", "run_on_pool")

from collections.abc import Callable
from contextvars import copy_context
from typing import Any, TypeVar

from .._base.cancellation import CancellationToken, Cancelled
from .._base.engine_token import EngineToken
from .._base.fence import fence
from .._base.store import Store
from .._base.waiting import INTERRUPTS, Completion, Wakeup, wait_first
from .._base.world import world
from ..errors import WorkflowError
from .jobs import Job
from .nesting import Nesting
from .pool import process_pool
from .surroundings import JobSurroundings

T = TypeVar("T")

LAST_WORD_GRACE = 0.0002
"""Seconds that cancelled work gets to say how it ended, before it is abandoned."""
WRITE_GRACE = 0.005
"""Seconds that a closing fence waits for a user's own backend to finish a write."""
TIME_IS_UP = "its time was up"


class Abandoned(Exception):
    """The caller has gone on without the work.

    Attributes:
        timed_out: whether its own time limit was the reason, or else a cancellation.
        cancel_called: whether somebody cancelled it, or a token above; else a deadline passed.
        reason: what was given to the token that was cancelled, or None.
        error: what the work had raised by then, as a consequence.
    """

    def __init__(
        self,
        *,
        timed_out: bool,
        cancel_called: bool,
        reason: str | None,
        error: BaseException | None,
    ) -> None:
        super().__init__()
        self.timed_out = timed_out
        self.cancel_called = cancel_called
        self.reason = reason
        self.error = error


OnAbandon = Callable[[Job, str | None], object]
"""Abandons a job; gets the reason of the cancellation, too."""


def abandon(job: Job, reason: str | None) -> None:
    """Abandon it without an event."""
    job.abandon()


def run_on_pool(
    work: Callable[[Store, EngineToken], T],
    store: Store,
    *parents: CancellationToken,
    limit: float | None,
    around_job: JobSurroundings | None = None,
    what: str = "the work",
    on_abandon: OnAbandon = abandon,
    on_token: Callable[[EngineToken], object] | None = None,
) -> T:
    """Do `work` on a pool's thread, behind a fence, with a token below the `parents`.

    Args:
        work: gets the fenced store and the token.
        store: the store as the caller sees it.
        parents: each ends the wait when it is cancelled, or its time is up.
        limit: seconds; ends the wait as well.
        around_job: what surrounds the job on the pool's thread.
        what: how an error names it.
        on_abandon: abandons the job; it may emit events, too.
        on_token: gets the token first, on this thread; it may cancel it.

    Returns:
        What `work` returned; what it raised is raised.

    Raises:
        Abandoned: the wait ended first. The store is closed to the work by then.
        WorkflowError: there is no thread, as at the interpreter's exit.
    """
    nesting = Nesting.current()
    pool = process_pool(nesting.depth + 1)
    stopped = Wakeup()
    own_deadline = None if limit is None else world.monotonic() + limit
    token = EngineToken(*parents, deadline=own_deadline, wakeup=stopped)
    fenced, gate = fence(store, nesting.gate)
    context = copy_context()
    inside = Nesting(nesting.depth + 1, on_user_executor=nesting.on_user_executor, gate=gate)
    context.run(inside.enter, token)

    def do(job: Job) -> T:
        token.check()  # the job may have waited for a thread until nobody wanted it any more
        if around_job is not None:
            with around_job:
                return work(fenced, token)
        return work(fenced, token)

    completion = Completion[T]()
    job = Job(pool, do, context=context, future=completion)
    ended = False

    def leave() -> None:
        """What is to be done at the end; again, where Ctrl-C comes in the middle."""
        if not ended:  # by a cancellation, a deadline or Ctrl-C
            token.cancel_nowait("interrupted")
            gate.close(WRITE_GRACE)
            if not completion.cancel():
                on_abandon(job, token.reason)
        token.release()

    try:
        if on_token is not None:
            on_token(token)
        if not token.cancel_called:
            try:
                pool.start(job)
            except RuntimeError as error:
                raise WorkflowError(f"there is no thread for {what}: {error}") from error
            wait_first(completion, stopped, token.deadline)
            # What it raised once it was cancelled is a consequence of that.
            if completion.done() and not (token.cancelled and completion.exception() is not None):
                ended = True
                return _result(completion, token)
        cancel_called, reason = token.cancel_called, token.reason
        # The token's deadline is the earliest of all: is it our own?
        timed_out = not cancel_called and limit is not None and own_deadline == token.deadline
        token.cancel_nowait(TIME_IS_UP)
        raise Abandoned(
            timed_out=timed_out,
            cancel_called=cancel_called,
            reason=reason,
            error=_last_word(completion),
        )
    finally:
        interrupt: BaseException | None = None
        for _ in INTERRUPTS:
            try:
                leave()
                break
            except BaseException as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt


def _result(completion: Completion[T], token: EngineToken) -> T:
    error = completion.exception()
    if error is not None and not isinstance(error, Exception | Cancelled):
        token.cancel("interrupted")  # it wants out of the program: whoever listens shall stop
    return completion.result()


def _last_word(completion: Completion[Any]) -> BaseException | None:
    """What the work raised, if it ends within the grace that cancelled work gets."""
    wait_first(completion, None, world.monotonic() + LAST_WORD_GRACE)
    return completion.exception() if completion.done() else None
