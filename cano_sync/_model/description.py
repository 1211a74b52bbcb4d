"""What a workflow describes, as data: its states, its exits and its limits, each checked."""

from __future__ import annotations

__all__ = (
    "Description",
    "SingleState",
    "SplitState",
    "is_collection",
    "single_state",
    "split_state",
)

from collections.abc import Hashable, Iterable, Mapping
from concurrent.futures import Executor
from enum import Enum
from typing import Any, NamedTuple

from .._base.store import Store
from .._base.text import full_name
from ..errors import ConfigurationError
from .around import Around, provided_by
from .config import TaskConfig
from .hooks import Observer
from .join import JoinConfig
from .task import BoundTask, bind


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
    arounds: tuple[Around, ...] = ()  # the outermost first
    stays: bool = False  # whether its limits are kept on the calling thread

    def knows(self, state: Any) -> bool:
        """Whether this is one of its states, exits included."""
        try:
            return state in self.states or state in self.exits
        except TypeError:  # not hashable, so not a state
            return False

    @property
    def provided(self) -> tuple[str, ...]:
        """The names by which tasks get what its arounds give."""
        return provided_by(self.arounds)

    def check_free(self, state: Any) -> None:
        """Check that a state can get a task: it has none, and is no exit."""
        _check_state(state)
        if state in self.states:
            raise ConfigurationError(
                f"state {full_name(state)} has a task already; a state is registered once",
                state=state,
            )
        if state in self.exits:
            raise ConfigurationError(_torn(state), state=state)

    def check_exit(self, state: Any) -> None:
        """Check that a state can be an exit: it has no task."""
        _check_state(state)
        if state in self.states:
            raise ConfigurationError(_torn(state), state=state)

    def check_initial(self, state: Any) -> None:
        """Check that a run can begin in a state."""
        if not self.knows(state):
            known = [*self.states, *self.exits]
            # The name of a member, as it is typed on a command line or comes out of a file.
            meant = [each for each in known if isinstance(each, Enum) and each.name == state]
            mend = f"the states are {', '.join(map(full_name, known)) or 'none'}"
            if meant:
                mend = f"that is the name of the state {full_name(meant[0])}: give the state itself"
            raise ConfigurationError(
                f"a run cannot begin in {full_name(state)}, which has neither a task nor is an "
                f"exit; {mend}",
                state=state,
            )


def single_state(
    state: Any,
    task: Any,
    config: TaskConfig | None,
    error_state: Any,
    provided: tuple[str, ...],
) -> SingleState:
    """What `register` was given, checked and bound."""
    return SingleState(_bound(state, task, config, provided=provided), error_state)


def split_state(state: Any, tasks: Any, join: Any, provided: tuple[str, ...]) -> SplitState:
    """What `register_split` was given, checked and bound."""
    where = f"state {full_name(state)}: "
    if not isinstance(join, JoinConfig):
        raise ConfigurationError(
            f"{where}register_split() needs a JoinConfig, not {join!r}; such as "
            "JoinConfig(JoinStrategy.ALL, next_state)",
            state=state,
        )
    if callable(tasks):
        factory = _bound(state, tasks, generator=True, branch=True, provided=provided)
        return SplitState(join, factory=factory)
    if not isinstance(tasks, Iterable) or isinstance(tasks, str | bytes):
        raise ConfigurationError(
            f"{where}register_split() takes a list of tasks, or a callable (store) -> list of "
            f"tasks, not {tasks!r}",
            state=state,
        )
    branches = tuple(_bound(state, task, branch=True, provided=provided) for task in tasks)
    problem = join.effective.problem_with(total=len(branches), timeout=join.timeout)
    if problem is not None:
        raise ConfigurationError(where + problem, state=state)
    return SplitState(join, tasks=branches)


def _bound(
    state: Any,
    task: Any,
    config: TaskConfig | None = None,
    *,
    generator: bool = False,
    branch: bool = False,
    provided: tuple[str, ...],
) -> BoundTask:
    """Bind a task; its errors say for which state."""
    try:
        return bind(task, config, generator=generator, branch=branch, provided=provided)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"state {full_name(state)}: {error}", state=state, task=error.task
        ) from None


def _check_state(state: Any) -> None:
    if state is None:
        raise ConfigurationError("None cannot be a state: it is what a task without a return gives")
    if not _hashable(state):
        raise ConfigurationError(
            f"{state!r} of type {type(state).__name__} cannot be a state: it cannot be hashed; "
            "use an enum member, a string or a tuple",
            state=state,
        )


def _hashable(value: Any) -> bool:
    if not isinstance(value, Hashable):
        return False
    try:
        hash(value)
    except TypeError:  # a tuple with a list in it
        return False
    return True


def _torn(state: Any) -> str:
    return (
        f"state {full_name(state)} cannot both have a task and be an exit: a run that came there "
        "would not know whether to end; use two states"
    )


def is_collection(value: Any) -> bool:
    """Whether it is several states rather than one."""
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Enum)
