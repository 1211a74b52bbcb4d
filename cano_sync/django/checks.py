"""System checks: what a database cannot bear is said before the first request."""

from __future__ import annotations

__all__ = ("register",)

from collections.abc import Iterator, Sequence
from typing import Any

from django import conf
from django.core import checks
from django.db import DatabaseError, connections

from .known import Known, known_workflows, listed_problems
from .options import problems

REQUESTS = 4
"""How many requests at once a server must bear, for the check of its connections."""

USUAL_LIMIT = 97
"""PostgreSQL's `max_connections`, less those for superusers, where nobody has changed them."""

# As psycopg's pool has it.
POOL_MIN_SIZE = 4


def register() -> None:
    """Register them all. A second call does nothing."""
    checks.register(check_setting)
    checks.register(check_splits)
    checks.register(check_server, checks.Tags.database)


def check_setting(app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """E001: what the setting `CANO_SYNC` says is wrong."""
    return [
        checks.Error(problem, hint="See the guide: CANO_SYNC is a dict.", id="cano_sync.E001")
        for problem in [*problems(), *listed_problems()]
    ]


def check_splits(app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """W001 to W005: what needs no look into the database."""
    return list(_of_settings(known_workflows()))


def check_server(
    app_configs: Any = None, databases: Sequence[str] | None = None, **_: Any
) -> list[checks.CheckMessage]:
    """W003 again, with what the server itself says: `manage.py check --database default`."""
    found: list[checks.CheckMessage] = []
    known = known_workflows()
    for alias in databases or ():
        connection = connections[alias]
        if connection.vendor != "postgresql" or _pool_size(connection) is not None:
            continue
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT current_setting('max_connections')::int"
                    " - current_setting('superuser_reserved_connections')::int"
                )
                allowed = cursor.fetchone()[0]
        except DatabaseError:  # a check of Django's own has something to say
            continue
        found += _too_many(known, alias, allowed, asked=True)
    return found


def _of_settings(known: Sequence[Known]) -> Iterator[checks.CheckMessage]:
    if not any(list(each.splits()) for each in known):
        return
    for alias in connections:
        connection = connections[alias]
        if connection.vendor == "sqlite" and conf.settings.DATABASES[alias].get("ATOMIC_REQUESTS"):
            yield from _atomic_on_sqlite(known, alias)
        if connection.vendor != "postgresql":
            continue
        size = _pool_size(connection)
        if size is not None:
            yield from _beyond_the_pool(known, alias, size)
            if not connection.settings_dict["CONN_HEALTH_CHECKS"]:
                yield _unchecked_pool(alias)
            continue
        yield from _too_many(known, alias, USUAL_LIMIT, asked=False)
        if connection.settings_dict["CONN_MAX_AGE"] is None:
            yield _kept_for_ever(alias)


def _pool_size(connection: Any) -> int | None:
    """How many connections the pool has at most; None without one."""
    options = connection.settings_dict["OPTIONS"].get("pool")
    if not options:
        return None
    given: dict[str, Any] = {} if options is True else options
    size: int = given.get("max_size") or given.get("min_size", POOL_MIN_SIZE)
    return size


def _beyond_the_pool(known: Sequence[Known], alias: str, size: int) -> Iterator[Any]:
    for each in known:
        for split, width, is_bulkhead in each.splits():
            if width is not None and width <= size:
                continue
            many = "as many branches as there will be" if width is None else f"{width} branches"
            by = "its bulkhead lets" if is_bulkhead else "without a bulkhead it lets"
            yield checks.Warning(
                f"{split}: {by} {many} run at once, but the pool of database {alias!r} has "
                f"{size} connections: those that query wait for each other, and for other "
                "requests, and fail after the pool's timeout",
                hint=f"JoinConfig(..., bulkhead={max(1, size - 1)}), so that the view has one, "
                f"too; or a larger max_size in DATABASES[{alias!r}]['OPTIONS']['pool'].",
                id="cano_sync.W001",
            )


def _atomic_on_sqlite(known: Sequence[Known], alias: str) -> Iterator[Any]:
    for each in known:
        for split, _, _ in each.splits():
            yield checks.Warning(
                f"{split}: it may run within the transaction of ATOMIC_REQUESTS on database "
                f"{alias!r}, which is SQLite and has one writer at a time: once the view has "
                'written, a branch that writes waits and fails with "database is locked", and so '
                "do other requests until the split is over",
                hint="Let single states write, and branches compute; or decorate the view with "
                "@transaction.non_atomic_requests.",
                id="cano_sync.W002",
            )


def _too_many(known: Sequence[Known], alias: str, allowed: int, *, asked: bool) -> Iterator[Any]:
    for each in known:
        for split, width, _ in each.splits():
            if width is not None and REQUESTS * (width + 1) <= allowed:
                continue
            if width is None:
                need = "as many connections for each request as the split will have branches"
            else:
                need = f"{REQUESTS * (width + 1)} connections for {REQUESTS} requests at once"
            server = "its server has" if asked else "PostgreSQL usually has"
            yield checks.Warning(
                f"{split}: branches that query need {need} to database {alias!r}, which has no "
                f"pool; {server} {allowed}, and refuses everybody while all are in use",
                hint='A pool: "OPTIONS": {"pool": {"max_size": 8}} in '
                f"DATABASES[{alias!r}], with CONN_MAX_AGE = 0; or JoinConfig(..., bulkhead=8).",
                id="cano_sync.W003",
            )


def _kept_for_ever(alias: str) -> Any:
    return checks.Warning(
        f"CONN_MAX_AGE of database {alias!r} is None: a thread of the server keeps its connection "
        "for ever, beside those of the branches, which are closed as each pool thread's job ends",
        hint='CONN_MAX_AGE = 0 and a pool, "OPTIONS": {"pool": True}: views and branches share it.',
        id="cano_sync.W004",
    )


def _unchecked_pool(alias: str) -> Any:
    return checks.Warning(
        f"the pool of database {alias!r} gives out connections unseen: after a restart of the "
        "server each of them fails once",
        hint=f"CONN_HEALTH_CHECKS = True in DATABASES[{alias!r}].",
        id="cano_sync.W005",
    )
