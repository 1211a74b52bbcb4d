"""`Backoff`: how a flow that fails waits longer, and at last gives up."""

from __future__ import annotations

__all__ = ("Backoff",)

import math
from dataclasses import dataclass
from random import Random

from .._base.durations import Duration, seconds
from ..errors import ConfigurationError


@dataclass(frozen=True, slots=True, init=False)
class Backoff:
    """How long a flow waits after it has failed, and when it trips. Immutable.

    After the n-th failure in a row it does not run for `base * multiplier ** (n - 1)` seconds, and
    then at the next time of its timetable. A run that ends well sets the count back to 0.

    Args:
        base: seconds (or a `timedelta`) after the first failure.
        multiplier: how many times longer each delay is than the one before, 1 or more.
        cap: seconds that no delay exceeds, before the jitter.
        jitter: the share of the delay, 0 to 1, by which it varies at random up or down.
        trip_after: after so many failures in a row the flow trips: it runs no more until
            `Scheduler.reset`. None for never.

    Raises:
        ConfigurationError: a setting is impossible.

    >>> backoff = Backoff(10, cap=60, jitter=0, trip_after=5)
    >>> [backoff.delay(failures, Random()) for failures in (1, 2, 3, 4)]
    [10.0, 20.0, 40.0, 60.0]
    """

    base: float
    multiplier: float
    cap: float
    jitter: float
    trip_after: int | None

    def __init__(
        self,
        base: Duration,
        *,
        multiplier: float = 2.0,
        cap: Duration = 3600.0,
        jitter: float = 0.1,
        trip_after: int | None = None,
    ) -> None:
        if _number("multiplier", multiplier) < 1:
            raise ConfigurationError(f"a backoff's multiplier is 1 or more, not {multiplier!r}")
        if not 0 <= _number("jitter", jitter) <= 1:
            raise ConfigurationError(f"a backoff's jitter is a share from 0 to 1, not {jitter!r}")
        if trip_after is not None and (
            isinstance(trip_after, bool) or not isinstance(trip_after, int) or trip_after < 1
        ):
            raise ConfigurationError(
                f"trip_after is a number of failures in a row, 1 or more, not {trip_after!r}; "
                "leave it out (None) for a flow that never trips"
            )
        first, longest = seconds(base, "a backoff's base"), seconds(cap, "a backoff's cap")
        if first > longest:
            raise ConfigurationError(
                f"a backoff's base of {first:g} s is more than its cap of {longest:g} s; raise cap="
            )
        for name, value in (
            ("base", first),
            ("multiplier", multiplier),
            ("cap", longest),
            ("jitter", jitter),
            ("trip_after", trip_after),
        ):
            object.__setattr__(self, name, value)

    def delay(self, failures: int, random: Random) -> float:
        """Seconds to wait after so many failures in a row, from 1."""
        try:
            delay = self.base * self.multiplier ** (failures - 1)
        except OverflowError:
            delay = self.cap if self.base else 0.0
        return min(delay, self.cap) * (1 + self.jitter * random.uniform(-1, 1))

    def trips(self, failures: int) -> bool:
        """Whether so many failures in a row are too many."""
        return self.trip_after is not None and failures >= self.trip_after


def _number(what: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigurationError(f"a backoff's {what} must be a finite number, not {value!r}")
    return value
