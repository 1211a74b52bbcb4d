"""The mermaid of a workflow, parsed and drawn by mermaid itself in a browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cano_sync import JoinConfig, JoinStrategy, Workflow
from cano_sync.diagram import to_mermaid
from cano_sync.observe import Recorder
from tests.browser import Browser, needs_browser
from tests.diagram.names import LOOPS, NASTY, branches_of, labels_of, names, workflow_of

SCRIPT = Path(__file__).parent / "node_modules/mermaid/dist/mermaid.min.js"
pytestmark = [
    needs_browser,
    pytest.mark.skipif(
        not SCRIPT.exists(),
        reason="mermaid is not there: npm install --no-package-lock --no-save, in tests/diagram",
    ),
]

PAGE = """<!DOCTYPE html><meta charset="utf-8"><body><script src="{script}"></script><script>
mermaid.initialize({{startOnLoad: false, securityLevel: "strict"}});
let count = 0;
async function draw(source) {{
  const {{svg}} = await mermaid.render("drawn" + count++, source);
  const place = document.createElement("div");
  place.innerHTML = svg;
  document.body.replaceChildren(place);
  const found = {{}};
  for (const part of place.querySelectorAll(".node, .cluster")) {{
    const label = part.querySelector(".nodeLabel");
    const id = part.id.match(/(?:flowchart-)?(entry|s\\d+\\w*)(?:-\\d+)?$/)[1];
    found[id] = label ? label.innerText : null;
  }}
  const paths = [...place.querySelectorAll(".edgePaths path, .edgePath path")];
  return {{found, edges: paths.length, foreign: place.querySelectorAll("script, img, a").length}};
}}
</script></body>"""

Draw: TypeAlias = Callable[[Workflow[Any], Recorder | None], dict[str, Any]]


@pytest.fixture(scope="module")
def draw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Draw]:
    """Draw a workflow; what is to be read in its picture. All pictures in one browser."""
    folder = tmp_path_factory.mktemp("mermaid")
    file = folder / "page.html"
    file.write_text(PAGE.format(script=SCRIPT.as_uri()), encoding="utf-8")
    with Browser(folder / "profile") as browser:
        browser.open(file)

        def draw(workflow: Workflow[Any], recorder: Recorder | None = None) -> dict[str, Any]:
            source = json.dumps(to_mermaid(workflow, recorder))
            drawn: dict[str, Any] = browser.run(f"draw({source})")
            assert browser.errors == []
            return drawn

        yield draw


def words(text: str) -> str:
    """What is left of a text in HTML, where spaces are of no account.

    Two pairs of letters have a meaning of their own in mermaid, and cannot be quoted.
    """
    return " ".join(text.replace("ﬂ°", "fl°").replace("¶ß", "¶ ß").split())


def check(drawn: dict[str, Any], workflow: Workflow[Any]) -> None:
    found = drawn["found"]
    for id, label in {**labels_of(workflow), **branches_of(workflow)}.items():
        read = words(found[id]).removesuffix("ALL").strip()
        assert read == words(label).removesuffix("ALL").strip(), id
    assert drawn["foreign"] == 0


def test_any_name_can_be_read_in_the_picture(draw: Draw) -> None:
    workflow = workflow_of(NASTY)
    check(draw(workflow, None), workflow)


@settings(max_examples=20)
@given(names=st.lists(names, min_size=1, max_size=20))
def test_so_can_any_text(draw: Draw, names: list[str]) -> None:
    workflow = workflow_of(names)
    check(draw(workflow, None), workflow)


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


def test_states_splits_and_exits_are_drawn_with_their_edges(draw: Draw) -> None:
    drawn = draw(WORKFLOW, None)
    assert drawn["edges"] == 5
    assert drawn["found"]["s1more"] == "… 995 more"
    assert words(drawn["found"]["s1"]) == "SPLIT quorum(1), within 5 s"
    assert drawn["found"]["s2unknown"] == "?"
    assert len(drawn["found"]) == 4 + 5 + 1 + 1


def test_a_run_is_laid_over_it(draw: Draw) -> None:
    recorder = Recorder()
    WORKFLOW.with_observer(recorder).orchestrate("START")
    drawn = draw(WORKFLOW, recorder)
    assert drawn["edges"] == 7
    assert drawn["found"]["s0"].startswith("START\n")
    assert "of 1,000" in drawn["found"]["s1"]


def test_a_workflow_that_is_not_valid_yet_is_drawn_too(draw: Draw) -> None:
    workflow = Workflow().register("A", lambda: "B", error_state="LOST")
    assert words(draw(workflow, None)["found"]["s1"]) == "LOST (no task, no exit)"
    assert draw(Workflow(), None)["found"] == {}


def test_a_dynamic_split_and_one_without_branches_are_drawn(draw: Draw) -> None:
    def tasks_of_today(store: Any) -> list[Any]:
        return []

    dynamic = Workflow().register_split("A", tasks_of_today, JOIN).add_exit_state("LAST")
    assert words(draw(dynamic, None)["found"]["s0list"]).endswith("tasks_of_today lists")
    empty = Workflow().register_split("A", [], JOIN).add_exit_state("LAST")
    assert draw(empty, None)["found"]["s0none"] == "no branches"


def test_loops_are_drawn_at_states_and_at_splits(draw: Draw) -> None:
    drawn = draw(LOOPS, None)
    assert words(drawn["found"]["s0"]) == "A ALL"
    assert words(drawn["found"]["s1"]) == "B"
    assert drawn["edges"] >= 4


def test_how_often_an_edge_was_taken_is_drawn(draw: Draw) -> None:
    count = iter(range(1000))
    workflow = (
        Workflow().register("A", lambda: "A" if next(count) < 3 else "END").add_exit_state("END")
    )
    recorder = Recorder()
    workflow.with_observer(recorder).orchestrate("A")
    assert words(draw(workflow, recorder)["found"]["s0"]).startswith("A 4 times in ")
    assert '|"3 times"|' in to_mermaid(workflow, recorder)
