"""`RunReport`: how a run has ended, as text and as JSON."""

from __future__ import annotations

__all__ = ("RunReport", "plain", "problems_as_json")

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import date, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from .._base.text import error_text, full_name, one_line, state_name
from ..errors import CanoError, JoinError
from ..observe import Status

NAMED = 8
"""How many tasks a line names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """How a run has ended.

    Attributes:
        outcome: SUCCEEDED, FAILED, TIMED_OUT, CANCELLED or NOT_STARTED.
        state: the exit state, or the one where it stopped or was to begin.
        seconds: how long it took.
        run_id: the run's id, if it has begun.
        error: what it raised.
        reason: who cancelled it, or why.
        cancelled: the tasks of that state that were cancelled and have returned.
        abandoned: those whose threads still run.
        shown: keys and values of the store that were asked for.
        missing: keys that were asked for and are not there.
    """

    outcome: Status
    state: Any
    seconds: float
    run_id: str | None = None
    error: CanoError | None = None
    reason: str | None = None
    cancelled: tuple[str, ...] = ()
    abandoned: tuple[str, ...] = ()
    shown: Mapping[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """One line for people, of a run that did not come to an exit state."""
        line, where = self.outcome.label, full_name(self.state)
        why = "" if self.error is None or self.reason else str(self.error)
        if where not in why:
            line += f" in {where}"
        line += f" after {self.seconds:.3f} s"
        line += f", by {self.reason}" if self.reason else f": {why}" if why else ""
        if isinstance(self.error, JoinError) and self.error.result is not None:
            line += f" ({self.error.result.summary})"
        if self.cancelled:
            line += f"; cancelled: {_listed(self.cancelled)}"
        if self.abandoned:
            line += f"; abandoned, still running: {_listed(self.abandoned)}"
        return line

    def text(self) -> str:
        """The lines for stdout: the exit state, and the keys that were asked for."""
        lines = [state_name(self.state)] if self.outcome is Status.SUCCEEDED else []
        for key, value in self.shown.items():
            said = value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)
            lines.append(f"{key}: {said}")
        return "".join(f"{one_line(line)}\n" for line in lines)

    def json(self) -> str:
        """All of it, as one JSON object."""
        error = self.error
        data: dict[str, Any] = {
            "outcome": self.outcome.value,
            "state": state_name(self.state),
            "seconds": round(self.seconds, 6),
            "run_id": self.run_id,
            "store": {key: plain(value) for key, value in self.shown.items()},
        }
        if error is not None:
            cause = None if error.__cause__ is None else error_text(error.__cause__)
            data["error"] = {
                "type": type(error).__name__,
                "message": str(error),
                "task": error.task,
                "cause": cause,
            }
            data["reason"] = self.reason
            data["cancelled"] = list(self.cancelled)
            data["abandoned"] = list(self.abandoned)
        return json.dumps(data, indent=2) + "\n"


def _listed(names: Sequence[str]) -> str:
    """The names, as far as a line has room for them; JSON has them all.

    >>> _listed(["swift", "steady"]), _listed([f"b{number}" for number in range(300)])
    ('swift, steady', 'b0, b1, b2, b3, b4, b5 and 294 more')
    """
    shown = names if len(names) <= NAMED else names[: NAMED - 2]
    more = f" and {len(names) - len(shown):,} more" if len(shown) < len(names) else ""
    return ", ".join(shown) + more


def problems_as_json(target: str | None, problems: Sequence[str]) -> str:
    """The JSON object of a run that could not begin."""
    data = {"outcome": Status.NOT_STARTED.value, "target": target, "problems": [*problems]}
    return json.dumps(data, indent=2) + "\n"


def plain(value: Any) -> Any:
    """A value as JSON can say it; what it cannot say, as Python would show it.

    >>> plain({"price": Decimal("8.90"), "offers": {3}, 1: float("nan")})
    {'price': '8.90', 'offers': [3], '1': 'nan'}
    """
    try:
        return _plain(value, frozenset())
    except RecursionError:
        return _shown(value)


def _plain(value: Any, inside: frozenset[int]) -> Any:
    if isinstance(value, Enum):
        return value.name
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):  # JSON knows no infinity, and no NaN
        return value if math.isfinite(value) else str(value)
    if isinstance(value, date | time_of_day):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal | UUID | PurePath):
        return str(value)
    if id(value) in inside:
        return "..."
    inside |= {id(value)}
    if isinstance(value, Mapping):
        return {str(_plain(key, inside)): _plain(each, inside) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each, inside) for each in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name), inside) for each in fields(value)}
    return _shown(value)


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # the user's own, of an object that is half made
        return f"<{type(value).__name__}>"
