"""Executors: the users' own, and the process's pools."""

from __future__ import annotations

import contextvars
import functools
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import pytest

from cano_sync import (
    CancellationToken,
    Cancelled,
    CanoError,
    JoinConfig,
    JoinError,
    JoinStrategy,
    MemoryStore,
    SplitTimeoutError,
    Tally,
    TaskConfig,
    Verdict,
    Workflow,
    WorkflowError,
    WorkflowTimeoutError,
    abandoned_tasks,
    wait_for_abandoned,
)
from cano_sync._engine import jobs as jobs_module
from cano_sync._engine import pool as pool_module
from cano_sync._engine import split as split_module
from cano_sync._engine.jobs import Job
from cano_sync._engine.nesting import Nesting
from cano_sync._engine.pool import Pool, occupancy, process_pool
from tests.kit import SOON, Boom, Eventually, Step, done, single, split
from tests.observing import Notes

# with_executor().


class Inline(Executor):
    """Runs the task in submit(), on the thread of the caller."""

    def __init__(self) -> None:
        self.calls = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.calls += 1
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class OneThreadEach(Executor):
    """A user's own: a new thread for each job."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def work() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        thread = threading.Thread(target=work, name=f"mine-{len(self.threads)}")
        self.threads.append(thread)
        thread.start()
        return future


def thread_name() -> str:
    return threading.current_thread().name


def test_branches_run_on_the_users_executor_and_single_tasks_do_not() -> None:
    store = MemoryStore()
    workflow = (
        Workflow()
        .register(Step.START, lambda s: s.put("single", thread_name()) or Step.WORK)
        .register_split(
            Step.WORK,
            [thread_name] * 3,
            JoinConfig(JoinStrategy.ALL, Step.DONE, collect="branches"),
        )
        .add_exit_state(Step.DONE)
    )
    with ThreadPoolExecutor(2, thread_name_prefix="mine") as pool:
        workflow.with_executor(pool).orchestrate(Step.START, store=store)
    assert all(name.startswith("mine") for name in store.get("branches", list))
    assert store.get("single") == thread_name()


def test_an_executor_of_ones_own_making_will_do() -> None:
    mine, store = OneThreadEach(), MemoryStore()
    split([thread_name] * 3, collect="names").with_executor(mine).orchestrate(
        Step.START, store=store
    )
    for thread in mine.threads:
        thread.join(SOON)
    assert {name.split("-")[0] for name in store.get("names", list)} == {"mine"}


def test_an_executor_that_runs_the_task_in_submit_will_do() -> None:
    mine, store = Inline(), MemoryStore()
    workflow = split([thread_name] * 3, collect="names").with_executor(mine)
    assert workflow.orchestrate(Step.START, store=store) is Step.DONE
    assert store.get("names") == [thread_name()] * 3
    assert mine.calls >= 1


def test_a_synchronous_executor_stops_at_the_verdict() -> None:
    called: list[int] = []
    branches = [functools.partial(lambda n: called.append(n), n) for n in range(3)]
    mine = Inline()
    workflow = split(branches, strategy=JoinStrategy.ANY).with_executor(mine)
    assert workflow.orchestrate(Step.START) is Step.DONE
    assert called == [0]
    assert mine.calls == 1


def test_a_pool_of_one_thread_performs_all_branches() -> None:
    store = MemoryStore()
    branches = [functools.partial(lambda n: n, n) for n in range(20)]
    with ThreadPoolExecutor(1) as pool:
        split(branches, collect="all").with_executor(pool).orchestrate(Step.START, store=store)
    assert store.get("all") == list(range(20))


def test_a_split_inside_a_branch_does_not_wait_for_its_own_executor() -> None:
    """A pool of one thread, whose only thread performs the outer branch."""

    def nested(depth: int) -> Any:
        if not depth:
            return thread_name()
        store = MemoryStore()
        with_pool = split([lambda: nested(depth - 1)], collect="v").with_executor(pool)
        with_pool.orchestrate(Step.START, store=store)
        return store.get("v")[0]

    with ThreadPoolExecutor(1, thread_name_prefix="mine") as pool:
        assert nested(4).startswith("cano-")
        assert nested(1).startswith("mine")


def test_a_branch_may_submit_a_run_on_its_own_executor_and_wait_for_it() -> None:
    """A pool of one thread again: the run in the background must not need that thread."""

    def outer() -> Any:
        return split([done]).with_executor(pool).submit(Step.START).result(2)

    with ThreadPoolExecutor(1) as pool:
        workflow = split([outer]).with_executor(pool)
        assert workflow.orchestrate(Step.START) is Step.DONE


def test_no_executor_brings_the_processs_pool_back() -> None:
    mine, store = Inline(), MemoryStore()
    workflow = split([thread_name], collect="names").with_executor(mine)
    workflow.with_executor(None).orchestrate(Step.START, store=store)
    assert store.get("names")[0].startswith("cano-")
    assert mine.calls == 0
    assert workflow.orchestrate(Step.START) is Step.DONE


def test_the_users_executor_stays_open_and_his_own() -> None:
    with ThreadPoolExecutor(2) as pool:
        workflow = split([done]).with_executor(pool)
        for _ in range(3):
            workflow.orchestrate(Step.START)
        assert pool.submit(lambda: "open").result(SOON) == "open"


def test_an_executor_shut_down_before_the_split_is_a_mistake_that_says_so() -> None:
    pool = ThreadPoolExecutor(1)
    workflow = split([done]).register(Step.WORK, lambda: pool.shutdown() or Step.START)
    with pytest.raises(WorkflowError) as caught:
        workflow.with_executor(pool).orchestrate(Step.WORK)
    for word in ("Step.START", "with_executor()", "keep it open"):
        assert word in str(caught.value)
    assert (caught.value.state, type(caught.value)) == (Step.START, WorkflowError)
    assert caught.value.run_id


class Signalling(ThreadPoolExecutor):
    """Says when so many jobs have been submitted."""

    def __init__(self, workers: int, expected: int) -> None:
        super().__init__(workers)
        self.expected = expected
        self.full = threading.Event()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = super().submit(fn, *args, **kwargs)
        self.expected -= 1
        if not self.expected:
            self.full.set()
        return future


def test_an_executor_shut_down_with_branches_in_its_queue_ends_the_run(
    gate: threading.Event,
) -> None:
    """Nobody would ever perform them: the run must not wait for them."""
    pool = Signalling(1, expected=3)
    pool.submit(gate.wait, SOON)  # the only thread is busy
    future = split([done, done]).with_executor(pool).submit(Step.START)
    assert pool.full.wait(SOON)
    pool.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(WorkflowError, match="was shut down while branches waited"):
        future.result(SOON)


def test_an_executor_shut_down_while_a_branch_runs_lets_that_thread_do_the_rest(
    gate: threading.Event,
) -> None:
    pool, running = Signalling(1, expected=3), threading.Event()

    def first() -> None:
        running.set()
        gate.wait(SOON)

    future = split([first, done, done]).with_executor(pool).submit(Step.START)
    assert pool.full.wait(SOON)
    assert running.wait(SOON)
    pool.shutdown(wait=False, cancel_futures=True)
    gate.set()
    assert future.result(SOON) is Step.DONE


def test_a_worker_between_two_branches_still_counts() -> None:
    class ShutDownAfterTheFirst(JoinStrategy):
        def decide(self, tally: Tally) -> Verdict:
            if tally.ended == 1:
                assert pool.full.wait(SOON)
                pool.shutdown(wait=False, cancel_futures=True)
            return JoinStrategy.ALL.decide(tally)

    pool = Signalling(1, expected=3)
    workflow = split([done, done, done], strategy=ShutDownAfterTheFirst()).with_executor(pool)
    assert workflow.orchestrate(Step.START) is Step.DONE


def test_an_executor_that_takes_no_more_workers_keeps_those_that_it_took() -> None:
    class TakesOne(Executor):
        """Begins the first job only once it has refused the second."""

        thread: threading.Thread | None = None

        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            if self.thread is None:
                self.thread = threading.Thread(target=fn)
                return Future()
            self.thread.start()
            raise RuntimeError("cannot schedule new futures after shutdown")

    one = TakesOne()
    assert split([done, done, done]).with_executor(one).orchestrate(Step.START) is Step.DONE
    assert one.thread is not None
    one.thread.join(SOON)


@pytest.mark.parametrize("odd", [ValueError("no more workers"), RuntimeError("no more workers")])
def test_whatever_an_executor_raises_names_the_state_and_the_executor(odd: Exception) -> None:
    class Odd(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            raise odd

    with pytest.raises(CanoError) as caught:
        split([done]).with_executor(Odd()).orchestrate(Step.START)
    assert caught.value.__cause__ is odd
    assert caught.value.state is Step.START
    assert "no more workers" in str(caught.value)


def test_an_executor_that_has_refused_a_worker_is_not_asked_again() -> None:
    class Refusing(Executor):
        calls = 0

        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            self.calls += 1
            raise RuntimeError("no more workers")

    refusing = Refusing()
    with pytest.raises(WorkflowError, match="takes no more work: no more workers"):
        split([done] * 3).with_executor(refusing).orchestrate(Step.START)
    assert refusing.calls == 1


def test_an_executor_that_drops_what_it_took_is_a_mistake_that_says_so() -> None:
    class Dropping(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.cancel()
            return future

    with pytest.raises(WorkflowError, match=r"with_executor\(\) was shut down; keep it open"):
        split([done] * 2).with_executor(Dropping()).orchestrate(Step.START)


def test_a_split_whose_time_is_up_before_a_worker_is_submitted_blames_no_executor() -> None:
    mine = Inline()
    with pytest.raises(SplitTimeoutError):
        split([done], timeout=0).with_executor(mine).orchestrate(Step.START)
    assert mine.calls == 0


def test_ctrl_c_while_workers_are_submitted_is_not_the_executors_fault() -> None:
    class Interrupted(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        split([done]).with_executor(Interrupted()).orchestrate(Step.START)


def test_ctrl_c_while_the_first_worker_is_started_leaves_it_nothing_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[Job] = []
    called: list[int] = []

    def interrupted(pool: Pool, job: Job) -> None:
        started.append(job)
        raise KeyboardInterrupt

    monkeypatch.setattr(Pool, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        split([lambda: called.append(1)]).orchestrate(Step.START)
    started[0].run()
    assert called == []


@pytest.fixture
def broken_pool(caplog: pytest.LogCaptureFixture) -> Iterator[ThreadPoolExecutor]:
    """A pool whose threads die before their first job: its queue is failed, not cancelled."""

    def initializer() -> None:
        raise Boom("no licence")

    with ThreadPoolExecutor(1, initializer=initializer) as pool:
        yield pool


def test_a_pool_whose_threads_cannot_start_ends_the_run(broken_pool: ThreadPoolExecutor) -> None:
    workflow = split([done, done]).with_executor(broken_pool).with_timeout(2)
    with pytest.raises(WorkflowError, match="executor") as caught:
        workflow.orchestrate(Step.START)
    assert not isinstance(caught.value, WorkflowTimeoutError)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (None, "was shut down while branches waited for it"),
        (OSError("no licence"), "is broken: OSError: no licence"),
    ],
    ids=["cancelled", "failed"],
)
def test_the_fate_of_the_last_worker_in_an_executors_queue_is_what_the_error_says(
    error: Exception | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker: Future[Any] = Future()

    class Queue(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            return worker

    wait = split_module.wait_first

    def ends_meanwhile(*what: Any) -> None:
        if error is None:
            worker.cancel()
        else:
            worker.set_exception(error)
        wait(*what)

    monkeypatch.setattr(split_module, "wait_first", ends_meanwhile)
    with pytest.raises(WorkflowError, match=re.escape(why)) as caught:
        split([done]).with_executor(Queue()).orchestrate(Step.START)
    assert caught.value.__cause__ is error


# The process's pools.


def test_there_is_one_pool_for_each_depth() -> None:
    assert process_pool(7) is process_pool(7)
    assert process_pool(7) is not process_pool(8)


def test_many_threads_that_ask_first_get_the_same_pool() -> None:
    depth, count = 1000, 8
    together = threading.Barrier(count)

    def ask() -> Executor:
        together.wait(SOON)
        return process_pool(depth)

    with ThreadPoolExecutor(count) as threads:
        pools = {future.result(SOON) for future in [threads.submit(ask) for _ in range(count)]}
    assert len(pools) == 1


def test_the_second_of_two_that_make_a_pool_takes_the_firsts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It looked before the first had made it, and must look again under the lock."""

    class Late(dict[int, Any]):
        looks = 0

        def get(self, key: int, default: Any = None) -> Any:
            self.looks += 1
            return default if self.looks == 1 else super().get(key, default)

    first = object()
    monkeypatch.setattr(pool_module, "_pools", Late({1: first}))
    assert process_pool(1) is first


