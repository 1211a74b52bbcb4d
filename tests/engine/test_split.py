"""Splits: every strategy with its landings in a forced order, limits, lists, outcomes."""

from __future__ import annotations

import functools
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from enum import Enum, auto
from typing import Any

import pytest

from cano_sync import (
    CancellationToken,
    Cancelled,
    CanoError,
    JoinConfig,
    JoinError,
    JoinStrategy,
    KeyNotFoundError,
    MemoryStore,
    SplitResult,
    SplitTimeoutError,
    Store,
    Tally,
    Task,
    TaskConfig,
    TaskContext,
    TaskExecutionError,
    Verdict,
    Workflow,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowTimeoutError,
    abandoned_tasks,
    task,
    wait_for_abandoned,
)
from cano_sync._engine.pool import Pool
from tests.kit import SOON, Boom, Eventually, Watched, boom, nothing
from tests.observing import Notes

BRIEF = 0.3
"""A split's timeout: long enough for a task that does nothing to land on a busy machine."""


class Step(Enum):
    SPLIT = auto()
    JOINED = auto()
    MENDED = auto()
    WRONG = auto()


def returning(value: Any) -> Callable[[], Any]:
    return lambda: value


def split(tasks: Any, strategy: JoinStrategy = JoinStrategy.ALL, **join: Any) -> Workflow[Any]:
    """A workflow of one split and three exits."""
    return (
        Workflow()
        .register_split(Step.SPLIT, tasks, JoinConfig(strategy, Step.JOINED, **join))
        .add_exit_states(Step.JOINED, Step.MENDED, Step.WRONG)
    )


def run_split(tasks: Any, strategy: JoinStrategy = JoinStrategy.ALL, **join: Any) -> SplitResult:
    """Run it; what came of it, whether the join proceeded or failed."""
    try:
        store = MemoryStore()
        workflow = split(tasks, strategy, store_partial_results=True, **join)
        assert workflow.orchestrate(Step.SPLIT, store=store) is Step.JOINED
        return store.get("split_result", SplitResult)
    except JoinError as error:
        assert error.result is not None
        return error.result


def indices(outcomes: Any) -> list[int]:
    return [outcome.index for outcome in outcomes]


# The table of DESIGN section 2, row by row. The landings come one after the other, in the order
# of the script: "s2" is "branch 2 succeeds", "e0" is "branch 0 fails".


class Play:
    """A split whose branches land when the test says so."""

    def __init__(self, strategy: JoinStrategy, count: int, **join: Any) -> None:
        self.doors = [threading.Event() for _ in range(count)]
        self.fails = [False] * count
        self.started = threading.Semaphore(0)
        self.stopped: queue.Queue[int] = queue.Queue()
        self.store = MemoryStore()
        watched = Watched(strategy)
        self.answers = watched.answers
        branches = [functools.partial(self.branch, index) for index in range(count)]
        workflow = split(
            branches, watched, store_partial_results=True, error_state=Step.MENDED, **join
        )
        self.future: Future[Any] = workflow.submit(Step.SPLIT, store=self.store)
        self.verdicts = [self.answers.get(timeout=SOON)]  # it is asked before the first branch
        for _ in range(count):
            assert self.started.acquire(timeout=SOON)

    def branch(self, index: int, store: Store, cancel: CancellationToken) -> str:
        self.started.release()
        with cancel.on_cancel(self.doors[index].set):
            assert self.doors[index].wait(SOON)
        if cancel.cancelled:
            self.stopped.put(index)
            cancel.check()
        if self.fails[index]:
            raise Boom(str(index))
        return f"value {index}"

    def land(self, index: int, *, fails: bool) -> None:
        self.fails[index] = fails
        self.doors[index].set()
        self.verdicts.append(self.answers.get(timeout=SOON))

    def execute(self, script: str) -> SplitResult:
        """Land as scripted. Until the last one, the strategy must have waited."""
        for word in script.split():
            assert self.verdicts[-1] is Verdict.WAIT
            self.land(int(word[1:]), fails=word[0] == "e")
        assert self.verdicts[-1] is not Verdict.WAIT
        self.end = self.future.result(SOON)
        return self.store.get("split_result", SplitResult)


ALL, ANY = JoinStrategy.ALL, JoinStrategy.ANY
PARTIAL_TIMEOUT = JoinStrategy.PARTIAL_TIMEOUT
FAST = {"fail_fast": True}
LONG = {"timeout": 60}

TABLE: list[tuple[JoinStrategy, dict[str, Any], int, str, bool]] = [
    (ALL, {}, 3, "s1 s0 s2", True),
    (ALL, {}, 3, "e1 s0 s2", False),
    (ALL, {}, 3, "s1 s0 e2", False),
    (ALL, {}, 2, "e1 e0", False),
    (ALL, FAST, 3, "s2 s0 s1", True),
    (ALL, FAST, 3, "e2", False),
    (ALL, FAST, 3, "s0 e1", False),
    (ANY, {}, 3, "s1", True),
    (ANY, {}, 3, "e0 e2 s1", True),
    (ANY, {}, 3, "e0 s2", True),
    (ANY, {}, 3, "e2 e1 e0", False),
    (JoinStrategy.quorum(2), {}, 4, "s3 s1", True),
    (JoinStrategy.quorum(2), {}, 4, "e0 s3 e2 s1", True),
    (JoinStrategy.quorum(2), {}, 4, "e0 s1 e2 e3", False),
    (JoinStrategy.quorum(2), {}, 4, "e0 e3 e1", False),
    (JoinStrategy.quorum(3), {}, 3, "s0 e1", False),
    (JoinStrategy.percentage(0.5), {}, 4, "s3 s1", True),
    (JoinStrategy.percentage(0.5), {}, 3, "s0 s2", True),
    (JoinStrategy.percentage(0.5), {}, 3, "s0 e1 e2", False),
    (JoinStrategy.percentage(0.5), {}, 3, "e0 e1", False),
    (JoinStrategy.percentage(0.01), {}, 3, "s2", True),
    (JoinStrategy.percentage(1), {}, 2, "s1 s0", True),
    (JoinStrategy.percentage(1.0), {}, 2, "e1", False),
    (JoinStrategy.partial_results(1), {}, 3, "e0 s2", True),
    (JoinStrategy.partial_results(2), {}, 3, "s0 s2", True),
    (JoinStrategy.partial_results(2), {}, 3, "e0 e2", False),
    (PARTIAL_TIMEOUT, LONG, 3, "s2 s0 s1", True),
    (PARTIAL_TIMEOUT, LONG, 3, "s2 e0 s1", True),
    (PARTIAL_TIMEOUT, LONG, 2, "e1 e0", True),
]


