"""Cron expressions as timetables, by `cronsim`: the one room that needs the extra `cron`."""

from __future__ import annotations

__all__ = ("Cron", "LocalZone")

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from ..errors import ConfigurationError
from .timetable import zone_text

try:
    from cronsim import CronSim, CronSimError
except ImportError as error:
    raise ImportError(
        "Scheduler.cron() needs the package cronsim: pip install 'cano_sync[cron]'", name="cronsim"
    ) from error

_MINUTE = 60.0


class LocalZone(tzinfo):
    """The time zone of this machine, with all its changes; `datetime` has only fixed offsets."""

    def utcoffset(self, moment: datetime | None) -> timedelta:
        """How far the local time is ahead of UTC at this local time."""
        if moment is None:
            return timedelta(0)
        naive = moment.replace(tzinfo=None)
        return moment.replace(tzinfo=UTC) - datetime.fromtimestamp(naive.timestamp(), UTC)

    def dst(self, moment: datetime | None) -> timedelta | None:
        """Not known: None."""
        return None

    def tzname(self, moment: datetime | None) -> str:
        """Its name."""
        return "local time"

    def fromutc(self, moment: datetime) -> datetime:
        """The local time of a moment in UTC; `fold` is 1 in an hour that comes the second time."""
        local = datetime.fromtimestamp(moment.replace(tzinfo=UTC).timestamp())
        return local.replace(tzinfo=self)


_LOCAL = LocalZone()


class Cron:
    """Due at the times of a cron expression, by the wall clock.

    Where summer time begins and ends, it does as Debian's cron does: what is due at certain hours
    and minutes runs once a day, also on a day that has the time twice, or not at all (then when
    the clock has sprung forward); what is due each hour or minute runs in each that passes. That
    holds for six fields as for five.

    Args:
        expression: five fields, or six with leading seconds.
        zone: a name such as "Europe/Zurich", or a `tzinfo`; None for the local time zone.

    Raises:
        ConfigurationError: either makes no sense.

    >>> cron = Cron("0 9 * * MON", "Europe/Zurich")
    >>> datetime.fromtimestamp(cron.after(0.0), UTC)
    datetime.datetime(1970, 1, 5, 8, 0, tzinfo=datetime.timezone.utc)
    """

    on_wall_clock = True
    until: float | None = None

    def __init__(self, expression: str, zone: str | tzinfo | None = None) -> None:
        self._zone = _zone(zone)
        # cronsim minds the changes of the clock only where there are five fields; so it finds the
        # minutes, and the seconds within them are ours.
        self._minutes, self._seconds = _fields(expression)
        where = zone_text(None if zone is None else self._zone)
        self.words = f"cron {' '.join(expression.split())}{where}"

    def begin(self, now: float) -> None:
        """The times do not depend on when it begins."""

    def after(self, moment: float) -> float | None:
        """The next time; None when there is none within fifty years."""
        for minute in self._minutes_from(moment - _MINUTE):
            # A time that does not exist, or exists twice, may be given as one that has passed.
            for second in self._seconds:
                if minute + second > moment:
                    return minute + second
        return None

    def _minutes_from(self, moment: float) -> Iterator[float]:
        start = datetime.fromtimestamp(moment, self._zone)
        return (found.timestamp() for found in CronSim(self._minutes, start))


def _fields(expression: Any) -> tuple[str, tuple[int, ...]]:
    """The five fields down to the minute, and the seconds in each."""
    fields = expression.split() if isinstance(expression, str) else []
    if len(fields) not in (5, 6):
        raise ConfigurationError(
            f"cron() takes an expression of 5 fields, or of 6 with leading seconds, not "
            f"{expression!r}; such as '0 9 * * MON' or '0 0 9 * * MON'"
        )
    try:
        parsed = CronSim(expression, datetime(2000, 1, 1))
        next(parsed)
    except CronSimError as error:
        raise ConfigurationError(
            f"cron(): the expression {expression!r} is wrong: {_wrong(error, fields)}"
        ) from error
    except StopIteration:
        raise ConfigurationError(f"cron(): {expression!r} is never due") from None
    return " ".join(fields[-5:]), tuple(sorted(parsed.seconds))


_RANGES = {
    "second": "0 to 59",
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, or L for the last",
    "month": "1 to 12, or JAN to DEC",
    "day-of-week": "0 to 7 (0 and 7 are Sunday), or SUN to SAT",
}


def _wrong(error: CronSimError, fields: list[str]) -> str:
    """What the parser has said, with the field and what that takes."""
    told = str(error)
    name = told.removeprefix("Bad ")
    if name not in _RANGES:
        return told
    field = fields[list(_RANGES).index(name) - len(_RANGES)]
    return f"{told} {field!r}; it goes from {_RANGES[name]}"


def _zone(zone: Any) -> tzinfo:
    if zone is None:
        return _LOCAL
    if isinstance(zone, tzinfo):
        return zone
    try:
        return ZoneInfo(zone)
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise ConfigurationError(
            f"cron(): tz={zone!r} is no time zone that is known here; give a name such as "
            "'Europe/Zurich', or a tzinfo"
        ) from error
