"""Flows that fail: nobody else notices; they wait longer, and at last trip."""

from __future__ import annotations

import sys
from datetime import timedelta, tzinfo
from enum import Enum, auto
from random import Random
from typing import Any

import pytest
import schedule

from cano_sync import (
    CancellationToken,
    ConfigurationError,
    Workflow,
    WorkflowError,
    WorkflowTimeoutError,
)
from cano_sync._engine.pool import Pool
from cano_sync.scheduler import Backoff, FlowState, Scheduler
from cano_sync.testing import HandClock, start_by_hand
from tests.scheduler.conftest import START, Fails, FlowNotes, Held, Journal, one


class Counts(Journal):
    """Notes when it runs, and fails as long as the test wants it."""

    is_broken = True

    def __call__(self) -> str:
        super().__call__()
        if self.is_broken:
            raise OSError("the disk is full")
        return "DONE"


@pytest.fixture
def counts(clock: HandClock) -> Counts:
    return Counts(clock)


def boom() -> str:
    raise OSError("the disk is full")


def leave() -> str:
    sys.exit(3)


def interrupt() -> str:
    raise KeyboardInterrupt


def endless() -> str:
    return endless()


@pytest.mark.parametrize("task", [boom, leave, interrupt, endless, lambda: "NOWHERE", lambda: None])
def test_a_failing_flow_never_stops_the_scheduler(
    task: object, scheduler: Scheduler, journal: Journal
) -> None:
    assert callable(task)
    scheduler.every("fails", one(task), "GO", 10)
    scheduler.every("runs", one(journal), "GO", 10)
    with start_by_hand(scheduler) as time:
        time.advance(50)
        assert scheduler.status("fails").failures == 5
        assert scheduler.status("fails").state is FlowState.IDLE
    assert journal.times == [10, 20, 30, 40, 50]


def test_a_workflow_that_is_over_its_time_has_failed(scheduler: Scheduler, held: Held) -> None:
    scheduler.manual("flow", one(held).with_timeout(0.01), "GO")
    with scheduler.start_in_background():
        with pytest.raises(WorkflowTimeoutError):
            scheduler.trigger("flow").result(20)
        assert scheduler.status("flow").failures == 1


def test_a_task_that_cancels_a_run_of_its_own_has_failed_too(scheduler: Scheduler) -> None:
    """Only what the scheduler itself has cancelled is no fault of the flow's."""

    def nested() -> str:
        token = CancellationToken()
        token.cancel()
        return one(lambda: "DONE").orchestrate("GO", cancel=token)

    scheduler.manual("flow", one(nested), "GO")
    with scheduler.start_in_background():
        assert scheduler.trigger("flow").exception(20) is not None
        assert scheduler.status("flow").failures == 1


# Backing off.


def test_without_a_policy_it_runs_on_time_however_often_it_fails(
    scheduler: Scheduler, counts: Counts
) -> None:
    scheduler.every("flow", one(counts), "GO", 10)
    with start_by_hand(scheduler) as time:
        time.advance(50)
    assert counts.times == [10, 20, 30, 40, 50]


def test_after_each_failure_it_waits_longer_and_then_runs_at_a_time_of_its_grid(
    scheduler: Scheduler, counts: Counts
) -> None:
    backoff = Backoff(15, cap=65, jitter=0)
    scheduler.every("flow", one(counts), "GO", 10, backoff=backoff)
    with start_by_hand(scheduler) as time:
        time.advance(300)
    #     10 + 15 -> 30; + 30 -> 60; + 60 -> 120; + 65, the cap, -> 190, 260
    assert counts.times == [10, 30, 60, 120, 190, 260]


def test_a_delay_that_ends_at_a_due_time_does_not_leave_that_out(
    scheduler: Scheduler, counts: Counts
) -> None:
    scheduler.every("flow", one(counts), "GO", 10, backoff=Backoff(20, multiplier=1, jitter=0))
    with start_by_hand(scheduler) as time:
        time.advance(70)
    assert counts.times == [10, 30, 50, 70]


def test_a_flow_that_seldom_runs_does_not_run_sooner(scheduler: Scheduler, counts: Counts) -> None:
    scheduler.every_hours("flow", one(counts), "GO", 1, backoff=Backoff(10))
    with start_by_hand(scheduler) as time:
        time.advance(7300)
    assert counts.times == [3600, 7200]


