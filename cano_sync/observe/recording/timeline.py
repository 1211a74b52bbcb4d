"""A record as text: a line for each state and branch, along one axis of time."""

from __future__ import annotations

__all__ = ("MARKS", "PLAIN_MARKS", "Line", "check_height", "ending_text", "timeline")

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..._base.text import one_line
from ...errors import ConfigurationError, root_of
from ..status import Status
from .notes import Note, check_note
from .record import Record
from .rows import Look, Piece, Row, latest_rows_of, rows_of
from .text import (
    cells,
    clip,
    dropped_text,
    duration_text,
    error_line,
    name_of,
    pad,
    tick_text,
    ticks,
)

Line: TypeAlias = list[tuple[str, str]]
"""A line in pieces: a text, and what it is, for its colour."""

_NARROWEST = 40
_LOWEST = 4  # the axis, a row for what came before, one for the last state, and how it stands
_WIDEST = 200  # of those that nobody asked for: the eye loses the line
_LABELS_FROM = 64  # cells: in a narrower picture the marks stand for their words

# Bars, and what ends them. States are heavier than their branches.
_BARS = {
    Look.SUCCEEDED: ("━", ""),
    Look.FAILED: ("━", "✗"),
    Look.CANCELLED: ("╌", ""),
    Look.RUNNING: ("━", "…"),
    Look.TIMED_OUT: ("━", "◷"),
    Look.ATTEMPT_ABANDONED: ("━", "▶"),
    Look.WAIT: ("·", ""),
    Look.LATE: ("┈", ""),
    Look.ABANDONED: ("┈", "▶"),
    Look.EXIT: ("◆", ""),
    Look.SEVERAL: ("─", ""),
}
_STATE_BAR = {"━": "█"}
MARKS = {
    Status.RUNNING: "…",
    Status.SUCCEEDED: "✓",
    Status.FAILED: "✗",
    Status.TIMED_OUT: "◷",
    Status.CANCELLED: "⊘",
    Status.ABANDONED: "▶",
    Status.NOT_STARTED: "-",
}
# For an output that cannot show these.
_PLAIN = str.maketrans(
    {
        "━": "-", "█": "=", "╌": "~", "┈": ".", "─": "-", "·": ".", "✗": "x", "◷": "t", "✓": "+",
        "⊘": "/", "▶": ">", "…": "~", "µ": "u", "│": "|", "◆": "*",
    }
)  # fmt: skip
PLAIN_MARKS = {status: mark.translate(_PLAIN) for status, mark in MARKS.items()}


def timeline(
    record: Record,
    width: int | None = None,
    color: bool | None = None,
    note: Note | None = None,
    *,
    height: int | None = None,
    earlier: int = 0,
) -> str:
    """The run as text; see `Recorder.timeline`. So many `earlier` visits are not in the record."""
    check_note(note)
    check_height(height)
    if width is None:
        width = min(max(_NARROWEST, shutil.get_terminal_size().columns), _WIDEST)
    if isinstance(width, bool) or not isinstance(width, int) or width < _NARROWEST:
        raise ConfigurationError(
            f"timeline(width=...) is a number of cells, {_NARROWEST} or more, not {width!r}; leave "
            "it out for the terminal's width"
        )
    lines = _lines(record, width, note, height, earlier)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        "".join(_PLAIN_SIGNS).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        lines = [[(_encodable(text, encoding), what) for text, what in line] for line in lines]
    if _wants_colour() if color is None else color:
        return "\n".join("".join(_painted(text, what) for text, what in line) for line in lines)
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


_PLAIN_SIGNS = tuple(map(chr, _PLAIN))


def _encodable(text: str, encoding: str) -> str:
    text = text.translate(_PLAIN)
    try:
        return text.encode(encoding, "replace").decode(encoding)
    except LookupError:
        return text.encode("ascii", "replace").decode("ascii")


def _wants_colour() -> bool:
    """Whether the output goes to a terminal that shows colours."""
    try:
        is_terminal = sys.stdout.isatty()
    except (AttributeError, ValueError):  # there is none, or it is closed
        is_terminal = False
    return is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


