"""Law 5, for what surrounds a task: a transaction of a task that comes too late rolls back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cano_sync import (
    Around,
    AttemptTimeoutError,
    CancellationToken,
    Cancelled,
    JoinStrategy,
    SplitTimeoutError,
    TaskConfig,
    TaskContext,
    Workflow,
    WorkflowCancelledError,
    WorkflowTimeoutError,
    wait_for_abandoned,
)
from tests.kit import SOON, Step, single, split

LIMIT = 0.1


class Transactions(Around):
    """Commits what ends well and rolls back the rest, as any database's context manager does."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.exceptions: list[BaseException] = []

    @contextmanager
    def task(self, context: TaskContext, captured: Any) -> Iterator[None]:
        which = "" if context.index is None else f" {context.index}"
        try:
            yield
        except BaseException as error:
            self.exceptions.append(error)
            self.ended.append(f"rolled back{which}")
            raise
        self.ended.append(f"committed{which}")


@pytest.fixture
def transactions() -> Transactions:
    return Transactions()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What deaf tasks wait for; open at the end of the test."""
    event = threading.Event()
    yield event
    event.set()
    assert wait_for_abandoned(SOON)


def test_a_branch_that_returns_a_value_after_the_join_rolls_back(
    transactions: Transactions, gate: threading.Event
) -> None:
    begun = threading.Event()

    def deaf(store: Any) -> str:
        begun.set()
        gate.wait(SOON)
        return "a value that nobody wants"

    def quick(store: Any) -> str:
        begun.wait(SOON)
        return "the winner"

    workflow = split([deaf, quick], JoinStrategy.ANY).with_around(transactions)
    assert workflow.orchestrate(Step.START) is Step.DONE
    assert transactions.ended == ["committed 1"]

    gate.set()
    assert wait_for_abandoned(SOON)

    assert transactions.ended == ["committed 1", "rolled back 0"]
    assert isinstance(transactions.exceptions[0], Cancelled)


@pytest.mark.parametrize("kind", ["run", "attempt", "split", "cancelled"])
def test_so_does_a_task_that_returns_a_value_after_its_limit(
    kind: str, transactions: Transactions, gate: threading.Event
) -> None:
    begun = threading.Event()

    def deaf(store: Any) -> Step:
        begun.set()
        gate.wait(SOON)
        return Step.DONE

    token = CancellationToken()
    make: Callable[[], Workflow[Any]]
    make, error = {
        "run": (lambda: single(deaf).with_timeout(LIMIT), WorkflowTimeoutError),
        "attempt": (lambda: single(deaf, TaskConfig(attempt_timeout=LIMIT)), AttemptTimeoutError),
        "split": (lambda: split([deaf], timeout=LIMIT), SplitTimeoutError),
        "cancelled": (lambda: single(deaf), WorkflowCancelledError),
    }[kind]
    if kind == "cancelled":
        threading.Thread(target=lambda: begun.wait(SOON) and token.cancel("enough")).start()
    with pytest.raises(error):
        make().with_around(transactions).orchestrate(
            Step.START, cancel=token if kind == "cancelled" else None
        )
    assert transactions.ended == []

    gate.set()
    assert wait_for_abandoned(SOON)

    [ended] = transactions.ended
    assert ended.startswith("rolled back")
    assert isinstance(transactions.exceptions[0], Cancelled)


def test_so_does_a_task_that_stays_and_returns_after_the_limit(
    transactions: Transactions,
) -> None:
    def deaf(store: Any, cancel: CancellationToken) -> Step:
        threading.Event().wait(LIMIT * 2)  # as a call in C that looks at nothing
        return Step.DONE

    with pytest.raises(WorkflowTimeoutError):
        single(deaf).with_around(transactions).with_timeout(LIMIT, stay=True).orchestrate(
            Step.START
        )

    assert transactions.ended == ["rolled back"]


def test_a_task_that_listens_passes_cancelled_through_as_itself(
    transactions: Transactions,
) -> None:
    def listening(store: Any, cancel: CancellationToken) -> Step:
        cancel.sleep(SOON)
        return Step.DONE

    with pytest.raises(WorkflowTimeoutError):
        single(listening).with_around(transactions).with_timeout(LIMIT).orchestrate(Step.START)
    assert wait_for_abandoned(SOON)

    assert transactions.ended == ["rolled back"]
    assert isinstance(transactions.exceptions[0], Cancelled)


def test_a_manager_that_swallows_cancelled_does_not_bring_the_task_back(
    gate: threading.Event,
) -> None:
    left = threading.Event()

    @contextmanager
    def swallowing(context: TaskContext) -> Iterator[None]:
        try:
            yield
        except Cancelled:
            left.set()

    def deaf(store: Any) -> Step:
        gate.wait(SOON)
        return Step.DONE

    with pytest.raises(WorkflowTimeoutError):
        single(deaf).with_around(swallowing).with_timeout(LIMIT).orchestrate(Step.START)
    gate.set()

    assert left.wait(SOON)


def test_all_branches_of_a_join_that_proceeds_with_all_have_committed(
    transactions: Transactions,
) -> None:
    split([lambda store: None] * 20).with_around(transactions).orchestrate(Step.START)

    assert sorted(transactions.ended) == sorted(f"committed {index}" for index in range(20))
