"""Timetables: an interval counted from the start, by hand, and one of a user's own."""

from __future__ import annotations

import pickle
import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cano_sync import ConfigurationError
from cano_sync.scheduler import Every, FlowState, Manual, Scheduler, Timetable
from cano_sync.scheduler.timetable import interval_text
from cano_sync.testing import start_by_hand
from tests.scheduler.conftest import Journal, after, one


def test_the_first_time_is_one_interval_after_the_start() -> None:
    assert after(Every(10.0), 3.0, start=3.0) == 13.0


def test_the_point_itself_is_not_after_it() -> None:
    """Whatever the roundings: each point is followed by the next, and none is left out."""
    draw = random.Random(7)
    for _ in range(200):
        start, interval = draw.uniform(0, 1e6), draw.choice([0.1, 1 / 3, 7.7, 60.0, 1e-3])
        timetable = Every(interval)
        due = start
        for number in range(1, 50):
            due = after(timetable, due, start)
            assert due == start + number * interval


def test_points_far_away_are_found_at_once() -> None:
    assert after(Every(0.001), 1e9) == pytest.approx(1e9 + 0.001, abs=0.001)


@pytest.mark.parametrize(
    ("timetable", "interval"),
    [
        (Every(90), 90.0),
        (Every(timedelta(minutes=1.5)), 90.0),
        (Every(minutes=1.5), 90.0),
        (Every(hours=1, minutes=30, seconds=0.5), 5400.5),
        (Every(days=2), 172800.0),
        (Every(hours=1, minutes=-10), 3000.0),
    ],
)
def test_an_interval_is_seconds_a_timedelta_or_keywords_that_add_up(
    timetable: Every, interval: float
) -> None:
    assert timetable == Every(interval)
    assert timetable.interval == interval


@pytest.mark.parametrize("given", [0, -1, "5", None, True, timedelta(0), timedelta(-1)])
def test_an_interval_is_above_0(given: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^Every\(.*\) is not an interval; give"):
        Every(given)


@pytest.mark.parametrize("unit", ["days", "hours", "minutes", "seconds"])
@pytest.mark.parametrize(
    "number", [-1, "5", None, True, float("nan"), float("inf"), 10**400, timedelta(minutes=5)]
)
def test_a_number_of_units_is_above_0(unit: str, number: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Every(**{unit: number})
    assert str(caught.value).startswith(f"Every({unit}={number!r}) is not an interval; give")


def test_an_interval_is_given_in_one_way() -> None:
    with pytest.raises(ConfigurationError, match=r"Every\(10, minutes=5\) is not an interval"):
        Every(10, minutes=5)


def test_an_interval_is_a_microsecond_or_more() -> None:
    for wrong in (1e-25, 9e-7):
        with pytest.raises(ConfigurationError, match="is not an interval; give a microsecond"):
            Every(wrong)
    assert Every(timedelta(microseconds=1)).interval == 1e-6


def test_a_timetable_is_a_value() -> None:
    every = Every(minutes=5)
    assert every == Every(300) != Every(301)
    assert hash(every) == hash(Every(300))
    assert pickle.loads(pickle.dumps(every)) == every == replace(every)
    assert eval(repr(every)) == every
    assert Manual() == Manual()
    with pytest.raises(AttributeError):
        every.interval = 1.0  # type: ignore[misc]


def test_one_by_hand_is_never_due() -> None:
    assert Manual().after(0.0, 0.0, random.Random()) is None


class Doubling(Timetable):
    """1, 2, 4, 8 seconds after the start, and so on."""

    def __str__(self) -> str:
        return "ever more seldom"

    def after(self, moment: float, start: float, random: random.Random) -> float:
        due = 1.0
        while start + due <= moment:
            due *= 2
        return start + due


def test_a_timetable_of_ones_own_is_one(scheduler: Scheduler, journal: Journal) -> None:
    scheduler.add("flow", one(journal), "GO", Doubling())
    assert scheduler.status("flow").schedule == "ever more seldom"
    with start_by_hand(scheduler) as time:
        time.advance(20)
    assert journal.times == [1, 2, 4, 8, 16]


def test_one_that_fails_ends_for_its_flow_alone(scheduler: Scheduler, journal: Journal) -> None:
    scheduler.add("fails", one(lambda: "DONE"), "GO", Timetable())
    scheduler.add("flow", one(journal), "GO", Every(10))
    with start_by_hand(scheduler) as time:
        time.advance(20)
        status = scheduler.status("fails")
        assert (status.state, status.next_due) == (FlowState.IDLE, None)
        assert isinstance(status.last_error, NotImplementedError)
        assert status.last_outcome is None
    assert journal.times == [10, 20]


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (0.25, "0.25 s"),
        (1, "second"),
        (10, "10 s"),
        (60, "minute"),
        (90, "90 s"),
        (300, "5 min"),
        (3600, "hour"),
        (7200, "2 hours"),
        (86400, "day"),
        (604800, "7 days"),
    ],
)
def test_an_interval_reads_in_its_largest_whole_unit(interval: float, text: str) -> None:
    assert interval_text(interval) == text