def test_a_forked_child_forgets_pools_and_tasks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the fork test below shows in a child, shown here step by step."""
    monkeypatch.setattr(pool_module, "_pools", {1: Pool(1)})
    monkeypatch.setattr(jobs_module, "_abandoned", {object()})
    monkeypatch.setattr(jobs_module, "_lock", threading.RLock())
    monkeypatch.setattr(pool_module, "_all", WeakValueDictionary())
    assert abandoned_tasks() == 1
    pool_module._forget_pools()
    jobs_module.forget_abandoned()
    assert abandoned_tasks() == 0
    assert pool_module._pools == {}


def test_each_depth_of_nested_splits_has_a_pool_of_its_own() -> None:
    names: list[str] = []

    def nested(depth: int) -> None:
        names.append(thread_name())
        if depth:
            split([functools.partial(nested, depth - 1)]).orchestrate(Step.START)

    split([functools.partial(nested, 2)]).orchestrate(Step.START)
    depths = [int(name.split("-")[1].split("_")[0]) for name in names]
    assert depths == [depths[0], depths[0] + 1, depths[0] + 2]


def test_outside_a_run_nesting_is_at_depth_0() -> None:
    for nesting in (Nesting.current(), contextvars.Context().run(Nesting.current)):
        assert (nesting.depth, nesting.on_user_executor, nesting.gate) == (0, False, None)


def test_a_pools_threads_are_daemons_and_its_creator_stays_what_it_was() -> None:
    """So that an abandoned task does not hold up the interpreter's exit."""
    me = threading.current_thread()
    with Pool(1) as pool:
        assert pool.submit(lambda: threading.current_thread().daemon).result(SOON)
    assert me.daemon is False


