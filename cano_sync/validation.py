"""Every problem of a description or an argument, found before a task runs."""

from __future__ import annotations

__all__ = (
    "bound",
    "check_executor",
    "check_exit",
    "check_free",
    "check_initial",
    "check_open",
    "check_run",
    "problems_of",
    "split_state",
)

from collections.abc import Hashable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Any

from .cancellation import CancellationToken
from .config import TaskConfig
from .description import Description, SingleState, SplitState, show
from .errors import ConfigurationError
from .join import JoinConfig
from .store import MemoryStore
from .task import BoundTask, bind

# What is known when a builder method or a run is called.


def bound(
    state: Any,
    task: Any,
    config: TaskConfig | None = None,
    *,
    generator: bool = False,
    branch: bool = False,
) -> BoundTask:
    """Bind a task; its errors say for which state."""
    try:
        return bind(task, config, generator=generator, branch=branch)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"state {show(state)}: {error}", state=state, task=error.task
        ) from None


def split_state(state: Any, tasks: Any, join: Any) -> SplitState:
    """What `register_split` was given, checked and bound."""
    where = f"state {show(state)}: "
    if not isinstance(join, JoinConfig):
        raise ConfigurationError(
            f"{where}register_split() needs a JoinConfig, not {join!r}; such as "
            "JoinConfig(JoinStrategy.ALL, next_state)",
            state=state,
        )
    if callable(tasks):
        return SplitState(join, factory=bound(state, tasks, generator=True, branch=True))
    if not isinstance(tasks, Iterable) or isinstance(tasks, str | bytes):
        raise ConfigurationError(
            f"{where}register_split() takes a list of tasks, or a callable (store) -> list of "
            f"tasks, not {tasks!r}",
            state=state,
        )
    branches = tuple(bound(state, task, branch=True) for task in tasks)
    problem = join.effective.problem_with(total=len(branches), timeout=join.timeout)
    if problem is not None:
        raise ConfigurationError(where + problem, state=state)
    return SplitState(join, tasks=branches)


def check_free(description: Description, state: Any) -> None:
    """A state can get a task: it has none, and is no exit."""
    _check_state(state)
    if state in description.states:
        raise ConfigurationError(
            f"state {show(state)} has a task already; a state is registered once", state=state
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
        f"state {show(state)} cannot both have a task and be an exit: a run that came there would "
        "not know whether to end; use two states"
    )


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
    if executor is not None and getattr(executor, "_shutdown", False):
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


def check_initial(description: Description, state: Any) -> None:
    """A state in which a run can begin."""
    if not _is_known(description, state):
        known = [*description.states, *description.exits]
        raise ConfigurationError(
            f"a run cannot begin in {show(state)}, which has neither a task nor is an exit; "
            f"the states are {', '.join(map(show, known)) or 'none'}",
            state=state,
        )


def _is_known(description: Description, state: Any) -> bool:
    return _hashable(state) and (state in description.states or state in description.exits)


# What is known once the description is complete.


def problems_of(description: Description) -> list[str]:
    """What is wrong with it, one sentence each, most basic first; empty when all is well."""
    found = list(_missing_parts(description))
    found += _dangling(description)
    if not found:  # what follows walks the edges, and would only repeat the above
        found += _unreachable(description)
        found += _endless(description)
    return found


def _missing_parts(description: Description) -> Iterator[str]:
    if not description.states:
        yield "no state has a task; add one with register() or register_split()"
    if not description.exits:
        yield "there is no exit state; name one with add_exit_state()"


def _dangling(description: Description) -> Iterator[str]:
    """Edges that lead to a state with neither task nor exit."""
    for state, what in description.states.items():
        targets: list[tuple[str, Any]] = []
        if isinstance(what, SingleState):
            declared = sorted(what.edges or (), key=show)
            targets += [(f"task {what.task.name!r} declares to go", edge) for edge in declared]
        else:
            targets.append(("join_state leads", what.join.join_state))
        if what.error_state is not None:
            targets.append(("error_state leads", what.error_state))
        for how, target in targets:
            if not _is_known(description, target):
                yield (
                    f"state {show(state)}: {how} to {show(target)}, which has neither a task nor "
                    "is an exit; register() it or name it in add_exit_states()"
                )


def _targets(what: Any) -> set[Any]:
    """Where a state can go, for one whose edges are declared."""
    error = set() if what.error_state is None else {what.error_state}
    return {*what.edges, *error}


def _unreachable(description: Description) -> Iterator[str]:
    """Where all edges are declared: states that no run comes to, wherever it starts.

    The initial state is only known when a run begins. The entrance is taken to be the first
    registered state that no other state leads to, or the first registered one in a machine
    that is all one circle.
    """
    if any(what.edges is None for what in description.states.values()):
        return
    after = {state: _targets(what) for state, what in description.states.items()}
    led_to = {target for state, targets in after.items() for target in targets if target != state}
    first = next((state for state in after if state not in led_to), next(iter(after)))
    reached = _closure({first}, after)
    for state in after:
        if state not in reached:
            yield (
                f"state {show(state)} cannot be reached from {show(first)}; declare an edge to "
                "it, or register it in a workflow of its own"
            )


def _endless(description: Description) -> Iterator[str]:
    """States from which only declared edges lead on, and none of them ever to an exit."""
    ends = set(description.exits)
    before: dict[Any, set[Any]] = {}
    for state, what in description.states.items():
        if what.edges is None:
            ends.add(state)  # it may go anywhere
            continue
        for target in _targets(what):
            before.setdefault(target, set()).add(state)
    ending = _closure(ends, before)
    for state in description.states:
        if state not in ending:
            yield (
                f"state {show(state)}: no exit can be reached from it; declare an edge that "
                "leads to one"
            )


def _closure(start: set[Any], edges: dict[Any, set[Any]]) -> set[Any]:
    reached, todo = set(start), list(start)
    while todo:
        for state in edges.get(todo.pop(), ()):
            if state not in reached:
                reached.add(state)
                todo.append(state)
    return reached
