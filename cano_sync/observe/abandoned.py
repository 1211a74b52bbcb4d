"""Threads that are still with the abandoned tasks of one run."""

from __future__ import annotations

__all__ = ("AbandonedTasks",)

import threading
import time
from collections.abc import Mapping
from typing import Any


class AbandonedTasks:
    """Who is out, since when. Safe from any thread; it can be referred to weakly.

    >>> absences = AbandonedTasks()
    >>> absences.begin({"task": "ask"})
    >>> [who for who, _ in absences.longer_than(0)]
    [{'task': 'ask'}]
    >>> absences.end({"task": "ask"})
    >>> absences.longer_than(0)
    []
    """

    __slots__ = ("__weakref__", "_lock", "_since")

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards `_since`
        self._since: list[tuple[Mapping[str, Any], float]] = []

    def begin(self, who: Mapping[str, Any]) -> None:
        """This one is out from now on."""
        with self._lock:
            self._since.append((who, time.monotonic()))

    def end(self, who: Mapping[str, Any]) -> None:
        """One like this is back: of several, who went first."""
        with self._lock:
            for entry in self._since:
                if entry[0] == who:
                    self._since.remove(entry)
                    return

    def longer_than(self, limit: float) -> list[tuple[Mapping[str, Any], float]]:
        """Who has been out for at least so many seconds, and for how long."""
        now = time.monotonic()
        with self._lock:
            return [(who, now - since) for who, since in self._since if now - since >= limit]
