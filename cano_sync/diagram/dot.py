"""A workflow in the language of Graphviz: `dot -Tsvg`."""

from __future__ import annotations

__all__ = ("to_dot",)

from collections.abc import Iterator
from typing import Any

from ..observe.recording.recorder import Recorder
from ..observe.recording.text import clip
from ..workflow import Workflow
from .graph import Edge, EdgeKind, Graph, Node, NodeKind, Split, graph_of

_LONGEST = 48  # cells of a label; the tooltip has the whole name

_INK, _SOFT, _RED, _GREEN = "#3b4658", "#8a94a3", "#c0272d", "#1a7f4b"
_HEAD = (
    "digraph workflow {",
    "  compound=true rankdir=TB nodesep=0.35 ranksep=0.4 bgcolor=white pad=0.15",
    '  fontname="Helvetica,Arial,sans-serif" fontsize=12',
    '  node [fontname="Helvetica,Arial,sans-serif" fontsize=12 shape=box style="rounded,filled"'
    f' color="{_INK}" fillcolor="#ffffff" fontcolor="#1c2330" height=0.4]',
    f'  edge [fontname="Helvetica,Arial,sans-serif" fontsize=10 color="{_INK}"'
    f' fontcolor="{_INK}" arrowsize=0.7]',
)

_EDGES = {
    EdgeKind.NEXT: {},
    EdgeKind.ENTRY: {},
    EdgeKind.SEEN: {"style": "bold"},
    EdgeKind.UNDECLARED: {"style": "dashed", "color": _SOFT},
    EdgeKind.ERROR: {"style": "dashed", "color": _RED, "fontcolor": _RED, "label": "error"},
}


def to_dot(workflow: Workflow[Any], recorder: Recorder | None = None) -> str:
    """Draw a workflow for Graphviz, whole or not yet valid.

    A state whose task does not declare where it goes has a dashed edge to a question mark. Red
    dashed edges are taken after an error. Long lists of branches are cut short.

    Args:
        workflow: what to draw.
        recorder: a run of it, to be laid over: where it went, how often, and how long it took.

    Raises:
        ConfigurationError: the recorder has a run of another workflow.

    >>> from cano_sync import Workflow
    >>> workflow = Workflow().register("START", lambda: "END").add_exit_state("END")
    >>> "digraph" in to_dot(workflow)
    True
    """
    graph = graph_of(workflow, recorder)
    return "\n".join((*_HEAD, *_body(graph), "}", ""))


def _body(graph: Graph) -> Iterator[str]:
    for node in graph.nodes:
        yield from _SHAPES[node.kind](node, graph)
    splits = {node.id for node in graph.nodes if node.split is not None}
    for edge in graph.edges:
        yield _edge(edge, splits, graph)


def _attributes(**values: object) -> str:
    return " ".join(f"{name}={_quoted(str(value))}" for name, value in values.items())