def row_name(value: Any) -> str:
    return repr(value).removeprefix("JoinStrategy.") if isinstance(value, JoinStrategy) else ""


@pytest.mark.parametrize(("strategy", "join", "count", "script", "proceeds"), TABLE, ids=row_name)
def test_a_strategy_decides_at_the_landing_that_makes_it_certain(
    strategy: JoinStrategy, join: dict[str, Any], count: int, script: str, proceeds: bool
) -> None:
    """And those that have not ended by then are cancelled."""
    play = Play(strategy, count, **join)
    result = play.execute(script)
    assert play.end is (Step.JOINED if proceeds else Step.MENDED)
    assert play.verdicts[-1] is (Verdict.PROCEED if proceeds else Verdict.FAIL)
    landed = {int(word[1:]): word[0] for word in script.split()}
    rest = [index for index in range(count) if index not in landed]
    assert indices(result.successes) == sorted(i for i, how in landed.items() if how == "s")
    assert indices(result.errors) == sorted(i for i, how in landed.items() if how == "e")
    assert indices(result.cancelled) == rest
    assert sorted(play.stopped.get(timeout=SOON) for _ in rest) == rest
    assert play.stopped.empty()


@pytest.mark.parametrize(
    ("strategy", "started"),
    [
        (ALL, 4),
        (ANY, 2),
        (JoinStrategy.quorum(2), 3),
        (JoinStrategy.percentage(0.5), 3),
        (JoinStrategy.partial_results(2), 3),
    ],
    ids=row_name,
)
def test_branches_that_are_not_needed_are_never_started(
    strategy: JoinStrategy, started: int
) -> None:
    """One at a time, so that they land in their order: one failure, then successes."""
    called: list[int] = []

    def branch(index: int) -> None:
        called.append(index)
        if not index:
            raise Boom

    result = run_split([functools.partial(branch, n) for n in range(4)], strategy, bulkhead=1)
    assert called == list(range(started))
    assert indices(result.cancelled) == list(range(started, 4))
    assert all(outcome.started_at is None for outcome in result.cancelled)
    assert all(outcome.duration == 0 for outcome in result.cancelled)


# Time limits.


@pytest.mark.parametrize(
    "strategy",
    [
        ALL,
        ANY,
        JoinStrategy.quorum(2),
        JoinStrategy.percentage(0.5),
        JoinStrategy.partial_results(2),
    ],
    ids=row_name,
)
def test_a_splits_timeout_is_an_error_with_what_came_so_far(
    strategy: JoinStrategy, gate: threading.Event
) -> None:
    deaf = functools.partial(gate.wait, SOON)
    tasks: list[Any] = [boom, lambda: deaf(), lambda: deaf()]
    with pytest.raises(SplitTimeoutError) as caught:
        split(tasks, strategy, timeout=BRIEF).orchestrate(Step.SPLIT)
    error = caught.value
    assert isinstance(error, TimeoutError)
    assert error.state is Step.SPLIT
    assert error.run_id
    assert error.result is not None
    assert indices(error.result.errors) == [0]
    assert indices(error.result.cancelled) == [1, 2]
    assert all(outcome.duration > 0 for outcome in error.result.cancelled)
    for word in ("Step.SPLIT", repr(strategy), "0.3 s", "1 failed, 2 cancelled"):
        assert word in str(error)
    assert isinstance(error.__cause__, ExceptionGroup)
    assert [type(branch.__cause__) for branch in error.__cause__.exceptions] == [Boom]


def test_a_timeout_without_a_failed_branch_has_no_cause(gate: threading.Event) -> None:
    with pytest.raises(SplitTimeoutError) as caught:
        split([lambda: gate.wait(SOON)], timeout=0.25).orchestrate(Step.SPLIT)
    assert caught.value.__cause__ is None


def test_partial_timeout_takes_what_has_ended_at_the_deadline(gate: threading.Event) -> None:
    result = run_split(
        [returning("quick"), lambda: gate.wait(SOON), boom], PARTIAL_TIMEOUT, timeout=BRIEF
    )
    assert indices(result.successes) == [0]
    assert indices(result.cancelled) == [1]
    assert indices(result.errors) == [2]


def test_partial_timeout_goes_on_with_failures_alone(gate: threading.Event) -> None:
    result = run_split([boom, lambda: gate.wait(SOON)], PARTIAL_TIMEOUT, timeout=BRIEF)
    assert (len(result.successes), len(result.errors), len(result.cancelled)) == (0, 1, 1)


def test_partial_timeout_fails_when_nothing_has_ended(gate: threading.Event) -> None:
    deaf = [lambda: gate.wait(SOON)] * 2
    with pytest.raises(SplitTimeoutError) as caught:
        split(deaf, PARTIAL_TIMEOUT, timeout=0.25).orchestrate(Step.SPLIT)
    assert caught.value.result is not None
    assert indices(caught.value.result.cancelled) == [0, 1]


def test_partial_timeout_does_not_wait_for_its_deadline_once_all_have_ended() -> None:
    """The test's own time limit is shorter."""
    result = run_split([nothing, boom], PARTIAL_TIMEOUT, timeout=3600)
    assert (len(result.successes), len(result.errors)) == (1, 1)


