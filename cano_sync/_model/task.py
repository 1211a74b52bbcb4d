"""What a task is: a callable or a `Task`, bound once to how it is called, named and tried."""

from __future__ import annotations

__all__ = ("BoundTask", "Task", "TaskContext", "TaskResult", "bind", "task")

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, Literal, Never, TypeVar

from .._base.cancellation import CancellationToken
from .._base.store import Store
from ..errors import CanoError, ConfigurationError
from .config import TaskConfig
from .signature import Shape, declared_states, display_name, read_signature

S = TypeVar("S")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__cano_task__"
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class TaskContext:
    """Where a task runs; a task gets it by a parameter named `context`.

    Attributes:
        run_id: the run's id, the same in all its tasks and errors.
        state: the state that the task belongs to.
        index: the branch's place in its split, from 0; None in a single state.
        attempt: which attempt this is, from 1.
        error: the error that led to this error state, or None.
        thread: "caller" on the thread that called `orchestrate`, "pool" on any other.
    """

    run_id: str
    state: Any
    index: int | None = None
    attempt: int = 1
    error: CanoError | None = None
    thread: Literal["caller", "pool"] = "caller"


@dataclass(frozen=True)  # without slots, as JoinConfig is
class TaskResult(Generic[S]):
    """What a task may return instead of a bare state.

    >>> TaskResult.single("NEXT").states
    ('NEXT',)
    """

    states: tuple[S, ...]
    is_split: bool = False

    @staticmethod
    def single(state: T) -> TaskResult[T]:
        """Go on to `state`."""
        return TaskResult((state,))

    @staticmethod
    def split(states: Iterable[T]) -> TaskResult[T]:
        """Refused by every run, with a pointer to `Workflow.register_split`.

        It is here for those who come from engines where a task may fan out by what it returns.
        """
        return TaskResult(tuple(states), is_split=True)


class Call:
    """A callable and how to call it."""

    __slots__ = ("edges", "function", "shape")

    def __init__(
        self, function: Callable[..., Any], shape: Shape, edges: frozenset[Any] | None = None
    ) -> None:
        self.function = function
        self.shape = shape
        self.edges = edges


