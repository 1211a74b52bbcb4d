"""`At`: what an unstarted job of the `schedule` package says, as a timetable."""

from __future__ import annotations

__all__ = ("At",)

import copy
import time
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from .._base.durations import seconds
from .._base.lazy import Lazy
from ..errors import ConfigurationError
from .timetable import SHORTEST, Timetable, interval_text, next_point, zone_text

if TYPE_CHECKING:
    import schedule
else:
    schedule = Lazy("schedule")  # whoever has a job has loaded it

_EXAMPLE = 'such as schedule.every().monday.at("09:00")'
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY = 86400.0


@dataclass(frozen=True, slots=True, eq=False)
class At(Timetable):
    """Due when a job of the `schedule` package says. Immutable; the job is left as it is.

    The job describes a timetable and is not started: no `do()`. Its time of day, weekday, time
    zone, `to()`, `until()` and tags count.

    - Without a time of day or a weekday it is an interval like `Every`, or with `to()` one that is
      drawn anew each time, counted from when the flow last ran.
    - A time of day, or a weekday (at the time of day at which the scheduler started), is on the
      wall clock. Where the clock is set forward over it, it is due as much later; where it comes
      twice, the first time.
    - A minute of the hour, or a second of the minute, is due whenever the clock shows it, so on
      those days, too, once an hour or minute.

    Args:
        job: of the `schedule` package.

    Raises:
        ConfigurationError: it is not a job, it is started already, or it is not complete.

    >>> import schedule
    >>> print(At(schedule.every().monday.at("09:00")))
    every Monday at 09:00
    """

    job: schedule.Job

    def __post_init__(self) -> None:
        _check(self.job)
        job = copy.copy(self.job)
        job.tags = set(job.tags)
        object.__setattr__(self, "job", job)

    def __str__(self) -> str:
        return _text(self.job)

    @property
    def on_wall_clock(self) -> bool:
        """Whether there is a time of day or a weekday."""
        return self.job.at_time is not None or self.job.start_day is not None

    @property
    def interval(self) -> float | None:
        """Seconds, where there is neither a time of day nor a weekday nor `to()`."""
        is_regular = not self.on_wall_clock and self.job.latest is None
        return _length(self.job.unit, self.job.interval) if is_regular else None

    @property
    def until(self) -> float | None:
        """The job's `until()`."""
        return None if self.job.cancel_after is None else self.job.cancel_after.timestamp()

    @property
    def tags(self) -> frozenset[Hashable]:
        """The job's."""
        return frozenset(self.job.tags)

    def after(self, moment: float, start: float, random: Random) -> float:
        """The next of the job's moments."""
        job = self.job
        if self.interval is not None:
            return next_point(moment, start, self.interval)
        drawn = job.interval if job.latest is None else random.randint(job.interval, job.latest)
        step = _length(job.unit, drawn)
        if not self.on_wall_clock:
            return moment + step
        if job.unit in ("hours", "minutes"):
            return self._by_the_hour(moment, step)
        return self._by_the_day(moment, start, step)

    # As the schedule package: an interval of 1 counts from the moment, so that the time of day may
    # still come today; a longer one counts from the time of day of the moment's own day or hour.

    def _by_the_hour(self, moment: float, step: float) -> float:
        """A minute of the hour, or a second of the minute: as time passes."""
        at, unit = self.job.at_time, _length(self.job.unit, 1)
        within = 0 if at is None else at.minute * 60 + at.second

        def following(ahead: float) -> float:
            due = (moment + ahead) // unit * unit + within - ahead
            return due if due > moment and step == unit else due + step

        ahead = self._ahead(moment)
        due = following(ahead)
        ahead_then = self._ahead(due)  # some zones go forward or back by half an hour
        return due if ahead_then == ahead else following(ahead_then)

    def _by_the_day(self, moment: float, start: float, step: float) -> float:
        """A time of day: as the calendar says."""
        today, at = self._local(moment), self.job.at_time
        due = datetime.combine(today, self._local(start).time() if at is None else at)
        if self.job.start_day is not None:
            due += timedelta(days=(_WEEKDAYS.index(self.job.start_day) - today.weekday()) % 7)
        if step != _length(self.job.unit, 1):
            due += timedelta(seconds=step)
        while self._moment(due) <= moment:
            due += timedelta(seconds=step)
        return self._moment(due)

    # The time zone. pytz's zones are not to be put into a datetime, but convert moments correctly.

    def _ahead(self, moment: float) -> float:
        """Seconds that the zone is ahead of UTC at this moment."""
        zone: Any = self.job.at_time_zone
        if zone is None:
            return float(time.localtime(moment).tm_gmtoff)
        return (datetime.fromtimestamp(moment, zone).utcoffset() or timedelta()).total_seconds()

    def _local(self, moment: float) -> datetime:
        return datetime.fromtimestamp(moment + self._ahead(moment), UTC).replace(tzinfo=None)

    def _moment(self, local: datetime) -> float:
        """When the zone's clock shows this: the first time, if it does so twice.

        If it never does, as if it had not been set forward.
        """
        shown = local.replace(tzinfo=UTC).timestamp()
        before, after = self._ahead(shown - _DAY), self._ahead(shown + _DAY)
        for ahead in (before, after):
            if self._ahead(shown - ahead) == ahead:
                return shown - ahead
        return shown - before


