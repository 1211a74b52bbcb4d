"""Jobs of the `schedule` package: what they say is when a flow is due."""

from __future__ import annotations

import datetime as dates
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import schedule

from cano_sync import ConfigurationError
from cano_sync.scheduler import At, Timetable
from tests.scheduler.conftest import after

WEDNESDAY = datetime(2026, 11, 25, 8, 0)


def local(timetable: Timetable, moment: datetime, count: int, seed: int = 1) -> list[datetime]:
    """The next times, in local time; the scheduler starts at that moment."""
    found, at = [], moment.timestamp()
    for _ in range(count):
        at = after(timetable, at, moment.timestamp(), seed)
        found.append(datetime.fromtimestamp(at))
    return found


def in_utc(timetable: Timetable, moment: datetime, count: int) -> list[str]:
    """The next times, in UTC."""
    found, at = [], moment.timestamp()
    for _ in range(count):
        at = after(timetable, at, moment.timestamp())
        found.append(datetime.fromtimestamp(at, UTC).strftime("%d %H:%M"))
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
    timetable = At(job)
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
    timetable = At(job)
    assert not timetable.on_wall_clock
    assert timetable.interval == interval
    assert after(timetable, 100.0, start=100.0) == 100.0 + interval
    assert after(timetable, 100.0 + 9.5 * interval, start=100.0) == 100.0 + 10 * interval


def test_a_random_interval_is_drawn_between_its_ends_by_the_given_source() -> None:
    def gaps(seed: int) -> list[float]:
        timetable, draw = At(schedule.every(5).to(10).seconds), Random(seed)
        found = [0.0]
        while len(found) < 100:
            found.append(timetable.after(found[-1], 0.0, draw))
        return [later - earlier for earlier, later in pairwise(found)]

    assert set(gaps(1)) == {5.0, 6.0, 7.0, 8.0, 9.0, 10.0}
    assert gaps(1) == gaps(1)
    assert gaps(1) != gaps(2)


def test_a_random_number_of_days_is_drawn_by_it_too() -> None:
    timetable = At(schedule.every(1).to(3).days.at("07:00"))
    days = {
        each.day - WEDNESDAY.day
        for seed in range(20)
        for each in local(timetable, WEDNESDAY, 1, seed)
    }
    assert days == {1, 2, 3}


def test_a_time_zone_counts() -> None:
    timetable = At(schedule.every().day.at("09:00", "Asia/Tokyo"))
    assert in_utc(timetable, datetime(2026, 11, 25, tzinfo=UTC), 2) == ["26 00:00", "27 00:00"]
    assert str(timetable) == "every day at 09:00 in Asia/Tokyo"


def test_until_is_a_moment_on_the_wall_clock() -> None:
    end = datetime(2100, 1, 1)
    assert At(schedule.every().day.at("09:00").until(end)).until == end.timestamp()
    assert At(schedule.every(5).minutes.until(end)).until == end.timestamp()
    assert At(schedule.every(5).minutes).until is None


def test_a_weekday_without_a_time_of_day_has_that_of_the_start_and_does_not_drift() -> None:
    timetable, start = At(schedule.every().friday), WEDNESDAY.timestamp()
    late = datetime(2026, 11, 27, 8, 0, 25).timestamp()  # the run of that Friday began late
    assert datetime.fromtimestamp(after(timetable, late, start)) == datetime(2026, 12, 4, 8)


# The days on which the clock is changed. In Zurich, in 2026: on 29 March at 02:00 it goes on to
# 03:00, on 25 October at 03:00 it goes back to 02:00.

LOCAL, NAMED = (None,), ("Europe/Zurich",)
zones = pytest.mark.parametrize("zone", [LOCAL, NAMED], ids=["local", "named"])
pytestmark = pytest.mark.usefixtures("zurich")


def test_an_hourly_job_runs_in_the_hour_that_comes_twice_both_times() -> None:
    timetable = At(schedule.every().hour.at(":30", "Europe/Zurich"))
    assert in_utc(timetable, datetime(2026, 10, 24, 23, tzinfo=UTC), 5) == [
        "24 23:30", "25 00:30", "25 01:30", "25 02:30", "25 03:30",
    ]  # fmt: skip


