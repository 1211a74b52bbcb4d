"""The machine: a description made into a table that the loop of a run only looks up in."""

from __future__ import annotations

__all__ = ("Entry", "Machine")

from collections.abc import Callable
from types import CoroutineType
from typing import Any

from .._base.store import Store
from .._base.text import full_name
from .._model.description import Description, SingleState, SplitState
from .._model.hooks import Listeners, listeners_of
from .._model.task import TaskResult
from ..errors import WorkflowError
from .attempts import NEVER_RUN


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

    __slots__ = ("_machine", "edges", "on_error", "state", "step", "what")

    def __init__(self, machine: Machine, state: Any, what: SingleState | SplitState | None) -> None:
        self._machine = machine
        self.state = state
        self.what = what
        self.step: Callable[[Store], Any] | None = None
        if isinstance(what, SingleState) and what.task.is_simple and not machine.is_watched:
            self.step = what.task.plain
        self.edges: dict[int, Entry] = {}
        self.on_error: Entry | None = None

    def follow(self, result: Any, run_id: str) -> Entry:
        """The entry that a task's result leads to, where `edges` did not know it at once.

        Raises:
            WorkflowError: it is no state, an unknown one, or one outside the declaration.
        """
        task = self.what.task.name if isinstance(self.what, SingleState) else None
        problem = None
        if isinstance(result, TaskResult):
            if result.is_split:
                problem = (
                    "returned TaskResult.split(...): a task cannot split; register the branches "
                    "with register_split()"
                )
            elif len(result.states) != 1:
                problem = f"returned {result!r}; return one state, as in TaskResult.single(state)"
            else:
                result = result.states[0]
        if type(result) is CoroutineType:
            result.close()
            problem = f"returned {NEVER_RUN}"
        if result is None:
            problem = "returned None: did it forget to return the next state?"
        following = None if problem else self._machine.find(result)
        if following is not None and id(following.state) in self.edges:
            return following
        if problem is None and following is None:
            problem = (
                f"returned {_short(result)}, which is no state of this workflow; return one that "
                "register(), register_split() or add_exit_state() was given"
            )
        elif problem is None:
            declared = ", ".join(full_name(entry.state) for entry in self.edges.values())
            problem = (
                f"returned {full_name(result)}, but its return annotation declares only "
                f"{declared}; add the state to the annotation, or drop the annotation"
            )
        raise WorkflowError(
            f"state {full_name(self.state)}: task {task!r} {problem}",
            state=self.state,
            task=task,
            run_id=run_id,
        )


class Machine:
    """A valid description, compiled once and shared by all its runs; it never changes.

    Attributes:
        description: what it was made from.
        listeners: which hook which observers hear.
        is_watched: whether they hear of more than whole runs: of states, at least.
        is_watched_closely: whether they hear of tasks, attempts and splits, too.
    """

    __slots__ = ("_entries", "description", "is_watched", "is_watched_closely", "listeners")

    def __init__(self, description: Description) -> None:
        self.description = description
        self.listeners: Listeners = listeners_of(description.observers)
        of_a_run = {hook for hook in self.listeners if not hook.startswith("run_")}
        self.is_watched = bool(of_a_run)
        self.is_watched_closely = not of_a_run <= {"state_entered", "state_left"}
        self._entries: dict[Any, Entry] = {}
        for state, what in description.states.items():
            self._entries[state] = Entry(self, state, what)
        for state in description.exits:
            self._entries[state] = Entry(self, state, None)
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


def _short(value: Any) -> str:
    text = full_name(value)
    return text if len(text) <= 80 else text[:77] + "..."
