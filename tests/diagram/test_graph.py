"""The graph of a workflow: what is declared, what is not, and what a run did."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, Literal

import pytest

from cano_sync import ConfigurationError, JoinConfig, JoinStrategy, Workflow
from cano_sync.diagram import to_dot, to_mermaid
from cano_sync.diagram.graph import EdgeKind, Graph, NodeKind, graph_of
from cano_sync.observe import Recorder


class Step(Enum):
    LOAD = auto()
    ASK = auto()
    CHOOSE = auto()
    FAILED = auto()
    DONE = auto()


def load() -> Literal[Step.ASK, Step.DONE]:
    return Step.ASK


def choose() -> Step:
    return Step.DONE


def ask() -> int:
    return 1


WORKFLOW = (
    Workflow()
    .register(Step.LOAD, load, error_state=Step.FAILED)
    .register_split(
        Step.ASK,
        [ask, ask],
        JoinConfig(JoinStrategy.quorum(2), Step.CHOOSE, timeout=30, error_state=Step.FAILED),
    )
    .register(Step.CHOOSE, choose)
    .add_exit_states(Step.DONE, Step.FAILED)
)


def edges(graph: Graph) -> set[tuple[str, str, str, int]]:
    """Each edge by the names of its ends, what it stands for, and how often it was taken."""
    names = {node.id: node.name or node.kind.value for node in graph.nodes}
    return {
        (names[edge.source], names[edge.target], edge.kind.value, edge.count)
        for edge in graph.edges
    }


def kinds(graph: Graph) -> dict[str, NodeKind]:
    return {node.name: node.kind for node in graph.nodes if node.name}


def recorded(workflow: Workflow[Any], start: Any) -> Recorder:
    recorder = Recorder()
    try:
        workflow.with_observer(recorder).orchestrate(start)
    except Exception:
        assert recorder.record.error is not None
    return recorder


# What is described.


def test_declared_edges_joins_and_error_states_are_edges() -> None:
    assert {edge[:3] for edge in edges(graph_of(WORKFLOW))} == {
        ("LOAD", "ASK", "next"),
        ("LOAD", "DONE", "next"),
        ("LOAD", "FAILED", "error"),
        ("ASK", "CHOOSE", "next"),
        ("ASK", "FAILED", "error"),
        ("CHOOSE", "unknown", "undeclared"),
        ("entry", "LOAD", "entry"),
    }


def test_states_are_told_apart_from_splits_and_exits() -> None:
    assert kinds(graph_of(WORKFLOW)) == {
        "LOAD": NodeKind.STATE,
        "ASK": NodeKind.SPLIT,
        "CHOOSE": NodeKind.STATE,
        "DONE": NodeKind.EXIT,
        "FAILED": NodeKind.EXIT,
    }


def test_a_state_that_is_led_to_and_not_there_is_missing() -> None:
    def start() -> Literal["LOST"]:
        return "LOST"

    workflow = Workflow().register("START", start, error_state="GONE")
    assert kinds(graph_of(workflow)) == {
        "START": NodeKind.STATE,
        "LOST": NodeKind.MISSING,
        "GONE": NodeKind.MISSING,
    }


def test_a_workflow_without_anything_has_an_empty_graph() -> None:
    graph = graph_of(Workflow())
    assert (graph.nodes, graph.edges) == ((), ())


def test_a_split_says_its_branches_strategy_and_limits() -> None:
    join: JoinConfig[str] = JoinConfig(JoinStrategy.ALL, "END", timeout=0.05, bulkhead=1)
    workflow = Workflow().register_split("SPLIT", [ask, lambda: 2], join).add_exit_state("END")
    split = next(node.split for node in graph_of(workflow).nodes if node.split)
    assert split.strategy == "ALL, within 50 ms, 1 branch at once"
    assert split.branches[0] == "ask"
    assert (len(split.branches), split.more, split.factory) == (2, 0, None)


def test_a_split_of_many_is_cut_short() -> None:
    join: JoinConfig[str] = JoinConfig(JoinStrategy.ALL, "END")
    workflow = Workflow().register_split("SPLIT", [ask] * 1000, join).add_exit_state("END")
    split = next(node.split for node in graph_of(workflow).nodes if node.split)
    assert (len(split.branches), split.more) == (5, 995)


def test_a_split_whose_branches_are_listed_when_it_is_entered_says_by_whom() -> None:
    def tasks_of_today(store: Any) -> list[Any]:
        return [ask]

    join: JoinConfig[str] = JoinConfig(JoinStrategy.ALL, "END")
    workflow = Workflow().register_split("SPLIT", tasks_of_today, join).add_exit_state("END")
    split = next(node.split for node in graph_of(workflow).nodes if node.split)
    assert split.branches == ()
    assert split.factory is not None
    assert split.factory.endswith("tasks_of_today")


# Where it begins.


def test_the_entry_is_the_one_state_that_nothing_leads_to_where_all_is_declared() -> None:
    def start() -> Literal["MIDDLE"]:
        return "MIDDLE"

    def middle() -> Literal["MIDDLE", "END"]:
        return "END"

    workflow = Workflow().register("MIDDLE", middle).register("START", start).add_exit_state("END")
    assert ("entry", "START", "entry", 0) in edges(graph_of(workflow))


def test_the_entry_is_not_guessed_where_it_could_be_another_state() -> None:
    """Undeclared edges may lead to a second one; a circle has none."""
    apart = Workflow().register("A", lambda: "END").register("B", lambda: "END")
    circle = Workflow().register_split("A", [ask], JoinConfig(JoinStrategy.ALL, "B"))
    circle = circle.register_split("B", [ask], JoinConfig(JoinStrategy.ALL, "A"))
    for workflow in (apart.add_exit_state("END"), circle):
        assert not [edge for edge in graph_of(workflow).edges if edge.kind is EdgeKind.ENTRY]


# A run laid over it.


def test_a_run_marks_its_way_with_counts_and_durations() -> None:
    graph = graph_of(WORKFLOW, recorded(WORKFLOW, Step.LOAD))
    assert edges(graph) == {
        ("entry", "LOAD", "entry", 1),
        ("LOAD", "ASK", "next", 1),
        ("LOAD", "DONE", "next", 0),
        ("LOAD", "FAILED", "error", 0),
        ("ASK", "CHOOSE", "next", 1),
        ("ASK", "FAILED", "error", 0),
        ("CHOOSE", "unknown", "undeclared", 0),
        ("CHOOSE", "DONE", "seen", 1),
    }
    seen = {node.name: (node.visits, node.seen) for node in graph.nodes}
    assert seen["FAILED"] == (0, "")
    assert seen["DONE"] == (1, "")
    assert seen["ASK"][1].endswith("s, 2 of 2")


def test_a_loop_is_counted() -> None:
    count = iter(range(1000))
    workflow = (
        Workflow().register("A", lambda: "A" if next(count) < 499 else "END").add_exit_state("END")
    )
    graph = graph_of(workflow, recorded(workflow, "A"))
    assert ("A", "A", "seen", 499) in edges(graph)
    assert next(node.seen for node in graph.nodes if node.name == "A").startswith("500 times in ")


def test_an_error_marks_the_edge_to_the_error_state_or_the_last_state() -> None:
    def broken() -> Literal["END"]:
        raise ValueError

    workflow = Workflow().register("A", broken, error_state="END").add_exit_state("END")
    graph = graph_of(workflow, recorded(workflow, "A"))
    assert {("A", "END", "error", 1), ("A", "END", "next", 0)} < edges(graph)
    assert not any(node.is_last for node in graph.nodes)
    dead = Workflow().register("A", broken).add_exit_state("END")
    graph = graph_of(dead, recorded(dead, "A"))
    assert [node.name for node in graph.nodes if node.is_last] == ["A"]


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([8], "8 branches, listed by"),
        ([1], "1 branch, listed by"),
        ([3, 1200, 7], "3 to 1,200 branches, listed by"),
        ([0], "0 branches, listed by"),
    ],
)
def test_a_run_says_how_many_branches_were_listed(counts: list[int], words: str) -> None:
    left = list(counts)

    def listing(store: object) -> list[Any]:
        return [ask] * left.pop(0)

    def again() -> Step:
        return Step.ASK if left else Step.DONE

    join = JoinConfig(JoinStrategy.ALL, Step.LOAD)
    workflow = (
        Workflow().register_split(Step.ASK, listing, join).register(Step.LOAD, again)
    ).add_exit_state(Step.DONE)
    assert "as many as" in to_dot(workflow)
    recorder = recorded(workflow, Step.ASK)
    assert words in to_dot(workflow, recorder)
    assert words in to_mermaid(workflow, recorder)


def test_a_split_whose_list_failed_says_who_would_have_listed_its_branches() -> None:
    def listing(store: object) -> list[Any]:
        raise ValueError("no list")

    join = JoinConfig(JoinStrategy.ALL, Step.DONE)
    workflow = Workflow().register_split(Step.ASK, listing, join).add_exit_state(Step.DONE)
    assert "as many as" in to_dot(workflow, recorded(workflow, Step.ASK))


def test_a_recorder_without_a_run_marks_nothing() -> None:
    assert graph_of(WORKFLOW, Recorder()) == graph_of(WORKFLOW)


# Mistakes.


@pytest.mark.parametrize("draw", [to_dot, to_mermaid])
def test_what_is_no_workflow_or_no_recorder_is_refused(draw: Any) -> None:
    with pytest.raises(ConfigurationError, match="drawn of a Workflow, not of 'x'"):
        draw("x")
    with pytest.raises(ConfigurationError, match="laid over by a Recorder, not by 'x'"):
        draw(WORKFLOW, "x")


@pytest.mark.parametrize("draw", [to_dot, to_mermaid])
def test_the_run_of_another_workflow_is_refused(draw: Any) -> None:
    other = Workflow().register("OTHER", lambda: "END").add_exit_state("END")
    with pytest.raises(ConfigurationError, match="'OTHER', which is no state of this workflow"):
        draw(WORKFLOW, recorded(other, "OTHER"))
