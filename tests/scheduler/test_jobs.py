"""Jobs of the `schedule` package: what they say is when a flow is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import schedule

from cano_sync import ConfigurationError
from cano_sync.scheduler.jobs import timetable_of
from cano_sync.scheduler.timetable import Timetable

ZURICH = ZoneInfo("Europe/Zurich")
WEDNESDAY = datetime(2026, 11, 25, 8, 0)


def made(job: Any, seed: int = 1) -> Timetable:
    return timetable_of(job, Random(seed))


def local(timetable: Timetable, moment: datetime, count: int) -> list[datetime]:
    """The next times, in local time."""
    found, at = [], moment.timestamp()
    for _ in range(count):
        due = timetable.after(at)
        assert due is not None and due > at
        at = due
        found.append(datetime.fromtimestamp(at))
    return found


@pytest.mark.parametrize(
    ("job", "due", "then"),
    [
        (schedule.every().monday.at("09:00"), datetime(2026, 11, 30, 9), datetime(2026, 12, 7, 9)),
        (schedule.every().day.at("10:30:15"), datetime(2026, 11, 25, 10, 30, 15),
         datetime(2026, 11, 26, 10, 30, 15)),
        (schedule.every().hour.at(":45"), datetime(2026, 11, 25, 8, 45),
         datetime(2026, 11, 25, 9, 45)),
        (schedule.every().minute.at(":20"), datetime(2026, 11, 25, 8, 0, 20),
         datetime(2026, 11, 25, 8, 1, 20)),
        (schedule.every(2).days.at("07:00"), datetime(2026, 11, 27, 7), datetime(2026, 11, 29, 7)),
        (schedule.every().friday, datetime(2026, 11, 27, 8), datetime(2026, 12, 4, 8)),
    ],
    ids=str,
)  # fmt: skip
def test_a_job_with_a_time_of_day_is_due_by_the_wall_clock(
    job: schedule.Job, due: datetime, then: datetime
) -> None:
    timetable = made(job)
    assert timetable.on_wall_clock
    assert local(timetable, WEDNESDAY, 2) == [due, then]


@pytest.mark.parametrize(
    ("job", "interval"),
    [
        (schedule.every(10).seconds, 10.0),
        (schedule.every().minute, 60.0),
        (schedule.every(3).hours, 10800.0),
        (schedule.every().week, 604800.0),
    ],
    ids=str,
)
def test_a_job_without_is_an_interval_from_the_start(job: schedule.Job, interval: float) -> None:
    timetable = made(job)
    timetable.begin(100.0)
    assert not timetable.on_wall_clock
    assert timetable.after(100.0) == 100.0 + interval
    assert timetable.after(100.0 + 9 * interval) == 100.0 + 10 * interval


def test_a_random_interval_is_drawn_between_its_ends_by_the_given_source() -> None:
    def gaps(seed: int) -> list[float]:
        timetable = made(schedule.every(5).to(10).seconds, seed)
        timetable.begin(0.0)
        found = [0.0]
        while len(found) < 100:
            found.append(timetable.after(found[-1]) or 0.0)
        return [later - earlier for earlier, later in pairwise(found)]

    assert set(gaps(1)) == {5.0, 6.0, 7.0, 8.0, 9.0, 10.0}
    assert gaps(1) == gaps(1)
    assert gaps(1) != gaps(2)


def test_a_random_number_of_days_is_drawn_by_it_too() -> None:
    job = schedule.every(1).to(3).days.at("07:00")
    days = {
        each.day - WEDNESDAY.day
        for seed in range(20)
        for each in local(made(job, seed), WEDNESDAY, 1)
    }
    assert days <= {1, 2, 3}
    assert len(days) > 1


def test_a_time_zone_counts() -> None:
    pytest.importorskip("pytz", reason="the schedule package needs it for time zones")
    timetable = made(schedule.every().day.at("09:00", "Asia/Tokyo"))
    due = timetable.after(datetime(2026, 11, 25, tzinfo=UTC).timestamp())
    assert datetime.fromtimestamp(due, UTC) == datetime(2026, 11, 26, 0, tzinfo=UTC)
    assert timetable.words == "every day at 09:00 in Asia/Tokyo"


def test_until_is_a_moment_on_the_wall_clock() -> None:
    end = datetime(2100, 1, 1)
    assert made(schedule.every().day.at("09:00").until(end)).until == end.timestamp()
    assert made(schedule.every(5).minutes.until(end)).until == end.timestamp()
    assert made(schedule.every(5).minutes).until is None


@pytest.mark.usefixtures("zurich")
def test_a_daily_job_runs_once_on_the_days_when_the_clock_is_changed() -> None:
    timetable = made(schedule.every().day.at("02:30"))
    spring = local(timetable, datetime(2026, 3, 28, 12), 2)
    assert spring == [datetime(2026, 3, 29, 3, 30), datetime(2026, 3, 30, 2, 30)]
    autumn = local(timetable, datetime(2026, 10, 24, 12), 2)
    assert autumn == [datetime(2026, 10, 25, 2, 30), datetime(2026, 10, 26, 2, 30)]


@pytest.mark.usefixtures("zurich")
@pytest.mark.parametrize(
    "job", [schedule.every().hour.at(":30"), schedule.every().minute.at(":05")]
)
@pytest.mark.parametrize("day", [datetime(2026, 3, 29), datetime(2026, 10, 25)])
def test_hours_and_minutes_pass_all_the_same_on_those_days(
    job: schedule.Job, day: datetime
) -> None:
    timetable, found = made(job), [day.timestamp()]
    while len(found) < 300:
        found.append(timetable.after(found[-1]) or 0.0)
    step = 3600.0 if job.unit == "hours" else 60.0
    assert {later - earlier for earlier, later in pairwise(found[1:])} == {step}


def test_the_job_itself_is_left_as_it_is_and_nobody_elses_scheduler_runs_it() -> None:
    job = schedule.every().day.at("09:00").tag("daily")
    made(job).after(0.0)
    assert (job.next_run, job.job_func, job.tags) == (None, None, {"daily"})
    assert job not in schedule.jobs


def test_changing_the_job_afterwards_changes_nothing() -> None:
    job = schedule.every().day.at("09:00")
    timetable = made(job)
    job.at("10:00").do(lambda: None)
    schedule.cancel_job(job)
    assert local(timetable, WEDNESDAY, 1) == [datetime(2026, 11, 25, 9)]


def test_the_moment_that_is_asked_about_counts_and_not_the_processs_clock() -> None:
    """No monkeypatching: the package's own arithmetic gets our time."""
    timetable = made(schedule.every().monday.at("09:00"))
    for year in (1999, 2026, 2099):
        due = datetime.fromtimestamp(timetable.after(datetime(year, 6, 1).timestamp()) or 0.0)
        assert (due.year, due.weekday(), due.hour) == (year, 0, 9)
        assert due - datetime(year, 6, 1) <= timedelta(days=7, hours=9)


