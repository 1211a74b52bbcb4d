"""Errors of connections that a database refuses, or a pool has not got: what mends them."""

from __future__ import annotations

__all__ = ("add_notes",)

from collections.abc import Iterator

from django.db import OperationalError

# As PostgreSQL says it, in English; the second to all but superusers. A refused connection has no
# SQLSTATE that would say it in any language.
_TOO_MANY = ("too many clients", "remaining connection slots", "too many connections")
_NONE_FREE = "couldn't get a connection after"

MENDS = (
    "give the database a pool of psycopg's, for which branches wait: "
    'OPTIONS={"pool": {"max_size": 8}} in DATABASES (with CONN_HEALTH_CHECKS=True); or let fewer '
    "branches run at once: JoinConfig(..., bulkhead=8)"
)
LARGER = (
    "all connections of the pool were in use: let fewer branches run at once, "
    "JoinConfig(..., bulkhead=8), or give the pool more: "
    'OPTIONS={"pool": {"max_size": 16}} in DATABASES'
)
_LOCKED = "due to lock timeout"
HELD = (
    "the lock may be held by the transaction of the very view that waits for this branch: write in "
    "single states, or take the view out of it by @transaction.non_atomic_requests"
)
_LONGEST = 8


def add_notes(error: BaseException) -> None:
    """Add to what a task has raised a note with the mends, if that was the reason."""
    for cause in _chain(error):
        text = str(cause)
        note = None
        if isinstance(cause, OperationalError) and any(said in text for said in _TOO_MANY):
            note = f"(each branch that queries has a connection of its own; {MENDS})"
        elif _LOCKED in text:
            note = f"({HELD})"
        elif _NONE_FREE in text:
            note = f"({LARGER})"
        if note is not None:
            if note not in getattr(error, "__notes__", ()):
                error.add_note(note)
            return


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(_LONGEST):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__
