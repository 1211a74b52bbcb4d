"""The laws, in simulations: what holds for every schedule and at every moment.

The other files of this folder test them with real threads against the operating system. Here each
law is tried under hundreds of schedules that a seed chooses (2,000 of each with `-m servers`), with
tasks whose lengths, failures and deafness are drawn, too. Time is virtual: to be late is exact.
"""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from cano_sync import (
    Around,
    CancellationToken,
    CanoError,
    ConfigurationError,
    JoinConfig,
    JoinError,
    JoinStrategy,
    Store,
    TaskConfig,
    Workflow,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowTimeoutError,
    abandoned_tasks,
    wait_for_abandoned,
)
from cano_sync.observe import Observer
from cano_sync.scheduler import Scheduler
from cano_sync.testing import Simulation, explore, simulate_call
from tests.kit import Boom, Step

FEW, MANY = 60, 2_000

GRACE = 0.0053
"""Virtual seconds that a run gets at its end: for the last word of what it stops, and a write."""


LAWS: dict[str, Callable[[Simulation], None]] = {}
"""Those of this file, by their names."""


def under_many_schedules(law: Callable[[Simulation], None]) -> Any:
    """Test it under a few schedules, and under many with `-m servers`."""
    few = pytest.param(FEW, "pct", id="few")
    walk = pytest.param(FEW, "random", id="few-random")
    many = pytest.param(MANY, "pct", id="many", marks=pytest.mark.servers)
    more = pytest.param(MANY, "random", id="many-random", marks=pytest.mark.servers)

    @pytest.mark.parametrize(("seeds", "strategy"), [few, walk, many, more])
    def test(seeds: int, strategy: str) -> None:
        if "CANO_SEED" not in os.environ:
            explore(seeds, strategy=strategy)(law)()
        else:
            explore(1, strategy=strategy)(law)()

    test.__name__, test.__doc__ = law.__name__, law.__doc__
    LAWS[law.__name__.removeprefix("test_")] = law
    return test


class Drawn:
    """A branch whose length, deafness and end were drawn."""

    def __init__(self, sim: Simulation, most: float = 3.0) -> None:
        self.length = sim.choose(0.0, 0.0, 1.0, 2.0, sim.random_time(0, most))
        self.is_deaf = sim.choose(True, False)
        self.fails = sim.choose(False, False, True)
        self.is_asleep = False
        self.name = f"branch of {self.length:g} s"

    def __call__(self, store: Any, *, cancel: Any) -> float:
        store.append("begun", self.length)
        if self.is_deaf:
            self.is_asleep = True
            time.sleep(self.length)
            self.is_asleep = False
        else:
            cancel.sleep(self.length)
        if self.fails:
            raise Boom(self.name)
        store.append("written", time.monotonic())
        return self.length


def drawn_branches(sim: Simulation) -> list[Drawn]:
    return [Drawn(sim) for _ in range(sim.choose(1, 2, 3, 5))]


def ends_at(branches: list[Drawn], needed: int) -> float | None:
    """When so many of them have succeeded, if all begin at once."""
    lengths = sorted(branch.length for branch in branches if not branch.fails)
    return lengths[needed - 1] if len(lengths) >= needed else None


@under_many_schedules
def test_a_run_keeps_its_time_whatever_its_tasks_do(sim: Simulation) -> None:
    """Law 1."""
    branches = drawn_branches(sim)
    limit = sim.choose(0.5, 1.0, sim.random_time(0, 3))
    workflow = (
        Workflow()
        .register_split(Step.START, branches, JoinConfig(JoinStrategy.SETTLED, Step.WORK))
        .register(Step.WORK, Drawn(sim).__call__, error_state=Step.NEXT)
        .register(Step.NEXT, lambda: Step.DONE)
        .add_exit_state(Step.DONE)
        .with_timeout(limit)
    )
    run = sim.run(workflow, Step.START)
    assert run.elapsed <= limit + GRACE
    if run.elapsed > limit:
        assert isinstance(run.error, WorkflowTimeoutError)


