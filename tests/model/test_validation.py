"""`validate()`: every problem of a description, and only real ones."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Annotated, Any, Literal, Union

import pytest

from cano_sync import (
    ConfigurationError,
    JoinConfig,
    JoinStrategy,
    MemoryStore,
    Node,
    Store,
    Task,
    TaskResult,
    Workflow,
    WorkflowError,
)


class Step(Enum):
    A = auto()
    B = auto()
    C = auto()
    D = auto()
    END = auto()


class Only(Enum):
    """A type of states with a single member."""

    ONE = auto()


def undeclared() -> Any:
    """A task whose annotation says nothing."""


def nothing() -> None:
    """A branch."""


def to_a() -> Literal[Step.A]:
    return Step.A


def to_b() -> Literal[Step.B]:
    return Step.B


def to_c() -> Literal[Step.C]:
    return Step.C


def to_end() -> Literal[Step.END]:
    return Step.END


def to_b_or_end() -> Literal[Step.B, Step.END]:
    return Step.END


def join_to(state: Any, **settings: Any) -> JoinConfig[Any]:
    return JoinConfig(JoinStrategy.ALL, state, **settings)


def problems(workflow: Workflow[Any]) -> tuple[str, ...]:
    try:
        workflow.validate()
    except ConfigurationError as error:
        return error.problems
    return ()


# What must be there.


def test_an_empty_workflow_lacks_a_task_and_an_exit() -> None:
    found = problems(Workflow())
    assert len(found) == 2
    assert "register()" in found[0]
    assert "add_exit_state()" in found[1]


def test_a_workflow_needs_an_exit() -> None:
    (found,) = problems(Workflow().register(Step.A, undeclared))
    assert "no exit state" in found


def test_a_workflow_needs_a_task() -> None:
    (found,) = problems(Workflow().add_exit_state(Step.END))
    assert "no state has a task" in found


def test_a_workflow_without_problems_is_silent() -> None:
    workflow = Workflow().register(Step.A, to_end).add_exit_state(Step.END)
    assert problems(workflow) == ()
    workflow.validate()


# Edges that lead nowhere.

DANGLING: dict[str, tuple[Callable[[], Workflow[Any]], list[str]]] = {
    "a declared edge": (
        lambda: Workflow().register(Step.A, to_b),
        ["Step.A", "task 'to_b'", "declares to go to Step.B"],
    ),
    "an error_state": (
        lambda: Workflow().register(Step.A, undeclared, error_state=Step.B),
        ["Step.A", "error_state leads to Step.B"],
    ),
    "a join_state": (
        lambda: Workflow().register_split(Step.A, [nothing], join_to(Step.B)),
        ["Step.A", "join_state leads to Step.B"],
    ),
    "a join's error_state": (
        lambda: Workflow().register_split(Step.A, [nothing], join_to(Step.END, error_state=Step.B)),
        ["Step.A", "error_state leads to Step.B"],
    ),
}


@pytest.mark.parametrize(("make", "words"), DANGLING.values(), ids=DANGLING)
def test_an_edge_to_a_state_with_neither_task_nor_exit_is_a_problem(
    make: Callable[[], Workflow[Any]], words: list[str]
) -> None:
    (found,) = problems(make().add_exit_state(Step.END))
    for word in [*words, "neither a task nor is an exit", "register()", "add_exit_states()"]:
        assert word in found


@pytest.mark.parametrize(("make", "words"), DANGLING.values(), ids=DANGLING)
def test_the_same_edge_is_none_once_it_leads_somewhere(
    make: Callable[[], Workflow[Any]], words: list[str]
) -> None:
    assert problems(make().add_exit_states(Step.END, Step.B)) == ()


def test_each_dangling_edge_of_a_declaration_is_listed_in_a_steady_order() -> None:
    def start() -> Literal[Step.D, Step.C, Step.END]:
        return Step.END

    found = problems(Workflow().register(Step.A, start).add_exit_state(Step.END))
    assert ["Step.C" in found[0], "Step.D" in found[1], len(found)] == [True, True, 2]


@pytest.mark.parametrize("where", ["join_state", "a declared edge"])
def test_none_is_no_state_to_go_to(where: str) -> None:
    def start() -> Literal[Step.END, None]:
        return Step.END

    if where == "join_state":
        workflow = Workflow().register_split(Step.A, [nothing], join_to(None, error_state=Step.END))
    else:
        workflow = Workflow().register(Step.A, start)
    (found,) = problems(workflow.add_exit_state(Step.END))
    assert "None" in found


# What an annotation declares. Each task is registered in A; B is left out of the workflow.


def optional() -> Literal[Step.B] | None: ...


def wrapped() -> TaskResult[Step]: ...


def any_step() -> Step: ...


def unreadable() -> NoSuchName: ...  # type: ignore[name-defined]  # noqa: F821


NEXT = Literal[Step.B, Step.END]


def aliased() -> NEXT:
    return Step.END


def annotated() -> Annotated[Literal[Step.B], "next"]:
    return Step.B


def united() -> Literal[Step.B] | Literal[Step.END]:
    return Step.B


def united_of_old() -> Union[Literal[Step.B], Literal[Step.END]]:  # noqa: UP007
    return Step.B


class Declared(Task):
    def run(self, store: Store) -> Literal[Step.B]:
        return Step.B


class DeclaredNode(Node):
    def post(self, store: Store, result: object) -> Literal[Step.B]:
        return Step.B


class DeclaredCall:
    def __call__(self) -> Literal[Step.B]:
        return Step.B

    def method(self) -> Literal[Step.B]:
        return Step.B


DECLARING: dict[str, Any] = {
    "an alias": aliased,
    "Annotated": annotated,
    "a union": united,
    "a union of old": united_of_old,
    "a Task's run": Declared(),
    "a Node's post": DeclaredNode(),
    "a callable object": DeclaredCall(),
    "a bound method": DeclaredCall().method,
}


@pytest.mark.parametrize("declaring", DECLARING.values(), ids=DECLARING)
def test_a_declaration_is_read(declaring: Any) -> None:
    (found,) = problems(Workflow().register(Step.A, declaring).add_exit_state(Step.END))
    assert "declares to go to Step.B" in found


@pytest.mark.parametrize(
    "silent",
    [undeclared, optional, wrapped, any_step, unreadable, lambda: Step.END],
    ids=lambda function: function.__name__,
)
def test_without_a_declaration_nothing_is_assumed(silent: Any) -> None:
    assert problems(Workflow().register(Step.A, silent).add_exit_state(Step.END)) == ()


def test_a_declaration_in_a_function_sees_the_names_around_it() -> None:
    """Annotations are strings in this file: they are evaluated where the task was written."""

    class Local(Enum):
        LOST = auto()
        END = auto()

    def start() -> Literal[Local.LOST]:
        return Local.LOST

    (found,) = problems(Workflow().register(Local.END, start).add_exit_state("end"))
    assert "Local.LOST" in found


def test_a_type_with_one_member_declares_that_member() -> None:
    def start() -> Only:
        return Only.ONE

    workflow = Workflow().register(Step.A, start)
    (found,) = problems(workflow.add_exit_state(Step.END))
    assert "declares to go to Only.ONE" in found
    assert problems(workflow.add_exit_state(Only.ONE)) == ()


def test_what_a_branch_declares_is_not_an_edge() -> None:
    """The join decides the next state."""
    workflow = Workflow().register_split(Step.A, [to_b], join_to(Step.END))
    assert problems(workflow.add_exit_state(Step.END)) == ()


# States that nothing reaches.


def test_a_state_that_nothing_leads_to_is_a_problem() -> None:
    workflow = Workflow().register(Step.A, to_end).register(Step.B, to_end).add_exit_state(Step.END)
    (found,) = problems(workflow)
    for word in ("Step.B", "cannot be reached from Step.A", "declare an edge"):
        assert word in found


def test_a_circle_that_nothing_leads_to_is_a_problem() -> None:
    def c_to_b_or_end() -> Literal[Step.B, Step.END]:
        return Step.END

    workflow = (
        Workflow()
        .register(Step.B, to_c)
        .register(Step.C, c_to_b_or_end)
        .register(Step.A, to_end)
        .add_exit_state(Step.END)
    )
    found = problems(workflow)
    assert [("Step.B" in found[0], "Step.C" in found[1])] == [(True, True)]
    assert all("cannot be reached from Step.A" in problem for problem in found)


def test_a_state_that_leads_to_itself_is_still_the_entrance() -> None:
    def a_to_a_or_end() -> Literal[Step.A, Step.END]:
        return Step.END

    assert problems(Workflow().register(Step.A, a_to_a_or_end).add_exit_state(Step.END)) == ()


def test_a_machine_that_is_all_one_circle_begins_where_it_was_begun() -> None:
    workflow = (
        Workflow().register(Step.A, to_b).register(Step.B, lambda: Step.A).add_exit_state(Step.END)
    )
    assert problems(workflow) == ()

    def b_to_a_or_end() -> Literal[Step.A, Step.END]:
        return Step.END

    circle = Workflow().register(Step.A, to_b).register(Step.B, b_to_a_or_end)
    assert problems(circle.add_exit_state(Step.END)) == ()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Workflow().register(Step.A, to_end, error_state=Step.B),
        lambda: Workflow().register_split(Step.A, [nothing], join_to(Step.B)),
        lambda: Workflow().register_split(Step.A, [nothing], join_to(Step.END, error_state=Step.B)),
    ],
    ids=["error_state", "join_state", "a join's error_state"],
)
def test_error_and_join_states_are_reached(make: Callable[[], Workflow[Any]]) -> None:
    assert problems(make().register(Step.B, to_end).add_exit_state(Step.END)) == ()


def test_one_undeclared_task_may_lead_anywhere() -> None:
    workflow = (
        Workflow()
        .register(Step.A, to_end)
        .register(Step.B, to_end)
        .register(Step.C, undeclared)
        .add_exit_state(Step.END)
    )
    assert problems(workflow) == ()


# States from which no exit can be reached.


def test_a_circle_without_a_way_out_is_a_problem() -> None:
    workflow = (
        Workflow()
        .register(Step.A, to_b_or_end)
        .register(Step.B, to_c)
        .register(Step.C, to_b)
        .add_exit_state(Step.END)
    )
    found = problems(workflow)
    assert len(found) == 2
    for problem, state in zip(found, ("Step.B", "Step.C"), strict=True):
        assert problem.startswith(f"state {state}: no exit can be reached from it")


def test_an_error_state_is_a_way_out() -> None:
    workflow = (
        Workflow()
        .register(Step.A, to_b)
        .register(Step.B, to_a, error_state=Step.END)
        .add_exit_state(Step.END)
    )
    assert problems(workflow) == ()


def test_unreachable_and_endless_states_are_listed_together() -> None:
    def to_c_again() -> Literal[Step.C]:
        return Step.C

    workflow = (
        Workflow().register(Step.A, to_end).register(Step.C, to_c_again).add_exit_state(Step.END)
    )
    found = problems(workflow)
    assert len(found) == 2
    assert "cannot be reached" in found[0]
    assert "no exit can be reached" in found[1]


# Once, and cached.


def test_a_workflow_is_validated_once() -> None:
    """The second run finds the compiled machine, whatever has become of the description."""
    workflow = Workflow().register(Step.A, to_end).add_exit_state(Step.END)
    workflow.validate()
    machine = workflow._machine
    assert machine is not None
    workflow.orchestrate(Step.A)
    workflow.validate()
    assert workflow._machine is machine


def test_a_workflow_with_problems_has_them_each_time() -> None:
    workflow = Workflow().register(Step.A, to_b)
    first, second = problems(workflow), problems(workflow)
    assert first == second
    assert len(first) == 2


def test_a_declared_edge_is_kept_to_at_run_time() -> None:
    def start() -> Literal[Step.B]:
        return Step.END  # type: ignore[return-value]

    workflow = Workflow().register(Step.A, start).register(Step.B, to_end).add_exit_state(Step.END)
    workflow.validate()
    with pytest.raises(WorkflowError, match=r"declares only Step\.B"):
        workflow.orchestrate(Step.A, store=MemoryStore())
