"""A record as text: a line for each state and branch, along one axis of time."""

from __future__ import annotations

__all__ = ("MARKS", "Line", "ending_text", "lines_of", "timeline")

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TypeAlias

from ..._base.lazy import Lazy
from ...errors import ConfigurationError, root_of
from .notes import Note, check_note
from .record import Record, Status
from .rows import Look, Piece, Row, rows_of
from .text import (
    cells,
    clip,
    dropped_text,
    duration_text,
    error_text,
    name_of,
    one_line,
    pad,
    tick_text,
    ticks,
)

Line: TypeAlias = list[tuple[str, str]]
"""A line in pieces: a text, and what it is, for who colours it."""

_colours = Lazy(".colours", __package__)
_NARROWEST = 40
_WIDEST = 200  # of those that nobody asked for: the eye loses the line
_WORDS_FROM = 64  # cells: in a narrower picture the marks stand for their words

# Bars, and what ends them. States are heavier than their branches.
_BARS = {
    Look.DONE: ("━", ""),
    Look.FAILED: ("━", "✗"),
    Look.CANCELLED: ("╌", ""),
    Look.RUNNING: ("━", "…"),
    Look.LEFT: ("━", "▶"),
    Look.WAIT: ("·", ""),
    Look.LATE: ("┈", ""),
    Look.ABANDONED: ("┈", "▶"),
    Look.EXIT: ("◆", ""),
    Look.SOME: ("─", ""),
}
_STATE_BAR = {"━": "█"}
MARKS = {
    Status.RUNNING: "…",
    Status.SUCCEEDED: "✓",
    Status.FAILED: "✗",
    Status.CANCELLED: "⊘",
    Status.ABANDONED: "▶",
    Status.NOT_STARTED: "-",
}
# For an output that cannot show these.
_PLAIN = str.maketrans(
    {
        "━": "-", "█": "=", "╌": "~", "┈": ".", "─": "-", "·": ".", "✗": "x", "✓": "+", "⊘": "/",
        "▶": ">", "…": "~", "µ": "u", "│": "|", "◆": "*",
    }
)  # fmt: skip


def timeline(
    record: Record, width: int | None = None, color: bool | None = None, note: Note | None = None
) -> str:
    """The run as text; see `Recorder.timeline`."""
    check_note(note)
    if width is None:
        width = min(max(_NARROWEST, shutil.get_terminal_size().columns), _WIDEST)
    if isinstance(width, bool) or not isinstance(width, int) or width < _NARROWEST:
        raise ConfigurationError(
            f"timeline(width=...) is a number of cells, {_NARROWEST} or more, not {width!r}; leave "
            "it out for the terminal's width"
        )
    lines = lines_of(record, width, note)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        "".join(_PLAIN_SIGNS).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        lines = [[(_encodable(text, encoding), what) for text, what in line] for line in lines]
    if _wants_colour() if color is None else color:
        return str(_painted(lines))
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


_PLAIN_SIGNS = tuple(map(chr, _PLAIN))


def _encodable(text: str, encoding: str) -> str:
    text = text.translate(_PLAIN)
    try:
        return text.encode(encoding, "replace").decode(encoding)
    except LookupError:
        return text.encode("ascii", "replace").decode("ascii")


def _wants_colour() -> bool:
    """Whether the output goes to a terminal that shows colours, and somebody can make them."""
    try:
        is_terminal = sys.stdout.isatty()
    except (AttributeError, ValueError):  # there is none, or it is closed
        is_terminal = False
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return is_terminal and wanted and find_spec("rich") is not None


def _painted(lines: Sequence[Line]) -> str:
    try:
        return str(_colours.painted(lines))
    except ImportError as error:
        raise ConfigurationError(
            "timeline(color=True) needs the package rich: pip install 'cano_sync[cli]'"
        ) from error


def lines_of(record: Record, width: int, note: Note | None = None) -> list[Line]:
    """The lines of the picture, each no wider than `width` cells."""
    if record.run_id is None:
        return [[("no run has been told yet: workflow.with_observer(recorder)", "dim")]]
    rows = list(rows_of(record, note=note))
    form = _Form.of(rows, record.duration, width)
    lines = [form.axis(), *(form.line(row) for row in rows)]
    if record.forgotten:
        text = f"the {dropped_text(record.forgotten)}: Recorder(limit=...)"
        lines.append([(clip(text, width), "dim")])
    if width < _WORDS_FROM:
        lines += _legend(rows, width)
    lines += [[], *_ending(record, width)]
    return lines


