"""Starting and stopping: gracefully, after a time limit, and with tasks that do not listen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from cano_sync import (
    CancellationToken,
    Cancelled,
    ConfigurationError,
    JoinConfig,
    JoinStrategy,
    MemoryStore,
    Store,
    Workflow,
    WorkflowCancelledError,
    abandoned_tasks,
)
from cano_sync.scheduler import Backoff, FlowState, Scheduler, SystemClock
from cano_sync.scheduler.clock import Alarm, Mailbox
from cano_sync.testing import HandClock, start_by_hand
from tests.scheduler.conftest import Held, one

Eventually = Callable[[Callable[[], bool]], None]
DONE = one(lambda: "DONE")


def threads() -> set[str]:
    """The names of the scheduler's threads that there are."""
    names = {thread.name for thread in threading.enumerate()}
    return {name for name in names if name.startswith(("cano-clock", "cano-flow"))}


@pytest.fixture
def real() -> Scheduler:
    """A scheduler that lives by the system's clock."""
    return Scheduler()


class Deaf:
    """A task that does not listen until the gate opens; then it would write into the store."""

    def __init__(self, gate: threading.Event) -> None:
        self.began = threading.Event()
        self.written: list[bool] = []
        self._gate = gate

    def __call__(self, store: Store) -> str:
        self.began.set()
        self._gate.wait(20)
        try:
            store.put("late", 1)
        except Cancelled:
            self.written.append(False)
            raise
        self.written.append(True)
        return "DONE"


# Graceful.


def test_stop_lets_running_flows_end_and_starts_no_new_ones(real: Scheduler, held: Held) -> None:
    real.manual("flow", one(held), "GO")
    real.every("often", DONE, "GO", 0.001)
    with real.start_in_background():
        future = real.trigger("flow")
        held.wait()
        real.stop()
        runs = real.status("often").runs
        assert real.status("flow").state is FlowState.RUNNING
        held.release()
    assert future.result(0) == "DONE"
    assert real.status("often").runs == runs
    assert [status.state for status in real.list()] == [FlowState.STOPPED] * 2


def test_stop_returns_at_once(real: Scheduler, held: Held) -> None:
    real.manual("flow", one(held), "GO")
    with real.start_in_background():
        future = real.trigger("flow")
        real.stop()
        assert not future.done()
        held.release()


def test_start_blocks_until_somebody_stops_it_and_all_has_ended(
    real: Scheduler, held: Held
) -> None:
    real.every("flow", one(held), "GO", 0.001)

    def stop() -> None:
        held.wait()
        real.stop()
        held.release()

    stopper = threading.Thread(target=stop)
    stopper.start()
    real.start()
    stopper.join()
    assert real.status("flow").runs == 1
    assert real.status("flow").last_result == "DONE"


def test_a_flow_may_stop_its_scheduler(real: Scheduler) -> None:
    def stop() -> str:
        real.stop()
        return "DONE"

    real.every("flow", one(stop), "GO", 0.001)
    real.start()
    assert (real.status("flow").runs, real.status("flow").last_result) == (1, "DONE")


def test_start_runs_on_any_thread(real: Scheduler) -> None:
    real.every("flow", one(lambda: real.stop() or "DONE"), "GO", 0.001)
    thread = threading.Thread(target=real.start)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


def test_stop_without_a_limit_waits_for_a_run_that_a_removed_flow_began(
    real: Scheduler, held: Held
) -> None:
    real.manual("flow", one(held), "GO")
    with real.start_in_background():
        future = real.trigger("flow")
        real.remove("flow")
        real.stop()
        held.release()
    assert future.result(0) == "DONE"


def test_no_thread_of_its_own_is_left(real: Scheduler) -> None:
    before = threads()
    real.manual("flow", DONE, "GO")
    with real.start_in_background():
        real.trigger("flow").result(20)
        assert threads() > before
    assert threads() == before


def test_leaving_the_block_with_an_error_stops_it_too(real: Scheduler) -> None:
    with pytest.raises(OSError, match="elsewhere"), real.start_in_background():
        raise OSError("elsewhere")
    with pytest.raises(ConfigurationError, match="has been stopped"):
        real.start()


