"""Backends of users' own, for the tests of what the engine does with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Plain:
    """A user's backend that knows nothing of cano_sync: it only has the methods.

    A dict, whose single operations are atomic.
    """

    def __init__(self, initial: dict[str, Any] | None = None) -> None:
        self.data = dict(initial or {})

    def get(self, key: str, type: Any = None, **default: Any) -> Any:
        return self.data.get(key, *default.values())

    def put(self, key: str, value: Any) -> None:
        self.data[key] = value

    def append(self, key: str, item: Any) -> None:
        self.data.setdefault(key, []).append(item)

    def update(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        self.data[key] = function(self.data.get(key, default))
        return self.data[key]

    def remove(self, key: str) -> None:
        self.data.pop(key, None)

    def contains_key(self, key: str) -> bool:
        return key in self.data

    def keys(self) -> list[str]:
        return list(self.data)

    def clear(self) -> None:
        self.data.clear()

    def snapshot(self) -> dict[str, Any]:
        return dict(self.data)