def _legend(rows: Iterable[Row], width: int) -> list[Line]:
    """What the marks mean that occur."""
    statuses = dict.fromkeys(row.status for row in rows if row.status is not None)
    line = ""
    lines: list[Line] = [[]]
    for status in Status:
        if status in statuses:
            entry = f"{MARKS[status]} {status.value}"
            if cells(line) + cells(entry) + 2 > width:
                lines.append([(line, "dim")])
                line = ""
            line += ("  " if line else "") + entry
    return [*lines, [(line, "dim")]]


def _ending(record: Record, width: int) -> list[Line]:
    """What came of the run, in a line, and why in another."""
    lines: list[Line] = [[(clip(ending_text(record), width), record.status.value)]]
    why = None if record.error is None else error_text(root_of(record.error))
    if record.status is Status.CANCELLED and record.reason:
        why = one_line(record.reason)
    if why:
        lines.append([(clip(why, width), "note")])
    return lines


def ending_text(record: Record) -> str:
    """What came of a run: not to be taken for what its last state is called after."""
    where, took = name_of(record.state), duration_text(record.duration)
    return f"{_ENDINGS[record.status]} {where} after {took}"


_ENDINGS = {
    Status.RUNNING: "running in",
    Status.SUCCEEDED: "ended in",
    Status.FAILED: "failed in",
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
    scale: float  # cells a second
    has_words: bool

    @classmethod
    def of(cls, rows: Sequence[Row], total: float, width: int) -> _Form:
        names = max((cells(_named(row)) for row in rows), default=0)
        notes = max((cells(row.note) for row in rows), default=0)
        name = min(names, max(width * 3 // 10, 12))
        duration = max((len(_took(row)) for row in rows), default=0)
        words = width >= _WORDS_FROM
        status = 1 + max((len(_word(row)) for row in rows if words), default=0)
        rest = width - name - duration - status - 4
        note = min(notes, max(0, rest - max(24, width // 3)))
        if note < 8:  # not enough to say anything
            note = 0
        bar = rest - (note + 2 if note else 0)
        return cls(name, bar, duration, status, note, bar / total if total > 0 else 0.0, words)

    def axis(self) -> Line:
        """The head: where 0 is, and each round moment."""
        text = ""
        for moment in self._ticks():
            at = round(moment * self.scale)
            label = "│" + tick_text(moment)
            if at >= cells(text) and at + cells(label) <= self.bar + self.duration:
                text = pad(text, at) + label
        return [(" " * (self.name + 1) + text, "axis")]

    def _ticks(self) -> list[float]:
        """As many round moments as there is room for their labels."""
        total = self.bar / self.scale if self.scale else 0.0
        moments = [0.0]
        for most in range(self.bar // 6, 1, -1):
            moments = ticks(total, most)
            labels = max(len(tick_text(moment)) for moment in moments)
            if len(moments) == 1 or moments[1] * self.scale >= labels + 3:
                break
        return moments

    def line(self, row: Row) -> Line:
        what = "state" if not row.is_branch else "branch"
        line: Line = [(pad(_named(row), self.name) + " ", what)]
        line += self._bar(row)
        status = "" if row.status is None else MARKS[row.status]
        if self.has_words:
            status += _word(row)
        colour = "some" if row.status is None else row.status.value
        line.append((f" {_took(row):>{self.duration}} ", "duration"))
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
        sign, end = _BARS[piece.look]
        sign = _STATE_BAR.get(sign, sign) if is_state else sign
        # An abandoned thread is drawn from where the bar has ended, whose mark is to be seen.
        began = round if piece.look is Look.ABANDONED else int
        begin = max(0, min(began(piece.began * self.scale), self.bar - 1))
        until = max(begin + 1, min(round(piece.ended * self.scale), self.bar))
        if piece.look in _FILLING and round((piece.ended - piece.began) * self.scale) < 1:
            return  # too short to be seen, and it would hide what it follows
        what = f"state {piece.look.value}" if is_state else piece.look.value
        looks[begin:until] = [(sign, what)] * (until - begin)
        if end:
            looks[until - 1] = (end, what)


# Pieces that are of no interest by themselves.
_FILLING = {Look.WAIT, Look.LATE}


def _named(row: Row) -> str:
    return f"  {row.name}" if row.is_branch else row.name


def _word(row: Row) -> str:
    """The status's word behind its mark; what went well needs none."""
    return "" if row.status in (None, Status.SUCCEEDED) else f" {row.status.value}"


def _took(row: Row) -> str:
    return "" if row.duration is None else duration_text(row.duration)
