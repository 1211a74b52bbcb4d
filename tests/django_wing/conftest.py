"""Django, set up once a process, with the app installed while a test of this folder runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import django
import pytest
from django import conf
from django.core.management.utils import get_random_secret_key
from django.db import connections, transaction

from cano_sync.django import closing
from cano_sync.django.around import install, uninstall
from tests.django_wing.servers import MACHINE, a_database, is_served, needs_postgres
from tests.kit import SOON

POSTGRES = [pytest.param("pg", marks=needs_postgres)]
BOTH = ["default", *POSTGRES]


@pytest.fixture(scope="session")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Django takes its settings once a process."""
    folder = tmp_path_factory.mktemp("django")
    with ExitStack() as databases:
        served = {}
        if is_served():
            name = databases.enter_context(a_database())
            served = {
                "pg": MACHINE.settings(name),
                "pool": MACHINE.settings(
                    name,
                    OPTIONS={"pool": {"min_size": 1, "max_size": 4}},
                    CONN_HEALTH_CHECKS=True,
                ),
            }
        conf.settings.configure(
            SECRET_KEY=get_random_secret_key(),
            ALLOWED_HOSTS=["testserver"],
            INSTALLED_APPS=["cano_sync.django"],
            ROOT_URLCONF="tests.django_wing.urls",
            USE_TZ=True,
            LANGUAGES=[("en", "English"), ("de", "Deutsch")],
            DATABASES={
                "default": {
                    "ENGINE": "django.db.backends.sqlite3",
                    "NAME": str(folder / "db.sqlite"),
                },
                **served,
            },
        )
        django.setup()
        uninstall()
        yield
        for connection in connections.all():
            if connection.vendor == "postgresql":
                connection.close_pool()


@pytest.fixture(autouse=True)
def app(configured: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All other tests of the process run without what the app puts around theirs."""
    monkeypatch.setattr(closing, "FAREWELL", SOON)  # however busy this machine is
    install()
    yield
    uninstall()
    connections.close_all()


class Rows:
    """A table with one column of numbers, on one database, on connections of this thread."""

    def __init__(self, using: str) -> None:
        self.using = using
        with transaction.atomic(using):
            self.execute("DROP TABLE IF EXISTS rows")
            self.execute("CREATE TABLE rows (number integer)")

    def execute(self, sql: str, *parameters: Any) -> list[Any]:
        """What a query finds."""
        with connections[self.using].cursor() as cursor:
            cursor.execute(sql, parameters)
            return [] if cursor.description is None else cursor.fetchall()

    def add(self, number: int = 1) -> None:
        self.execute("INSERT INTO rows VALUES (%s)", number)

    def count(self) -> int:
        return int(self.execute("SELECT count(*) FROM rows")[0][0])


@pytest.fixture(params=BOTH)
def using(request: pytest.FixtureRequest) -> str:
    """A database on SQLite, and one on PostgreSQL."""
    return request.param


@pytest.fixture
def rows(app: None, using: str) -> Rows:
    """An empty table on it."""
    return Rows(using)
