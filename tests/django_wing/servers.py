"""PostgreSQL for tests: the machine's own, with a database that is dropped afterwards."""

from __future__ import annotations

__all__ = ("MACHINE", "Server", "a_database", "is_served")

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg


@dataclass(frozen=True, slots=True)
class Server:
    """Where a PostgreSQL listens, and as whom one connects."""

    port: int = 5432
    user: str = "root"
    host: str = "127.0.0.1"

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """A connection of the test's own, in autocommit."""
        return psycopg.connect(
            host=self.host, port=self.port, user=self.user, dbname=database, autocommit=True
        )

    def settings(self, database: str, **others: Any) -> dict[str, Any]:
        """What stands in DATABASES."""
        return {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": self.host,
            "PORT": str(self.port),
            "USER": self.user,
            "NAME": database,
            **others,
        }


MACHINE = Server()


def is_served(server: Server = MACHINE) -> bool:
    """Whether a server is there that lets one in."""
    with suppress(OSError, psycopg.OperationalError):
        socket.create_connection((server.host, server.port), timeout=1).close()
        server.connect().close()
        return True
    return False


@contextmanager
def a_database(server: Server = MACHINE, kind: str = "django") -> Iterator[str]:
    """A database of this process's own."""
    name = f"cano_{kind}_{os.getpid()}"
    with server.connect() as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield name
    finally:
        with server.connect() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
