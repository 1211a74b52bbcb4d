"""A workflow as a graph that says nothing of how it is drawn, and what a run did in it."""

from __future__ import annotations

__all__ = ("Edge", "EdgeKind", "Graph", "Node", "NodeKind", "Split", "graph_of")

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .._base.text import one_line
from .._model.description import Description, SingleState, SplitState
from .._model.validation import entrance
from ..errors import ConfigurationError
from ..observe.recording.record import Record, Visit
from ..observe.recording.recorder import Recorder
from ..observe.recording.text import duration_text, name_of, plural, tick_text
from ..observe.status import Status
from ..workflow import Workflow

MOST_BRANCHES = 8


class NodeKind(Enum):
    """What a node stands for."""

    STATE = "state"
    SPLIT = "split"
    EXIT = "exit"
    MISSING = "missing"
    """A state that is led to and that has neither a task nor is an exit."""
    ENTRY = "entry"
    """Where the machine begins: not a state."""
    UNKNOWN = "unknown"
    """Where an undeclared edge leads: not a state."""


class EdgeKind(Enum):
    """What an edge stands for."""

    NEXT = "next"
    """A task declares to go there, or a split joins there."""
    ERROR = "error"
    """A failure leads there."""
    UNDECLARED = "undeclared"
    """The task does not say where it goes."""
    SEEN = "seen"
    """The run has gone there, though nothing declares it."""
    ENTRY = "entry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The inside of a state that splits.

    Attributes:
        strategy: how it joins, with its limits.
        branches: the names to draw.
        more: how many others there are.
        factory: the name of what lists the branches when the state is entered; None if they are
            known.
        listed: how many it listed when the run was here: the least and the most; None if the run
            was not.
    """

    strategy: str
    branches: tuple[str, ...]
    more: int
    factory: str | None
    listed: tuple[int, int] | None = None

    def text(self, factory: str) -> str:
        """How many branches there are, where that is known at run time, by its name as drawn."""
        if self.listed is None:
            return f"as many as {factory} lists"
        least, most = self.listed
        count = plural(most, "branch", "es")
        return f"{count if least == most else f'{least:,} to {count}'}, listed by {factory}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A state, or a point where something begins or may lead.

    Attributes:
        id: of letters and digits, unique in the graph.
        kind: what it stands for.
        name: the state's, on one line; empty for a point.
        split: its inside, for a split.
        visits: how often the run has been here.
        seen: what the run did here, as text; empty where it never was.
        is_last: whether the run ended here without coming to an exit.
    """

    id: str
    kind: NodeKind
    name: str = ""
    split: Split | None = None
    visits: int = 0
    seen: str = ""
    is_last: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """From one node to another, and how often the run has gone along it."""

    source: str
    target: str
    kind: EdgeKind
    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """The whole machine; `is_overlaid` where it shows a run."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    is_overlaid: bool


def graph_of(workflow: Workflow[Any], recorder: Recorder | None = None) -> Graph:
    """The graph of a workflow, valid or not, with a recorded run laid over it.

    Raises:
        ConfigurationError: it is no workflow or no recorder, or the run is of another workflow.
    """
    if not isinstance(workflow, Workflow):
        raise ConfigurationError(
            f"a diagram is drawn of a Workflow, not of {workflow!r} of type "
            f"{type(workflow).__name__}"
        )
    if recorder is not None and not isinstance(recorder, Recorder):
        raise ConfigurationError(
            f"a diagram is laid over by a Recorder, not by {recorder!r} of type "
            f"{type(recorder).__name__}; attach one by with_observer(Recorder()) and run"
        )
    record = Record() if recorder is None else recorder.record
    return _Drawing(workflow.description, record).graph()


class _Drawing:
    """One graph in the making."""

    def __init__(self, description: Description, record: Record) -> None:
        self._description = description
        self._record = record
        self._check()
        self._ids = {state: f"s{number}" for number, state in enumerate(self._states())}
        # Along which edges the run went, by source, target, and whether an error led there.
        self._taken: Counter[tuple[Any, Any, bool]] = Counter(
            (visit.state, visit.next_state, visit.error is not None)
            for visit in record.visits
            if visit.next_state is not None
        )

    def _check(self) -> None:
        for visit in self._record.visits:
            if not self._description.knows(visit.state):
                raise ConfigurationError(
                    f"the recorder has a run that was in state {visit.state!r}, which is no state "
                    "of this workflow; draw the workflow that was run"
                )

    def _states(self) -> Mapping[Any, None]:
        """All states in order: those with tasks, exits, and those that are only led to."""
        described = self._description
        states = dict.fromkeys((*described.states, *described.exits))
        for what in described.states.values():
            targets = sorted(what.edges or (), key=name_of)
            states |= dict.fromkeys(target for target in targets if target not in states)
            if what.error_state is not None:
                states.setdefault(what.error_state)
        return states

    def graph(self) -> Graph:
        edges = [*self._declared(), *self._seen()]
        entry = self._entry()
        nodes = [*self._nodes()]
        if entry is not None:
            nodes.insert(0, Node(id="entry", kind=NodeKind.ENTRY))
            count = 1 if self._record.visits else 0
            edges.insert(0, Edge(source="entry", target=entry, kind=EdgeKind.ENTRY, count=count))
        points = [edge.target for edge in edges if edge.kind is EdgeKind.UNDECLARED]
        nodes += [Node(id=point, kind=NodeKind.UNKNOWN) for point in points]
        return Graph(
            nodes=tuple(nodes),
            edges=tuple(edges),
            is_overlaid=bool(self._record.visits),
        )

    # Nodes.

    def _nodes(self) -> Iterator[Node]:
        last = self._record.visits[-1] if self._record.visits else None
        ended = self._record.status not in (Status.RUNNING, Status.NOT_STARTED)
        visits: dict[Any, list[Visit]] = {}
        for visit in self._record.visits:
            visits.setdefault(visit.state, []).append(visit)
        for state, id in self._ids.items():
            what = self._description.states.get(state)
            yield Node(
                id=id,
                kind=self._kind(state),
                name=name_of(state),
                split=(
                    _inside(what, visits.get(state, ())) if isinstance(what, SplitState) else None
                ),
                visits=len(visits.get(state, ())),
                seen=_seen(visits.get(state, ())),
                is_last=last is not None and ended and not last.is_exit and last.state == state,
            )

    def _kind(self, state: Any) -> NodeKind:
        what = self._description.states.get(state)
        if what is None:
            return NodeKind.EXIT if state in self._description.exits else NodeKind.MISSING
        return NodeKind.STATE if isinstance(what, SingleState) else NodeKind.SPLIT

    # Edges.

    def _declared(self) -> Iterator[Edge]:
        for state, what in self._description.states.items():
            source = self._ids[state]
            if what.edges is None:
                yield Edge(source=source, target=f"{source}unknown", kind=EdgeKind.UNDECLARED)
            for target in sorted(what.edges or (), key=lambda target: int(self._ids[target][1:])):
                yield self._edge(state, target, EdgeKind.NEXT)
            if what.error_state is not None:
                yield self._edge(state, what.error_state, EdgeKind.ERROR)

    def _edge(self, state: Any, target: Any, kind: EdgeKind) -> Edge:
        taken = self._taken[state, target, kind is EdgeKind.ERROR]
        return Edge(source=self._ids[state], target=self._ids[target], kind=kind, count=taken)

    def _seen(self) -> Iterator[Edge]:
        """Where the run went from states that do not say where they go."""
        for (state, target, is_error), count in self._taken.items():
            what = self._description.states.get(state)
            if what is not None and what.edges is None and not is_error:
                source, led_to = self._ids[state], self._ids[target]
                yield Edge(source=source, target=led_to, kind=EdgeKind.SEEN, count=count)

    def _entry(self) -> str | None:
        """Where runs begin: as the run did; else where it is certain."""
        if self._record.visits and not self._record.forgotten:
            return self._ids[self._record.visits[0].state]
        return self._ids.get(entrance(self._description))


def _seen(visits: Sequence[Visit]) -> str:
    if not visits or visits[0].is_exit:
        return ""
    took = duration_text(sum(visit.duration for visit in visits))
    if len(visits) > 1:
        return f"{len(visits):,} times in {took}"
    branches = visits[0].branches
    good = sum(span.status is Status.SUCCEEDED for span in branches)
    return f"{took}, {good:,} of {len(branches):,}" if branches else took


def _inside(what: SplitState, visits: Sequence[Visit]) -> Split:
    join = what.join
    parts = [one_line(repr(join.strategy).removeprefix("JoinStrategy."))]
    if join.timeout is not None:
        parts.append(f"within {tick_text(join.timeout)}")
    if join.bulkhead is not None:
        parts.append(f"{plural(join.bulkhead, 'branch', 'es')} at once")
    listed = [len(visit.branches) for visit in visits if visit.join is not None]
    names = [one_line(task.name) or "''" for task in what.tasks]
    most = MOST_BRANCHES if len(names) <= MOST_BRANCHES else MOST_BRANCHES - 3
    return Split(
        strategy=", ".join(parts),
        branches=tuple(names[:most]),
        more=max(0, len(names) - most),
        factory=None if what.factory is None else one_line(what.factory.name) or "''",
        listed=(min(listed), max(listed)) if listed else None,
    )