@under_many_schedules
def test_a_cancelled_run_ends_at_once_and_writes_nothing_afterwards(sim: Simulation) -> None:
    """Laws 1, 5 and 11: whatever state it is in, and no error state follows from it."""
    first = JoinConfig(JoinStrategy.quorum(1), Step.WORK, error_state=Step.LOST)
    config = TaskConfig().with_fixed_retry(2, 0.3).with_attempt_timeout(1.2)
    last = Drawn(sim)
    workflow = (
        Workflow()
        .register_split(Step.START, drawn_branches(sim), first)
        .register(Step.WORK, lambda store, *, cancel: last(store, cancel=cancel) and 0, config)
        .register(Step.LOST, lambda store: store.put("lost", time.monotonic()) or Step.DONE)
        .add_exit_state(Step.DONE)
    )
    moment = sim.random_time(0, 4)
    run = sim.run(workflow, Step.START, cancel_at=moment)
    if isinstance(run.error, WorkflowCancelledError):
        assert moment <= run.elapsed <= moment + GRACE
    else:
        assert run.elapsed <= moment + GRACE
    assert all(at - 1_000 <= moment + 1e-9 for at in run.store.get("written", default=[]))
    if "lost" in run.store:
        assert run.store["lost"] - 1_000 <= moment


@under_many_schedules
def test_a_join_is_decided_when_it_can_be(sim: Simulation) -> None:
    """Law 4: not a moment later, and by no branch that ends later."""
    branches = drawn_branches(sim)
    needed = sim.choose(1, 2)
    join = JoinConfig(JoinStrategy.quorum(needed), Step.DONE, collect="got", error_state=Step.LOST)
    if needed > len(branches):
        return
    workflow = Workflow().register_split(Step.START, branches, join).add_exit_state(Step.DONE)
    workflow = workflow.register(Step.LOST, lambda: Step.MENDED).add_exit_state(Step.MENDED)
    run = sim.run(workflow, Step.START)
    at = ends_at(branches, needed)
    if at is None:
        assert run.state is Step.MENDED
    else:
        assert run.state is Step.DONE
        assert run.elapsed == pytest.approx(at, abs=1e-6)
        assert len(run.store["got"]) >= needed
        assert max(run.store["got"]) <= at + 1e-9


@under_many_schedules
def test_nothing_is_written_after_the_join(sim: Simulation) -> None:
    """Law 5: not by the losers, however late, and not between the verdict and the next state."""
    seen: list[dict[str, Any]] = []

    def look(store: Any) -> Step:
        seen.append({key: list(value) for key, value in store.snapshot().items()})
        time.sleep(sim.choose(0.0, 5.0))
        return Step.DONE

    strategy = sim.choose(JoinStrategy.ANY, JoinStrategy.PARTIAL_TIMEOUT, JoinStrategy.SETTLED)
    limit = sim.choose(0.5, 1.0, 2.0)
    join = JoinConfig(strategy, Step.WORK, timeout=limit, error_state=Step.WORK)
    workflow = (
        Workflow()
        .register_split(Step.START, drawn_branches(sim), join)
        .register(Step.WORK, look)
        .add_exit_state(Step.DONE)
    )
    run = sim.run(workflow, Step.START)
    assert run.store.snapshot() == seen[0]


@under_many_schedules
def test_nothing_is_committed_for_a_task_that_was_abandoned(sim: Simulation) -> None:
    """What surrounds a task is left with `Cancelled` where the run has gone on without it."""
    committed: list[float] = []
    joined: list[float] = []

    @contextmanager
    def transaction(context: Any) -> Iterator[None]:
        yield
        committed.append(time.monotonic())

    def join(store: Any) -> Step:
        joined.append(time.monotonic())
        return Step.DONE

    config = JoinConfig(JoinStrategy.ANY, Step.WORK, error_state=Step.WORK)
    workflow = (
        Workflow()
        .with_around(transaction)
        .register_split(Step.START, drawn_branches(sim), config)
        .register(Step.WORK, join)
        .add_exit_state(Step.DONE)
    )
    sim.run(workflow, Step.START)
    assert all(at <= joined[0] for at in committed)


@under_many_schedules
def test_nothing_is_left_on_the_pools_threads_when_all_have_landed(sim: Simulation) -> None:
    """What surrounds a pool's thread, which may take its time, is left before the join goes on."""
    inside: list[int] = []

    class Connections(Around):
        @contextmanager
        def thread(self) -> Iterator[None]:
            inside.append(1)
            time.sleep(sim.choose(0.0, 1.0))
            yield
            time.sleep(sim.choose(0.0, 1.0))
            inside.pop()

    class Slow(Observer):
        def branch_landed(self, **facts: Any) -> None:
            time.sleep(sim.choose(0.0, 0.0, 1.0))

    def join() -> Step:
        assert inside == []
        return Step.DONE

    config = JoinConfig(JoinStrategy.ALL, Step.WORK, bulkhead=sim.choose(None, 2))
    workflow = (
        Workflow()
        .with_around(Connections())
        .register_split(
            Step.START, [lambda: time.sleep(sim.choose(0.0, 1.0))] * sim.choose(2, 3, 5), config
        )
        .register(Step.WORK, join)
        .add_exit_state(Step.DONE)
    )
    if sim.choose(True, False):
        workflow = workflow.with_observer(Slow())
    assert sim.run(workflow, Step.START).error is None


