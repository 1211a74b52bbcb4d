"""What a workflow describes, as data: its states, its exits and its limits."""

from __future__ import annotations

__all__ = ("Description", "SingleState", "SplitState")

from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any, NamedTuple

from .._base.store import Store
from .hooks import Observer
from .join import JoinConfig
from .task import BoundTask


class SingleState(NamedTuple):
    """A state with one task, which returns the next state."""

    task: BoundTask
    error_state: Any = None

    @property
    def edges(self) -> frozenset[Any] | None:
        """Where it declares to go, its error state apart."""
        return self.task.edges


class SplitState(NamedTuple):
    """A state with many tasks: known ones, or a factory that lists them at run time."""

    join: JoinConfig[Any]
    tasks: tuple[BoundTask, ...] = ()
    factory: BoundTask | None = None

    @property
    def error_state(self) -> Any:
        """Where a failed join goes, or None."""
        return self.join.error_state

    @property
    def edges(self) -> frozenset[Any]:
        """Its join state."""
        return frozenset((self.join.join_state,))


class Description(NamedTuple):
    """A whole workflow. Never changed: a builder method makes a new one."""

    states: Mapping[Any, SingleState | SplitState]
    exits: Mapping[Any, None]  # a set that keeps its order
    timeout: float | None = None
    executor: Executor | None = None
    store: Store | None = None
    observers: tuple[Observer, ...] = ()

    def knows(self, state: Any) -> bool:
        """Whether this is one of its states, exits included."""
        try:
            return state in self.states or state in self.exits
        except TypeError:  # not hashable, so not a state
            return False
