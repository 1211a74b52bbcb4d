"""Nesting: how deep in other runs a task is, on whose executor, and behind which gate."""

from __future__ import annotations

__all__ = ("Nesting", "inline", "is_abandoned")

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from .._base.cancellation import CancellationToken
from .._base.current import set_current_token
from .._base.fence import Gate


class Nesting:
    """What a run that begins inside a task has to know about that task. Immutable.

    Attributes:
        depth: how many hand-overs to another thread lie above; 0 outside all runs. Work at one
            depth only ever waits for work that is deeper, so the process keeps one pool for each
            depth, and no pool waits for itself (law 3). It travels with the `contextvars` context:
            in a plain `threading.Thread` that a task starts, which has none of it, a run is at
            depth 0 again, and can wait for the pool whose threads wait for that task. Code that
            starts such threads gives them the task's context: `copy_context().run`.
        on_user_executor: whether one of those hand-overs went to a user's executor.
        gate: the gate that the task's store accesses pass, or None outside all fences.
        is_inline: whether nothing is handed over to another thread: branches run one after the
            other where the run is, which stays on its caller's thread (for users' tests).
    """

    __slots__ = ("depth", "gate", "is_inline", "on_user_executor")

    def __init__(
        self,
        depth: int = 0,
        *,
        on_user_executor: bool = False,
        gate: Gate | None = None,
        is_inline: bool = False,
    ) -> None:
        self.depth = depth
        self.on_user_executor = on_user_executor
        self.gate = gate
        self.is_inline = is_inline

    @staticmethod
    def current() -> Nesting:
        """That of the code that calls."""
        return _current.get()

    def enter(self, token: CancellationToken | None) -> None:
        """Make this the current one in the context that this is called in, and so the token."""
        _current.set(self)
        set_current_token(token)


@contextmanager
def inline() -> Iterator[None]:
    """Hand nothing over to another thread, in runs that begin in this context within the block.

    Branches run one after the other on the run's thread; a run with a time limit or a token stays
    on its caller's, as do attempts; what is submitted has ended when `submit` returns. An around
    that would refuse to hand a run or an attempt over is asked all the same.
    """
    nesting = _current.get()
    token = _current.set(
        Nesting(
            nesting.depth,
            on_user_executor=nesting.on_user_executor,
            gate=nesting.gate,
            is_inline=True,
        )
    )
    try:
        yield
    finally:
        _current.reset(token)


_OUTSIDE = Nesting()  # immutable, so that every context may share it
_current: ContextVar[Nesting] = ContextVar("cano_sync.nesting", default=_OUTSIDE)


def is_abandoned(token: CancellationToken) -> bool:
    """Whether the run has gone on, or will, without the code that calls: its result is dropped.

    Args:
        token: that of the task.
    """
    gate = _current.get().gate
    return token.cancelled or (gate is not None and gate.is_closed)
