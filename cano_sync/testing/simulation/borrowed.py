"""What users' code has had since before the run: locks of modules and objects, names of functions.

A module's `_lock = threading.Lock()` is a real lock, and who holds it across a switch point would
block the others for real; `from time import sleep` is the real one, whatever `time.sleep` is now.
So what the tasks of a workflow can see of such things is lent another for the length of a run.
"""

from __future__ import annotations

__all__ = ("Borrowed",)

import _thread
import functools
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from .locks import SimulatedLock, SimulatedRLock
from .patches import replacements

_LOCK, _RLOCK = type(_thread.allocate_lock()), type(threading.RLock())
_DEEPEST = 4
_MISSING: Any = object()


class Borrowed:
    """The places where such things stand, found once for many runs.

    Args:
        functions: the tasks; what they call in their own modules is looked at, too.
    """

    def __init__(self, functions: Iterable[Any]) -> None:
        self._places: dict[tuple[int, str], tuple[Any, str, Callable[[], Any]]] = {}
        self._seen: dict[int, Any] = {}
        self._functions = replacements()
        for function in functions:
            self._look_at(function, 0)

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Within the block there are simulated ones in these places."""
        before: list[tuple[Any, str, Any]] = []
        made: dict[int, Any] = {}
        try:
            for holder, name, make in self._places.values():
                real = _read(holder, name)
                if real is _MISSING:
                    continue
                if id(real) not in made:
                    made[id(real)] = make()
                before.append((holder, name, real))
                _write(holder, name, made[id(real)])
            yield
        finally:
            for holder, name, real in reversed(before):
                _write(holder, name, real)

    def _look_at(self, what: Any, depth: int) -> None:
        """At a function, or an object that may have locks."""
        if depth > _DEEPEST or id(what) in self._seen:
            return
        self._seen[id(what)] = what
        if isinstance(what, functools.partial):
            for each in (what.func, *what.args, *what.keywords.values()):
                self._look_at(each, depth)
        elif isinstance(what, types.MethodType):
            self._look_at(what.__self__, depth)
            self._look_at(what.__func__, depth)
        elif isinstance(what, types.FunctionType):
            self._look_at_function(what, depth)
        elif _is_users(type(what)):
            self._look_at_object(what, depth)

    def _look_at_function(self, function: types.FunctionType, depth: int) -> None:
        if not _is_users(function):
            return
        names = function.__globals__
        for name in _names_of(function.__code__):
            if name in names:
                self._find(names, name, names[name], depth)
        for cell in function.__closure__ or ():
            try:
                self._find(cell, "cell_contents", cell.cell_contents, depth)
            except ValueError:  # it is empty
                continue
        for each in function.__defaults__ or ():
            self._look_at(each, depth + 1)

    def _look_at_object(self, what: Any, depth: int) -> None:
        for each in vars(type(what)).values():
            if isinstance(each, types.FunctionType):
                self._look_at(each, depth)
        for name, value in list(getattr(what, "__dict__", {}).items()):
            self._find(what.__dict__, name, value, depth)

    def _find(self, holder: Any, name: str, value: Any, depth: int) -> None:
        make: Callable[[], Any] | None = None
        title = f"lock `{name}`" if name != "cell_contents" else "lock of a closure"
        if isinstance(value, _LOCK) and not value.locked():
            make = functools.partial(SimulatedLock, title)
        elif isinstance(value, _RLOCK):
            make = functools.partial(SimulatedRLock, title)
        elif type(value) is threading.Condition:
            make = functools.partial(_condition, f"condition `{name}`")
        elif id(value) in self._functions and isinstance(
            value, types.BuiltinFunctionType | types.FunctionType
        ):
            make = functools.partial(_same, self._functions[id(value)])
        if make is not None:
            self._places[id(holder), name] = (holder, name, make)
        else:
            self._look_at(value, depth + 1)


def _same(value: Any) -> Any:
    return value


def _condition(name: str) -> threading.Condition:
    lock: Any = SimulatedRLock(name)
    return threading.Condition(lock)


def _read(holder: Any, name: str) -> Any:
    if isinstance(holder, dict):
        return holder.get(name, _MISSING)
    return getattr(holder, name, _MISSING)


def _write(holder: Any, name: str, value: Any) -> None:
    if isinstance(holder, dict):
        holder[name] = value
    else:
        setattr(holder, name, value)


def _names_of(code: types.CodeType) -> Iterator[str]:
    """The names that a function looks up, with those of the functions within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_of(constant)


def _is_users(what: Any) -> bool:
    top = (getattr(what, "__module__", None) or "").split(".")[0]
    return top not in sys.stdlib_module_names and top not in ("cano_sync", "tenacity")
