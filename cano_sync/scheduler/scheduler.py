"""`Scheduler`: workflows on a timetable."""

from __future__ import annotations

__all__ = ("Scheduler", "start_by_hand")

import os
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future
from datetime import tzinfo
from itertools import chain, repeat
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from .._base.durations import Duration, limit
from .._base.world import world
from .._model.around import AnyAround, arounds_of
from ..errors import ConfigurationError
from ..workflow import Workflow, within
from .at import At
from .clock import Clock, HandClock, SystemClock
from .cron import Cron
from .dispatcher import Dispatcher
from .flow import Flow
from .handles import Background, ByHand
from .observer import FlowObserver, check_flow_observer
from .options import FlowOptions, check_flow, settings_of
from .signals import handling_signals
from .status import FlowStatus
from .timetable import Every, Manual, Timetable

if TYPE_CHECKING:
    import schedule

S = TypeVar("S")


class Scheduler:
    """Runs workflows on a timetable, each on a thread of its own, and never twice at once.

    A *flow* is a workflow under an id, with its timetable: `Every(minutes=10)`,
    `Cron("0 9 * * MON")`, `At(schedule.every().monday.at("09:00"))` or `Manual()`. `add` takes more
    by name, see `FlowOptions`: `store=` (a store, or what makes one for each run), `catch_up=`,
    `jitter=` (seconds), `backoff=` and `fail_on=`. A workflow is checked when it is added.

    - Flows do not wait for each other: the scheduler's own thread only hands over. A flow that is
      due while it is still running leaves that time out, which is counted; with `catch_up=True` it
      makes up for it afterwards.
    - A flow that fails never stops the scheduler. With a `Backoff` it waits longer each time, and
      at last trips. Its error is in the `status`, in the future of `trigger`, and is heard by
      observers as `flow_finished`; nothing is logged otherwise. So give it one that logs:
      `Scheduler(observers=[LoggingFlowObserver()])`.
    - Intervals are counted from the start, on a clock that nobody sets, and do not drift. Times of
      day follow the wall clock: when that is set forward, a flow that missed its time runs once;
      when it is set back, no time comes a second time (`reset` follows it at once).

    Thread-safe: flows can be added, removed, triggered and paused while it runs. What takes the id
    of a flow raises `ConfigurationError` where there is none. A scheduler is started once, in one
    of three ways.

    Args:
        clock: the clock that it lives by; None for the system's. For tests there is
            `cano_sync.testing.HandClock`.
        observers: hear what all flows do; each is a `FlowObserver`.
        around: surround the tasks of all flows' runs, outside of what their workflows have; each
            is an `Around`, or a function `(context) -> context manager`.
        random: what draws the jitter; None for Python's own.

    Raises:
        ConfigurationError: an argument is something else.

    >>> from cano_sync import Workflow
    >>> workflow = Workflow().register("SWEEP", lambda: "DONE").add_exit_state("DONE")
    >>> scheduler = Scheduler()
    >>> scheduler.add("sweep", workflow, "SWEEP", Every(minutes=5), jitter=10)
    >>> with scheduler.start_in_background():
    ...     print(scheduler.trigger("sweep").result())
    DONE
    >>> scheduler.status("sweep").schedule, scheduler.status("sweep").runs
    ('every 5 min', 1)
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        observers: Iterable[FlowObserver] = (),
        around: Iterable[AnyAround] = (),
        random: Random | None = None,
    ) -> None:
        missing = [name for name in ("wall", "monotonic", "wait") if not hasattr(clock, name)]
        if isinstance(clock, type) or (clock is not None and missing):
            raise ConfigurationError(
                f"Scheduler(clock=...) takes an object with wall(), monotonic() and wait(), not "
                f"{clock!r}; such as HandClock()"
            )
        if random is not None and not isinstance(random, Random):
            raise ConfigurationError(
                f"Scheduler(random=...) takes a random.Random, not {random!r}; such as Random(7)"
            )
        if not isinstance(observers, Iterable):
            raise ConfigurationError(f"Scheduler(observers=...) takes a list, not {observers!r}")
        listed = tuple(observers)
        for observer in listed:
            check_flow_observer(observer, "Scheduler(observers=...)")
        self._arounds = arounds_of(around, "Scheduler(around=...)")
        self._clock: Clock = SystemClock() if clock is None else clock
        self._dispatcher = Dispatcher(self._clock, listed, _random() if random is None else random)
        self._process = os.getpid()

    # Flows.

    def add(
        self,
        id: str,
        workflow: Workflow[S],
        initial_state: S,
        timetable: Timetable,
        **options: Unpack[FlowOptions[S]],
    ) -> None:
        """Add a flow under an id of its own; it is due from now on, or from the start.

        Raises:
            ConfigurationError: the id is taken, the workflow is not valid, an argument is wrong, or
                the scheduler has been stopped.
            TypeError: there is no such option.
        """
        check_flow(id, workflow, initial_state, timetable)
        settings = settings_of(id, options, workflow, timetable)
        if self._arounds:
            workflow = within(workflow, self._arounds)
            workflow.validate()  # compiled before the first time that it is due
        self._dispatcher.add(Flow(id, workflow, initial_state, timetable, settings))

    def every(
        self,
        id: str,
        workflow: Workflow[S],
        initial_state: S,
        interval: Duration,
        **options: Unpack[FlowOptions[S]],
    ) -> None:
        """`add` with `Every(interval)`: seconds, or a `timedelta`."""
        self.add(id, workflow, initial_state, Every(interval), **options)

    def every_seconds(
        self,
        id: str,
        workflow: Workflow[S],
        initial_state: S,
        n: float,
        **options: Unpack[FlowOptions[S]],
    ) -> None:
        """`add` with `Every(seconds=n)`."""
        self.add(id, workflow, initial_state, Every(seconds=n), **options)

    def every_minutes(
        self,
        id: str,
        workflow: Workflow[S],
        initial_state: S,
        n: float,
        **options: Unpack[FlowOptions[S]],
    ) -> None:
        """`add` with `Every(minutes=n)`."""
        self.add(id, workflow, initial_state, Every(minutes=n), **options)

    def every_hours(
        self,
        id: str,
        workflow: Workflow[S],
        initial_state: S,
        n: float,
        **options: Unpack[FlowOptions[S]],
    ) -> None:
        """`add` with `Every(hours=n)`."""
        self.add(id, workflow, initial_state, Every(hours=n), **options)

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
        """`add` with `Cron(expression, tz)`. Needs the extra `cron`."""
        self.add(id, workflow, initial_state, Cron(expression, tz), **options)

    def at(
        self,
        id: str,
        workflow: Workflow[S],
        initial_state: S,
        job: schedule.Job,
        **options: Unpack[FlowOptions[S]],
    ) -> None:
        """`add` with `At(job)`: an unstarted job of the `schedule` package."""
        self.add(id, workflow, initial_state, At(job), **options)

    def manual(
        self, id: str, workflow: Workflow[S], initial_state: S, **options: Unpack[FlowOptions[S]]
    ) -> None:
        """`add` with `Manual()`: it runs only when `trigger` is called."""
        self.add(id, workflow, initial_state, Manual(), **options)

    def remove(self, id: str) -> None:
        """Drop a flow. A run that is under way goes on to its end."""
        self._dispatcher.remove(id)

    # Running.

    def start(self, *, stop_timeout: Duration | None = None) -> None:
        """Run until `stop` is called, and until all runs have ended. Blocks.

        On the main thread it handles SIGTERM and Ctrl-C meanwhile: the first stops it gracefully,
        a second cancels what is running. (A signal that is ignored stays so.) Where `stop` was
        called before, it returns at once.

        Args:
            stop_timeout: seconds that running flows get after such a signal before they are
                cancelled; None for no limit.

        Raises:
            ConfigurationError: it has been started before.
        """
        timeouts = chain([limit(stop_timeout, "start()'s stop_timeout")], repeat(0.0))
        self._dispatcher.open("start()")
        with handling_signals(lambda *_: self._dispatcher.stop(next(timeouts))):
            self._dispatcher.run()

    def start_in_background(self, *, stop_timeout: Duration | None = None) -> Background:
        """Run on a thread of its own, from now until the `with` block is left.

        Leaving the block (or `close()` of the result) stops it as `stop` does, and returns when
        all runs have ended. It handles no signals.

        Args:
            stop_timeout: seconds that running flows get then before they are cancelled; None for
                no limit.

        Raises:
            ConfigurationError: it has been started before.
        """
        left = limit(stop_timeout, "start_in_background()'s stop_timeout")
        self._dispatcher.open("start_in_background()")
        return Background(self._dispatcher, left)

    def stop(self, timeout: Duration | None = None) -> None:
        """Stop: no new runs; those under way go on to their end. Returns at once.

        `start` and the `with` block of the other two return when all has ended. To be called from
        any thread, from a task, and from a signal handler. A second call can only make it earlier.

        Args:
            timeout: seconds after which what is still running is cancelled, and abandoned where it
                does not listen (see `cano_sync.abandoned_tasks`); None for no limit. Of an
                abandoned run, `flow_finished` is emitted at once; `run_finished`, which the
                observers of its workflow hear on its thread, only when that returns.

        Raises:
            ConfigurationError: the timeout is no duration; nothing is stopped then.
        """
        self._dispatcher.stop(limit(timeout, "stop()'s timeout"))

    def trigger(self, id: str) -> Future[Any]:
        """Run a flow now, by hand; the future has the exit state, or the error.

        A flow that is paused or backs off is run, too. Its timetable stays as it is.

        Raises:
            ConfigurationError: there is no such flow, it is running or has tripped, or the
                scheduler is not started or has been stopped, or was made before a fork.
        """
        if self._process != os.getpid():  # its threads are not here, and its lock may be held
            raise ConfigurationError(
                f"trigger(): flow {id!r} cannot run: this process was forked from the scheduler's; "
                "make and start one here, after the fork"
            )
        return self._dispatcher.trigger(id)

    # Looking and mending.

    def status(self, id: str) -> FlowStatus:
        """How a flow is: its state, its last run, its next due time."""
        return self._dispatcher.status(id)

    def list(self, tag: Hashable | None = None) -> tuple[FlowStatus, ...]:
        """How all flows are, or those with this tag, in the order in which they were added."""
        every = self._dispatcher.statuses()
        return every if tag is None else tuple([each for each in every if tag in each.tags])

    def pause(self, id: str) -> None:
        """Leave out all times of a flow until `resume`; a run under way goes on."""
        self._dispatcher.change(id, Flow.pause)

    def resume(self, id: str) -> None:
        """Go on with a paused flow, at the next time of its timetable."""
        self._dispatcher.change(id, Flow.resume)

    def reset(self, id: str) -> None:
        """Forget a flow's failures: it runs again at the next time of its timetable."""
        self._dispatcher.change(id, Flow.reset)

    def update_workflows(self, change: Callable[[Workflow[Any]], Workflow[Any]]) -> None:
        """Change the workflows of all flows that there are, from the next run of each on.

        Such as to attach an observer to all: `lambda workflow: workflow.with_observer(observer)`.

        Args:
            change: gets the workflow of a flow, and returns the one to run in its place. What it
                raises is raised, and nothing is changed.

        Raises:
            ConfigurationError: it returned something else, or a workflow that is not valid or
                cannot begin where the flow begins.
        """
        self._dispatcher.update_workflows(change)

    # Observers.

    @property
    def observers(self) -> tuple[FlowObserver, ...]:
        """The observers that hear what all flows do."""
        return self._dispatcher.observers

    def add_observer(self, observer: FlowObserver) -> None:
        """One more observer, who hears what all flows do from now on.

        Raises:
            ConfigurationError: it is not a `FlowObserver`, or hears nothing.
        """
        check_flow_observer(observer, "add_observer()")
        self._dispatcher.add_observer(observer)


