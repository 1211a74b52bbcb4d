"""Queries that end with a token."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from django.db import OperationalError, connections, transaction

from cano_sync import CancellationToken, Cancelled, ConfigurationError
from cano_sync.django import statement_timeout
from tests.django_wing.conftest import POSTGRES, Rows
from tests.kit import SOON

on_postgres = pytest.mark.parametrize("using", POSTGRES, indirect=True)

ENDLESS = {
    "postgresql": "SELECT pg_sleep(20)",
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "SELECT sum(i) FROM n",
}


def endless(rows: Rows) -> None:
    rows.execute(ENDLESS[connections[rows.using].vendor])


def ends_in_time(work: Callable[[], object]) -> None:
    begin = time.monotonic()
    with pytest.raises(OperationalError):
        work()
    assert time.monotonic() - begin < 5


def current(rows: Rows) -> str:
    return str(rows.execute("SHOW statement_timeout")[0][0])


def test_a_query_ends_when_the_time_is_up(rows: Rows) -> None:
    with statement_timeout(CancellationToken(0.05), rows.using):
        ends_in_time(lambda: endless(rows))
    rows.add()
    assert rows.count() == 1


def test_a_query_ends_when_the_token_is_cancelled_and_the_next_is_not_made(rows: Rows) -> None:
    """From another thread, while it runs."""
    token = CancellationToken()
    rows.execute("SELECT 1")
    timer = threading.Timer(0.05, token.cancel)
    with statement_timeout(token, rows.using):
        timer.start()
        ends_in_time(lambda: endless(rows))
        with pytest.raises(Cancelled):
            rows.add()
    timer.join()
    rows.add()
    assert rows.count() == 1


def test_in_a_transaction_what_it_wrote_is_rolled_back(rows: Rows) -> None:
    def block() -> None:
        with transaction.atomic(rows.using):
            rows.add()
            with statement_timeout(CancellationToken(0.05), rows.using):
                endless(rows)

    ends_in_time(block)
    assert rows.count() == 0


def test_of_a_cancelled_token_the_block_is_not_entered(rows: Rows) -> None:
    token = CancellationToken()
    token.cancel("enough")
    with pytest.raises(Cancelled, match="enough"), statement_timeout(token, rows.using):
        pytest.fail("it was entered")


@on_postgres
@pytest.mark.parametrize("in_block", [False, True])
def test_the_setting_is_put_back(rows: Rows, in_block: bool) -> None:
    def within() -> None:
        with statement_timeout(CancellationToken(3), rows.using):
            assert current(rows) not in ("0", "7s")
        assert current(rows) == "7s"
        with statement_timeout(CancellationToken(SOON), rows.using):
            assert current(rows) == "7s"  # it is the shorter one
        with statement_timeout(CancellationToken(), rows.using):
            assert current(rows) == "7s"

    if in_block:
        with transaction.atomic(rows.using):
            rows.execute("SET LOCAL statement_timeout = '7s'")
            within()
        assert current(rows) == "0"
    else:
        rows.execute("SET statement_timeout = '7s'")
        within()


@on_postgres
def test_after_a_savepoint_that_failed_the_transaction_goes_on(rows: Rows) -> None:
    def inner() -> None:
        with (
            transaction.atomic(rows.using),
            statement_timeout(CancellationToken(0.05), rows.using),
        ):
            endless(rows)

    with transaction.atomic(rows.using):
        rows.add()
        ends_in_time(inner)
        assert current(rows) == "0"
        rows.add()
    assert rows.count() == 2


def test_of_another_database_it_says_what_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections["default"], "vendor", "oracle", raising=False)
    with (
        pytest.raises(ConfigurationError, match="queries of postgresql and sqlite"),
        statement_timeout(CancellationToken()),
    ):
        pytest.fail("it was entered")
