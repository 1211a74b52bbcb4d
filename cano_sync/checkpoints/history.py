"""What is recorded of runs, for people: plain values that are read as far as they can be."""

from __future__ import annotations

__all__ = ("RunRecord", "StepRecord", "error_line", "record_of")

import json
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from .._base.codec import ValueCodec
from .._base.delta import changes_in
from .._base.text import error_text
from .._model.checkpoint import Owner, RunRow, RunStatus, StepKind, StepRow
from ..errors import CorruptCheckpointError

_VALUES = ValueCodec()  # it knows no types: each has a placeholder


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A recorded step of a run: the entry of a state.

    Attributes:
        seq: its number, from 0.
        state: the name of the state.
        entered_at: when, in seconds since the epoch.
        token: the run's at the time: it rises where another process has taken the run over.
        kind: whether the state was entered, or another version has put the run there.
        is_full: whether `changes` is all that the store held.
        changes: the keys of the store that the state before has changed, with their values; a
            value of a type of yours is shown by a placeholder.
        removed: the keys that it has removed.
        error: the error that led to this state, as one line, or None.
    """

    seq: int
    state: str
    _: KW_ONLY
    entered_at: float
    token: int
    kind: StepKind
    is_full: bool
    changes: Mapping[str, Any]
    removed: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A recorded run.

    Attributes:
        id: its id.
        workflow: the name of its workflow.
        version: the workflow's version.
        status: READY, RUNNING, DONE or FAILED.
        state: the name of the state where it is, or has ended.
        seq: the number of its latest step.
        token: how often it was claimed, from 1.
        owner: the process that has it, or None; with `is_alive`.
        begun: how often the visit of its state was begun again.
        initial: the name of its initial state.
        created_at: when it began, in seconds since the epoch.
        changed_at: when it was written last.
        ended_at: when it ended, or None.
        error: what it has failed with, as one line, or None.
        problem: what of it cannot be read, or None.
        steps: its steps in order; none in a listing.
    """

    id: str
    workflow: str
    _: KW_ONLY
    version: Any
    status: RunStatus
    state: str
    seq: int
    token: int
    owner: Owner | None
    begun: int
    initial: str
    created_at: float
    changed_at: float
    ended_at: float | None
    error: str | None = None
    problem: str | None = None
    steps: tuple[StepRecord, ...] = field(default=())

    @property
    def store(self) -> dict[str, Any]:
        """What the store held at the latest step."""
        values: dict[str, Any] = {}
        for step in self.steps:
            if step.is_full:
                values.clear()
            values.update(step.changes)
            for key in step.removed:
                values.pop(key, None)
        return values


def record_of(
    run: RunRow, owner: Owner | None, steps: Iterable[StepRow] = (), problem: str | None = None
) -> RunRecord:
    """A run as a record; what cannot be read of it is its problem, after the one that is known."""
    problems = [] if problem is None else [problem]
    records: list[StepRecord] = []
    for step in steps:
        try:
            records.append(_step(step))
        except CorruptCheckpointError as error:
            problems.append(f"step {step.seq}: {error}")
            break
    try:
        version = json.loads(run.version)
    except ValueError:
        version = run.version
        problems.append(f"its version {run.version!r} cannot be read")
    return RunRecord(
        run.id,
        run.workflow,
        version=version,
        status=run.status,
        state=run.state,
        seq=run.seq,
        token=run.token,
        owner=owner,
        begun=run.begun,
        initial=run.initial,
        created_at=run.created_at,
        changed_at=run.changed_at,
        ended_at=run.ended_at,
        error=None if run.error is None else error_line(run.error),
        problem="; ".join(problems) or None,
        steps=tuple(records),
    )


def _step(step: StepRow) -> StepRecord:
    given, removed = changes_in(step.delta)
    return StepRecord(
        step.seq,
        step.state,
        entered_at=step.entered_at,
        token=step.token,
        kind=step.kind,
        is_full=step.is_full,
        changes={key: _VALUES.restore(value, lenient=True) for key, value in given.items()},
        removed=tuple(removed),
        error=None if step.error is None else error_line(step.error),
    )


def error_line(text: str) -> str:
    """A recorded error as one line."""
    try:
        error = _VALUES.decode(text, lenient=True)
    except CorruptCheckpointError:
        return "an error that cannot be read"
    return error_text(error) if isinstance(error, BaseException) else str(error)