def test_while_it_backs_off_its_state_and_its_next_due_time_say_so(
    scheduler: Scheduler, counts: Counts
) -> None:
    scheduler.every("flow", one(counts), "GO", 10, backoff=Backoff(35, jitter=0))
    with start_by_hand(scheduler) as time:
        time.advance(10)
        status = scheduler.status("flow")
        assert (status.state, status.failures) == (FlowState.BACKING_OFF, 1)
        assert status.next_due == START + timedelta(seconds=50)
        time.advance(36)
        assert scheduler.status("flow").state is FlowState.IDLE
        assert scheduler.status("flow").failures == 1


def test_a_success_ends_it(scheduler: Scheduler, counts: Counts) -> None:
    scheduler.every("flow", one(counts), "GO", 10, backoff=Backoff(20, jitter=0))
    with start_by_hand(scheduler) as time:
        time.advance(30)
        assert scheduler.status("flow").failures == 2
        counts.is_broken = False
        time.advance(70)
        assert scheduler.status("flow").failures == 0
        counts.is_broken = True
        time.advance(40)
    #                        30 + 40 -> 70, well; 110 fails anew; + 20 -> 130
    assert counts.times == [10, 30, 70, 80, 90, 100, 110, 130]


def test_a_success_by_hand_ends_it_at_once(scheduler: Scheduler, counts: Counts) -> None:
    scheduler.every("flow", one(counts), "GO", 10, backoff=Backoff(1000, jitter=0))
    with start_by_hand(scheduler) as time:
        time.advance(35)
        counts.is_broken = False
        scheduler.trigger("flow").result(20)
        assert scheduler.status("flow").state is FlowState.IDLE
        time.advance(15)
    assert counts.times == [10, 35, 40, 50]


def test_with_catch_up_the_times_left_out_are_made_up_for_when_it_is_over(
    scheduler: Scheduler, counts: Counts
) -> None:
    backoff = Backoff(25, jitter=0)
    scheduler.every("flow", one(counts), "GO", 10, catch_up=True, backoff=backoff)
    with start_by_hand(scheduler) as time:
        time.advance(30)
        counts.is_broken = False
        time.advance(20)
    assert counts.times == [10, 35, 35, 40, 50]


def test_a_wall_clock_flow_backs_off_too(scheduler: Scheduler, counts: Counts) -> None:
    backoff = Backoff(150, jitter=0)
    scheduler.cron("flow", one(counts), "GO", "* * * * *", backoff=backoff)
    with start_by_hand(scheduler) as time:
        time.advance(600)
    #        60 + 150 -> 240; + 300 -> 540
    assert counts.times == [60, 240, 540]


def test_the_jitter_of_a_backoff_comes_from_the_source_that_was_given(clock: HandClock) -> None:
    def delays(seed: int) -> list[float]:
        notes = FlowNotes()
        scheduler = Scheduler(clock=HandClock(), random=Random(seed), observers=[notes])
        scheduler.every("flow", one(boom), "GO", 10, backoff=Backoff(20, jitter=0.5))
        with start_by_hand(scheduler) as time:
            time.advance(1000)
        return [facts["delay"] for facts in notes.of("flow_backed_off")]

    assert delays(1) == delays(1) != delays(2)
    assert len(delays(1)) >= 3


# Tripping.


def test_after_so_many_failures_in_a_row_it_trips_and_runs_no_more(
    scheduler: Scheduler, counts: Counts
) -> None:
    backoff = Backoff(1, jitter=0, trip_after=3)
    scheduler.every("flow", one(counts), "GO", 10, backoff=backoff)
    with start_by_hand(scheduler) as time:
        time.advance(1000)
        status = scheduler.status("flow")
        assert (status.state, status.failures) == (FlowState.TRIPPED, 3)
        assert status.next_due is None
        with pytest.raises(ConfigurationError, match=r"tripped after 3 .* call reset\('flow'\)"):
            scheduler.trigger("flow")
    assert counts.times == [10, 20, 30]


@pytest.mark.parametrize("catch_up", [False, True])
def test_reset_lets_it_run_again_at_its_next_time_with_the_count_at_0(
    catch_up: bool, scheduler: Scheduler, counts: Counts
) -> None:
    backoff = Backoff(1, jitter=0, trip_after=2)
    scheduler.every("flow", one(counts), "GO", 10, catch_up=catch_up, backoff=backoff)
    with start_by_hand(scheduler) as time:
        time.advance(95)
        scheduler.reset("flow")
        status = scheduler.status("flow")
        assert (status.state, status.failures) == (FlowState.IDLE, 0)
        assert status.next_due == START + timedelta(seconds=100)
        time.advance(10)
        assert scheduler.status("flow").failures == 1
        counts.is_broken = False
        time.advance(10)
    assert counts.times == [10, 20, 100, 110]


