"""`Node`: a task in three steps, of which the middle one never sees the store."""

from __future__ import annotations

__all__ = ("Node",)

from collections.abc import Callable
from typing import Any

from .._base.cancellation import CancellationToken
from .._base.store import Store
from .._base.text import error_text
from ..errors import CanoError, ConfigurationError, NodeExecutionError, PreparationError
from .signature import Shape, declared_states, read_signature
from .task import Call, Task, TaskContext


class Node(Task):
    """A task that reads in `prep`, works in `exec` and writes in `post`.

    A retry restarts all three. Each may take `cancel` and `context` by name. What `prep` raises
    is a `PreparationError`, what the others raise a `NodeExecutionError`, with the user's
    exception as the `__cause__`; what is a `CanoError` already (a store's) passes as it is.

    >>> class Double(Node):
    ...     def prep(self, store: Store) -> int:
    ...         return store.get("n", int)
    ...     def exec(self, prepared: int) -> int:
    ...         return 2 * prepared
    ...     def post(self, store: Store, result: int) -> str:
    ...         store.put("n", result)
    ...         return "DONE"
    """

    def prep(self, *args: Any, **kwargs: Any) -> Any:
        """`prep(self, store)`: read what the work needs. Returns None unless overridden."""
        return None

    def exec(self, *args: Any, **kwargs: Any) -> Any:
        """`exec(self, prepared)`: do the work. Hands on what was prepared unless overridden."""
        return args[0]

    def post(self, *args: Any, **kwargs: Any) -> Any:
        """`post(self, store, result)`: write the result and return the next state."""
        raise NotImplementedError

    def to_call(self, name: str, provided: tuple[str, ...] = ()) -> Call:
        """What the engine calls (for the engine)."""
        if type(self).post is Node.post:
            raise ConfigurationError(
                f"node {name!r} has no post(); override `post(self, store, result)` to return the "
                "next state",
                task=name,
            )

        def step(method: Callable[..., Any], which: str, *offer: str) -> _Step:
            shape = read_signature(method, offer=offer, name=f"{name}.{which}", provided=provided)
            return _Step(method, shape)

        steps = _Steps(
            name,
            step(self.prep, "prep", "store"),
            step(self.exec, "exec", "prepared"),
            step(self.post, "post", "store", "result"),
        )
        return Call(steps, steps.shape, declared_states(self.post))


class _Step:
    """One of the three methods and how to call it."""

    __slots__ = ("function", "shape")

    def __init__(self, function: Callable[..., Any], shape: Shape) -> None:
        self.function = function
        self.shape = shape

    def __call__(self, offer: tuple[Any, ...], named: dict[str, Any]) -> Any:
        shape = self.shape
        taken = {key: named[key] for key in ("cancel", "context") if getattr(shape, key)}
        taken.update((key, named[key]) for key in shape.provided)
        return self.function(*offer[: shape.positional], **taken)


class _Steps:
    """The three methods of a node as one callable."""

    __slots__ = ("_exec", "_name", "_post", "_prep", "shape")

    def __init__(self, name: str, prep: _Step, exec: _Step, post: _Step) -> None:
        self._name = name
        self._prep = prep
        self._exec = exec
        self._post = post
        shapes = [step.shape for step in (prep, exec, post)]
        self.shape = Shape(
            1,
            any(shape.cancel for shape in shapes),
            any(shape.context for shape in shapes),
            frozenset().union(*(shape.provided for shape in shapes)),
        )

    def __call__(
        self,
        store: Store,
        cancel: CancellationToken | None = None,
        context: TaskContext | None = None,
        **provided: Any,
    ) -> Any:
        named = {"cancel": cancel, "context": context, **provided}
        try:
            prepared = self._prep((store,), named)
        except CanoError:
            raise
        except Exception as error:
            raise PreparationError(
                f"node {self._name!r}: prep raised {error_text(error)}",
                task=self._name,
            ) from error
        try:
            result = self._exec((prepared,), named)
            return self._post((store, result), named)
        except CanoError:
            raise
        except Exception as error:
            raise NodeExecutionError(
                f"node {self._name!r} raised {error_text(error)}", task=self._name
            ) from error
