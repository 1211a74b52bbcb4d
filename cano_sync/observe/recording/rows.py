"""A record as the rows of a picture: names, bars and notes; too many of a kind become one row."""

from __future__ import annotations

__all__ = ("Look", "Piece", "Row", "latest_rows_of", "rows_of", "shown_status")

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain, islice

from ..._base.text import one_line
from ..status import Status
from .notes import Note, is_abandoned, is_late, note_of
from .record import Record, Span, Visit
from .text import duration_text, name_of, plural


class Look(Enum):
    """How a piece of a bar looks, with or without colours."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RUNNING = "running"
    TIMED_OUT = "timed_out"
    """The run's time limit has passed."""
    ATTEMPT_ABANDONED = "attempt_abandoned"
    """An attempt whose time limit has passed, and whose thread has not returned."""
    WAIT = "wait"
    """The pause between two attempts."""
    LATE = "late"
    """The task was abandoned, and its thread returned at the end of this."""
    ABANDONED = "abandoned"
    """The task was abandoned, and its thread has not returned."""
    EXIT = "exit"
    """The run has come to an exit state, which takes no time."""
    SEVERAL = "several"
    """From the first to the last of several that are one row."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a bar, in seconds from the start of the run."""

    look: Look
    began: float
    ended: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the picture: a visit to a state, a task of it, or several of either.

    Attributes:
        name: on one line.
        pieces: of its bar.
        status: None for a row that stands for several of different statuses.
        duration: in seconds; None where there is none.
        note: more about it, on one line.
        visit: what it shows, or None for several visits.
        span: the task that it shows, or None.
        count: how many it stands for.
    """

    name: str
    pieces: tuple[Piece, ...]
    status: Status | None
    duration: float | None
    note: str = ""
    visit: Visit | None = None
    span: Span | None = None
    count: int = 1

    @property
    def is_branch(self) -> bool:
        """Whether it stands beneath the row of a state."""
        return self.visit is not None and (self.span is not None or self.count > 1)

    @property
    def took(self) -> str:
        """The duration as text."""
        return "" if self.duration is None else duration_text(self.duration)

    @property
    def word(self) -> str:
        """The status's word, which stands behind its mark; what went well needs none."""
        return "" if self.status in (None, Status.SUCCEEDED) else self.status.label


def rows_of(
    record: Record, *, visits: int = 40, branches: int = 12, note: Note | None = None
) -> Iterator[Row]:
    """The rows of a run, from top to bottom.

    Args:
        record: the run.
        visits: how many to show at most: the first, the last, and of the others those that failed.
        branches: how many of a split to show at most; first those that failed or were abandoned,
            while it runs those that are running.
        note: what to say of a visit or a task, instead of the usual.
    """
    shown = _shown_visits(record.visits, visits)
    hidden: list[Visit] = []
    for number, visit in enumerate(record.visits):
        if number not in shown:
            hidden.append(visit)
            continue
        if hidden:
            yield _several_visits(hidden)
            hidden = []
        yield from _visit_rows(visit, record, branches, note)


def latest_rows_of(
    record: Record, most: int, *, earlier: int = 0, note: Note | None = None
) -> list[Row]:
    """The rows of the latest states, from top to bottom, as many as there is room for.

    The last state has its branches; those before it, too, as long as there is room.

    Args:
        record: the run.
        most: how many rows at most, from 2.
        earlier: how many visits came before those of the record.
        note: what to say of a visit or a task, instead of the usual.
    """
    shown: list[list[Row]] = []
    hidden = earlier + len(record.visits)
    for visit in reversed(record.visits):
        room = most - sum(map(len, shown)) - (hidden > 1)  # a row says how many are hidden
        if room < 1:
            break
        branches = 12 if shown else max(1, most - 1 - len(_QUOTAS_RUNNING))
        rows = list(islice(_visit_rows(visit, record, branches, note), room + 1))
        if len(rows) > room:  # what of a state before the last one does not fit is left out whole
            rows = rows[:1] if shown else rows[:room]
        shown.append(rows)
        hidden -= 1
    if hidden:
        name = f"… {plural(hidden, 'earlier visit')}"
        shown.append([Row(name=name, pieces=(), status=None, duration=None, count=hidden)])
    return list(chain.from_iterable(reversed(shown)))


