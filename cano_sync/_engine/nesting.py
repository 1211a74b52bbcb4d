"""Nesting: how deep in other runs a task is, on whose executor, and behind which gate."""

from __future__ import annotations

__all__ = ("Nesting",)

from contextvars import ContextVar

from .._base.cancellation import CancellationToken
from .._base.current import set_current_token
from .._base.fence import Gate


class Nesting:
    """What a run that begins inside a task has to know about that task. Immutable.

    Attributes:
        depth: how many hand-overs to another thread lie above; 0 outside all runs. Work at one
            depth only ever waits for work that is deeper, so the process keeps one pool for each
            depth, and no pool waits for itself (law 3).
        on_user_executor: whether one of those hand-overs went to a user's executor.
        gate: the gate that the task's store accesses pass, or None outside all fences.
    """

    __slots__ = ("depth", "gate", "on_user_executor")

    def __init__(
        self, depth: int = 0, *, on_user_executor: bool = False, gate: Gate | None = None
    ) -> None:
        self.depth = depth
        self.on_user_executor = on_user_executor
        self.gate = gate

    @staticmethod
    def current() -> Nesting:
        """That of the code that calls."""
        return _current.get()

    def enter(self, token: CancellationToken | None) -> None:
        """Make this, and the token, the current ones in the context that this is called in."""
        _current.set(self)
        set_current_token(token)


_OUTSIDE = Nesting()  # immutable, so that every context may share it
_current: ContextVar[Nesting] = ContextVar("cano_sync.nesting", default=_OUTSIDE)
