"""The store: what the tasks of a run share."""

from __future__ import annotations

__all__ = ("MemoryStore", "Store", "check_store", "has_views")

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeGuard, TypeVar, overload

from ..errors import ConfigurationError, KeyNotFoundError, StoreError, TypeMismatchError

T = TypeVar("T")
D = TypeVar("D")

_MISSING: Any = object()  # None is a value like any other


class Store(Protocol):
    """What a task can do with its store; a backend of your own satisfies it.

    Derive from it to get the mapping habits (`in`, `len`, `store[key]`) for nothing: they are
    written here in terms of the named methods. Every method must be safe to call from any
    thread, and should answer quickly: a join waits for a write that was already under way.
    """

    __slots__ = ()

    @overload
    def get(self, key: str) -> Any: ...
    @overload
    def get(self, key: str, type: type[T]) -> T: ...
    @overload
    def get(self, key: str, type: type[T], *, default: D) -> T | D: ...
    @overload
    def get(self, key: str, *, default: Any) -> Any: ...
    def get(self, key: str, type: Any = None, *, default: Any = ...) -> Any:
        """The value under `key`, checked against `type` where one is given."""
        ...

    def put(self, key: str, value: Any) -> None:
        """Set the value under `key`."""
        ...

    def append(self, key: str, item: Any) -> None:
        """Append to the list under `key`, atomically; begin one where there is none."""
        ...

    def update(self, key: str, function: Callable[[Any], Any], default: Any = ...) -> Any:
        """Replace the value under `key` by `function(value)`, atomically; return the new one."""
        ...

    def remove(self, key: str) -> None:
        """Remove `key`; silent when it is absent."""
        ...

    def contains_key(self, key: str) -> bool:
        """Whether there is a value under `key`."""
        ...

    def keys(self) -> list[str]:
        """The keys at this moment."""
        ...

    def clear(self) -> None:
        """Remove everything."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """A shallow copy of everything at one moment."""
        ...

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.contains_key(key)

    def __len__(self) -> int:
        return len(self.keys())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __getitem__(self, key: str) -> Any:
        return self.get(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self.put(key, value)

    def __delitem__(self, key: str) -> None:
        if not self.contains_key(key):
            raise KeyNotFoundError(_no_key(key))
        self.remove(key)


class MemoryStore(Store):
    """A dict behind a lock: the store of a run, unless you bring your own.

    Every method is atomic and safe from any thread. `get` hands out the object itself, not a
    copy: change a shared list through `append` or `update`, not in place. As a dict, it is false
    while it is empty: ask whether a store `is None`.

    Args:
        initial: what it holds at first; copied, one level deep.

    >>> store = MemoryStore({"order": {"sku": "A-17"}})
    >>> store.get("order", dict)["sku"]
    'A-17'
    >>> store.append("offers", 3.5)
    >>> store.update("count", lambda n: n + 1, default=0)
    1
    >>> store.get("count", str)
    Traceback (most recent call last):
    ...
    cano_sync.errors.TypeMismatchError: store key 'count' holds an int (1), not a str
    """

    __slots__ = ("_data", "_guard", "_lock")

    def __init__(self, initial: Mapping[str, Any] | None = None) -> None:
        if initial is not None and not isinstance(initial, Mapping):
            raise ConfigurationError(
                f"MemoryStore() begins with a mapping, such as a dict, not with {initial!r}"
            )
        # The lock guards _data. It is re-entrant, so that an update()'s function, a finalizer or
        # a signal handler that comes back here on the same thread does not wait for itself.
        self._lock: Any = threading.RLock()
        self._data: dict[str, Any] = dict(initial or {})
        # What an operation holds: the lock; in a fenced view (fence.py) the gate's as well.
        self._guard: AbstractContextManager[Any] = self._lock

    def view(self, guard: AbstractContextManager[Any]) -> MemoryStore:
        """The same data under the same lock, with `guard` around each operation (engine only)."""
        view = MemoryStore.__new__(MemoryStore)
        view._lock = self._lock
        view._data = self._data
        view._guard = guard
        return view

    @overload
    def get(self, key: str) -> Any: ...
    @overload
    def get(self, key: str, type: type[T]) -> T: ...
    @overload
    def get(self, key: str, type: type[T], *, default: D) -> T | D: ...
    @overload
    def get(self, key: str, *, default: Any) -> Any: ...
    def get(self, key: str, type: Any = None, *, default: Any = _MISSING) -> Any:
        """The value under `key` itself, checked against `type` where one is given.

        Args:
            key: the key.
            type: a class, or what else `isinstance` takes; the value must be one of it.
            default: returned, unchecked, when the key is absent.

        Raises:
            KeyNotFoundError: the key is absent and there is no default.
            TypeMismatchError: the value is of another type.
        """
        with self._guard:
            value = self._data.get(key, _MISSING)
        if value is _MISSING:
            if default is not _MISSING:
                return default
            if type is not None:
                _is_a(None, type, key)  # no type at all is the greater mistake: say that
            raise KeyNotFoundError(_no_key(key))
        if type is not None and not _is_a(value, type, key):
            raise TypeMismatchError(_mismatch(key, value, type))
        return value

    def put(self, key: str, value: Any) -> None:
        """Set the value under `key`."""
        with self._guard:
            replaced = self._data.get(key)
            self._data[key] = value
        del replaced  # only now that the locks are free: its `__del__` may be user code, and slow

    def append(self, key: str, item: Any) -> None:
        """Append to the list under `key`, atomically; begin one where there is none.

        Raises:
            TypeMismatchError: there is something else than a list.
        """
        with self._guard:
            value = self._data.setdefault(key, [])
            if isinstance(value, list):
                value.append(item)
                return
        raise TypeMismatchError(_mismatch(key, value, list))

    def update(self, key: str, function: Callable[[Any], Any], default: Any = _MISSING) -> Any:
        """Replace the value under `key` by `function(value)`, atomically; return the new one.

        The function runs under the lock: it should be short and leave the store alone. All who
        want the store wait for it meanwhile, and no time limit ends that: where it is in an
        abandoned branch, what the join writes waits, too. It then changes nothing.

        Args:
            key: the key.
            function: gets the value, or `default`; returns the new one. What it raises passes
                through, and nothing has changed.
            default: stands for the value when the key is absent.

        Raises:
            KeyNotFoundError: the key is absent and there is no default.
            StoreError: the function changed this key itself.
        """
        with self._lock:
            with self._guard:
                before = self._data.get(key, default)
            if before is _MISSING:
                raise KeyNotFoundError(_no_key(key))
            after = function(before)
            # The gate is not held while user code runs. A task that was abandoned inside its
            # function is turned away here, before it has written.
            with self._guard:
                if self._data.get(key, default) is not before:
                    raise StoreError(
                        f"the function given to update({key!r}) changed that key itself; let it "
                        "only return the new value and leave the store alone"
                    )
                self._data[key] = after
        return after

    def remove(self, key: str) -> None:
        """Remove `key`; silent when it is absent."""
        with self._guard:
            removed = self._data.pop(key, None)
        del removed  # see put()

    def contains_key(self, key: str) -> bool:
        """Whether there is a value under `key`."""
        with self._guard:
            return key in self._data

    def keys(self) -> list[str]:
        """The keys at this moment, in the order they came in."""
        with self._guard:
            return list(self._data)

    def clear(self) -> None:
        """Remove everything."""
        with self._guard:
            removed = list(self._data.values())
            self._data.clear()
        del removed  # see put()

    def snapshot(self) -> dict[str, Any]:
        """A shallow copy of everything at one moment."""
        with self._guard:
            return dict(self._data)

    def __delitem__(self, key: str) -> None:
        with self._guard:
            removed = self._data.pop(key, _MISSING)
        if removed is _MISSING:
            raise KeyNotFoundError(_no_key(key))

    def __repr__(self) -> str:
        return f"MemoryStore({self.snapshot()!r})"

    def __reduce__(self) -> tuple[type[MemoryStore], tuple[dict[str, Any]]]:
        return (type(self), (self.snapshot(),))  # a lock can be neither copied nor pickled


def has_views(store: Any) -> TypeGuard[MemoryStore]:
    """Whether `view()` gives all of it: it is a `MemoryStore`, or its class makes its own views."""
    kind = type(store)
    if kind is MemoryStore:
        return True
    return issubclass(kind, MemoryStore) and kind.view is not MemoryStore.view


_STORE_METHODS = (
    "get", "put", "append", "update", "remove", "contains_key", "keys", "clear", "snapshot",
)  # fmt: skip


def check_store(store: Any) -> None:
    """Refuse what is no store; None is none, and will do."""
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


def _is_a(value: Any, type: Any, key: str) -> bool:
    try:
        return isinstance(value, type)
    except TypeError as error:
        if not hasattr(type, "__origin__"):
            raise StoreError(
                f"get({key!r}, {type!r}): the second argument is a type; a default is given by "
                f"name: get({key!r}, default={type!r})"
            ) from error
        raise StoreError(
            f"store key {key!r} cannot be checked against {type!r}: {error}; give a plain class, "
            "such as list instead of list[int]"
        ) from error


def _no_key(key: str) -> str:
    return f"no store key {key!r}; put() it first, or give get() a default by name: default=..."


def _mismatch(key: str, value: Any, type: Any) -> str:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    wanted = getattr(type, "__name__", str(type))
    return f"store key {key!r} holds {_a(value.__class__.__name__)} ({shown}), not {_a(wanted)}"


def _a(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
