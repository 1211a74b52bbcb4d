"""The clock that a scheduler lives by: the system's, or one that is moved by hand."""

from __future__ import annotations

__all__ = ("Alarm", "Clock", "HandClock", "Mailbox", "Moment", "SystemClock")

import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue
from typing import NamedTuple, Protocol, TypeAlias

from .._base.durations import Duration, seconds
from .._base.waiting import interruptible_wait, wait_slice
from .._base.world import world
from ..errors import ConfigurationError

Mailbox: TypeAlias = "SimpleQueue[None]"
"""What wakes a waiting scheduler. Its `put` is re-entrant: a signal handler may call it."""


WALL_CHECK = 1.0
"""Seconds after which a wait for a time of day ends, to look whether the clock was set."""


class Moment(NamedTuple):
    """What both clocks show at once."""

    monotonic: float
    wall: float

    def wall_of(self, monotonic: float) -> float:
        """The wall clock when the monotonic one shows this, unless it is set."""
        return self.wall + (monotonic - self.monotonic)


class Alarm(NamedTuple):
    """When to wake, on either clock; None for never."""

    monotonic: float | None = None
    wall: float | None = None

    def left(self, now: Moment) -> float | None:
        """Seconds from now to the earlier of the two, if no clock is set; None for never."""
        pairs = zip(self, now, strict=True)
        return min((max(0.0, at - shown) for at, shown in pairs if at is not None), default=None)


class Clock(Protocol):
    """What a scheduler wants from a clock. All three may be called from any thread.

    The two times are read under the scheduler's lock: they are to be quick, and leave it alone.
    """

    def wall(self) -> float:
        """The time of day, in seconds since 1970 UTC; it may jump either way."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; it never goes back."""
        ...

    def wait(self, mailbox: Mailbox, alarm: Alarm) -> None:
        """Block until the mailbox has something, which is taken, or it is time.

        It may return earlier. A wall clock that is set meanwhile is noticed within a second or so.
        """


class SystemClock:
    """The system's clocks: what a scheduler has by default."""

    def wall(self) -> float:
        """See `time.time`."""
        return world.wall()

    def monotonic(self) -> float:
        """See `time.monotonic`: on Linux it stands still while the machine sleeps."""
        return world.monotonic()

    def wait(self, mailbox: Mailbox, alarm: Alarm) -> None:
        """Block; on the main thread no longer than it takes to notice a signal."""
        left = alarm.left(Moment(self.monotonic(), self.wall()))
        if alarm.wall is not None and left is not None:
            left = min(left, WALL_CHECK)
        with interruptible_wait(), suppress(Empty):
            world.get(mailbox, wait_slice(left))


class HandClock:
    """A clock that stands still until it is moved: for tests of timetables, without sleeping.

    Thread-safe. With `start_by_hand(scheduler)` time passes from one due time to
    the next; with the other two ways to start, moving the clock wakes the scheduler.

    Args:
        now: the time of day that it shows first: an aware `datetime`, or seconds since 1970 UTC.

    >>> clock = HandClock(datetime(2026, 11, 25, 8, 59, tzinfo=UTC))
    >>> clock.advance(60)
    >>> clock.now
    datetime.datetime(2026, 11, 25, 9, 0, tzinfo=datetime.timezone.utc)
    """

    def __init__(self, now: datetime | float = 0.0) -> None:
        # The lock guards all four.
        self._lock = threading.Lock()
        self._wall = _since_1970(now)
        self._monotonic = 0.0
        self._waiting: list[Mailbox] = []

    @property
    def now(self) -> datetime:
        """The time of day, in UTC."""
        return datetime.fromtimestamp(self._wall, UTC)

    def wall(self) -> float:
        """The time of day, in seconds since 1970 UTC."""
        return self._wall

    def monotonic(self) -> float:
        """Seconds that it was advanced by."""
        return self._monotonic

    def advance(self, duration: Duration) -> None:
        """Let time pass, for the time of day and for intervals alike."""
        step = seconds(duration, "advance()")
        self._move(step, step)

    def jump(self, offset: Duration) -> None:
        """Set the time of day forward, or back (below 0), by so many seconds or a `timedelta`.

        It is what happens when the clock is set, or the machine was suspended: intervals do not
        notice.
        """
        shown = offset.total_seconds() if isinstance(offset, timedelta) else offset
        is_back = isinstance(shown, int | float) and shown < 0
        step = seconds(-shown if is_back else shown, "jump()")
        self._move(-step if is_back else step, 0.0)

    def _move(self, wall: float, monotonic: float) -> None:
        with self._lock:
            self._wall += wall
            self._monotonic += monotonic
            waiting = tuple(self._waiting)
        for mailbox in waiting:
            mailbox.put(None)

    def wait(self, mailbox: Mailbox, alarm: Alarm) -> None:
        """Block until the clock is moved, or the mailbox has something."""
        with self._lock:
            if alarm.left(Moment(self._monotonic, self._wall)) == 0.0:
                return
            self._waiting.append(mailbox)
        try:
            with interruptible_wait(), suppress(Empty):
                world.get(mailbox, wait_slice(None))
        finally:
            with self._lock:
                self._waiting.remove(mailbox)


def _since_1970(now: datetime | float) -> float:
    if isinstance(now, datetime):
        if now.tzinfo is None:
            raise ConfigurationError(
                f"HandClock() needs an aware datetime, not {now!r}; such as "
                "datetime(2026, 11, 25, 9, tzinfo=UTC)"
            )
        return now.timestamp()
    return float(now)
