"""Law 4: the branch that lands decides; the caller sleeps until the outcome is certain."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from cano_sync import (
    CancellationToken,
    JoinStrategy,
    Tally,
    Verdict,
    WorkflowCancelledError,
)
from cano_sync._engine import split as split_module
from tests.kit import SOON, Step, split


class Spy:
    """In place of `wait_first`: how many things were waited for, and how often."""

    def __init__(self, real: Callable[..., Any]) -> None:
        self.real = real
        self.sizes: list[int] = []
        self.asleep = threading.Event()

    def __call__(self, *wakeups_and_deadline: Any) -> Any:
        self.sizes.append(len(wakeups_and_deadline) - 1)
        self.asleep.set()
        return self.real(*wakeups_and_deadline)


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Spy:
    spy = Spy(split_module.wait_first)
    monkeypatch.setattr(split_module, "wait_first", spy)
    return spy


class Asked(JoinStrategy):
    """Answers as another does, and notes what it was asked, and on which thread."""

    def __init__(self, real: JoinStrategy) -> None:
        self.real = real
        self.tallies: list[Tally] = []
        self.threads: list[int] = []

    def decide(self, tally: Tally) -> Verdict:
        self.tallies.append(tally)
        self.threads.append(threading.get_ident())
        return self.real.decide(tally)


def one_after_another(count: int, first: threading.Event) -> list[Callable[[], None]]:
    """Tasks that end one by one, beginning when `first` is set."""
    gates = [first, *(threading.Event() for _ in range(count))]

    def task(index: int) -> None:
        assert gates[index].wait(SOON)
        gates[index + 1].set()

    return [partial(task, index) for index in range(count)]


@pytest.mark.parametrize("count", [2, 20, 200])
def test_the_caller_waits_for_two_things_and_wakes_once(count: int, wait: Spy) -> None:
    """However many branches there are, and though each of them ends at a time of its own."""
    tasks = one_after_another(count, wait.asleep)
    assert split(tasks).orchestrate(Step.START) is Step.DONE
    assert wait.sizes == [2]


@pytest.mark.parametrize("bulkhead", [1, 3])
def test_under_a_bulkhead_the_landing_branch_brings_the_next(bulkhead: int, wait: Spy) -> None:
    """The caller sleeps on; and the pool has no more than the bulkhead in its queue."""
    threads: list[int] = []
    submitted: list[object] = []

    class Counting(ThreadPoolExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            submitted.append(fn)
            return super().submit(fn, *args, **kwargs)

    def task() -> None:
        assert wait.asleep.wait(SOON)
        threads.append(threading.get_ident())

    with Counting(8) as pool:
        workflow = split([task] * 40, bulkhead=bulkhead).with_executor(pool)
        assert workflow.orchestrate(Step.START) is Step.DONE
    assert len(threads) == 40
    assert len(set(threads)) <= len(submitted) == bulkhead
    assert wait.sizes == [2]


def test_the_strategy_is_asked_on_the_landing_branchs_thread_at_once() -> None:
    threads: list[int] = []
    turns = [threading.Event() for _ in range(5)]
    turns[0].set()

    class InTurn(Asked):
        """Lets the next branch end once it was asked about the one before."""

        def decide(self, tally: Tally) -> Verdict:
            verdict = super().decide(tally)
            turns[tally.ended].set()
            return verdict

    def task(index: int) -> None:
        assert turns[index].wait(SOON)
        threads.append(threading.get_ident())

    strategy = InTurn(JoinStrategy.ALL)
    tasks = [partial(task, index) for index in range(4)]
    split(tasks, strategy).orchestrate(Step.START)
    assert strategy.tallies == [Tally(4, landed, 0) for landed in range(5)]
    assert strategy.threads == [threading.get_ident(), *threads]


def test_a_cancellation_wakes_the_caller(wait: Spy, gate: threading.Event) -> None:
    """Though no branch lands and there is no time limit."""
    token = CancellationToken()

    def cancels() -> None:
        assert wait.asleep.wait(SOON)
        token.cancel()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(cancels)
        with pytest.raises(WorkflowCancelledError):
            split([lambda: gate.wait(SOON)] * 20).orchestrate(Step.START, cancel=token)
    assert max(wait.sizes) == 2


def test_the_deadline_wakes_the_caller(wait: Spy, gate: threading.Event) -> None:
    tasks = [lambda: gate.wait(SOON), lambda: None]
    workflow = split(tasks, JoinStrategy.PARTIAL_TIMEOUT, timeout=0.3)
    assert workflow.orchestrate(Step.START) is Step.DONE
    assert set(wait.sizes) == {2}