def nothing(job: Job) -> None:
    """The work of an job."""


class Abandoned:
    """A job that waits on a gate, as an job of a pool of one thread."""

    def __init__(self, pool: Pool, gate: threading.Event) -> None:
        self.job = Job(pool, self.work)
        self.running = threading.Event()
        self.gate = gate
        self.future = pool.submit(self.job.run)

    def work(self, job: Job) -> None:
        self.running.set()
        self.gate.wait(SOON)


def test_a_pool_does_without_the_threads_of_abandoned_tasks(gate: threading.Event) -> None:
    with Pool(1) as pool:
        job = Abandoned(pool, gate)
        assert job.running.wait(SOON)
        waiting = pool.submit(lambda: "served")  # the only thread is taken
        assert abandoned_tasks() == 0
        job.job.abandon()
        assert abandoned_tasks() == 1
        assert waiting.result(SOON) == "served"
        gate.set()
        job.future.result(SOON)
        assert abandoned_tasks() == 0


def test_a_pool_is_as_large_as_before_once_an_abandoned_task_has_returned(
    gate: threading.Event,
) -> None:
    with Pool(1) as pool:
        job = Abandoned(pool, gate)
        assert job.running.wait(SOON)
        job.job.abandon()
        assert pool._written_off == 1
        gate.set()
        job.future.result(SOON)
        assert pool._written_off == 0


