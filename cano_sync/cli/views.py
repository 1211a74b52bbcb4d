"""What moves on the terminal while something runs, drawn by rich; plain lines elsewhere."""

from __future__ import annotations

__all__ = (
    "Moving",
    "console_on_stderr",
    "draw_flows",
    "draw_run",
    "has_colour",
    "is_moving",
)

import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from types import TracebackType

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..errors import describe
from ..scheduler import FlowStatus
from .errors import one_line
from .states import name_of
from .watch import TaskSeen, Visit, Watch

_LOOKS = {
    "running": ("▶", ">", "cyan"),
    "done": ("✔", "+", "green"),
    "failed": ("✖", "x", "red"),
    "cancelled": ("■", "-", "yellow"),
    "left behind": ("■", "!", "magenta"),
}
"""The mark of each fate, that for terminals that have only ASCII, and the colour."""

STATES_SHOWN = 8
REFRESH = 12  # times a second


def console_on_stderr() -> Console:
    """The terminal of the operator. NO_COLOR is honoured, as rich does it."""
    return Console(stderr=True, highlight=False)


def is_moving(console: Console) -> bool:
    """Whether something can move there."""
    return console.is_terminal and not console.is_dumb_terminal


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


def draw_run(watch: Watch, console: Console) -> RenderableType:
    """A run: the states that it came through, and in the last one the tasks."""
    now = time.monotonic()
    visits, entered = watch.visits()
    plain = console.options.ascii_only
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    shown = visits[-STATES_SHOWN:]
    if entered > len(shown):
        table.add_row(Text(f"  {entered - len(shown)} states before", style="dim"), "", "")
    for visit in shown:
        last = visit is shown[-1]
        fate = "failed" if visit.note else "running" if visit.ended is None and last else "done"
        state = Text(f"{_mark(fate, plain)} {visit.state}", style=f"bold {_LOOKS[fate][2]}")
        table.add_row(state, f"{visit.lasted(now):.3f} s", _tally(visit) or visit.note)
        if last:
            room = max(3, console.size.height - len(shown) - 4)
            _add_tasks(table, visit, now, room, plain)
    return Group(table)


def _add_tasks(table: Table, visit: Visit, now: float, room: int, plain: bool) -> None:
    """The branches, those that run first when not all fit."""
    tasks = [task for task in visit.tasks.values() if task.index is not None or task.note]
    if len(tasks) > room:
        tasks.sort(key=lambda task: task.fate != "running")
    for task in tasks[:room]:
        mark, style = _mark(task.fate, plain), _LOOKS[task.fate][2]
        table.add_row(
            Text(f"  {mark} {task.name}", style=style), f"{task.lasted(now):.3f} s", _said(task)
        )
    if len(tasks) > room:
        table.add_row(Text(f"    and {len(tasks) - room} more", style="dim"), "", "")


def _said(task: TaskSeen) -> Text:
    fate = "" if task.fate in ("running", "done") else task.fate
    return Text(": ".join(filter(None, (fate, task.note))))


def _tally(visit: Visit) -> str:
    if not visit.branches:
        return ""
    fates = [task.fate for task in visit.tasks.values() if task.index is not None]
    counts = [f"{fates.count(fate)} {fate}" for fate in _LOOKS if fate in fates]
    waiting = visit.branches - len(fates)
    waits = [f"{waiting} to come"] if waiting and visit.ended is None else []
    return f"{visit.branches} branches: {', '.join([*counts, *waits])}"


def _mark(fate: str, plain: bool) -> str:
    return _LOOKS[fate][1 if plain else 0]


def has_colour(console: Console) -> bool:
    """Whether to write colours there."""
    return console.is_terminal and not os.environ.get("NO_COLOR")


_FLOW_STYLES = {"running": "cyan", "backing off": "yellow", "tripped": "red", "paused": "dim"}


def draw_flows(flows: Callable[[], Iterable[FlowStatus]]) -> RenderableType:
    """The flows of a scheduler, as a table."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("flow", "schedule", "state"):
        table.add_column(head, no_wrap=True)
    for head in ("runs", "failed", "skipped", "last", "took"):
        table.add_column(head, justify="right", no_wrap=True, min_width=len(head))
    table.add_column("result", no_wrap=True, max_width=40)
    table.add_column("next", no_wrap=True)
    for flow in flows():
        counts = (str(flow.runs), str(flow.failures or ""), str(flow.skipped or ""))
        state = Text(str(flow.state), style=_FLOW_STYLES.get(str(flow.state), ""))
        took = "" if flow.last_duration is None else f"{flow.last_duration:.3f} s"
        result = _flow_result(flow)
        times = (_clock(flow.last_start), _clock(flow.next_due))
        table.add_row(flow.id, flow.schedule, state, *counts, times[0], took, result, times[1])
    return table


def _flow_result(flow: FlowStatus) -> Text:
    """What the last run came to."""
    if flow.last_error is not None:
        cause = flow.last_error.__cause__ or flow.last_error
        return Text(one_line(describe(cause)), style="red")
    return Text("" if flow.last_result is None else name_of(flow.last_result), style="green")


def _clock(moment: datetime | None) -> str:
    """A time of today, or a date and a time."""
    if moment is None:
        return ""
    today = datetime.now(moment.tzinfo).date()
    return moment.strftime("%H:%M:%S" if moment.date() == today else "%Y-%m-%d %H:%M")