# By what a text is: the parameters of a terminal's escape sequence, of the 16 colours that each
# theme has.
_STYLES = {
    "state": "1",
    "state succeeded": "34",
    "state exit": "1;32",
    "succeeded": "32",
    "failed": "1;31",
    "timed_out": "1;31",
    "cancelled": "33",
    "abandoned": "1;35",
    "running": "36",
    "attempt_abandoned": "1;35",
    "wait": "2;33",
    "late": "35",
    "several": "34",
    "not_started": "2",
    "axis": "2",
    "note": "2",
    "dim": "2",
}


def _painted(text: str, what: str) -> str:
    style = _STYLES.get(what) or _STYLES.get(what.removeprefix("state "))
    return f"\x1b[{style}m{text}\x1b[0m" if style and text.strip() else text


def check_height(height: object) -> None:
    """A number of lines that a picture fits into, or None."""
    if height is None:
        return
    if isinstance(height, bool) or not isinstance(height, int) or height < _LOWEST:
        raise ConfigurationError(
            f"timeline(height=...) is a number of lines, {_LOWEST} or more, not {height!r}; leave "
            "it out for the whole run"
        )


def _lines(
    record: Record, width: int, note: Note | None, height: int | None, earlier: int
) -> list[Line]:
    """The lines of the picture, each no wider than `width` cells."""
    if record.run_id is None:
        return [[("there was no run yet: workflow.with_observer(recorder)", "dim")]]
    ending = _ending(record, width)
    if height is None:
        rows, start = list(rows_of(record, note=note)), 0.0
    else:
        most = max(2, height - 1 - len(ending))
        rows = latest_rows_of(record, most, earlier=earlier, note=note)
        shown = [row.visit.began for row in rows if row.visit is not None]
        start = shown[0] if shown and rows[0].visit is None else 0.0  # after what is left out
    form = _Form.of(rows, start, record.duration, width)
    lines = [form.axis(), *(form.line(row) for row in rows)]
    if height is not None:
        return [*lines, *ending][:height]
    if record.forgotten:
        text = f"the {dropped_text(record.forgotten)}: Recorder(limit=...)"
        lines.append([(clip(text, width), "dim")])
    if width < _LABELS_FROM:
        lines += _legend(rows, width)
    return [*lines, [], *ending]


def _legend(rows: Iterable[Row], width: int) -> list[Line]:
    """What the marks mean that occur."""
    occur = {row.status for row in rows}
    entries = [f"{MARKS[status]} {status.label}" for status in Status if status in occur]
    # A mark and its word stay together: no line is broken at a space that is a no-break one.
    text = "  ".join(entry.replace(" ", "\u00a0") for entry in entries)
    lines = textwrap.wrap(text, width, break_on_hyphens=False)
    return [[], *([(line.replace("\u00a0", " "), "dim")] for line in lines)]


def _ending(record: Record, width: int) -> list[Line]:
    """What came of the run, in a line, and why in another."""
    lines: list[Line] = [[(clip(ending_text(record), width), record.status.value)]]
    why = None if record.error is None else error_line(root_of(record.error))
    if record.status is Status.CANCELLED and record.reason:
        why = one_line(record.reason)
    if why:
        lines.append([(clip(why, width), "note")])
    return lines


def ending_text(record: Record) -> str:
    """What became of a run, and where: so that it is not taken for a part of a state's name."""
    where, took = name_of(record.state), duration_text(record.duration)
    return f"{_ENDINGS[record.status]} {where} after {took}"


_ENDINGS = {
    Status.RUNNING: "running in",
    Status.SUCCEEDED: "succeeded in",
    Status.FAILED: "failed in",
    Status.TIMED_OUT: "timed out in",
    Status.CANCELLED: "cancelled in",
    Status.NOT_STARTED: "started in",
}


