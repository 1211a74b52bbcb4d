"""What builder methods and runs are given, checked and made ready, before anything happens."""

from __future__ import annotations

__all__ = (
    "bound",
    "check_executor",
    "check_exit",
    "check_free",
    "check_initial",
    "check_open",
    "check_run",
    "check_stay",
    "is_collection",
    "split_state",
)

from collections.abc import Hashable, Iterable
from concurrent.futures import Executor
from enum import Enum
from typing import TYPE_CHECKING, Any

from .._base.cancellation import CancellationToken
from .._base.lazy import Lazy
from .._base.store import MemoryStore
from .._base.text import full_name
from ..errors import ConfigurationError
from .config import TaskConfig
from .description import Description, SplitState
from .join import JoinConfig
from .task import BoundTask, bind

if TYPE_CHECKING:
    import difflib
    import inspect
else:
    difflib = Lazy("difflib")
    inspect = Lazy("inspect")


def bound(
    state: Any,
    task: Any,
    config: TaskConfig | None = None,
    *,
    generator: bool = False,
    branch: bool = False,
    provided: tuple[str, ...] = (),
) -> BoundTask:
    """Bind a task; its errors say for which state."""
    try:
        return bind(task, config, generator=generator, branch=branch, provided=provided)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"state {full_name(state)}: {error}", state=state, task=error.task
        ) from None


def split_state(state: Any, tasks: Any, join: Any, provided: tuple[str, ...] = ()) -> SplitState:
    """What `register_split` was given, checked and bound."""
    where = f"state {full_name(state)}: "
    if not isinstance(join, JoinConfig):
        raise ConfigurationError(
            f"{where}register_split() needs a JoinConfig, not {join!r}; such as "
            "JoinConfig(JoinStrategy.ALL, next_state)",
            state=state,
        )
    if callable(tasks):
        factory = bound(state, tasks, generator=True, branch=True, provided=provided)
        return SplitState(join, factory=factory)
    if not isinstance(tasks, Iterable) or isinstance(tasks, str | bytes):
        raise ConfigurationError(
            f"{where}register_split() takes a list of tasks, or a callable (store) -> list of "
            f"tasks, not {tasks!r}",
            state=state,
        )
    branches = tuple(bound(state, task, branch=True, provided=provided) for task in tasks)
    problem = join.effective.problem_with(total=len(branches), timeout=join.timeout)
    if problem is not None:
        raise ConfigurationError(where + problem, state=state)
    return SplitState(join, tasks=branches)


def check_free(description: Description, state: Any) -> None:
    """A state can get a task: it has none, and is no exit."""
    _check_state(state)
    if state in description.states:
        raise ConfigurationError(
            f"state {full_name(state)} has a task already; a state is registered once",
            state=state,
        )
    if state in description.exits:
        raise ConfigurationError(_torn(state), state=state)


def check_exit(description: Description, state: Any) -> None:
    """A state can be an exit: it has no task."""
    _check_state(state)
    if state in description.states:
        raise ConfigurationError(_torn(state), state=state)


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


def check_executor(executor: Any) -> None:
    """An executor that branches can run on, or None."""
    problem = None
    if executor is None:
        return
    if not isinstance(executor, Executor):
        problem = "is no concurrent.futures.Executor; such as ThreadPoolExecutor(8)"
    elif any(base.__name__ == "ProcessPoolExecutor" for base in type(executor).__mro__):
        # By name: importing the class would load multiprocessing with every import of ours.
        problem = "runs in other processes, where no store can be shared; use threads"
    if problem is not None:
        raise ConfigurationError(f"with_executor(): {executor!r} {problem}")
    check_open(executor)


def check_open(executor: Executor | None) -> None:
    """An executor that is not shut down, as far as it can be known, or None."""
    if executor is not None and getattr(executor, "_shutdown", False) is True:
        raise ConfigurationError(
            f"with_executor(): {executor!r} is shut down; give one that is open, and keep it open "
            "while runs last"
        )


_STORE_METHODS = (
    "get", "put", "append", "update", "remove", "contains_key", "keys", "clear", "snapshot",
)  # fmt: skip


def check_run(store: Any, cancel: Any) -> None:
    """The store and the token that a run was given."""
    if cancel is not None and not isinstance(cancel, CancellationToken):
        raise ConfigurationError(f"cancel must be a CancellationToken, not {cancel!r}")
    if store is None or type(store) is MemoryStore:
        return
    if isinstance(store, type):
        raise ConfigurationError(
            f"{store.__qualname__} is a class, not a store; give an object: {store.__qualname__}()"
        )
    missing = [name for name in _STORE_METHODS if not callable(getattr(store, name, None))]
    if isinstance(store, dict):
        raise ConfigurationError(
            "a dict is not a store, for no lock protects it; give MemoryStore(the_dict), which "
            "begins with a copy of it"
        )
    if missing:
        raise ConfigurationError(
            f"{store!r} of type {type(store).__name__} is not a store: it has no "
            f"{', '.join(missing)}; derive from cano_sync.Store, or give a MemoryStore"
        )


def check_stay(stay: Any, where: str) -> None:
    """Whether a run is to stay on its thread: yes or no."""
    if not isinstance(stay, bool):
        raise ConfigurationError(f"{where}: stay must be True or False, not {stay!r}")


def check_initial(description: Description, state: Any) -> None:
    """A state in which a run can begin."""
    if not description.knows(state):
        known = [*description.states, *description.exits]
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
