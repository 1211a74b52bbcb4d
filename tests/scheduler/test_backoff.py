"""`Backoff`: delays that grow up to a cap, and the failures after which a flow trips."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from cano_sync import ConfigurationError
from cano_sync.scheduler import Backoff


def test_the_delay_grows_by_the_multiplier_up_to_the_cap() -> None:
    backoff = Backoff(1, multiplier=3, cap=20, jitter=0)
    assert [backoff.delay(number, Random()) for number in (1, 2, 3, 4, 9999)] == [1, 3, 9, 20, 20]


def test_the_jitter_is_a_share_of_the_delay_up_or_down() -> None:
    backoff, draw = Backoff(100, jitter=0.25), Random(3)
    delays = [backoff.delay(1, draw) for _ in range(500)]
    assert 75 <= min(delays) < 80
    assert 120 < max(delays) <= 125
    assert delays == [backoff.delay(1, again) for again in [Random(3)] for _ in range(500)]


def test_a_base_of_zero_never_waits() -> None:
    assert Backoff(0, multiplier=10).delay(5000, Random()) == 0.0


def test_it_trips_after_so_many_failures_or_never() -> None:
    assert [Backoff(1, trip_after=3).trips(number) for number in (1, 2, 3, 4)] == [
        False,
        False,
        True,
        True,
    ]
    assert not Backoff(1).trips(10**6)


def test_durations_may_be_timedeltas() -> None:
    backoff = Backoff(timedelta(seconds=5), cap=timedelta(minutes=1))
    assert (backoff.base, backoff.cap) == (5.0, 60.0)


def test_it_is_a_value() -> None:
    assert Backoff(5) == Backoff(5.0)
    assert replace(Backoff(5), trip_after=2) == Backoff(5, trip_after=2)
    with pytest.raises(AttributeError):
        Backoff(5).base = 6.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"base": -1}, "0 or more"),
        ({"base": "1"}, "of type str"),
        ({"base": 1, "multiplier": 0.5}, "1 or more"),
        ({"base": 1, "multiplier": "2"}, "finite number"),
        ({"base": 1, "multiplier": float("nan")}, "finite number"),
        ({"base": 1, "cap": -1}, "0 or more"),
        ({"base": 90, "cap": 60}, "more than its cap"),
        ({"base": 1, "jitter": 1.5}, "share from 0 to 1"),
        ({"base": 1, "jitter": True}, "finite number"),
        ({"base": 1, "trip_after": 0}, "1 or more"),
        ({"base": 1, "trip_after": 2.5}, "1 or more"),
        ({"base": 1, "trip_after": True}, "1 or more"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        Backoff(**settings)
