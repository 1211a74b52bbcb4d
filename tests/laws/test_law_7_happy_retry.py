"""Law 7: the happy path of a retry is free; only a failure enters tenacity, as attempt 1."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import tenacity

from cano_sync import (
    JoinConfig,
    JoinStrategy,
    RetryExhaustedError,
    Store,
    TaskConfig,
    TaskContext,
    Workflow,
    task,
)
from tests.kit import Boom, Step


class Counted(tenacity.Retrying):
    """Notes each call of what makes tenacity slow. (Copies of it are of the same class.)"""

    begun: ClassVar[list[None]] = []
    asked: ClassVar[list[int]] = []

    def begin(self) -> None:
        self.begun.append(None)
        super().begin()

    def iter(self, retry_state: tenacity.RetryCallState) -> Any:
        self.asked.append(retry_state.attempt_number)
        return super().iter(retry_state=retry_state)


@pytest.fixture(autouse=True)
def counted() -> None:
    Counted.begun.clear()
    Counted.asked.clear()


class Flaky:
    """Fails so often, and then succeeds; notes the numbers of its attempts."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.attempts: list[int] = []

    def __call__(self, store: Store, context: TaskContext) -> Step:
        self.attempts.append(context.attempt)
        if len(self.attempts) <= self.failures:
            raise Boom
        return Step.DONE


def run(call: Any, retry: tenacity.Retrying, limit: float | None = None) -> Step:
    config = TaskConfig(retry).with_attempt_timeout(limit)
    workflow = Workflow().register(Step.START, call, config).add_exit_state(Step.DONE)
    return workflow.orchestrate(Step.START)


def run_branches(call: Any, retry: tenacity.Retrying, limit: float | None = None) -> Step:
    @task(config=TaskConfig(retry).with_attempt_timeout(limit))
    def branch(store: Store, context: TaskContext) -> Any:
        return call(store, context)

    join = JoinConfig(JoinStrategy.ALL, Step.DONE)
    workflow = Workflow().register_split(Step.START, [branch], join)
    return workflow.add_exit_state(Step.DONE).orchestrate(Step.START)


everywhere = pytest.mark.parametrize("run", [run, run_branches], ids=["a state", "a branch"])
limited = pytest.mark.parametrize("limit", [None, 60], ids=["without a limit", "with a limit"])
Run = Callable[..., Step]


@limited
@everywhere
def test_a_first_attempt_that_succeeds_never_sees_tenacity(run: Run, limit: float | None) -> None:
    assert run(Flaky(0), Counted(stop=tenacity.stop_after_attempt(3)), limit) is Step.DONE
    assert Counted.begun == Counted.asked == []


@limited
@everywhere
def test_a_failure_enters_it_as_attempt_1(run: Run, limit: float | None) -> None:
    flaky, slept = Flaky(2), []
    retry = Counted(
        stop=tenacity.stop_after_attempt(3),
        before_sleep=lambda state: slept.append((state.attempt_number, type(_error(state)))),
    )
    assert run(flaky, retry, limit) is Step.DONE
    assert flaky.attempts == [1, 2, 3]
    assert slept == [(1, Boom), (2, Boom)]
    assert len(Counted.begun) == 1
    assert Counted.asked[0] == 1


def _error(state: tenacity.RetryCallState) -> BaseException | None:
    assert state.outcome is not None
    return state.outcome.exception()


@everywhere
def test_stop_and_wait_count_the_first_attempt(run: Run) -> None:
    waited: list[int] = []

    def wait(state: tenacity.RetryCallState) -> float:
        waited.append(state.attempt_number)
        return 0

    flaky = Flaky(9)
    with pytest.raises(Exception) as caught:
        run(flaky, Counted(stop=tenacity.stop_after_attempt(4), wait=wait))
    error: Any = caught.value
    if not isinstance(error, RetryExhaustedError):
        error = error.__cause__.exceptions[0]
    assert error.attempts == 4
    assert flaky.attempts == [1, 2, 3, 4]
    assert waited[:3] == [1, 2, 3]  # tenacity asks how long to wait before it stops


def test_the_time_of_the_first_attempt_counts_as_well() -> None:
    since: list[float] = []
    moment = 0.02

    def slow() -> Step:
        if not since:
            time.sleep(moment)
            raise Boom
        return Step.DONE

    def stop(state: tenacity.RetryCallState) -> bool:
        assert state.seconds_since_start is not None
        since.append(state.seconds_since_start)
        return False

    run(slow, Counted(stop=stop))
    assert since[0] >= moment


def test_a_retry_that_asks_about_results_sees_the_first_attempt() -> None:
    """There a success may be no success."""
    flaky, answers = Flaky(0), iter([True, False])
    retry = Counted(
        stop=tenacity.stop_after_attempt(3),
        retry=tenacity.retry_if_result(lambda result: next(answers)),
    )
    assert run(flaky, retry) is Step.DONE
    assert flaky.attempts == [1, 2]
    assert Counted.asked[0] == 1


def test_a_callback_before_each_attempt_is_called_before_the_first() -> None:
    before: list[int] = []
    retry = Counted(before=lambda state: before.append(state.attempt_number))
    run(Flaky(1), retry)
    assert before == [1, 2]


def test_a_shared_retrying_object_is_left_as_it_was() -> None:
    retry = Counted(stop=tenacity.stop_after_attempt(3))
    before = dict(retry.statistics)
    run(Flaky(2), retry)
    assert retry.statistics == before


def test_a_successful_first_attempt_costs_no_more_than_a_task_without_retries() -> None:
    """In calls of Python functions, which a busy machine does not change."""
    assert calls_of(tenacity.Retrying(stop=tenacity.stop_after_attempt(3))) < calls_of(None) + 20


def calls_of(retry: tenacity.Retrying | None) -> int:
    workflow = (
        Workflow()
        .register(Step.START, lambda: Step.DONE, TaskConfig(retry))
        .add_exit_state(Step.DONE)
    )
    workflow.orchestrate(Step.START)
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        workflow.orchestrate(Step.START)
    finally:
        sys.setprofile(before)
    return calls