def _quoted(text: str) -> str:
    """A string of the language. Of entities and escapes, it has only what is put in here."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
    return '"' + text.replace("\n", "\\n") + '"'


def _label(node: Node) -> str:
    return "\n".join(part for part in (clip(node.name, _LONGEST), node.seen) if part)


def _style(node: Node, graph: Graph) -> dict[str, object]:
    """How a state looks by what the run did there."""
    if node.is_last:
        return {"color": _RED, "fillcolor": "#fdecec", "penwidth": 2}
    if node.visits:
        return {"color": _GREEN, "fillcolor": "#e7f6ee", "penwidth": 2}
    if graph.is_overlaid:
        return {"color": _SOFT, "fontcolor": _SOFT}
    return {}


def _state(node: Node, graph: Graph) -> Iterator[str]:
    yield _line(node.id, label=_label(node), tooltip=node.name, **_style(node, graph))


def _exit(node: Node, graph: Graph) -> Iterator[str]:
    style = {"peripheries": 2, **_style(node, graph)}
    yield _line(node.id, label=_label(node), tooltip=node.name, **style)


def _missing(node: Node, graph: Graph) -> Iterator[str]:
    style = {"style": "rounded,dashed", "color": _RED, "fontcolor": _RED}
    yield _line(node.id, label=_label(node) + "\n(no task, no exit)", tooltip=node.name, **style)


def _entry(node: Node, graph: Graph) -> Iterator[str]:
    color = _GREEN if graph.is_overlaid else _INK
    style = {"shape": "circle", "width": 0.16, "height": 0.16, "color": color, "fillcolor": color}
    yield _line(node.id, label="", tooltip="entry", style="filled", **style)


def _unknown(node: Node, graph: Graph) -> Iterator[str]:
    style = {"shape": "circle", "width": 0.2, "height": 0.2, "fixedsize": True, "fontsize": 9}
    tooltip = "not declared"
    yield _line(node.id, label="?", tooltip=tooltip, color=_SOFT, fontcolor=_SOFT, **style)


def _split(node: Node, graph: Graph) -> Iterator[str]:
    """A box with a bar where the branches begin, the branches, and a bar where they join."""
    assert node.split is not None
    style = {"color": _INK, "fillcolor": "#f4f6fa", **_style(node, graph)}
    label = _label(node)
    yield f"  subgraph cluster_{node.id} {{"
    yield "    " + _attributes(label=label, tooltip=node.name, style="rounded,filled", **style)
    ink = _SOFT if graph.is_overlaid and not node.visits else _INK
    bar = {"style": "filled", "color": ink, "fillcolor": ink, "fontcolor": "#ffffff"}
    thin = {"height": 0.06, "width": 1.2, "fixedsize": True}
    how = node.split.strategy
    yield "  " + _line(f"{node.id}fork", label="", tooltip="the branches begin", **bar, **thin)
    yield "  " + _line(
        f"{node.id}join", label=clip(how, _LONGEST), tooltip=how, height=0.25, fontsize=11, **bar
    )
    for number, (name, is_many) in enumerate(_branches(node.split)):
        branch = f"{node.id}b{number}"
        shape = {"shape": "box3d", "style": "filled"} if is_many else {}
        yield "  " + _line(
            branch, label=clip(name, _LONGEST), tooltip=name, color=ink, fontcolor=ink, **shape
        )
        way = f"{node.id}fork -> {branch} -> {node.id}join"
        yield f"    {way} [{_attributes(arrowhead='none', color=ink)}]"
    yield "  }"


def _branches(split: Split) -> Iterator[tuple[str, bool]]:
    """The boxes inside a split, and whether each stands for many."""
    for name in split.branches:
        yield name, False
    if split.more:
        yield f"… {split.more:,} more", True
    if split.factory is not None:
        yield split.text(split.factory), True
    elif not split.branches:
        yield "no branches", False


_SHAPES = {
    NodeKind.STATE: _state,
    NodeKind.SPLIT: _split,
    NodeKind.EXIT: _exit,
    NodeKind.MISSING: _missing,
    NodeKind.ENTRY: _entry,
    NodeKind.UNKNOWN: _unknown,
}


def _line(id: str, **attributes: object) -> str:
    return f"  {id} [{_attributes(**attributes)}]"


def _edge(edge: Edge, splits: set[str], graph: Graph) -> str:
    """An edge; one of a split begins and ends at its box, drawn to the bars within."""
    source, target = edge.source, edge.target
    look: dict[str, object] = dict(_EDGES[edge.kind])
    if edge.count:
        look |= {"penwidth": 2.2, "style": "solid"}
        look["color"] = look["fontcolor"] = _RED if edge.kind is EdgeKind.ERROR else _GREEN
        if edge.count > 1 and edge.kind is not EdgeKind.ENTRY:
            look["label"] = " ".join(
                filter(None, (str(look.get("label", "")), f"{edge.count:,} times"))
            )
    elif graph.is_overlaid and edge.kind is not EdgeKind.ERROR:
        look["color"] = _SOFT
    is_loop = source == target  # drawn within the box
    if source in splits:
        look |= {} if is_loop else {"ltail": f"cluster_{source}"}
        source += "join"
    if target in splits:
        look |= {} if is_loop else {"lhead": f"cluster_{target}"}
        target += "fork"
    return f"  {source} -> {target}" + (f" [{_attributes(**look)}]" if look else "")
