"""The machine: what a task may return, and the state that it leads to."""

from __future__ import annotations

import functools
import re
from typing import Any, Literal

import pytest

from cano_sync import (
    MemoryStore,
    TaskResult,
    Workflow,
    WorkflowError,
)
from tests.kit import Step, done, single, split

# States.


def twin(text: str) -> str:
    """An equal string that is another object."""
    return "".join(list(text))


def test_states_are_compared_by_equality() -> None:
    workflow = (
        Workflow()
        .register("first", lambda: twin("second"))
        .register("second", lambda: TaskResult.single(twin("done")))
        .add_exit_state("done")
    )
    assert workflow.orchestrate(twin("first")) == "done"


def test_numbers_and_tuples_are_states_too() -> None:
    big = 10**9
    workflow = (
        Workflow()
        .register(big, lambda: int("1000000001"))
        .register(big + 1, lambda: ("done", [1][0]))
        .add_exit_state(("done", 1))
    )
    assert workflow.orchestrate(big) == ("done", 1)


def test_an_equal_state_passes_a_declared_edge() -> None:
    def start() -> Literal["work"]:
        return twin("work")  # type: ignore[return-value]

    workflow = Workflow().register("start", start).register("work", lambda: "done")
    assert workflow.add_exit_state("done").orchestrate("start") == "done"


def test_a_run_returns_the_state_as_it_was_registered() -> None:
    exit_state = twin("done")
    workflow = Workflow().register("start", lambda: twin("done")).add_exit_state(exit_state)
    assert workflow.orchestrate("start") is exit_state


# What a task may return.


@pytest.mark.parametrize(
    "result", [Step.DONE, TaskResult.single(Step.DONE)], ids=["a state", "a TaskResult"]
)
def test_a_task_returns_the_next_state_bare_or_wrapped(result: Any) -> None:
    assert single(lambda: result).orchestrate(Step.START) is Step.DONE
    with_context = single(lambda *, context: result)  # not on the fast way
    assert with_context.orchestrate(Step.START) is Step.DONE


RUBBISH: dict[str, tuple[Any, list[str]]] = {
    "None": (None, ["returned None", "forget to return the next state"]),
    "a wrapped None": (TaskResult.single(None), ["returned None"]),
    "a split": (TaskResult.split([Step.DONE]), ["TaskResult.split", "register_split()"]),
    "an unknown state": (Step.MENDED, ["Step.MENDED", "no state of this workflow", "register()"]),
    "a number": (7, ["returned 7", "no state of this workflow"]),
    "a list": ([Step.DONE], ["no state of this workflow"]),
}


@pytest.mark.parametrize(("result", "words"), RUBBISH.values(), ids=RUBBISH)
def test_a_result_that_is_no_next_state_is_a_mistake(result: Any, words: list[str]) -> None:
    def start() -> Any:
        return result

    with pytest.raises(WorkflowError) as caught:
        single(start).orchestrate(Step.START)
    error = caught.value
    assert type(error) is WorkflowError
    assert (error.state, error.task) == (Step.START, "start")
    assert error.run_id
    for word in ["Step.START", "'start'", *words]:
        assert word in str(error)


def test_a_long_result_is_quoted_in_short() -> None:
    with pytest.raises(WorkflowError) as caught:
        single(lambda: "x" * 10_000).orchestrate(Step.START)
    assert len(str(caught.value)) < 400


def test_a_state_outside_the_tasks_own_declaration_is_a_mistake() -> None:
    def start() -> Literal[Step.WORK]:
        return Step.DONE  # type: ignore[return-value]

    workflow = single(start).register(Step.WORK, done)
    with pytest.raises(WorkflowError) as caught:
        workflow.orchestrate(Step.START)
    for word in ("'start'", "Step.DONE", "declares only Step.WORK", "annotation"):
        assert word in str(caught.value)


def test_what_a_branch_returns_is_not_looked_at() -> None:
    store = MemoryStore()
    things: list[Any] = [None, 7, TaskResult.split(["A"]), Step.MENDED]
    branches = [functools.partial(lambda it: it, thing) for thing in things]
    split(branches, collect="things").orchestrate(Step.START, store=store)
    assert store.get("things") == things


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("DONE", "that is the name of Step.DONE: return the state itself"),
        ("DOEN", "did you mean 'DONE'?"),
    ],
)
def test_a_name_instead_of_the_state_says_what_was_meant(returned: str, said: str) -> None:
    with pytest.raises(WorkflowError, match=re.escape(said)):
        single(lambda: returned).orchestrate(Step.START)
