"""A store that notes what may have changed in it: for runs that are recorded."""

from __future__ import annotations

__all__ = ("TrackedStore",)

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from .store import MemoryStore

# What cannot be changed in place; of what is not listed here, the value is looked at again.
_IMMUTABLE = frozenset({str, int, float, bool, type(None), bytes})


class TrackedStore(MemoryStore):
    """Another view of a store, with the same data under the same lock.

    It notes the keys that were written, and those whose value was handed out and can be changed in
    place: `store.get("order")["paid"] = True` is a change, too. A view of it, as a fence makes
    them, notes into the same set.

    Args:
        store: whose data it shows.
    """

    __slots__ = ("_touched",)

    def __init__(self, store: MemoryStore) -> None:
        self._lock = store._lock
        self._data = store._data
        self._guard = store._guard
        # Only single operations of a set are used, each of which is atomic.
        self._touched: set[str] = set()

    def view(self, guard: AbstractContextManager[Any]) -> TrackedStore:
        view = TrackedStore.__new__(TrackedStore)
        view._lock = self._lock
        view._data = self._data
        view._guard = guard
        view._touched = self._touched
        return view

    # A write is noted before it is made: one that passes the gate at the last moment is known to
    # whoever looks once the gate is closed.

    def get(self, key: str, *type: Any, **named: Any) -> Any:
        value = super().get(key, *type, **named)
        if value.__class__ not in _IMMUTABLE:
            self._touched.add(key)
        return value

    def put(self, key: str, value: Any) -> None:
        self._touched.add(key)
        super().put(key, value)

    def append(self, key: str, item: Any) -> None:
        self._touched.add(key)
        super().append(key, item)

    def update(self, key: str, function: Callable[[Any], Any], *default: Any, **named: Any) -> Any:
        self._touched.add(key)
        return super().update(key, function, *default, **named)

    def remove(self, key: str) -> None:
        self._touched.add(key)
        super().remove(key)

    def clear(self) -> None:
        self._touched.update(self.keys())
        super().clear()

    def snapshot(self) -> dict[str, Any]:
        values = super().snapshot()
        self._touched.update(values)
        return values

    def __delitem__(self, key: str) -> None:
        self._touched.add(key)
        super().__delitem__(key)

    def __reduce__(self) -> tuple[type[MemoryStore], tuple[dict[str, Any]]]:
        return (MemoryStore, (self.snapshot(),))

    # For the journal.

    def take(self) -> tuple[dict[str, Any], list[str]]:
        """The values that may have changed since the last call, and the keys that are gone.

        In the order of the store. No task is writing any more when this is called.
        """
        touched = self._touched
        with self._lock:
            data = self._data
            if len(touched) == 1:  # as mostly, and worth its own way
                key = touched.pop()
                return ({key: data[key]}, []) if key in data else ({}, [key])
            values = {key: value for key, value in data.items() if key in touched}
            gone = sorted(touched.difference(values))
            touched.clear()
            return values, gone

    def take_all(self) -> tuple[dict[str, Any], set[str]]:
        """All values, and the keys of those that may have changed."""
        with self._lock:
            touched = set(self._touched)
            self._touched.clear()
            return dict(self._data), touched
