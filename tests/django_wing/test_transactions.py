"""Rows 4 to 7: work beside a transaction that is open where it was handed over."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction

from cano_sync import JoinError, TaskConfig, WorkflowError
from cano_sync.django import OpenTransactionWarning, guard
from cano_sync.django.around import uninstall
from tests.django_wing.conftest import POSTGRES, Rows
from tests.kit import SOON, Boom, Step, single, split

on_postgres = pytest.mark.parametrize("using", POSTGRES, indirect=True)


# Row 4: a branch does not see what the transaction has written, and is warned.


def test_a_branch_that_queries_beside_it_is_warned_at_its_own_line(rows: Rows) -> None:
    def branch() -> int:
        return rows.count()

    with transaction.atomic(rows.using), warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        rows.execute("SELECT 1")
        split([branch] * 2, bulkhead=1).orchestrate(Step.START)
    assert {warning.category for warning in seen} == {OpenTransactionWarning}
    assert len(seen) == 2  # one a branch: which of them are shown, the filter decides
    assert seen[0].filename.endswith("conftest.py")  # where the helper queries
    text = str(seen[0].message)
    assert text.startswith(f"state Step.START: a branch queries database {rows.using!r}")
    assert "it may wait for ever for a row that that has locked" in text
    assert "@transaction.non_atomic_requests" in text


def test_by_default_it_is_warned_once_for_a_place(rows: Rows) -> None:
    with transaction.atomic(rows.using), warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        for _ in range(3):
            split([rows.count] * 2, bulkhead=1).orchestrate(Step.START)
    assert len(seen) == 1


def test_as_an_error_it_fails_the_branch(rows: Rows) -> None:
    with transaction.atomic(rows.using), pytest.raises(JoinError, match="OpenTransactionWarning"):
        split([rows.count]).orchestrate(Step.START)


def test_who_does_not_query_is_not_warned_nor_who_has_another_database(rows: Rows) -> None:
    def with_another_database() -> None:
        with connections[other].cursor() as cursor:
            cursor.execute("SELECT 1")

    other = "default" if rows.using != "default" else "pool"
    tasks = (
        [lambda: None, with_another_database] if other in connections.settings else [lambda: None]
    )
    with transaction.atomic(rows.using):
        split(tasks).orchestrate(Step.START)
    split([rows.count]).orchestrate(Step.START)
    if other == "pool" and other in connections.settings:
        connections["pool"].close_pool()


def test_a_branch_of_a_branch_stands_beside_it_too(rows: Rows) -> None:
    """The view is rolled back: neither is the mail sent, nor may the query go without a word."""
    mails: list[str] = []

    def mail() -> None:
        transaction.on_commit(lambda: mails.append("sent"), rows.using)

    mailing, counting = split([mail]), split([rows.count])

    def view() -> None:
        with transaction.atomic(rows.using):
            split([lambda: mailing.orchestrate(Step.START)]).orchestrate(Step.START)
            with pytest.warns(OpenTransactionWarning):
                split([lambda: counting.orchestrate(Step.START)]).orchestrate(Step.START)
            raise Boom

    with pytest.raises(Boom):
        view()
    assert mails == []


# Row 5: a limit would move the run away from its transaction.


def add(rows: Rows) -> Any:
    def task(store: Any) -> Step:
        rows.add()
        return Step.DONE

    return task


def test_a_run_with_a_limit_is_refused_with_its_mend(rows: Rows) -> None:
    workflow = single(add(rows)).with_timeout(SOON)
    with transaction.atomic(rows.using), pytest.raises(WorkflowError) as caught:
        workflow.orchestrate(Step.START)
    assert f"open on database {rows.using!r}" in str(caught.value)
    assert ".with_timeout(seconds, stay=True)" in str(caught.value)
    assert caught.value.state is Step.START
    workflow.orchestrate(Step.START)
    assert rows.count() == 1


def test_an_attempt_with_a_limit_is_refused_with_its_mend(rows: Rows) -> None:
    workflow = single(add(rows), TaskConfig().with_attempt_timeout(SOON))
    with transaction.atomic(rows.using):
        with pytest.raises(WorkflowError, match=r"attempt has a time limit.*stay=True"):
            workflow.orchestrate(Step.START)
        workflow.orchestrate(Step.START, stay=True)
    assert rows.count() == 1


def test_a_limit_that_stays_is_rolled_back_with_the_view(rows: Rows) -> None:
    workflow = single(add(rows)).with_timeout(SOON, stay=True)

    def view() -> None:
        with transaction.atomic(rows.using):
            workflow.orchestrate(Step.START)
            raise Boom

    with pytest.raises(Boom):
        view()
    assert rows.count() == 0


def test_without_the_app_the_row_stays(rows: Rows) -> None:
    """What the refusal is for."""
    uninstall()

    def view() -> None:
        with transaction.atomic(rows.using):
            single(add_and_close).with_timeout(SOON).orchestrate(Step.START)
            raise Boom

    def add_and_close(store: Any) -> Step:
        rows.add()
        connections.close_all()
        return Step.DONE

    with pytest.raises(Boom):
        view()
    assert rows.count() == 1


def test_a_transaction_that_was_begun_by_hand_counts(rows: Rows) -> None:
    transaction.set_autocommit(False, rows.using)
    try:
        with pytest.raises(WorkflowError, match="stay=True"):
            single(add(rows)).with_timeout(SOON).orchestrate(Step.START)
    finally:
        transaction.rollback(rows.using)
        transaction.set_autocommit(True, rows.using)


def test_that_of_a_testcase_does_not_count(rows: Rows) -> None:
    """Django marks it; but the run is warned when it queries."""
    atomic = transaction.atomic(rows.using)
    atomic._from_testcase = True
    with atomic:
        single(lambda: Step.DONE).with_timeout(SOON).orchestrate(Step.START)
        with pytest.warns(OpenTransactionWarning, match="WorkflowTestMixin"):
            single(lambda: rows.count() or Step.DONE).with_timeout(SOON).orchestrate(Step.START)
        with transaction.atomic(rows.using), pytest.raises(WorkflowError, match="stay=True"):
            single(add(rows)).with_timeout(SOON).orchestrate(Step.START)


# What is submitted within a transaction.


def test_a_submitted_run_that_queries_is_warned_and_learns_its_mend(rows: Rows) -> None:
    with transaction.atomic(rows.using):
        single(lambda: Step.DONE).submit(Step.START).result(SOON)
        with pytest.warns(OpenTransactionWarning, match=r"submit_on_commit\(\)"):
            single(lambda: rows.count() or Step.DONE).submit(Step.START).result(SOON)


# Row 6: a branch that waits for a row that the view has locked.


@on_postgres
@pytest.mark.filterwarnings("ignore::cano_sync.django.OpenTransactionWarning")
def test_a_branch_does_not_wait_for_ever_for_the_views_locks(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what it waits for before the split's time is up; its connection forgets the limit."""
    assert 0.5 < guard.LOCK_SHARE < 1
    monkeypatch.setattr(guard, "LOCK_SHARE", 0.1)  # time enough for a busy machine
    rows.add()
    limits: list[str] = []

    def limit() -> None:
        limits.append(rows.execute("SHOW lock_timeout")[0][0])

    def branch() -> None:
        limit()
        rows.execute("UPDATE rows SET number = 2")

    with transaction.atomic(rows.using):
        rows.execute("SELECT * FROM rows FOR UPDATE")
        workflow = split([branch], timeout=3)
        with pytest.raises(JoinError) as caught:
            workflow.orchestrate(Step.START)
        assert "1 failed, 0 cancelled" in str(caught.value)
        (error,) = caught.value.__cause__.exceptions
        assert isinstance(error.__cause__, OperationalError)
        assert "lock timeout" in str(error.__cause__)
        split([limit], timeout=SOON).orchestrate(Step.START)
    split([limit], timeout=SOON).orchestrate(Step.START)
    assert 0 < int(limits[0].removesuffix("ms")) <= 300
    assert limits[1] not in (limits[0], "0")
    assert limits[2] == "0"


