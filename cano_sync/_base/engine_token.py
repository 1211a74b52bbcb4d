"""The engine's own tokens: of a run, an attempt, a split."""

from __future__ import annotations

__all__ = ("EngineToken",)

from .cancellation import CancellationToken, _Cancellation, _lock
from .waiting import Wakeup, interruptible_wait


class EngineToken(CancellationToken):
    """A token whose deadline a coordinator waits for; `release` it at the end.

    It is linked to its parents from the beginning, so that its flag alone says whether somebody
    called `cancel()`.

    Args:
        parents: the cancellation and the time limit of each are this one's too.
        deadline: its own, on the clock of `time.monotonic()`; the earliest of all counts.
        wakeup: is set when somebody cancels, before any callback of a user is called.
    """

    __slots__ = ("_wakeup",)

    _is_engine_owned = True

    def __init__(
        self,
        *parents: CancellationToken,
        deadline: float | None = None,
        wakeup: Wakeup | None = None,
    ) -> None:
        self._wakeup = wakeup
        self._begin(deadline, parents)
        if not parents:
            return
        with interruptible_wait(), _lock:
            self._link()
        # First linked, then looked: whoever cancels meanwhile finds us, or is seen here. That a
        # parent's deadline has passed is nothing to react to: it is ours as well.
        for parent in parents:
            if parent._cancel_called:
                _Cancellation(self, reason=parent.reason).run()

    @property
    def cancel_called(self) -> bool:
        """Whether somebody cancelled it; that its time is up does not count."""
        return self._cancelled

    def cancel_nowait(self, reason: str) -> None:
        """Cancel without waiting for users' callbacks: a run that is over its time is not held up.

        Those who wait for it are woken before this returns.
        """
        _Cancellation(self, reason=reason, nowait=True).run()

    def release(self) -> None:
        """Cut it off its parents, which may outlive it by far, and off who would be woken."""
        self._wakeup = None
        if self._linked:
            with interruptible_wait(), _lock:
                self._unlink()
