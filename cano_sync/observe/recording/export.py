"""A record as plain data, for JSON and other programs."""

from __future__ import annotations

__all__ = ("to_dict",)

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from ..._model.join import JoinConfig
from ...errors import root_of
from ..status import Status
from .record import Attempt, JoinRecord, Record, Span, Visit
from .text import name_of, safe_repr


def to_dict(record: Record) -> dict[str, Any]:
    """The record as what `json.dumps` takes: states by name, values by repr, errors by text."""
    return _fields(record) | {"state": None if record.run_id is None else name_of(record.state)}


def _fields(part: Record | Visit | Span | Attempt | JoinRecord) -> dict[str, Any]:
    """A part of a record, by the names of its fields; a join has those of its configuration."""
    data: dict[str, Any] = {}
    for field in fields(part):
        value = getattr(part, field.name)
        if isinstance(value, JoinConfig):
            data |= _config(value)
        else:
            data[field.name] = None if value is None else _BY_NAME.get(field.name, _plain)(value)
    return data


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if isinstance(value, Visit | Span | Attempt | JoinRecord):
        return _fields(value)
    return value.value if isinstance(value, Status) else value


def _config(config: JoinConfig[Any]) -> dict[str, Any]:
    return {
        "strategy": repr(config.strategy),
        "join_state": name_of(config.join_state),
        "timeout": config.timeout,
        "bulkhead": config.bulkhead,
    }


def _error(error: BaseException) -> dict[str, Any]:
    """Its type and text, and those of what a task has raised, if that is inside."""
    root = root_of(error)
    data = {"type": type(error).__name__, "text": _text(error)}
    return data if root is error else {**data, "cause": _error(root)}


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as other:
        return f"(its text raised {type(other).__name__})"


_BY_NAME: Mapping[str, Callable[[Any], Any]] = {
    "state": name_of,
    "next_state": name_of,
    "error": _error,
    "value": safe_repr,
    "verdict": lambda verdict: verdict.value,
}