def test_after_the_stop_it_still_shows_that_it_had_tripped(scheduler: Scheduler) -> None:
    scheduler.manual("flow", one(Fails()), "GO", backoff=Backoff(10, trip_after=1))
    with start_by_hand(scheduler):
        assert scheduler.trigger("flow").exception(20) is not None
        with pytest.raises(ConfigurationError, match="it has tripped after a failure; call reset"):
            scheduler.trigger("flow")
    assert scheduler.status("flow").state is FlowState.TRIPPED
    scheduler.reset("flow")
    assert scheduler.status("flow").state is FlowState.STOPPED


def test_failures_that_are_not_in_a_row_do_not_trip(scheduler: Scheduler) -> None:
    calls: list[int] = []

    def every_third_is_well() -> str:
        calls.append(1)
        if len(calls) % 3:
            raise OSError
        return "DONE"

    backoff = Backoff(0, cap=0, trip_after=3)
    scheduler.every("flow", one(every_third_is_well), "GO", 10, backoff=backoff)
    with start_by_hand(scheduler) as time:
        time.advance(600)
    assert scheduler.status("flow").runs == 60


def test_runs_by_hand_count_as_well(scheduler: Scheduler) -> None:
    scheduler.manual("flow", one(Fails()), "GO", backoff=Backoff(10, trip_after=2))
    with start_by_hand(scheduler):
        assert scheduler.trigger("flow").exception(20) is not None
        assert scheduler.status("flow").state is FlowState.BACKING_OFF
        assert scheduler.trigger("flow").exception(20) is not None
        assert scheduler.status("flow").state is FlowState.TRIPPED


def test_so_it_does_where_its_gaps_vary(clock: HandClock, scheduler: Scheduler) -> None:
    fails = Fails()
    job = schedule.every(3).to(9).seconds
    scheduler.at("flow", one(fails), "GO", job, backoff=Backoff(600, jitter=0))
    with start_by_hand(scheduler) as time:
        time.advance(9)
        assert scheduler.status("flow").state is FlowState.BACKING_OFF
        fails.is_broken = False
        scheduler.reset("flow")
        due = scheduler.status("flow").next_due
        assert due is not None
        assert 0 < (due - clock.now).total_seconds() <= 9


def test_a_reset_while_it_runs_counts_from_the_end_of_that_run(
    scheduler: Scheduler, held: Held
) -> None:
    def fail_late(store: object, cancel: CancellationToken) -> str:
        held(store, cancel)
        raise OSError

    scheduler.manual("flow", one(fail_late), "GO", backoff=Backoff(10, trip_after=2))
    with start_by_hand(scheduler) as time:
        for expected in (1, 1):
            future = scheduler.trigger("flow")
            scheduler.reset("flow")
            held.release()
            assert future.exception(20) is not None
            time.settle(20)
            assert scheduler.status("flow").failures == expected


# Exit states that count as a failure.


class Load(Enum):
    """Where a load ends."""

    GO = auto()
    DONE = auto()
    NO_DATA = auto()
    REFUSED = auto()


class Ends:
    """A task whose run ends in a state that the test sets."""

    def __init__(self, where: Any = Load.NO_DATA) -> None:
        self.where = where

    def __call__(self) -> Any:
        return self.where


def load(task: Ends) -> Workflow[Any]:
    return Workflow().register(Load.GO, task).add_exit_states(list(Load)[1:])


@pytest.mark.parametrize("fail_on", [Load.NO_DATA, [Load.REFUSED, Load.NO_DATA]])
def test_a_run_that_comes_to_such_a_state_has_failed_and_its_future_has_the_state(
    fail_on: Any, clock: HandClock
) -> None:
    notes = FlowNotes()
    scheduler = Scheduler(clock=clock, observers=[notes])
    scheduler.manual("flow", load(Ends()), Load.GO, fail_on=fail_on, backoff=Backoff(10))
    with start_by_hand(scheduler):
        assert scheduler.trigger("flow").result(20) is Load.NO_DATA
        status = scheduler.status("flow")
    assert (status.failures, status.last_result) == (1, Load.NO_DATA)
    assert status.last_outcome == "failed"
    error = status.last_error
    assert isinstance(error, WorkflowError)
    assert str(error) == "the run came to Load.NO_DATA, which fail_on names"
    assert error.state is Load.NO_DATA
    end, delay = notes.one("flow_finished"), notes.one("flow_backed_off")
    assert (end["state"], end["error"], delay["error"]) == (Load.NO_DATA, error, error)


