"""The flows of a scheduler as a table that moves, in whatever width the terminal has."""

from __future__ import annotations

__all__ = ("draw_flows", "outcome_of", "short")

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console, RenderableType
from rich.text import Text

from .._base.text import error_text
from ..errors import WorkflowCancelledError
from ..observe.recording.text import duration_text
from ..scheduler import FlowState, FlowStatus
from .columns import Want, widths
from .errors import one_line
from .states import name_of
from .views import lines_of

_STYLES = {
    FlowState.RUNNING: "cyan",
    FlowState.BACKING_OFF: "yellow",
    FlowState.TRIPPED: "red",
    FlowState.PAUSED: "dim",
}


@dataclass(frozen=True, slots=True)
class _Column:
    """A column: what it says of a flow at a moment.

    Attributes:
        head: its title.
        says: the text for a flow.
        least: cells without which it is left out.
        best: cells that it has at least where there is room: what changes with each second
            shall not make the others jump.
        most: cells that it never exceeds.
        is_number: whether it stands on the right.
    """

    head: str
    says: Callable[[FlowStatus, datetime], str | Text]
    least: int = 99
    best: int = 0
    most: int = 99
    is_number: bool = False

    def want(self, texts: Iterable[str | Text]) -> Want:
        best = max(self.best, *(Text(str(text)).cell_len for text in (self.head, *texts)))
        best = min(best, self.most)
        return Want(min(self.least, best), best)


def draw_flows(
    flows: Callable[[], Sequence[FlowStatus]], console: Console, now: datetime | None = None
) -> RenderableType:
    """The flows of a scheduler, as a table.

    In a narrow terminal the names keep their room, and the least important columns are left out.
    Where there are more flows than lines, those come first with which something is the matter.

    Args:
        flows: tells them.
        console: where the table will be shown.
        now: the moment; None for the present.
    """
    now = datetime.now(UTC) if now is None else now
    shown = flows()
    room = max(3, console.size.height - 3)
    left_out = len(shown) - room
    if left_out > 0:
        shown = sorted(shown, key=lambda flow: flow.state in (FlowState.IDLE, FlowState.STOPPED))
    shown = shown[:room]
    texts = {
        column: [column.says(flow, now) for flow in shown] for column in (_NAME, *_BY_IMPORTANCE)
    }
    asked = [column.want(texts[column]) for column in texts]
    asked[0] = Want(min(asked[0].best, max(12, console.width // 4)), asked[0].best)
    fitting = dict(zip(texts, widths(asked, console.width), strict=True))
    head = [Text(column.head, style="bold dim") for column in _IN_ORDER]
    rows = zip(*(texts[column] for column in _IN_ORDER), strict=True)
    more = [[Text(f"and {left_out} more", style="dim")]] if left_out > 0 else []
    return lines_of(
        console,
        [fitting[column] for column in _IN_ORDER],
        (head, *rows, *more),
        [column.is_number for column in _IN_ORDER],
    )


def _state(flow: FlowStatus, now: datetime) -> Text:
    return Text(str(flow.state), style=_STYLES.get(flow.state, ""))


def _next(flow: FlowStatus, now: datetime) -> str:
    """Relative: it is about waiting, and no time zone can be mistaken."""
    if flow.next_due is None:
        return ""
    seconds = (flow.next_due - now).total_seconds()
    return "now" if seconds < 0.5 else f"in {short(seconds)}"


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
    return f"{short(max(0.0, (now - flow.last_start).total_seconds()))} ago"


def _took(flow: FlowStatus, now: datetime) -> str:
    return "" if flow.last_duration is None else duration_text(flow.last_duration)


def _result(flow: FlowStatus, now: datetime) -> Text:
    if flow.last_error is None:
        return Text("" if flow.last_result is None else name_of(flow.last_result), style="green")
    verb, why = outcome_of(flow.last_error)
    return Text(why, style="red") if verb == "failed" else Text(verb, style="yellow")


def outcome_of(error: BaseException) -> tuple[str, str]:
    """What such a run is said to be, "failed" or "cancelled", and why, in a line.

    Only what the scheduler itself has cancelled is no failure; that error has no run's id.
    """
    if isinstance(error, WorkflowCancelledError) and error.run_id is None:
        return "cancelled", one_line(error.reason or "")
    return "failed", one_line(error_text(error.__cause__ or error))


def short(seconds: float) -> str:
    """Some time, to the second.

    >>> short(0.7), short(59.4), short(11520)
    ('1 s', '59 s', '3h 12m')
    """
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else duration_text(whole)


_NAME = _Column("flow", lambda flow, now: flow.id, best=12)
_STATE = _Column("state", _state, best=11)
_NEXT = _Column("next", _next, best=10)
_RESULT = _Column("result", _result, least=12, most=30)
_RUNS = _Column("runs", lambda flow, now: str(flow.runs), is_number=True)
_FAILED = _Column("failed", lambda flow, now: str(flow.failures or ""), is_number=True)
_SCHEDULE = _Column("schedule", lambda flow, now: flow.schedule, least=18)
_SKIPPED = _Column("skipped", lambda flow, now: str(flow.skipped or ""), is_number=True)
_LAST = _Column("last", _last, best=8, is_number=True)
_TOOK = _Column("took", _took, best=8, is_number=True)
_AT = _Column("at", _at, best=14)

# Each is left out before the one before it is.
_BY_IMPORTANCE = (
    _STATE, _NEXT, _RESULT, _RUNS, _FAILED, _SCHEDULE, _SKIPPED, _AT, _LAST, _TOOK,
)  # fmt: skip
_IN_ORDER = (
    _NAME, _SCHEDULE, _STATE, _RUNS, _FAILED, _SKIPPED, _LAST, _TOOK, _RESULT, _NEXT, _AT,
)  # fmt: skip