def test_branches_know_how_much_time_the_split_has_left() -> None:
    store = MemoryStore()
    left = lambda *, cancel: cancel.remaining()  # noqa: E731
    split([left], timeout=60, collect="left").orchestrate(Step.SPLIT, store=store)
    assert 0 < store.get("left")[0] <= 60
    split([left], collect="left").orchestrate(Step.SPLIT, store=store)
    assert store.get("left") == [None]


@pytest.mark.parametrize("strategy", [ALL, PARTIAL_TIMEOUT], ids=row_name)
def test_a_split_timeout_of_zero_is_a_timeout_of_the_split(
    strategy: JoinStrategy, gate: threading.Event
) -> None:
    with pytest.raises(SplitTimeoutError):
        split([lambda: gate.wait(SOON)], strategy, timeout=0).orchestrate(Step.SPLIT)


def test_listing_the_tasks_takes_from_the_splits_time(gate: threading.Event) -> None:
    """It is entered before; a listing that takes all of it is a late split, and is routed."""

    def listing(store: Store) -> list[Any]:
        threading.Event().wait(0.1)  # a real sleep: the clock of the split must run
        return [lambda: gate.wait(SOON)]

    workflow = split(listing, timeout=0.05, error_state=Step.MENDED)
    assert workflow.orchestrate(Step.SPLIT) is Step.MENDED


def test_the_workflows_time_ends_a_split_that_still_has_some(gate: threading.Event) -> None:
    workflow = split([lambda: gate.wait(SOON)], timeout=60, error_state=Step.MENDED)
    with pytest.raises(WorkflowTimeoutError):
        workflow.with_timeout(0.25).orchestrate(Step.SPLIT)


def test_a_deaf_branch_is_abandoned_and_counted_until_it_returns(
    gate: threading.Event, eventually: Eventually
) -> None:
    deaf: list[Any] = [lambda: gate.wait(SOON)] * 3
    run_split([nothing, *deaf], PARTIAL_TIMEOUT, timeout=BRIEF)
    assert abandoned_tasks() == 3
    gate.set()
    assert wait_for_abandoned(SOON)


# Empty lists.


@pytest.mark.parametrize("listed", [False, True], ids=["known", "listed"])
@pytest.mark.parametrize(
    ("strategy", "proceeds"),
    [
        (ALL, True),
        (PARTIAL_TIMEOUT, True),
        (ANY, False),
        (JoinStrategy.quorum(1), False),
        (JoinStrategy.percentage(0.5), False),
        (JoinStrategy.partial_results(1), False),
    ],
    ids=row_name,
)
def test_an_empty_list_of_tasks(strategy: JoinStrategy, proceeds: bool, listed: bool) -> None:
    """ALL and PARTIAL_TIMEOUT proceed at once, with nothing; the others fail."""
    tasks = (lambda store: []) if listed else []
    store = MemoryStore()
    workflow = split(
        tasks, strategy, timeout=60, collect="all", store_partial_results=True,
        error_state=Step.MENDED,
    )  # fmt: skip
    end = workflow.orchestrate(Step.SPLIT, store=store)
    assert end is (Step.JOINED if proceeds else Step.MENDED)
    assert store.get("split_result") == SplitResult([], [], [])
    assert store.get("all", default=None) == ([] if proceeds else None)


def test_a_join_that_fails_for_want_of_tasks_says_so() -> None:
    with pytest.raises(JoinError, match=r"JoinStrategy\.ANY failed over an empty list of tasks"):
        split([], ANY).orchestrate(Step.SPLIT)


def test_all_that_fails_fast_takes_an_empty_list_too() -> None:
    assert split([], fail_fast=True).orchestrate(Step.SPLIT) is Step.JOINED


# Results.


def test_collect_puts_the_successes_values_in_task_order() -> None:
    play = Play(JoinStrategy.quorum(2), 3, collect="values")
    play.execute("s2 e1 s0")
    assert play.store.get("values") == ["value 0", "value 2"]


def test_collect_puts_nothing_when_the_join_fails() -> None:
    store = MemoryStore()
    workflow = split([nothing, boom], collect="values", error_state=Step.MENDED)
    assert workflow.orchestrate(Step.SPLIT, store=store) is Step.MENDED
    assert "values" not in store


def test_collect_keeps_values_that_are_none_or_repeat() -> None:
    store = MemoryStore()
    split([nothing, returning(1), nothing, returning(1)], collect="values").orchestrate(
        Step.SPLIT, store=store
    )
    assert store.get("values") == [None, 1, None, 1]


@pytest.mark.parametrize("fails", [False, True])
def test_partial_results_are_stored_whether_the_join_fails_or_not(fails: bool) -> None:
    store = MemoryStore()
    tasks: list[Any] = [returning("one"), returning("two"), boom]
    workflow = split(
        tasks,
        ALL if fails else JoinStrategy.PARTIAL_TIMEOUT,
        timeout=60,
        store_partial_results=True,
        error_state=Step.MENDED,
    )
    assert workflow.orchestrate(Step.SPLIT, store=store) is (Step.MENDED if fails else Step.JOINED)
    assert store.get("split_successes_count") == 2
    assert store.get("split_errors_count") == 1
    assert store.get("split_cancelled_count") == 0
    result = store.get("split_result", SplitResult)
    assert result.values == ["one", "two"]
    summary = store.get("split_results_summary", str)
    assert "\n" not in summary
    assert summary.startswith("2 of 3 succeeded, 1 failed, 0 cancelled")
    assert "it broke" in summary


def test_partial_results_of_a_late_split_are_stored_too(gate: threading.Event) -> None:
    store = MemoryStore()
    with pytest.raises(SplitTimeoutError) as caught:
        split([lambda: gate.wait(SOON)], timeout=0.25, store_partial_results=True).orchestrate(
            Step.SPLIT, store=store
        )
    assert store.get("split_cancelled_count") == 1
    assert store.get("split_result") == caught.value.result


def test_the_stored_summary_is_one_line_whatever_the_branches_raise() -> None:
    def wordy() -> None:
        raise Boom("first line\nsecond line")

    store = MemoryStore()
    split([wordy], PARTIAL_TIMEOUT, timeout=60, store_partial_results=True).orchestrate(
        Step.SPLIT, store=store
    )
    assert "first line" in store.get("split_results_summary")
    assert "\n" not in store.get("split_results_summary")


