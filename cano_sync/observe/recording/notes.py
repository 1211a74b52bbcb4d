"""The note beside a visit or a task in a picture: the caller's, or errors and counts."""

from __future__ import annotations

__all__ = ("Note", "check_note", "is_abandoned", "is_late", "note_of")

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeAlias

from ..._base.text import one_line
from ...errors import ConfigurationError, root_of
from ..status import Status
from .record import Attempt, Span, Visit
from .text import duration_text, error_line, name_of, plural

Note: TypeAlias = Callable[[Visit, Span | None], str | None]
"""What to say of a visit (the span is None) or of a task in it; None for the usual."""


def check_note(note: object) -> None:
    """What `rows_of` can call, or None."""
    if note is not None and not callable(note):
        raise ConfigurationError(
            f"note={note!r} is not callable; give a function of a visit and a span (or None) that "
            "returns what to say of them, or None for the usual"
        )


def note_of(visit: Visit, span: Span | None, note: Note | None) -> str:
    """What to say of a visit (the span is None) or of a task in it, on one line.

    Raises:
        ConfigurationError: the caller's note returned no text.
    """
    said = None if note is None else note(visit, span)
    if isinstance(said, str):
        return one_line(said)
    if said is not None:
        raise ConfigurationError(
            f"note(visit, span) returned {said!r} of type {type(said).__name__} for state "
            f"{name_of(visit.state)}; let it return text, or None for the usual"
        )
    return ", ".join(_of_visit(visit) if span is None else _of_span(span))


def is_abandoned(attempt: Attempt) -> bool:
    """Whether the task went on without this attempt, whose thread has not returned."""
    return attempt.status is Status.ABANDONED and attempt.error is not None


def is_late(attempt: Attempt) -> bool:
    """Whether its thread returned so long after it was abandoned that it is worth a word."""
    return attempt.late is not None and attempt.late >= _NOTABLE


_NOTABLE = 0.01  # seconds: a task that listens returns sooner


def _of_visit(visit: Visit) -> Iterator[str]:
    if visit.join is not None:
        counts = Counter(span.status for span in visit.branches)
        yield f"{counts[Status.SUCCEEDED]:,} of {counts.total():,}"
        yield one_line(repr(visit.join.config.strategy).removeprefix("JoinStrategy."))
        if counts[Status.FAILED]:
            yield f"{counts[Status.FAILED]:,} failed"
        if visit.join.timed_out:
            yield "time up"
    elif visit.spans:
        yield from _of_attempts(visit.spans[-1])
    if visit.error is not None:
        if visit.join is None:  # the error of a failed join repeats what is drawn
            yield error_line(root_of(visit.error))
        if visit.next_state is not None:
            yield f"on to {name_of(visit.next_state)}"


def _of_span(span: Span) -> Iterator[str]:
    yield from _of_attempts(span)
    if span.error is not None:
        yield error_line(root_of(span.error))
    if span.status is Status.ABANDONED:
        yield "its thread has not returned"
    elif span.late is not None and span.late >= _NOTABLE:
        yield f"returned {duration_text(span.late)} later"


def _of_attempts(span: Span) -> Iterator[str]:
    """How many there were, and the threads of those that were abandoned."""
    if len(span.attempts) > 1:
        yield plural(len(span.attempts), "attempt")
    abandoned = sum(map(is_abandoned, span.attempts))
    late = [attempt.late or 0.0 for attempt in span.attempts if is_late(attempt)]
    if abandoned:
        yield f"{plural(abandoned, 'thread')} not returned"
    if late and span.late is None:
        most = "up to " if len(late) > 1 else ""
        yield f"{plural(len(late), 'thread')} returned {most}{duration_text(max(late))} later"
