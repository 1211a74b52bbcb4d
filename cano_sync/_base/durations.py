"""Durations: seconds or a `timedelta`, made into float seconds once, at the edge."""

from __future__ import annotations

__all__ = ("Duration", "limit", "seconds")

import math
from typing import TYPE_CHECKING, TypeAlias

from ..errors import ConfigurationError

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