def test_nothing_is_stored_unless_asked() -> None:
    store = MemoryStore()
    split([nothing]).orchestrate(Step.SPLIT, store=store)
    assert store.keys() == []


def test_an_outcome_says_what_became_of_its_branch() -> None:
    @task(name="ask the bank")
    def ask() -> int:
        return 7

    before = time.time()
    result = run_split([boom, ask], PARTIAL_TIMEOUT, timeout=60)
    after = time.time()
    good, bad = result.successes[0], result.errors[0]
    assert (good.index, good.name, good.value, good.error) == (1, "ask the bank", 7, None)
    assert (bad.index, bad.name, bad.value) == (0, "boom", None)
    assert isinstance(bad.error, TaskExecutionError)
    assert isinstance(bad.error.__cause__, Boom)
    assert (bad.error.state, bad.error.task) == (Step.SPLIT, "boom")
    for outcome in (good, bad):
        assert outcome.started_at is not None
        assert before - 1 <= outcome.started_at <= after + 1  # the wall clock may be set meanwhile
        assert 0 <= outcome.duration <= after - before + 1


def test_a_branch_without_a_name_is_called_by_its_class() -> None:
    class Ask(Task):
        def run(self) -> None:
            raise Boom

    assert run_split([Ask()]).errors[0].name == "Ask"


def test_a_failed_join_carries_its_result_and_the_branches_errors() -> None:
    tasks: list[Any] = [boom, nothing, lambda store: store.get("no such key")]
    with pytest.raises(JoinError) as caught:
        split(tasks).orchestrate(Step.SPLIT)
    error = caught.value
    assert type(error) is JoinError
    assert not isinstance(error, TimeoutError)
    assert error.state is Step.SPLIT
    assert error.result is not None
    assert indices(error.result.errors) == [0, 2]
    assert indices(error.result.successes) == [1]
    assert isinstance(error.__cause__, ExceptionGroup)
    assert list(error.__cause__.exceptions) == [bad.error for bad in error.result.errors]
    assert "Step.SPLIT" in str(error.__cause__)
    for word in ("Step.SPLIT", "JoinStrategy.ALL failed", "1 of 3 succeeded", "it broke"):
        assert word in str(error)


def test_what_a_late_branch_returns_is_dropped(gate: threading.Event) -> None:
    """The result was made when the join was decided, and stays as it was."""
    began, ended = threading.Event(), threading.Event()

    def late() -> str:
        began.set()
        gate.wait(SOON)
        ended.set()
        return "too late"

    result = run_split([lambda: began.wait(SOON), late], ANY)
    gate.set()
    assert ended.wait(SOON)
    assert indices(result.cancelled) == [1]
    assert result.cancelled[0].value is None


def test_a_late_branch_cannot_write(gate: threading.Event) -> None:
    store, began = MemoryStore(), threading.Event()
    raised: queue.Queue[BaseException | None] = queue.Queue()

    def late(store: Store) -> None:
        began.set()
        gate.wait(SOON)
        try:
            store.put("late", True)
        except BaseException as error:
            raised.put(error)
            raise
        raised.put(None)

    split([lambda: began.wait(SOON), late], ANY).orchestrate(Step.SPLIT, store=store)
    gate.set()
    assert isinstance(raised.get(timeout=SOON), Cancelled)
    assert "late" not in store


def test_branches_get_their_index_and_share_the_runs_store() -> None:
    store = MemoryStore()

    def branch(store: Store, context: TaskContext) -> None:
        store.append("seen", (context.index, context.state, context.attempt))

    split([branch] * 5).orchestrate(Step.SPLIT, store=store)
    assert sorted(store.get("seen")) == [(index, Step.SPLIT, 1) for index in range(5)]


def test_branches_know_the_run_that_they_belong_to() -> None:
    ids: list[str] = []

    def branch(store: Store, context: TaskContext) -> None:
        ids.append(context.run_id)
        raise Boom

    with pytest.raises(JoinError) as caught:
        split([branch] * 2).orchestrate(Step.SPLIT)
    assert ids == [caught.value.run_id] * 2


def test_branches_of_an_error_state_get_the_error_that_led_there() -> None:
    seen: list[Any] = []
    workflow = (
        Workflow()
        .register(Step.SPLIT, boom, error_state=Step.MENDED)
        .register_split(
            Step.MENDED,
            [lambda *, context: seen.append(context.error)],
            JoinConfig(ALL, Step.JOINED),
        )
        .add_exit_state(Step.JOINED)
    )
    assert workflow.orchestrate(Step.SPLIT) is Step.JOINED
    assert isinstance(seen[0], TaskExecutionError)


def test_retries_and_attempt_timeouts_hold_for_branches(gate: threading.Event) -> None:
    calls: list[int] = []

    @task(config=TaskConfig().with_fixed_retry(2, delay=0))
    def third_time(store: Store, context: TaskContext) -> int:
        calls.append(context.attempt)
        if context.attempt < 3:
            raise Boom
        return context.attempt

    @task(config=TaskConfig(attempt_timeout=0.25))
    def slow() -> None:
        gate.wait(SOON)

    result = run_split([third_time, slow], PARTIAL_TIMEOUT, timeout=60)
    assert result.values == [3]
    assert calls == [1, 2, 3]
    assert isinstance(result.errors[0].error, TimeoutError)


# Bulkheads.


@pytest.mark.parametrize("bulkhead", [1, 3, 8])
def test_a_bulkhead_is_reached_and_never_exceeded(bulkhead: int) -> None:
    lock = threading.Lock()
    running, peak = 0, 0
    full = threading.Barrier(bulkhead)

    def branch() -> None:
        nonlocal running, peak
        with lock:
            running += 1
            peak = max(peak, running)
        full.wait(SOON)  # opens only when so many are inside at once
        with lock:
            running -= 1

    result = run_split([branch] * (bulkhead * 4), bulkhead=bulkhead)
    assert len(result.successes) == bulkhead * 4
    assert peak == bulkhead