def test_close_is_leaving_the_block_and_may_come_twice(real: Scheduler) -> None:
    background = real.start_in_background()
    background.close()
    background.close()


# With a limit.


def test_after_the_limit_running_flows_are_cancelled(real: Scheduler, held: Held) -> None:
    real.manual("flow", one(held), "GO", backoff=Backoff(1, trip_after=1))
    with real.start_in_background():
        future = real.trigger("flow")
        held.wait()
        real.stop(0.01)
    with pytest.raises(WorkflowCancelledError, match=r"flow 'flow': .* the scheduler was stopped"):
        future.result(0)
    status = real.status("flow")
    assert (status.failures, status.last_error) == (0, future.exception(0))


def test_a_deaf_task_is_abandoned_counted_and_kept_out_of_its_store(
    real: Scheduler, gate: threading.Event, eventually: Eventually
) -> None:
    task, store = Deaf(gate), MemoryStore()
    real.manual("flow", one(task), "GO", store=store)
    with real.start_in_background():
        future = real.trigger("flow")
        assert task.began.wait(20)
        real.stop(0.01)
    assert isinstance(future.exception(0), WorkflowCancelledError)
    assert abandoned_tasks() == 1
    gate.set()
    eventually(lambda: abandoned_tasks() == 0)
    assert task.written == [False]
    assert store.snapshot() == {}
    assert threads() == set()


def test_so_are_the_deaf_branches_of_a_split(
    real: Scheduler, gate: threading.Event, eventually: Eventually
) -> None:
    began = threading.Barrier(4)

    def branch() -> None:
        began.wait(20)
        gate.wait(20)

    join = JoinConfig(JoinStrategy.ALL, "DONE")
    split = Workflow().register_split("GO", [branch] * 3, join).add_exit_state("DONE")
    real.manual("flow", split, "GO")
    with real.start_in_background():
        future = real.trigger("flow")
        began.wait(20)
        real.stop(0)
    assert isinstance(future.exception(0), WorkflowCancelledError)
    eventually(lambda: abandoned_tasks() == 3)  # by the thread of the split, once it is woken
    gate.set()


def test_and_a_deaf_run_of_a_workflow_with_a_time_limit(
    real: Scheduler, gate: threading.Event
) -> None:
    task = Deaf(gate)
    real.manual("flow", one(task).with_timeout(60), "GO")
    with real.start_in_background():
        future = real.trigger("flow")
        assert task.began.wait(20)
        real.stop(0)
    assert isinstance(future.exception(0), WorkflowCancelledError)
    gate.set()


def test_hundreds_of_deaf_tasks_end_at_once(real: Scheduler, gate: threading.Event) -> None:
    tasks = [Deaf(gate) for _ in range(300)]
    for number, task in enumerate(tasks):
        real.manual(f"flow {number}", one(task), "GO")
    with real.start_in_background():
        futures = [real.trigger(f"flow {number}") for number in range(300)]
        for task in tasks:
            assert task.began.wait(20)
        real.stop(0)
    assert all(isinstance(each.exception(0), WorkflowCancelledError) for each in futures)
    assert abandoned_tasks() == 300
    gate.set()


def test_a_later_stop_can_make_it_earlier_but_not_later(real: Scheduler, held: Held) -> None:
    real.manual("flow", one(held), "GO")
    with real.start_in_background():
        future = real.trigger("flow")
        held.wait()
        real.stop()
        real.stop(3600)
        real.stop(0.01)
        real.stop(3600)
    assert isinstance(future.exception(0), WorkflowCancelledError)


def test_the_limit_of_the_block_counts_from_its_end(real: Scheduler, held: Held) -> None:
    real.manual("flow", one(held), "GO")
    with real.start_in_background(stop_timeout=0.01):
        future = real.trigger("flow")
        held.wait()
    assert isinstance(future.exception(0), WorkflowCancelledError)


def test_what_ends_within_the_limit_is_not_cancelled(real: Scheduler, held: Held) -> None:
    real.manual("flow", one(held), "GO")
    with real.start_in_background():
        future = real.trigger("flow")
        real.stop(600)
        held.release()
    assert future.result(0) == "DONE"