@under_many_schedules
def test_abandoned_tasks_are_counted_until_they_return(sim: Simulation) -> None:
    """One for each deaf loser that still sleeps; and none in the end."""
    branches = drawn_branches(sim)
    counted: list[tuple[int, int]] = []

    def count() -> Step:
        time.sleep(0.1)  # those who listen have ended, and their threads are back
        counted.append((abandoned_tasks(), sum(branch.is_asleep for branch in branches)))
        assert wait_for_abandoned()
        counted.append((abandoned_tasks(), sum(branch.is_asleep for branch in branches)))
        return Step.DONE

    join = JoinConfig(JoinStrategy.ANY, Step.WORK, error_state=Step.WORK)
    workflow = Workflow().register_split(Step.START, branches, join).register(Step.WORK, count)
    sim.run(workflow.add_exit_state(Step.DONE), Step.START)
    (during, asleep), afterwards = counted
    assert during == asleep
    assert afterwards == (0, 0)
    assert abandoned_tasks() == 0


@under_many_schedules
def test_nested_runs_never_wait_for_each_other(sim: Simulation) -> None:
    """Law 3: on the process's pools, and on executors with one thread."""
    with ThreadPoolExecutor(1) as one:
        inner = Workflow().register_split(
            Step.START,
            [lambda store: store.update("n", lambda n: n + 1, 0)] * 2,
            JoinConfig(JoinStrategy.ALL, Step.DONE, bulkhead=sim.choose(None, 1)),
        )
        inner = inner.add_exit_state(Step.DONE)
        if sim.choose(True, False):
            inner = inner.with_timeout(60)

        def nested(store: Any) -> None:
            how = sim.choose("orchestrate", "submit")
            if how == "submit":
                inner.submit(Step.START, store=store).result()
            else:
                inner.orchestrate(Step.START, store=store)

        outer = Workflow().register_split(
            Step.START, [nested] * 3, JoinConfig(JoinStrategy.ALL, Step.DONE)
        )
        outer = outer.add_exit_state(Step.DONE)
        if sim.choose(True, False):
            outer = outer.with_timeout(60)
        run = sim.run(outer, Step.START)
        assert (run.error, run.store["n"]) == (None, 6)
        del one


@under_many_schedules
def test_every_start_that_is_observed_has_one_end(sim: Simulation) -> None:
    """Of runs, states, tasks and abandonments, with retries, limits and a cancellation."""
    heard: list[tuple[str, Any]] = []

    class All(Observer):
        def run_started(self, *, run_id: str, **facts: Any) -> None:
            heard.append(("run_started", None))

        def run_finished(self, *, run_id: str, **facts: Any) -> None:
            heard.append(("run_finished", None))

        def state_entered(self, *, state: Any, is_exit: bool, **facts: Any) -> None:
            if not is_exit:
                heard.append(("state_entered", state))

        def state_left(self, *, state: Any, **facts: Any) -> None:
            heard.append(("state_left", state))

        def task_started(self, *, state: Any, index: Any, **facts: Any) -> None:
            heard.append(("task_started", (state, index)))

        def task_succeeded(self, *, state: Any, index: Any, **facts: Any) -> None:
            heard.append(("task_ended", (state, index)))

        def task_failed(self, *, state: Any, index: Any, **facts: Any) -> None:
            heard.append(("task_ended", (state, index)))

        def task_cancelled(self, *, state: Any, index: Any, **facts: Any) -> None:
            heard.append(("task_ended", (state, index)))

        def task_abandoned(self, *, state: Any, index: Any, **facts: Any) -> None:
            heard.append(("task_abandoned", (state, index)))

        def task_returned(self, *, state: Any, index: Any, **facts: Any) -> None:
            heard.append(("task_returned", (state, index)))

    config = TaskConfig().with_fixed_retry(1, 0.5).with_attempt_timeout(sim.choose(0.5, 1.5))
    last = Drawn(sim)
    join = JoinConfig(
        sim.choose(JoinStrategy.ANY, JoinStrategy.ALL, JoinStrategy.SETTLED),
        Step.WORK,
        timeout=sim.choose(None, 1.5),
        error_state=Step.WORK,
    )
    workflow = (
        Workflow()
        .register_split(Step.START, drawn_branches(sim), join)
        .register(
            Step.WORK,
            lambda store, *, cancel: (last(store, cancel=cancel), Step.DONE)[1],
            config,
            error_state=Step.LOST,
        )
        .register(Step.LOST, lambda: Step.DONE)
        .add_exit_state(Step.DONE)
        .with_observer(All())
    )
    if sim.choose(True, False):
        workflow = workflow.with_timeout(sim.choose(1.0, 2.5))
    sim.run(workflow, Step.START, cancel_at=sim.choose(None, sim.random_time(0, 4)))
    counts = Counter(heard)
    assert counts["run_started", None] == counts["run_finished", None] == 1
    for begin, end in (
        ("state_entered", "state_left"),
        ("task_started", "task_ended"),
        ("task_abandoned", "task_returned"),
    ):
        begun = Counter({what: n for (event, what), n in counts.items() if event == begin})
        ended = Counter({what: n for (event, what), n in counts.items() if event == end})
        assert begun == ended, (begin, begun, ended)
    first = [
        heard.index(("task_started", what)) for event, what in heard if event == "task_started"
    ]
    assert sorted(first) == first


