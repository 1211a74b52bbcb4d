"""The dot of a workflow, drawn by Graphviz itself."""

from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cano_sync import JoinConfig, JoinStrategy, TaskExecutionError, Workflow
from cano_sync.diagram import to_dot
from cano_sync.observe import Recorder
from tests.diagram.names import LOOPS, NASTY, branches_of, labels_of, names, workflow_of

DOT = shutil.which("dot")
pytestmark = pytest.mark.skipif(DOT is None, reason="Graphviz (dot) is not on the path")

_SVG = "{http://www.w3.org/2000/svg}"


def drawn(dot: str) -> dict[str, list[str]]:
    """The lines of text in each node, edge and cluster of the picture, by its title."""
    assert DOT is not None
    done = subprocess.run([DOT, "-Tsvg"], input=dot.encode(), capture_output=True, timeout=50)
    assert (done.returncode, done.stderr.decode()) == (0, "")
    parts: dict[str, list[str]] = {}
    for group in ElementTree.fromstring(done.stdout).iter(f"{_SVG}g"):
        title = group.find(f"{_SVG}title")
        if group.get("class") != "graph" and title is not None:
            texts = (text.text or "" for text in group.iter(f"{_SVG}text"))
            parts[title.text or ""] = [text.replace("\u00a0", " ") for text in texts]
    return parts


def check(workflow: Workflow[Any]) -> None:
    """That each name is there to be read, and that nothing else is."""
    parts = drawn(to_dot(workflow))
    for id, label in labels_of(workflow).items():
        lines = parts[f"cluster_{id}"] if f"cluster_{id}" in parts else parts[id]
        assert lines[0] == label
    for id, label in branches_of(workflow).items():
        assert parts[id] == [label]


def test_any_name_can_be_read_in_the_picture() -> None:
    check(workflow_of(NASTY))


@settings(max_examples=20)
@given(st.lists(names, min_size=1, max_size=30))
def test_so_can_any_text(names: list[str]) -> None:
    check(workflow_of(names))


def start() -> Literal["SPLIT", "END"]:
    return "SPLIT"


JOIN: JoinConfig[Any] = JoinConfig(JoinStrategy.quorum(1), "LAST", timeout=5, error_state="END")
WORKFLOW = (
    Workflow()
    .register("START", start)
    .register_split("SPLIT", [lambda: 1] * 1000, JOIN)
    .register("LAST", lambda: "END")
    .add_exit_state("END")
)


def test_edges_join_what_they_should() -> None:
    parts = drawn(to_dot(WORKFLOW))
    edges = {name for name in parts if "->" in name}
    assert {"s0->s1fork", "s0->s3", "s1join->s2", "s1join->s3", "s2->s2unknown"} <= edges
    assert parts["s1join->s3"] == ["error"]
    assert parts["s2unknown"] == ["?"]


def test_a_great_split_is_collapsed_and_says_its_strategy() -> None:
    parts = drawn(to_dot(WORKFLOW))
    assert parts["s1b5"] == ["… 995 more"]
    assert parts["s1join"] == ["quorum(1), within 5 s"]
    assert len(parts) < 40


def test_a_run_is_laid_over_it() -> None:
    recorder = Recorder()
    WORKFLOW.with_observer(recorder).orchestrate("START")
    dot = to_dot(WORKFLOW, recorder)
    parts = drawn(dot)
    assert parts["s0"][0] == "START"
    assert parts["s0"][1].endswith("s")
    assert "of 1,000" in parts["cluster_s1"][1]
    assert "s2->s3" in parts  # undeclared, and seen
    assert "entry->s0" in parts


def test_an_empty_workflow_is_an_empty_picture() -> None:
    assert drawn(to_dot(Workflow())) == {}


def test_a_dynamic_split_and_one_without_branches_are_drawn() -> None:
    def tasks_of_today(store: Any) -> list[Any]:
        return []

    dynamic = Workflow().register_split("A", tasks_of_today, JOIN)
    assert "lists" in drawn(to_dot(dynamic))["s0b0"][0]
    assert drawn(to_dot(Workflow().register_split("A", [], JOIN)))["s0b0"] == ["no branches"]


def test_loops_are_drawn_at_states_and_at_splits() -> None:
    parts = drawn(to_dot(LOOPS))
    assert {"s0join->s0fork", "s1->s1", "s0join->s1", "s1->s0fork"} <= set(parts)


def test_how_often_an_edge_was_taken_and_where_the_run_failed_is_drawn() -> None:
    count = iter(range(1000))

    def step() -> str:
        if next(count) == 3:
            raise ValueError
        return "A"

    workflow = Workflow().register("A", step).add_exit_state("END")
    recorder = Recorder()
    with pytest.raises(TaskExecutionError):
        workflow.with_observer(recorder).orchestrate("A")
    dot = to_dot(workflow, recorder)
    parts = drawn(dot)
    assert parts["s0->s0"] == ["3 times"]
    assert parts["s0"][1].startswith("4 times in ")
    assert '"#fdecec"' in dot


def test_a_state_that_is_nowhere_is_drawn_as_such() -> None:
    workflow = Workflow().register("A", start, error_state="LOST")
    texts = drawn(to_dot(workflow)).values()
    assert ["LOST", "(no task, no exit)"] in texts
