"""Whether a simulation is under way in this process, and on which stage."""

from __future__ import annotations

__all__ = ("Session", "current_stage", "outside", "session")

import _thread
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import SimulationError
from .stage import Stage


class Session:
    """There is one. It is exclusive: what a simulation stands in for, the process has only once.

    Attributes:
        stage: the stage of the run that is under way; None between two runs.
        owner: the identity of the thread that has taken it: the test's.
    """

    def __init__(self) -> None:
        self.stage: Stage | None = None
        self.owner = 0
        self._taken = _thread.allocate_lock()

    def begin(self) -> None:
        """Take it.

        Raises:
            SimulationError: somebody has it.
        """
        if not self._taken.acquire(False):
            raise SimulationError(
                "a simulation is under way in this process, and there can be one at a time: "
                "simulate() and explore() are not called within one another, nor on two threads "
                "at once"
            )
        self.owner = _thread.get_ident()

    def end(self) -> None:
        """Give it back."""
        self.stage = None
        self.owner = 0
        self._taken.release()


session = Session()


def current_stage() -> Stage | None:
    """The stage that the code that asks is an actor of; None on every other thread."""
    stage = session.stage
    if stage is not None and stage.ident == _thread.get_ident():
        return stage
    return None


@contextmanager
def outside() -> Iterator[None]:
    """Let a real call pass within a simulation: a socket, a file, a lock of somebody else's.

    Within the block the real clock, real locks and real sleeps are used, and nobody else goes on;
    it takes no virtual time. What it returns must be the same each time, or a seed does not replay.
    Outside a simulation it does nothing.

    >>> with outside():
    ...     pass  # connection.execute("select 1")
    """
    stage = current_stage()
    if stage is None:
        yield
        return
    ident, stage.ident, stage.is_outside = stage.ident, 0, True
    try:
        yield
    finally:
        stage.is_outside = False
        if stage.current is not None and stage.current.ident == ident:
            stage.ident = ident
