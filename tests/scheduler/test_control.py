"""Looking at flows and steering them: trigger, status, pause, resume, reset, remove."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import schedule

from cano_sync import (
    CancellationToken,
    ConfigurationError,
    JoinConfig,
    JoinStrategy,
    MemoryStore,
    TaskExecutionError,
    Workflow,
    WorkflowCancelledError,
)
from cano_sync.scheduler import Backoff, FlowState, FlowStatus, Scheduler
from cano_sync.testing import HandClock, start_by_hand
from tests.observing import Notes
from tests.scheduler.conftest import START, Fails, Held, Journal, one

DONE = one(lambda: "DONE")


# Trigger.


def test_trigger_runs_a_flow_now_and_gives_the_future_of_its_final_state(
    scheduler: Scheduler,
) -> None:
    scheduler.manual("flow", DONE, "GO")
    with scheduler.start_in_background():
        assert scheduler.trigger("flow").result(20) == "DONE"
        assert scheduler.status("flow").runs == 1


def test_the_future_has_the_error_of_a_run_that_failed(scheduler: Scheduler) -> None:
    scheduler.manual("flow", one(Fails()), "GO")
    with scheduler.start_in_background():
        with pytest.raises(TaskExecutionError) as caught:
            scheduler.trigger("flow").result(20)
        assert isinstance(caught.value.__cause__, OSError)
        assert scheduler.status("flow").last_error is caught.value


def test_a_run_that_has_begun_is_not_cancelled_by_its_future(
    scheduler: Scheduler, held: Held
) -> None:
    scheduler.manual("flow", one(held), "GO")
    with scheduler.start_in_background():
        future = scheduler.trigger("flow")
        assert future.running()
        assert not future.cancel()
        held.release()
        assert future.result(20) == "DONE"


def test_trigger_before_the_start_is_an_error_that_says_so(scheduler: Scheduler) -> None:
    scheduler.manual("flow", DONE, "GO")
    with pytest.raises(ConfigurationError, match=r"not started; call start\(\), .* start_by_hand"):
        scheduler.trigger("flow")
    assert scheduler.status("flow").runs == 0


def test_trigger_after_the_end_is_an_error(scheduler: Scheduler) -> None:
    scheduler.manual("flow", DONE, "GO")
    with scheduler.start_in_background():
        pass
    with pytest.raises(ConfigurationError, match="has been stopped"):
        scheduler.trigger("flow")


def test_trigger_from_the_moment_of_stop_is_an_error(scheduler: Scheduler, held: Held) -> None:
    scheduler.manual("flow", DONE, "GO")
    scheduler.manual("held", one(held), "GO")
    with scheduler.start_in_background():
        scheduler.trigger("held")
        scheduler.stop()
        with pytest.raises(ConfigurationError, match="has been stopped"):
            scheduler.trigger("flow")
        held.release()


def test_a_flow_that_is_running_cannot_be_triggered(scheduler: Scheduler, held: Held) -> None:
    scheduler.manual("flow", one(held), "GO")
    with scheduler.start_in_background():
        future = scheduler.trigger("flow")
        with pytest.raises(ConfigurationError, match="it is running; wait for its end"):
            scheduler.trigger("flow")
        held.release()
        future.result(20)
        held.release()
        assert scheduler.trigger("flow").result(20) == "DONE"


@pytest.mark.parametrize("call", ["trigger", "status", "pause", "resume", "reset", "remove"])
def test_an_unknown_id_is_an_error_that_names_the_known_ones(
    call: str, scheduler: Scheduler
) -> None:
    scheduler.manual("b", DONE, "GO")
    scheduler.manual("a", DONE, "GO")
    with pytest.raises(ConfigurationError, match="no flow 'c'; there are 'a', 'b'"):
        getattr(scheduler, call)("c")


@pytest.mark.parametrize("others", [0, 1000])
def test_an_id_with_a_slip_of_the_pen_is_understood(others: int, scheduler: Scheduler) -> None:
    scheduler.manual("reindex", DONE, "GO")
    for number in range(others):
        scheduler.manual(f"{number:04}", DONE, "GO")
    with pytest.raises(ConfigurationError, match=r"no flow 'rendex'; did you mean 'reindex'\?$"):
        scheduler.status("rendex")


def test_of_many_known_ones_only_some_are_named(scheduler: Scheduler) -> None:
    for number in range(1000):
        scheduler.manual(f"{number:04}", DONE, "GO")
    with pytest.raises(ConfigurationError, match="'0009' and 990 more"):
        scheduler.status("nobody")


def test_a_run_by_hand_leaves_the_timetable_as_it_is(
    scheduler: Scheduler, journal: Journal
) -> None:
    scheduler.every("flow", one(journal), "GO", 10)
    with start_by_hand(scheduler) as time:
        time.advance(9)
        scheduler.trigger("flow").result(20)
        time.advance(11)
    assert journal.times == [9, 10, 20]


def test_a_flow_may_trigger_another_and_wait_for_it(scheduler: Scheduler) -> None:
    def ask() -> str:
        return scheduler.trigger("inner").result(20)

    join = JoinConfig(JoinStrategy.ALL, "DONE")
    split = Workflow().register_split("GO", [lambda: 1] * 3, join).add_exit_state("DONE")
    scheduler.manual("inner", split, "GO")
    scheduler.manual("outer", one(ask), "GO")
    with scheduler.start_in_background():
        assert scheduler.trigger("outer").result(20) == "DONE"


def test_a_run_that_a_task_triggers_stands_on_its_own(scheduler: Scheduler, held: Held) -> None:
    """The end of that task, by its cancellation, is not the run's; nor is its closed store."""
    scheduler.manual("inner", one(held), "GO", store=(store := MemoryStore()))
    token, futures = CancellationToken(), []

    def ask(cancel: CancellationToken) -> str:
        futures.append(scheduler.trigger("inner"))
        held.wait()
        token.cancel()
        cancel.check()
        return "DONE"

    with scheduler.start_in_background():
        with pytest.raises(WorkflowCancelledError):
            one(lambda store, cancel: ask(cancel)).orchestrate("GO", cancel=token, store=store)
        assert futures[0].running()
        held.release()
        assert futures[0].result(20) == "DONE"


