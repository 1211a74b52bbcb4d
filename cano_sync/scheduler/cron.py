"""`Cron`: the times of a cron expression as a timetable, found by `cronsim`."""

from __future__ import annotations

__all__ = ("Cron", "LocalZone")

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from random import Random
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from .._base.lazy import Lazy
from ..errors import ConfigurationError
from .timetable import Timetable, zone_text

if TYPE_CHECKING:
    import cronsim
else:
    cronsim = Lazy("cronsim")  # the extra `cron`

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


@dataclass(frozen=True, slots=True)
class Cron(Timetable):
    """Due at the times of a cron expression, by the wall clock. Immutable. Needs the extra `cron`.

    Where summer time begins and ends, it does as Debian's cron does: what is due at certain hours
    and minutes runs once a day, also on a day that has the time twice, or not at all (then when
    the clock has sprung forward); what is due each hour or minute runs in each that passes. That
    holds for six fields as for five.

    Args:
        expression: five fields, `"0 9 * * MON"`, or six with leading seconds, `"0 0 9 * * MON"`.
        tz: a name such as "Europe/Zurich", or a `tzinfo`; None for the local time zone.

    Raises:
        ConfigurationError: either makes no sense.
        ImportError: `cronsim` is not installed.

    >>> monday = Cron("0 9 * * MON", tz="Europe/Zurich")
    >>> datetime.fromtimestamp(monday.after(0.0, 0.0, Random()), UTC)
    datetime.datetime(1970, 1, 5, 8, 0, tzinfo=datetime.timezone.utc)
    """

    expression: str
    tz: str | tzinfo | None = None
    _zone: tzinfo = field(init=False, repr=False, compare=False)
    _minutes: str = field(init=False, repr=False, compare=False)
    _seconds: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # cronsim minds the changes of the clock only where there are five fields; so it finds the
        # minutes, and the seconds within them are ours.
        minutes, seconds = _fields(self.expression)
        object.__setattr__(self, "_minutes", minutes)
        object.__setattr__(self, "_seconds", seconds)
        object.__setattr__(self, "_zone", _zone(self.tz))

    def __str__(self) -> str:
        where = zone_text(None if self.tz is None else self._zone)
        return f"cron {' '.join(self.expression.split())}{where}"

    @property
    def on_wall_clock(self) -> bool:
        """True."""
        return True

    def after(self, moment: float, start: float, random: Random) -> float | None:
        """The next time; None when there is none within fifty years."""
        before = datetime.fromtimestamp(moment - _MINUTE, self._zone)
        for found in cronsim.CronSim(self._minutes, before):
            minute = found.timestamp()
            # A time that does not exist, or exists twice, may be given as one that has passed.
            for second in self._seconds:
                if minute + second > moment:
                    return minute + second
        return None


def _fields(expression: Any) -> tuple[str, tuple[int, ...]]:
    """The five fields down to the minute, and the seconds in each."""
    fields = expression.split() if isinstance(expression, str) else []
    if len(fields) not in (5, 6):
        raise ConfigurationError(
            f"Cron() takes an expression of 5 fields, or of 6 with leading seconds, not "
            f"{expression!r}; such as '0 9 * * MON' or '0 0 9 * * MON'"
        )
    try:
        parsed = cronsim.CronSim(expression, datetime(2000, 1, 1))
        next(parsed)
    except ModuleNotFoundError as error:
        raise ImportError(
            "Cron() needs the package cronsim: pip install 'cano_sync[cron]'", name="cronsim"
        ) from error
    except cronsim.CronSimError as error:
        raise ConfigurationError(
            f"Cron(): the expression {expression!r} is wrong: {_wrong(error, fields)}"
        ) from error
    except StopIteration:
        raise ConfigurationError(f"Cron(): {expression!r} is never due") from None
    return " ".join(fields[-5:]), tuple(sorted(parsed.seconds))


_RANGES = {
    "second": "0 to 59",
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, or L for the last",
    "month": "1 to 12, or JAN to DEC",
    "day-of-week": "0 to 7 (0 and 7 are Sunday), or SUN to SAT",
}


def _wrong(error: Exception, fields: list[str]) -> str:
    """What the parser has said, with the field and what that takes."""
    text = str(error)
    name = text.removeprefix("Bad ")
    if name not in _RANGES:
        return text
    index = list(_RANGES).index(name) - len(_RANGES)
    return f"{text} {fields[index]!r}; it goes from {_RANGES[name]}"


def _zone(zone: Any) -> tzinfo:
    if zone is None:
        return _LOCAL
    if isinstance(zone, tzinfo):
        return zone
    try:
        return ZoneInfo(zone)
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise ConfigurationError(
            f"Cron(): tz={zone!r} is no time zone that is known here; give a name such as "
            "'Europe/Zurich', or a tzinfo"
        ) from error