def test_a_bulkhead_wider_than_the_split_changes_nothing() -> None:
    together = threading.Barrier(3)
    result = run_split([lambda: together.wait(SOON)] * 3, bulkhead=100)
    assert len(result.successes) == 3


def test_without_a_bulkhead_all_branches_run_at_once() -> None:
    together = threading.Barrier(50)
    result = run_split([lambda: together.wait(SOON) and None] * 50)
    assert len(result.successes) == 50


def test_a_deaf_branch_keeps_its_place_in_the_bulkhead(gate: threading.Event) -> None:
    """The branches behind it never start; the split's timeout ends the wait."""
    called: list[int] = []
    result = run_split(
        [lambda: gate.wait(SOON), lambda: called.append(1)], timeout=0.25, bulkhead=1
    )
    assert called == []
    assert indices(result.cancelled) == [0, 1]
    assert [outcome.started_at is None for outcome in result.cancelled] == [False, True]


# Lists that are made when the state is entered.


class Listing:
    """A callable object that lists the tasks."""

    def __call__(self, store: Store) -> Any:
        return [returning(n) for n in store.get("items", list)]


def listing(store: Store) -> list[Any]:
    return [returning(n) for n in store.get("items", list)]


def generating(store: Store) -> Iterator[Any]:
    for n in store.get("items", list):
        yield returning(n)


def with_token(store: Store, cancel: CancellationToken, context: TaskContext) -> Any:
    assert not cancel.cancelled
    assert context.state is Step.SPLIT
    assert context.index is None
    return tuple(listing(store))


LISTINGS: dict[str, Any] = {
    "a function": listing,
    "a generator function": generating,
    "a function that takes the token": with_token,
    "a callable object": Listing(),
    "a partial": functools.partial(lambda store, extra: listing(store), extra=1),
    "a lambda that returns a generator": lambda store: (task for task in listing(store)),
    "a lambda that returns a map": lambda store: map(returning, store.get("items")),
    "a task with retries": task(config=TaskConfig().with_fixed_retry(1, delay=0))(listing),
}


@pytest.mark.parametrize("factory", LISTINGS.values(), ids=LISTINGS)
def test_tasks_may_be_listed_when_the_state_is_entered(factory: Any) -> None:
    store = MemoryStore({"items": [3, 1, 2]})
    split(factory, collect="values").orchestrate(Step.SPLIT, store=store)
    assert store.get("values") == [3, 1, 2]


def _missing(store: Store) -> Any:
    return [store.get("nothing")]


def _missing_later(store: Store) -> Any:
    yield store.get("nothing")


def _broken(store: Store) -> Any:
    raise ValueError("no list")


def _broken_later(store: Store) -> Any:
    yield returning
    raise ValueError("no list")


def _stops(store: Store) -> Any:
    raise Cancelled("enough")


def _stops_later(store: Store) -> Any:
    yield returning
    raise Cancelled("enough")


@pytest.mark.parametrize("is_observed", [False, True])
@pytest.mark.parametrize(
    ("factory", "kind", "cause"),
    [
        (_missing, KeyNotFoundError, None),
        (_missing_later, KeyNotFoundError, None),
        (_broken, TaskExecutionError, ValueError),
        (_broken_later, TaskExecutionError, ValueError),
        (_stops, TaskExecutionError, Cancelled),
        (_stops_later, TaskExecutionError, Cancelled),
    ],
)
def test_a_list_that_fails_is_reported_as_its_failure_with_its_own_cause(
    factory: Any, kind: type[Exception], cause: type[BaseException] | None, is_observed: bool
) -> None:
    workflow = split(factory)
    with pytest.raises(kind) as caught:
        (workflow.with_observer(Notes()) if is_observed else workflow).orchestrate(Step.SPLIT)
    error = caught.value
    assert isinstance(error, CanoError)
    assert error.task == factory.__name__
    if cause is None:
        assert error.__cause__ is None
    else:
        assert isinstance(error.__cause__, cause)
        assert f"task {factory.__name__!r} raised" in str(error)


def test_a_list_is_made_anew_at_each_entry() -> None:
    def again(store: Store) -> Step:
        return Step.SPLIT if store.update("rounds", lambda n: n - 1) else Step.JOINED

    store = MemoryStore({"rounds": 3})
    workflow = (
        Workflow()
        .register_split(
            Step.SPLIT,
            lambda store: [lambda s: s.append("log", "x")] * store.get("rounds"),
            JoinConfig(ALL, Step.MENDED),
        )
        .register(Step.MENDED, again)
        .add_exit_state(Step.JOINED)
    )
    workflow.orchestrate(Step.SPLIT, store=store)
    assert len(store.get("log")) == 3 + 2 + 1


def test_a_listed_task_may_be_a_task_object_with_its_own_config() -> None:
    class Fetch(Task):
        def config(self) -> TaskConfig:
            return TaskConfig().with_fixed_retry(1, delay=0)

        def run(self, store: Store, context: TaskContext) -> int:
            if context.attempt == 1:
                raise Boom
            return context.attempt

    assert run_split(lambda: [Fetch(), Fetch()]).values == [2, 2]


def raising_listing(store: Store) -> list[Any]:
    raise Boom("no list today")


def raising_generator(store: Store) -> Iterator[Any]:
    yield nothing
    raise Boom("no list today")


@pytest.mark.parametrize("factory", [raising_listing, raising_generator])
def test_a_listing_that_raises_fails_its_state_and_is_routed(factory: Any) -> None:
    with pytest.raises(TaskExecutionError, match="no list today") as caught:
        split(factory).orchestrate(Step.SPLIT)
    error = caught.value
    assert isinstance(error.__cause__, Boom)
    assert error.state is Step.SPLIT
    workflow = split(factory, error_state=Step.MENDED)
    assert workflow.orchestrate(Step.SPLIT) is Step.MENDED


