"""Django on PostgreSQL: what branches with a query cost, each connection being closed again."""

from __future__ import annotations

__all__ = ("bench_django",)

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from statistics import median
from typing import Any

import django
import psycopg
from django import conf
from django.db import connections

from cano_sync import JoinConfig, JoinStrategy, Workflow

from .harness import Row, paired, time_text

SERVER = os.environ.get("CANO_TEST_POSTGRES", "postgresql://root@127.0.0.1:5432/postgres")

CASES = (
    ("8 branches", "default", 8, None, 0.020),
    ("100 branches, bulkhead 3", "default", 100, 3, 0.016),
    ("8 branches, psycopg's pool", "pool", 8, None, 0.003),
    ("100 branches, bulkhead 3, pool", "pool", 100, 3, 0.008),
)
"""Their names, database, branches, bulkhead, and the seconds that each may take."""


def bench_django(quick: bool) -> Iterator[Row]:
    """Branches with a query each, against a thread pool whose work closes its connection itself."""
    try:
        server = psycopg.connect(SERVER, autocommit=True)
    except psycopg.OperationalError:
        yield Row("django", "no PostgreSQL")
        return
    with closing(server):
        name = f"cano_bench_{os.getpid()}"
        server.execute(f"CREATE DATABASE {name}".encode())
        try:
            _configure(server, name)
            for case, using, count, bulkhead, goal in CASES:
                ours, twin = _ours(using, count, bulkhead), _twin(using, count, bulkhead)
                number = 10 if quick else 40
                pairs = paired(ours, twin, pairs=number, clock=time.perf_counter)
                reached = median(pairs.ours) <= goal
                yield pairs.row(f"django, {case}", time_text, f"<= {goal * 1000:g} ms", reached)
            connections["pool"].close_pool()
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _configure(server: psycopg.Connection[Any], name: str) -> None:
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": server.info.host,
        "PORT": server.info.port,
        "USER": server.info.user,
        "PASSWORD": server.info.password,
        "NAME": name,
    }
    pool = {"pool": {"max_size": 8}}
    conf.settings.configure(
        INSTALLED_APPS=["cano_sync.django"],
        DATABASES={"default": database, "pool": {**database, "OPTIONS": pool}},
    )
    django.setup()


def _query(using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()


def _ours(using: str, count: int, bulkhead: int | None) -> Callable[[], object]:
    join = JoinConfig(JoinStrategy.ALL, "END", bulkhead=bulkhead)
    tasks = [lambda: _query(using)] * count
    workflow = Workflow().register_split("ASK", tasks, join).add_exit_state("END")
    return lambda: workflow.orchestrate("ASK")


def _twin(using: str, count: int, bulkhead: int | None) -> Callable[[], object]:
    def branch(_: int) -> None:
        try:
            _query(using)
        finally:
            connections.close_all()

    def work() -> None:
        with ThreadPoolExecutor(bulkhead or count) as executor:
            list(executor.map(branch, range(count)))

    return work
