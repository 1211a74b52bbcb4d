"""The agenda: what is due next on either clock."""

from __future__ import annotations

import random

from cano_sync.scheduler.agenda import Agenda
from cano_sync.scheduler.clock import Alarm, Moment


def taken(agenda: Agenda[str], now: Moment) -> list[str]:
    found = []
    while (entry := agenda.take(now)) is not None:
        found.append(entry.what)
    return found


def test_what_is_due_comes_out_in_order_and_what_is_not_stays() -> None:
    agenda: Agenda[str] = Agenda()
    for at, what in ((30.0, "c"), (10.0, "a"), (20.0, "b"), (99.0, "z")):
        agenda.put(at, what, on_wall_clock=False)
    assert taken(agenda, Moment(50.0, 0.0)) == ["a", "b", "c"]
    assert agenda.alarm == Alarm(99.0, None)


def test_of_two_that_are_due_at_once_the_first_entered_is_first() -> None:
    agenda: Agenda[str] = Agenda()
    for what in "abcdef":
        agenda.put(1.0, what, on_wall_clock=True)
    assert taken(agenda, Moment(0.0, 1.0)) == list("abcdef")


def test_each_clock_has_its_own_times() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.put(10.0, "interval", on_wall_clock=False)
    agenda.put(10.0, "nine o'clock", on_wall_clock=True)
    assert agenda.alarm == Alarm(10.0, 10.0)
    assert taken(agenda, Moment(monotonic=5.0, wall=10.0)) == ["nine o'clock"]
    assert taken(agenda, Moment(monotonic=10.0, wall=0.0)) == ["interval"]


def test_putting_tells_whether_it_is_the_first() -> None:
    agenda: Agenda[str] = Agenda()
    assert agenda.put(10.0, "a", on_wall_clock=False)[1]
    assert not agenda.put(20.0, "b", on_wall_clock=False)[1]
    assert agenda.put(5.0, "c", on_wall_clock=False)[1]


def test_what_was_dropped_does_not_come_out_and_takes_no_room() -> None:
    agenda: Agenda[int] = Agenda()
    draw = random.Random(5)
    for number in range(5000):
        entry, _ = agenda.put(draw.random(), number, on_wall_clock=False)
        if number % 100:
            agenda.drop(entry, on_wall_clock=False)
            agenda.drop(entry, on_wall_clock=False)  # a second time does nothing
    assert len(agenda._heaps[False]._entries) < 200
    found = []
    while (entry := agenda.take(Moment(1.0, 1.0))) is not None:
        found.append(entry.what)
    assert sorted(found) == list(range(0, 5000, 100))
    assert agenda.alarm == Alarm()


def test_what_is_due_again_at_once_on_one_clock_does_not_hold_up_the_other() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.put(9.5, "nine o'clock", on_wall_clock=True)
    agenda.put(5.0, "each moment", on_wall_clock=False)
    first = agenda.take(Moment(monotonic=5.0, wall=10.0))
    assert first is not None
    assert first.what == "nine o'clock"
