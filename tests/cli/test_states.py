"""States by the names that people type."""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal

import pytest

from cano_sync import JoinConfig, JoinStrategy, Workflow
from cano_sync.cli.errors import CommandError
from cano_sync.cli.states import entrance_of, exit_of, names_of, state_of


class Order(Enum):
    NEW = 1
    PACK = 2
    SENT = 3


class Bill(Enum):
    NEW = 1


def go(*states: Any):
    def step(store):
        return states[0]

    step.__annotations__["return"] = Literal[states] if states else Any
    return step


def test_a_member_goes_by_its_name_or_by_that_of_its_enum_too() -> None:
    described = Workflow().register(Order.NEW, go()).add_exit_state(Order.SENT).description
    assert state_of(described, "NEW") is state_of(described, "Order.NEW") is Order.NEW
    assert exit_of(described, "SENT") is Order.SENT


def test_other_states_go_by_their_text() -> None:
    described = (
        Workflow().register(1, go()).register("two", go()).add_exit_state(("a", 3)).description
    )
    assert state_of(described, "1") == 1
    assert state_of(described, "two") == "two"
    assert state_of(described, "('a', 3)") == ("a", 3)


def test_two_of_one_name_are_told_apart_by_their_enums() -> None:
    workflow: Any = Workflow().register(Order.NEW, go()).register(Bill.NEW, go())
    described = workflow.description
    with pytest.raises(CommandError, match=r"'NEW' may be Order\.NEW or Bill\.NEW"):
        state_of(described, "NEW")
    assert state_of(described, "Bill.NEW") is Bill.NEW
    assert names_of(described.states) == ["Order.NEW", "Bill.NEW"]


def test_the_entrance_is_the_state_that_leads_to_all_others() -> None:
    workflow = (
        Workflow()
        .register("B", go("A", "END"))
        .register("START", go("A"))
        .register("A", go("B"))
        .add_exit_state("END")
    )
    assert entrance_of(workflow.description) == "START"


def test_a_split_and_an_error_state_lead_on_too() -> None:
    workflow = (
        Workflow()
        .register_split("ASK", [go()], JoinConfig(JoinStrategy.ALL, "CHOOSE", error_state="SORRY"))
        .register("CHOOSE", lambda: "END")
        .register("SORRY", lambda: "END")
        .add_exit_state("END")
    )
    assert entrance_of(workflow.description) == "ASK"


@pytest.mark.parametrize(
    "edges",
    [
        {"A": ("B",), "B": ("A", "END")},  # a circle
        {"A": ("END",), "B": ("END",)},
        {"A": ("END",), "B": ()},  # it may lead to A
    ],
)
def test_where_it_is_not_settled_nothing_is_guessed(edges: dict[str, tuple[str, ...]]) -> None:
    workflow: Any = Workflow().add_exit_state("END")
    for state, targets in edges.items():
        workflow = workflow.register(state, go(*targets))
    with pytest.raises(CommandError, match="say where to begin, by --start: A, B"):
        entrance_of(workflow.description)
