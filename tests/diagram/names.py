"""Workflows whose names try to break what draws them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, cast

from hypothesis import strategies as st

from cano_sync import JoinConfig, JoinStrategy, Workflow, task
from cano_sync.diagram.graph import graph_of
from cano_sync.observe.recording.text import clip

NASTY = (
    "", " ", "end", "END", "graph", "subgraph", "style x:#fff;", "classDef a fill:#fff", "click",
    "default", "node", "strict", "--", "-->", "a --> b", "==>", "-.->", "|x|", '"', "'", "`", "\\",
    '\\"', "\\n", "\\N", "\\G\\L\\E", "two\nlines", "tab\there", "\x00", "\x1b[31m", "<b>bold</b>",
    "<script>alert(1)</script>", "</svg>", "<br/>", "&lt;", "&amp;", "&#65;", "#65;", "#quot;",
    "#", "# heading", "1. list", "- list", "* list", "**bold**", "_it_", "__b__", "~~s~~",
    "[link](x)", "![i](x)", "[", "]", "((", "))", "{", "}", "{{x}}", "[[x]]", "(x)", ">x]", ";",
    ":", ":::class", "%%{init: {}}%%", "%% comment", "%", "@{ shape: rect }", "$$x^2$$", "$x$",
    "fa:fa-user", "x" * 400, "日本語", "👩‍👩‍👧 👍🏽", "עברית", "\u202eback", "\ufeff", "ﬂ°°35¶ß",
    "straße", "\ud800", "\U000e0001", "\u2028", "a" + " " * 40 + "b", "/*x*/", "//x", "->", "=",
    ",", "o--o x", "A&B", "http://x", "www.x", "x@y.z", "---", "```", "+ list", "> quote",
)  # fmt: skip


def again() -> Literal["A", "B", "END"]:
    return "END"


LOOPS: Workflow[Any] = (
    Workflow()
    .register_split("A", [again], JoinConfig(JoinStrategy.ALL, "A", error_state="B"))
    .register("B", again)
    .add_exit_state("END")
)

names = st.one_of(st.sampled_from(NASTY), st.text(max_size=12))


class Named(str):
    """A state shown by its name; others of the same name are other states."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


def work() -> str:
    return ""


def workflow_of(names: Sequence[str]) -> Workflow[Any]:
    """A workflow with each name as a state, a task of a split and an exit, and edges to it."""
    workflow: Any = Workflow()
    for number, name in enumerate(names):
        state, following = Named(name), Named(names[number - 1])
        if number % 2:
            branches = [task(name=name or None)(partial(work)) for _ in range(1 + number % 3)]
            join: JoinConfig[Any] = JoinConfig(JoinStrategy.ALL, following)
            workflow = workflow.register_split(state, branches, join)
        else:
            workflow = workflow.register(state, work, error_state=following)
        workflow = workflow.add_exit_states(following)
    return cast("Workflow[Any]", workflow)


def labels_of(workflow: Workflow[Any]) -> dict[str, str]:
    """What is to be read in the picture, by the ids of the nodes."""
    return {node.id: clip(str(node.name), 48) for node in graph_of(workflow).nodes if node.name}


def branches_of(workflow: Workflow[Any]) -> dict[str, str]:
    """The same of the branches of its splits."""
    return {
        f"{node.id}b{number}": clip(name, 48)
        for node in graph_of(workflow).nodes
        if node.split is not None
        for number, name in enumerate(node.split.branches)
    }