@on_postgres
@pytest.mark.filterwarnings("ignore::cano_sync.django.OpenTransactionWarning")
def test_a_pools_connection_forgets_the_limit(rows: Rows) -> None:
    limits: list[str] = []

    def limit() -> None:
        with connections["pool"].cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            limits.append(cursor.fetchone()[0])

    with transaction.atomic("pool"):
        split([limit] * 4, bulkhead=1, timeout=SOON).orchestrate(Step.START)
    split([limit] * 4, timeout=SOON).orchestrate(Step.START)
    connections.close_all()
    connections["pool"].close_pool()
    assert "0" not in limits[:4]
    assert limits[4:] == ["0"] * 4


@on_postgres
@pytest.mark.filterwarnings("ignore::cano_sync.django.OpenTransactionWarning")
@pytest.mark.parametrize("how", ["close", "break"])
def test_a_connection_that_is_gone_has_no_limit_to_forget(rows: Rows, how: str) -> None:
    """Neither one that the branch has closed itself, nor one that is broken."""

    def branch() -> None:
        rows.count()
        connection = connections[rows.using]
        (connection if how == "close" else connection.connection).close()

    with transaction.atomic(rows.using):
        rows.count()
        split([branch] * 2, bulkhead=1, timeout=SOON).orchestrate(Step.START)