def shown_status(visit: Visit) -> Status:
    """What became of a visit, and that its one task is abandoned, if it is."""
    is_abandoned = any(span.status is Status.ABANDONED for span in visit.spans)
    return Status.ABANDONED if is_abandoned and visit.join is None else visit.status


# Choosing.


def _shown_visits(visits: Sequence[Visit], most: int) -> set[int]:
    if len(visits) <= most:
        return set(range(len(visits)))
    shown = {*range(most // 2), *range(len(visits) - most // 4, len(visits))}
    for number, visit in enumerate(visits):
        if len(shown) >= most:
            break
        if visit.status is not Status.SUCCEEDED:
            shown.add(number)
    return shown


# In how many of the rows a status has a share; while a split runs, and afterwards.
_QUOTAS_RUNNING = {
    Status.FAILED: 2,
    Status.ABANDONED: 1,
    Status.RUNNING: 6,
    Status.CANCELLED: 1,
    Status.SUCCEEDED: 2,
}
_QUOTAS = {
    Status.FAILED: 5,
    Status.ABANDONED: 3,
    Status.CANCELLED: 1,
    Status.SUCCEEDED: 3,
}


def _chosen(branches: Sequence[Span], most: int) -> tuple[list[Span], list[list[Span]]]:
    """The branches to show, and the others by status. Of those that succeeded the slowest."""
    by_status: dict[Status, list[Span]] = {}
    for span in branches:
        by_status.setdefault(span.status, []).append(span)
    if len(branches) <= most:
        return list(branches), []
    chosen: list[Span] = []
    hidden: list[list[Span]] = []
    is_running = Status.RUNNING in by_status
    quotas = _QUOTAS_RUNNING if is_running else _QUOTAS
    if is_running:  # these last, with the room that the others have not used
        by_status[Status.RUNNING] = by_status.pop(Status.RUNNING)
    for status, spans in by_status.items():
        quota = quotas.get(status, 0) * most // sum(quotas.values())
        if status is Status.RUNNING:
            quota = max(1, most - len(chosen))
        if status is Status.SUCCEEDED:
            spans = sorted(spans, key=lambda span: -span.duration)
        if len(spans) == quota + 1:
            quota += 1  # a row that stands for one is no gain
        chosen += spans[:quota]
        hidden.append(spans[quota:])
    chosen.sort(key=lambda span: span.index or 0)
    return chosen, [spans for spans in hidden if spans]


# Rows.


def _visit_rows(visit: Visit, record: Record, most: int, note: Note | None) -> Iterator[Row]:
    single = visit.spans[-1] if visit.join is None and visit.spans else None
    pieces = (
        _pieces(single, record)
        if single is not None and single.attempts
        else (Piece(_look(visit), visit.began, visit.began + visit.duration),)
    )
    if single is not None and single.began is not None and not single.attempts:
        pieces += _tail(single, record)
    yield Row(
        name=name_of(visit.state),
        pieces=pieces,
        status=shown_status(visit),
        duration=None if visit.is_exit else visit.duration,
        note=note_of(visit, None, note),
        visit=visit,
    )
    if single is not None:
        return
    lister = next((span for span in visit.spans if span.index is None), None)
    if lister is not None and (
        lister.status is not Status.SUCCEEDED or lister.duration * 50 > record.duration
    ):
        yield _span_row(visit, lister, record, note)
    chosen, hidden = _chosen(visit.branches, most)
    for span in chosen:
        yield _span_row(visit, span, record, note)
    for spans in hidden:
        yield _several_spans(visit, spans)


def _span_row(visit: Visit, span: Span, record: Record, note: Note | None) -> Row:
    lists = " lists the branches" if span.index is None else ""
    return Row(
        name=(one_line(span.name) or "''") + lists,
        pieces=_pieces(span, record),
        status=span.status,
        duration=None if span.began is None else span.duration,
        note=note_of(visit, span, note),
        visit=visit,
        span=span,
    )


def _several_spans(visit: Visit, spans: Sequence[Span]) -> Row:
    status = spans[0].status
    took = sorted(span.duration for span in spans if span.began is not None)
    note = ""
    if took:
        low, high = duration_text(took[0]), duration_text(took[-1])
        note = f"{low} each" if low == high else f"{low} to {high} each"
    return Row(
        name=f"… {len(spans):,} more {status.label}",
        pieces=_extent((span.began, span.duration) for span in spans),
        status=status,
        duration=None,
        note=note,
        visit=visit,
        count=len(spans),
    )


def _several_visits(visits: Sequence[Visit]) -> Row:
    counts = Counter(name_of(visit.state) for visit in visits)
    note = ", ".join(f"{name} {count:,}" for name, count in counts.most_common(3))
    return Row(
        name=f"… {plural(len(visits), 'more visit')}",
        pieces=_extent((visit.began, visit.duration) for visit in visits),
        status=None,
        duration=sum(visit.duration for visit in visits),
        note=note + (", …" if len(counts) > 3 else ""),
        count=len(visits),
    )


def _extent(spans: Iterable[tuple[float | None, float]]) -> tuple[Piece, ...]:
    known = [(began, began + duration) for began, duration in spans if began is not None]
    if not known:
        return ()
    return (Piece(Look.SEVERAL, min(known)[0], max(ended for _, ended in known)),)


# Bars.

_LOOKS = {
    Status.RUNNING: Look.RUNNING,
    Status.SUCCEEDED: Look.SUCCEEDED,
    Status.FAILED: Look.FAILED,
    Status.TIMED_OUT: Look.TIMED_OUT,
    Status.CANCELLED: Look.CANCELLED,
    Status.ABANDONED: Look.CANCELLED,
}


def _look(visit: Visit) -> Look:
    return Look.EXIT if visit.is_exit else _LOOKS[visit.status]


def _pieces(span: Span, record: Record) -> tuple[Piece, ...]:
    """The bar of a task: its attempts, the pauses between them, and what came after."""
    if span.began is None:
        return ()
    end = span.began + span.duration
    if not span.attempts:
        return (Piece(_LOOKS[span.status], span.began, end), *_tail(span, record))
    pieces: list[Piece] = []
    for number, attempt in enumerate(span.attempts):
        ended = attempt.began + attempt.duration
        look = Look.FAILED if attempt.error is not None else _LOOKS[attempt.status]
        pieces.append(
            Piece(Look.ATTEMPT_ABANDONED if is_abandoned(attempt) else look, attempt.began, ended)
        )
        if attempt.delay is not None:
            following = span.attempts[number + 1 :]
            until = following[0].began if following else min(ended + attempt.delay, end)
            until = max(ended, until)
            pieces.append(Piece(Look.WAIT, ended, until))
            if is_abandoned(attempt) or is_late(attempt):
                back = until if attempt.late is None else min(until, ended + attempt.late)
                pieces.append(Piece(Look.LATE, ended, back))
    return (*pieces, *_tail(span, record))


def _tail(span: Span, record: Record) -> tuple[Piece, ...]:
    """For how long an abandoned task has kept a thread after its end."""
    assert span.began is not None
    end = span.began + span.duration
    if span.status is Status.ABANDONED or any(map(is_abandoned, span.attempts)):
        return (Piece(Look.ABANDONED, end, max(end, record.duration)),)
    returns = [
        attempt.began + attempt.duration + (attempt.late or 0.0) for attempt in span.attempts
    ]
    last = min(record.duration, max([*returns, end + (span.late or 0.0)]))
    return (Piece(Look.LATE, end, last),) if end < last else ()
