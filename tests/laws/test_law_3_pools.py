"""Law 3: splits run on pools that never wait for themselves, and that outlive a fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import pytest

from cano_sync import (
    CanoError,
    JoinStrategy,
    TaskConfig,
    Workflow,
    WorkflowError,
    WorkflowTimeoutError,
    abandoned_tasks,
)
from cano_sync._engine import pool as pool_module
from tests.kit import SOON, Boom, Step, single, split

RunScript = Callable[[str], str]
can_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def nest(depth: int, leaf: Callable[[], object], how: Callable[[Any], Workflow[Any]]) -> Any:
    """Splits of two, each branch a run of the same, `depth` deep; `how` finishes each."""
    task: Callable[[], object] = leaf
    for _ in range(depth):
        workflow = how(split([task, task]))
        task = _running(workflow)
    return workflow


def _running(workflow: Workflow[Any]) -> Callable[[], object]:
    return lambda: workflow.orchestrate(Step.START)


class Leaves:
    """Counts how often a leaf was performed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0

    def __call__(self) -> None:
        with self.lock:
            self.count += 1


@pytest.fixture
def leaves() -> Leaves:
    return Leaves()


@pytest.fixture
def one_thread() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture
def pools_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's pools, begun anew with a ceiling of one thread."""
    monkeypatch.setattr(pool_module, "_pools", {})
    monkeypatch.setattr(pool_module, "CEILING", 1)


# Nesting.

HOW: dict[str, Callable[[Workflow[Any]], Workflow[Any]]] = {
    "plain": lambda workflow: workflow,
    "with timeouts": lambda workflow: workflow.with_timeout(60),
}


@pytest.mark.parametrize("how", HOW)
def test_nested_runs_at_depth_4_on_an_executor_of_one_thread(
    how: str, one_thread: Executor, leaves: Leaves
) -> None:
    workflow = nest(4, leaves, lambda made: HOW[how](made.with_executor(one_thread)))
    assert workflow.orchestrate(Step.START) is Step.DONE
    assert leaves.count == 2**4


@pytest.mark.usefixtures("pools_of_one")
@pytest.mark.parametrize("how", HOW)
def test_nested_runs_at_depth_4_on_pools_of_one_thread(how: str, leaves: Leaves) -> None:
    """A run that moved away, its splits' branches and the runs in them: no two in one queue."""
    assert nest(4, leaves, HOW[how]).orchestrate(Step.START) is Step.DONE
    assert leaves.count == 2**4


@pytest.mark.usefixtures("pools_of_one")
def test_attempts_with_a_limit_inside_of_each_other_on_pools_of_one_thread(leaves: Leaves) -> None:
    limited = TaskConfig().with_attempt_timeout(60)
    task: Any = leaves
    for _ in range(4):
        task = _running(single(_then_done(split([task])), limited).with_timeout(60))
    task()
    assert leaves.count == 1


def _then_done(workflow: Workflow[Any]) -> Callable[[], Step]:
    def task() -> Step:
        workflow.orchestrate(Step.START)
        return Step.DONE

    return task


@pytest.mark.usefixtures("pools_of_one")
@pytest.mark.parametrize("how", HOW)
def test_many_callers_of_nested_runs_on_pools_of_one_thread(how: str, leaves: Leaves) -> None:
    workflow = nest(3, leaves, HOW[how])
    with ThreadPoolExecutor(8) as callers:
        runs = [callers.submit(workflow.orchestrate, Step.START) for _ in range(24)]
        assert [run.result(SOON) for run in runs] == [Step.DONE] * 24
    assert leaves.count == 24 * 2**3


def test_two_executors_of_one_thread_each_in_the_others_branches(leaves: Leaves) -> None:
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        turns = iter([first, second, first, second])
        workflow = nest(4, leaves, lambda made: made.with_executor(next(turns)))
        assert workflow.orchestrate(Step.START) is Step.DONE
    assert leaves.count == 2**4


@pytest.mark.parametrize("how", HOW)
def test_a_branch_waits_for_a_run_that_it_submitted(how: str, one_thread: Executor) -> None:
    inner = HOW[how](split([lambda: None]).with_executor(one_thread))

    def branch() -> Any:
        return inner.submit(Step.START).result(2)

    assert split([branch]).with_executor(one_thread).orchestrate(Step.START) is Step.DONE


def test_a_split_in_a_branch_uses_the_executor_where_it_does_not_wait_for_itself() -> None:
    """Only a split inside a branch *of that executor* goes elsewhere."""
    threads: list[str] = []

    def leaf() -> None:
        threads.append(threading.current_thread().name)

    with ThreadPoolExecutor(2, thread_name_prefix="mine") as mine:
        inner = split([leaf, leaf]).with_executor(mine)
        split([_running(inner)]).orchestrate(Step.START)
        assert len(threads) == 2
        assert all(name.startswith("mine") for name in threads)
        threads.clear()
        split([_running(inner)]).with_executor(mine).orchestrate(Step.START)
        assert len(threads) == 2
        assert not any(name.startswith("mine") for name in threads)


