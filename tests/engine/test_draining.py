"""Draining: no new runs, every run accounted for once, and an end in time whatever tasks do."""

from __future__ import annotations

import os
import pickle
import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

import cano_sync
from cano_sync import (
    CancellationToken,
    Cancelled,
    ConfigurationError,
    DrainingError,
    DrainReport,
    JoinConfig,
    JoinStrategy,
    TaskConfig,
    Workflow,
    WorkflowCancelledError,
    drain,
    draining,
)
from cano_sync._engine import draining as engine
from cano_sync._engine import stop_with_drain
from cano_sync.observe import Observer
from cano_sync.scheduler import Scheduler
from cano_sync.testing import inline
from tests.kit import SOON, Eventually, Step, boom, done, single, split

AT_MOST = 0.1
"""Seconds after the grace when a drain has returned."""
MARGIN = 1.0
"""What a crowded machine may add to that, in a test that looks at the clock."""


@pytest.fixture(autouse=True)
def drain_taken_back() -> Iterator[None]:
    """A process is drained once. Tests take it back, as a forked child does."""
    yield
    engine._forget()


def in_background(function: Callable[[], Any]) -> Future[Any]:
    """Call it on a thread of its own, in an empty context."""
    future: Future[Any] = Future()

    def call() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return future


class Deaf:
    """A task that says when it begins, and does not listen until its gate opens."""

    def __init__(self, gate: threading.Event) -> None:
        self.begun = threading.Event()
        self.gate = gate

    def __call__(self) -> Step:
        self.begun.set()
        self.gate.wait(SOON)
        return Step.DONE


class Listening:
    """A task that says when it begins, and waits until it is cancelled."""

    def __init__(self) -> None:
        self.begun = threading.Event()

    def __call__(self, store: Any, cancel: CancellationToken) -> Step:
        self.begun.set()
        cancel.sleep(SOON)
        return Step.DONE


# What is refused, and what belongs to a run that goes on.


def test_without_runs_it_returns_at_once_and_refuses_new_ones() -> None:
    assert not draining()
    report = drain()
    assert (report.finished, report.cancelled, report.abandoned) == (0, 0, ())
    assert report.seconds < 1
    assert draining()
    workflow = single(done)
    for begin in (workflow.orchestrate, workflow.submit, workflow.with_timeout(5).orchestrate):
        with pytest.raises(DrainingError, match="no run begins any more") as caught:
            begin(Step.START)
        assert caught.value.state is Step.START


def test_a_refused_run_calls_no_observer_and_no_task() -> None:
    heard: list[str] = []

    class Watching(Observer):
        def run_started(self, **facts: Any) -> None:
            heard.append("run_started")

    drain()
    with pytest.raises(DrainingError):
        single(lambda: heard.append("task")).with_observer(Watching()).orchestrate(Step.START)
    assert heard == []


def test_running_runs_finish_and_new_ones_are_refused_meanwhile(
    gate: threading.Event, eventually: Eventually
) -> None:
    task = Deaf(gate)
    run = single(task).submit(Step.START)
    assert task.begun.wait(SOON)
    report = in_background(lambda: drain(SOON))
    eventually(draining)
    with pytest.raises(DrainingError):
        single(done).orchestrate(Step.START)
    assert not report.done()
    gate.set()
    seen = report.result(SOON)
    assert (seen.finished, seen.cancelled, seen.abandoned) == (1, 0, ())
    assert run.result(SOON) is Step.DONE


def test_a_run_that_fails_by_itself_has_finished(
    gate: threading.Event, eventually: Eventually
) -> None:
    begun = threading.Event()

    def failing() -> None:
        begun.set()
        gate.wait(SOON)
        boom()

    run = single(failing).submit(Step.START)
    assert begun.wait(SOON)
    report = in_background(lambda: drain(SOON))
    eventually(draining)
    gate.set()
    assert report.result(SOON).finished == 1
    assert run.exception(SOON) is not None


