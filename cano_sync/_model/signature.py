"""Reading a callable: what it takes, what it is called, and where its annotation says it goes."""

from __future__ import annotations

__all__ = ("Shape", "declared_states", "display_name", "read_signature")

import builtins
import functools
import inspect
import types
import typing
from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

from ..errors import ConfigurationError


class Shape(NamedTuple):
    """What a callable wants: how many positional arguments, and which of ours by name.

    Attributes:
        provided: of what arounds provide by name, what it takes.
    """

    positional: int
    cancel: bool
    context: bool
    provided: frozenset[str] = frozenset()

    @property
    def plain(self) -> bool:
        """Whether it takes nothing by name."""
        return not (self.cancel or self.context or self.provided)


_BY_NAME = ("cancel", "context")
_FEW = 2**11  # shapes kept; a shape is a few words, a miss costs some 20 µs


def read_signature(
    function: Callable[..., Any],
    *,
    offer: tuple[str, ...],
    name: str,
    generator: bool = False,
    provided: tuple[str, ...] = (),
) -> Shape:
    """How to call `function`.

    Args:
        function: any callable.
        offer: what is passed by position, as the error message calls it: ("store",).
        name: how the error names it.
        generator: whether it may be a generator function.
        provided: the names of what arounds provide.

    Raises:
        ConfigurationError: it is asynchronous or a generator, or wants what nobody can supply.
    """
    key = _shape_key(function)
    if key is None or generator:
        return _read(function, offer, name, generator, provided)
    try:
        return _shapes[key, offer, provided]
    except KeyError:
        pass
    shape = _read(function, offer, name, generator, provided)
    if len(_shapes) >= _FEW:
        _shapes.clear()
    _shapes[key, offer, provided] = shape
    return shape


# Dynamic task lists bind their tasks while a run waits, mostly thousands of the same code.
# Only plain dict operations, each atomic: two threads at worst read the same signature twice.
_shapes: dict[tuple[Any, tuple[str, ...], tuple[str, ...]], Shape] = {}


def _shape_key(function: Any) -> Any:
    """What its signature depends on, or None where that is more than we look at."""
    kind = type(function)
    if kind is types.FunctionType:
        if "__wrapped__" in function.__dict__ or "__signature__" in function.__dict__:
            return None
        return (
            function.__code__,
            len(function.__defaults__ or ()),
            frozenset(function.__kwdefaults__ or ()),
        )
    if kind is types.MethodType:
        inner = _shape_key(function.__func__)
        return inner and ("method", inner)
    if kind is functools.partial:
        inner = _shape_key(function.func)
        return inner and ("partial", inner, len(function.args), frozenset(function.keywords))
    return None


def _read(
    function: Callable[..., Any],
    offer: tuple[str, ...],
    name: str,
    generator: bool,
    provided: tuple[str, ...],
) -> Shape:
    by_name = (*_BY_NAME, *provided)
    _refuse_what_runs_later(function, name, generator)
    try:
        follow = _passes_on(function)
        parameters = inspect.signature(function, follow_wrapped=follow).parameters.values()
    except (ValueError, TypeError):  # some builtins have no signature
        return Shape(len(offer), cancel=False, context=False)
    bound = function.keywords if isinstance(function, functools.partial) else {}
    positional, wanted, unknown = 0, set(), []
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional = len(offer)
        elif parameter.kind is parameter.VAR_KEYWORD:
            continue
        elif parameter.kind is not parameter.KEYWORD_ONLY and positional < len(offer):
            if parameter.name in by_name and parameter.kind is not parameter.POSITIONAL_ONLY:
                raise _misplaced(name, parameter.name, offer)
            positional += 1
        elif parameter.name in bound:
            continue
        elif parameter.name in by_name and parameter.kind is not parameter.POSITIONAL_ONLY:
            wanted.add(parameter.name)
        elif parameter.default is parameter.empty:
            unknown.append(parameter.name)
    if unknown and isinstance(function, functools.partial) and unknown[0] in offer:
        first = next(iter(inspect.signature(function, follow_wrapped=follow).parameters))
        raise ConfigurationError(
            f"task {name!r}: the {unknown[0]} would go to {first!r}, the first parameter that "
            f"partial() has left free, and {unknown[0]!r} would get nothing; bind {first!r} as "
            f"well: functools.partial({name}, ..., {first}=...)",
            task=name,
        )
    if unknown:
        names = ", ".join(repr(parameter) for parameter in unknown)
        by_position = " and ".join(f"the {thing}" for thing in offer) or "nothing"
        raise ConfigurationError(
            f"task {name!r} wants {names}, which nobody supplies; it can have {by_position} by "
            f"position, and {', '.join(map(repr, by_name[:-1]))} and {by_name[-1]!r} by name. Give "
            f"others a default, bind them with functools.partial({name}, {unknown[0]}=...), or "
            "attach what provides them before the task is registered: "
            f"with_around(..., name={unknown[0]!r})",
            task=name,
        )
    return Shape(
        positional,
        cancel="cancel" in wanted,
        context="context" in wanted,
        provided=frozenset(wanted.intersection(provided)),
    )


