"""`TaskConfig`: what it holds, what it refuses, and its changed copies."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import tenacity

from cano_sync import ConfigurationError, TaskConfig


def test_the_minimal_config_runs_once_without_a_limit() -> None:
    config = TaskConfig()
    assert (config.retry, config.attempt_timeout) == (None, None)
    assert config.is_minimal
    assert config == TaskConfig()


@pytest.mark.parametrize(
    "config", [TaskConfig(attempt_timeout=1), TaskConfig().with_fixed_retry(1, delay=0)]
)
def test_a_limit_or_a_retry_is_more_than_minimal(config: TaskConfig) -> None:
    assert not config.is_minimal


def test_a_retrying_object_is_kept_as_it_is() -> None:
    retry = tenacity.Retrying(stop=tenacity.stop_after_delay(10))
    assert TaskConfig(retry).retry is retry


class Waiting(tenacity.Retrying):
    """A user's own."""


def test_a_retrying_class_of_ones_own_is_taken() -> None:
    assert isinstance(TaskConfig(Waiting()).retry, Waiting)


@pytest.mark.parametrize("retry", [3, tenacity.Retrying, tenacity.AsyncRetrying(), "often"])
def test_what_is_no_retrying_object_is_refused_with_the_mend(retry: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"with_fixed_retry\(retries, delay\)"):
        TaskConfig(retry)


def test_an_attempt_timeout_is_seconds_from_then_on() -> None:
    config = TaskConfig(attempt_timeout=timedelta(seconds=2))
    assert config.attempt_timeout == 2.0
    assert type(config.attempt_timeout) is float


def test_with_attempt_timeout_keeps_the_retry_and_changes_no_other_config() -> None:
    before = TaskConfig().with_fixed_retry(3, delay=0.5)
    config = before.with_attempt_timeout(2)
    assert (config.retry, config.attempt_timeout) == (before.retry, 2.0)
    assert before.attempt_timeout is None
    assert config.with_attempt_timeout(None).attempt_timeout is None


def test_it_does_not_change() -> None:
    with pytest.raises(AttributeError):
        TaskConfig().attempt_timeout = 1  # type: ignore[misc]


def test_a_retry_keeps_the_time_limit_that_was_said_before() -> None:
    for config in (
        TaskConfig(attempt_timeout=0.05).with_fixed_retry(2, 0),
        TaskConfig(attempt_timeout=0.05).with_exponential_retry(2),
        TaskConfig().with_fixed_retry(2, 0).with_attempt_timeout(0.05),
    ):
        assert config.attempt_timeout == 0.05
        assert config.retry is not None


def test_the_last_retry_that_was_said_counts() -> None:
    assert TaskConfig().with_fixed_retry(2, 0).with_fixed_retry(0, 0) == TaskConfig()
