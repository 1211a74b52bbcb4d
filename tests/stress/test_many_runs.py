"""Hundreds of runs at once of one shared workflow: each ends as its seed says, and leaves nothing.

A plan is drawn from the seed: which tasks fail and how often, which are slow to hear, what ends
the run. It lies in the run's store; the workflow itself is built once and shared.
"""

from __future__ import annotations

import gc
import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import pytest

from cano_sync import (
    CancellationToken,
    CanoError,
    JoinConfig,
    JoinError,
    JoinStrategy,
    MemoryStore,
    RetryExhaustedError,
    Store,
    TaskConfig,
    TaskContext,
    TaskExecutionError,
    Workflow,
    WorkflowCancelledError,
    WorkflowTimeoutError,
    task,
    wait_for_abandoned,
)
from tests.kit import SOON, Boom

SEED = 20_260
RUNS = 200
CALLERS = 16


class Step(Enum):
    FLAKY = auto()
    SPLIT = auto()
    RACE = auto()
    LIMITED = auto()
    LAST = auto()
    MEND = auto()
    DONE = auto()
    MENDED = auto()


@dataclass
class Plan:
    """What one run meets, and so how it must end."""

    seed: int
    end: str
    failures: int
    branches: int
    depth: int
    on_time: bool
    reached: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def of(cls, seed: int) -> Plan:
        draw = random.Random(seed)
        return cls(
            seed,
            draw.choice([*ENDS, "done", "done"]),
            failures=draw.randrange(3),
            branches=draw.randrange(1, 6),
            depth=draw.randrange(3),
            on_time=draw.random() < 0.8,
        )


ENDS: dict[str, Any] = {
    "done": Step.DONE,
    "mended": Step.MENDED,
    "exhausted": RetryExhaustedError,
    "a branch fails": JoinError,
    "a task fails": TaskExecutionError,
    "cancelled": WorkflowCancelledError,
    "timed out": WorkflowTimeoutError,
    "deaf": WorkflowTimeoutError,
}


# The tasks. The gate holds the deaf ones until a batch is over.

gate = threading.Event()


@task(config=TaskConfig().with_fixed_retry(2, delay=0))
def flaky(store: Store, context: TaskContext) -> Step:
    plan = store.get("plan", Plan)
    if context.attempt <= plan.failures or plan.end == "exhausted":
        raise Boom
    store.put("attempts", context.attempt)
    return Step.SPLIT


def branches(store: Store) -> list[Any]:
    plan = store.get("plan", Plan)
    tasks: list[Any] = [leaf] * plan.branches
    if plan.depth:
        tasks[0] = nested(plan.depth)
    if plan.end == "a branch fails":
        tasks[-1] = failing
    return tasks


def leaf(store: Store, context: TaskContext) -> int:
    store.update("leaves", lambda count: count + 1, default=0)
    assert context.index is not None
    return context.index


def failing() -> None:
    raise Boom


def nested(depth: int) -> Callable[[Store], object]:
    """A branch that runs a split, with a limit on every other depth."""

    def run(store: Store) -> object:
        inner = [leaf, leaf if depth == 1 else nested(depth - 1)]
        workflow = (
            Workflow()
            .register_split(Step.SPLIT, inner, JoinConfig(JoinStrategy.ALL, Step.DONE))
            .add_exit_state(Step.DONE)
            .with_timeout(60 if depth % 2 else None)
        )
        return workflow.orchestrate(Step.SPLIT, store=store)

    return run


def quick() -> str:
    return "quick"


def listening(store: Store, cancel: CancellationToken) -> None:
    cancel.sleep(SOON)


def limited(store: Store, context: TaskContext) -> Step:
    """On time, or deaf in its first attempt."""
    plan = store.get("plan", Plan)
    if not plan.on_time and context.attempt == 1:
        gate.wait(SOON)
    store.append("limited", context.attempt)
    return Step.LAST


def last(store: Store, cancel: CancellationToken) -> Step:
    plan = store.get("plan", Plan)
    plan.reached.set()
    if plan.end in ("mended", "a task fails"):
        raise Boom
    if plan.end in ("cancelled", "timed out"):
        cancel.sleep(SOON)
    if plan.end == "deaf":
        gate.wait(SOON)
    return Step.DONE


def mend(store: Store, context: TaskContext) -> Step:
    assert isinstance(context.error, TaskExecutionError)
    if store.get("plan", Plan).end == "a task fails":
        raise Boom
    return Step.MENDED


SHARED: Workflow[Step] = (
    Workflow()
    .register(Step.FLAKY, flaky)
    .register_split(
        Step.SPLIT, branches, JoinConfig(JoinStrategy.ALL, Step.RACE, collect="numbers", bulkhead=3)
    )
    .register_split(
        Step.RACE, [listening, quick, listening], JoinConfig(JoinStrategy.ANY, Step.LIMITED)
    )
    .register(Step.LIMITED, limited, TaskConfig().with_fixed_retry(9, 0).with_attempt_timeout(0.2))
    .register(Step.LAST, last, error_state=Step.MEND)
    .register(Step.MEND, mend)
    .add_exit_states(Step.DONE, Step.MENDED)
)
SHORT = SHARED.with_timeout(0.4)
LONG = SHARED.with_timeout(60)