@pytest.mark.parametrize(
    ("job", "problem"),
    [
        ("monday", "not 'monday'"),
        (None, "not None"),
        (schedule.every, "not <function every"),
        (schedule.every(3), "does not say of what"),
        (schedule.every(0).seconds, "more than 0"),
        (schedule.every(-5).seconds, "0 or more"),
        (schedule.every("5").seconds, "of type str"),
        (schedule.every(5).to(2).seconds, "no less than the first"),
        (schedule.every(5).to(7.5).seconds, "two whole numbers"),
    ],
)
def test_what_is_no_job_or_not_complete_is_refused(job: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        made(job)


def test_an_interval_that_is_too_long_is_refused() -> None:
    for job in (schedule.every(10**12).days, schedule.every(1).to(10**12).days):
        with pytest.raises(ConfigurationError, match="longer than a timedelta can be"):
            made(job)


def test_a_job_that_is_started_already_is_refused() -> None:
    job = schedule.Scheduler().every().day.at("09:00").do(print)
    with pytest.raises(ConfigurationError, match=r"leave do\(\) out"):
        made(job)


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (schedule.every().monday.at("09:00"), "every Monday at 09:00"),
        (schedule.every().monday, "every Monday"),
        (schedule.every(2).days.at("10:30:05"), "every 2 days at 10:30:05"),
        (schedule.every().hour.at(":05"), "every hour at :05"),
        (schedule.every().hour.at("05:07"), "every hour at :05:07"),
        (schedule.every().minute.at(":17"), "every minute at :17"),
        (schedule.every(5).to(10).minutes, "every 5 to 10 minutes"),
        (schedule.every(10).seconds, "every 10 s"),
        (schedule.every(2).weeks, "every 2 weeks"),
        (schedule.every().week, "every week"),
        (schedule.every().day.until(datetime(2100, 1, 1)), "every day until 2100-01-01 00:00:00"),
    ],
)
def test_it_reads_as_an_operator_says_it(job: schedule.Job, words: str) -> None:
    assert made(job).words == words
