"""States by the names that people type."""

from __future__ import annotations

__all__ = ("entrance_of", "exit_of", "names_of", "state_of")

from collections.abc import Iterable
from typing import Any

from .._base.text import did_you_mean, full_name, state_name
from .._model.description import Description
from .._model.validation import entrance
from .errors import CommandError


def names_of(states: Iterable[Any]) -> list[str]:
    """A name for each, with that of the enum where two would have the same."""
    states = list(states)
    names = [state_name(state) for state in states]
    return [
        name if names.count(name) == 1 else full_name(state)
        for state, name in zip(states, names, strict=True)
    ]


def state_of(description: Description, text: str) -> Any:
    """The state with this name, `Enum.NAME` or text."""
    return _among([*description.states, *description.exits], text, "state")


def exit_of(description: Description, text: str) -> Any:
    """The exit state with this name."""
    return _among(description.exits, text, "exit state")


def _among(states: Iterable[Any], text: str, noun: str) -> Any:
    """The one with this name.

    Raises:
        CommandError: there is none, or more than one; the message lists them.
    """
    known = list(dict.fromkeys(states))
    found = [state for state in known if text in (state_name(state), full_name(state))]
    if len(found) == 1:
        return found[0]
    names = names_of(known)
    if found:
        raise CommandError(f"{text!r} may be {' or '.join(map(full_name, found))}")
    hint = did_you_mean(text, names)
    raise CommandError(f"there is no {noun} {text!r}; there are {', '.join(names)}{hint}")


def entrance_of(description: Description) -> Any:
    """The state where runs begin, if only one can be it.

    Raises:
        CommandError: it is not settled; the message lists the states.
    """
    state = entrance(description)
    if state is None:
        names = ", ".join(names_of(description.states))
        raise CommandError(f"say where to begin, by --start: {names}")
    return state
