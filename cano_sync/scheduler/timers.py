"""`Timers`: what is due next, on either clock."""

from __future__ import annotations

__all__ = ("Timers",)

import heapq
import itertools
import math
from collections.abc import Hashable
from typing import Generic, TypeAlias, TypeVar

from .clock import Alarm, Moment

T = TypeVar("T", bound=Hashable)

# The number decides between two that are due at once: the one that was set first comes first.
_Timer: TypeAlias = "tuple[float, int, T]"

SLACK = 16
"""Cancelled timers that a heap may hold beyond the number of valid ones, before it is rebuilt."""


class Timers(Generic[T]):
    """Two heaps of timers: of moments on the monotonic clock, and of moments on the wall clock.

    Each item has one timer at most. A cancelled timer stays in its heap until it comes up or the
    heap is rebuilt; `_valid` says which ones count. Not thread-safe: its owner's lock guards it.
    """

    def __init__(self) -> None:
        self._heaps: tuple[list[_Timer[T]], list[_Timer[T]]] = ([], [])
        self._valid: dict[T, _Timer[T]] = {}
        self._numbers = itertools.count()

    def set(self, item: T, at: float, *, on_wall_clock: bool) -> None:
        """Set the timer of an item, instead of its former one."""
        timer = self._valid[item] = (at, next(self._numbers), item)
        heap = self._heaps[on_wall_clock]
        heapq.heappush(heap, timer)
        if len(heap) > 2 * len(self._valid) + SLACK:
            heap[:] = [each for each in heap if self._is_valid(each)]
            heapq.heapify(heap)

    def cancel(self, item: T) -> None:
        """Forget the timer of an item, if it has one."""
        self._valid.pop(item, None)

    def get(self, item: T) -> float | None:
        """When an item is due; None if it has no timer."""
        timer = self._valid.get(item)
        return None if timer is None else timer[0]

    def pop_due(self, now: Moment) -> tuple[T, float] | None:
        """Take out the item that is longest overdue; returns it, and for how many seconds."""
        # Of both clocks: on either there may be an item that is due again whenever it was taken.
        heap, wall = self._heaps
        overdue, by_wall = self._overdue(heap, now.monotonic), self._overdue(wall, now.wall)
        if by_wall > overdue:
            heap, overdue = wall, by_wall
        if overdue < 0:
            return None
        item = heapq.heappop(heap)[2]
        del self._valid[item]
        return item, overdue

    @property
    def alarm(self) -> Alarm:
        """When the next one is due, on either clock."""
        firsts = [self._first(heap) for heap in self._heaps]
        return Alarm(*[None if first is None else first[0] for first in firsts])

    def _overdue(self, heap: list[_Timer[T]], now: float) -> float:
        first = self._first(heap)
        return -math.inf if first is None else now - first[0]

    def _first(self, heap: list[_Timer[T]]) -> _Timer[T] | None:
        while heap and not self._is_valid(heap[0]):
            heapq.heappop(heap)
        return heap[0] if heap else None

    def _is_valid(self, timer: _Timer[T]) -> bool:
        return self._valid.get(timer[2]) is timer