def test_what_a_running_run_begins_is_allowed_and_counted(
    gate: threading.Event, eventually: Eventually
) -> None:
    """Nested on the thread, nested in a branch, within limits, submitted."""
    begun = threading.Event()
    submitted: queue.Queue[Future[Step]] = queue.Queue()

    def nested() -> None:
        single(done).orchestrate(Step.START)
        single(done).with_timeout(SOON).orchestrate(Step.START)
        submitted.put(single(done).submit(Step.START))

    def outer() -> Step:
        begun.set()
        gate.wait(SOON)
        split([nested, nested]).orchestrate(Step.START)
        return Step.DONE

    run = single(outer).submit(Step.START)
    assert begun.wait(SOON)
    report = in_background(lambda: drain(SOON))
    eventually(draining)
    gate.set()
    assert run.result(SOON) is Step.DONE
    seen = report.result(SOON)
    # The outer run, the one with the split, and three for each of its branches.
    assert (seen.finished, seen.cancelled, seen.abandoned) == (8, 0, ())
    assert [submitted.get(timeout=SOON).result(SOON) for _ in range(2)] == [Step.DONE] * 2


def test_a_context_that_outlives_its_run_does_not_belong_to_it(gate: threading.Event) -> None:
    """A task's thread in a copy of its context begins a run when the task's run has ended."""
    contexts: list[Any] = []

    def leaking() -> Step:
        contexts.append(cano_sync.current_token())
        return Step.DONE

    single(leaking).orchestrate(Step.START)
    drain()
    with pytest.raises(DrainingError):
        cano_sync._base.current.set_current_token(contexts[0])
        try:
            single(done).orchestrate(Step.START)
        finally:
            cano_sync._base.current.set_current_token(None)


def test_inline_runs_are_counted_as_others(gate: threading.Event) -> None:
    def outer() -> Step:
        report = in_background(lambda: drain(SOON))
        while not draining():
            time.sleep(0.001)
        reports.append(report)
        single(done).submit(Step.START).result(0)
        split([done]).orchestrate(Step.START)
        return Step.DONE

    reports: list[Future[DrainReport]] = []
    with inline():
        assert single(outer).submit(Step.START).result(0) is Step.DONE
        assert reports[0].result(SOON).finished == 3
        with pytest.raises(DrainingError):
            single(done).submit(Step.START)


# What is cancelled, and what is named.


def test_what_is_left_at_the_end_of_the_grace_is_cancelled() -> None:
    on_caller, offloaded, in_split = Listening(), Listening(), Listening()
    runs = [
        single(on_caller).submit(Step.START),
        single(offloaded).with_timeout(SOON).submit(Step.START),
        split([in_split]).submit(Step.START),
    ]
    for task in (on_caller, offloaded, in_split):
        assert task.begun.wait(SOON)
    report = drain(0)
    assert (report.finished, report.cancelled, report.abandoned) == (0, 3, ())
    for run in runs:
        with pytest.raises(WorkflowCancelledError, match="the process is ending") as caught:
            run.result(SOON)
        assert caught.value.reason == "the process is ending"


def test_what_does_not_listen_is_named(gate: threading.Event) -> None:
    plain, limited, branch, attempt, staying = (Deaf(gate) for _ in range(5))
    branches = [Listening(), branch, done]
    config = TaskConfig().with_attempt_timeout(SOON)
    workflows = {
        "plain": single(plain),
        "limited": single(limited).with_timeout(SOON),
        "branch": split(branches),
        "attempt": single(attempt, config),
        "staying": single(staying).with_timeout(SOON, stay=True),
    }
    for workflow in workflows.values():
        workflow.submit(Step.START)
    for task in (plain, limited, branch, attempt, staying):
        assert task.begun.wait(SOON)
    began = time.monotonic()
    report = drain(0.05)
    took = time.monotonic() - began
    assert 0.05 <= took < 0.05 + AT_MOST + MARGIN
    assert (report.finished, report.cancelled, len(report.abandoned)) == (0, 0, 5)
    assert report.total == 5
    seen = Counter((task.state, task.index) for run in report.abandoned for task in run.tasks)
    assert seen == {(Step.START, None): 4, (Step.START, 1): 1}
    assert len({run.run_id for run in report.abandoned}) == 5
    for run in report.abandoned:
        assert run.state is Step.START
        assert 0.05 <= run.seconds < SOON
        assert all(0 < task.seconds < SOON for task in run.tasks)
    text = str(report)
    assert "of 5 runs, 0 finished, 0 cancelled, 5 abandoned" in text
    assert "state Step.START: branch 1, task 'Deaf' has been running for" in text


