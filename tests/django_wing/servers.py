"""PostgreSQL for tests: the machine's own, or one that is made, and dropped afterwards."""

from __future__ import annotations

__all__ = (
    "MACHINE",
    "Cluster",
    "Server",
    "a_cluster",
    "a_database",
    "can_make_clusters",
    "is_served",
    "needs_postgres",
)

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest


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


needs_postgres = pytest.mark.skipif(
    not is_served(), reason=f"no PostgreSQL on {MACHINE.host}:{MACHINE.port}"
)


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


@dataclass(frozen=True, slots=True)
class Cluster:
    """A PostgreSQL of a test's own, which may be stopped and started.

    Attributes:
        folder: where its data is.
        server: how to connect: as a role that is no superuser, which may use three connections
            fewer than there are.
        owner: the same as its superuser.
        user: the system's user that it runs as; None for ours.
    """

    folder: Path
    server: Server
    owner: Server
    user: str | None

    def control(self, *arguments: str) -> None:
        """Call `pg_ctl`, and wait for it."""
        _call(
            self.user,
            "pg_ctl",
            "-D",
            str(self.folder),
            "-w",
            "-l",
            f"{self.folder}.log",
            *arguments,
        )

    def count(self) -> int:
        """How many connections the server has to the role."""
        with self.owner.connect() as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s"
            return int(connection.execute(query, [self.server.user]).fetchone()[0])


# Debian keeps the server's programs off the path, in a folder for each version.
BINARIES = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)


def can_make_clusters() -> bool:
    """Whether its programs are there, and a user that may run them."""
    if shutil.which("initdb", path=_path()) is None:
        return False
    with suppress(KeyError):
        return os.getuid() != 0 or bool(pwd.getpwnam("postgres"))
    return False


@contextmanager
def a_cluster(connections: int) -> Iterator[Cluster]:
    """A private PostgreSQL with so many connections."""
    user = "postgres" if os.getuid() == 0 else None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as parent:
        if user is not None:
            shutil.chown(parent, user)
        folder = Path(parent) / "data"
        _call(user, "initdb", "-D", str(folder), "-A", "trust", "-U", "owner", "--no-sync")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with (folder / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(
                f"port = {port}\nmax_connections = {connections}\nfsync = off\n"
                f"unix_socket_directories = '{parent}'\n"
            )
        cluster = Cluster(folder, Server(port, "shop"), Server(port, "owner"), user)
        cluster.control("start")
        try:
            with cluster.owner.connect() as connection:
                connection.execute("CREATE ROLE shop LOGIN")
                connection.execute("CREATE DATABASE shop OWNER shop")
            yield cluster
        finally:
            cluster.control("stop", "-m", "immediate")


def _path() -> str:
    return os.pathsep.join((*BINARIES, os.environ.get("PATH", "")))


def _call(user: str | None, program: str, *arguments: str) -> None:
    found = shutil.which(program, path=_path())
    assert found is not None
    done = subprocess.run(
        [found, *arguments],
        user=user,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # a server that it starts would keep a pipe open
        stderr=subprocess.DEVNULL,
        timeout=60,
    )
    assert done.returncode == 0, f"{program} ended with {done.returncode}"
