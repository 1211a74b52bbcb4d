"""What a workflow describes, as data: its states, its exits and its limits."""

from __future__ import annotations

__all__ = ("Description", "SingleState", "SplitState")

from concurrent.futures import Executor
from typing import Any

from .._base.store import Store
from .._base.value import Value
from .hooks import Observer
from .join import JoinConfig
from .task import BoundTask


class SingleState(Value):
    """A state with one task, which returns the next state."""

    __slots__ = ("task", "error_state")  # noqa: RUF023

    task: BoundTask
    error_state: Any

    def __init__(self, task: BoundTask, error_state: Any = None) -> None:
        self._fill(task, error_state)

    @property
    def edges(self) -> frozenset[Any] | None:
        """Where it declares to go, its error state apart."""
        return self.task.edges


class SplitState(Value):
    """A state with many tasks: known ones, or a factory that lists them at run time."""

    __slots__ = ("join", "tasks", "factory")  # noqa: RUF023

    join: JoinConfig[Any]
    tasks: tuple[BoundTask, ...]
    factory: BoundTask | None

    def __init__(
        self,
        join: JoinConfig[Any],
        tasks: tuple[BoundTask, ...] = (),
        factory: BoundTask | None = None,
    ) -> None:
        self._fill(join, tasks, factory)

    @property
    def error_state(self) -> Any:
        """Where a failed join goes, or None."""
        return self.join.error_state

    @property
    def edges(self) -> frozenset[Any]:
        """Its join state."""
        return frozenset((self.join.join_state,))


class Description(Value):
    """A whole workflow. Never changed: a builder method makes a new one."""

    __slots__ = ("states", "exits", "timeout", "executor", "store", "observers")  # noqa: RUF023

    states: dict[Any, SingleState | SplitState]
    exits: dict[Any, None]  # a set that keeps its order
    timeout: float | None
    executor: Executor | None
    store: Store | None
    observers: tuple[Observer, ...]

    def __init__(
        self,
        states: dict[Any, SingleState | SplitState] | None = None,
        exits: dict[Any, None] | None = None,
        timeout: float | None = None,
        executor: Executor | None = None,
        store: Store | None = None,
        observers: tuple[Observer, ...] = (),
    ) -> None:
        self._fill(states or {}, exits or {}, timeout, executor, store, observers)

    def knows(self, state: Any) -> bool:
        """Whether this is one of its states, exits included."""
        try:
            return state in self.states or state in self.exits
        except TypeError:  # not hashable, so not a state
            return False