def test_a_task_that_never_began_is_not_counted_as_abandoned() -> None:
    with Pool(1) as pool:
        job = Job(pool, nothing)
        job.abandon()
        assert abandoned_tasks() == 0
        pool.submit(job.run).result(SOON)
        assert abandoned_tasks() == 0
        assert pool._written_off == 0


def test_a_task_that_has_ended_is_not_counted_as_abandoned() -> None:
    with Pool(1) as pool:
        job = Job(pool, nothing)
        pool.submit(job.run).result(SOON)
        job.abandon()
        assert abandoned_tasks() == 0
        assert pool._written_off == 0


def test_an_abandoned_task_on_a_users_executor_is_counted_too() -> None:
    """Its thread is the user's affair: only the count is ours."""
    counts: list[int] = []

    def work(job: Job) -> None:
        job.abandon()
        counts.append(abandoned_tasks())

    with ThreadPoolExecutor(1) as pool:
        pool.submit(Job(None, work).run).result(SOON)
    assert counts == [1]
    assert abandoned_tasks() == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_begins_with_pools_of_its_own() -> None:
    """The threads of the parent are not there, nor are its abandoned tasks."""
    script = """
import os, threading, warnings
from cano_sync import *
warnings.simplefilter("ignore")
gate = threading.Event()
def split(branch):
    join = JoinConfig(JoinStrategy.ALL, "DONE", timeout=0.3, error_state="LATE")
    workflow = Workflow().register_split("START", [branch] * 3, join)
    return workflow.add_exit_states("DONE", "LATE").orchestrate("START")
print(split(lambda: gate.wait(20)), abandoned_tasks(), flush=True)
child = os.fork()
if not child:
    print(abandoned_tasks(), split(lambda: 1), flush=True)
    os._exit(0)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), abandoned_tasks())
gate.set()
"""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
        cwd=Path(__file__).parents[2],
    )
    assert ended.stdout.split() == ["LATE", "3", "0", "DONE", "0", "3"]


