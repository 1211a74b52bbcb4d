"""Timetables: when a flow is due next, as pure arithmetic on moments."""

from __future__ import annotations

__all__ = ("SHORTEST", "Every", "Manual", "Timetable", "interval_text", "next_point", "zone_text")

import math
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import tzinfo
from random import Random

from .._base.durations import Duration
from ..errors import ConfigurationError

SHORTEST = 1e-6
"""Seconds of the shortest interval: what a `timedelta` can say. Far below it, the points of a grid
would be closer to each other than two numbers."""


class Timetable:
    """When a flow is due. Base class of `Every`, `Cron`, `At`, `Manual`, and of your own ones.

    Immutable, so that one object may serve any number of flows and schedulers. `str()` of it is
    what `FlowStatus.schedule` shows.

    Attributes:
        on_wall_clock: whether its moments are on the wall clock (seconds since 1970 UTC), or on
            the monotonic one, which nobody sets.
        interval: seconds between two due moments, where they are always the same; else None.
        until: the moment on the wall clock after which nothing is due any more, or None.
        tags: what `Scheduler.list(tag)` finds its flows by.
    """

    __slots__ = ()

    @property
    def on_wall_clock(self) -> bool:
        return False

    @property
    def interval(self) -> float | None:
        return None

    @property
    def until(self) -> float | None:
        return None

    @property
    def tags(self) -> frozenset[Hashable]:
        return frozenset()

    def after(self, moment: float, start: float, random: Random) -> float | None:
        """The first moment later than this one at which the flow is due; None if there is none.

        Called under the scheduler's lock: it is to be quick. What it raises ends the timetable of
        this flow, and is its `FlowStatus.last_error`.

        Args:
            moment: on the timetable's clock, as are `start` and the result.
            start: when the scheduler was started, or the flow was added to a running one.
            random: for due moments that vary.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True, init=False)
class Every(Timetable):
    """Due every so often, at `start + k * interval` for k from 1. Immutable.

    It does not drift, however late each run begins, and does not notice when the wall clock is
    set.

    Args:
        interval: seconds, or a `timedelta`; instead of the keywords.
        days: as for `timedelta`, as are the other keywords: they add up.
        hours: see `days`.
        minutes: see `days`.
        seconds: see `days`.

    Raises:
        ConfigurationError: that is not an interval of a microsecond or more.

    >>> str(Every(minutes=10)), str(Every(0.5)), Every(hours=1, minutes=30)
    ('every 10 min', 'every 0.5 s', Every(interval=5400.0))
    """

    interval: float  # pyright: ignore[reportIncompatibleMethodOverride]

    def __init__(
        self,
        interval: Duration | None = None,
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
    ) -> None:
        units = {"days": days, "hours": hours, "minutes": minutes, "seconds": seconds}
        parts = [f"{unit}={number!r}" for unit, number in units.items() if number != 0]
        given = ", ".join([repr(interval)] * (interval is not None) + parts)
        if interval is None:
            length = sum(_number(units[unit]) * size for unit, size in _SECONDS.items())
        elif parts:
            length = math.nan
        else:
            length = _number(getattr(interval, "total_seconds", lambda: interval)())
        if not SHORTEST <= length < math.inf:
            raise ConfigurationError(
                f"Every({given}) is not an interval; give a microsecond or more, in seconds, as a "
                "timedelta or by keywords, such as Every(0.5) or Every(minutes=10)"
            )
        object.__setattr__(self, "interval", length)

    def __str__(self) -> str:
        return f"every {interval_text(self.interval)}"

    def after(self, moment: float, start: float, random: Random) -> float:
        """The next point of the grid from the start."""
        return next_point(moment, start, self.interval)


@dataclass(frozen=True, slots=True)
class Manual(Timetable):
    """Never due: the flow runs only when `Scheduler.trigger` is called. Immutable.

    >>> str(Manual())
    'by hand'
    """

    def __str__(self) -> str:
        return "by hand"

    def after(self, moment: float, start: float, random: Random) -> None:
        """None."""


def next_point(moment: float, start: float, interval: float) -> float:
    """The first of the moments `start + k * interval`, k from 1, that is later than `moment`.

    >>> [next_point(moment, 3.0, 10.0) for moment in (3.0, 13.0, 47.5)]
    [13.0, 23.0, 53.0]
    """
    number = max(1, math.floor((moment - start) / interval))
    while start + number * interval <= moment:  # once or twice: a quotient is rounded
        number += 1
    return start + number * interval


_SECONDS = {"days": 86400.0, "hours": 3600.0, "minutes": 60.0, "seconds": 1.0}
_NAMES = ((86400.0, "day", "days"), (3600.0, "hour", "hours"), (60.0, "minute", "min"))


def _number(given: object) -> float:
    """A number as a float; NaN for anything else."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        return math.nan
    try:
        return float(given)
    except OverflowError:  # an int beyond all floats
        return math.inf


def interval_text(interval: float) -> str:
    """Seconds as text, in the largest unit of which they are a whole number.

    >>> interval_text(0.5), interval_text(90.0), interval_text(3600.0), interval_text(1800)
    ('0.5 s', '90 s', 'hour', '30 min')
    """
    for size, one, many in _NAMES:
        if interval % size == 0:
            number = round(interval / size)
            return one if number == 1 else f"{number} {many}"
    return "second" if interval == 1 else f"{interval:g} s"


def zone_text(zone: tzinfo | None) -> str:
    """A time zone as the text of a timetable ends with it; nothing for the local one."""
    return "" if zone is None else f" in {zone}"
