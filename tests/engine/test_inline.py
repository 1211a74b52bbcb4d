"""Runs without threads, for users' tests: `InlineExecutor` and `inline()`."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from cano_sync import (
    Around,
    AttemptTimeoutError,
    CancellationToken,
    JoinConfig,
    JoinError,
    JoinStrategy,
    MemoryStore,
    SplitTimeoutError,
    TaskConfig,
    TaskExecutionError,
    Workflow,
    WorkflowError,
    WorkflowTimeoutError,
)
from cano_sync import task as task_with
from cano_sync.testing import InlineExecutor, inline
from tests.kit import SOON, Boom, Step, boom, single, split

LIMIT = 0.05


def here(store: Any) -> int:
    return threading.get_ident()


def deaf(store: Any) -> None:
    threading.Event().wait(LIMIT * 2)


# The executor.


def test_it_does_at_once_what_it_is_given() -> None:
    executor = InlineExecutor()

    assert executor.submit(pow, 2, 10).result(0) == 1024
    assert isinstance(executor.submit(boom).exception(0), Boom)
    assert list(executor.map(str, [1, 2])) == ["1", "2"]


def test_branches_run_on_the_runs_thread_one_after_the_other_in_their_order() -> None:
    order: list[int] = []
    tasks = [
        lambda store, number=number: order.append(number) or here(store) for number in range(9)
    ]
    store = MemoryStore()

    split(tasks, collect="threads").with_executor(InlineExecutor()).orchestrate(
        Step.START, store=store
    )

    assert order == list(range(9))
    assert set(store.get("threads")) == {threading.get_ident()}


def test_an_early_verdict_leaves_the_rest_not_started() -> None:
    begun: list[int] = []
    tasks = [lambda store, number=number: begun.append(number) for number in range(5)]

    split(tasks, JoinStrategy.quorum(2)).with_executor(InlineExecutor()).orchestrate(Step.START)

    assert begun == [0, 1]


def test_a_branch_that_fails_is_one_of_the_outcomes() -> None:
    with pytest.raises(JoinError) as caught:
        split([boom, here]).with_executor(InlineExecutor()).orchestrate(Step.START)

    assert [outcome.index for outcome in caught.value.result.errors] == [0]
    assert [outcome.index for outcome in caught.value.result.successes] == [1]


def test_the_splits_limit_is_looked_at_between_branches() -> None:
    begun: list[str] = []
    tasks = [deaf, lambda store: begun.append("second")]

    with pytest.raises(SplitTimeoutError):
        split(tasks, timeout=LIMIT).with_executor(InlineExecutor()).orchestrate(Step.START)

    assert begun == []


def test_what_came_before_the_limit_is_there_and_what_came_after_is_not() -> None:
    store = MemoryStore()
    tasks = [lambda store: "in time", deaf, lambda store: "too late"]

    split(tasks, JoinStrategy.PARTIAL_TIMEOUT, timeout=LIMIT, collect="values").with_executor(
        InlineExecutor()
    ).orchestrate(Step.START, store=store)

    assert store.get("values") == ["in time"]


def test_a_split_in_a_branch_runs_there_as_well() -> None:
    store = MemoryStore()
    inner = split([here] * 2, collect="threads").with_executor(InlineExecutor())
    outer = split([lambda store: inner.orchestrate(Step.START, store=store)])

    outer.with_executor(InlineExecutor()).orchestrate(Step.START, store=store)

    assert store.get("threads") == [threading.get_ident()] * 2


def test_a_branch_that_wants_out_of_the_program_is_let_out() -> None:
    def leave(store: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        split([leave, here]).with_executor(InlineExecutor()).orchestrate(Step.START)


def test_nothing_is_handed_over_and_no_pool_thread_is_surrounded() -> None:
    seen: list[Any] = []

    class Spy(Around):
        def hand_over(self, work: str) -> None:
            seen.append(work)

        def capture(self) -> None:
            seen.append("capture")

        def thread(self) -> Any:
            seen.append("thread")
            return super().thread()

        def task(self, context: Any, captured: Any) -> Any:
            seen.append(context.thread)
            return super().task(context, captured)

    split([here]).with_executor(InlineExecutor()).with_around(Spy()).orchestrate(Step.START)

    assert seen == ["caller"]


# All runs of a block.


def test_all_splits_of_the_block_run_inline_whatever_their_executor() -> None:
    store = MemoryStore()
    with inline():
        split([here] * 3, collect="threads").orchestrate(Step.START, store=store)
    assert set(store.get("threads")) == {threading.get_ident()}

    split([here] * 3, collect="threads").orchestrate(Step.START, store=store)
    assert threading.get_ident() not in store.get("threads")


def test_runs_with_a_limit_stay_on_the_callers_thread() -> None:
    seen = []
    workflow = single(lambda: seen.append(threading.get_ident()) or Step.DONE).with_timeout(SOON)

    with inline():
        workflow.orchestrate(Step.START)
        workflow.orchestrate(Step.START, cancel=CancellationToken())

    assert seen == [threading.get_ident()] * 2


def test_their_limits_still_hold_as_well_as_tasks_listen() -> None:
    with inline(), pytest.raises(WorkflowTimeoutError):
        single(lambda store, cancel: cancel.sleep(SOON)).with_timeout(LIMIT).orchestrate(Step.START)


@pytest.mark.parametrize("is_branch", [False, True])
def test_attempts_with_a_limit_stay_too(is_branch: bool) -> None:
    seen = []
    config = TaskConfig(attempt_timeout=LIMIT)

    def late(store: Any) -> None:
        seen.append(threading.get_ident())
        deaf(store)

    workflow = split([task_with(config=config)(late)]) if is_branch else single(late, config)
    with inline(), pytest.raises(JoinError if is_branch else AttemptTimeoutError):
        workflow.orchestrate(Step.START)

    assert seen == [threading.get_ident()]


def test_what_is_submitted_has_ended_when_submit_returns() -> None:
    store = MemoryStore()
    with inline():
        good = split([here], collect="threads").submit(Step.START, store=store)
        bad = single(boom).submit(Step.START)

    assert good.result(0) is Step.DONE
    assert store.get("threads") == [threading.get_ident()]
    assert isinstance(bad.exception(0), TaskExecutionError)


def test_a_run_in_a_task_of_such_a_run_is_inline_as_well() -> None:
    store = MemoryStore()
    inner = split([here] * 2, collect="threads")
    outer = (
        Workflow()
        .register_split(
            Step.START,
            [lambda store: inner.orchestrate(Step.START, store=store)],
            JoinConfig(JoinStrategy.ALL, Step.DONE),
        )
        .add_exit_state(Step.DONE)
        .with_timeout(SOON)
    )

    with inline():
        outer.orchestrate(Step.START, store=store)

    assert store.get("threads") == [threading.get_ident()] * 2


def test_another_thread_is_not_concerned() -> None:
    seen: list[int] = []

    def elsewhere() -> None:
        split([lambda store: seen.append(threading.get_ident())]).orchestrate(Step.START)

    with inline():
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join(SOON)

    assert seen != [thread.ident]


# What would be refused outside the test is refused in it.


class Refuses(Around):
    """Lets nothing go to another thread but branches."""

    def hand_over(self, work: Any) -> None:
        if work != "split":
            raise WorkflowError(f"no {work} may leave")


def test_a_run_that_may_not_leave_its_thread_is_refused() -> None:
    workflow = single(lambda: Step.DONE).with_around(Refuses()).with_timeout(SOON)
    with inline(), pytest.raises(WorkflowError, match="no run may leave") as caught:
        workflow.orchestrate(Step.START)
    assert caught.value.state is Step.START
    with inline():
        assert workflow.orchestrate(Step.START, stay=True) is Step.DONE


def test_an_attempt_that_may_not_leave_it_is_refused() -> None:
    limited = TaskConfig().with_attempt_timeout(SOON)
    workflow = single(lambda: Step.DONE, limited).with_around(Refuses())
    with inline(), pytest.raises(WorkflowError, match="no attempt may leave"):
        workflow.orchestrate(Step.START)
    with inline():
        assert workflow.orchestrate(Step.START, stay=True) is Step.DONE


def test_what_is_on_a_thread_of_its_own_outside_the_test_is_not_refused() -> None:
    """In a branch, and in what was submitted."""
    inner = single(lambda: Step.DONE).with_around(Refuses()).with_timeout(SOON)
    with inline():
        split([lambda: inner.orchestrate(Step.START)]).orchestrate(Step.START)
        assert inner.submit(Step.START).result(0) is Step.DONE