def test_of_an_observed_run_the_same_is_named(gate: threading.Event) -> None:
    class Watching(Observer):
        def task_started(self, **facts: Any) -> None:
            pass

    first, second = Deaf(gate), Deaf(gate)
    config = TaskConfig().with_attempt_timeout(SOON)
    split([done, first]).with_observer(Watching()).submit(Step.START)
    single(second, config).with_observer(Watching()).with_timeout(SOON).submit(Step.START)
    for task in (first, second):
        assert task.begun.wait(SOON)
    report = drain(0)
    indexes = [task.index for run in report.abandoned for task in run.tasks]
    assert sorted(indexes, key=str) == [1, None]


def test_a_nested_run_is_named_by_itself(gate: threading.Event) -> None:
    task = Deaf(gate)
    inner = single(task)
    outer = single(lambda: inner.orchestrate(Step.START))
    outer.submit(Step.START)
    assert task.begun.wait(SOON)
    report = drain(0)
    assert [run.tasks[0].task for run in report.abandoned] == ["<lambda>", "Deaf"]


def test_a_listing_that_does_not_listen_is_named(gate: threading.Event) -> None:
    begun = threading.Event()

    def listing() -> list[Any]:
        begun.set()
        gate.wait(SOON)
        return []

    split(listing).submit(Step.START)
    assert begun.wait(SOON)
    (run,) = drain(0).abandoned
    assert run.tasks[0].task == "listing"


def test_a_cancelled_run_whose_task_comes_back_in_time_is_not_abandoned() -> None:
    """Its caller does not wait for the thread, but the drain does, a moment."""
    begun, release = threading.Event(), threading.Event()

    def slow(store: Any, cancel: CancellationToken) -> Step:
        begun.set()
        with cancel.on_cancel(release.set):
            release.wait(SOON)
        return Step.DONE

    run = single(slow).with_timeout(SOON).submit(Step.START)
    assert begun.wait(SOON)
    report = drain(0)
    assert (report.cancelled, report.abandoned) == (1, ())
    assert isinstance(run.exception(SOON), WorkflowCancelledError)


def test_a_task_left_behind_before_does_not_make_its_run_abandoned(
    gate: threading.Event, eventually: Eventually
) -> None:
    """The run has gone on without a branch, and comes to its own end."""
    late, last = Deaf(gate), Deaf(threading.Event())
    workflow = (
        Workflow()
        .register_split(Step.START, [done, late], JoinConfig(JoinStrategy.ANY, Step.WORK))
        .register(Step.WORK, last)
        .add_exit_state(Step.DONE)
    )
    run = workflow.submit(Step.START)
    assert last.begun.wait(SOON)
    report = in_background(lambda: drain(SOON))
    eventually(draining)
    last.gate.set()
    assert report.result(SOON).finished == 1
    assert run.result(SOON) is Step.DONE