def _check(job: Any) -> None:
    if not isinstance(job, schedule.Job):
        raise ConfigurationError(
            f"At() takes an unstarted job of the schedule package, {_EXAMPLE}, not {job!r}"
        )
    text = f"every({job.interval!r})"
    if job.job_func is not None:
        raise ConfigurationError(
            f"At(): the job {job!r} has its do() already, and is run by the schedule package; "
            f"leave do() out, {_EXAMPLE}"
        )
    if job.unit is None:
        raise ConfigurationError(
            f"At(): the job schedule.{text} does not say of what; go on with .seconds, .days, "
            '.day.at("09:00")'
        )
    seconds(job.interval, f"At(): the interval of schedule.{text}")
    if job.interval <= 0:
        raise ConfigurationError(f"At(): schedule.{text} must be more than 0")
    if job.latest is not None:
        whole = isinstance(job.interval, int) and isinstance(job.latest, int)
        if not (whole and job.latest >= job.interval):
            raise ConfigurationError(
                f"At(): schedule.{text}.to({job.latest!r}) needs two whole numbers, the second "
                "of which is no less than the first"
            )
    elif job.at_time is not None and job.interval != int(job.interval):
        raise ConfigurationError(
            f"At(): schedule.{text} with a time of day needs a whole number of {job.unit}"
        )
    longest = job.interval if job.latest is None else job.latest
    try:
        _length(job.unit, longest)
    except OverflowError as error:
        text = f"schedule.every({job.interval!r}).{job.unit}"
        raise ConfigurationError(f"At(): {text} is longer than a timedelta can be") from error


def _length(unit: str | None, number: float) -> float:
    return timedelta(**{unit or "": number}).total_seconds() or SHORTEST


def _text(job: schedule.Job) -> str:
    """The job as an operator reads it."""
    if job.start_day is not None:
        text = f"every {job.start_day.capitalize()}"
    elif job.latest is not None:
        text = f"every {job.interval} to {job.latest} {job.unit}"
    elif job.unit == "weeks":
        text = "every week" if job.interval == 1 else f"every {job.interval} weeks"
    else:
        text = f"every {interval_text(_length(job.unit, job.interval))}"
    if job.at_time is not None:  # in as many parts as `at()` has taken
        form = {"minutes": ":%S", "hours": ":%M"}.get(job.unit or "", "%H:%M")
        form += ":%S" if job.at_time.second and job.unit != "minutes" else ""
        text += f" at {job.at_time:{form}}{zone_text(job.at_time_zone)}"
    if job.cancel_after is not None:
        text += f" until {job.cancel_after:%Y-%m-%d %H:%M:%S}"
    return text
