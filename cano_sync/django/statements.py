"""Queries within a token's time, which a cancellation interrupts."""

from __future__ import annotations

__all__ = ("statement_timeout",)

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DEFAULT_DB_ALIAS, Error, connections

from .. import CancellationToken
from ..errors import ConfigurationError

CANCEL_PATIENCE = 5.0
"""Seconds for which a query's cancellation, which goes by a connection of its own, may take."""

_MILLISECONDS = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


@contextmanager
def statement_timeout(cancel: CancellationToken, using: str | None = None) -> Iterator[None]:
    """Within the block, queries end with the token: by its time limit, or when it is cancelled.

    PostgreSQL gets the seconds that are left as its `statement_timeout` (an earlier one that is
    shorter stays), and a cancellation cancels the query by psycopg; SQLite's query is interrupted.
    Either way the query raises Django's `OperationalError`, and the block of `atomic()` around it
    rolls back; the next query of the block raises `Cancelled`. Afterwards the setting is what it
    was. On the thread that the connection belongs to.

    Args:
        cancel: the token: that of the task, or `request_token(request)`.
        using: the database; None for "default".

    Raises:
        Cancelled: the token was cancelled before.
        ConfigurationError: it is neither PostgreSQL nor SQLite.

    Example::

        def report(store, cancel):
            with statement_timeout(cancel):
                store.put("rows", list(Sale.objects.values("city").annotate(Sum("price"))))
    """
    connection = connections[using or DEFAULT_DB_ALIAS]
    if connection.vendor not in _INTERRUPTS:
        raise ConfigurationError(
            f"statement_timeout() knows how to end queries of {' and '.join(_INTERRUPTS)}; "
            f"database {connection.alias!r} is {connection.vendor!r}"
        )
    cancel.check()
    connection.ensure_connection()
    raw = connection.connection
    interrupt = _INTERRUPTS[connection.vendor]
    limit = None if connection.vendor != "postgresql" else cancel.remaining()

    def check_first(execute: Callable[..., Any], *query: Any) -> Any:
        if not (isinstance(query[0], str) and query[0].startswith(("ROLLBACK", "RELEASE"))):
            cancel.check()
        return execute(*query)

    before = None if limit is None else _set(connection, limit)
    try:
        # Its end waits for a cancellation that is under way: none hits a later query.
        with cancel.on_cancel(lambda: interrupt(raw)), connection.execute_wrapper(check_first):
            yield
    finally:
        if before is not None:
            _put_back(connection, before)


def _cancel_query(raw: Any) -> None:
    """Ask PostgreSQL to cancel it; psycopg 2, and 3 before 3.2, know one way only."""
    if hasattr(raw, "cancel_safe"):
        raw.cancel_safe(timeout=CANCEL_PATIENCE)
    else:
        raw.cancel()


_INTERRUPTS: dict[str, Callable[[Any], object]] = {
    "postgresql": _cancel_query,
    "sqlite": lambda raw: raw.interrupt(),
}


def _set(connection: Any, seconds: float) -> str:
    """Set the limit, unless a shorter one is set; return the one before, as PostgreSQL has it."""
    wanted = max(1, int(seconds * 1000))
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('statement_timeout')")
        before: str = cursor.fetchone()[0]
        earlier = _milliseconds(before)
        if earlier == 0 or wanted < earlier:
            cursor.execute(_SET, [f"{wanted}ms", connection.in_atomic_block])
    return before


def _put_back(connection: Any, before: str) -> None:
    # A transaction that is to be rolled back undoes it by itself, and takes no command any more.
    if connection.connection is None or connection.needs_rollback:
        return
    try:
        with connection.wrap_database_errors, connection.connection.cursor() as cursor:
            cursor.execute(_SET, [before, connection.in_atomic_block])
    except Error:
        if not connection.in_atomic_block:  # else the transaction has failed, as above
            connection.close()


_SET = "SELECT set_config('statement_timeout', %s, %s)"


def _milliseconds(text: str) -> int:
    """`current_setting` of a time: a number and its unit."""
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    return int(number) * _MILLISECONDS.get(text[len(number) :], 1)
