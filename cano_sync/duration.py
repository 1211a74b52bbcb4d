"""Durations: seconds or a `timedelta`, made into float seconds once, at the edge."""

from __future__ import annotations

__all__ = ("LOOK_UP", "Duration", "limit", "seconds", "slice_of")

import math
import threading
from typing import TYPE_CHECKING, TypeAlias

from .errors import ConfigurationError

if TYPE_CHECKING:  # whoever has one has loaded its module: a tenth of what importing us costs
    from datetime import timedelta

Duration: TypeAlias = "float | timedelta"
"""Seconds as `int` or `float`, or a `datetime.timedelta`."""


def seconds(value: Duration, what: str) -> float:
    """Return `value` in seconds.

    Args:
        value: zero or more seconds.
        what: how the error names it, as in "with_timeout()".

    Raises:
        ConfigurationError: it is negative, NaN, infinite or no duration.

    >>> from datetime import timedelta
    >>> seconds(timedelta(minutes=2), "timeout")
    120.0
    """
    given = value
    total_seconds = getattr(value, "total_seconds", None)
    if total_seconds is not None:
        value = float(total_seconds())
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigurationError(
            f"{what} must be seconds (a number) or a timedelta, not {value!r} "
            f"of type {type(value).__name__}"
        )
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an int beyond all floats
        finite = False
    if not (finite and value >= 0):
        raise ConfigurationError(
            f"{what} must be a finite number of seconds, 0 or more, not {given!r}"
        )
    return float(value)


def limit(value: Duration | None, what: str) -> float | None:
    """The same of a time limit, which may be left out.

    >>> limit(None, "timeout"), limit(2, "timeout")
    (None, 2.0)
    """
    if value is None:
        return None
    try:
        return seconds(value, what)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}; leave it out (None) for no limit") from None


LOOK_UP = 0.5
"""Seconds after which a waiting main thread looks whether a signal has come."""


def slice_of(left: float | None) -> float:
    """How long to block at once, in seconds, where `left` are to be waited; None is for ever.

    Whoever waits goes round until the time is up. On the main thread a slice is short: Python
    looks for signals between two steps only, so one that comes in the moment before the thread
    blocks is not handled until it wakes. Elsewhere it is the longest that a lock can do: centuries.
    """
    longest = LOOK_UP if threading.current_thread() is threading.main_thread() else _LONGEST
    return longest if left is None else max(0.0, min(left, longest))


_LONGEST = threading.TIMEOUT_MAX
