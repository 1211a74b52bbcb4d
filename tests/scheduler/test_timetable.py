"""Timetables of intervals: a grid from the start, or gaps one after the other."""

from __future__ import annotations

import random

import pytest

from cano_sync.scheduler.timetable import Gaps, Grid, interval_text


def test_a_grid_begins_one_interval_after_the_start() -> None:
    grid = Grid(10.0)
    grid.begin(3.0)
    assert grid.after(3.0) == 13.0


def test_the_point_itself_is_not_after_it() -> None:
    """Whatever the roundings: each point is followed by the next, and none is left out."""
    draw = random.Random(7)
    for _ in range(200):
        start, interval = draw.uniform(0, 1e6), draw.choice([0.1, 1 / 3, 7.7, 60.0, 1e-3])
        grid = Grid(interval)
        grid.begin(start)
        due = start
        for number in range(1, 50):
            due = grid.after(due)
            assert due == start + number * interval


def test_a_grid_finds_its_points_far_away_at_once() -> None:
    grid = Grid(0.001)
    grid.begin(0.0)
    assert grid.after(1e9) == pytest.approx(1e9 + 0.001, abs=0.001)


def test_gaps_follow_each_other_and_are_drawn_once_each() -> None:
    gaps = iter((5.0, 7.0, 6.0))
    timetable = Gaps(lambda: next(gaps), words="every 5 to 10 s")
    timetable.begin(100.0)
    assert timetable.after(100.0) == timetable.after(104.9) == 105.0
    assert timetable.after(105.0) == 112.0
    assert timetable.after(112.0) == 118.0


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
