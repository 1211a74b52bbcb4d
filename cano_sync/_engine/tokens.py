"""The engine's own tokens: of a run, an attempt, a split."""

from __future__ import annotations

__all__ = ("EngineToken",)

from ..callbacks import Callback, announce
from ..cancellation import CancellationToken, _lock


class EngineToken(CancellationToken):
    """A token whose deadline a coordinator waits for; `release` it at the end.

    It is linked to its parents at once, so that its flag alone tells whether somebody cancelled.

    Args:
        parents: the cancellation and the time limit of each are this one's too.
        deadline: its own, on the clock of `time.monotonic()`; the earliest of all counts.
        bell: called when somebody cancels, before any callback of a user.
    """

    __slots__ = ("_bell",)

    _driven = True

    def __init__(
        self,
        *parents: CancellationToken,
        deadline: float | None = None,
        bell: Callback | None = None,
    ) -> None:
        self._bell = bell
        self._begin(deadline, parents)
        if not parents:
            return
        with _lock:
            self._link()
        # First linked, then looked: whoever cancels meanwhile finds us, or is seen here. The
        # parents' deadlines are ours as well, and no news.
        for parent in parents:
            if parent._is_told:
                announce(*self._mark(parent.reason))

    @property
    def is_told(self) -> bool:
        """Whether somebody cancelled it; that its time is up does not count."""
        return self._cancelled

    def cancel_apart(self, reason: str) -> None:
        """Cancel without waiting for the callbacks: a run that is over its time is not held up."""
        announce(*self._mark(reason), apart=True)

    def release(self) -> None:
        """Cut it off its parents, which may outlive it by far, and off whom its bell would wake."""
        self._bell = None
        if self._linked:
            with _lock:
                timers = self._unlink()
            for timer in timers:
                timer.cancel()
