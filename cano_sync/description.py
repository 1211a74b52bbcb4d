"""What a workflow describes, as data: its states, its exits and its limits."""

from __future__ import annotations

__all__ = ("Description", "SingleState", "SplitState", "show")

from concurrent.futures import Executor
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from .join import JoinConfig
from .store import Store
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


def show(state: Any) -> str:
    """A state as messages name it."""
    return f"{type(state).__name__}.{state.name}" if isinstance(state, Enum) else repr(state)
