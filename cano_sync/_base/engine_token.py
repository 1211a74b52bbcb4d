"""The engine's own tokens: of a run, an attempt, a split."""

from __future__ import annotations

__all__ = ("EngineToken",)

from .cancellation import CancellationToken, _lock
from .waiting import Callback, call_callbacks


class EngineToken(CancellationToken):
    """A token whose deadline a coordinator waits for; `release` it at the end.

    It is linked to its parents at once, so that its flag alone tells whether somebody cancelled.

    Args:
        parents: the cancellation and the time limit of each are this one's too.
        deadline: its own, on the clock of `time.monotonic()`; the earliest of all counts.
        wakeup: called when somebody cancels, before any callback of a user.
    """

    __slots__ = ("_wakeup",)

    _is_engine_owned = True

    def __init__(
        self,
        *parents: CancellationToken,
        deadline: float | None = None,
        wakeup: Callback | None = None,
    ) -> None:
        self._wakeup = wakeup
        self._begin(deadline, parents)
        if not parents:
            return
        with _lock:
            self._link()
        # First linked, then looked: whoever cancels meanwhile finds us, or is seen here. The
        # parents' deadlines are ours as well, and no events.
        for parent in parents:
            if parent._cancel_called:
                call_callbacks(*self._mark(parent.reason))

    @property
    def cancel_called(self) -> bool:
        """Whether somebody cancelled it; that its time is up does not count."""
        return self._cancelled

    def cancel_nowait(self, reason: str) -> None:
        """Cancel without waiting for the callbacks: a run that is over its time is not held up."""
        call_callbacks(*self._mark(reason), nowait=True)

    def release(self) -> None:
        """Cut it off its parents, which may outlive it by far, and off its wakeup."""
        self._wakeup = None
        if self._linked:
            with _lock:
                timers = self._unlink()
            for timer in timers:
                timer.cancel()
