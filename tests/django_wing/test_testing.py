"""Row 9: what the mixin does for a project's own tests, which are run here as it runs them."""

from __future__ import annotations

import threading
import unittest
import warnings
from typing import Any

import pytest
from django.db import connections, transaction
from django.test import TestCase, TransactionTestCase

from cano_sync import CancellationToken, JoinStrategy, MemoryStore, WorkflowError, abandoned_tasks
from cano_sync.django import OpenTransactionWarning, busy
from cano_sync.django.testing import WorkflowTestMixin
from tests.django_wing.conftest import POSTGRES, Rows
from tests.kit import SOON, Step, single, split

pytestmark = pytest.mark.filterwarnings(
    "ignore::cano_sync.django.OpenTransactionWarning",
    "ignore:DateTimeField:RuntimeWarning",
)


def run(case: type[unittest.TestCase]) -> unittest.TestResult:
    """Run its tests; what went wrong is shown."""
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    print(*(text for _, text in result.errors))
    assert result.testsRun == 1
    return result


def a_case(rows: Rows, seen: list[Any], *bases: type) -> type[unittest.TestCase]:
    """A test that inserts a row and has two branches count, and insert one each."""

    def branch() -> int:
        found = rows.count()
        rows.add()
        return found

    class Case(*bases):  # type: ignore[misc]
        databases = {rows.using}  # noqa: RUF012  # as Django has it

        @classmethod
        def setUpTestData(cls) -> None:
            split([lambda: rows.add()]).orchestrate(Step.START)

        def test_it(self) -> None:
            rows.add()
            store = MemoryStore()
            workflow = split([branch] * 2, bulkhead=1, collect="seen").with_timeout(SOON)
            workflow.orchestrate(Step.START, store=store)
            seen.extend([*store.get("seen"), rows.count()])

    return Case


def test_branches_see_the_rows_of_the_test_and_are_rolled_back_with_it(rows: Rows) -> None:
    seen: list[Any] = []
    result = run(a_case(rows, seen, WorkflowTestMixin, TestCase))
    assert (result.errors, result.failures) == ([], [])
    assert seen == [2, 3, 4]
    assert rows.count() == 0


def test_inline_branches_warn_of_what_they_see_only_in_a_test(rows: Rows) -> None:
    """What the view has not committed: on threads of their own they will not see it."""
    workflow = split([rows.count] * 2)

    class Case(WorkflowTestMixin, TestCase):
        databases = {rows.using}  # noqa: RUF012  # as Django has it

        def test_it(self) -> None:
            with warnings.catch_warnings(record=True) as beside:
                warnings.simplefilter("always")
                workflow.orchestrate(Step.START)  # the test's own transaction does not count
            assert beside == []
            with (
                transaction.atomic(rows.using),  # as ATOMIC_REQUESTS has it
                pytest.warns(OpenTransactionWarning, match="outside of tests") as within,
            ):
                workflow.orchestrate(Step.START)
            assert len(within) == 2  # one a branch

    result = run(Case)
    assert (result.errors, result.failures) == ([], [])


@pytest.mark.parametrize("using", POSTGRES, indirect=True)
def test_without_it_they_do_not_and_their_rows_survive(rows: Rows) -> None:
    """The law's own test would fail."""
    seen: list[Any] = []
    result = run(a_case(rows, seen, TestCase))
    assert (result.errors, result.failures) == ([], [])
    assert seen == [1, 2, 4]
    assert rows.count() == 3


def test_outside_a_transaction_a_tests_end_waits_for_what_it_has_started(rows: Rows) -> None:
    """An abandoned branch and a submitted run are over when the tables are emptied."""
    abandoned = threading.Event()
    ended: list[str] = []

    class Case(WorkflowTestMixin, TransactionTestCase):
        databases = {rows.using}  # noqa: RUF012

        def test_it(self) -> None:
            def deaf() -> None:
                with transaction.atomic(rows.using):
                    rows.add()
                    begun.set()
                    abandoned.wait(SOON)
                    ended.append("deaf")

            def background(store: Any) -> Step:
                abandoned.wait(SOON)
                rows.count()
                ended.append("background")
                return Step.DONE

            begun = threading.Event()
            single(background).submit(Step.START)
            split([deaf, lambda: begun.wait(SOON)], JoinStrategy.ANY).orchestrate(Step.START)
            threading.Timer(0.05, abandoned.set).start()

    result = run(Case)
    assert (result.errors, result.failures) == ([], [])
    assert sorted(ended) == ["background", "deaf"]
    assert rows.count() == 0
    assert abandoned_tasks() == 0
    connections.close_all()


def test_what_never_ends_fails_the_test(rows: Rows, gate: threading.Event) -> None:
    class Case(WorkflowTestMixin, TransactionTestCase):
        databases = {rows.using}  # noqa: RUF012
        workflow_wait = 0.05

        def test_it(self) -> None:
            def background(store: Any, cancel: CancellationToken) -> Step:
                gate.wait(SOON)
                return Step.DONE

            future.append(single(background).submit(Step.START))

    future: list[Any] = []
    result = run(Case)
    (failure,) = result.failures
    assert "1 thread of workflows still had work 0.05 s after the test" in failure[1]
    gate.set()
    future[0].result(SOON)


def test_what_production_refuses_the_test_refuses_too(rows: Rows) -> None:
    class Case(WorkflowTestMixin, TestCase):
        databases = {rows.using}  # noqa: RUF012

        def test_it(self) -> None:
            workflow = single(lambda: Step.DONE).with_timeout(SOON)
            workflow.orchestrate(Step.START)
            with transaction.atomic(rows.using), self.assertRaisesRegex(WorkflowError, "stay=True"):
                workflow.orchestrate(Step.START)

    result = run(Case)
    assert (result.errors, result.failures) == ([], [])


def test_a_forked_child_has_none_of_its_parents_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy, "_idle", busy._idle)
    monkeypatch.setattr(busy, "_jobs", 3)
    assert busy.wait_until_idle(0.001) == 3
    busy._forget()
    assert busy.wait_until_idle(0.001) == 0