@zones
def test_a_daily_job_runs_once_on_those_days(zone: tuple[str | None]) -> None:
    timetable = At(schedule.every().day.at("02:30", *zone))
    spring = local(timetable, datetime(2026, 3, 28, 12), 2)
    assert spring == [datetime(2026, 3, 29, 3, 30), datetime(2026, 3, 30, 2, 30)]
    autumn = local(timetable, datetime(2026, 10, 24, 12), 2)
    assert autumn == [datetime(2026, 10, 25, 2, 30), datetime(2026, 10, 26, 2, 30)]
    assert [each.fold for each in autumn] == [0, 0]


@zones
def test_so_does_one_of_that_weekday(zone: tuple[str | None]) -> None:
    timetable = At(schedule.every().sunday.at("02:30", *zone))
    spring = local(timetable, datetime(2026, 3, 28, 12), 2)
    assert spring == [datetime(2026, 3, 29, 3, 30), datetime(2026, 4, 5, 2, 30)]
    autumn = local(timetable, datetime(2026, 10, 24, 12), 2)
    assert autumn == [datetime(2026, 10, 25, 2, 30), datetime(2026, 11, 1, 2, 30)]


@zones
def test_asked_within_the_second_of_the_two_hours_it_does_not_run_again(
    zone: tuple[str | None],
) -> None:
    timetable = At(schedule.every().day.at("02:30", *zone))
    within = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)  # 02:10 for the second time
    assert in_utc(timetable, within, 1) == ["26 01:30"]


@zones
def test_a_time_of_day_after_the_change_is_the_one_that_the_clock_shows(
    zone: tuple[str | None],
) -> None:
    timetable = At(schedule.every().day.at("09:00", *zone))
    assert in_utc(timetable, datetime(2026, 3, 28, 12, tzinfo=UTC), 2) == ["29 07:00", "30 07:00"]
    assert in_utc(timetable, datetime(2026, 10, 24, 12, tzinfo=UTC), 2) == ["25 08:00", "26 08:00"]


@zones
@pytest.mark.parametrize(
    ("job", "step"),
    [
        (lambda zone: schedule.every().hour.at(":30", *zone), 3600.0),
        (lambda zone: schedule.every().minute.at(":05", *zone), 60.0),
        (lambda zone: schedule.every(3).hours.at(":30", *zone), 10800.0),
        (lambda zone: schedule.every(7).minutes.at(":05", *zone), 420.0),
    ],
    ids=["hour", "minute", "3 hours", "7 minutes"],
)
@pytest.mark.parametrize("day", [datetime(2026, 3, 29), datetime(2026, 10, 25)])
def test_hours_and_minutes_pass_all_the_same_on_those_days(
    job: Any, step: float, day: datetime, zone: tuple[str | None]
) -> None:
    timetable, found = At(job(zone)), [day.timestamp()]
    while len(found) < 300:
        found.append(after(timetable, found[-1]))
    assert {later - earlier for earlier, later in pairwise(found[1:])} == {step}


def test_where_the_clock_changes_by_half_an_hour_the_minute_is_still_the_one_it_shows() -> None:
    zone = ZoneInfo("Australia/Lord_Howe")  # on 5 April at 02:00 back to 01:30; 4 October, forward
    timetable = At(schedule.every().hour.at(":30", "Australia/Lord_Howe"))
    for day in (datetime(2026, 4, 4, 20, tzinfo=zone), datetime(2026, 10, 3, 20, tzinfo=zone)):
        found = [day.timestamp()]
        while len(found) < 12:
            found.append(after(timetable, found[-1]))
        shown = [datetime.fromtimestamp(each, zone) for each in found[1:]]
        assert {each.minute for each in shown} == {30}
        steps = [later - earlier for earlier, later in pairwise(found[1:])]
        assert sorted(steps)[:2] == [1800.0, 3600.0]
        assert max(steps) == 3600.0


def test_a_day_that_a_zone_leaves_out_is_left_out() -> None:
    """Samoa had no 30 December 2011: its clocks went on by a day at midnight."""
    timetable = At(schedule.every().day.at("09:00", "Pacific/Apia"))
    found = in_utc(timetable, datetime(2011, 12, 29, 12, tzinfo=UTC), 3)
    assert found == ["29 19:00", "30 19:00", "31 19:00"]