def test_a_submitted_run_without_a_thread_is_cancelled(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool is full: the run waits in its queue, and never begins."""
    small = cano_sync._engine.pool.Pool(1, "small")
    monkeypatch.setattr(cano_sync._engine.run, "process_pool", lambda depth: small)
    task = Deaf(gate)
    single(task).submit(Step.START)
    assert task.begun.wait(SOON)
    waiting = single(done).submit(Step.START)
    given_up = single(done).submit(Step.START)
    assert given_up.cancel()
    report = drain(0)
    assert (report.finished, report.cancelled, len(report.abandoned)) == (0, 2, 1)
    assert waiting.cancelled()
    gate.set()
    small.shutdown()


def test_a_future_that_is_cancelled_before_it_begins_is_no_run_any_more(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = cano_sync._engine.pool.Pool(1, "small")
    monkeypatch.setattr(cano_sync._engine.run, "process_pool", lambda depth: small)
    task = Deaf(gate)
    single(task).submit(Step.START)
    assert task.begun.wait(SOON)
    assert single(done).submit(Step.START).cancel()
    gate.set()
    small.shutdown()
    assert engine.running == {}


# Races, by gates.


class Stopping(dict[Any, float]):
    """A registry in which a run stops just after, or just before, it is registered."""

    def __init__(self) -> None:
        super().__init__()
        self.at, self.go = threading.Event(), threading.Event()

    def __setitem__(self, run: Any, began: float) -> None:
        super().__setitem__(run, began)
        self.at.set()
        assert self.go.wait(SOON)


def test_a_run_that_is_registered_and_has_not_looked_yet_is_found(
    monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    """The drain begins between the two steps: the run is there, so it may go on."""
    registry = Stopping()
    monkeypatch.setattr(engine, "running", registry)
    monkeypatch.setattr(cano_sync._engine.run, "running", registry)
    run = in_background(lambda: single(done).orchestrate(Step.START))
    assert registry.at.wait(SOON)
    report = in_background(lambda: drain(SOON))
    eventually(draining)
    assert not report.done()
    registry.go.set()
    assert run.result(SOON) is Step.DONE
    assert report.result(SOON).finished == 1


def test_a_run_that_comes_while_the_runs_are_looked_up_waits_for_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is registered after the look, and so it looks after the drain has begun: it is refused."""
    at, go = threading.Event(), threading.Event()

    class Slow(dict[Any, float]):
        def copy(self) -> Any:
            found = super().copy()
            at.set()
            assert go.wait(SOON)
            return found

    registry = Slow()
    monkeypatch.setattr(engine, "running", registry)
    monkeypatch.setattr(cano_sync._engine.run, "running", registry)
    report = in_background(drain)
    assert at.wait(SOON)
    run = in_background(lambda: single(done).orchestrate(Step.START))
    while not registry:
        time.sleep(0.001)
    go.set()
    with pytest.raises(DrainingError):
        run.result(SOON)
    assert report.result(SOON).total == 0
    assert registry == {}


@pytest.mark.parametrize("limit", [None, SOON], ids=["here", "offloaded"])
def test_a_run_whose_token_comes_late_is_cancelled_all_the_same(
    monkeypatch: pytest.MonkeyPatch, limit: float | None
) -> None:
    """The drain has cancelled what had a token; this run makes its own only now."""
    registry = Stopping()
    monkeypatch.setattr(engine, "running", registry)
    monkeypatch.setattr(cano_sync._engine.run, "running", registry)
    begun: list[int] = []
    workflow = single(lambda: begun.append(1)).with_timeout(limit)
    run = in_background(lambda: workflow.orchestrate(Step.START))
    assert registry.at.wait(SOON)
    report = drain(0)
    registry.go.set()
    with pytest.raises(WorkflowCancelledError, match="the process is ending"):
        run.result(SOON)
    assert begun == []
    (abandoned,) = report.abandoned  # it had not come to its end by then
    assert abandoned.state is Step.START


# Who calls it.


def test_a_second_drain_waits_for_the_first_and_has_its_report(
    gate: threading.Event, eventually: Eventually
) -> None:
    task = Deaf(gate)
    single(task).submit(Step.START)
    assert task.begun.wait(SOON)
    first = in_background(lambda: drain(SOON))
    eventually(draining)
    second = in_background(lambda: drain(2 * SOON))
    gate.set()
    assert second.result(SOON) is first.result(SOON)
    assert drain() is first.result()


def test_the_shorter_grace_of_two_counts(gate: threading.Event, eventually: Eventually) -> None:
    task = Deaf(gate)
    single(task).submit(Step.START)
    assert task.begun.wait(SOON)
    first = in_background(lambda: drain(10 * SOON))
    eventually(draining)
    report = drain(0)
    assert len(report.abandoned) == 1
    assert first.result(SOON) is report


def test_it_is_refused_within_a_task() -> None:
    refused: list[str] = []

    def draining_task() -> Step:
        with pytest.raises(ConfigurationError) as caught:
            drain()
        refused.append(str(caught.value))
        return Step.DONE

    single(draining_task).orchestrate(Step.START)
    single(draining_task).with_timeout(SOON).orchestrate(Step.START)
    split([draining_task]).orchestrate(Step.START)
    nested = single(draining_task)
    single(lambda: nested.orchestrate(Step.START)).orchestrate(Step.START)
    assert len(refused) == 4
    assert all("drain() waits for all runs to end" in text for text in refused)
    assert not draining()


@pytest.mark.parametrize("grace", [-1, float("inf"), "soon", None])
def test_a_grace_is_a_duration(grace: Any) -> None:
    with pytest.raises(ConfigurationError, match="drain\\(\\)'s grace must be"):
        drain(grace)
    assert not draining()


def test_ctrl_c_in_a_drain_leaves_it_to_others(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for the report may go; the next one who calls sees it through."""
    task = Deaf(gate)
    single(task).submit(Step.START)
    assert task.begun.wait(SOON)

    def interrupted(self: Any, end: float | None) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(engine.Drain, "_wait_until_ended", interrupted)
        with pytest.raises(KeyboardInterrupt):
            drain(0)
    assert draining()
    assert len(drain(0).abandoned) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_is_not_draining(gate: threading.Event) -> None:
    task = Deaf(gate)
    single(task).submit(Step.START)
    assert task.begun.wait(SOON)
    drain(0)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            fine = not draining() and not engine.running
            fine = fine and single(done).orchestrate(Step.START) is Step.DONE
            code = 0 if fine and drain(0).total == 0 and draining() else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert draining()


# Reports and errors as values.


def test_a_report_and_its_error_survive_pickling(gate: threading.Event) -> None:
    task = Deaf(gate)
    single(task).submit(Step.START)
    assert task.begun.wait(SOON)
    report = drain(0)
    assert pickle.loads(pickle.dumps(report)) == report
    with pytest.raises(DrainingError) as caught:
        single(done).orchestrate(Step.START)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_long_list_of_abandoned_runs_is_cut() -> None:
    runs = tuple(cano_sync.AbandonedRun(f"{n}", Step.WORK, 1.0, ()) for n in range(25))
    text = str(DrainReport(0, 0, runs, 1.0))
    assert "run 19: state Step.WORK, running for 1 s" in text
    assert "run 20" not in text
    assert text.endswith("and 5 more")


# Schedulers.


def test_schedulers_stop_and_none_is_started(gate: threading.Event) -> None:
    begun = threading.Event()

    def sweep() -> Step:
        begun.set()
        return Step.DONE

    scheduler = Scheduler()
    scheduler.every_seconds("sweep", single(sweep), Step.START, 0.01)
    with scheduler.start_in_background() as background:
        assert begun.wait(SOON)
        drain(SOON)
        with pytest.raises(ConfigurationError, match="has been stopped"):
            scheduler.trigger("sweep")
        background._thread.join(SOON)
        assert not background._thread.is_alive()
    late = Scheduler()
    with pytest.raises(DrainingError, match="start_in_background\\(\\): the process is ending"):
        late.start_in_background()
    assert engine._stops == {}


def test_a_deaf_flow_does_not_keep_its_scheduler(gate: threading.Event) -> None:
    task = Deaf(gate)
    scheduler = Scheduler()
    scheduler.manual("deaf", single(task), Step.START)
    with scheduler.start_in_background() as background:
        future = scheduler.trigger("deaf")
        assert task.begun.wait(SOON)
        report = drain(0.01)
        background._thread.join(SOON)
        assert not background._thread.is_alive()
    assert [run.tasks[0].task for run in report.abandoned] == ["Deaf"]
    assert isinstance(future.exception(SOON), WorkflowCancelledError)


def test_what_stops_with_the_drain_is_kept_weakly(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[tuple[str, float]] = []

    class Stoppable:
        def __init__(self, name: str) -> None:
            self.name = name

        def stop(self, grace: float) -> None:
            calls.append((self.name, grace))
            if self.name == "failing":
                raise RuntimeError("it broke")

    kept, failing, gone, removed = (
        Stoppable(name) for name in ("kept", "failing", "gone", "removed")
    )
    for each in (failing, gone, kept):
        stop_with_drain(each.stop)
    stop_with_drain(removed.stop)()
    del gone, each
    drain(3)
    assert calls == [("failing", 3.0), ("kept", 3.0)]
    assert "it broke" in caplog.text
    stop_with_drain(removed.stop)  # too late to be left out
    assert calls[2:] == [("removed", 0.0)]


# All of it at once.


class Ledger(dict[Any, float]):
    """A registry that notes who was there when the drain began, and who had gone before."""

    def __init__(self) -> None:
        super().__init__()
        self.there: set[str] | None = None
        self.gone_before: set[str] = set()

    def copy(self) -> Any:
        found = super().copy()
        self.there = {run.id for run in found}
        return found

    def pop(self, run: Any, default: Any = None) -> Any:
        if self.there is None:  # it may still be found there: that goes before this
            self.gone_before.add(run.id)
        return super().pop(run, default)


class Counting(Observer):
    """Notes which runs have begun, and how they ended."""

    def __init__(self) -> None:
        self.begun: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.cancelled: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.finished: queue.SimpleQueue[str] = queue.SimpleQueue()

    def run_started(self, *, run_id: str, **facts: Any) -> None:
        self.begun.put(run_id)

    def run_finished(self, *, run_id: str, error: BaseException | None, **facts: Any) -> None:
        is_cancelled = isinstance(error, Cancelled | WorkflowCancelledError)
        (self.cancelled if is_cancelled else self.finished).put(run_id)


def drained(noted: queue.SimpleQueue[str]) -> list[str]:
    """All that is in the queue."""
    return [noted.get() for _ in range(noted.qsize())]


def pausing(seconds: float) -> Callable[..., Step]:
    """A task that takes so long, and listens."""

    def task(store: Any, cancel: CancellationToken) -> Step:
        cancel.sleep(seconds)
        return Step.DONE

    return task


@pytest.mark.parametrize("seed", range(8))
def test_every_run_is_accounted_for_once(
    seed: int, gate: threading.Event, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    """Runs of all kinds begin on six threads while, at a random moment, a drain begins."""
    rng = random.Random(seed)
    registry, counting = Ledger(), Counting()
    monkeypatch.setattr(engine, "running", registry)
    monkeypatch.setattr(cano_sync._engine.run, "running", registry)
    inner = single(pausing(0.002)).with_observer(counting)

    def nesting(store: Any) -> Step:
        inner.orchestrate(Step.START)
        inner.submit(Step.START)
        return Step.DONE

    bare = [
        single(pausing(0.003)),
        single(pausing(SOON)),
        single(pausing(0.002)).with_timeout(SOON),
        single(pausing(SOON)).with_timeout(SOON),
        split([pausing(0.001), pausing(0.004)]),
        split([pausing(0.001), lambda: gate.wait(SOON)]),
        single(nesting),
        single(pausing(SOON)).with_timeout(0.004),
    ]
    workflows = [workflow.with_observer(counting) for workflow in bare]
    for workflow in [inner, *workflows]:
        workflow.validate()

    def client(rng: random.Random) -> None:
        while True:
            workflow = rng.choice(workflows)
            try:
                if rng.random() < 0.3:
                    workflow.submit(Step.START)
                else:
                    workflow.orchestrate(Step.START)
            except DrainingError:
                return
            except cano_sync.CanoError:
                pass

    with ThreadPoolExecutor(6) as clients:
        for _ in range(6):
            clients.submit(client, random.Random(rng.random()))
        time.sleep(rng.uniform(0.0, 0.1))  # the random moment
        report = drain(0.05)
        gate.set()
    eventually(lambda: not registry)
    begun = drained(counting.begun)
    assert len(begun) == len(set(begun))
    assert registry.there is not None
    of_drain = registry.there | (set(begun) - registry.gone_before)
    abandoned = {run.run_id for run in report.abandoned}
    assert len(abandoned) == len(report.abandoned)
    assert abandoned <= of_drain
    rest = of_drain - abandoned
    assert report.finished == len(rest & set(drained(counting.finished)))
    assert report.cancelled == len(rest & set(drained(counting.cancelled)))
    assert report.total == len(of_drain)
    assert report.seconds < 0.05 + AT_MOST + MARGIN