def test_such_failures_in_a_row_trip_and_another_state_ends_the_row(scheduler: Scheduler) -> None:
    task, backoff = Ends(), Backoff(0, trip_after=2)
    scheduler.every("flow", load(task), Load.GO, 10, fail_on=Load.NO_DATA, backoff=backoff)
    with start_by_hand(scheduler) as time:
        time.advance(10)
        task.where = Load.REFUSED
        time.advance(10)
        assert scheduler.status("flow").failures == 0
        task.where = Load.NO_DATA
        time.advance(20)
        assert scheduler.status("flow").state is FlowState.TRIPPED


def test_without_it_every_exit_state_is_a_good_end(scheduler: Scheduler) -> None:
    scheduler.manual("flow", load(Ends()), Load.GO, fail_on=None)
    with start_by_hand(scheduler):
        assert scheduler.trigger("flow").result(20) is Load.NO_DATA
    status = scheduler.status("flow")
    assert (status.failures, status.last_error, status.fail_on) == (0, None, ())


def test_the_status_shows_which_states_they_are(scheduler: Scheduler) -> None:
    scheduler.manual("one", load(Ends()), Load.GO, fail_on=Load.REFUSED)
    scheduler.manual("both", load(Ends()), Load.GO, fail_on=iter([Load.NO_DATA, Load.REFUSED]))
    assert scheduler.status("one").fail_on == (Load.REFUSED,)
    assert scheduler.status("both").fail_on == (Load.NO_DATA, Load.REFUSED)


def test_a_state_that_is_a_tuple_is_one_state(scheduler: Scheduler) -> None:
    over = ("over", 1)
    workflow = Workflow().register("GO", Ends(over)).add_exit_state(over)
    scheduler.manual("flow", workflow, "GO", fail_on=over)
    with start_by_hand(scheduler):
        assert scheduler.trigger("flow").result(20) == over
    assert scheduler.status("flow").failures == 1


# What is a user's own, and fails where no flow runs.


class Broken(tzinfo):
    """A time zone that works until it does not."""

    is_broken = False

    def utcoffset(self, moment: object) -> timedelta:
        if self.is_broken:
            raise OSError("the zone's file is gone")
        return timedelta(0)

    dst = utcoffset

    def tzname(self, moment: object) -> str:
        return "broken"


def test_a_time_zone_that_fails_ends_its_flows_timetable_and_no_others(
    scheduler: Scheduler, journal: Journal
) -> None:
    zone = Broken()
    scheduler.cron("flow", one(lambda: "DONE"), "GO", "* * * * *", tz=zone)
    scheduler.every_minutes("other", one(journal), "GO", 1)
    with start_by_hand(scheduler) as time:
        time.advance(60)
        zone.is_broken = True
        time.advance(180)
        status = scheduler.status("flow")
        assert (status.runs, status.next_due, status.state) == (2, None, FlowState.IDLE)
        assert str(status.last_error) == "the zone's file is gone"
        assert scheduler.trigger("flow").result(20) == "DONE"
    assert journal.times == [60, 120, 180, 240]


def test_an_interval_beyond_the_calendar_is_no_trouble(scheduler: Scheduler) -> None:
    scheduler.every("flow", one(lambda: "DONE"), "GO", 1e12)
    with start_by_hand(scheduler):
        assert scheduler.status("flow").next_due is None


def test_where_there_is_no_thread_the_run_has_failed_and_the_others_go_on(
    scheduler: Scheduler, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler.every("flow", one(journal), "GO", 10)
    with start_by_hand(scheduler) as time:
        with monkeypatch.context() as patch:
            patch.setattr(Pool, "start", no_thread)
            time.advance(10)
            status = scheduler.status("flow")
            assert isinstance(status.last_error, WorkflowError)
            assert "there is no thread for it" in str(status.last_error)
            assert status.failures == 1
        time.advance(10)
    assert journal.times == [20]


def test_ctrl_c_while_a_run_gets_its_thread_leaves_no_run_to_wait_for(
    scheduler: Scheduler, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(pool: Pool, job: object) -> None:
        raise KeyboardInterrupt

    scheduler.every("flow", one(journal), "GO", 10)
    with start_by_hand(scheduler) as time:
        with monkeypatch.context() as patch:
            patch.setattr(Pool, "start", interrupt)
            with pytest.raises(KeyboardInterrupt):
                time.advance(10)
        assert scheduler.status("flow").runs == 1


def no_thread(pool: Pool, job: object) -> None:
    raise RuntimeError("can't start new thread")
