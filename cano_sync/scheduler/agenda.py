"""The agenda: which flow is due next, on either clock."""

from __future__ import annotations

__all__ = ("Agenda", "Entry")

import heapq
import itertools
import math
from typing import Generic, TypeVar

from .clock import Alarm, Moment

T = TypeVar("T")


class Entry(Generic[T]):
    """A time at which something is due. `cancel` it when it is not any more."""

    __slots__ = ("at", "cancelled", "what")

    def __init__(self, at: float, what: T) -> None:
        self.at = at
        self.what = what
        self.cancelled = False


class Agenda(Generic[T]):
    """Two heaps: of the times on the wall clock, and of those on the monotonic one.

    Passive: its owner's lock guards it.
    """

    def __init__(self) -> None:
        self._heaps: tuple[_Heap[T], _Heap[T]] = (_Heap(), _Heap())

    def put(self, at: float, what: T, *, on_wall_clock: bool) -> tuple[Entry[T], bool]:
        """Enter something; returns its entry, and whether it is the first of its clock now."""
        return self._heaps[on_wall_clock].put(Entry(at, what))

    def drop(self, entry: Entry[T], *, on_wall_clock: bool) -> None:
        """Take an entry out, if it is still in."""
        self._heaps[on_wall_clock].drop(entry)

    def take(self, now: Moment) -> Entry[T] | None:
        """Take out one entry that is due, the longest overdue first."""
        # Of both clocks: on either there may be one that is due again each time that it was taken.
        monotonic, wall = self._heaps
        if wall.overdue(now.wall) > monotonic.overdue(now.monotonic):
            return wall.take(now.wall)
        return monotonic.take(now.monotonic)

    @property
    def alarm(self) -> Alarm:
        """When the next is due."""
        firsts = [heap.first for heap in self._heaps]
        return Alarm(*[None if first is None else first.at for first in firsts])


class _Heap(Generic[T]):
    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Entry[T]]] = []
        self._numbers = itertools.count()  # of two that are due at once, the first entered is first
        self._cancelled = 0

    def put(self, entry: Entry[T]) -> tuple[Entry[T], bool]:
        heapq.heappush(self._entries, (entry.at, next(self._numbers), entry))
        return entry, self._entries[0][2] is entry

    def drop(self, entry: Entry[T]) -> None:
        if entry.cancelled:
            return
        entry.cancelled = True
        self._cancelled += 1
        if self._cancelled > 16 and 2 * self._cancelled > len(self._entries):
            self._entries = [each for each in self._entries if not each[2].cancelled]
            heapq.heapify(self._entries)
            self._cancelled = 0

    @property
    def first(self) -> Entry[T] | None:
        while self._entries and self._entries[0][2].cancelled:
            heapq.heappop(self._entries)
            self._cancelled -= 1
        return self._entries[0][2] if self._entries else None

    def overdue(self, now: float) -> float:
        entry = self.first
        return -math.inf if entry is None else now - entry.at

    def take(self, now: float) -> Entry[T] | None:
        entry = self.first
        if entry is None or entry.at > now:
            return None
        heapq.heappop(self._entries)
        entry.cancelled = True  # a late drop() finds nothing to do
        return entry
