"""What came of a split, as data."""

from __future__ import annotations

from typing import Any

import pytest

from cano_sync import CanoError, Outcome, SplitResult, TaskExecutionError

GEO = Outcome(0, "geo", value="CH", started_at=1.0, duration=0.5)
USER = Outcome(2, "user", value=None)
CRASH = TaskExecutionError("state Ask.ALL: task 'device' raised ConnectionError: it is down")
CRASH.__cause__ = ConnectionError("it\nis down")
DOWN = Outcome(1, "device", error=CRASH)
LATE = Outcome(3, "late")


def test_an_outcome_of_a_branch_that_never_began_has_neither_time_nor_value() -> None:
    assert (LATE.value, LATE.error, LATE.started_at, LATE.duration) == (None, None, None, 0.0)


@pytest.mark.parametrize("thing", [GEO, SplitResult([], [], [])])
def test_what_has_happened_does_not_change(thing: Any) -> None:
    field = type(thing).__slots__[0]
    with pytest.raises(AttributeError):
        setattr(thing, field, None)


def test_the_total_counts_all_branches() -> None:
    assert SplitResult([GEO, USER], [DOWN], [LATE]).total == 4
    assert SplitResult([], [], []).total == 0


def test_the_values_are_those_of_the_successes_in_task_order_none_included() -> None:
    assert SplitResult([GEO, USER], [DOWN], [LATE]).values == ["CH", None]


def test_the_values_are_a_fresh_list() -> None:
    """Changing what came of it changes nothing for the next reader."""
    result = SplitResult([GEO], [], [])
    result.values.append("DE")
    assert result.values == ["CH"]


def test_the_summary_counts_and_names_who_failed() -> None:
    assert SplitResult([GEO], [], []).summary == "1 of 1 succeeded, 0 failed, 0 cancelled"
    assert SplitResult([GEO, USER], [DOWN], [LATE]).summary == (
        "2 of 4 succeeded, 1 failed, 1 cancelled (1 not started): #1 device: ConnectionError: it "
        "is down"
    )


def test_the_summary_names_three_failures_and_hints_at_more() -> None:
    errors = [Outcome(n, "x", error=CanoError(f"no {n}")) for n in range(4)]
    named = "#0 x: CanoError: no 0; #1 x: CanoError: no 1; #2 x: CanoError: no 2"
    assert SplitResult([], errors[:3], []).summary.endswith(f"cancelled: {named}")
    assert SplitResult([], errors, []).summary.endswith(f"cancelled: {named}; ...")