@pytest.mark.parametrize(
    "factory",
    [
        raising_listing,
        raising_generator,
    ],
)
def test_a_listing_that_raises_is_named(factory: Any) -> None:
    with pytest.raises(TaskExecutionError) as caught:
        split(factory).orchestrate(Step.SPLIT)
    assert caught.value.task == factory.__name__
    assert f"task {factory.__name__!r}" in str(caught.value)


@pytest.mark.parametrize("rubbish", [None, 7, "abc", b"abc"], ids=repr)
def test_a_listing_that_gives_no_list_is_a_mistake(rubbish: Any) -> None:
    def factory(store: Store) -> Any:
        return rubbish

    workflow = split(factory, error_state=Step.MENDED)
    with pytest.raises(WorkflowError) as caught:
        workflow.orchestrate(Step.SPLIT)
    assert type(caught.value) is WorkflowError
    assert caught.value.state is Step.SPLIT
    assert caught.value.run_id
    for word in ("Step.SPLIT", "'factory'", "must return the list of tasks", repr(rubbish)):
        assert word in str(caught.value)


def test_an_element_that_is_no_task_is_a_mistake_that_names_it() -> None:
    called: list[int] = []

    def factory(store: Store) -> list[Any]:
        return [lambda: called.append(1), 7]

    with pytest.raises(WorkflowError) as caught:
        split(factory, error_state=Step.MENDED).orchestrate(Step.SPLIT)
    for word in ("Step.SPLIT", "task 1 of the list", "'factory'", "7 of type int"):
        assert word in str(caught.value)
    assert called == []


def test_a_listed_task_with_an_unknown_parameter_is_a_mistake() -> None:
    def branch(store: Store, database: object) -> None: ...

    with pytest.raises(WorkflowError, match="wants 'database'"):
        split(lambda: [branch]).orchestrate(Step.SPLIT)


def test_a_list_shorter_than_the_quorum_fails_the_join() -> None:
    """It can only be known at run time."""
    with pytest.raises(JoinError, match=r"quorum\(3\) can never be reached by 2 tasks"):
        split(lambda: [nothing] * 2, JoinStrategy.quorum(3)).orchestrate(Step.SPLIT)


# A user's own strategy.


class Own(JoinStrategy):
    """Answers what the test's function says."""

    def __init__(self, answer: Callable[[Tally], Any]) -> None:
        self.answer = answer

    def decide(self, tally: Tally) -> Any:
        return self.answer(tally)


def test_a_strategy_of_ones_own_proceeds_and_fails_like_a_built_in() -> None:
    """A majority of those that have ended, once three have."""

    def majority(tally: Tally) -> Verdict:
        if tally.ended < 3:
            return Verdict.WAIT
        return Verdict.PROCEED if tally.successes > tally.errors else Verdict.FAIL

    result = run_split([nothing, boom, nothing, nothing], Own(majority), bulkhead=1)
    assert (indices(result.successes), indices(result.cancelled)) == ([0, 2], [3])
    with pytest.raises(JoinError, match="Own object") as caught:
        split([nothing, boom, boom, nothing], Own(majority), bulkhead=1).orchestrate(Step.SPLIT)
    assert caught.value.result is not None
    assert indices(caught.value.result.cancelled) == [3]


@pytest.mark.parametrize("verdict", [Verdict.PROCEED, Verdict.FAIL])
def test_a_strategy_may_know_its_answer_before_any_branch(verdict: Verdict) -> None:
    called: list[int] = []
    workflow = split([lambda: called.append(1)], Own(lambda tally: verdict))
    if verdict is Verdict.PROCEED:
        assert workflow.orchestrate(Step.SPLIT) is Step.JOINED
    else:
        with pytest.raises(JoinError, match="0 of 1 succeeded, 0 failed, 1 cancelled"):
            workflow.orchestrate(Step.SPLIT)
    assert called == []


def test_a_strategy_is_asked_before_the_first_branch_and_after_each() -> None:
    asked: list[Tally] = []

    def note(tally: Tally) -> Verdict:
        asked.append(tally)
        return JoinStrategy.ALL.decide(tally)

    with pytest.raises(JoinError):
        split([nothing, boom], Own(note), bulkhead=1).orchestrate(Step.SPLIT)
    assert asked == [(2, 0, 0), (2, 1, 0), (2, 1, 1)]


