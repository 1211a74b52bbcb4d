"""A record as one page of HTML that needs nothing else, and shows details when asked."""

from __future__ import annotations

__all__ = ("page",)

import base64
import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from html import escape

from ..._base.lazy import Lazy
from ..._base.text import one_line
from ...errors import ConfigurationError, root_of
from ..status import Status
from .notes import Note, check_note, is_abandoned
from .record import Attempt, Record, Span, Visit
from .rows import Piece, Row, rows_of
from .text import (
    cells,
    dropped_text,
    duration_text,
    error_line,
    name_of,
    plural,
    safe_repr,
    tick_text,
    ticks,
)
from .timeline import MARKS, ending_text

_VISITS = 500
_BRANCHES = 200

_resources = Lazy("importlib.resources")  # for pages only


@cache
def _read(name: str) -> str:
    """A file that lies beside this one, in whatever the package has been installed from."""
    text: str = _resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    return text


@cache
def _policy() -> str:
    """No address is ever asked for anything, and no script runs but ours, whatever a name holds."""
    digest = base64.b64encode(hashlib.sha256(_read("page.js").encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def page(record: Record, title: str | None = None, note: Note | None = None) -> str:
    """The run as a page; see `Recorder.to_html`."""
    check_note(note)
    if title is not None and not isinstance(title, str):
        raise ConfigurationError(
            f"to_html(title=...) is text, not {title!r}; leave it out for how the run ended"
        )
    heading = escape(one_line(_heading(record) if title is None else title))
    end = max(record.duration, 1e-9)
    rows = list(rows_of(record, visits=_VISITS, branches=_BRANCHES, note=note))
    moments = ticks(end, 8)
    lines = "".join(f'<i style="left:{100 * moment / end:.3f}%"></i>' for moment in moments)
    labels = "".join(_labels(moments, end))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{heading}</title>\n'
        f"<style>{_read('page.css')}</style>\n</head>\n<body>\n<header>\n<h1>{heading}</h1>\n"
        f"{''.join(_facts(record))}</header>\n<main>\n{_legend()}"
        f'<div class="chart" role="list" aria-label="States and branches, in order"'
        f' style="{_widths(rows)}">\n'
        f'<div class="axis" aria-hidden="true"><span class="track">{labels}</span></div>\n'
        f'<div class="grid" aria-hidden="true"><span class="track">{lines}</span></div>\n'
        f"{''.join(_row(row, end) for row in rows)}</div>\n</main>\n"
        '<div id="tip" role="tooltip" hidden></div>\n'
        f"<script>{_read('page.js')}</script>\n</body>\n</html>\n"
    )


def _labels(moments: Sequence[float], end: float) -> Iterator[str]:
    """Those of the axis, each with a class that says on how narrow an axis it is left out.

    Where room is short, every second one goes; then every second one of the others; and so on.
    """
    for number, moment in enumerate(moments):
        kind = ""
        if number:
            stride = number & -number
            needs = _LABEL * end / (stride * moments[1])
            kind = next(name for name, room in _KINDS.items() if needs <= room or name == "often")
        at = f"left:{100 * moment / end:.3f}%"
        yield f'<span class="{kind}" style="{at}">{tick_text(moment)}</span>'


_LABEL = 3.5  # rem from one label to the next
_KINDS = {"seldom": 7.0, "sometimes": 14.0, "often": 28.0}  # rem of an axis with room for them


def _widths(rows: Sequence[Row]) -> str:
    """How wide the columns of names and of remarks would like to be; the style sheet decides."""
    names = max((cells(row.name) + (2 if row.is_branch else 0) for row in rows), default=0)
    notes = max((cells(row.word) + cells(row.note) for row in rows), default=0)
    return f"--names:{names + 2}ch;--notes:{notes + 4}ch"


def _heading(record: Record) -> str:
    if record.run_id is None:
        return "No run yet"
    text = ending_text(record)
    return text[:1].upper() + text[1:]


def _facts(record: Record) -> Iterator[str]:
    if record.run_id is None:
        yield "<p>This recorder has not heard of a run.</p>\n"
        return
    began = datetime.fromtimestamp(record.started_at, UTC).isoformat(" ", "milliseconds")
    yield (
        f'<p class="soft">run {escape(one_line(record.run_id))} · began {began[:-6]} UTC · '
        f"{plural(len(record.visits), 'visit')} to states</p>\n"
    )
    status = f'<p class="{record.status.value}">{MARKS[record.status]} '
    if record.error is not None:
        yield f"{status}{escape(error_line(record.error))}</p>\n"
    if record.reason:
        yield f"{status}{escape(one_line(record.reason))}</p>\n"
    if record.forgotten:
        yield f'<p class="soft">The {dropped_text(record.forgotten)}.</p>\n'


def _legend() -> str:
    entries = "".join(
        f'<span class="{status.value}">{MARKS[status]} {status.label}</span>' for status in Status
    )
    return (
        f'<div class="legend">{entries}'
        '<button type="button" aria-pressed="false" hidden>states only</button>'
        '<span class="soft">Point at a row for details, or go there by Tab and the arrow keys.'
        "</span></div>\n"
    )


def _row(row: Row, end: float) -> str:
    details = list(_details(row))
    spoken = escape("\n".join(f"{name}: {text}" if name else text for name, text in details))
    listed = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in details[1:])
    status = (
        "" if row.status is None else f'{MARKS[row.status]} <span class="word">{row.word}</span>'
    )
    return (
        f'<div class="row {"branch" if row.is_branch else "state"}" role="listitem" tabindex="0" '
        f'title="{spoken}" aria-label="{spoken}">'
        f'<span class="name"><bdi>{escape(row.name)}</bdi></span>'
        f'<span class="track">{"".join(_bar(piece, end) for piece in row.pieces)}</span>'
        f'<span class="took">{row.took}</span>'
        f'<span class="status {"" if row.status is None else row.status.value}">{status}'
        f'<span class="note"><bdi>{escape(row.note)}</bdi></span></span>'
        f'<div class="more"><strong>{escape(row.name)}</strong><dl>{listed}</dl></div></div>\n'
    )


