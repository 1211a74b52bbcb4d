"""The calls that add flows to a scheduler."""

from __future__ import annotations

__all__ = ("Adding",)

from collections.abc import Hashable
from datetime import tzinfo
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from .._base.durations import Duration
from .._base.lazy import Lazy
from .._model.hooks import Observer
from ..workflow import Workflow
from .dispatcher import Dispatcher
from .flow import Flow
from .options import FlowOptions, check_flow, interval_of, options_of, units_of
from .timetable import Grid, Timetable

if TYPE_CHECKING:
    from schedule import Job

cron_room = Lazy(".cron", __package__)  # it needs the extra `cron`
jobs_room = Lazy(".jobs", __package__)

S = TypeVar("S")


class Adding:
    """The half of a `Scheduler` by which it gets its flows.

    Args:
        dispatcher: takes them on.
        observers: hear of all of them.
        random: what draws gaps that vary.
    """

    def __init__(
        self, dispatcher: Dispatcher, observers: tuple[Observer, ...], random: Random
    ) -> None:
        self._dispatcher = dispatcher
        self._observers = observers
        self._random = random

    def every(
        self,
        id: str,
        workflow: Workflow[S],
        initial_state: S,
        interval: Duration,
        **options: Unpack[FlowOptions[S]],
    ) -> None:
        """Run it every `interval` (seconds, or a `timedelta`), first one interval after the start.

        Options, by name: `store`, `catch_up`, `jitter` (seconds), `backoff` and `fail_on`; see
        `FlowOptions`.

        Raises:
            ConfigurationError: the id is taken, the workflow is not valid, or an argument is wrong.
        """
        self._add(id, workflow, initial_state, Grid(interval_of(interval)), options)

    def every_seconds(
        self,
        id: str,
        workflow: Workflow[S],
        initial_state: S,
        n: float,
        **options: Unpack[FlowOptions[S]],
    ) -> None:
        """Run it every `n` seconds; see `every`, also for the options."""
        grid = Grid(units_of(n, "every_seconds()", 1.0))
        self._add(id, workflow, initial_state, grid, options)

    def every_minutes(
        self,
        id: str,
        workflow: Workflow[S],
        initial_state: S,
        n: float,
        **options: Unpack[FlowOptions[S]],
    ) -> None:
        """Run it every `n` minutes; see `every`, also for the options."""
        grid = Grid(units_of(n, "every_minutes()", 60.0))
        self._add(id, workflow, initial_state, grid, options)

    def every_hours(
        self,
        id: str,
        workflow: Workflow[S],
        initial_state: S,
        n: float,
        **options: Unpack[FlowOptions[S]],
    ) -> None:
        """Run it every `n` hours; see `every`, also for the options."""
        grid = Grid(units_of(n, "every_hours()", 3600.0))
        self._add(id, workflow, initial_state, grid, options)

    def cron(
        self,
        id: str,
        workflow: Workflow[S],
        initial_state: S,
        expression: str,
        *,
        tz: str | tzinfo | None = None,
        **options: Unpack[FlowOptions[S]],
    ) -> None:
        """Run it at the times of a cron expression. Needs the extra `cron`.

        On the days on which summer time begins or ends, what is due at certain hours and minutes
        runs once, and what is due each hour or minute goes on as time passes.

        Args:
            id: as for `every`; so are `workflow`, `initial_state` and `options`.
            workflow: what it runs.
            initial_state: where a run begins.
            expression: five fields, `"0 9 * * MON"`, or six with leading seconds,
                `"0 0 9 * * MON"`.
            tz: a name such as "Europe/Zurich", or a `tzinfo`; None for the local time zone.
            **options: `store`, `catch_up`, `jitter` (seconds), `backoff` and `fail_on`; see
                `FlowOptions`.

        Raises:
            ConfigurationError: the expression or the time zone makes no sense, or as for `every`.
            ImportError: `cronsim` is not installed.
        """
        timetable = cron_room.Cron(expression, tz)
        self._add(id, workflow, initial_state, timetable, options)

    def at(
        self,
        id: str,
        workflow: Workflow[S],
        initial_state: S,
        job: Job,
        **options: Unpack[FlowOptions[S]],
    ) -> None:
        """Run it when a job of the `schedule` package says.

        The job describes a timetable and is not started: `schedule.every().monday.at("09:00")`,
        without `do()`. Its time zone, `to()`, `until()` and tags count; the job itself is left
        as it is. One without a time of day is an interval as that of `every`.

        Options, by name: `store`, `catch_up`, `jitter` (seconds), `backoff` and `fail_on`; see
        `FlowOptions`.

        Raises:
            ConfigurationError: it is no such job, or as for `every`.
        """
        timetable = jobs_room.timetable_of(job, self._random)
        self._add(id, workflow, initial_state, timetable, options, frozenset(job.tags))

    def manual(
        self, id: str, workflow: Workflow[S], initial_state: S, **options: Unpack[FlowOptions[S]]
    ) -> None:
        """Run it only when `trigger` is called.

        Options, by name: `store`, `backoff` and `fail_on`; see `FlowOptions`. (The others are for
        flows with a timetable.)

        Raises:
            ConfigurationError: as for `every`.
        """
        self._add(id, workflow, initial_state, None, options)

    def _add(
        self,
        id: str,
        workflow: Workflow[Any],
        initial_state: Any,
        timetable: Timetable | None,
        options: FlowOptions[Any],
        tags: frozenset[Hashable] = frozenset(),
    ) -> None:
        check_flow(id, workflow, initial_state)
        interval = timetable.interval if isinstance(timetable, Grid) else None
        ready = options_of(id, options, workflow.description.exits, interval)
        self._dispatcher.add(
            Flow(
                id, workflow, initial_state, timetable, ready, observers=self._observers, tags=tags
            )
        )
