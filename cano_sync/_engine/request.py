"""What a run that is recorded was asked for."""

from __future__ import annotations

__all__ = ("Request",)

from typing import NamedTuple


class Request(NamedTuple):
    """What a run that is recorded was asked for.

    Attributes:
        run_id: its id; None for a new one.
        has_store: whether the caller has said what its store holds at first.
        takeover: whether to take it from an owner that lives.
    """

    run_id: str | None = None
    has_store: bool = False
    takeover: bool = False