@dataclass
class Run:
    """One run, and how it ended."""

    plan: Plan
    store: MemoryStore
    token: CancellationToken | None
    end: Any

    @classmethod
    def of(cls, seed: int) -> Run:
        plan = Plan.of(seed)
        draw = random.Random(-seed)
        workflow, token = draw.choice([SHARED, LONG]), None
        if plan.end in ("timed out", "deaf"):
            workflow = SHORT
        if plan.end == "cancelled" or draw.random() < 0.3:
            token = PARENT.child() if draw.random() < 0.5 else CancellationToken()
        store = MemoryStore({"plan": plan})
        future = None
        if plan.end == "cancelled" or draw.random() < 0.2:
            future = workflow.submit(Step.FLAKY, store=store, cancel=token)
        if plan.end == "cancelled":
            assert token is not None
            plan.reached.wait(draw.choice([0, 0.001, SOON]))
            token.cancel("enough")
        try:
            if future is None:
                end: Any = workflow.orchestrate(Step.FLAKY, store=store, cancel=token)
            else:
                end = future.result(SOON)
        except CanoError as error:
            end = error
        return cls(plan, store, token, end)

    def is_right(self) -> bool:
        wanted = ENDS[self.plan.end]
        if not isinstance(wanted, type):
            return self.end is wanted and self.has_done_its_work()
        return type(self.end) is wanted

    def has_done_its_work(self) -> bool:
        plan, store = self.plan, self.store
        return (
            store.get("attempts") == plan.failures + 1
            and store.get("leaves") == plan.branches + plan.depth
            and len(store.get("numbers")) == plan.branches
            and len(store.get("limited")) == 1
        )

    def has_left_something_at_its_token(self) -> bool:
        return self.token is not None and has_listeners(self.token)


def has_listeners(token: CancellationToken) -> bool:
    return bool(token._callbacks or token._children)


PARENT = CancellationToken()


@dataclass
class Batch:
    """What is known of so many runs, once everybody has gone home."""

    wrong: list[str]
    ends: set[str]
    listeners: int
    late_writes: int
    living: Counter[str]
    threads: set[str]

    @classmethod
    def of(cls, seed: int) -> Batch:
        gate.clear()
        try:
            with ThreadPoolExecutor(CALLERS) as callers:
                runs = list(callers.map(Run.of, range(seed, seed + RUNS)))
        finally:
            gate.set()
        assert wait_for_abandoned(SOON)
        batch = cls(
            wrong=[f"{run.plan}: {run.end!r}" for run in runs if not run.is_right()],
            ends={run.plan.end for run in runs},
            listeners=sum(run.has_left_something_at_its_token() for run in runs),
            late_writes=sum(len(run.store.get("limited", default=[])) > 1 for run in runs),
            living=Counter(),
            threads={thread.name for thread in threading.enumerate()},
        )
        del runs
        batch.living = living()
        return batch


def living() -> Counter[str]:
    """How many objects of each of the library's kinds there are, and contexts and threads."""
    for _ in range(3):
        gc.collect()
    kinds = [type(thing) for thing in gc.get_objects()]
    return Counter(
        kind.__qualname__
        for kind in kinds
        if kind.__module__.startswith(("cano_sync", "concurrent.", "threading", "_thread"))
        or kind.__name__ == "Context"
    )


def wait_until(condition: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(20_000):
        if condition():
            return
        waiting.wait(0.001)
    raise AssertionError("what should come true did not")


@pytest.fixture(scope="module")
def batches() -> list[Batch]:
    """The same twice: whatever is made once for all, the first has made."""
    return [Batch.of(SEED), Batch.of(SEED)]


def test_every_run_ends_as_its_seed_says(batches: list[Batch]) -> None:
    assert [batch.wrong for batch in batches] == [[], []]


def test_every_kind_of_end_was_there(batches: list[Batch]) -> None:
    assert [batch.ends for batch in batches] == [set(ENDS)] * 2


def test_no_callback_is_left_at_a_token(batches: list[Batch]) -> None:
    assert [batch.listeners for batch in batches] == [0, 0]
    wait_until(lambda: not has_listeners(PARENT))


def test_no_attempt_that_was_abandoned_wrote_later(batches: list[Batch]) -> None:
    assert [batch.late_writes for batch in batches] == [0, 0]


def test_no_object_of_a_run_outlives_it(batches: list[Batch]) -> None:
    """A pool may still grow by some threads, with what each of them holds."""
    first, second = batches
    spare = 50 + 2 * len(second.threads - first.threads)
    assert spare < RUNS
    grown = {kind: count for kind, count in (second.living - first.living).items() if count > spare}
    assert grown == {}


def test_no_thread_is_left_but_idle_ones_of_the_pools(batches: list[Batch]) -> None:
    ours = {name for batch in batches for name in batch.threads if name.startswith("cano-")}
    assert ours
    first, second = batches
    assert second.threads - ours <= first.threads - ours
