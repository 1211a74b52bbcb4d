"""Cron expressions: five fields and six, time zones, and the days on which the clock is changed."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from cano_sync import ConfigurationError
from cano_sync.scheduler import Cron
from cano_sync.scheduler.cron import LocalZone
from tests.scheduler.conftest import after

ZURICH = ZoneInfo("Europe/Zurich")
SPRING = datetime(2026, 3, 29, 0, 0, tzinfo=ZURICH)  # at 02:00 the clock goes on to 03:00
AUTUMN = datetime(2026, 10, 25, 0, 0, tzinfo=ZURICH)  # at 03:00 the clock goes back to 02:00


def times(cron: Cron, start: datetime, until: timedelta = timedelta(days=1)) -> list[str]:
    """When it is due within so long, in Zurich."""
    found, moment = [], start.timestamp()
    end = moment + until.total_seconds()
    while (due := after(cron, moment)) < end:
        found.append(datetime.fromtimestamp(due, ZURICH).strftime("%d %H:%M:%S %Z"))
        moment = due
    return found


def test_five_fields_are_minute_hour_day_month_weekday() -> None:
    cron = Cron("30 9 * * MON", UTC)
    assert datetime.fromtimestamp(after(cron, 0.0), UTC) == datetime(1970, 1, 5, 9, 30, tzinfo=UTC)


def test_six_fields_begin_with_the_seconds() -> None:
    cron = Cron("0,30 0 9 * * MON", UTC)
    first = after(cron, 0.0)
    assert datetime.fromtimestamp(first, UTC) == datetime(1970, 1, 5, 9, 0, tzinfo=UTC)
    assert after(cron, first) == first + 30
    assert after(cron, first + 30) == first + timedelta(days=7).total_seconds()


def test_every_second_is_every_second() -> None:
    cron = Cron("* * * * * *", "Europe/Zurich")
    moment = SPRING.timestamp() + 7190
    found = [moment]
    while len(found) < 30:
        found.append(after(cron, found[-1]))
    assert {later - earlier for earlier, later in pairwise(found)} == {1.0}


def test_the_next_time_is_later_than_the_moment_even_by_a_fraction() -> None:
    cron = Cron("* * * * *", UTC)
    assert after(cron, 59.999) == 60.0
    assert after(cron, 60.0) == 120.0
    assert after(cron, 60.001) == 120.0


def test_the_hours_are_those_of_the_zone() -> None:
    winter = after(Cron("0 9 * * *", "Europe/Zurich"), datetime(2026, 1, 5, tzinfo=UTC).timestamp())
    assert datetime.fromtimestamp(winter, UTC).hour == 8
    fixed = after(Cron("0 9 * * *", timezone(timedelta(hours=5))), 0.0)
    assert datetime.fromtimestamp(fixed, UTC).hour == 4


@pytest.mark.parametrize("expression", ["30 2 * * *", "0 30 2 * * *"])
@pytest.mark.parametrize("zone", ["Europe/Zurich", None])
@pytest.mark.usefixtures("zurich")
class TestWhenTheClockIsChanged:
    def test_what_is_due_in_the_missing_hour_runs_when_it_is_over(
        self, expression: str, zone: str | None
    ) -> None:
        assert times(Cron(expression, zone), SPRING) == ["29 03:00:00 CEST"]

    def test_what_is_due_in_the_hour_that_comes_twice_runs_the_first_time(
        self, expression: str, zone: str | None
    ) -> None:
        assert times(Cron(expression, zone), AUTUMN) == ["25 02:30:00 CEST"]

    def test_asked_within_the_second_of_the_two_hours_it_does_not_run_again(
        self, expression: str, zone: str | None
    ) -> None:
        within = AUTUMN.replace(hour=2, minute=10, fold=1)
        due = after(Cron(expression, zone), within.timestamp())
        assert datetime.fromtimestamp(due, ZURICH).day == 26


@pytest.mark.parametrize("zone", ["Europe/Zurich", None])
@pytest.mark.parametrize(("expression", "step"), [("*/20 * * * *", 1200), ("15 0 * * * *", 3600)])
@pytest.mark.parametrize("day", [SPRING, AUTUMN])
@pytest.mark.usefixtures("zurich")
def test_what_is_due_each_hour_or_minute_goes_on_as_time_passes(
    day: datetime, expression: str, step: float, zone: str | None
) -> None:
    cron, found = Cron(expression, zone), [day.timestamp()]
    while len(found) < 20:
        found.append(after(cron, found[-1]))
    assert {later - earlier for earlier, later in pairwise(found[1:])} == {step}


def test_two_times_in_the_missing_hour_run_once() -> None:
    assert times(Cron("0,30 2 * * *", ZURICH), SPRING) == ["29 03:00:00 CEST"]


@pytest.mark.usefixtures("zurich")
@pytest.mark.parametrize("day", [SPRING, AUTUMN, datetime(2026, 7, 1, tzinfo=ZURICH)])
def test_the_local_zone_agrees_with_the_zone_that_it_is(day: datetime) -> None:
    local = LocalZone()
    for minute in range(0, 360, 7):
        moment = (day + timedelta(minutes=minute)).timestamp()
        ours, theirs = datetime.fromtimestamp(moment, local), datetime.fromtimestamp(moment, ZURICH)
        assert ours.replace(tzinfo=None) == theirs.replace(tzinfo=None)
        assert (ours.fold, ours.utcoffset()) == (theirs.fold, theirs.utcoffset())
        assert ours.timestamp() == moment


def test_where_no_clock_is_changed_it_agrees_with_cronsim_itself() -> None:
    draw = Random(13)
    fields = ("0,15,30 */7 * 5-50/9", "3 */11 5-40/7 *", "* 4 */5 9-17", "* 1 */9 L", "* 2 */4",
              "* MON 1-5 FRI#2")  # fmt: skip
    for _ in range(150):
        expression = " ".join(draw.choice(each.split()) for each in fields)
        start = datetime(2026, draw.randrange(1, 13), draw.randrange(1, 28), 7, 3, 11, tzinfo=UTC)
        cron, theirs, moment = Cron(expression, UTC), CronSim(expression, start), start.timestamp()
        for _ in range(20):
            moment = after(cron, moment)
            assert moment == next(theirs).timestamp(), expression


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("* * * *", "5 fields, or of 6"),
        ("0 0 0 1 1 ? 2026", "5 fields, or of 6"),
        ("@daily", "5 fields, or of 6"),
        ("", "5 fields, or of 6"),
        (None, "not None"),
        (7, "not 7"),
        ("60 * * * *", "wrong: Bad minute '60'; it goes from 0 to 59"),
        ("0 25 * * *", "wrong: Bad hour '25'; it goes from 0 to 23"),
        ("0 0 25 * * *", "wrong: Bad hour '25'; it goes from 0 to 23"),
        ("61 0 9 * * *", "wrong: Bad second '61'; it goes from 0 to 59"),
        ("0 9 0 * *", "Bad day-of-month '0'; it goes from 1 to 31"),
        ("0 9 1 13 *", "Bad month '13'; it goes from 1 to 12, or JAN to DEC"),
        ("0 9 * * NEVER", r"Bad day-of-week 'NEVER'; it goes from 0 to 7 .* or SUN to SAT"),
        ("*/0 * * * *", r"Bad minute '\*/0'"),
        ("0 0 31 2 *", "Bad day-of-month"),
    ],
)
def test_an_expression_that_makes_no_sense_is_refused(expression: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        Cron(expression)
    assert repr(expression) in str(caught.value)


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "", "../etc/passwd", 7, 2.0])
def test_a_zone_that_nobody_knows_is_refused(zone: Any) -> None:
    with pytest.raises(ConfigurationError, match="no time zone that is known here"):
        Cron("0 9 * * *", zone)


@pytest.mark.parametrize(
    ("expression", "zone", "text"),
    [
        ("0 9  * * MON", None, "cron 0 9 * * MON"),
        ("0 9 * * MON", "Europe/Zurich", "cron 0 9 * * MON in Europe/Zurich"),
        ("0 9 * * MON", UTC, "cron 0 9 * * MON in UTC"),
    ],
)
def test_it_reads_as_it_was_written(expression: str, zone: Any, text: str) -> None:
    assert str(Cron(expression, zone)) == text


def test_without_cronsim_all_but_cron_works_and_the_error_names_the_extra() -> None:
    script = """
import sys
sys.modules["cronsim"] = None  # as where it is not installed
from cano_sync import Workflow
from cano_sync.scheduler import Scheduler
workflow = Workflow().register("GO", lambda: "DONE").add_exit_state("DONE")
scheduler = Scheduler()
scheduler.manual("by hand", workflow, "GO")
with scheduler.start_in_background():
    print(scheduler.trigger("by hand").result())
    try:
        scheduler.cron("cron", workflow, "GO", "0 9 * * MON")
    except ImportError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=40
    )
    assert done.stdout.splitlines() == [
        "DONE",
        "Cron() needs the package cronsim: pip install 'cano_sync[cron]'",
    ]
