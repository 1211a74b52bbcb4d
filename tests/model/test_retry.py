"""Retries: how often they are tried, and how long each of them waits."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st

from cano_sync import ConfigurationError, TaskConfig


def after(config: TaskConfig, attempt: int) -> tenacity.RetryCallState:
    """tenacity's state of mind after so many attempts, all of which have failed."""
    assert isinstance(config.retry, tenacity.Retrying)
    state = tenacity.RetryCallState(config.retry, None, (), {})
    state.attempt_number = attempt
    state.set_exception((ValueError, ValueError("it broke"), None))
    return state


def delay(config: TaskConfig, attempt: int) -> float:
    """How long it waits after that attempt."""
    assert config.retry is not None
    return config.retry.wait(after(config, attempt))


def stops(config: TaskConfig, attempt: int) -> bool:
    """Whether it gives up after that attempt."""
    assert config.retry is not None
    return config.retry.stop(after(config, attempt))


@pytest.mark.parametrize("retries", [1, 2, 7])
@pytest.mark.parametrize(
    "make",
    [
        lambda retries: TaskConfig().with_fixed_retry(retries, delay=1),
        lambda retries: TaskConfig().with_exponential_retry(retries),
    ],
    ids=["fixed", "exponential"],
)
def test_retries_are_attempts_after_the_first(make: Any, retries: int) -> None:
    config = make(retries)
    assert [stops(config, attempt) for attempt in range(1, retries + 2)] == (
        [False] * retries + [True]
    )


def test_no_retries_are_no_retrying_object() -> None:
    assert TaskConfig().with_fixed_retry(0, delay=1).is_minimal
    assert TaskConfig().with_exponential_retry(0).is_minimal


@pytest.mark.parametrize("given_delay", [0.25, timedelta(milliseconds=250)])
def test_a_fixed_delay_stays_the_same(given_delay: Any) -> None:
    config = TaskConfig().with_fixed_retry(9, delay=given_delay)
    assert [delay(config, attempt) for attempt in (1, 2, 9)] == [0.25] * 3


def test_exponential_delays_begin_with_the_base_and_grow_by_the_multiplier() -> None:
    config = TaskConfig().with_exponential_retry(
        9, base_delay=0.5, multiplier=3, max_delay=100, jitter=0
    )
    assert [delay(config, attempt) for attempt in (1, 2, 3, 4)] == [0.5, 1.5, 4.5, 13.5]


def test_the_defaults_of_the_exponential_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.1 s, doubled up to 30 s, a tenth up or down."""
    config = TaskConfig().with_exponential_retry(20)
    monkeypatch.setattr(random, "uniform", lambda low, high: 0.0)
    assert [delay(config, attempt) for attempt in (1, 2, 3)] == pytest.approx([0.1, 0.2, 0.4])
    assert delay(config, 20) == 30.0
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    assert delay(config, 20) == pytest.approx(33.0)
    monkeypatch.setattr(random, "uniform", lambda low, high: low)
    assert delay(config, 20) == pytest.approx(27.0)


def test_exponential_delays_take_timedeltas() -> None:
    config = TaskConfig().with_exponential_retry(
        9, base_delay=timedelta(seconds=2), max_delay=timedelta(seconds=5), jitter=0
    )
    assert [delay(config, attempt) for attempt in (1, 2, 3)] == [2.0, 4.0, 5.0]


@pytest.mark.parametrize("multiplier", [2, 2.0, 1e308])
def test_a_delay_too_large_for_a_float_is_the_longest(multiplier: float) -> None:
    config = TaskConfig().with_exponential_retry(
        10_000, base_delay=1, multiplier=multiplier, max_delay=60, jitter=0
    )
    assert delay(config, 10_000) == 60.0


def test_no_delay_stays_no_delay_however_often_it_grows() -> None:
    config = TaskConfig().with_exponential_retry(10_000, base_delay=0, jitter=0)
    assert delay(config, 1_000) == 0.0
    assert delay(config, 10_000) == 0.0


@given(
    base=st.floats(0, 1e6),
    multiplier=st.floats(1, 1e6),
    longest=st.floats(0, 1e6),
    jitter=st.floats(0, 1),
    attempt=st.integers(1, 50),
)
def test_jitter_varies_a_delay_by_at_most_its_share(
    base: float, multiplier: float, longest: float, jitter: float, attempt: int
) -> None:
    config = TaskConfig().with_exponential_retry(
        99, base_delay=base, multiplier=multiplier, max_delay=longest, jitter=jitter
    )
    middle = min(base * multiplier ** (attempt - 1), longest)
    got = delay(config, attempt)
    assert got >= 0
    assert middle * (1 - jitter) <= got * (1 + 1e-9) + 1e-300
    assert got <= middle * (1 + jitter) * (1 + 1e-9)


def test_jitter_varies_up_and_down() -> None:
    config = TaskConfig().with_exponential_retry(99, base_delay=1, jitter=0.5)
    delays = [delay(config, 1) for _ in range(200)]
    assert min(delays) < 1 < max(delays)


def test_a_built_retry_tries_again_after_any_exception_and_only_then() -> None:
    config = TaskConfig().with_fixed_retry(1, delay=0)
    assert config.retry is not None
    failed = after(config, 1)
    assert config.retry.retry(failed)
    succeeded = tenacity.RetryCallState(config.retry, None, (), {})
    succeeded.set_result("fine")
    assert not config.retry.retry(succeeded)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("multiplier", 0.5),
        ("multiplier", float("inf")),
        ("multiplier", "2"),
        ("multiplier", True),
        ("jitter", -0.1),
        ("jitter", 1.1),
        ("jitter", float("nan")),
        ("base_delay", -1),
        ("max_delay", float("inf")),
        ("retries", -1),
        ("retries", 1.0),
        ("retries", True),
    ],
)
def test_an_impossible_back_off_is_refused_by_name_and_value(setting: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=setting) as caught:
        TaskConfig().with_exponential_retry(**{"retries": 1, setting: value})
    assert repr(value) in str(caught.value)
