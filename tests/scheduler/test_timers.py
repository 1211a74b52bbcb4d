"""The timers: what is due next on either clock."""

from __future__ import annotations

import random

from cano_sync.scheduler.clock import Alarm, Moment
from cano_sync.scheduler.timers import Timers


def popped(timers: Timers[str], now: Moment) -> list[str]:
    found = []
    while (due := timers.pop_due(now)) is not None:
        found.append(due[0])
    return found


def test_what_is_due_comes_out_in_order_and_what_is_not_stays() -> None:
    timers: Timers[str] = Timers()
    for at, item in ((30.0, "c"), (10.0, "a"), (20.0, "b"), (99.0, "z")):
        timers.set(item, at, on_wall_clock=False)
    assert popped(timers, Moment(50.0, 0.0)) == ["a", "b", "c"]
    assert timers.alarm == Alarm(99.0, None)


def test_what_comes_out_says_for_how_long_it_has_been_due() -> None:
    timers: Timers[str] = Timers()
    timers.set("a", 10.0, on_wall_clock=False)
    timers.set("b", 100.0, on_wall_clock=True)
    now = Moment(monotonic=12.0, wall=105.0)
    assert [timers.pop_due(now), timers.pop_due(now)] == [("b", 5.0), ("a", 2.0)]
    assert timers.pop_due(now) is None


def test_of_two_that_are_due_at_once_the_first_set_is_first() -> None:
    timers: Timers[str] = Timers()
    for item in "abcdef":
        timers.set(item, 1.0, on_wall_clock=True)
    assert popped(timers, Moment(0.0, 1.0)) == list("abcdef")


def test_each_clock_has_its_own_times() -> None:
    timers: Timers[str] = Timers()
    timers.set("interval", 10.0, on_wall_clock=False)
    timers.set("nine o'clock", 10.0, on_wall_clock=True)
    assert timers.alarm == Alarm(10.0, 10.0)
    assert popped(timers, Moment(monotonic=5.0, wall=10.0)) == ["nine o'clock"]
    assert popped(timers, Moment(monotonic=10.0, wall=0.0)) == ["interval"]


def test_setting_again_takes_the_place_of_the_former_one() -> None:
    timers: Timers[str] = Timers()
    timers.set("a", 10.0, on_wall_clock=False)
    timers.set("a", 20.0, on_wall_clock=False)
    assert timers.get("a") == 20.0
    assert popped(timers, Moment(19.0, 0.0)) == []
    assert popped(timers, Moment(20.0, 0.0)) == ["a"]
    assert timers.get("a") is None


def test_what_was_cancelled_does_not_come_out_and_takes_no_room() -> None:
    timers: Timers[int] = Timers()
    draw = random.Random(5)
    for number in range(5000):
        timers.set(number, draw.random(), on_wall_clock=False)
        if number % 100:
            timers.cancel(number)
            timers.cancel(number)  # a second time does nothing
    assert len(timers._heaps[False]) < 200
    found = []
    while (due := timers.pop_due(Moment(1.0, 1.0))) is not None:
        found.append(due[0])
    assert sorted(found) == list(range(0, 5000, 100))
    assert timers.alarm == Alarm()


def test_what_is_due_again_at_once_on_one_clock_does_not_hold_up_the_other() -> None:
    timers: Timers[str] = Timers()
    timers.set("nine o'clock", 9.5, on_wall_clock=True)
    timers.set("each moment", 5.0, on_wall_clock=False)
    assert timers.pop_due(Moment(monotonic=5.0, wall=10.0)) == ("nine o'clock", 0.5)
