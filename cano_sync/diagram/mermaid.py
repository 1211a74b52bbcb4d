"""A workflow in the language of mermaid, which many sites draw where they find it in a text."""

from __future__ import annotations

__all__ = ("to_mermaid",)

from collections.abc import Iterator
from typing import Any

from ..observe.recording.recorder import Recorder
from ..observe.recording.text import clip
from ..workflow import Workflow
from .graph import Edge, EdgeKind, Graph, Node, NodeKind, Split, graph_of

_LONGEST = 48  # cells of a label

# Which brackets make which shape.
_SHAPES = {
    NodeKind.STATE: ("(", ")"),
    NodeKind.EXIT: ("(((", ")))"),
    NodeKind.MISSING: ("{{", "}}"),
    NodeKind.ENTRY: ("((", "))"),
    NodeKind.UNKNOWN: ("((", "))"),
}
_ARROWS = {
    EdgeKind.NEXT: "-->",
    EdgeKind.ENTRY: "-->",
    EdgeKind.SEEN: "==>",
    EdgeKind.ERROR: "-.->",
    EdgeKind.UNDECLARED: "-.->",
}
_CLASSES = {
    "seen": "fill:#e7f6ee,stroke:#1a7f4b,stroke-width:2px,color:#1c2330",
    "last": "fill:#fdecec,stroke:#c0272d,stroke-width:2px,color:#1c2330",
    "missing": "stroke:#c0272d,stroke-dasharray:4 3,color:#c0272d",
    "point": "fill:#3b4658,stroke:#3b4658,color:#ffffff",
}
_ERROR, _SEEN, _FAILED = (
    "stroke:#c0272d,color:#c0272d,stroke-dasharray:4 3",
    "stroke:#1a7f4b,stroke-width:3px",
    "stroke:#c0272d,color:#c0272d,stroke-width:3px",
)


def to_mermaid(workflow: Workflow[Any], recorder: Recorder | None = None) -> str:
    """Draw a workflow as a mermaid flowchart, whole or not yet valid.

    A state whose task does not declare where it goes has a dotted edge to a question mark. Red
    dotted edges are taken after an error. Long lists of branches are cut short.

    Args:
        workflow: what to draw.
        recorder: a run of it, to be laid over: where it went, how often, and how long it took.

    Raises:
        ConfigurationError: the recorder has a run of another workflow.

    >>> from typing import Literal
    >>> from cano_sync import Workflow
    >>> def start() -> Literal["END"]:
    ...     return "END"
    >>> print(to_mermaid(Workflow().register("START", start).add_exit_state("END")))
    flowchart TD
      entry((" "))
      s0("START")
      s1((("END")))
      entry --> s0
      s0 --> s1
      classDef point fill:#3b4658,stroke:#3b4658,color:#ffffff
      class entry point
    <BLANKLINE>
    """
    graph = graph_of(workflow, recorder)
    return "\n".join(("flowchart TD", *_nodes(graph), *_edges(graph), *_style(graph), ""))


def _nodes(graph: Graph) -> Iterator[str]:
    for node in graph.nodes:
        if node.split is not None:
            yield from _split(node, node.split)
            continue
        opening, closing = _SHAPES[node.kind]
        yield f'  {node.id}{opening}"{_label(node)}"{closing}'


def _label(node: Node) -> str:
    points = {NodeKind.ENTRY: " ", NodeKind.UNKNOWN: "?"}
    if node.kind in points:
        return points[node.kind]
    extra = "(no task, no exit)" if node.kind is NodeKind.MISSING else node.seen
    return "<br/>".join(_escaped(part) for part in (clip(node.name, _LONGEST), extra) if part)


def _split(node: Node, split: Split) -> Iterator[str]:
    how = _escaped(clip(split.strategy, _LONGEST))
    yield f'  subgraph {node.id} ["{_label(node)}<br/>{how}"]'
    for number, name in enumerate(split.branches):
        yield f'    {node.id}b{number}("{_escaped(clip(name, _LONGEST))}")'
    if split.more:
        yield f'    {node.id}more[["… {split.more:,} more"]]'
    if split.factory is not None:
        text = _escaped(split.text(clip(split.factory, _LONGEST)))
        yield f'    {node.id}list[["{text}"]]'
    elif not split.branches:
        yield f'    {node.id}none["no branches"]'
    yield "  end"


def _edges(graph: Graph) -> Iterator[str]:
    for edge in graph.edges:
        text = _on(edge)
        yield f"  {edge.source} {_ARROWS[edge.kind]}{text} {edge.target}"


def _on(edge: Edge) -> str:
    parts = ["error"] if edge.kind is EdgeKind.ERROR else []
    if edge.count > 1 and edge.kind is not EdgeKind.ENTRY:
        parts.append(f"{edge.count:,} times")
    return f'|"{" ".join(parts)}"|' if parts else ""


def _style(graph: Graph) -> Iterator[str]:
    """Colours: by class for nodes, by number for edges."""
    classes: dict[str, list[str]] = {}
    for node in graph.nodes:
        if node.kind is NodeKind.ENTRY:
            classes.setdefault("point", []).append(node.id)
        elif node.kind is NodeKind.MISSING:
            classes.setdefault("missing", []).append(node.id)
        elif node.visits:
            classes.setdefault("last" if node.is_last else "seen", []).append(node.id)
    for number, edge in enumerate(graph.edges):
        look = _ERROR if edge.kind is EdgeKind.ERROR else ""
        if edge.count:
            look = _FAILED if look else _SEEN
        if look:
            yield f"  linkStyle {number} {look}"
    for name, ids in classes.items():
        yield f"  classDef {name} {_CLASSES[name]}"
        yield f"  class {','.join(ids)} {name}"


# What stays as it is in a label. All other ASCII is given by its number: the language has no other
# way to quote, reads markdown and HTML in labels, and looks for words and signs of its own in
# places where nobody would think of them.
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _,")
# What mermaid writes for the beginning and the end of such a number before it reads the rest: it
# cannot be quoted at all, so it is taken apart.
_ITS_OWN = (("ﬂ°", "fl°"), ("¶ß", "¶ ß"))


def _escaped(text: str) -> str:
    for taken, instead in _ITS_OWN:
        text = text.replace(taken, instead)
    return "".join(char if char in _SAFE or char > "\x7f" else f"#{ord(char)};" for char in text)
