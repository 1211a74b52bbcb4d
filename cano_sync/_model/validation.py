"""Every problem of a complete description, found before a task runs."""

from __future__ import annotations

__all__ = ("entrance", "problems_of", "same_names")

from collections.abc import Iterable, Iterator
from typing import Any

from .._base.text import full_name, state_name
from .description import Description, SingleState


def problems_of(description: Description) -> list[str]:
    """What is wrong with it, one sentence each, most basic first; empty when all is well."""
    found = list(_missing_parts(description))
    found += _same_names(description)
    found += _dangling(description)
    if not found:  # what follows walks the edges, and would only repeat the above
        found += _unreachable(description)
        found += _endless(description)
    return found


def _missing_parts(description: Description) -> Iterator[str]:
    if not description.states:
        yield "no state has a task; add one with register() or register_split()"
    if not description.exits:
        yield "there is no exit state; name one with add_exit_state()"


def _same_names(description: Description) -> Iterator[str]:
    """States that cannot be told apart in what is recorded of a run."""
    if description.keeping is not None:
        yield from same_names([*description.states, *description.exits])


def same_names(states: Iterable[Any]) -> Iterator[str]:
    """What is wrong with these states where runs are recorded: two have one name."""
    known: dict[str, Any] = {}
    for state in states:
        other = known.setdefault(state_name(state), state)
        if other is not state:
            yield (
                f"states {full_name(other)} and {full_name(state)} have one name, "
                f"{state_name(state)!r}, by which runs are recorded; rename one of them"
            )


def _dangling(description: Description) -> Iterator[str]:
    """Edges that lead to a state with neither task nor exit."""
    for state, what in description.states.items():
        targets: list[tuple[str, Any]] = []
        if isinstance(what, SingleState):
            declared = sorted(what.edges or (), key=full_name)
            targets += [(f"task {what.task.name!r} declares to go", edge) for edge in declared]
        else:
            targets.append(("join_state leads", what.join.join_state))
        if what.error_state is not None:
            targets.append(("error_state leads", what.error_state))
        for how, target in targets:
            if not description.knows(target):
                yield (
                    f"state {full_name(state)}: {how} to {full_name(target)}, which has neither a "
                    "task nor is an exit; register() it or name it in add_exit_states()"
                )


def entrance(description: Description) -> Any:
    """The state where runs begin, if only one can be it; else None.

    That is the one to which no other leads, and from which declared edges reach all others. Where
    edges are not declared, a second one of that kind may lie hidden: then nothing is guessed.
    """
    after = {state: _targets(what) for state, what in description.states.items()}
    first = _first_states(after)
    if len(first) == 1 and description.states.keys() <= _closure(set(first), after):
        return first[0]
    return None


def _first_states(after: dict[Any, set[Any]]) -> list[Any]:
    """The states to which no other leads, as far as it is declared."""
    led_to = {target for state, targets in after.items() for target in targets if target != state}
    return [state for state in after if state not in led_to]


def _targets(what: Any) -> set[Any]:
    """Where a state can go, as far as it is declared."""
    error = set() if what.error_state is None else {what.error_state}
    return {*(what.edges or ()), *error}


def _unreachable(description: Description) -> Iterator[str]:
    """Where all edges are declared: states that no run comes to, wherever it starts.

    The initial state is only known when a run begins. The entrance is taken to be the first
    registered state that no other state leads to, or the first registered one in a machine
    that is all one circle.
    """
    if any(what.edges is None for what in description.states.values()):
        return
    after = {state: _targets(what) for state, what in description.states.items()}
    first = next(iter(_first_states(after)), next(iter(after)))
    reached = _closure({first}, after)
    for state in after:
        if state not in reached:
            yield (
                f"state {full_name(state)} cannot be reached from {full_name(first)}; declare an "
                "edge to it, or register it in a workflow of its own"
            )


def _endless(description: Description) -> Iterator[str]:
    """States from which only declared edges lead on, and none of them ever to an exit."""
    ends = set(description.exits)
    before: dict[Any, set[Any]] = {}
    for state, what in description.states.items():
        if what.edges is None:
            ends.add(state)  # it may go anywhere
            continue
        for target in _targets(what):
            before.setdefault(target, set()).add(state)
    ending = _closure(ends, before)
    for state in description.states:
        if state not in ending:
            yield (
                f"state {full_name(state)}: no exit can be reached from it; declare an edge that "
                "leads to one"
            )


def _closure(start: set[Any], edges: dict[Any, set[Any]]) -> set[Any]:
    reached, todo = set(start), list(start)
    while todo:
        for state in edges.get(todo.pop(), ()):
            if state not in reached:
                reached.add(state)
                todo.append(state)
    return reached