def test_the_callbacks_of_a_cancelled_run_are_called(real: Scheduler) -> None:
    called, began = threading.Event(), threading.Event()

    def task(store: Store, cancel: CancellationToken) -> str:
        with cancel.on_cancel(called.set):
            began.set()
            assert called.wait(20)
        cancel.check()
        return "DONE"

    real.manual("flow", one(task), "GO")
    with real.start_in_background():
        real.trigger("flow")
        assert began.wait(20)
        real.stop(0)
    assert called.is_set()


@pytest.mark.parametrize("timeout", [-1, "1 s", True, float("nan")])
def test_a_limit_that_is_none_is_refused_and_nothing_stops(
    timeout: Any, scheduler: Scheduler
) -> None:
    scheduler.manual("flow", DONE, "GO")
    for call in (
        lambda: scheduler.stop(timeout),
        lambda: scheduler.start(stop_timeout=timeout),
        lambda: scheduler.start_in_background(stop_timeout=timeout),
    ):
        with pytest.raises(ConfigurationError, match=r"leave it out \(None\) for no limit$"):
            call()
    with scheduler.start_in_background():
        assert scheduler.trigger("flow").result(20) == "DONE"


# Starting twice, or too late.


def test_it_is_started_once(scheduler: Scheduler) -> None:
    with scheduler.start_in_background():
        for call in (Scheduler.start, Scheduler.start_in_background, start_by_hand):
            with pytest.raises(ConfigurationError, match=r"runs already.*make another"):
                call(scheduler)
    with pytest.raises(ConfigurationError, match=r"has been stopped.*make another"):
        scheduler.start()


def test_a_stop_before_the_start_ends_it_at_once(real: Scheduler) -> None:
    """As when the signal comes while the program still gets ready."""
    real.every("flow", DONE, "GO", 0.001)
    real.stop()
    real.start()
    assert real.status("flow").runs == 0


def test_by_hand_it_needs_a_clock_that_is_moved_by_hand(real: Scheduler) -> None:
    with pytest.raises(ConfigurationError, match=r"Scheduler\(clock=HandClock\(\)\)"):
        start_by_hand(real)
    with real.start_in_background():  # nothing has happened
        pass


def test_by_hand_the_end_of_the_block_waits_for_what_runs(held: Held) -> None:
    scheduler = Scheduler(clock=HandClock())
    scheduler.manual("flow", one(held), "GO")
    with start_by_hand(scheduler):
        future = scheduler.trigger("flow")
        held.wait()
        threading.Timer(0.01, held.release).start()
    assert future.result(0) == "DONE"


# What must not happen, and what becomes of the runs when it does.


class BrokenClock(SystemClock):
    """A user's own clock, which fails once the test has broken it."""

    is_broken = False

    def __init__(self) -> None:
        super().__init__()
        self.has_failed = threading.Event()

    def wait(self, mailbox: Mailbox, alarm: Alarm) -> None:
        super().wait(mailbox, alarm)
        if self.is_broken:
            self.has_failed.set()
            raise OSError("no clock")


def test_a_clock_that_fails_ends_the_scheduler_with_its_error_and_no_run_is_forgotten(
    held: Held,
) -> None:
    clock = BrokenClock()
    scheduler = Scheduler(clock=clock)
    scheduler.manual("flow", one(held), "GO")

    def run() -> None:
        held.wait()
        clock.is_broken = True
        scheduler.every("other", DONE, "GO", 0.001)

    def begin() -> str:
        scheduler.trigger("flow")
        run()
        return "DONE"

    scheduler.every("begin", one(begin), "GO", 0.001)
    with pytest.raises(OSError, match="no clock"):
        scheduler.start()
    assert isinstance(scheduler.status("flow").last_error, WorkflowCancelledError)
    with pytest.raises(ConfigurationError, match="has been stopped"):
        scheduler.trigger("flow")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_in_the_background_the_end_of_the_block_raises_it() -> None:
    clock = BrokenClock()
    clock.is_broken = True
    scheduler = Scheduler(clock=clock)
    scheduler.every("flow", DONE, "GO", 0.001)
    with pytest.raises(OSError, match="no clock"), scheduler.start_in_background():
        assert clock.has_failed.wait(20)  # else the block might end before the clock is asked