def _bar(piece: Piece, end: float) -> str:
    left = 100 * min(piece.began / end, 1.0)
    width = min(100 * max(0.0, piece.ended - piece.began) / end, 100 - left)
    return f'<b class="{piece.look.value}" style="left:{left:.3f}%;width:{width:.3f}%"></b>'


# Details: the first is the name, the others have a heading each.


def _details(row: Row) -> Iterator[tuple[str, str]]:
    yield "", row.name
    if row.status is not None:
        yield "status", row.status.label
    if row.pieces:
        yield "began after", duration_text(row.pieces[0].began)
    if row.duration is not None:
        yield "took", duration_text(row.duration)
    if row.span is not None:
        yield from _of_span(row.span)
    elif row.visit is not None and row.count == 1:
        yield from _of_visit(row.visit)
    if row.note:
        yield "note", row.note


def _of_visit(visit: Visit) -> Iterator[tuple[str, str]]:
    if visit.is_exit:
        yield "kind", "exit state"
    if visit.join is not None:
        yield from _of_join(visit)
    elif visit.spans:
        yield "task", one_line(visit.spans[-1].name)
        yield from _of_span(visit.spans[-1])
    if visit.error is not None and (visit.join is not None or not visit.spans):
        yield "error", error_line(root_of(visit.error))
    if visit.next_state is not None:
        yield "went on to", name_of(visit.next_state)


def _of_join(visit: Visit) -> Iterator[tuple[str, str]]:
    assert visit.join is not None
    join, config = visit.join, visit.join.config
    yield "split of", plural(len(visit.branches), "branch", "es")
    yield "joined by", one_line(repr(config.strategy))
    if config.timeout is not None:
        yield (
            "time limit",
            duration_text(config.timeout) + (", has passed" if join.timed_out else ""),
        )
    if config.bulkhead is not None:
        yield "at once", f"{config.bulkhead:,} at most"
    if join.verdict is not None and join.duration is not None:
        yield "verdict", f"{join.verdict.value}, after {duration_text(join.duration)}"


def _of_span(span: Span) -> Iterator[tuple[str, str]]:
    if span.index is not None:
        yield "branch", f"{span.index}"
    for attempt in span.attempts:
        yield f"attempt {attempt.number}", _of_attempt(attempt)
    if span.error is not None:
        yield "error", error_line(root_of(span.error))
    if span.reason:
        yield "because", one_line(span.reason)
    if span.late is not None:
        yield "returned", f"{duration_text(span.late)} later"
    if span.status is Status.ABANDONED:
        yield "thread", "has not returned"
    if span.value is not None:
        yield "value", one_line(safe_repr(span.value))


def _of_attempt(attempt: Attempt) -> str:
    text = f"{attempt.status.label} after {duration_text(attempt.duration)}"
    if attempt.error is not None:
        text += f": {error_line(root_of(attempt.error))}"
    if attempt.delay is not None:
        text += f"; the next {duration_text(attempt.delay)} later"
    if attempt.late is not None:
        text += f"; its thread returned {duration_text(attempt.late)} later"
    if is_abandoned(attempt):
        text += "; its thread has not returned"
    return text
