"""A record as plain data, for JSON and other programs."""

from __future__ import annotations

__all__ = ("to_dict",)

from typing import Any

from ...errors import root_of
from .record import Attempt, JoinRecord, Record, Span, Visit
from .text import name_of, safe_repr


def to_dict(record: Record) -> dict[str, Any]:
    """The record as what `json.dumps` takes: states by name, values by repr, errors by text."""
    return {
        "run_id": record.run_id,
        "state": None if record.run_id is None else name_of(record.state),
        "status": record.status.value,
        "started_at": record.started_at,
        "duration": record.duration,
        "error": _error(record.error),
        "reason": record.reason,
        "visits": [_visit(visit) for visit in record.visits],
        "forgotten": record.forgotten,
    }


def _visit(visit: Visit) -> dict[str, Any]:
    return {
        "state": name_of(visit.state),
        "began": visit.began,
        "duration": visit.duration,
        "status": visit.status.value,
        "is_exit": visit.is_exit,
        "next_state": None if visit.next_state is None else name_of(visit.next_state),
        "error": _error(visit.error),
        "join": None if visit.join is None else _join(visit.join),
        "spans": [_span(span) for span in visit.spans],
    }


def _join(join: JoinRecord) -> dict[str, Any]:
    config = join.config
    return {
        "strategy": repr(config.strategy),
        "join_state": name_of(config.join_state),
        "timeout": config.timeout,
        "bulkhead": config.bulkhead,
        "verdict": None if join.verdict is None else join.verdict.value,
        "timed_out": join.timed_out,
        "duration": join.duration,
    }


def _span(span: Span) -> dict[str, Any]:
    return {
        "name": span.name,
        "index": span.index,
        "began": span.began,
        "duration": span.duration,
        "status": span.status.value,
        "error": _error(span.error),
        "reason": span.reason,
        "value": None if span.value is None else safe_repr(span.value),
        "attempts": [_attempt(attempt) for attempt in span.attempts],
        "late": span.late,
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "began": attempt.began,
        "duration": attempt.duration,
        "status": attempt.status.value,
        "error": _error(attempt.error),
        "delay": attempt.delay,
        "late": attempt.late,
    }


def _error(error: BaseException | None) -> dict[str, Any] | None:
    """Its type and text, and those of what a task has raised, if that is inside."""
    if error is None:
        return None
    root = root_of(error)
    data = {"type": type(error).__name__, "text": _text(error)}
    return data if root is error else {**data, "cause": _error(root)}


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as other:
        return f"(its text raised {type(other).__name__})"
