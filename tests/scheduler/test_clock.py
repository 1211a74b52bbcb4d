"""The clocks: the system's, and one that is moved by hand."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue
from typing import Any

import pytest

from cano_sync import ConfigurationError
from cano_sync.scheduler import Alarm, SystemClock
from cano_sync.scheduler.clock import Moment
from cano_sync.testing import HandClock

WATCHED = 20.0


def waiting(clock: Any, mailbox: SimpleQueue[None], alarm: Alarm) -> threading.Thread:
    thread = threading.Thread(target=clock.wait, args=(mailbox, alarm))
    thread.start()
    return thread


def test_an_alarm_is_as_far_away_as_the_earlier_of_its_two_times() -> None:
    now = Moment(monotonic=100.0, wall=1000.0)
    assert Alarm(110.0, 1005.0).left(now) == 5.0
    assert Alarm(103.0, 1005.0).left(now) == 3.0
    assert Alarm(None, 1005.0).left(now) == 5.0
    assert Alarm(90.0, None).left(now) == 0.0
    assert Alarm().left(now) is None


class TestSystemClock:
    def test_it_shows_the_systems_time(self) -> None:
        clock = SystemClock()
        assert abs(clock.wall() - time.time()) < WATCHED
        assert clock.monotonic() <= time.monotonic()

    @pytest.mark.parametrize("ahead", [-1.0, 0.02])
    def test_the_alarm_ends_the_wait(self, ahead: float) -> None:
        clock = SystemClock()
        thread = waiting(clock, SimpleQueue(), Alarm(clock.monotonic() + ahead))
        thread.join(WATCHED)
        assert not thread.is_alive()

    def test_a_note_ends_the_wait_and_is_taken(self) -> None:
        clock, mailbox = SystemClock(), SimpleQueue[None]()
        thread = waiting(clock, mailbox, Alarm())
        mailbox.put(None)
        thread.join(WATCHED)
        assert not thread.is_alive()
        assert mailbox.empty()

    def test_who_waits_for_a_time_of_day_looks_up_though_nothing_happens(self) -> None:
        clock = SystemClock()
        thread = waiting(clock, SimpleQueue(), Alarm(None, clock.wall() + 3600))
        thread.join(WATCHED)
        assert not thread.is_alive()


class TestHandClock:
    def test_it_stands_still(self) -> None:
        clock = HandClock(datetime(2026, 11, 25, 9, tzinfo=UTC))
        assert clock.now == datetime(2026, 11, 25, 9, tzinfo=UTC)
        assert (clock.wall(), clock.monotonic()) == (clock.wall(), 0.0)

    def test_time_passes_for_both(self) -> None:
        clock = HandClock(1000.0)
        clock.advance(60)
        assert (clock.wall(), clock.monotonic()) == (1060.0, 60.0)

    @pytest.mark.parametrize("offset", [3600.0, -3600.0])
    def test_a_jump_is_of_the_time_of_day_alone(self, offset: float) -> None:
        clock = HandClock(5000.0)
        clock.jump(offset)
        assert (clock.wall(), clock.monotonic()) == (5000.0 + offset, 0.0)
        clock.jump(timedelta(seconds=-offset))
        assert (clock.wall(), clock.monotonic()) == (5000.0, 0.0)

    @pytest.mark.parametrize("offset", ["1 h", None, True, float("nan"), float("-inf")])
    def test_a_jump_that_is_none_is_refused(self, offset: Any) -> None:
        clock = HandClock(5000.0)
        with pytest.raises(ConfigurationError, match=r"jump\(\)"):
            clock.jump(offset)
        assert clock.wall() == 5000.0

    def test_moving_it_wakes_who_waits(self, eventually: Any) -> None:
        clock = HandClock()
        thread = waiting(clock, SimpleQueue(), Alarm(10.0))
        eventually(lambda: bool(clock._waiting))
        clock.advance(1)
        thread.join(WATCHED)
        assert not thread.is_alive()

    def test_who_comes_too_late_to_see_it_moved_does_not_wait(self) -> None:
        clock = HandClock()
        clock.advance(10)
        clock.wait(SimpleQueue(), Alarm(10.0))

    def test_it_does_not_go_back(self) -> None:
        with pytest.raises(ConfigurationError, match="0 or more"):
            HandClock().advance(-1)

    def test_a_naive_datetime_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="aware datetime"):
            HandClock(datetime(2026, 11, 25))