class Task:
    """Base class of tasks with a state of their own: override `run`.

    `run` follows the rules of a plain callable: the first parameter after `self` gets the store,
    `cancel` and `context` are passed by name. One object serves every run and every thread, so
    keep nothing of a run on `self`.

    Attributes:
        name: what errors and outcomes call it; the class's name when empty.

    >>> class Greet(Task):
    ...     def run(self, store: Store) -> str:
    ...         store.put("greeting", "hello")
    ...         return "DONE"
    >>> bind(Greet()).name
    'Greet'
    """

    name: str = ""

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work; in a single state, return the next state."""
        raise NotImplementedError

    def config(self) -> TaskConfig:
        """How the task is tried; a config given to `register` goes before it."""
        return TaskConfig()

    def to_call(self, name: str, provided: tuple[str, ...] = ()) -> Call:
        """What the engine calls (for the engine)."""
        if type(self).run is Task.run:
            raise ConfigurationError(
                f"task {name!r} has no run(); override `run(self, store)`", task=name
            )
        return Call(
            self.run,
            read_signature(self.run, offer=("store",), name=name, provided=provided),
            declared_states(self.run),
        )


class _Mark:
    __slots__ = ("config", "name")

    def __init__(self, config: TaskConfig | None, name: str | None) -> None:
        self.config = config
        self.name = name


def task(
    *misused: Never, config: TaskConfig | None = None, name: str | None = None
) -> Callable[[F], F]:
    """Attach a config or a name to a function; it stays the function that it was.

    >>> @task(config=TaskConfig().with_fixed_retry(2, delay=0.1), name="load the order")
    ... def load(store: Store) -> str:
    ...     return "NEXT"
    >>> bind(load).name
    'load the order'
    """
    if misused:
        raise ConfigurationError(
            f"@task is given {misused[0]!r}; write @task(), with parentheses, and its settings by "
            "name: @task(config=..., name=...)"
        )
    if config is not None and not isinstance(config, TaskConfig):
        raise ConfigurationError(
            f"@task(config=...) needs a TaskConfig, not {config!r}; write @task(), with parentheses"
            if callable(config)
            else f"@task(config=...) needs a TaskConfig, not {config!r}"
        )
    mark = _Mark(config, name)

    def attach(function: F) -> F:
        if isinstance(function, type):
            raise ConfigurationError(
                f"@task is for functions; the class {function.__qualname__} says its config by a "
                "config() method and its name by an attribute, as cano_sync.Task does"
            )
        try:
            vars(function)[_MARK] = mark
        except TypeError:  # a builtin, a bound method: nothing can be attached to it
            raise ConfigurationError(
                f"@task cannot attach anything to {function!r}; wrap it in a function, or give "
                "the config to register()"
            ) from None
        return function

    return attach


class BoundTask:
    """A task, ready to be called: everything about it was read when it was registered.

    Attributes:
        name: what errors and outcomes call it.
        config: how it is tried.
        edges: the states that its annotation declares, or None.
        function: what is called, with the store where it `takes_store`, and what is `named`.
        takes_store: whether it takes the store.
        plain: called with the store alone; of use only where the task takes nothing by name.
        is_simple: whether calling `plain` once is all there is to it.
        wants_context: whether it takes a `TaskContext`.
    """

    __slots__ = (
        "_shape",
        "config",
        "edges",
        "function",
        "is_simple",
        "name",
        "plain",
        "takes_store",
        "wants_context",
    )

    def __init__(self, name: str, config: TaskConfig, call: Call) -> None:
        self.name = name
        self.config = config
        self.edges = call.edges
        self.function = call.function
        self._shape = call.shape
        self.takes_store = bool(call.shape.positional)
        self.wants_context = call.shape.context
        self.plain: Callable[[Store], Any] = _plain(call)
        self.is_simple = call.shape.plain and config.is_minimal

    def call(
        self,
        store: Store,
        token: CancellationToken,
        context: TaskContext | None,
        provided: Mapping[str, Any] = NOTHING,
    ) -> Any:
        """Call the task with what it takes; `provided` is what arounds provide, by name."""
        named = self.named(token, context)
        for name in self._shape.provided:
            named[name] = provided[name]
        return self.function(store, **named) if self.takes_store else self.function(**named)

    def named(self, token: CancellationToken, context: TaskContext | None) -> dict[str, Any]:
        """What it takes of ours by name."""
        named: dict[str, Any] = {}
        if self._shape.cancel:
            named["cancel"] = token
        if self._shape.context:
            named["context"] = context
        return named


def _plain(call: Call) -> Callable[[Store], Any]:
    if call.shape.positional:
        return call.function
    return lambda store: call.function()


def bind(
    task: Any,
    config: TaskConfig | None = None,
    *,
    generator: bool = False,
    branch: bool = False,
    provided: tuple[str, ...] = (),
) -> BoundTask:
    """Make a task of whatever was registered.

    Args:
        task: a callable, a `Task` or a `Node`.
        config: goes before the task's own.
        generator: whether a generator function will do, whose items are listed (for what lists
            a split's tasks).
        branch: whether it is a branch of a split, whose return annotation declares no edges.
        provided: the names of what arounds provide.

    Raises:
        ConfigurationError: it is not callable, is a class, or cannot be called with what there is.
    """
    if config is not None:
        _check_config(config, "a task's config")
    if isinstance(task, type):
        raise ConfigurationError(
            f"{task.__qualname__} is a class, not a task; register an instance: "
            f"{task.__qualname__}(...)"
        )
    if isinstance(task, Task):
        name = task.name or type(task).__qualname__.rpartition("<locals>.")[2]
        own = config or _check_config(task.config(), f"what config() of task {name!r} returns")
        return BoundTask(name, own, task.to_call(name, provided))
    if not callable(task):
        raise ConfigurationError(
            f"{task!r} of type {type(task).__name__} is not a task: it cannot be called; register "
            "a function, a Task or a Node"
        )
    mark = _mark_of(task)
    name = mark.name or display_name(task)
    shape = read_signature(
        task, offer=("store",), name=name, generator=generator, provided=provided
    )
    return BoundTask(
        name,
        config or mark.config or TaskConfig(),
        Call(
            _listing(task) if generator else task, shape, None if branch else declared_states(task)
        ),
    )


def _listing(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, and the going through what it lists: a generator's code runs only then."""

    def listed(*given: Any, **named: Any) -> Any:
        result = function(*given, **named)
        lazy = isinstance(result, Iterable) and not isinstance(result, str | bytes)
        return list(result) if lazy else result

    return listed


def _check_config(config: Any, what: str) -> TaskConfig:
    if not isinstance(config, TaskConfig):
        raise ConfigurationError(
            f"{what} must be a TaskConfig, not {config!r}; such as TaskConfig() or "
            "TaskConfig().with_fixed_retry(3, delay=0.5)"
        )
    return config


_NO_MARK = _Mark(None, None)


def _mark_of(task: Any) -> _Mark:
    """What @task has attached, to the callable or to the function inside a partial."""
    for holder in (task, getattr(task, "func", None)):
        mark = getattr(holder, _MARK, None)
        if isinstance(mark, _Mark):
            return mark
    return _NO_MARK
