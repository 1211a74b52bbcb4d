"""The abandoned tasks of one run whose threads have not returned."""

from __future__ import annotations

__all__ = ("AbandonedTasks",)

import threading
import time
from collections.abc import Mapping
from typing import Any


class AbandonedTasks:
    """Which tasks are abandoned, since when. Safe from any thread; it can be referred to weakly.

    >>> tasks = AbandonedTasks()
    >>> tasks.add({"task": "ask"})
    >>> [task for task, _ in tasks.longer_than(0)]
    [{'task': 'ask'}]
    >>> tasks.remove({"task": "ask"})
    >>> tasks.longer_than(0)
    []
    """

    __slots__ = ("__weakref__", "_lock", "_since")

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards `_since`
        self._since: list[tuple[Mapping[str, Any], float]] = []

    def add(self, task: Mapping[str, Any]) -> None:
        """This one is abandoned from now on."""
        with self._lock:
            self._since.append((task, time.monotonic()))

    def remove(self, task: Mapping[str, Any]) -> None:
        """One like this has returned: of several, the one that was abandoned first."""
        with self._lock:
            for entry in self._since:
                if entry[0] == task:
                    self._since.remove(entry)
                    return

    def longer_than(self, limit: float) -> list[tuple[Mapping[str, Any], float]]:
        """Those abandoned for at least so many seconds, and for how long each."""
        now = time.monotonic()
        with self._lock:
            return [(task, now - since) for task, since in self._since if now - since >= limit]
