"""Law 2: no hop to another thread without a reason, and one for a whole run with one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import pytest

from cano_sync import (
    CancellationToken,
    JoinConfig,
    JoinStrategy,
    Node,
    Store,
    TaskConfig,
    TaskContext,
    Workflow,
)
from cano_sync._engine import offload as offload_module
from tests.kit import SOON, Boom, Step, single

ME = threading.get_ident


class Where:
    """Tasks that note the thread they run on, under the state they run for."""

    def __init__(self) -> None:
        self.threads: dict[str, list[int]] = {}

    def note(self, name: str, result: Any = None) -> Any:
        self.threads.setdefault(name, []).append(ME())
        return result

    def task(self, name: str, result: Any = None) -> Callable[[], Any]:
        return lambda: self.note(name, result)

    def of(self, *names: str) -> set[int]:
        return {thread for name in names for thread in self.threads[name]}


class Noting(Node):
    """Notes the thread of each of its steps."""

    def __init__(self, where: Where, result: Any) -> None:
        self.where = where
        self.result = result

    def prep(self, store: Store) -> None:
        self.where.note("node")

    def exec(self, prepared: Any) -> None:
        self.where.note("node")

    def post(self, store: Store, result: Any) -> Any:
        return self.where.note("node", self.result)


@pytest.fixture
def where() -> Where:
    return Where()


@pytest.fixture
def hops(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The depths at which runs and attempts have asked for a thread."""
    asked: list[int] = []
    real: Callable[[int], Executor] = offload_module.process_pool

    def spy(depth: int) -> Executor:
        asked.append(depth)
        return real(depth)

    monkeypatch.setattr(offload_module, "process_pool", spy)
    return asked


def whole(where: Where) -> Workflow[Any]:
    """A plain state, a split, a node with retries, a failure and its error state."""
    failures = iter([True])

    def once(store: Store, context: TaskContext) -> Step:
        where.note("retried")
        if next(failures, False):
            raise Boom
        raise ValueError("and now for good")

    join = JoinConfig(JoinStrategy.ALL, Step.NEXT)
    return (
        Workflow()
        .register(Step.START, where.task("load", Step.WORK))
        .register_split(Step.WORK, [where.task("branch")] * 3, join)
        .register(Step.NEXT, once, TaskConfig().with_fixed_retry(1, 0), error_state=Step.MENDED)
        .register(Step.MENDED, Noting(where, Step.DONE))
        .add_exit_state(Step.DONE)
    )


SINGLE = ("load", "retried", "node")


def test_when_nothing_can_stop_the_wait_single_states_run_on_the_callers_thread(
    where: Where, hops: list[int]
) -> None:
    assert whole(where).orchestrate(Step.START) is Step.DONE
    assert where.of(*SINGLE) == {ME()}
    assert ME() not in where.of("branch")
    assert hops == []


@pytest.mark.parametrize("how", ["a timeout", "a token", "a token with a time limit", "both"])
def test_when_something_can_the_whole_run_moves_once(
    how: str, where: Where, hops: list[int]
) -> None:
    workflow, cancel = whole(where), None
    if how in ("a timeout", "both"):
        workflow = workflow.with_timeout(60)
    if how != "a timeout":
        cancel = CancellationToken(timeout=60 if "limit" in how else None)
    assert workflow.orchestrate(Step.START, cancel=cancel) is Step.DONE
    single = where.of(*SINGLE)
    assert len(single) == 1
    assert ME() not in single
    assert not single & where.of("branch")
    assert hops == [1]


def test_an_attempt_timeout_moves_its_own_attempt_only(where: Where, hops: list[int]) -> None:
    limited = TaskConfig().with_attempt_timeout(60)
    workflow = (
        Workflow()
        .register(Step.START, where.task("before", Step.NEXT))
        .register(Step.NEXT, where.task("limited", Step.MENDED), limited)
        .register(Step.MENDED, where.task("after", Step.DONE))
        .add_exit_state(Step.DONE)
    )
    workflow.orchestrate(Step.START)
    assert where.of("before", "after") == {ME()}
    assert ME() not in where.of("limited")
    assert hops == [1]


@pytest.mark.parametrize("timeout", [None, 60])
def test_a_nested_run_stays_on_its_tasks_thread(
    timeout: float | None, where: Where, hops: list[int]
) -> None:
    """What ends the outer run ends it as well, so it needs no thread of its own."""
    inner = single(where.task("inner", Step.DONE))
    outer = single(lambda: where.note("outer") or inner.orchestrate(Step.START)).with_timeout(
        timeout
    )
    outer.orchestrate(Step.START)
    assert where.of("inner") == where.of("outer")
    assert hops == [1] * (timeout is not None)


def test_thread_locals_of_the_caller_are_there(where: Where) -> None:
    mine = threading.local()
    mine.transaction = "open"
    seen: list[str] = []

    def task() -> Step:
        seen.append(mine.transaction)
        mine.transaction = "used"
        return Step.DONE

    single(task).orchestrate(Step.START)
    assert seen == ["open"]
    assert mine.transaction == "used"


def test_a_submitted_run_has_a_thread_and_keeps_to_it(where: Where, hops: list[int]) -> None:
    whole(where).submit(Step.START).result(SOON)
    single = where.of(*SINGLE)
    assert len(single) == 1
    assert ME() not in single
    assert hops == []
