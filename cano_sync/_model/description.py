"""What a workflow describes, as data: its states, its exits and its limits."""

from __future__ import annotations

__all__ = ("Description", "SingleState", "SplitState")

from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

from .._base.store import Store
from .around import Around
from .hooks import Observer
from .join import JoinConfig
from .task import BoundTask


@dataclass(frozen=True, slots=True)
class SingleState:
    """A state with one task, which returns the next state."""

    task: BoundTask
    error_state: Any = None

    @property
    def edges(self) -> frozenset[Any] | None:
        """Where it declares to go, its error state apart."""
        return self.task.edges


@dataclass(frozen=True, slots=True)
class SplitState:
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


@dataclass(frozen=True, slots=True)
class Description:
    """A whole workflow. Never changed: a builder method makes a new one."""

    states: dict[Any, SingleState | SplitState] = field(default_factory=dict)
    exits: dict[Any, None] = field(default_factory=dict)  # a set that keeps its order
    timeout: float | None = None
    executor: Executor | None = None
    store: Store | None = None
    observers: tuple[Observer, ...] = ()
    arounds: tuple[Around, ...] = ()  # the outermost first
    stays: bool = False  # whether its limits are kept on the calling thread

    def knows(self, state: Any) -> bool:
        """Whether this is one of its states, exits included."""
        try:
            return state in self.states or state in self.exits
        except TypeError:  # not hashable, so not a state
            return False
