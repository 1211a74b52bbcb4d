"""Recorded runs on a terminal: `cano-sync runs` and `cano-sync show`."""

from __future__ import annotations

__all__ = ("checkpoints_at", "runs_text", "show_text", "write_page")

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .._base.text import one_line
from ..checkpoints import RunRecord, RunStatus, SQLiteCheckpoints, StepKind, StepRecord
from ..observe.recording.page import page
from ..observe.recording.record import Record, Span, Visit
from ..observe.recording.text import cells, clip, duration_text, pad, plural, safe_repr
from ..observe.status import Status
from .errors import CommandError, ProgramError
from .report import plain

WIDEST = 60
"""Cells of a value in a line."""

_STATUS = {
    RunStatus.READY: Status.CANCELLED,
    RunStatus.RUNNING: Status.RUNNING,
    RunStatus.DONE: Status.SUCCEEDED,
    RunStatus.FAILED: Status.FAILED,
}


def checkpoints_at(path: Path) -> SQLiteCheckpoints:
    """The file at a path, which has to be there: looking makes none.

    Raises:
        CommandError: there is none.
    """
    if not path.is_file():
        raise CommandError(f"--checkpoints: there is no file {path}")
    return SQLiteCheckpoints(path)


def _when(moment: float | None) -> str:
    if moment is None:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def _what(run: RunRecord) -> str:
    """What has become of a run, and who has it."""
    if run.status is not RunStatus.RUNNING or run.owner is None:
        return run.status.name.lower()
    if run.owner.is_alive:
        return f"running, process {run.owner.pid} on {run.owner.host}"
    return f"ready, process {run.owner.pid} on {run.owner.host} has died"


def runs_text(runs: Sequence[RunRecord], layout: str) -> str:
    """A listing, as text or as JSON."""
    if layout == "json":
        return json.dumps([_as_data(run) for run in runs], indent=2) + "\n"
    heads = ("id", "workflow", "state", "steps", "began", "what")
    rows = [
        (
            run.id,
            run.workflow,
            run.state,
            str(run.seq + 1),
            _when(run.created_at),
            _what(run) + (f": {run.problem}" if run.problem else ""),
        )
        for run in runs
    ]
    return "".join(_table(heads, rows))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    lines = [heads, *([one_line(cell) for cell in row] for row in rows)]
    widths = [max(cells(line[number]) for line in lines) for number in range(len(heads))]
    for line in lines:
        padded = [pad(cell, width) for cell, width in zip(line, widths, strict=True)]
        yield "  ".join(padded).rstrip() + "\n"


def show_text(run: RunRecord, layout: str) -> str:
    """A run with its steps, as text or as JSON."""
    if layout == "json":
        return json.dumps(_as_data(run), indent=2) + "\n"
    ended = "" if run.ended_at is None else f", ended {_when(run.ended_at)}"
    lines = [
        f"{run.id}: {_what(run)}, in {run.state}",
        f"workflow {run.workflow}, version {run.version}; began {_when(run.created_at)}{ended}",
    ]
    if run.token > 1:
        lines.append(f"it was taken up {plural(run.token, 'time')}")
    if run.error is not None:
        lines.append(f"failed with {run.error}")
    if run.problem is not None:
        lines.append(f"damaged: {run.problem}")
    rows = []
    for number, step in enumerate(run.steps):
        following = run.steps[number + 1] if number + 1 < len(run.steps) else None
        lasted = "" if following is None else duration_text(following.entered_at - step.entered_at)
        rows.append((str(step.seq), step.state, _when(step.entered_at), lasted, _note(run, number)))
    heads = ("step", "state", "entered", "for", "with")
    return "".join(f"{one_line(line)}\n" for line in lines) + "".join(_table(heads, rows))


def _note(run: RunRecord, number: int) -> str:
    """What there is to say of a step: how the run came there, and whether it was begun again."""
    step = run.steps[number]
    is_last = number + 1 == len(run.steps)
    token = run.token if is_last else run.steps[number + 1].token
    parts: list[str] = []
    if step.kind is StepKind.UPGRADED:
        parts.append(f"put here by version {run.version}")
    if token > step.token and not (is_last and run.status is RunStatus.DONE):
        parts.append("begun again by another call")
    if step.error is not None:
        parts.append(f"after {step.error}")
    parts += _changes(step)
    return ", ".join(parts)


def _changes(step: StepRecord) -> Iterator[str]:
    for key, value in step.changes.items():
        yield f"{key}={clip(one_line(safe_repr(value)), WIDEST)}"
    for key in step.removed:
        yield f"no {key}"


def _as_data(run: RunRecord) -> dict[str, Any]:
    """A run as data for JSON."""
    data = asdict(run)
    data["status"] = run.status.name.lower()
    data["owner"] = None if run.owner is None else run.owner._asdict()
    data["steps"] = [
        {**asdict(step), "kind": step.kind.name.lower(), "changes": dict(step.changes)}
        for step in run.steps
    ]
    made: dict[str, Any] = plain(data)
    return made


def write_page(run: RunRecord, path: Path) -> None:
    """Draw a run as a page, over all the processes that were at it.

    Raises:
        ProgramError: it cannot be written.
    """
    visits = _visits(run)
    numbers = {id(visit): number for number, visit in enumerate(visits)}
    drawn = Record(
        run_id=run.id,
        state=run.state,
        status=_STATUS[run.status],
        started_at=run.created_at,
        duration=max(0.0, run.changed_at - run.created_at),
        reason="not ended: it can go on" if run.status is RunStatus.READY else None,
        visits=tuple(visits),
    )

    def note(visit: Visit, span: Span | None) -> str:
        return _note(run, numbers[id(visit)])

    title = f"{run.workflow} {run.id}: {_what(run)}, in {run.state}"
    try:
        path.write_text(page(drawn, one_line(title), note), encoding="utf-8")
    except OSError as error:
        raise ProgramError(f"--html: {path} cannot be written: {error.strerror}") from error


def _visits(run: RunRecord) -> list[Visit]:
    visits: list[Visit] = []
    for number, step in enumerate(run.steps):
        is_last = number + 1 == len(run.steps)
        until = run.changed_at if is_last else run.steps[number + 1].entered_at
        has_failed = not is_last and run.steps[number + 1].error is not None
        status = _STATUS[run.status] if is_last else Status.SUCCEEDED
        visits.append(
            Visit(
                state=step.state,
                began=max(0.0, step.entered_at - run.created_at),
                duration=max(0.0, until - step.entered_at),
                status=Status.FAILED if has_failed else status,
                is_exit=is_last and run.status is RunStatus.DONE,
                next_state=None if is_last else run.steps[number + 1].state,
            )
        )
    return visits
