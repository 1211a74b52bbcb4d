"""The flows of a scheduler as a table, in whatever width the terminal has."""

from __future__ import annotations

__all__ = ("draw_flows",)

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console, OverflowMethod, RenderableType
from rich.table import Table
from rich.text import Text

from .._base.text import error_text, one_line, state_name
from ..observe.recording.text import duration_text
from ..scheduler import FlowState, FlowStatus

_STYLES = {
    FlowState.RUNNING: "cyan",
    FlowState.BACKING_OFF: "yellow",
    FlowState.TRIPPED: "red",
    FlowState.PAUSED: "dim",
}


@dataclass(frozen=True, slots=True)
class _Column:
    """A column: its title, and what it says of a flow at a moment."""

    head: str
    says: Callable[[FlowStatus, datetime], str | Text]
    since: int = 0  # cells that a terminal must have for it to be shown
    most: int | None = None  # cells that it never exceeds
    least: int | None = None  # and always has: what changes shall not make the others jump
    is_number: bool = False  # whether it stands on the right


def draw_flows(
    flows: Callable[[], Sequence[FlowStatus]], console: Console, now: datetime | None = None
) -> RenderableType:
    """The flows of a scheduler, as a table.

    In a narrow terminal the names keep their room, and the least important columns are left out.
    Where there are more flows than lines, those come first with which something is the matter.
    """
    now = datetime.now(UTC) if now is None else now
    shown = flows()
    room = max(3, console.height - 4)  # without the head, what is left out, and the cursor
    left_out = len(shown) - room
    if left_out > 0:
        shown = sorted(shown, key=lambda flow: flow.state in (FlowState.IDLE, FlowState.STOPPED))
    columns = [column for column in _COLUMNS if column.since <= console.width]
    table = _table(columns, console)
    for flow in shown[:room]:
        table.add_row(*(_cell(column.says(flow, now)) for column in columns))
    if left_out > 0:
        table.caption = Text(f"and {left_out} more", style="dim")
    return table


def _table(columns: Sequence[_Column], console: Console) -> Table:
    overflow: OverflowMethod = "crop" if console.options.ascii_only else "ellipsis"
    table = Table(
        box=None,
        expand=True,  # the last column gets what is left
        header_style="bold dim",
        padding=(0, 2, 0, 0),
        pad_edge=False,
        caption_justify="left",
    )
    for column in columns:
        table.add_column(
            column.head,
            justify="right" if column.is_number else "left",
            min_width=column.least,
            max_width=max(14, console.width // 5) if column is _NAME else column.most,
            ratio=1 if column is columns[-1] else None,
            no_wrap=True,
            overflow=overflow,
        )
    return table


def _cell(said: str | Text) -> Text:
    """The text as it is, without rich's markup, and with nothing that commands a terminal."""
    cell = said if isinstance(said, Text) else Text(said)
    cell.plain = one_line(cell.plain)
    return cell


def _state(flow: FlowStatus, now: datetime) -> Text:
    return Text(str(flow.state), style=_STYLES.get(flow.state, ""))


def _next(flow: FlowStatus, now: datetime) -> str:
    """Relative: it is about waiting, and no time zone can be mistaken."""
    if flow.next_due is None:
        return ""
    seconds = (flow.next_due - now).total_seconds()
    return "now" if seconds < 0.5 else f"in {_short(seconds)}"


def _at(flow: FlowStatus, now: datetime) -> str:
    """When that is, with the offset from UTC: a flow's timetable may be in another time zone."""
    due = flow.next_due
    if due is None:
        return ""
    is_today = due.date() == now.astimezone(due.tzinfo).date()
    return due.timetz().isoformat("seconds") if is_today else due.isoformat(" ", "minutes")


def _last(flow: FlowStatus, now: datetime) -> str:
    if flow.last_start is None:
        return ""
    return f"{_short((now - flow.last_start).total_seconds())} ago"


def _took(flow: FlowStatus, now: datetime) -> str:
    return "" if flow.last_duration is None else duration_text(flow.last_duration)


def _result(flow: FlowStatus, now: datetime) -> Text:
    error = flow.last_error
    if error is None:
        return Text("" if flow.last_result is None else state_name(flow.last_result), "green")
    if flow.last_outcome == "cancelled":
        return Text(flow.last_outcome, "yellow")
    return Text(error_text(error.__cause__ or error), "red")


def _short(seconds: float) -> str:
    """Some time, to the second.

    >>> _short(0.7), _short(59.4), _short(11520)
    ('1 s', '59 s', '3h 12m')
    """
    whole = max(0, round(seconds))
    return f"{whole} s" if whole < 60 else duration_text(whole)


_NAME = _Column("flow", lambda flow, now: flow.id, least=12)
_COLUMNS = (
    _NAME,
    _Column("schedule", lambda flow, now: flow.schedule, since=110, most=24),
    _Column("state", _state, least=11),
    _Column("runs", lambda flow, now: str(flow.runs), since=70, is_number=True),
    _Column("failed", lambda flow, now: str(flow.failures or ""), since=80, is_number=True),
    _Column("skipped", lambda flow, now: str(flow.skipped or ""), since=90, is_number=True),
    _Column("last", _last, since=130, least=8, is_number=True),
    _Column("took", _took, since=130, least=8, is_number=True),
    _Column("next", _next, least=10),
    _Column("at", _at, since=150, least=14),
    _Column("result", _result, since=55),
)
