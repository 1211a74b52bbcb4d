"""Row 8: what a task does in the database once its run has gone on without it is undone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from django.db import connections, transaction

from cano_sync import (
    Cancelled,
    JoinStrategy,
    TaskConfig,
    Workflow,
    WorkflowTimeoutError,
    wait_for_abandoned,
)
from cano_sync.django.guard import _Guard
from tests.django_wing.conftest import POSTGRES, Rows
from tests.kit import SOON, Step, single, split


class Late:
    """A branch that writes in a block of its own, and waits there, deaf, until the gate opens."""

    def __init__(self, rows: Rows, gate: threading.Event) -> None:
        self.rows = rows
        self.gate = gate
        self.has_written = threading.Event()
        self.committed: list[str] = []
        self.ended: Future[None] = Future()

    def __call__(self) -> None:
        try:
            with transaction.atomic(self.rows.using):
                self.rows.add()
                transaction.on_commit(lambda: self.committed.append("mail"), self.rows.using)
                self.has_written.set()
                self.gate.wait(SOON)
        except BaseException as error:
            self.ended.set_exception(error)
            raise
        self.ended.set_result(None)

    def first(self) -> None:
        """The branch that wins."""
        self.has_written.wait(SOON)


@pytest.fixture
def late(rows: Rows, gate: threading.Event) -> Late:
    return Late(rows, gate)


def abandon_and_go_on(late: Late) -> None:
    split([late, late.first], JoinStrategy.ANY).orchestrate(Step.START)
    assert late.rows.count() == 0
    late.gate.set()
    assert wait_for_abandoned(SOON)


def test_a_late_branch_does_not_commit(late: Late) -> None:
    abandon_and_go_on(late)
    assert late.rows.count() == 0
    assert late.committed == []
    error = late.ended.exception()
    assert isinstance(error, Cancelled)
    assert f"access to database {late.rows.using!r} came too late" in str(error)


def test_without_the_guard_it_does(late: Late, monkeypatch: pytest.MonkeyPatch) -> None:
    """The law's own test would fail."""
    monkeypatch.setattr(_Guard, "_check", lambda self: None)
    abandon_and_go_on(late)
    assert late.rows.count() == 1
    assert late.committed == ["mail"]


def test_a_run_that_was_over_its_time_does_not_commit(late: Late) -> None:
    """Nor does it after its thread has moved on to a nested run."""

    inner = Workflow().register("INNER", lambda: late() or "END").add_exit_state("END")

    def outer(store: Any) -> Step:
        inner.orchestrate("INNER")
        return Step.DONE

    with pytest.raises(WorkflowTimeoutError):
        single(outer).with_timeout(0.1).orchestrate(Step.START)
    assert late.has_written.is_set()
    late.gate.set()
    assert wait_for_abandoned(SOON)
    assert late.rows.count() == 0
    assert isinstance(late.ended.exception(), Cancelled)


def test_an_attempt_that_was_over_its_time_does_not_commit(late: Late) -> None:
    config = TaskConfig().with_attempt_timeout(0.1)
    workflow = (
        Workflow()
        .register(Step.START, late, config, error_state=Step.MENDED)
        .add_exit_states(Step.DONE, Step.MENDED)
    )
    assert workflow.orchestrate(Step.START) is Step.MENDED
    late.gate.set()
    assert wait_for_abandoned(SOON)
    assert late.rows.count() == 0


@pytest.mark.parametrize("late_call", ["query", "in a savepoint", "on_commit"])
def test_a_late_query_is_not_made(rows: Rows, gate: threading.Event, late_call: str) -> None:
    """In autocommit, where each query is a transaction; and in blocks, which are rolled back."""
    begun = threading.Event()
    ended: Future[str] = Future()

    def in_a_savepoint() -> None:
        with transaction.atomic(rows.using):
            begin()
            with transaction.atomic(rows.using):
                rows.add()

    def begin() -> None:
        rows.count()
        begun.set()
        gate.wait(SOON)

    def query() -> None:
        begin()
        rows.add()

    def on_commit() -> None:
        begin()
        transaction.on_commit(rows.add, rows.using)

    calls: dict[str, Callable[[], None]] = {
        "query": query,
        "in a savepoint": in_a_savepoint,
        "on_commit": on_commit,
    }

    def branch() -> None:
        try:
            calls[late_call]()
        except Cancelled as signal:
            ended.set_result(str(signal))
            raise
        ended.set_result("nothing was raised")

    split([branch, lambda: begun.wait(SOON)], JoinStrategy.ANY).orchestrate(Step.START)
    gate.set()
    assert "came too late" in ended.result(SOON)
    assert wait_for_abandoned(SOON)
    assert rows.count() == 0


@pytest.mark.parametrize("using", POSTGRES, indirect=True)
def test_late_and_with_a_broken_connection_it_is_cancelled_all_the_same(
    rows: Rows, gate: threading.Event
) -> None:
    begun = threading.Event()
    ended: Future[None] = Future()

    def branch() -> None:
        try:
            with transaction.atomic(rows.using):
                rows.add()
                begun.set()
                gate.wait(SOON)
                connections[rows.using].connection.close()
        except BaseException as error:
            ended.set_exception(error)

    split([branch, lambda: begun.wait(SOON)], JoinStrategy.ANY).orchestrate(Step.START)
    gate.set()
    assert isinstance(ended.exception(SOON), Cancelled)
    assert wait_for_abandoned(SOON)


def test_in_time_all_is_as_always(rows: Rows) -> None:
    committed: list[int] = []

    def branch() -> None:
        with transaction.atomic(rows.using):
            rows.add()
            with transaction.atomic(rows.using):
                rows.add()
            transaction.on_commit(lambda: committed.append(1), rows.using)

    split([branch], bulkhead=1).orchestrate(Step.START)
    assert rows.count() == 2
    assert committed == [1]