BROKEN: dict[str, tuple[Callable[[Tally], Any], str]] = {
    "raises at once": (lambda tally: 1 // 0, "it raised ZeroDivisionError"),
    "raises later": (
        lambda tally: Verdict.WAIT if not tally.ended else 1 // 0,
        "it raised ZeroDivisionError",
    ),
    "returns rubbish": (lambda tally: True, "it answered True"),
    "returns nothing": (lambda tally: None, "it answered None"),
    "waits for ever": (lambda tally: Verdict.WAIT, "it still waits after all branches have ended"),
}


@pytest.mark.parametrize(("answer", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_strategy_is_a_mistake_and_not_routed(
    answer: Callable[[Tally], Any], words: str
) -> None:
    workflow = split([nothing, nothing], Own(answer), error_state=Step.MENDED)
    with pytest.raises(WorkflowError) as caught:
        workflow.orchestrate(Step.SPLIT)
    error = caught.value
    assert type(error) is WorkflowError
    assert error.state is Step.SPLIT
    assert error.run_id
    for word in ("Step.SPLIT", "Own object", "is broken", words, "must return a Verdict"):
        assert word in str(error)
    assert isinstance(error.__cause__, ZeroDivisionError) is ("raised" in words)


class AtDeadline(Own):
    """Waits until the deadline, and then answers what the test's function says."""

    def decide(self, tally: Tally) -> Verdict:
        return Verdict.WAIT

    def at_deadline(self, tally: Tally) -> Any:
        return self.answer(tally)


def test_a_strategy_of_ones_own_may_proceed_at_the_deadline(gate: threading.Event) -> None:
    strategy = AtDeadline(lambda tally: Verdict.PROCEED)
    result = run_split([lambda: gate.wait(SOON)], strategy, timeout=0.25)
    assert indices(result.cancelled) == [0]


@pytest.mark.parametrize("answer", [Verdict.FAIL, Verdict.WAIT, None], ids=str)
def test_what_is_no_leave_to_proceed_at_the_deadline_is_a_timeout(
    answer: Any, gate: threading.Event
) -> None:
    with pytest.raises(SplitTimeoutError):
        split(
            [lambda: gate.wait(SOON)], AtDeadline(lambda tally: answer), timeout=0.25
        ).orchestrate(Step.SPLIT)


def test_a_strategy_that_raises_at_the_deadline_is_broken(gate: threading.Event) -> None:
    strategy = AtDeadline(lambda tally: 1 // 0)
    with pytest.raises(WorkflowError, match="is broken") as caught:
        split([lambda: gate.wait(SOON)], strategy, timeout=0.25).orchestrate(Step.SPLIT)
    assert type(caught.value) is WorkflowError
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_without_a_say_at_the_deadline_a_strategy_of_ones_own_is_late(
    gate: threading.Event,
) -> None:
    with pytest.raises(SplitTimeoutError, match=r"not reached within 0\.25 s"):
        split([lambda: gate.wait(SOON)], Own(lambda tally: Verdict.WAIT), timeout=0.25).orchestrate(
            Step.SPLIT
        )


def test_a_strategy_that_wants_out_of_the_program_gets_out() -> None:
    """Raised on a pool's thread, it reaches the caller all the same."""

    def leave(tally: Tally) -> Verdict:
        if tally.ended:
            raise SystemExit(3)
        return Verdict.WAIT

    with pytest.raises(SystemExit) as caught:
        split([nothing, nothing], Own(leave), error_state=Step.MENDED).orchestrate(Step.SPLIT)
    assert caught.value.code == 3


# Branches that leave by other ways.


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_a_branch_that_wants_out_of_the_program_gets_out(kind: type[BaseException]) -> None:
    """It is neither an outcome nor routed, and the other branches are cancelled."""
    others: queue.Queue[str | None] = queue.Queue()
    ready = threading.Event()

    def leave() -> None:
        assert ready.wait(SOON)
        raise kind

    def other(store: Store, cancel: CancellationToken) -> None:
        ready.set()
        cancel.wait()
        others.put(cancel.reason)

    with pytest.raises(kind):
        split([leave, other], error_state=Step.MENDED).orchestrate(Step.SPLIT)
    assert others.get(timeout=SOON)


def test_a_branch_that_raises_cancelled_of_its_own_accord_has_failed() -> None:
    def give_up() -> None:
        raise Cancelled("on my own account")

    result = run_split([give_up, nothing])
    error = result.errors[0].error
    assert isinstance(error, TaskExecutionError)
    assert isinstance(error.__cause__, Cancelled)
    assert "nobody had cancelled it" in str(error)
    assert indices(result.cancelled) == []


def test_a_branch_that_cancels_its_token_ends_the_run() -> None:
    def stop_all(store: Store, cancel: CancellationToken) -> None:
        cancel.cancel("the branch says so")
        cancel.check()

    workflow = split([stop_all, lambda *, cancel: cancel.wait()], error_state=Step.MENDED)
    with pytest.raises(WorkflowCancelledError) as caught:
        workflow.orchestrate(Step.SPLIT)
    assert caught.value.reason == "the branch says so"
    assert caught.value.state is Step.SPLIT


def test_a_branch_that_cancels_its_token_and_returns_ends_the_run_too() -> None:
    """On a synchronous executor, where the order is certain: first cancelled, then landed."""

    class Inline(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            fn(*args, **kwargs)
            return Future()

    workflow = split([lambda *, cancel: cancel.cancel("the branch says so")])
    with pytest.raises(WorkflowCancelledError):
        workflow.with_executor(Inline()).orchestrate(Step.SPLIT)


def test_a_cancelled_run_cancels_its_branches_and_lets_them_write_no_more() -> None:
    token, store = CancellationToken(), MemoryStore()
    seen: queue.Queue[tuple[str | None, type[BaseException] | None]] = queue.Queue()
    ready = threading.Barrier(3)

    def branch(store: Store, cancel: CancellationToken) -> None:
        ready.wait(SOON)
        cancel.wait()
        try:
            over.wait(SOON)
            store.put("late", True)
        except BaseException as error:
            seen.put((cancel.reason, type(error)))
            raise
        seen.put((cancel.reason, None))

    over = threading.Event()
    workflow = split([branch] * 2, error_state=Step.MENDED, store_partial_results=True)
    future = workflow.submit(Step.SPLIT, store=store, cancel=token)
    ready.wait(SOON)
    token.cancel("enough")
    with pytest.raises(WorkflowCancelledError):
        future.result(SOON)
    over.set()
    assert [seen.get(timeout=SOON) for _ in range(2)] == [("enough", Cancelled)] * 2
    assert store.keys() == []


def test_no_branch_begins_after_the_run_was_cancelled(
    gate: threading.Event, eventually: Eventually
) -> None:
    token, began = CancellationToken(), threading.Event()
    called: list[int] = []

    def deaf() -> None:
        began.set()
        gate.wait(SOON)

    workflow = split([deaf, lambda: called.append(1)], bulkhead=1)
    future = workflow.submit(Step.SPLIT, cancel=token)
    assert began.wait(SOON)
    token.cancel("enough")
    with pytest.raises(WorkflowCancelledError):
        future.result(SOON)
    eventually(lambda: abandoned_tasks() == 1)  # the run has returned, the branch has not
    gate.set()
    assert wait_for_abandoned(SOON)
    assert called == []


def test_a_branch_that_cancels_the_run_is_the_last_to_begin() -> None:
    token = CancellationToken()
    called: list[int] = []
    branches = [lambda: token.cancel("enough"), lambda: called.append(1)]
    with pytest.raises(WorkflowCancelledError):
        split(branches, bulkhead=1).orchestrate(Step.SPLIT, cancel=token)
    assert wait_for_abandoned(SOON)
    assert called == []


def test_nobody_is_cancelled_by_a_join_for_which_all_branches_have_ended() -> None:
    tokens: list[CancellationToken] = []
    run_split([lambda *, cancel: tokens.append(cancel)] * 3)
    assert [token.cancelled for token in tokens] == [False] * 3


def test_the_runs_token_keeps_nothing_of_a_split_that_has_ended() -> None:
    """It may outlive thousands of them."""
    listeners: list[int] = []

    def look(store: Store, cancel: CancellationToken) -> Step:
        listeners.append(len(cancel._children) + len(cancel._callbacks))
        return Step.MENDED if len(listeners) < 3 else Step.JOINED

    workflow = (
        Workflow()
        .register(Step.SPLIT, look)
        .register_split(Step.MENDED, [nothing] * 3, JoinConfig(ALL, Step.SPLIT))
        .add_exit_state(Step.JOINED)
    )
    workflow.orchestrate(Step.SPLIT)
    assert listeners == [0, 0, 0]


@pytest.mark.parametrize("tasks", [[], [nothing]], ids=["no branch", "a branch nobody needs"])
def test_a_split_that_is_decided_from_the_start_needs_no_thread(
    tasks: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pool, "start", lambda *args: pytest.fail("a worker was started"))
    strategy = Own(lambda tally: Verdict.PROCEED)
    assert split(tasks, strategy).orchestrate(Step.SPLIT) is Step.JOINED


def test_an_error_after_the_cancellation_is_no_outcome() -> None:
    """A branch that fails because it was cancelled counts among the cancelled."""
    began, raised = threading.Event(), threading.Event()

    def other(store: Store, cancel: CancellationToken) -> None:
        began.set()
        cancel.wait()
        raised.set()
        raise Boom("as a consequence")

    result = run_split([other, lambda: began.wait(SOON)], ANY)
    assert raised.wait(SOON)
    assert indices(result.errors) == []
    assert indices(result.cancelled) == [0]


@pytest.mark.parametrize("where", ["collect", "store_partial_results"])
def test_a_store_that_fails_at_the_join_fails_the_state_and_is_routed(where: str) -> None:
    class Full(MemoryStore):
        def put(self, key: str, value: Any) -> None:
            raise OSError("disk full")

    setting: dict[str, Any] = {where: "values" if where == "collect" else True}
    workflow = split([nothing], error_state=Step.MENDED, **setting)
    assert workflow.orchestrate(Step.SPLIT, store=Full()) is Step.MENDED
    with pytest.raises(CanoError, match="disk full") as caught:
        split([nothing], **setting).orchestrate(Step.SPLIT, store=Full())
    assert caught.value.state is Step.SPLIT


def test_a_failure_of_the_join_itself_blames_no_task() -> None:
    class Full(MemoryStore):
        def put(self, key: str, value: Any) -> None:
            raise OSError("disk full")

    with pytest.raises(CanoError) as caught:
        split([nothing], collect="values").orchestrate(Step.SPLIT, store=Full())
    assert "None" not in str(caught.value)


def test_an_error_of_a_run_inside_a_branch_keeps_the_place_that_it_came_from() -> None:
    inner = Workflow().register(Step.WRONG, boom).add_exit_state(Step.JOINED)

    def outer_branch() -> None:
        inner.orchestrate(Step.WRONG)

    with pytest.raises(JoinError) as caught:
        split([outer_branch]).orchestrate(Step.SPLIT)
    assert caught.value.result is not None
    error = caught.value.result.errors[0].error
    assert error is not None
    assert (error.state, error.task) == (Step.WRONG, "boom")
    assert error.run_id != caught.value.run_id


def test_a_task_whose_nested_split_is_cancelled_from_above_sees_why() -> None:
    token, began = CancellationToken(), threading.Event()
    seen: queue.Queue[str | None] = queue.Queue()

    def branch(store: Store, cancel: CancellationToken) -> None:
        began.set()
        cancel.wait(SOON)

    def outer() -> Step:
        try:
            return split([branch]).orchestrate(Step.SPLIT)
        except Cancelled as signal:
            seen.put(signal.reason)
            raise

    workflow = Workflow().register(Step.SPLIT, outer).add_exit_state(Step.JOINED)
    future = workflow.submit(Step.SPLIT, cancel=token)
    assert began.wait(SOON)
    token.cancel("enough")
    with pytest.raises(WorkflowCancelledError):
        future.result(SOON)
    assert seen.get(timeout=SOON) == "enough"


def test_a_run_inside_a_branch_ends_with_its_split(gate: threading.Event) -> None:
    """The inner run is cancelled by the outer join's decision, and neither writes any more."""
    store = MemoryStore()
    inner_ready = threading.Event()
    inner_saw: queue.Queue[bool] = queue.Queue()

    def inner_task(store: Store, cancel: CancellationToken) -> Step:
        inner_ready.set()
        inner_saw.put(cancel.wait(SOON))
        store.put("late", True)
        return Step.JOINED

    def outer_branch(outer: Store) -> None:
        inner = Workflow().register(Step.SPLIT, inner_task).add_exit_state(Step.JOINED)
        inner.orchestrate(Step.SPLIT, store=outer)

    def quick() -> None:
        assert inner_ready.wait(SOON)

    split([quick, outer_branch], ANY).orchestrate(Step.SPLIT, store=store)
    assert inner_saw.get(timeout=SOON) is True
    assert "late" not in store


def test_the_texts_of_two_branches_errors_do_not_wait_for_each_other() -> None:
    """They are a user's code, which no lock is held over."""
    both = threading.Barrier(2)

    class Slow(Exception):
        is_new = True

        def __str__(self) -> str:
            if self.is_new:
                self.is_new = False
                both.wait(BRIEF)
            return "slow"

    def branch() -> None:
        raise Slow

    with pytest.raises(JoinError) as caught:
        split([branch, branch]).orchestrate(Step.SPLIT)
    assert caught.value.result is not None
    assert all("slow" in str(outcome.error) for outcome in caught.value.result.errors)