@dataclass(frozen=True, slots=True)
class _Form:
    """How wide the columns are.

    They are: the name, the bar, the duration, the status as a mark and perhaps its word, the note.
    """

    name: int
    bar: int
    duration: int
    status: int
    note: int
    start: float  # the moment where the axis begins
    scale: float  # cells a second
    has_labels: bool

    @classmethod
    def of(cls, rows: Sequence[Row], start: float, end: float, width: int) -> _Form:
        names = max((cells(_named(row)) for row in rows), default=0)
        notes = max((cells(row.note) for row in rows), default=0)
        name = min(names, max(width * 3 // 10, 12))
        duration = max((len(row.took) for row in rows), default=0)
        has_labels = width >= _LABELS_FROM
        words = max((len(row.word) for row in rows if has_labels), default=0)
        status = 1 + (1 + words if words else 0)
        rest = width - name - duration - status - 4
        note = min(notes, max(0, rest - max(24, width // 3)))
        if note < 8:  # not enough to say anything
            note = 0
        bar = rest - (note + 2 if note else 0)
        scale = bar / (end - start) if end > start else 0.0
        return cls(name, bar, duration, status, note, start, scale, has_labels)

    def axis(self) -> Line:
        """The head: where it begins, and each round moment from there."""
        text = ""
        for moment in self._ticks():
            at = round(moment * self.scale)
            label = "│" + self._label(moment)
            if at >= cells(text) and at + cells(label) <= self.bar + self.duration:
                text = pad(text, at) + label
        return [(" " * (self.name + 1) + text, "axis")]

    def _label(self, moment: float) -> str:
        if self.start <= 0:
            return tick_text(moment)
        return f"+{tick_text(moment)}" if moment else duration_text(self.start)

    def _ticks(self) -> list[float]:
        """As many round moments as there is room for their labels."""
        total = self.bar / self.scale if self.scale else 0.0
        moments = [0.0]
        for most in range(self.bar // 6, 1, -1):
            moments = ticks(total, most)
            labels = max(len(self._label(moment)) for moment in moments)
            if len(moments) == 1 or moments[1] * self.scale >= labels + 3:
                break
        return moments

    def line(self, row: Row) -> Line:
        what = "state" if not row.is_branch else "branch"
        line: Line = [(pad(_named(row), self.name) + " ", what)]
        line += self._bar(row)
        status = "" if row.status is None else MARKS[row.status]
        if self.has_labels and row.word:
            status += f" {row.word}"
        colour = "several" if row.status is None else row.status.value
        line.append((f" {row.took:>{self.duration}} ", "duration"))
        line.append((f" {pad(status, self.status)}", colour))
        if self.note and row.note:
            line.append(("  " + clip(row.note, self.note), "note"))
        return line

    def _bar(self, row: Row) -> Line:
        looks: list[tuple[str, str]] = [(" ", "")] * self.bar
        # What is of less interest first: what follows may have to share its cell.
        for piece in sorted(row.pieces, key=lambda piece: piece.look not in _FILLING):
            self._draw(piece, looks, is_state=not row.is_branch)
        line: Line = []
        for sign, what in looks:  # neighbours that look the same become one text
            if line and line[-1][1] == what:
                line[-1] = (line[-1][0] + sign, what)
            else:
                line.append((sign, what))
        return line

    def _draw(self, piece: Piece, looks: list[tuple[str, str]], *, is_state: bool) -> None:
        sign, mark = _BARS[piece.look]
        sign = _STATE_BAR.get(sign, sign) if is_state else sign
        # An abandoned thread is drawn from where the bar has ended, whose mark is to be seen.
        began = round if piece.look is Look.ABANDONED else int
        begin = max(0, min(began((piece.began - self.start) * self.scale), self.bar - 1))
        end = round((piece.ended - self.start) * self.scale)
        until = max(begin + 1, min(end, self.bar))
        if piece.look in _FILLING and round((piece.ended - piece.began) * self.scale) < 1:
            return  # too short to be seen, and it would hide what it follows
        what = f"state {piece.look.value}" if is_state else piece.look.value
        looks[begin:until] = [(sign, what)] * (until - begin)
        if mark:
            looks[until - 1] = (mark, what)


# Pieces that are of no interest by themselves.
_FILLING = {Look.WAIT, Look.LATE}


def _named(row: Row) -> str:
    return f"  {row.name}" if row.is_branch else row.name
