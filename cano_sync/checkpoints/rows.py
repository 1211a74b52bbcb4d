"""Rows of a database as values, and back: checked, so that a damaged one is found."""

from __future__ import annotations

__all__ = ("RUN_COLUMNS", "STEP_COLUMNS", "row_of", "run_of", "step_of")

import zlib
from collections.abc import Sequence
from typing import Any

from .._model.checkpoint import RunRow, RunStatus, StepKind, StepRow
from ..errors import CorruptCheckpointError

RUN_COLUMNS = ", ".join(RunRow._fields)
STEP_COLUMNS = ", ".join((*StepRow._fields, "crc"))

_TEXT, _NUMBER, _TIME, _MAYBE_TEXT, _MAYBE_TIME = (
    (str,),
    (int,),
    (float, int),
    (str, type(None)),
    (float, int, type(None)),
)
_RUN_TYPES = (
    _TEXT, _TEXT, _TEXT, _TEXT, _NUMBER, _TEXT, _NUMBER, _NUMBER, _MAYBE_TEXT, _NUMBER, _TEXT,
    _TEXT, _MAYBE_TEXT, _TIME, _TIME, _MAYBE_TIME,
)  # fmt: skip
_STEP_TYPES = (_NUMBER, _TEXT, _TIME, _NUMBER, _NUMBER, _NUMBER, _TEXT, _MAYBE_TEXT, _NUMBER)


def row_of(run_id: str, step: StepRow) -> tuple[Any, ...]:
    """The row of a step, with its checksum: that finds what was torn or edited.

    All in it are plain values, for which sqlite3 has not to look for an adapter.
    """
    seq, state, entered_at, token, kind, is_full, delta, error = step
    number, full = int(kind), 1 if is_full else 0
    # In hexadecimal a float is written in a tenth of the time.
    text = f"{run_id}|{seq}|{state}|{entered_at.hex()}|{token}|{number}|{full}|{delta}|{error}"
    crc = zlib.crc32(text.encode())
    return run_id, seq, state, entered_at, token, number, full, delta, error, crc


def run_of(row: Sequence[Any]) -> RunRow:
    """A row of `run`.

    Raises:
        CorruptCheckpointError: it is damaged.
    """
    where = f"the row of run {row[0]!r} is damaged: "
    for name, value, kinds in zip(RunRow._fields, row, _RUN_TYPES, strict=True):
        if type(value) not in kinds:
            raise _corrupt(f"{where}{name} is {value!r}", row[0])
    run = RunRow(*row)
    try:
        run = run._replace(status=RunStatus(run.status))
    except ValueError:
        raise _corrupt(f"{where}there is no status {run.status}", run.id) from None
    if run.seq < 0 or run.token < 1:
        raise _corrupt(f"{where}seq is {run.seq}, and token {run.token}", run.id)
    return run


def step_of(run_id: str, row: Sequence[Any]) -> StepRow:
    """A row of `step`.

    Raises:
        CorruptCheckpointError: it is damaged.
    """
    where = f"step {row[0]!r} of run {run_id!r} is damaged: "
    for name, value, kinds in zip((*StepRow._fields, "crc"), row, _STEP_TYPES, strict=True):
        if type(value) not in kinds:
            raise _corrupt(f"{where}{name} is {value!r}", run_id)
    seq, state, entered_at, token, kind, is_full, delta, error, crc = row
    try:
        step = StepRow(
            seq, state, float(entered_at), token, StepKind(kind), bool(is_full), delta, error
        )
    except ValueError:
        raise _corrupt(f"{where}there is no kind {kind}", run_id) from None
    if row_of(run_id, step)[-1] != crc:
        raise _corrupt(f"{where}its checksum is another one", run_id)
    return step


def _corrupt(message: str, run_id: Any) -> CorruptCheckpointError:
    return CorruptCheckpointError(
        f"{message}; restore a copy of the database, or begin the run under another id",
        run_id=run_id if isinstance(run_id, str) else None,
    )