@under_many_schedules
def test_errors_are_the_tree_of_ours(sim: Simulation) -> None:
    """Whatever goes wrong in a run comes out as a `CanoError` that says where."""
    strategy = sim.choose(
        JoinStrategy.ALL, JoinStrategy.ANY, JoinStrategy.quorum(2), JoinStrategy.percentage(0.6)
    )
    branches = [*drawn_branches(sim), Drawn(sim)]
    join = JoinConfig(
        strategy,
        Step.DONE,
        timeout=sim.choose(None, 0.7),
        fail_fast=sim.choose(True, False) and strategy is JoinStrategy.ALL,
        bulkhead=sim.choose(None, 1, 2),
    )
    sim.fail_write(sim.choose(1, 3, 99))
    workflow = Workflow().register_split(Step.START, branches, join).add_exit_state(Step.DONE)
    run = sim.run(workflow, Step.START, cancel_at=sim.choose(None, sim.random_time(0, 2)))
    assert run.error is None or isinstance(run.error, CanoError)
    if isinstance(run.error, JoinError) and run.error.result is not None:
        result = run.error.result
        landed = itertools.chain(result.successes, result.errors, result.cancelled)
        assert sorted(outcome.index for outcome in landed) == list(range(len(branches)))


@under_many_schedules
def test_a_callback_is_called_once_and_never_after_it_was_taken_back(sim: Simulation) -> None:
    """By two threads that cancel, a deadline, and one that takes a callback back meanwhile."""
    called: list[int] = []
    running: list[int] = []

    def callback(number: int) -> Callable[[], None]:
        def call() -> None:
            running.append(number)
            time.sleep(sim.choose(0.0, 1.0))
            called.append(number)
            running.remove(number)

        return call

    def live() -> None:
        token = CancellationToken(timeout=sim.choose(None, 1.0, 2.0))
        child = token.child(sim.choose(None, 1.0))
        taken_back = child.on_cancel(callback(0))
        for number in (1, 2):
            child.on_cancel(callback(number))

        def take_back() -> None:
            time.sleep(sim.choose(0.0, 1.0))
            before = list(called)
            taken_back.remove()
            assert 0 not in running
            done = list(called)
            time.sleep(10)
            assert called.count(0) == done.count(0) >= before.count(0)

        def cancel() -> None:
            time.sleep(sim.choose(0.0, 1.0))
            token.cancel()

        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(work) for work in (cancel, cancel, take_back, child.wait)]
            for future in futures:
                future.result()
        assert child.cancelled

    run = sim.call(live)
    assert run.error is None, run.error
    assert sorted(called) in ([0, 1, 2], [1, 2])