def test_the_context_of_who_triggers_is_there_in_the_task(scheduler: Scheduler) -> None:
    name: ContextVar[str] = ContextVar("name", default="nobody")
    seen: list[str] = []
    scheduler.manual("flow", one(lambda: seen.append(name.get()) or "DONE"), "GO")
    with scheduler.start_in_background():
        scheduler.trigger("flow").result(20)
        name.set("Ada")
        scheduler.trigger("flow").result(20)
    assert seen == ["nobody", "Ada"]


def test_the_context_of_who_starts_is_there_in_what_is_due(clock: HandClock) -> None:
    scheduler = Scheduler()
    name: ContextVar[str] = ContextVar("name", default="nobody")
    name.set("Ada")
    seen, done = [], threading.Event()

    def look() -> str:
        seen.append(name.get())
        done.set()
        return "DONE"

    scheduler.every("flow", one(look), "GO", 0.001)
    with scheduler.start_in_background():
        assert done.wait(20)
    assert set(seen) == {"Ada"}


# Status.


def test_a_flow_that_has_never_run(scheduler: Scheduler) -> None:
    scheduler.every("flow", DONE, "GO", 10)
    assert scheduler.status("flow") == FlowStatus(
        id="flow",
        schedule="every 10 s",
        tags=frozenset(),
        state=FlowState.IDLE,
        runs=0,
        failures=0,
        skipped=0,
        last_start=None,
        last_duration=None,
        last_result=None,
        last_error=None,
        next_due=None,
    )


def test_a_status_says_how_the_last_run_was_and_when_the_next_is(
    clock: HandClock, scheduler: Scheduler, held: Held
) -> None:
    scheduler.every("flow", one(held), "GO", 10)
    with start_by_hand(scheduler) as time:
        assert scheduler.status("flow").next_due == START + timedelta(seconds=10)
        time.advance(10, settle=False)
        held.wait()
        running = scheduler.status("flow")
        assert (running.state, running.runs) == (FlowState.RUNNING, 1)
        assert (running.last_start, running.last_duration) == (START + timedelta(seconds=10), None)
        assert running.last_outcome is None
        clock.advance(3)
        held.release()
        time.settle(20)
        after = scheduler.status("flow")
        assert (after.state, after.last_duration, after.last_result) == (FlowState.IDLE, 3, "DONE")
        assert after.last_outcome == "succeeded"
        assert after.next_due == START + timedelta(seconds=20)
    assert scheduler.status("flow").state is FlowState.STOPPED
    assert scheduler.status("flow").next_due is None


