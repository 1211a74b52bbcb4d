"""When flows run: the grid, missed times, clocks that are set, flows that are still running."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
import schedule

from cano_sync.scheduler import FlowState, Scheduler
from cano_sync.testing import HandClock, start_by_hand
from tests.scheduler.conftest import START, Held, Journal, one

HOUR = 3600.0
Eventually = Callable[[Callable[[], bool]], None]


def at_nine(scheduler: Scheduler, journal: Journal, kind: str, **options: bool) -> None:
    """A flow that is due at nine, by the wall clock."""
    if kind == "cron":
        scheduler.cron("flow", one(journal), "GO", "0 9 * * *", tz=UTC, **options)
    else:
        nine = datetime(2026, 11, 25, 9, tzinfo=UTC).astimezone()
        job = schedule.every().day.at(f"{nine:%H:%M}")
        scheduler.at("flow", one(journal), "GO", job, **options)


def hourly(scheduler: Scheduler, journal: Journal, kind: str, **options: bool) -> None:
    if kind == "cron":
        scheduler.cron("flow", one(journal), "GO", "0 * * * *", tz=UTC, **options)
    else:
        minute = START.astimezone().minute  # not 0 in every local time zone
        job = schedule.every().hour.at(f":{minute:02}")
        scheduler.at("flow", one(journal), "GO", job, **options)


by_the_wall = pytest.mark.parametrize("kind", ["cron", "at"])


# The grid.


@pytest.mark.parametrize("interval", [10.0, 0.1, 1 / 3])
def test_after_a_thousand_runs_that_began_late_there_is_no_drift(
    interval: float, clock: HandClock, scheduler: Scheduler
) -> None:
    begun: list[float] = []

    def note() -> str:
        begun.append(clock.monotonic())
        return "DONE"

    draw = Random(11)
    scheduler.every("flow", one(note), "GO", interval)
    with start_by_hand(scheduler) as time:
        for _ in range(1000):
            left = time.run_pending()
            assert left is not None
            clock.advance(left + draw.uniform(0, 0.9) * interval)  # it looks up too late
            time.run_pending()
            time.settle(20)
    assert len(begun) == 1000
    for number, moment in enumerate(begun, 1):
        assert number * interval <= moment < (number + 1) * interval


def test_a_flow_that_is_added_later_has_a_grid_of_its_own(
    scheduler: Scheduler, journal: Journal
) -> None:
    with start_by_hand(scheduler) as time:
        time.advance(7)
        scheduler.every("flow", one(journal), "GO", 10)
        time.advance(30)
    assert journal.times == [17, 27, 37]


def test_many_flows_that_are_due_at_once_all_run(clock: HandClock, scheduler: Scheduler) -> None:
    journals = [Journal(clock) for _ in range(100)]
    for number, journal in enumerate(journals):
        scheduler.every(f"flow {number}", one(journal), "GO", 10)
    with start_by_hand(scheduler) as time:
        time.advance(30)
    assert all(journal.times == [10, 20, 30] for journal in journals)


def test_a_jitter_delays_each_run_at_random_and_leaves_the_grid_where_it_is(
    clock: HandClock, journal: Journal
) -> None:
    scheduler = Scheduler(clock=clock, random=Random(3))
    scheduler.every("flow", one(journal), "GO", 10, jitter=4)
    with start_by_hand(scheduler) as time:
        time.advance(5004)
    delays = [moment - 10 * number for number, moment in enumerate(journal.times, 1)]
    assert len(delays) == 500
    assert 0 <= min(delays) < 0.1
    assert 3.9 < max(delays) <= 4


def test_the_jitter_comes_from_the_source_that_was_given(journal: Journal) -> None:
    def times(seed: int) -> list[float]:
        clock = HandClock(START)
        scheduler, journal = Scheduler(clock=clock, random=Random(seed)), Journal(clock)
        scheduler.every("flow", one(journal), "GO", 10, jitter=4)
        with start_by_hand(scheduler) as time:
            time.advance(100)
        return journal.times

    assert times(1) == times(1) != times(2)


# Missed times: the machine was asleep, or the clock thread had no turn.


def test_intervals_that_were_missed_are_one_run(
    clock: HandClock, scheduler: Scheduler, journal: Journal
) -> None:
    scheduler.every("flow", one(journal), "GO", 10)
    with start_by_hand(scheduler) as time:
        clock.advance(1005)  # at once, without a look
        time.advance(0)
        time.advance(10)
    assert journal.times == [1005, 1010]


def test_with_catch_up_they_run_one_after_the_other(
    clock: HandClock, scheduler: Scheduler, journal: Journal
) -> None:
    scheduler.every("flow", one(journal), "GO", 10, catch_up=True)
    with start_by_hand(scheduler) as time:
        clock.advance(55)
        time.advance(0)
        assert scheduler.status("flow").runs == 5
        time.advance(10)
    assert journal.times == [55] * 5 + [60]


@by_the_wall
def test_a_clock_that_jumps_forward_fires_a_missed_flow_once(
    kind: str, clock: HandClock, scheduler: Scheduler, journal: Journal
) -> None:
    hourly(scheduler, journal, kind)
    with start_by_hand(scheduler) as time:
        clock.jump(100.5 * HOUR)
        time.advance(0)
        assert journal.times == [100.5 * HOUR]
        time.advance(HOUR)
    assert journal.times == [100.5 * HOUR, 101 * HOUR]


@by_the_wall
def test_with_catch_up_each_missed_time_has_its_run(
    kind: str, clock: HandClock, scheduler: Scheduler, journal: Journal
) -> None:
    hourly(scheduler, journal, kind, catch_up=True)
    with start_by_hand(scheduler) as time:
        clock.jump(6.5 * HOUR)
        time.advance(0)
    assert journal.times == [6.5 * HOUR] * 6


@by_the_wall
@pytest.mark.parametrize("catch_up", [False, True])
def test_a_clock_that_jumps_back_fires_nothing_twice(
    kind: str, catch_up: bool, clock: HandClock, scheduler: Scheduler, journal: Journal
) -> None:
    hourly(scheduler, journal, kind, catch_up=catch_up)
    with start_by_hand(scheduler) as time:
        time.advance(2 * HOUR)
        clock.jump(-1.5 * HOUR)
        time.advance(1.5 * HOUR)  # ten o'clock, for the second time
        assert journal.times == [HOUR, 2 * HOUR]
        time.advance(HOUR)
    assert journal.times == [HOUR, 2 * HOUR, 3 * HOUR]


@by_the_wall
def test_a_jump_back_before_the_time_comes_only_delays_it(
    kind: str, clock: HandClock, scheduler: Scheduler, journal: Journal
) -> None:
    at_nine(scheduler, journal, kind)
    with start_by_hand(scheduler) as time:
        time.advance(0.9 * HOUR)
        clock.jump(-0.5 * HOUR)
        time.advance(0.5 * HOUR)
        assert journal.times == []
        time.advance(0.1 * HOUR)
    assert journal.times == [HOUR]


def test_pausing_while_the_clock_is_set_back_brings_no_time_twice(
    clock: HandClock, scheduler: Scheduler, journal: Journal
) -> None:
    hourly(scheduler, journal, "cron")
    with start_by_hand(scheduler) as time:
        time.advance(2 * HOUR)
        scheduler.pause("flow")
        clock.jump(-1.5 * HOUR)
        scheduler.resume("flow")
        time.advance(2.5 * HOUR)
    assert journal.times == [HOUR, 2 * HOUR, 3 * HOUR]


def test_reset_follows_a_clock_that_was_set_back_at_once(
    clock: HandClock, scheduler: Scheduler, journal: Journal
) -> None:
    hourly(scheduler, journal, "cron")
    with start_by_hand(scheduler) as time:
        time.advance(HOUR)
        clock.jump(-240 * HOUR)
        scheduler.reset("flow")
        time.advance(HOUR)
    assert journal.times == [HOUR, -238 * HOUR]


@pytest.mark.parametrize("offset", [500 * HOUR, -500 * HOUR])
def test_intervals_do_not_notice_a_jump(
    offset: float, clock: HandClock, scheduler: Scheduler
) -> None:
    scheduler.every_minutes("flow", one(lambda: "DONE"), "GO", 1)
    scheduler.at("job", one(lambda: "DONE"), "GO", schedule.every().minute)
    with start_by_hand(scheduler) as time:
        time.advance(90)
        clock.jump(offset)
        time.advance(90)
    assert [status.runs for status in scheduler.list()] == [3, 3]


def test_a_job_runs_until_its_end(scheduler: Scheduler, clock: HandClock) -> None:
    end = (clock.now + timedelta(seconds=35)).astimezone().replace(tzinfo=None)
    interval = schedule.every(10).seconds
    interval.cancel_after = end  # until() wants it to be in the future of this very machine
    minutely = schedule.every().minute.at(":07")
    minutely.cancel_after = end
    scheduler.at("interval", one(lambda: "DONE"), "GO", interval)
    scheduler.at("minutely", one(lambda: "DONE"), "GO", minutely)
    with start_by_hand(scheduler) as time:
        time.advance(600)
        ends = {status.id: (status.runs, status.next_due) for status in scheduler.list()}
        assert ends == {"interval": (3, None), "minutely": (1, None)}
        assert scheduler.status("interval").state is FlowState.IDLE


def test_a_job_that_comes_after_its_end_does_not_run(
    scheduler: Scheduler, clock: HandClock
) -> None:
    job = schedule.every().minute.at(":30")
    job.cancel_after = (clock.now + timedelta(seconds=40)).astimezone().replace(tzinfo=None)
    scheduler.at("flow", one(lambda: "DONE"), "GO", job)
    with start_by_hand(scheduler) as time:
        clock.jump(HOUR)
        time.advance(HOUR)
    assert scheduler.status("flow").runs == 0


# A flow that is still running.


def test_a_flow_that_is_due_while_it_runs_is_skipped_and_counted(
    scheduler: Scheduler, held: Held
) -> None:
    scheduler.every("flow", one(held), "GO", 10)
    with start_by_hand(scheduler) as time:
        time.advance(45, settle=False)
        held.wait()
        assert (scheduler.status("flow").runs, scheduler.status("flow").skipped) == (1, 3)
        assert scheduler.status("flow").state is FlowState.RUNNING
        held.release()
        time.settle(20)
        time.advance(10, settle=False)
        held.wait()
        assert (scheduler.status("flow").runs, scheduler.status("flow").skipped) == (2, 3)
        held.release()


def test_with_catch_up_it_is_made_up_for_afterwards_and_not_counted(
    scheduler: Scheduler, held: Held
) -> None:
    scheduler.every("flow", one(held), "GO", 10, catch_up=True)
    with start_by_hand(scheduler) as time:
        time.advance(45, settle=False)
        for _ in range(4):
            time.run_pending()
            held.wait()
            held.release()
            time.settle(20)
        time.advance(0)
        status = scheduler.status("flow")
        assert (status.runs, status.skipped, status.state) == (4, 0, FlowState.IDLE)


def test_one_that_hangs_does_not_hold_up_the_others(
    clock: HandClock, scheduler: Scheduler, held: Held, journal: Journal, eventually: Eventually
) -> None:
    scheduler.every("hangs", one(held), "GO", 10)
    scheduler.every("runs", one(journal), "GO", 10)

    def has_run(times: int) -> bool:
        status = scheduler.status("runs")
        return (status.runs, status.state) == (times, FlowState.IDLE)

    with scheduler.start_in_background():
        for number in (1, 2, 3):
            clock.advance(10)
            eventually(lambda number=number: has_run(number))
        held.release()
    assert journal.times == [10, 20, 30]
    assert scheduler.status("hangs").runs == 1


def test_hundreds_that_hang_do_not_hold_up_the_others(
    scheduler: Scheduler, journal: Journal
) -> None:
    """More of them than a pool of the engine has threads."""
    held = Held()
    for number in range(600):
        scheduler.manual(f"hangs {number}", one(held), "GO")
    scheduler.manual("runs", one(journal), "GO")
    with scheduler.start_in_background():
        for number in range(600):
            scheduler.trigger(f"hangs {number}")
        assert scheduler.trigger("runs").result(20) == "DONE"
        for _ in range(600):
            held.release()


def test_a_look_at_the_clock_does_not_wait_for_a_run(scheduler: Scheduler, held: Held) -> None:
    scheduler.every("flow", one(held), "GO", 10)
    with start_by_hand(scheduler) as time:
        time.advance(10, settle=False)
        assert time.run_pending() == 10
        held.release()


def test_a_background_scheduler_notices_that_its_clock_was_set(
    clock: HandClock, scheduler: Scheduler, journal: Journal, eventually: Eventually
) -> None:
    at_nine(scheduler, journal, "cron")
    with scheduler.start_in_background():
        clock.jump(HOUR)
        eventually(lambda: scheduler.status("flow").runs == 1)
    assert journal.times == [HOUR]