class SlowBackend(Store):
    """A user's own, whose writes take a while."""

    def __init__(self, sim: Simulation) -> None:
        self.data: dict[str, Any] = {}
        self.begun: list[float] = []
        self._sim = sim

    def _write(self) -> None:
        self.begun.append(time.monotonic())
        time.sleep(self._sim.choose(0.0, 0.002, 0.02))

    def get(self, key: str, type: Any = None, **default: Any) -> Any:
        return self.data.get(key)

    def put(self, key: str, value: Any) -> None:
        self._write()
        self.data[key] = value

    def append(self, key: str, item: Any) -> None:
        self._write()
        self.data.setdefault(key, []).append(item)

    def update(self, key: str, function: Any, *default: Any, **named: Any) -> Any:
        self._write()
        self.data[key] = function(self.data.get(key))
        return self.data[key]

    def remove(self, key: str) -> None:
        self.data.pop(key, None)

    def contains_key(self, key: str) -> bool:
        return key in self.data

    def keys(self) -> list[str]:
        return list(self.data)

    def clear(self) -> None:
        self.data.clear()

    def snapshot(self) -> dict[str, Any]:
        return dict(self.data)


@under_many_schedules
def test_no_write_of_a_foreign_backend_begins_after_the_join(sim: Simulation) -> None:
    """Law 5: one that is under way has 5 ms, which are waited for."""
    store = SlowBackend(sim)
    joined: list[float] = []

    def branch(store: Store) -> None:
        for _ in range(3):
            store.append("log", 1)
            time.sleep(sim.choose(0.0, 0.001, 0.01))

    def join() -> Step:
        joined.append(time.monotonic())
        time.sleep(1)
        return Step.DONE

    config = JoinConfig(JoinStrategy.ANY, Step.WORK)
    workflow = Workflow().register_split(Step.START, [branch] * 3, config)
    workflow = workflow.register(Step.WORK, join).add_exit_state(Step.DONE)
    run = sim.run(workflow, Step.START, store=store)
    assert run.error is None
    assert max(store.begun) <= joined[0]


@under_many_schedules
def test_an_executor_that_is_shut_down_meanwhile_ends_in_an_error_or_in_time(
    sim: Simulation,
) -> None:
    """Law 3: a run never waits for workers that will not come."""

    def live() -> Any:
        executor = ThreadPoolExecutor(sim.choose(1, 2))
        join = JoinConfig(JoinStrategy.ALL, Step.DONE, bulkhead=sim.choose(None, 1, 2))
        branches = [lambda store: store.append("n", 1)] * 3
        workflow = Workflow().register_split(Step.START, branches, join)
        workflow = workflow.add_exit_state(Step.DONE).with_executor(executor)
        future = workflow.submit(Step.START)
        executor.shutdown(wait=False, cancel_futures=sim.choose(True, False))
        error = future.exception()
        assert error is None or isinstance(error, WorkflowError)

    run = sim.call(live)
    assert run.error is None or isinstance(run.error, ConfigurationError)


@under_many_schedules
def test_a_scheduler_runs_no_flow_twice_at_once_and_ends_when_it_is_stopped(
    sim: Simulation,
) -> None:
    """With flows that overlap, catch up, fail and do not listen; at whatever moment."""
    inside: Counter[str] = Counter()

    def flow(name: str) -> Workflow[Any]:
        def work(store: Any, cancel: Any) -> Step:
            inside[name] += 1
            assert inside[name] == 1
            try:
                if sim.choose(True, False):
                    cancel.sleep(sim.choose(0.5, 1.5, 3.0))
                else:
                    time.sleep(sim.choose(0.5, 1.5, 3.0))
            finally:
                inside[name] -= 1
            if sim.choose(True, False):
                raise Boom(name)
            return Step.DONE

        return Workflow().register(Step.START, work).add_exit_state(Step.DONE)

    def make() -> Scheduler:
        scheduler = Scheduler()
        scheduler.every("a", flow("a"), Step.START, 1)
        scheduler.every("b", flow("b"), Step.START, 2, catch_up=True)
        return scheduler

    duration = sim.choose(3, 4.5, 5, sim.random_time(2, 6))
    patience = sim.choose(None, 0, 0.2)
    run = sim.schedule(make, duration, stop_timeout=patience)
    assert run.elapsed <= duration + (3.0 if patience is None else patience) + 0.2
    assert run.result["a"].runs + run.result["a"].skipped >= int(duration) - 4


def test_two_threads_that_run_one_workflow_do_not_meet() -> None:
    workflow = (
        Workflow()
        .register_split(
            Step.START,
            [lambda store: store.update("n", lambda n: n + 1, 0)] * 3,
            JoinConfig(JoinStrategy.ALL, Step.DONE, collect="all"),
        )
        .add_exit_state(Step.DONE)
    )

    def both() -> list[Any]:
        futures = [workflow.submit(Step.START) for _ in range(3)]
        return [future.result() for future in futures]

    for seed in range(50):
        assert simulate_call(both, seed=seed).result == [Step.DONE] * 3