# The ceiling.


@pytest.mark.usefixtures("pools_of_one")
def test_more_runs_than_threads_take_turns_and_keep_their_deadlines(gate: threading.Event) -> None:
    """One deaf run has the only thread; it is replaced once that run is abandoned."""
    begun, limit = threading.Event(), 0.2

    def deaf() -> None:
        begun.set()
        gate.wait(SOON)

    with ThreadPoolExecutor(4) as callers:
        runs = [callers.submit(single(deaf).with_timeout(limit).orchestrate, Step.START)]
        assert begun.wait(SOON)
        brisk = single(lambda: Step.DONE).with_timeout(60)
        runs += [callers.submit(brisk.orchestrate, Step.START) for _ in range(3)]
        assert isinstance(runs[0].exception(SOON), WorkflowTimeoutError)
        assert [run.result(SOON) for run in runs[1:]] == [Step.DONE] * 3
    assert abandoned_tasks() == 1


@pytest.mark.usefixtures("pools_of_one")
@pytest.mark.parametrize(
    "before",
    [
        0,
        8,
    ],
)
def test_abandoned_tasks_do_not_eat_up_the_pool(before: int, gate: threading.Event) -> None:
    """However much has waited at the ceiling before."""
    if before:
        split([lambda: None] * before).orchestrate(Step.START)
    for abandoned in (1, 2, 3):
        with pytest.raises(CanoError):
            split([lambda: gate.wait(SOON)], timeout=0.1).orchestrate(Step.START)
        assert abandoned_tasks() == abandoned
    assert split([lambda: None] * 3, timeout=5).orchestrate(Step.START) is Step.DONE


def test_abandoned_branches_of_one_split_leave_their_threads_places_to_the_next(
    monkeypatch: pytest.MonkeyPatch, gate: threading.Event
) -> None:
    """Those of workers that another worker has started, too."""
    monkeypatch.setattr(pool_module, "_pools", {})
    monkeypatch.setattr(pool_module, "CEILING", 4)
    first, second = threading.Barrier(4), threading.Barrier(4)

    def abandoned() -> None:
        first.wait(SOON)
        gate.wait(SOON)

    deaf: list[Callable[[], object]] = [abandoned] * 3
    race = split([*deaf, lambda: first.wait(SOON)], JoinStrategy.ANY)
    assert race.orchestrate(Step.START) is Step.DONE
    assert abandoned_tasks() == 3
    four = split([lambda: second.wait(SOON)] * 4, timeout=5)
    assert four.orchestrate(Step.START) is Step.DONE


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_executor_that_breaks_ends_the_run() -> None:
    def initializer() -> None:
        raise Boom

    with ThreadPoolExecutor(2, initializer=initializer) as broken:
        workflow = split([lambda: None] * 3).with_executor(broken).with_timeout(2)
        with pytest.raises(WorkflowError) as caught:
            workflow.orchestrate(Step.START)
    assert not isinstance(caught.value, TimeoutError)


# On demand.


def test_no_thread_is_made_before_it_is_needed(run_script: RunScript) -> None:
    said = run_script(
        """
        import threading
        from cano_sync import JoinConfig, JoinStrategy, Workflow
        from cano_sync import CancellationToken

        def count(what):
            print(what, threading.active_count() - 1)

        count("imported")
        plain = Workflow().register("A", lambda: "B").register("B", lambda: "C").add_exit_state("C")
        plain.orchestrate("A")
        count("plain")
        all = JoinConfig(JoinStrategy.ALL, "B")
        barrier = threading.Barrier(3)
        meet = lambda: barrier.wait()
        both = Workflow().register_split("A", [meet] * 3, all).add_exit_state("B")
        both.orchestrate("A")
        count("split")
        both.orchestrate("A")
        count("again")
        plain.orchestrate("A", cancel=CancellationToken())
        count("away")
        """
    )
    assert said.split() == [
        "imported",
        "0",
        "plain",
        "0",
        "split",
        "3",
        "again",
        "3",
        "away",
        "3",
    ]


# Forks.

