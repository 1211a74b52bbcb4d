"""No connection of a pool thread outlives its job; those of others are left alone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction

from cano_sync import JoinError, TaskConfig, TaskExecutionError, Workflow
from tests.django_wing.conftest import POSTGRES, Rows
from tests.django_wing.servers import MACHINE
from tests.kit import SOON, Boom, Eventually, Step, boom, split

pytestmark = pytest.mark.parametrize("using", POSTGRES, indirect=True)


class Backends:
    """The connections that the server has to a database, as it says itself."""

    def __init__(self, using: str) -> None:
        self.name = connections[using].settings_dict["NAME"]

    def count(self) -> int:
        with MACHINE.connect() as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
            return int(connection.execute(query, [self.name]).fetchone()[0])

    def end_all(self) -> None:
        with MACHINE.connect() as connection:
            query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            while connection.execute(query, [self.name]).fetchall():
                pass


@pytest.fixture
def backends(rows: Rows) -> Backends:
    connections.close_all()
    return Backends(rows.using)


def meeting(rows: Rows, count: int) -> list[Callable[[], int]]:
    """Branches that have all of them a connection at the same time."""
    everybody = threading.Barrier(count, timeout=SOON)

    def branch() -> int:
        found = rows.count()
        everybody.wait()
        return found

    return [branch] * count


def test_after_a_split_nothing_is_open(rows: Rows, backends: Backends) -> None:
    """Row 1. The server itself has forgotten them when the run returns."""
    workflow = split(meeting(rows, 8))
    for _ in range(3):
        workflow.orchestrate(Step.START)
        assert backends.count() == 0


def test_without_that_they_stay_open(
    rows: Rows, backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cano_sync.django.guard.close", lambda opened: None)
    with ThreadPoolExecutor(4) as executor:
        workflow = split(meeting(rows, 4)).with_executor(executor)
        workflow.orchestrate(Step.START)
        assert backends.count() == 4
        backends.end_all()
        with pytest.raises(JoinError):  # and all later runs fail
            workflow.orchestrate(Step.START)
        everybody = threading.Barrier(4, timeout=SOON)
        for _ in range(4):
            executor.submit(lambda: (connections.close_all(), everybody.wait()))


def test_after_a_run_and_an_attempt_on_pool_threads_nothing_is_open(
    rows: Rows, backends: Backends
) -> None:
    def count(store: Any) -> Step:
        rows.count()
        return Step.DONE

    run = Workflow().register(Step.START, count).add_exit_state(Step.DONE).with_timeout(SOON)
    run.orchestrate(Step.START)
    assert backends.count() == 0
    config = TaskConfig().with_attempt_timeout(SOON)
    attempt = Workflow().register(Step.START, count, config).add_exit_state(Step.DONE)
    attempt.orchestrate(Step.START)
    assert backends.count() == 0


def test_the_callers_connection_stays_and_so_does_its_transaction(rows: Rows) -> None:
    with transaction.atomic(rows.using):
        rows.add()
        mine = connections[rows.using].connection
        split([lambda: None] * 3).orchestrate(Step.START)
        assert connections[rows.using].connection is mine
        assert rows.count() == 1


class AtOnce(Executor):
    """Somebody's own executor that has no threads."""

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*args, **kwargs))
        return future


def test_an_executor_without_threads_leaves_the_callers_connection_open(rows: Rows) -> None:
    with transaction.atomic(rows.using):
        rows.add()
        split([rows.count] * 2).with_executor(AtOnce()).orchestrate(Step.START)
        assert rows.count() == 1
    assert rows.count() == 1


def test_what_an_executors_thread_had_open_stays_open(rows: Rows, backends: Backends) -> None:
    with ThreadPoolExecutor(1) as executor:
        executor.submit(rows.count).result()
        split([rows.count] * 2).with_executor(executor).orchestrate(Step.START)
        assert backends.count() == 1
        executor.submit(connections.close_all).result()


def test_the_next_run_works_after_the_server_has_dropped_everybody(
    rows: Rows, backends: Backends
) -> None:
    """Row 3."""
    workflow = split(meeting(rows, 4))
    workflow.orchestrate(Step.START)
    backends.end_all()
    workflow.orchestrate(Step.START)
    backends.end_all()
    workflow.orchestrate(Step.START)


def test_a_block_that_nobody_has_left_is_rolled_back(rows: Rows, backends: Backends) -> None:
    def branch() -> None:
        transaction.atomic(rows.using).__enter__()
        rows.add()

    for _ in range(2):
        split([branch] * 2, bulkhead=1).orchestrate(Step.START)
        assert backends.count() == 0
    split([rows.count]).orchestrate(Step.START)
    assert rows.count() == 0


def test_a_database_that_nobody_can_use_keeps_nobody_from_the_others(rows: Rows) -> None:
    broken = {**connections.settings[rows.using], "ENGINE": "no.such.engine"}
    connections.settings["broken"] = broken
    try:
        split([rows.count]).orchestrate(Step.START)
    finally:
        del connections.settings["broken"]


def test_with_a_pool_they_are_given_back(rows: Rows, backends: Backends) -> None:
    """Twelve branches share the four connections of the pool, and wait for them."""

    def count() -> None:
        with connections["pool"].cursor() as cursor:
            cursor.execute("SELECT count(*) FROM rows")

    workflow = split([count] * 12)
    for _ in range(3):
        workflow.orchestrate(Step.START)
        assert backends.count() <= 4
    backends.end_all()
    workflow.orchestrate(Step.START)  # the pool looks at what it gives out: CONN_HEALTH_CHECKS
    connections["pool"].close_pool()


REFUSED = 'connection to server at "127.0.0.1" failed: FATAL:  sorry, too many clients already'
EXHAUSTED = "couldn't get a connection after 30.00 sec"


@pytest.mark.parametrize(
    ("text", "mends"),
    [
        (REFUSED, ['OPTIONS={"pool": {"max_size": 8}}', "bulkhead=8"]),
        (EXHAUSTED, ['OPTIONS={"pool": {"max_size": 16}}', "bulkhead=8"]),
        ("server closed the connection unexpectedly", []),
    ],
)
def test_the_branch_that_is_refused_says_what_mends_it(
    rows: Rows, text: str, mends: list[str]
) -> None:
    """Row 2: as Django reports a server, or a pool, that is exhausted; in whatever it led to."""

    def refused() -> None:
        try:
            raise OperationalError(text)
        except OperationalError as error:
            raise Boom from error

    with pytest.raises(JoinError) as caught:
        split([refused]).orchestrate(Step.START)
    (branch,) = caught.value.__cause__.exceptions
    assert isinstance(branch, TaskExecutionError)
    assert isinstance(branch.__cause__, Boom)
    notes = getattr(branch.__cause__, "__notes__", [])
    assert len(notes) == bool(mends)
    assert all(mend in notes[0] for mend in mends)


def test_a_connection_that_cannot_be_closed_is_logged_and_keeps_nobody(
    rows: Rows, backends: Backends, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    def branch() -> None:
        rows.count()
        connections[rows.using].close = boom
        connections[rows.using].connection.close()

    with caplog.at_level(logging.ERROR, "cano_sync.django"), ThreadPoolExecutor(1) as executor:
        split([branch]).with_executor(executor).orchestrate(Step.START)
    assert "a connection could not be closed" in caplog.text
    eventually(lambda: backends.count() == 0)