# On all other days it agrees with the package itself.


def some_job(draw: Random, zone: tuple[str | None]) -> schedule.Job:
    number = draw.choice([1, 1, 2, 3, 7])
    every = schedule.Scheduler().every(number)
    second = draw.choice(["", f":{draw.randrange(60):02}"])
    kind = draw.randrange(5)
    if kind == 0:
        return every.days.at(f"{draw.randrange(24):02}:{draw.randrange(60):02}{second}", *zone)
    if kind == 1:
        minute = draw.randrange(60)
        return every.hours.at(f"{minute:02}{second}" if second else f":{minute:02}", *zone)
    if kind == 2:
        return every.minutes.at(f":{draw.randrange(60):02}", *zone)
    days = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    job: schedule.Job = getattr(schedule.Scheduler().every(), draw.choice(days))
    if kind == 3:
        return job
    return job.at(f"{draw.randrange(24):02}:{draw.randrange(60):02}{second}", *zone)


class Frozen(datetime):
    """What the package takes for the class `datetime`, with a "now" that stands still."""

    moment = 0.0

    @classmethod
    def now(cls, zone: Any = None) -> datetime:  # type: ignore[override]
        return datetime.fromtimestamp(cls.moment, zone)


@pytest.mark.parametrize("seed", range(40))
def test_on_ordinary_days_it_agrees_with_the_package_itself(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real job of the package, started and run at each of its times, by a clock of ours."""
    draw = Random(seed)
    zone = draw.choice([LOCAL, NAMED, ("America/New_York",), ("Asia/Kolkata",), ("UTC",)])
    job = some_job(draw, zone)
    start = datetime(2026, draw.choice([5, 6, 7]), draw.randrange(1, 28), draw.randrange(24),
                     draw.randrange(60), draw.randrange(60)).timestamp()  # fmt: skip
    timetable, moment = At(job), start
    monkeypatch.setattr(dates, "datetime", Frozen)  # the package looks it up at each call
    Frozen.moment = start
    job.do(lambda: None)
    for _ in range(12):
        moment = after(timetable, moment, start)
        assert job.next_run is not None
        assert datetime.fromtimestamp(moment) == job.next_run, (job, zone)
        Frozen.moment = moment
        job.run()


def test_the_job_itself_is_left_as_it_is_and_nobody_elses_scheduler_runs_it() -> None:
    job = schedule.every().day.at("09:00").tag("daily")
    after(At(job), 0.0)
    assert (job.next_run, job.job_func, job.tags) == (None, None, {"daily"})
    assert job not in schedule.jobs


def test_changing_the_job_afterwards_changes_nothing() -> None:
    job = schedule.every().day.at("09:00")
    timetable = At(job)
    job.at("10:00").tag("later").do(lambda: None)
    schedule.cancel_job(job)
    assert local(timetable, WEDNESDAY, 1) == [datetime(2026, 11, 25, 9)]
    assert timetable.tags == frozenset()


def test_the_moment_that_is_asked_about_counts_and_not_the_processs_clock() -> None:
    timetable = At(schedule.every().monday.at("09:00"))
    for year in (1999, 2026, 2099):
        due = datetime.fromtimestamp(after(timetable, datetime(year, 6, 1).timestamp()))
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
        (schedule.every(1.5).days.at("07:00"), "a time of day needs a whole number of days"),
    ],
)
def test_what_is_no_job_or_not_complete_is_refused(job: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        At(job)


def test_an_interval_that_is_too_long_is_refused() -> None:
    for job in (schedule.every(10**12).days, schedule.every(1).to(10**12).days):
        with pytest.raises(ConfigurationError, match="longer than a timedelta can be"):
            At(job)


def test_a_job_that_is_started_already_is_refused() -> None:
    job = schedule.Scheduler().every().day.at("09:00").do(print)
    with pytest.raises(ConfigurationError, match=r"leave do\(\) out"):
        At(job)


@pytest.mark.parametrize(
    ("job", "text"),
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
def test_it_reads_as_an_operator_says_it(job: schedule.Job, text: str) -> None:
    assert str(At(job)) == text