FORKING = """
    import faulthandler, os, signal, sys, threading, warnings
    from cano_sync import *

    warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
    # A process that hangs says where, and dies. (The watchdog thread of dump_traceback_later()
    # would not do: a forked child that sets it again waits for the parent's, for ever.)
    faulthandler.register(signal.SIGALRM, chain=True)
    signal.alarm(30)
    join = JoinConfig(JoinStrategy.ALL, "DONE")

    def split(*tasks):
        return Workflow().register_split("A", tasks, join).add_exit_state("DONE")

    def single(task):
        return Workflow().register("A", task).add_exit_state("DONE")

    def everything():
        "A split, a run that moves, a nested run and an abandoned one."
        nested = split(lambda: single(lambda: "DONE").with_timeout(60).orchestrate("A"))
        assert split(lambda: None, lambda: nested.orchestrate("A")).orchestrate("A") == "DONE"
        assert single(lambda: "DONE").orchestrate("A", cancel=CancellationToken()) == "DONE"
        gate = threading.Event()
        try:
            single(lambda: gate.wait(20) and "DONE").with_timeout(0.1).orchestrate("A")
        except WorkflowTimeoutError:
            pass
        assert abandoned_tasks() == 1, abandoned_tasks()
        gate.set()

    def in_child(work):
        "Whether it went well in a forked child."
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            ended = 1
            try:
                work()
                ended = 0
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
            finally:
                os._exit(ended)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    """


@can_fork
def test_a_child_forked_after_use_runs_workflows(run_script: RunScript) -> None:
    said = run_script(
        FORKING
        + """
    everything()
    print(in_child(everything), in_child(lambda: in_child(everything) or 1 / 0))
    everything()
    """
    )
    assert said.split() == ["True", "True"]


@can_fork
def test_a_child_forked_beside_deaf_tasks_knows_nothing_of_them(run_script: RunScript) -> None:
    said = run_script(
        FORKING
        + """
    gate = threading.Event()
    try:
        split(lambda: gate.wait(20), lambda: gate.wait(20)).with_timeout(0.1).orchestrate("A")
    except WorkflowTimeoutError:
        pass
    assert abandoned_tasks() >= 1
    print(in_child(everything))
    gate.set()
    """
    )
    assert said.split() == ["True"]


@can_fork
@pytest.mark.parametrize("timeout", [None, 60])
def test_a_branch_may_fork(timeout: float | None, run_script: RunScript) -> None:
    """In the child its thread is the only one, deep inside a run of the parent's."""
    said = run_script(
        FORKING
        + f"""
    def branch(store):
        store.append("forked", in_child(everything))

    store = MemoryStore()
    split(branch, lambda: None, branch).with_timeout({timeout}).orchestrate("A", store=store)
    print(*store.get("forked"))
    """
    )
    assert said.split() == ["True", "True"]


@can_fork
def test_a_child_forked_in_the_middle_of_other_runs_runs_workflows(run_script: RunScript) -> None:
    """Whichever locks the other threads held at that moment."""
    said = run_script(
        FORKING
        + """
    stop = CancellationToken()
    sys.setswitchinterval(1e-5)

    def hammer():
        while not stop.cancelled:
            split(*[lambda: None] * 4).orchestrate("A")
            single(lambda: "DONE").with_timeout(60).orchestrate("A", cancel=stop.child())

    def hammering():
        try:
            hammer()
        except WorkflowCancelledError:
            pass

    threads = [threading.Thread(target=hammering) for _ in range(3)]
    for thread in threads:
        thread.start()
    print(sum(in_child(everything) for _ in range(20)))
    stop.cancel()
    for thread in threads:
        thread.join()
    """
    )
    assert said.split() == ["20"]


@can_fork
def test_processes_of_multiprocessing_that_fork_run_workflows(run_script: RunScript) -> None:
    said = run_script(
        FORKING
        + """
    import multiprocessing

    everything()
    processes = [multiprocessing.get_context("fork").Process(target=everything) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print(*[process.exitcode for process in processes])
    """
    )
    assert said.split() == ["0", "0"]


@can_fork
def test_a_token_made_before_the_fork_still_cancels_in_the_child(run_script: RunScript) -> None:
    said = run_script(
        FORKING
        + """
    token = CancellationToken()
    single(lambda: "DONE").orchestrate("A", cancel=token)

    def cancelled_there():
        begun = threading.Event()
        def task(store, cancel):
            begun.set()
            cancel.wait(20)
        run = split(task).submit("A", cancel=token)
        begun.wait()
        token.cancel("in the child")
        assert isinstance(run.exception(20), WorkflowCancelledError)

    print(in_child(cancelled_there), token.cancelled)
    """
    )
    assert said.split() == ["True", "False"]


@can_fork
def test_a_fork_waits_for_whoever_holds_the_tokens_lock(run_script: RunScript) -> None:
    """The child would inherit it from a thread that it does not have."""
    said = run_script(
        FORKING
        + """
    from cano_sync._base import cancellation

    held, never = threading.Event(), threading.Event()

    def hold():
        with cancellation._lock:
            held.set()
            never.wait(0.2)  # the fork comes meanwhile

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    token = CancellationToken()

    def cancels_there():
        signal.alarm(5)
        token.cancel()  # on this thread: a new one may have the identity of the lock's holder

    print(in_child(cancels_there), token.cancelled)
    holder.join()
    """
    )
    assert said.split() == ["True", "False"]
