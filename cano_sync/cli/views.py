"""What moves on the terminal while a run goes on, drawn by rich; plain lines elsewhere."""

from __future__ import annotations

__all__ = (
    "Moving",
    "console_on_stderr",
    "draw_run",
    "has_colour",
    "is_moving",
    "lines_of",
)

import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType

from rich.console import Console, OverflowMethod, RenderableType
from rich.live import Live
from rich.text import Text

from .._base.text import one_line
from ..observe import Status as Fate
from ..observe.recording.text import cells, plural
from ..observe.recording.timeline import MARKS, PLAIN_MARKS
from .columns import GAP, Want, widths
from .watch import TaskSeen, Visit, Watch

_COLOURS = {
    Fate.RUNNING: "cyan",
    Fate.SUCCEEDED: "green",
    Fate.FAILED: "red",
    Fate.TIMED_OUT: "red",
    Fate.CANCELLED: "yellow",
    Fate.ABANDONED: "magenta",
    Fate.NOT_STARTED: "dim",
}
# For terminals that have only ASCII; the same as the timeline has there.
_PLAIN_MARKS = PLAIN_MARKS

STATES_SHOWN = 8
REFRESH = 12  # times a second


def console_on_stderr() -> Console:
    """The terminal of the operator. NO_COLOR is honoured, as rich does it."""
    return Console(stderr=True, highlight=False)


def is_moving(console: Console) -> bool:
    """Whether something can move there."""
    return console.is_terminal and not console.is_dumb_terminal


def has_colour(console: Console) -> bool:
    """Whether to write colours there."""
    return console.is_terminal and not os.environ.get("NO_COLOR")


class Moving(AbstractContextManager["Moving"]):
    """Draws again and again while its `with` block lasts, and once more at its end.

    Args:
        console: where.
        draw: what; called on a thread of the display's own.
    """

    def __init__(self, console: Console, draw: Callable[[], RenderableType]) -> None:
        self._live = Live(
            get_renderable=draw,
            console=console,
            refresh_per_second=REFRESH,
            # Somebody else's output goes above the picture; but a stdout that leads elsewhere
            # stays as it is, for results.
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=True,
        )

    def __enter__(self) -> Moving:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()


def lines_of(
    console: Console,
    columns: Sequence[int],
    rows: Iterable[Sequence[str | Text]],
    numbers: Sequence[bool],
) -> RenderableType:
    """Rows in columns of these widths; what is longer is clipped.

    Not by a table of rich's, which finds widths of its own, and other ones from version to version.

    Args:
        console: where they will be shown.
        columns: how wide each is; 0 for one that is left out.
        rows: a text for each column; the last ones may be missing.
        numbers: which columns stand on the right.
    """
    overflow: OverflowMethod = "crop" if console.options.ascii_only else "ellipsis"
    lines = Text(no_wrap=True, overflow=overflow)
    for number, row in enumerate(rows):
        cells: list[Text] = []
        for said, width, is_number in zip(row, columns, numbers, strict=False):
            if width:
                cell = said.copy() if isinstance(said, Text) else Text(said)
                cell.plain = one_line(cell.plain)  # a name may have a line break in it
                cell.truncate(width, overflow=overflow)
                cell.align("right" if is_number else "left", width)
                cells.append(cell)
        lines.append("\n" if number else "")
        lines.append_text(Text(" " * GAP).join(cells))
    return lines


_Row = tuple[Text, str, Text]
"""Of a state or a task: its name, how long it took, and what else there is to say."""


def draw_run(watch: Watch, console: Console) -> RenderableType:
    """A run: the states that it came through, and in the last one the tasks."""
    now = time.monotonic()
    visits, entered = watch.visits()
    marks = _PLAIN_MARKS if console.options.ascii_only else MARKS
    shown = visits[-STATES_SHOWN:]
    rows: list[_Row] = []
    if entered > len(shown):
        rows.append(_dim(f"  {plural(entered - len(shown), 'state')} before"))
    room = max(3, console.size.height - len(shown) - 4)
    tasks = _tasks(shown[-1], now, room, marks) if shown else []
    names = [cells(visit.state) + 2 for visit in shown]
    names += [name.cell_len for name, _, _ in (*rows, *tasks)]
    times = [_lasted(visit, now) for visit in shown] + [took for _, took, _ in tasks]
    best = max(names, default=0)
    name = Want(min(best, max(12, console.width * 2 // 5)), min(best, console.width // 2))
    took = max(map(len, times), default=0)
    # Whoever has little to say still gets the rest of the line.
    columns = widths([name, Want(took, took), Want(10, console.width)], console.width)
    for visit in shown:
        state = Text(f"{marks[visit.fate]} {visit.state}", style=f"bold {_COLOURS[visit.fate]}")
        rows.append((state, _lasted(visit, now), Text(_told(visit, columns[-1], marks))))
    return lines_of(console, columns, (*rows, *tasks), (False, True, False))


def _dim(text: str) -> _Row:
    return Text(text, style="dim"), "", Text()


def _tasks(visit: Visit, now: float, room: int, marks: dict[Fate, str]) -> list[_Row]:
    """The branches, those that run first when not all fit."""
    tasks = [task for task in visit.tasks.values() if task.index is not None or task.note]
    if len(tasks) > room:
        tasks.sort(key=lambda task: task.fate is not Fate.RUNNING)
    rows = [
        (
            Text(f"  {marks[task.fate]} {task.name}", style=_COLOURS[task.fate]),
            _lasted(task, now),
            Text(_said(task.fate, task.note)),
        )
        for task in tasks[:room]
    ]
    return [*rows, _dim(f"    and {len(tasks) - room} more")] if len(tasks) > room else rows


def _lasted(seen: Visit | TaskSeen, now: float) -> str:
    return "" if isinstance(seen, Visit) and seen.is_exit else f"{seen.lasted(now):.3f} s"


def _said(fate: Fate, note: str) -> str:
    word = "" if fate in (Fate.RUNNING, Fate.SUCCEEDED) else fate.label
    return ": ".join(filter(None, (word, note)))


def _told(visit: Visit, room: int, marks: dict[Fate, str]) -> str:
    """What became of the branches: in words or, where these have no room, in marks."""
    if not visit.branches:
        return _said(visit.fate, visit.note)
    fates = [task.fate for task in visit.tasks.values() if task.index is not None]
    counts = {fate: fates.count(fate) for fate in Fate}
    counts[Fate.NOT_STARTED] = visit.not_started
    waiting = visit.branches - len(fates) - visit.not_started
    waits = [f"{waiting} to come"] if waiting else []
    said = [f"{count} {fate.label}" for fate, count in counts.items() if count]
    words = ", ".join([*said, *waits])
    marked = [f"{marks[fate]} {count}" for fate, count in counts.items() if count]
    forms = f"{plural(visit.branches, 'branch', 'es')}: {words}", words, "  ".join(marked + waits)
    return next((form for form in forms if cells(form) <= room), forms[-1])
