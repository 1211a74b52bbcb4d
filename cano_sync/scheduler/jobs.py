"""Jobs of the `schedule` package as timetables: `schedule.every().monday.at("09:00")`."""

from __future__ import annotations

__all__ = ("timetable_of",)

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from random import Random
from types import FunctionType, SimpleNamespace
from typing import Any

import schedule

from .._base.durations import seconds
from ..errors import ConfigurationError
from .timetable import SHORTEST, Gaps, Grid, Timetable, interval_text, zone_text

_EXAMPLE = 'such as schedule.every().monday.at("09:00")'


def timetable_of(job: Any, random: Random) -> Timetable:
    """The timetable that an unstarted job describes. The job itself is left as it is.

    Args:
        job: of the `schedule` package, without `do()`.
        random: what draws the gaps of `every(5).to(10)`.

    Raises:
        ConfigurationError: it is no job, is started, or is not complete.
    """
    _check(job)
    longest = _length(job, job.interval if job.latest is None else job.latest)
    until = None if job.cancel_after is None else job.cancel_after.timestamp()
    words = _words(job)
    if job.at_time is not None or job.start_day is not None:
        return _TimeOfDay(copy.copy(job), random, words, until)
    # Without a time of day it is an interval, which has nothing to do with the wall clock.
    if job.latest is None:
        return Grid(longest, words=words, until=until)
    draw = partial(random.randint, job.interval, job.latest)
    return Gaps(lambda: _length(job, draw()), words=words, until=until)


def _check(job: Any) -> None:
    if not isinstance(job, schedule.Job):
        raise ConfigurationError(
            f"at() takes an unstarted job of the schedule package, {_EXAMPLE}, not {job!r}"
        )
    text = f"every({job.interval!r})"
    if job.job_func is not None:
        raise ConfigurationError(
            f"at(): the job {job!r} has its do() already, and is run by the schedule package; "
            f"leave do() out, {_EXAMPLE}"
        )
    if job.unit is None:
        raise ConfigurationError(
            f"at(): the job schedule.{text} does not say of what; go on with .seconds, .days, "
            '.day.at("09:00")'
        )
    seconds(job.interval, f"at(): the interval of schedule.{text}")
    if job.interval <= 0:
        raise ConfigurationError(f"at(): schedule.{text} must be more than 0")
    if job.latest is not None:
        whole = isinstance(job.interval, int) and isinstance(job.latest, int)
        if not (whole and job.latest >= job.interval):
            raise ConfigurationError(
                f"at(): schedule.{text}.to({job.latest!r}) needs two whole numbers, the second "
                "of which is no less than the first"
            )


def _length(job: Any, number: float) -> float:
    try:
        return timedelta(**{job.unit: number}).total_seconds() or SHORTEST
    except OverflowError as error:
        text = f"schedule.every({job.interval!r}).{job.unit}"
        raise ConfigurationError(f"at(): {text} is longer than a timedelta can be") from error


class _TimeOfDay:
    """Due when the job says, by the wall clock.

    It is the package's own arithmetic that finds the next time. But that asks the module's
    `datetime.datetime.now()` and `random`, which belong to the whole process; so the same code
    gets globals of its own here, in which "now" is the moment that we ask about.
    """

    on_wall_clock = True

    def __init__(self, job: Any, random: Random, words: str, until: float | None) -> None:
        self.until = until
        self.words = words
        self._job = job
        self._moment = 0.0
        # Hours and minutes pass all the same where the clock is put back or forward; so they are
        # counted as far from UTC as it was before.
        self._is_short = job.unit in ("hours", "minutes")
        self._ahead = timedelta(0)
        told = SimpleNamespace(datetime=SimpleNamespace(now=self._now), timedelta=timedelta)
        method = schedule.Job._schedule_next_run
        own = {**method.__globals__, "datetime": told, "random": random}
        self._find: Callable[[Any], None] = FunctionType(method.__code__, own)

    def _now(self, zone: tzinfo | None = None) -> datetime:
        if zone is None and self._is_short:
            return datetime.fromtimestamp(self._moment, UTC).replace(tzinfo=None) + self._ahead
        return datetime.fromtimestamp(self._moment, zone)

    def begin(self, now: float) -> None:
        """A time of day does not depend on when it begins."""

    def after(self, moment: float) -> float | None:
        """The next of the job's times."""
        self._moment = moment
        self._ahead = datetime.fromtimestamp(moment).astimezone().utcoffset() or timedelta(0)
        self._find(self._job)
        following: datetime = self._job.next_run
        if self._is_short and self._job.at_time_zone is None:
            due = (following - self._ahead).replace(tzinfo=UTC).timestamp()
        else:
            due = following.timestamp()
            if due <= moment:
                # In the hour that comes twice, when summer time ends: the second one is meant.
                due = following.replace(fold=1).timestamp()
        return max(due, moment + 1.0)  # whatever a time zone does, it goes on


def _words(job: Any) -> str:
    """The job as an operator reads it."""
    if job.start_day is not None:
        text = f"every {job.start_day.capitalize()}"
    elif job.latest is not None:
        text = f"every {job.interval} to {job.latest} {job.unit}"
    elif job.unit == "weeks":
        text = "every week" if job.interval == 1 else f"every {job.interval} weeks"
    else:
        text = f"every {interval_text(_length(job, job.interval))}"
    if job.at_time is not None:
        text += f" at {_at_text(job)}{zone_text(job.at_time_zone)}"
    if job.cancel_after is not None:
        text += f" until {job.cancel_after:%Y-%m-%d %H:%M:%S}"
    return text


def _at_text(job: Any) -> str:
    """The time of day in as many parts as `at()` has taken."""
    at = job.at_time
    if job.unit == "minutes":
        return f":{at.second:02}"
    tail = f":{at.second:02}" if at.second else ""
    if job.unit == "hours":
        return f":{at.minute:02}{tail}"
    return f"{at.hour:02}:{at.minute:02}{tail}"
