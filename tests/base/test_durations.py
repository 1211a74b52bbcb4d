"""Durations: what counts as one, and what is refused in which words."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cano_sync import ConfigurationError
from cano_sync._base.durations import limit, seconds
from cano_sync._base.waiting import SIGNAL_CHECK, wait_slice


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0.0),
        (2, 2.0),
        (0.25, 0.25),
        (timedelta(milliseconds=250), 0.25),
        (timedelta(days=1), 86400.0),
        (timedelta(0), 0.0),
    ],
)
def test_numbers_and_timedeltas_are_seconds(value: Any, expected: float) -> None:
    got = seconds(value, "timeout")
    assert got == expected
    assert type(got) is float


@pytest.mark.parametrize(
    "value", [-1, -0.001, math.nan, math.inf, -math.inf, timedelta(seconds=-1)]
)
def test_an_impossible_duration_is_refused_by_name_and_value(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"patience must be a finite number") as caught:
        seconds(value, "patience")
    assert str(caught.value).endswith(f"not {value!r}")


def test_a_limit_may_be_left_out_and_an_impossible_one_says_so() -> None:
    assert limit(None, "patience") is None
    assert limit(timedelta(minutes=1), "patience") == 60.0
    with pytest.raises(ConfigurationError, match=r"patience .* not -1; leave it out \(None\)"):
        limit(-1, "patience")


@pytest.mark.parametrize("value", ["2", None, True, [2], 2j])
def test_what_is_no_duration_is_refused_by_name_and_type(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="patience must be seconds") as caught:
        seconds(value, "patience")
    assert repr(value) in str(caught.value)
    assert type(value).__name__ in str(caught.value)


@given(st.timedeltas(min_value=timedelta(0)))
def test_a_timedelta_means_its_total_seconds(value: timedelta) -> None:
    assert seconds(value, "timeout") == value.total_seconds()


def test_a_whole_number_beyond_all_floats_is_refused_like_infinity() -> None:
    with pytest.raises(ConfigurationError, match="patience"):
        seconds(10**400, "patience")


def elsewhere(work: Callable[[], object]) -> object:
    """What it returns on a thread that is not the main one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(20)


def test_a_wait_is_cut_to_what_a_lock_can_do() -> None:
    for left in (1e300, None):
        assert elsewhere(lambda left=left: wait_slice(left)) == threading.TIMEOUT_MAX
    assert elsewhere(lambda: wait_slice(1.5)) == 1.5
    assert elsewhere(lambda: wait_slice(-1.0)) == 0
    lock = threading.Lock()
    # One that is not cut is an OverflowError.
    assert elsewhere(lambda: lock.acquire(timeout=wait_slice(1e300)))


def test_on_the_main_thread_a_wait_looks_up_now_and_then() -> None:
    """For a signal that came in the moment before it blocked, and that Python has not handled."""
    assert wait_slice(None) == wait_slice(60.0) == SIGNAL_CHECK
    assert wait_slice(0.1) == 0.1
    assert wait_slice(-1.0) == 0
