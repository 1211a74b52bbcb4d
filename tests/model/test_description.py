"""What a workflow describes, as data."""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal

import pytest

from cano_sync import JoinConfig, JoinStrategy
from cano_sync._base.text import full_name
from cano_sync._model.description import Description, SingleState, SplitState
from cano_sync._model.task import bind


class Step(Enum):
    NEXT = "next"
    DONE = "done"


class Word(str, Enum):  # noqa: UP042
    GO = "go"


def to_done() -> Literal[Step.DONE]:
    return Step.DONE


def anywhere() -> Any:
    return Step.DONE


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (Step.NEXT, "Step.NEXT"),
        (Word.GO, "Word.GO"),
        ("go", "'go'"),
        (7, "7"),
        (("go", 7), "('go', 7)"),
        (None, "None"),
    ],
)
def test_a_state_is_shown_as_it_is_written(state: Any, text: str) -> None:
    assert full_name(state) == text


def test_a_description_has_no_limits_executor_or_store_unless_it_says_so() -> None:
    empty = Description({}, {})
    assert (empty.timeout, empty.executor, empty.store) == (None, None, None)


def test_a_single_state_goes_where_its_task_declares() -> None:
    assert SingleState(bind(to_done)).edges == {Step.DONE}
    assert SingleState(bind(anywhere)).edges is None
    assert SingleState(bind(to_done), error_state=Step.NEXT).edges == {Step.DONE}


def test_a_split_goes_to_its_join_state_or_its_error_state() -> None:
    split = SplitState(JoinConfig(JoinStrategy.ALL, Step.DONE, error_state=Step.NEXT))
    assert split.edges == {Step.DONE}
    assert split.error_state is Step.NEXT
    assert (split.tasks, split.factory) == ((), None)
    assert SplitState(JoinConfig(JoinStrategy.ALL, Step.DONE)).error_state is None


@pytest.mark.parametrize(
    "thing",
    [
        Description({}, {}),
        SingleState(bind(to_done)),
        SplitState(JoinConfig(JoinStrategy.ALL, Step.DONE)),
    ],
)
def test_a_description_does_not_change(thing: Any) -> None:
    name = type(thing)._fields[0]
    with pytest.raises(AttributeError):
        setattr(thing, name, None)