def _misplaced(name: str, parameter: str, offer: tuple[str, ...]) -> ConfigurationError:
    wanted = ", ".join((*offer, parameter))
    return ConfigurationError(
        f"task {name!r} has {parameter!r} where it gets the {offer[0]}: what comes by position is "
        f"first, so take ({wanted}), or (*, {parameter}) to do without",
        task=name,
    )


def _passes_on(function: Any) -> bool:
    """Whether a decorator's wrapper passes on whatever it gets, so that what it wraps counts.

    Otherwise it counts itself, for it is what gets called; `functools.wraps` says only whose name
    it has. One without code in Python is functools.lru_cache or the like.
    """
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(function, "__code__", None)
    return code is None or bool(code.co_flags & inspect.CO_VARKEYWORDS)


def _refuse_what_runs_later(function: Callable[..., Any], name: str, generator: bool) -> None:
    """A call of these would return before the task has run."""
    inner = _innermost(function, as_called=True)
    if inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner):
        raise ConfigurationError(
            f"task {name!r} is asynchronous; cano_sync runs plain functions: make it a `def`, or "
            f"wrap it in one that calls asyncio.run(...)",
            task=name,
        )
    if inspect.isgeneratorfunction(inner) and not generator:
        raise ConfigurationError(
            f"task {name!r} is a generator function, which would return before it has run; "
            "use `return` instead of `yield`",
            task=name,
        )


def _innermost(function: Any, *, as_called: bool = False) -> Any:
    """The function at the bottom of partials, methods, callable objects and decorators.

    With `as_called`, a decorator that does not pass on what it gets is the bottom.
    """
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, types.MethodType):
            function = function.__func__
        elif hasattr(function, "__wrapped__") and (not as_called or _passes_on(function)):
            function = function.__wrapped__
        elif inspect.isroutine(function) or not hasattr(type(function), "__call__"):  # noqa: B004
            return function
        else:
            function = type(function).__call__


def display_name(function: Any) -> str:
    """What errors and outcomes call it: a function by its name, an object by its class."""
    if isinstance(function, functools.partial):
        return display_name(function.func)
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(name).rpartition("<locals>.")[2]


def declared_states(function: Callable[..., Any]) -> frozenset[Any] | None:
    """The states that a return annotation names, or None where it says nothing of the kind."""
    inner = _innermost(function)
    annotation = getattr(inner, "__annotations__", {}).get("return")
    for _ in range(2):  # a quoted one may have been made text once more by a future import
        if isinstance(annotation, str):
            annotation = _evaluate(annotation, inner)
    try:
        states = _states_in(annotation)
    except Exception:  # a `type` alias of what does not exist, or of itself
        return None
    return None if states is None else frozenset(states)


def _evaluate(text: str, function: Any) -> Any:
    names = {**vars(builtins), **getattr(function, "__globals__", {})}
    code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None)
    for variable, cell in zip(getattr(code, "co_freevars", ()), cells or (), strict=False):
        try:
            names[variable] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    try:
        # The user's own annotation, as typing.get_type_hints would do it; that one stops at the
        # first parameter whose annotation cannot be resolved, and we only want the return.
        return eval(text, names)
    except Exception:
        return None  # nothing is assumed about what cannot be read


def _states_in(annotation: Any) -> list[Any] | None:
    if hasattr(annotation, "__value__"):  # type Next = Literal[...]
        return _states_in(annotation.__value__)
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin is typing.Literal:
        return list(arguments)
    if origin is typing.Annotated:
        return _states_in(arguments[0])
    if origin is typing.Union or origin is types.UnionType:
        parts = [_states_in(part) for part in arguments]
        if None in parts:
            return None
        return [state for part in parts for state in part or ()]
    if isinstance(annotation, type) and issubclass(annotation, Enum) and len(annotation) == 1:
        return list(annotation)
    return None
