"""Timetables: when a flow is due next, as pure arithmetic on moments."""

from __future__ import annotations

__all__ = ("SHORTEST", "Gaps", "Grid", "Timetable", "interval_text", "zone_text")

import math
from collections.abc import Callable
from datetime import tzinfo
from typing import Protocol

SHORTEST = 1e-6
"""Seconds of the shortest interval: what a `timedelta` can say. Far below it, the points of a grid
would be closer to each other than two numbers."""


class Timetable(Protocol):
    """When a flow is due. Used by one thread at a time.

    Attributes:
        on_wall_clock: whether its moments are on the wall clock (seconds since 1970 UTC), or on
            the monotonic one.
        until: the moment on the wall clock after which nothing is due any more, or None.
        words: the timetable as an operator reads it.
    """

    @property
    def on_wall_clock(self) -> bool: ...
    @property
    def until(self) -> float | None: ...
    @property
    def words(self) -> str: ...

    def begin(self, now: float) -> None:
        """The scheduler starts at this moment."""

    def after(self, moment: float) -> float | None:
        """The first due moment that is later than this one; None if there is none."""


class Grid:
    """Due every so many seconds from the start, at `start + k * interval` for k from 1.

    However late each run begins, and however many there were: it does not drift.

    >>> grid = Grid(10.0)
    >>> grid.begin(3.0)
    >>> grid.after(3.0), grid.after(13.0), grid.after(47.5)
    (13.0, 23.0, 53.0)
    """

    on_wall_clock = False

    def __init__(
        self, interval: float, *, words: str | None = None, until: float | None = None
    ) -> None:
        self.interval = interval
        self.until = until
        self.words = words or f"every {interval_text(interval)}"
        self._start = 0.0

    def begin(self, now: float) -> None:
        """The grid's point 0."""
        self._start = now

    def after(self, moment: float) -> float | None:
        """The next point of the grid."""
        start, interval = self._start, self.interval
        number = max(1, math.floor((moment - start) / interval))
        while start + number * interval <= moment:  # once or twice: a quotient is rounded
            number += 1
        return start + number * interval


class Gaps:
    """Due after gaps that vary, one after the other from the start.

    Args:
        gap: draws the next gap, in seconds above 0.
    """

    on_wall_clock = False

    def __init__(self, gap: Callable[[], float], *, words: str, until: float | None = None) -> None:
        self.until = until
        self.words = words
        self._gap = gap
        self._last = self._next = 0.0

    def begin(self, now: float) -> None:
        """The first gap begins."""
        self._last, self._next = now, now + self._gap()

    def after(self, moment: float) -> float | None:
        """The end of the first gap that ends later."""
        if moment < self._last:  # it went on to what came after a backoff that is forgotten now
            self.begin(moment)
        while self._next <= moment:
            self._last, self._next = self._next, self._next + self._gap()
        return self._next


_UNITS = ((86400.0, "day", "days"), (3600.0, "hour", "hours"), (60.0, "minute", "min"))


def interval_text(interval: float) -> str:
    """Seconds in words, in the largest unit of which they are a whole number.

    >>> interval_text(0.5), interval_text(90.0), interval_text(3600.0), interval_text(1800)
    ('0.5 s', '90 s', 'hour', '30 min')
    """
    for size, one, many in _UNITS:
        if interval % size == 0:
            number = round(interval / size)
            return one if number == 1 else f"{number} {many}"
    return "second" if interval == 1 else f"{interval:g} s"


def zone_text(zone: tzinfo | None) -> str:
    """A time zone as words end with it: " in Europe/Zurich"; nothing for the local one."""
    return "" if zone is None else f" in {zone}"