# Row 7: callbacks of `on_commit` in branches.


def view_with_mail(rows: Rows, mails: list[str], *, fails: bool) -> None:
    def branch() -> None:
        transaction.on_commit(lambda: mails.append("sent"), rows.using)

    with transaction.atomic(rows.using):
        split([branch] * 2).orchestrate(Step.START)
        assert mails == []
        if fails:
            raise Boom


def test_the_mail_waits_for_the_views_commit(rows: Rows) -> None:
    mails: list[str] = []
    view_with_mail(rows, mails, fails=False)
    assert mails == ["sent"] * 2


def test_the_mail_is_not_sent_when_the_view_fails(rows: Rows) -> None:
    mails: list[str] = []
    with pytest.raises(Boom):
        view_with_mail(rows, mails, fails=True)
    assert mails == []


def test_without_the_app_it_is(rows: Rows) -> None:
    """What the waiting is for."""
    uninstall()
    mails: list[str] = []
    with pytest.raises(AssertionError):
        view_with_mail(rows, mails, fails=True)
    assert mails == ["sent"] * 2


def test_without_a_transaction_around_it_is_sent_at_once(rows: Rows) -> None:
    mails: list[str] = []

    def branch() -> None:
        transaction.on_commit(lambda: mails.append("sent"), rows.using)
        assert mails == ["sent"]

    split([branch]).orchestrate(Step.START)
    assert mails == ["sent"]


@on_postgres
@pytest.mark.filterwarnings("ignore::cano_sync.django.OpenTransactionWarning")
def test_in_a_block_of_the_branchs_own_it_is_sent_with_that(rows: Rows) -> None:
    """What the branch has committed stays, and so the mail belongs to that."""
    mails: list[str] = []

    def branch() -> None:
        with transaction.atomic(rows.using):
            rows.add()
            transaction.on_commit(lambda: mails.append("sent"), rows.using)

    def view() -> None:
        with transaction.atomic(rows.using):
            split([branch]).orchestrate(Step.START)
            raise Boom

    with pytest.raises(Boom):
        view()
    assert mails == ["sent"]
    assert rows.count() == 1


def test_a_robust_callback_that_fails_keeps_nobody_from_theirs(
    rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    mails: list[str] = []

    def fails() -> None:
        raise Boom

    def branch() -> None:
        transaction.on_commit(fails, rows.using, robust=True)
        transaction.on_commit(lambda: mails.append("sent"), rows.using)

    with transaction.atomic(rows.using):
        split([branch]).orchestrate(Step.START)
    assert mails == ["sent"]
    assert "fails" in caplog.text


# What is left to Django.


def test_a_callback_that_is_none_is_djangos_error(rows: Rows) -> None:
    def branch() -> None:
        with pytest.raises(TypeError, match="must be a callable"):
            transaction.on_commit(None, rows.using)

    with transaction.atomic(rows.using):
        split([branch]).orchestrate(Step.START)