def _random() -> Random:
    return Random(int.from_bytes(world.entropy(8), "big"))


def start_by_hand(scheduler: Scheduler) -> ByHand:
    """Start a scheduler without a thread, while a test moves its `HandClock`.

    Args:
        scheduler: one that was made with `clock=HandClock()`.

    Raises:
        ConfigurationError: it has another clock, or has been started before.

    >>> from datetime import datetime
    >>> import schedule
    >>> from cano_sync import Workflow
    >>> workflow = Workflow().register("SWEEP", lambda: "DONE").add_exit_state("DONE")
    >>> scheduler = Scheduler(clock=HandClock(datetime(2026, 11, 25, 8, 50).astimezone()))
    >>> scheduler.add("sweep", workflow, "SWEEP", At(schedule.every().day.at("09:00")))
    >>> with start_by_hand(scheduler) as time:
    ...     time.advance(3 * 86400)  # from due time to due time
    >>> scheduler.status("sweep").runs
    3
    """
    if not isinstance(scheduler._clock, HandClock):
        raise ConfigurationError(
            f"start_by_hand() needs a clock that is moved by hand, not {scheduler._clock!r}; make "
            "it Scheduler(clock=HandClock())"
        )
    scheduler._dispatcher.open("start_by_hand()")
    return ByHand(scheduler._dispatcher, scheduler._clock)