@pytest.mark.parametrize("what", ["split", "timeout"])
def test_a_run_that_comes_after_the_interpreters_last_thread_says_so(what: str) -> None:
    """Pools take no work once the interpreter exits; a user's executor has no part in it."""
    script = f"""
import atexit
from cano_sync import *
if {what!r} == "split":
    join = JoinConfig(JoinStrategy.ALL, "DONE")
    workflow = Workflow().register_split("START", [lambda: 1], join).add_exit_state("DONE")
else:
    workflow = Workflow().register("START", lambda: "DONE").add_exit_state("DONE").with_timeout(9)
def late():
    try:
        workflow.orchestrate("START")
    except Exception as error:
        print(isinstance(error, CanoError), "with_executor" in str(error))
workflow.orchestrate("START")
atexit.register(late)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
        cwd=Path(__file__).parents[2],
    )
    assert ended.stdout.split() == ["True", "False"]


def test_a_run_that_is_under_way_at_the_exit_splits_on_a_users_executor() -> None:
    """The pool waits for it before the standard library closes all executors."""
    script = """
import threading
import time
from cano_sync import JoinConfig, JoinStrategy, Workflow
from concurrent.futures import ThreadPoolExecutor

def load():
    time.sleep(0.2)  # by then the main thread has ended
    return "ASK"

executor, both = ThreadPoolExecutor(2), threading.Barrier(2)
list(executor.map(lambda number: both.wait(), range(2)))  # 3.12 starts no thread at the exit