def test_times_are_aware(scheduler: Scheduler) -> None:
    scheduler.cron("flow", DONE, "GO", "0 9 * * *", tz=UTC)
    with start_by_hand(scheduler) as time:
        time.advance(3600)
        status = scheduler.status("flow")
    assert status.last_start is not None and status.last_start.tzinfo is not None
    assert status.last_start == datetime(2026, 11, 25, 9, tzinfo=UTC)
    assert status.next_due == datetime(2026, 11, 26, 9, tzinfo=UTC)


def test_the_next_due_time_on_the_wall_clock_is_the_same_after_a_jump(
    clock: HandClock, scheduler: Scheduler
) -> None:
    scheduler.cron("by the wall", DONE, "GO", "0 9 * * *", tz=UTC)
    scheduler.every_minutes("interval", DONE, "GO", 1)
    with start_by_hand(scheduler):
        clock.jump(-600)
        assert scheduler.status("by the wall").next_due == datetime(2026, 11, 25, 9, tzinfo=UTC)
        assert scheduler.status("interval").next_due == clock.now + timedelta(minutes=1)


def test_a_success_clears_the_last_error_and_a_failure_the_last_result(
    scheduler: Scheduler,
) -> None:
    task = Fails()
    scheduler.every("flow", one(task), "GO", 10)
    with start_by_hand(scheduler) as time:
        time.advance(20)
        status = scheduler.status("flow")
        assert (status.failures, status.last_result) == (2, None)
        assert isinstance(status.last_error, TaskExecutionError)
        task.is_broken = False
        time.advance(10)
        status = scheduler.status("flow")
        assert (status.failures, status.last_result, status.last_error) == (0, "DONE", None)


def test_a_status_does_not_change_afterwards(scheduler: Scheduler) -> None:
    scheduler.every("flow", DONE, "GO", 10)
    with start_by_hand(scheduler) as time:
        before = scheduler.status("flow")
        time.advance(10)
        assert before.runs == 0
        with pytest.raises(AttributeError):
            before.runs = 1  # type: ignore[misc]


def test_list_has_all_flows_in_the_order_in_which_they_were_added(scheduler: Scheduler) -> None:
    for id in ("c", "a", "b"):
        scheduler.manual(id, DONE, "GO")
    assert [status.id for status in scheduler.list()] == ["c", "a", "b"]


def test_list_has_those_with_a_tag(scheduler: Scheduler) -> None:
    scheduler.at("a", DONE, "GO", schedule.every().day.at("09:00").tag("daily", "mail"))
    scheduler.at("b", DONE, "GO", schedule.every().hour)
    assert [status.id for status in scheduler.list("daily")] == ["a"]
    assert scheduler.status("a").tags == {"daily", "mail"}
    assert scheduler.list("weekly") == ()


def test_states_read_as_words() -> None:
    assert [str(state) for state in FlowState] == [
        "idle",
        "running",
        "backing off",
        "tripped",
        "paused",
        "stopped",
    ]


# Pause, resume, remove.


@pytest.mark.parametrize("catch_up", [False, True])
def test_a_paused_flow_leaves_its_times_out_and_goes_on_with_its_grid(
    catch_up: bool, scheduler: Scheduler, journal: Journal
) -> None:
    scheduler.every("flow", one(journal), "GO", 10, catch_up=catch_up)
    with start_by_hand(scheduler) as time:
        time.advance(10)
        scheduler.pause("flow")
        assert scheduler.status("flow").state is FlowState.PAUSED
        assert scheduler.status("flow").next_due is None
        time.advance(35)
        scheduler.resume("flow")
        assert scheduler.status("flow").next_due == START + timedelta(seconds=50)
        time.advance(15)
    assert journal.times == [10, 50, 60]


def test_a_paused_flow_can_be_run_by_hand(scheduler: Scheduler) -> None:
    scheduler.every("flow", DONE, "GO", 10)
    with start_by_hand(scheduler):
        scheduler.pause("flow")
        assert scheduler.trigger("flow").result(20) == "DONE"
        assert scheduler.status("flow").state is FlowState.PAUSED


