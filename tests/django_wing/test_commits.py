"""Runs that begin when the transaction around them is committed."""

from __future__ import annotations

import logging
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

import pytest
from django.db import transaction

from cano_sync import ConfigurationError, MemoryStore, TaskExecutionError, Workflow, WorkflowError
from cano_sync.django import submit_on_commit
from tests.django_wing.conftest import Rows
from tests.kit import SOON, Boom, Step, boom, single


def count(rows: Rows) -> Workflow[Any]:
    def task(store: Any) -> Step:
        store.put("rows", rows.count())
        return Step.DONE

    return single(task)


def test_the_run_begins_after_the_commit_and_sees_what_was_written(rows: Rows) -> None:
    store = MemoryStore()
    with transaction.atomic(rows.using):
        rows.add()
        future = submit_on_commit(count(rows), Step.START, store=store, using=rows.using)
        assert not future.running()
        assert not future.done()
    assert future.result(SOON) is Step.DONE
    assert store.get("rows") == 1


def test_outside_a_transaction_it_begins_at_once(rows: Rows) -> None:
    assert submit_on_commit(count(rows), Step.START, using=rows.using).result(SOON) is Step.DONE


def test_rolled_back_there_is_no_run_and_the_future_is_cancelled(rows: Rows) -> None:
    store = MemoryStore()
    futures = []

    def view() -> None:
        with transaction.atomic(rows.using):
            futures.append(submit_on_commit(count(rows), Step.START, store=store, using=rows.using))
            raise Boom

    with pytest.raises(Boom):
        view()
    assert futures[0].cancelled()
    with pytest.raises(CancelledError):
        futures[0].result(SOON)
    assert "rows" not in store


def test_it_belongs_to_its_savepoint(rows: Rows) -> None:
    def inner() -> None:
        with transaction.atomic(rows.using):
            futures.append(submit_on_commit(count(rows), Step.START, using=rows.using))
            raise Boom

    futures: list[Any] = []
    with transaction.atomic(rows.using):
        with pytest.raises(Boom):
            inner()
        assert futures[0].cancelled()
        futures.append(submit_on_commit(count(rows), Step.START, using=rows.using))
    assert futures[1].result(SOON) is Step.DONE


def test_one_that_was_cancelled_before_is_never_run(rows: Rows) -> None:
    store = MemoryStore()
    with transaction.atomic(rows.using):
        future = submit_on_commit(count(rows), Step.START, store=store, using=rows.using)
        assert future.cancel()
    assert "rows" not in store


def test_the_error_of_the_run_is_the_futures(rows: Rows) -> None:
    with transaction.atomic(rows.using):
        future = submit_on_commit(single(boom), Step.START, using=rows.using)
    with pytest.raises(TaskExecutionError, match="it broke"):
        future.result(SOON)


def test_what_is_wrong_is_said_at_the_call(rows: Rows) -> None:
    with transaction.atomic(rows.using):
        with pytest.raises(ConfigurationError):
            submit_on_commit(single(boom), Step.WORK, using=rows.using)
        with pytest.raises(ConfigurationError):
            submit_on_commit(Workflow().register(Step.START, boom), Step.START, using=rows.using)
        with pytest.raises(ConfigurationError, match="store"):
            submit_on_commit(single(boom), Step.START, store=1, using=rows.using)


def test_a_run_that_cannot_begin_fails_its_future_and_not_the_view(
    rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    executor = ThreadPoolExecutor(1)
    workflow = single(boom).with_executor(executor)
    with caplog.at_level(logging.ERROR, "cano_sync.django"), transaction.atomic(rows.using):
        future = submit_on_commit(workflow, Step.START, using=rows.using)
        executor.shutdown()
    with pytest.raises((WorkflowError, ConfigurationError)):
        future.result(SOON)
    assert "could not begin after the commit" in caplog.text
