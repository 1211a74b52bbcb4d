"""The machine: a description made into a table that the loop of a run only looks up in."""

from __future__ import annotations

__all__ = ("Entry", "Machine")

from collections.abc import Callable
from types import CoroutineType
from typing import Any

from .._base.store import Store
from .._base.text import did_you_mean, full_name, state_name
from .._model.around import Around
from .._model.description import Description, SingleState, SplitState
from .._model.hooks import Listeners, listeners_of
from .._model.task import TaskResult
from ..errors import WorkflowError
from .surroundings import surroundings_of
from .task_run import NEVER_RUN


class Entry:
    """One state of the machine.

    Attributes:
        state: the state, as it was registered.
        step: the task, where calling it with the store is all there is to it; else None.
        edges: from the `id` of each state object that may follow to its entry. Hashing an enum
            member is Python code and shows; the table keeps the objects alive, so that an `id`
            stands for one of them. One look-up checks the declaration and finds the way.
        what: the task or the split; None for an exit.
        on_error: the entry that a failure leads to, or None.
    """

    __slots__ = ("edges", "on_error", "state", "step", "what")

    def __init__(self, state: Any, what: SingleState | SplitState | None) -> None:
        self.state = state
        self.what = what
        self.step: Callable[[Store], Any] | None = None
        self.edges: dict[int, Entry] = {}
        self.on_error: Entry | None = None


class Machine:
    """A valid description, compiled once and shared by all its runs; it never changes.

    Attributes:
        description: what it was made from.
        listeners: who listens to which event.
        is_observed: whether they listen to more than whole runs: to states, at least.
        is_observed_closely: whether they listen to tasks, attempts and splits, too.
        installed: what surrounded all runs of the process when it was compiled.
        surroundings: what surrounds its tasks and their threads, where a run is called.
    """

    __slots__ = (
        "_entries",
        "description",
        "installed",
        "is_observed",
        "is_observed_closely",
        "listeners",
        "surroundings",
    )

    def __init__(self, description: Description, installed: tuple[Around, ...] = ()) -> None:
        self.description = description
        self.installed = installed
        self.surroundings = surroundings_of((*installed, *description.arounds))
        self.listeners: Listeners = listeners_of(description.observers)
        inside = {event for event in self.listeners if not event.startswith("run_")}
        self.is_observed = bool(inside)
        self.is_observed_closely = not inside <= {"state_entered", "state_left"}
        is_bare = not (self.is_observed or self.surroundings.has_tasks)
        self._entries: dict[Any, Entry] = {}
        for state, what in description.states.items():
            entry = self._entries[state] = Entry(state, what)
            if isinstance(what, SingleState) and what.task.is_simple and is_bare:
                entry.step = what.task.plain
        for state in description.exits:
            self._entries[state] = Entry(state, None)
        everywhere = {id(entry.state): entry for entry in self._entries.values()}
        for entry in self._entries.values():
            if entry.what is None:
                continue
            if entry.what.error_state is not None:
                entry.on_error = self._entries[entry.what.error_state]
            declared = entry.what.edges
            if declared is None:
                entry.edges = everywhere
            else:
                targets = [self._entries[state] for state in declared]
                entry.edges = {id(target.state): target for target in targets}

    def find(self, state: Any) -> Entry | None:
        """The entry of a state that equals this one."""
        try:
            return self._entries.get(state)
        except TypeError:  # not hashable, so not a state
            return None

    def follow(self, entry: Entry, result: Any, run_id: str) -> Entry:
        """The entry that the result of a state's task leads to, where `edges` did not know it.

        Raises:
            WorkflowError: it is no state, an unknown one, or one outside the declaration.
        """
        if isinstance(result, TaskResult) and not result.is_split and len(result.states) == 1:
            result = result.states[0]
        following = None if result is None else self.find(result)
        if following is not None and id(following.state) in entry.edges:
            return following
        task = entry.what.task.name if isinstance(entry.what, SingleState) else None
        problem = self._problem(entry, result, following)
        raise WorkflowError(
            f"state {full_name(entry.state)}: task {task!r} {problem}",
            state=entry.state,
            task=task,
            run_id=run_id,
        )

    def _problem(self, entry: Entry, result: Any, following: Entry | None) -> str:
        """What is wrong with a result that leads nowhere, and what mends it."""
        if result is None:
            return "returned None: did it forget to return the next state?"
        if following is not None:
            declared = ", ".join(full_name(each.state) for each in entry.edges.values())
            return (
                f"returned {full_name(result)}, but its return annotation declares only "
                f"{declared}; add the state to the annotation, or drop the annotation"
            )
        if type(result) is CoroutineType:
            result.close()
            return f"returned {NEVER_RUN}"
        if isinstance(result, TaskResult) and result.is_split:
            return (
                "returned TaskResult.split(...): a task cannot split; register the branches with "
                "register_split()"
            )
        if isinstance(result, TaskResult):
            return f"returned {result!r}; return one state, as in TaskResult.single(state)"
        meant = ""
        if isinstance(result, str):
            # A member's name, or what was to be one.
            named = {state_name(each): full_name(each) for each in self._entries}
            meant = did_you_mean(result, named)
            if result in named:
                meant = f"; that is the name of {named[result]}: return the state itself"
        return (
            f"returned {_short(result)}, which is no state of this workflow{meant}; return one "
            "that register(), register_split() or add_exit_state() was given"
        )


def _short(value: Any) -> str:
    text = full_name(value)
    return text if len(text) <= 80 else text[:77] + "..."