def test_pausing_lets_a_run_that_is_under_way_end(scheduler: Scheduler, held: Held) -> None:
    scheduler.every("flow", one(held), "GO", 10)
    with start_by_hand(scheduler) as time:
        time.advance(10, settle=False)
        scheduler.pause("flow")
        assert scheduler.status("flow").state is FlowState.RUNNING
        held.release()
        time.settle(20)
        time.advance(30)
        status = scheduler.status("flow")
        assert (status.state, status.runs, status.last_result) == (FlowState.PAUSED, 1, "DONE")


def test_a_flow_can_be_paused_before_the_start(scheduler: Scheduler, journal: Journal) -> None:
    scheduler.every("flow", one(journal), "GO", 10)
    scheduler.pause("flow")
    with start_by_hand(scheduler) as time:
        time.advance(25)
        scheduler.resume("flow")
        time.advance(5)
    assert journal.times == [30]


def test_pausing_and_resuming_twice_changes_nothing(scheduler: Scheduler, journal: Journal) -> None:
    scheduler.every("flow", one(journal), "GO", 10)
    with start_by_hand(scheduler) as time:
        scheduler.resume("flow")
        scheduler.pause("flow")
        scheduler.pause("flow")
        scheduler.resume("flow")
        scheduler.resume("flow")
        time.advance(10)
    assert journal.times == [10]


def test_a_removed_flow_is_due_no_more_and_its_id_is_free(
    clock: HandClock, scheduler: Scheduler, journal: Journal
) -> None:
    scheduler.every("flow", one(journal), "GO", 10)
    with start_by_hand(scheduler) as time:
        time.advance(10)
        scheduler.remove("flow")
        time.advance(30)
        assert scheduler.list() == ()
        second = Journal(clock)
        scheduler.every("flow", one(second), "GO", 10)
        time.advance(10)
    assert (journal.times, second.times) == ([10], [50])


@pytest.mark.parametrize("catch_up", [False, True])
def test_removing_lets_a_run_that_is_under_way_end(
    catch_up: bool, scheduler: Scheduler, held: Held
) -> None:
    scheduler.every("flow", one(held), "GO", 10, catch_up=catch_up)
    with start_by_hand(scheduler) as time:
        future = scheduler.trigger("flow")
        time.advance(20, settle=False)
        scheduler.remove("flow")
        held.release()
        assert future.result(20) == "DONE"
        time.advance(100)
        assert held.began.acquire(timeout=20)
        assert not held.began.acquire(blocking=False)


def test_a_flow_can_be_added_while_the_scheduler_runs_and_wakes_it(scheduler: Scheduler) -> None:
    scheduler = Scheduler()
    done = threading.Event()
    with scheduler.start_in_background():
        scheduler.every_hours("later", DONE, "GO", 1)
        scheduler.every("now", one(lambda: done.set() or "DONE"), "GO", 0.01)
        assert done.wait(20)


def test_all_workflows_can_be_changed_from_the_next_run_on(scheduler: Scheduler) -> None:
    notes = Notes()
    scheduler.every("a", DONE, "GO", 10)
    scheduler.every("b", DONE, "GO", 10)
    with start_by_hand(scheduler) as time:
        time.advance(10)
        scheduler.update_workflows(lambda workflow: workflow.with_observer(notes))
        assert notes.all == []
        time.advance(10)
    assert notes.names("run_started", "run_finished").count("run_finished") == 2


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (lambda workflow: None, "flow 'a': None of type NoneType is no Workflow"),
        (
            lambda workflow: Workflow().register("ON", lambda: "DONE").add_exit_state("DONE"),
            "flow 'a': a run cannot begin in 'GO'",
        ),
    ],
)
def test_a_change_to_what_a_flow_cannot_run_changes_nothing(
    wrong: Any, problem: str, scheduler: Scheduler
) -> None:
    scheduler.manual("a", DONE, "GO")
    with pytest.raises(ConfigurationError, match=problem):
        scheduler.update_workflows(wrong)
    with start_by_hand(scheduler):
        assert scheduler.trigger("a").result(20) == "DONE"


def test_nothing_is_added_to_one_that_has_been_stopped(scheduler: Scheduler) -> None:
    scheduler.stop()
    with pytest.raises(ConfigurationError, match="has been stopped"):
        scheduler.manual("flow", DONE, "GO", backoff=Backoff(1))
