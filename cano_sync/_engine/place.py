"""Where a task runs: how deep, on whose executor, behind which fence."""

from __future__ import annotations

__all__ = ("Place", "enter", "here")

from contextvars import ContextVar

from ..ambient import enter_token
from ..cancellation import CancellationToken
from ..fence import Gate


class Place:
    """Where a task runs: how deep, whether below a user's executor, behind which gate."""

    __slots__ = ("borrowed", "depth", "gate")

    def __init__(self, depth: int = 0, *, borrowed: bool = False, gate: Gate | None = None) -> None:
        self.depth = depth
        self.borrowed = borrowed
        self.gate = gate


_OUTSIDE = Place()
_place: ContextVar[Place] = ContextVar("cano_sync.place", default=_OUTSIDE)


def here() -> Place:
    """The place of the code that calls."""
    return _place.get()


def enter(place: Place, token: CancellationToken | None) -> None:
    """Make them the current ones, in the context that this is called in."""
    _place.set(place)
    enter_token(token)
