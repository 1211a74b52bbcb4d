"""Law 1 while a wide split is still starting its threads: nobody waits for the start of one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cano_sync import (
    CancellationToken,
    JoinConfig,
    JoinStrategy,
    MemoryStore,
    SplitTimeoutError,
    Workflow,
    WorkflowCancelledError,
    WorkflowTimeoutError,
)
from cano_sync._engine import pool as pool_module
from cano_sync._engine.pool import Pool
from tests.kit import SOON, Step

LIMIT = 0.1
AT_ONCE = 0.5
"""Seconds of lateness that pass for none on a busy machine."""


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch, gate: threading.Event) -> Iterator[threading.Event]:
    """No pool gets more than one thread: to start another takes until the test has ended.

    The event is set once somebody is starting one.
    """
    monkeypatch.setattr(pool_module, "_pools", {})
    starting, real = threading.Event(), threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name.startswith("cano-") and not thread.name.endswith("_0"):
            starting.set()
            assert gate.wait(SOON)
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    yield starting
    gate.set()


def wide(**join: Any) -> Workflow[Any]:
    config = JoinConfig(JoinStrategy.ALL, Step.DONE, **join)
    return (
        Workflow()
        .register_split(Step.START, [lambda: None] * 300, config)
        .add_exit_state(Step.DONE)
    )


def late(workflow: Workflow[Any], error: type[Exception]) -> float:
    began = time.monotonic()
    with pytest.raises(error):
        workflow.orchestrate(Step.START)
    return time.monotonic() - began - LIMIT


def test_the_splits_own_limit_is_kept(stuck: threading.Event) -> None:
    assert late(wide(timeout=LIMIT), SplitTimeoutError) < AT_ONCE
    assert stuck.is_set()


def test_a_branch_has_not_begun_while_its_worker_still_starts_others(
    stuck: threading.Event,
) -> None:
    with pytest.raises(SplitTimeoutError) as caught:
        wide(timeout=LIMIT).orchestrate(Step.START)
    assert stuck.is_set()
    assert caught.value.result is not None
    assert {outcome.started_at for outcome in caught.value.result.cancelled} == {None}


def test_the_workflows_limit_is_kept_at_the_next_depth(stuck: threading.Event) -> None:
    assert late(wide().with_timeout(LIMIT), WorkflowTimeoutError) < AT_ONCE
    assert stuck.is_set()


def test_a_cancellation_is_heard(stuck: threading.Event) -> None:
    token = CancellationToken()

    def cancel() -> None:
        assert stuck.wait(SOON)
        token.cancel("enough")

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(WorkflowCancelledError, match="enough"):
        wide().orchestrate(Step.START, cancel=token)
    canceller.join()


def test_other_executors_start_threads_of_their_own_meanwhile(stuck: threading.Event) -> None:
    done: list[int] = []

    def look() -> None:
        assert stuck.wait(SOON)
        with ThreadPoolExecutor(1) as other:  # it needs the lock that all of them share
            done.append(other.submit(int).result(SOON))

    looking = threading.Thread(target=look)
    looking.start()
    with pytest.raises(SplitTimeoutError):
        wide(timeout=LIMIT).orchestrate(Step.START)
    looking.join(SOON)
    assert done == [0]


@pytest.mark.parametrize("accepted", [1, 2, 5])
def test_a_pool_that_closes_half_way_leaves_the_rest_to_the_workers_that_are_there(
    accepted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_pools", {})
    calls: list[object] = []
    real: Callable[[Pool, Any], None] = Pool.start

    def start(pool: Pool, job: Any) -> None:
        calls.append(job)
        if len(calls) > accepted:
            raise RuntimeError("no thread takes new work")
        real(pool, job)

    monkeypatch.setattr(Pool, "start", start)
    join = JoinConfig(JoinStrategy.ALL, Step.DONE, collect="values")

    def returning(number: int) -> Callable[[], int]:
        return lambda: number

    tasks = [returning(number) for number in range(40)]
    store = MemoryStore()
    workflow = Workflow().register_split(Step.START, tasks, join).add_exit_state(Step.DONE)
    assert workflow.orchestrate(Step.START, store=store) is Step.DONE
    assert store.get("values") == list(range(40))


def test_short_branches_need_few_threads() -> None:
    """So a thousand trivial ones cost the same in every process: no crowd is woken for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool_module, "_pools", {})
        threads: set[int] = set()
        tasks = [lambda: threads.add(threading.get_ident())] * 1_000
        join = JoinConfig(JoinStrategy.ALL, Step.DONE)
        Workflow().register_split(Step.START, tasks, join).add_exit_state(Step.DONE).orchestrate(
            Step.START
        )
    assert len(threads) < 100
