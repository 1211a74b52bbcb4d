"""Records made by hand, for tests of what draws them."""

from __future__ import annotations

from typing import Any

from cano_sync import JoinConfig, JoinStrategy, Verdict
from cano_sync.observe import JoinRecord, Record, Span, Status, Visit

DONE = Status.SUCCEEDED


def span(
    name: str = "task",
    index: int | None = 0,
    *,
    began: float | None = 0.0,
    took: float = 1.0,
    status: Status = DONE,
    **more: Any,
) -> Span:
    """A branch, or with None for an index the task of a state."""
    return Span(name=name, index=index, began=began, duration=took, status=status, **more)


def visit(
    state: Any = "STATE",
    *,
    began: float = 0.0,
    took: float = 1.0,
    status: Status = DONE,
    **more: Any,
) -> Visit:
    return Visit(state=state, began=began, duration=took, status=status, **more)


def exit_visit(state: Any = "END", *, began: float = 1.0) -> Visit:
    return visit(state, began=began, took=0.0, is_exit=True)


def split_visit(*spans: Span, took: float = 1.0, strategy: Any = None, **more: Any) -> Visit:
    join: JoinConfig[Any] = JoinConfig(strategy or JoinStrategy.ALL, "NEXT")
    joined = JoinRecord(config=join, verdict=Verdict.PROCEED, duration=took)
    return visit(more.pop("state", "SPLIT"), took=took, spans=spans, join=joined, **more)


def record(*visits: Visit, took: float = 1.0, status: Status = DONE, **more: Any) -> Record:
    state = visits[-1].state if visits else "START"
    return Record(run_id="run", state=state, status=status, duration=took, visits=visits, **more)
