"""The machine's PostgreSQL, for tests: a database of their own, dropped in the end."""

from __future__ import annotations

__all__ = ("connections_to", "execute", "fresh_database", "needs_postgres", "sqlalchemy_url")

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

SERVER = os.environ.get("CANO_TEST_POSTGRES", "postgresql://root@127.0.0.1:5432/postgres")


@cache
def _is_there() -> bool:
    try:
        psycopg.connect(SERVER, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


needs_postgres = pytest.mark.skipif(
    not _is_there(), reason="no PostgreSQL; CANO_TEST_POSTGRES may name one"
)


@contextmanager
def fresh_database() -> Iterator[str]:
    """A new database: its name. It is dropped afterwards, whoever is connected to it."""
    name = f"cano_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(SERVER, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield name
        finally:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            )


def sqlalchemy_url(name: str) -> str:
    """The database's URL, as SQLAlchemy takes it."""
    server = conninfo_to_dict(SERVER)
    where = f"{server.get('host', '')}:{server.get('port', 5432)}"
    secret = f":{server['password']}" if "password" in server else ""
    return f"postgresql+psycopg://{server.get('user', 'root')}{secret}@{where}/{name}"


def execute(name: str, statement: str) -> Any:
    """Execute it in the database, and commit; the first value, if there is one."""
    with psycopg.connect(SERVER, dbname=name) as connection:
        cursor = connection.execute(statement)  # type: ignore[call-overload]
        row = cursor.fetchone() if cursor.description else None
    return None if row is None else row[0]


def connections_to(name: str) -> int:
    """How many connections to the database are open."""
    statement = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'"
    return int(execute("postgres", statement))
