"""Limits on the calling thread: work is stopped as well as it listens, and else waited for."""

from __future__ import annotations

__all__ = ("Stopped", "run_here")

from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar

from .._base.cancellation import CancellationToken, Cancelled
from .._base.engine_token import EngineToken
from .._base.timer import TimerEntry, schedule
from .._base.waiting import Wakeup
from .._base.world import world
from .offload import TIME_IS_UP

T = TypeVar("T")

WORTH_SAYING = 0.05
"""Seconds from which on an error says how long the work was waited for."""


class Stopped(Exception):
    """The work was over its time, or cancelled, when it came back.

    Attributes:
        timed_out: whether its own time limit was the reason, or else a cancellation.
        reason: what was given to the token that was cancelled, or None.
        error: what the work had raised by then, as a consequence; None if it returned.
        late: seconds from then on for which it was waited for.
    """

    def __init__(
        self, *, timed_out: bool, reason: str | None, error: BaseException | None, late: float
    ) -> None:
        super().__init__()
        self.timed_out = timed_out
        self.reason = reason
        self.error = error
        self.late = late

    @property
    def waited(self) -> str:
        """For the end of a message: that it was waited for, and how long, where it was long."""
        if self.late < WORTH_SAYING:
            return ""
        return f"; what it was doing did not stop, and was waited for {self.late:.3g} s longer"


def run_here(
    work: Callable[[EngineToken], T],
    *parents: CancellationToken,
    limit: float | None,
    enter: Callable[[CancellationToken], object],
) -> T:
    """Do `work` on this thread, with a token below the `parents` that a limit cancels in time.

    Args:
        work: gets the token.
        parents: when one of them is cancelled, or its time is up, the token is cancelled.
        limit: seconds, after which it is cancelled as well.
        enter: called with the token first, in the `contextvars` context of the work.

    Returns:
        What `work` returned; what it raised is raised.

    Raises:
        Stopped: the token was cancelled before the work came back.
    """
    own_deadline = None if limit is None else world.monotonic() + limit
    cancelled_at: list[float] = []
    wakeup = Wakeup()
    wakeup.add_callback(lambda: cancelled_at.append(world.monotonic()))
    token = EngineToken(*parents, deadline=own_deadline, wakeup=wakeup)
    expired: list[bool] = []  # not empty once the time was up before anybody cancelled

    def expire() -> None:
        if not token.cancel_called:
            expired.append(True)
        token.cancel_nowait(TIME_IS_UP)

    deadline = token.deadline
    timer = None if deadline is None else TimerEntry(deadline, expire)
    context = copy_context()
    context.run(enter, token)
    raised: Exception | Cancelled | None = None
    outcome: list[T] = []
    try:
        if timer is not None:
            # So that the token's flag says so, which is all that the loop of a run looks at, and
            # what is registered with `on_cancel` is called. Waits look at the deadline itself.
            schedule(timer)
        outcome.append(context.run(work, token))
    except (Exception, Cancelled) as error:
        raised = error
    except BaseException:  # Ctrl-C: whatever looks at the token shall stop
        token.cancel("interrupted")
        raise
    finally:
        now = world.monotonic()
        is_stopped, reason = token.cancelled, token.reason
        timed_out = bool(expired) or not token.cancel_called
        if timer is not None:
            timer.cancel()
        token.release()
    if not is_stopped:
        if raised is not None:
            raise raised
        return outcome[0]
    since = deadline if timed_out and deadline is not None else min(cancelled_at, default=now)
    raise Stopped(
        timed_out=timed_out and own_deadline is not None and own_deadline == deadline,
        reason=reason,
        error=raised,
        late=now - since,
    )
