"""`JoinConfig`: what it holds, what it refuses, and its changed copies."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cano_sync import ConfigurationError, JoinConfig, JoinStrategy, Tally, TaskResult, Verdict

FULL: JoinConfig[str] = JoinConfig(
    JoinStrategy.ALL,
    "NEXT",
    timeout=2,
    bulkhead=4,
    store_partial_results=True,
    collect="offers",
    fail_fast=True,
    error_state="MEND",
)


def test_by_default_there_is_no_limit_and_nothing_is_stored() -> None:
    join = JoinConfig(JoinStrategy.ANY, "NEXT")
    assert (join.strategy, join.join_state) == (JoinStrategy.ANY, "NEXT")
    assert (join.timeout, join.bulkhead) == (None, None)
    assert (join.store_partial_results, join.collect) == (False, None)
    assert (join.fail_fast, join.error_state) == (False, None)


@pytest.mark.parametrize("timeout", [2, 2.0, timedelta(seconds=2)])
def test_a_timeout_is_seconds_from_then_on(timeout: Any) -> None:
    join = JoinConfig(JoinStrategy.ALL, "NEXT", timeout=timeout)
    assert join.timeout == 2.0
    assert type(join.timeout) is float


def test_it_does_not_change() -> None:
    with pytest.raises(AttributeError):
        FULL.bulkhead = 5  # type: ignore[misc]


def test_settings_are_given_by_name_only() -> None:
    kind: Any = JoinConfig
    with pytest.raises(TypeError):
        kind(JoinStrategy.ALL, "NEXT", 2)


@pytest.mark.parametrize(
    ("changed", "field", "value"),
    [
        (FULL.with_timeout(timedelta(seconds=9)), "timeout", 9.0),
        (FULL.with_timeout(None), "timeout", None),
        (FULL.with_bulkhead(7), "bulkhead", 7),
        (FULL.with_bulkhead(None), "bulkhead", None),
        (FULL.with_store_partial_results(False), "store_partial_results", False),
        (FULL.with_join_state("OTHER"), "join_state", "OTHER"),
        (FULL.with_error_state("OTHER"), "error_state", "OTHER"),
        (FULL.with_error_state(None), "error_state", None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_changed_copy_differs_in_that_setting_alone(
    changed: JoinConfig[str], field: str, value: Any
) -> None:
    assert changed == replace(FULL, **{field: value})
    assert getattr(changed, field) == value
    assert getattr(FULL, field) != value


def test_partial_results_are_stored_by_the_bare_call() -> None:
    join = JoinConfig(JoinStrategy.ALL, "NEXT")
    assert join.with_store_partial_results().store_partial_results is True


@pytest.mark.parametrize(
    "change",
    [
        lambda join: join.with_timeout(-1),
        lambda join: join.with_bulkhead(0),
        lambda join: join.with_bulkhead(True),
        lambda join: join.with_bulkhead(2.0),
        lambda join: replace(join, collect=7),
        lambda join: replace(join, strategy=JoinStrategy.ANY),  # it fails fast
    ],
)
def test_a_changed_copy_is_checked_like_a_new_one(change: Any) -> None:
    with pytest.raises(ConfigurationError):
        change(FULL)


def test_taking_away_the_time_limit_that_a_strategy_needs_is_refused() -> None:
    join = JoinConfig(JoinStrategy.PARTIAL_TIMEOUT, "NEXT", timeout=1)
    with pytest.raises(ConfigurationError, match="PARTIAL_TIMEOUT needs a time limit"):
        join.with_timeout(None)


def test_the_strategy_that_is_asked_is_its_own_unless_it_fails_fast() -> None:
    assert JoinConfig(JoinStrategy.ALL, "NEXT").effective is JoinStrategy.ALL
    one_failed = Tally(total=3, successes=0, errors=1)
    assert FULL.strategy.decide(one_failed) is Verdict.WAIT
    assert FULL.effective.decide(one_failed) is Verdict.FAIL


class Impatient(JoinStrategy):
    """A strategy of a user's own, with a fail-fast variant and a demand."""

    def decide(self, tally: Tally) -> Verdict:
        return Verdict.WAIT

    def failing_fast(self) -> JoinStrategy:
        return JoinStrategy.ANY

    def problem_with(self, *, total: int | None, timeout: float | None) -> str | None:
        return "an Impatient split needs a timeout" if timeout is None else None


def test_a_strategy_of_ones_own_is_taken_and_heard() -> None:
    assert JoinConfig(Impatient(), "NEXT", timeout=timedelta(seconds=1)).timeout == 1.0
    with pytest.raises(ConfigurationError, match="an Impatient split needs a timeout"):
        JoinConfig(Impatient(), "NEXT")


def test_under_fail_fast_the_stand_in_is_heard_instead() -> None:
    join = JoinConfig(Impatient(), "NEXT", fail_fast=True)
    assert join.effective is JoinStrategy.ANY


def test_a_strategys_class_is_told_to_be_made_an_object() -> None:
    strategy: Any = Impatient
    with pytest.raises(ConfigurationError) as caught:
        JoinConfig(strategy, "NEXT")
    assert "JoinStrategy.Impatient" not in str(caught.value)


def test_the_type_of_its_states_may_be_said() -> None:
    assert JoinConfig[str](JoinStrategy.ALL, "NEXT") == JoinConfig(JoinStrategy.ALL, "NEXT")
    assert TaskResult[str](("NEXT",)) == TaskResult.single("NEXT")
