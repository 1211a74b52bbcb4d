"""The error tree: what each error is besides, what it carries, what it says."""

from __future__ import annotations

import pytest

from cano_sync import (
    AttemptTimeoutError,
    Cancelled,
    CanoError,
    ConfigurationError,
    DiscardedWorkflowWarning,
    JoinError,
    KeyNotFoundError,
    NodeExecutionError,
    PreparationError,
    RetryExhaustedError,
    SplitResult,
    SplitTimeoutError,
    StoreError,
    TaskExecutionError,
    TypeMismatchError,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowTimeoutError,
)
from cano_sync._base.text import error_text
from cano_sync.errors import root_of

PARENTS: list[tuple[type[Exception], set[type[Exception]]]] = [
    (CanoError, {Exception}),
    (ConfigurationError, {CanoError, ValueError}),
    (WorkflowError, {CanoError}),
    (JoinError, {WorkflowError}),
    (SplitTimeoutError, {JoinError, TimeoutError}),
    (WorkflowTimeoutError, {WorkflowError, TimeoutError}),
    (WorkflowCancelledError, {CanoError}),
    (TaskExecutionError, {CanoError}),
    (NodeExecutionError, {CanoError}),
    (PreparationError, {CanoError}),
    (AttemptTimeoutError, {CanoError, TimeoutError}),
    (RetryExhaustedError, {CanoError}),
    (StoreError, {CanoError}),
    (KeyNotFoundError, {StoreError, KeyError}),
    (TypeMismatchError, {StoreError, TypeError}),
    (DiscardedWorkflowWarning, {UserWarning}),
]
ERRORS = [kind for kind, _ in PARENTS if issubclass(kind, CanoError)]


@pytest.mark.parametrize(("kind", "parents"), PARENTS)
def test_every_error_has_its_place_in_the_tree(
    kind: type[Exception], parents: set[type[Exception]]
) -> None:
    assert set(kind.__bases__) == parents


def test_the_signal_is_not_in_the_tree() -> None:
    """A broad `except Exception` in a task must not swallow it."""
    assert issubclass(Cancelled, BaseException)
    assert not issubclass(Cancelled, Exception)


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_says_its_message_as_it_is(kind: type[CanoError]) -> None:
    """A KeyError of Python's own would show it in quotes."""
    assert str(kind("it 'broke'")) == "it 'broke'"


@pytest.mark.parametrize("kind", ERRORS)
def test_where_it_happened_is_none_as_long_as_nobody_knows(kind: type[CanoError]) -> None:
    error = kind("it broke")
    assert (error.state, error.task, error.run_id) == (None, None, None)


def test_an_error_carries_where_it_happened() -> None:
    error = TaskExecutionError("it broke", state="LOAD", task="load", run_id="r1")
    assert (error.state, error.task, error.run_id) == ("LOAD", "load", "r1")


def test_fields_are_given_by_name_only() -> None:
    kind: type = TaskExecutionError
    with pytest.raises(TypeError):
        kind("it broke", "LOAD")


# locate().


def test_locating_fills_in_what_is_not_known() -> None:
    error = CanoError("it broke")
    error.locate(state="LOAD", task="load", run_id="r1")
    assert (error.state, error.task, error.run_id) == ("LOAD", "load", "r1")


def test_locating_keeps_what_a_deeper_floor_has_said() -> None:
    error = CanoError("it broke", task="prep")
    error.locate(state="LOAD", task="load", run_id="r1")
    assert (error.state, error.task, error.run_id) == ("LOAD", "prep", "r1")
    other = CanoError("it broke", state="INSIDE")
    other.locate(state="LOAD", task="load", run_id="r1")
    assert (other.state, other.task, other.run_id) == ("INSIDE", "load", "r1")


def test_an_error_of_a_run_inside_keeps_its_own_place() -> None:
    """Once located it is never located again, not even in what was left open."""
    error = CanoError("it broke")
    error.locate(state="INNER", task=None, run_id="inner")
    error.locate(state="OUTER", task="outer", run_id="outer")
    assert (error.state, error.task, error.run_id) == ("INNER", None, "inner")


# What some carry besides.


def test_one_problem_is_the_message_and_the_list() -> None:
    error = ConfigurationError.of(["no exit state"])
    assert str(error) == "no exit state"
    assert error.problems == ("no exit state",)


def test_many_problems_are_counted_and_numbered() -> None:
    error = ConfigurationError.of(["no exit state", "no task"])
    assert error.problems == ("no exit state", "no task")
    assert str(error) == "2 problems in this workflow:\n  1. no exit state\n  2. no task"


def test_a_bare_configuration_error_is_its_own_problem() -> None:
    error = ConfigurationError("no exit state", state="LOAD", task="load")
    assert error.problems == ("no exit state",)
    assert (error.state, error.task) == ("LOAD", "load")


@pytest.mark.parametrize("kind", [JoinError, SplitTimeoutError])
def test_a_failed_join_carries_its_result(kind: type[JoinError]) -> None:
    result = SplitResult([], [], [])
    assert kind("it broke", result=result).result is result
    assert kind("it broke").result is None


def test_a_cancelled_run_carries_the_reason() -> None:
    assert WorkflowCancelledError("stopped", reason="shutting down").reason == "shutting down"
    assert WorkflowCancelledError("stopped").reason is None


def test_exhausted_retries_carry_how_many_attempts_there_were() -> None:
    assert RetryExhaustedError("gave up", attempts=3).attempts == 3


# error_text().


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text to be had")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no such order"), "ValueError: no such order"),
        (ValueError(), "ValueError"),
        (KeyError("order"), "KeyError: 'order'"),
        (KeyNotFoundError("no store key"), "KeyNotFoundError: no store key"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (Mute(), "Mute (its text raised RuntimeError)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_foreign_error_is_quoted_by_its_kind_and_its_text(
    error: BaseException, text: str
) -> None:
    assert error_text(error) == text


def test_a_wrapped_error_is_taken_apart_and_a_plain_one_left_alone() -> None:
    inner = KeyError("x")
    middle = TaskExecutionError("wrapped")
    middle.__cause__ = inner
    outer = RetryExhaustedError("wrapped again")
    outer.__cause__ = middle
    assert root_of(outer) is inner
    assert root_of(inner) is inner
    assert root_of(TaskExecutionError("alone")).args == ("alone",)
