"""States by the names that people type."""

from __future__ import annotations

__all__ = ("entrance", "exit_of", "name_of", "names_of", "state_of")

from collections.abc import Iterable
from enum import Enum
from typing import Any

from .._model.description import Description
from .errors import CommandError, near


def name_of(state: Any) -> str:
    """A state as the command line writes it: a member's name, or the state as text."""
    return str(state.name) if isinstance(state, Enum) else str(state)


def names_of(states: Iterable[Any]) -> list[str]:
    """A name for each, with that of the enum where two would have the same."""
    states = list(states)
    plain = [name_of(state) for state in states]
    return [
        name if plain.count(name) == 1 else _full(state)
        for state, name in zip(states, plain, strict=True)
    ]


def _full(state: Any) -> str:
    return f"{type(state).__name__}.{state.name}" if isinstance(state, Enum) else repr(state)


def state_of(description: Description, text: str) -> Any:
    """The state with this name, `Enum.NAME` or text.

    Raises:
        CommandError: there is none, or more than one; the message lists them.
    """
    return _among([*description.states, *description.exits], text, "state")


def exit_of(description: Description, text: str) -> Any:
    """The exit state with this name.

    Raises:
        CommandError: there is none, or more than one; the message lists them.
    """
    return _among(description.exits, text, "exit state")


def _among(states: Iterable[Any], text: str, noun: str) -> Any:
    known = list(dict.fromkeys(states))
    found = [state for state in known if text in (name_of(state), _full(state))]
    if len(found) == 1:
        return found[0]
    names = names_of(known)
    if found:
        raise CommandError(f"{text!r} may be {' or '.join(_full(state) for state in found)}")
    hint = near(text, names)
    raise CommandError(f"there is no {noun} {text!r}; there are {', '.join(names)}{hint}")


def entrance(description: Description) -> Any:
    """The state where runs begin, if only one can be it.

    That is the one to which no other leads, and from which declared edges reach all others. Where
    edges are not declared, a second one of that kind may lie hidden: then nothing is guessed.

    Raises:
        CommandError: it is not settled; the message lists the states.
    """
    states = description.states
    after = {
        state: {*(what.edges or ()), what.error_state} & states.keys()
        for state, what in states.items()
    }
    led_to = {target for state, targets in after.items() for target in targets - {state}}
    first = [state for state in states if state not in led_to]
    if len(first) == 1 and _reached(first[0], after) == states.keys():
        return first[0]
    raise CommandError(f"say where to begin, by --start: {', '.join(names_of(states))}")


def _reached(start: Any, after: dict[Any, set[Any]]) -> set[Any]:
    reached, todo = {start}, [start]
    while todo:
        new = after[todo.pop()] - reached
        reached |= new
        todo += new
    return reached