workflow = (
    Workflow()
    .register("LOAD", load)
    .register_split("ASK", [lambda: 1, lambda: 2], JoinConfig(JoinStrategy.ALL, "DONE"))
    .add_exit_state("DONE")
    .with_executor(executor)
)
workflow.submit("LOAD").add_done_callback(lambda run: print(run.exception() or run.result()))
"""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
        cwd=Path(__file__).parents[2],
    )
    assert ended.stdout.split() == ["DONE"]


# A system without threads.


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pool has a thread, and none can be started."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(pool_module, "_pools", {})
    monkeypatch.setattr(threading.Thread, "start", start)


@pytest.mark.usefixtures("no_threads")
@pytest.mark.parametrize(
    "run",
    [
        lambda: split([done]).orchestrate(Step.START),
        lambda: single(done).with_timeout(9).orchestrate(Step.START),
        lambda: single(done, TaskConfig(attempt_timeout=9)).orchestrate(Step.START),
        lambda: single(done).submit(Step.START),
    ],
    ids=["a split", "a run that moves", "an attempt with a limit", "a run in the background"],
)
def test_without_a_thread_a_run_says_so(run: Any) -> None:
    with pytest.raises(WorkflowError, match="there is no thread") as caught:
        run()
    assert caught.value.state is Step.START
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert "with_executor" not in str(caught.value)


def test_without_another_thread_those_that_there_are_do_the_work(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with Pool(2) as pool:
        first = pool.submit(gate.wait, SOON)
        monkeypatch.setattr(threading.Thread, "start", start)
        second = pool.submit(lambda: "served")
        gate.set()
        assert first.result(SOON)
        assert second.result(SOON) == "served"


def test_a_pool_that_is_shut_down_takes_no_work() -> None:
    with Pool(1) as pool:
        assert pool.submit(lambda: 1).result(SOON) == 1
    with pytest.raises(RuntimeError, match="no thread takes new work"):
        pool.submit(lambda: 1)


def test_a_job_that_is_cancelled_in_the_queue_is_not_done(gate: threading.Event) -> None:
    done_by: list[int] = []
    with Pool(1) as pool:
        first = pool.submit(gate.wait, SOON)
        second = pool.submit(done_by.append, 1)
        assert second.cancel()
        gate.set()
        assert first.result(SOON)
        assert pool.submit(lambda: "next").result(SOON) == "next"
    assert done_by == []


def test_a_callback_that_wants_out_of_the_program_costs_the_pool_no_thread(
    gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    with Pool(1) as pool:
        first = pool.submit(gate.wait, SOON)
        first.add_done_callback(lambda future: sys.exit("enough"))
        gate.set()
        assert pool.submit(lambda: "served").result(SOON) == "served"
    assert "a callback of a run's future raised" in caplog.text


def test_two_executors_that_wait_for_each_other_crosswise_never_do_so_for_ever() -> None:
    both = threading.Barrier(2)

    def crossing(inner: Executor) -> Any:
        both.wait(SOON)
        return split([done]).with_executor(inner).orchestrate(Step.START)

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        runs = [
            split([functools.partial(crossing, inner)]).with_executor(outer).submit(Step.START)
            for outer, inner in ((one, other), (other, one))
        ]
        assert [run.result(SOON) for run in runs] == [Step.DONE, Step.DONE]


def test_a_split_that_has_outlived_the_run_around_it_ends_with_that_runs_time() -> None:
    """Its thread was started in the run's context, and nobody waits for the run's deadline now.

    Its own time was not up: the strategy is not asked about it, and decides nothing.
    """
    ended: list[BaseException] = []
    notes = Notes()
    ready = threading.Event()

    def late(cancel: CancellationToken) -> None:
        ready.set()
        cancel.wait(SOON)
        raise Boom("after the deadline")

    def outliving() -> None:
        try:
            workflow = split([lambda *, cancel: late(cancel)]).with_observer(notes)
            workflow.orchestrate(Step.START)
        except BaseException as error:
            ended.append(error)

    def outer() -> Step:
        thread.start()
        assert ready.wait(SOON)
        return Step.DONE

    context: list[contextvars.Context] = []
    thread = threading.Thread(target=lambda: context[0].run(outliving))

    def starting() -> Step:
        context.append(contextvars.copy_context())
        return outer()

    assert single(starting).with_timeout(0.3).orchestrate(Step.START) is Step.DONE
    thread.join(SOON)
    assert not thread.is_alive()
    assert isinstance(ended[0], Cancelled)
    assert notes.of("join_decided") == []


def test_without_a_thread_but_abandoned_ones_a_run_says_so(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would wait for threads that may never come back."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(pool_module, "_pools", {})
    with pytest.raises(WorkflowTimeoutError):
        single(lambda: gate.wait(SOON)).with_timeout(0.25).orchestrate(Step.START)
    assert abandoned_tasks() == 1
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(WorkflowError, match="there is no thread"):
        split([done]).orchestrate(Step.START)


def test_the_threads_of_all_pools_are_counted_until_they_are_shut_down(
    gate: threading.Event, eventually: Eventually
) -> None:
    """A scheduler's, too, which is nobody else's."""
    eventually(lambda: occupancy()[0] == 0)  # what other tests have left is home
    before = occupancy()
    pool = Pool(1, "tests-other")
    jobs = [pool.submit(gate.wait, 20) for _ in range(3)]
    busy, _, waiting = occupancy()
    assert (busy - before[0], waiting - before[2]) == (1, 2)
    gate.set()
    assert all(job.result(20) for job in jobs)
    eventually(lambda: occupancy()[0] == before[0])
    assert occupancy()[1] >= 1
    pool.shutdown()
    assert occupancy() == before


def test_shutting_down_cancels_the_futures_of_what_has_not_begun(gate: threading.Event) -> None:
    """A job without a future is still run: who started it calls it off himself."""
    ran: list[str] = []
    pool = Pool(1)
    first = pool.submit(gate.wait, SOON)
    waiting = [pool.submit(ran.append, "future") for _ in range(3)]
    pool.start(Job(pool, lambda job: ran.append("job")))
    pool.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in waiting)
    with pytest.raises(RuntimeError, match="takes new work"):
        pool.submit(print)
    gate.set()
    pool.shutdown()
    assert first.result(0)
    assert ran == ["job"]


def test_an_executor_may_have_a_method_of_any_name() -> None:
    class Inline(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_result(fn(*args, **kwargs))
            return future

        def _shutdown(self) -> None:
            """A helper of its own."""

    workflow = split([lambda: None]).with_executor(Inline())
    assert workflow.orchestrate(Step.START) is Step.DONE


def test_two_branches_that_raise_one_exception_have_each_their_own_name_in_it() -> None:
    shared = CanoError("it broke")

    def first() -> None:
        raise shared

    def second() -> None:
        raise shared

    for tasks in ([first, second], [second, first]):
        with pytest.raises(JoinError) as caught:
            split(tasks).orchestrate(Step.START)
        assert caught.value.result is not None
        outcomes = caught.value.result.errors
        assert [outcome.error.task for outcome in outcomes if outcome.error] == [
            outcome.name for outcome in outcomes
        ]
        shared = CanoError("it broke")


def test_two_branches_that_raise_one_exception_have_each_its_cause() -> None:
    shared, cause = CanoError("it broke"), Boom()

    def first() -> None:
        raise shared from cause

    def second() -> None:
        raise shared from cause

    with pytest.raises(JoinError) as caught:
        split([first, second]).orchestrate(Step.START)
    assert caught.value.result is not None
    errors = [outcome.error for outcome in caught.value.result.errors]
    assert [error and error.__cause__ for error in errors] == [cause] * 2
    assert all(error and error.__traceback__ for error in errors)


def test_two_branches_that_raise_one_exception_at_once_have_each_their_own_name_in_it() -> None:
    both = threading.Barrier(2)

    class Shared(CanoError):
        def locate(self, **where: Any) -> None:
            with suppress(threading.BrokenBarrierError):
                both.wait(0.1)  # for another thread that would be here, too
            super().locate(**where)

    shared, together = Shared("it broke"), threading.Barrier(2)

    def first() -> None:
        together.wait(SOON)
        raise shared

    def second() -> None:
        together.wait(SOON)
        raise shared

    with pytest.raises(JoinError) as caught:
        split([first, second]).orchestrate(Step.START)
    assert caught.value.result is not None
    names = [outcome.error.task for outcome in caught.value.result.errors if outcome.error]
    assert names == ["first", "second"]


def test_waiting_for_abandoned_tasks_ends_with_the_last_of_them_or_with_the_time(
    gate: threading.Event,
) -> None:
    with pytest.raises(WorkflowTimeoutError):
        single(lambda: gate.wait(SOON)).with_timeout(0.3).orchestrate(Step.START)  # it has begun
    assert abandoned_tasks() == 1
    assert not wait_for_abandoned(0.01)
    assert not wait_for_abandoned(0)
    threading.Timer(0.02, gate.set).start()
    assert wait_for_abandoned()
    assert abandoned_tasks() == 0


# Threads for jobs that wait while others are with abandoned tasks.


class Abandonable:
    """A job that runs until the gate opens, on the only thread of a pool."""

    def __init__(self, pool: Pool, gate: threading.Event) -> None:
        begun = threading.Event()

        def work(job: Job) -> None:
            begun.set()
            gate.wait(SOON)

        self.job = Job(pool, work)
        pool.start(self.job)
        assert begun.wait(SOON)


def on_a_thread(function: Callable[[], object], args: tuple[Any, ...]) -> int:
    """In place of the low-level call: a thread that coverage sees."""
    threading.Thread(target=function, args=args, daemon=True).start()
    return 0


def test_jobs_that_wait_get_the_threads_that_abandoned_tasks_keep(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Pool(2) as pool:
        deaf = [Abandonable(pool, gate), Abandonable(pool, gate)]
        both = threading.Barrier(3)
        for _ in range(2):
            pool.start(Job(pool, lambda job: both.wait(SOON)))
        assert pool.occupancy() == (2, 0, 2)
        monkeypatch.setattr(pool_module._thread, "start_new_thread", on_a_thread)
        for each in deaf:
            assert each.job.abandon()
        both.wait(SOON)  # the two jobs run, though the two threads never came back
        gate.set()


def test_where_no_thread_can_be_had_they_wait_for_one_that_comes_back(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> int:
        raise RuntimeError("can't start new thread")

    with Pool(1) as pool:
        deaf = Abandonable(pool, gate)
        waiting = pool.submit(lambda: "done")
        with monkeypatch.context() as patch:
            patch.setattr(pool_module._thread, "start_new_thread", refuse)
            assert deaf.job.abandon()
        assert not waiting.done()
        gate.set()
        assert waiting.result(SOON) == "done"


def test_a_job_for_which_the_system_has_no_thread_is_taken_back_and_no_other(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The only thread is with an abandoned task, and may never come back."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with Pool(1) as pool:
        deaf = Abandonable(pool, gate)
        waiting = pool.submit(lambda: "done")
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            patch.setattr(pool, "fill", lambda: None)
            assert deaf.job.abandon()
            with pytest.raises(RuntimeError, match="no thread for new work"):
                pool.submit(lambda: "refused")
        gate.set()
        assert waiting.result(SOON) == "done"


def test_ctrl_c_while_a_thread_starts_neither_stops_the_pool_nor_holds_up_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(thread: threading.Thread) -> None:
        raise KeyboardInterrupt

    pool = Pool(2)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupt)
        with pytest.raises(KeyboardInterrupt):
            pool.submit(print)
    assert pool.submit(lambda: "done").result(SOON) == "done"
    pool.shutdown()


def test_ctrl_c_before_the_waiting_jobs_get_their_threads_does_not_cost_the_next_ones_theirs(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: Any) -> int:
        raise KeyboardInterrupt

    with Pool(2) as pool:
        deaf = [Abandonable(pool, gate), Abandonable(pool, gate)]
        waiting = [pool.submit(lambda: "done") for _ in range(2)]
        with monkeypatch.context() as patch:
            patch.setattr(pool_module._thread, "start_new_thread", interrupt)
            with pytest.raises(KeyboardInterrupt):
                deaf[0].job.abandon()
        assert deaf[1].job.abandon()
        assert [future.result(SOON / 4) for future in waiting] == ["done"] * 2


def test_of_two_first_jobs_for_which_there_is_no_thread_neither_is_left_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of them sees the other's thread being made, which comes to nothing."""
    pool, both = Pool(2), threading.Barrier(2)
    refused: list[RuntimeError] = []
    real = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if not thread.name.startswith("_"):
            real(thread)
            return
        both.wait(SOON)
        raise RuntimeError("can't start new thread")

    def submit() -> None:
        with pytest.raises(RuntimeError, match="no thread for new work") as caught:
            pool.submit(print)
        refused.append(caught.value)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        submitting = [threading.Thread(target=submit) for _ in range(2)]
        for thread in submitting:
            thread.start()
        for thread in submitting:
            thread.join(SOON)
    assert len(refused) == 2
    pool.shutdown()
