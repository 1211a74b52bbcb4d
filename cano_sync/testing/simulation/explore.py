"""`explore`: a test that runs under many schedules, and says of the first bad one how it came."""

from __future__ import annotations

__all__ = ("Exploration", "Simulation", "explore")

import functools
import inspect
import os
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from random import Random
from typing import Any, TypeVar

from ..._base.durations import Duration
from ..._base.durations import seconds as seconds_of
from ..._base.store import Store
from ...errors import ConfigurationError
from ...scheduler.scheduler import Scheduler
from ...workflow import Workflow
from .errors import (
    ExplorationCutWarning,
    SimulationError,
    SimulationFailure,
)
from .faults import Faults
from .scheduling import run_scheduler
from .simulate import (
    LIMIT,
    PATIENCE,
    STEPS,
    Settings,
    SimulatedRun,
    check_settings,
    perform,
    perform_call,
    play,
    simulating,
    strategies,
    warn_of_misfit,
)
from .stage import Strategy
from .story import story_of
from .strategies import NOBODY, AllSchedules, Replay, read_schedule, write_schedule

S = TypeVar("S")

MOST = 10_000
"""Schedules that "all" tries, unless `limit=` says otherwise."""
SHRINKS = 1_000
"""Runs that a shrinking may take."""
SHRINK_TIME = 2.0
"""Real seconds that it may take."""


@dataclass(frozen=True, slots=True)
class Exploration:
    """What a test has explored; it is the attribute `exploration` of the test when it has passed.

    Attributes:
        schedules: how many it was run under.
        is_complete: whether these were all that there are.
    """

    schedules: int
    is_complete: bool

    def __str__(self) -> str:
        how = "complete" if self.is_complete else "cut"
        return f"{self.schedules:,} schedules, {how}"


class Simulation:
    """What a test of `explore` gets as `sim`: it runs workflows, and breaks things.

    All that it draws follows from the seed. To be used by the test's own thread.

    Attributes:
        seed: the seed.
    """

    def __init__(
        self, seed: int, settings: Settings, make_strategy: Callable[[], Strategy]
    ) -> None:
        self.seed = seed
        self._random = Random(seed << 2)
        self._faults = Faults(Random((seed << 2) + 5))
        self._settings = replace(
            settings, seed=seed, make_strategy=make_strategy, faults=self._faults
        )
        self._runs: list[SimulatedRun] = []
        self.decisions: list[int] = []
        self.defaults: list[int] = []

    def run(
        self,
        workflow: Workflow[S],
        state: S,
        *,
        store: Mapping[str, Any] | Store | Callable[[], Any] | None = None,
        cancel_at: Duration | None = None,
    ) -> SimulatedRun:
        """Run a workflow under this schedule; see `simulate`, whose arguments these are.

        Raises:
            SimulationFailure: a check that is always on has failed.
            SimulationError: a task blocks outside the simulation.
        """
        return self._play(
            lambda settings, run: perform(
                workflow, state, settings, run, store=store, cancel_at=cancel_at
            )
        )

    def call(self, function: Callable[[], Any]) -> SimulatedRun:
        """Call a function under this schedule: for what is more than one run; see `simulate_call`.

        Raises:
            SimulationFailure: a check that is always on has failed.
            SimulationError: something blocks outside the simulation.
        """
        return self._play(lambda settings, run: perform_call(function, settings, run))

    def schedule(
        self,
        make: Callable[[], Scheduler],
        duration: Duration,
        *,
        stop_timeout: Duration | None = None,
    ) -> SimulatedRun:
        """Let a scheduler live for a while under this schedule, and stop it.

        Args:
            make: makes the scheduler, with its flows and the system's clock.
            duration: seconds, or a `timedelta`: a week costs no more than its runs.
            stop_timeout: as of `Scheduler.start_in_background`.

        Returns:
            What came of it: `result` has the status of each flow at the end, by its id.

        Raises:
            SimulationFailure: a check that is always on has failed.
            SimulationError: a task blocks outside the simulation.
        """
        run = self._play(
            lambda settings, run: play(
                lambda stage, watch: run_scheduler(stage, make, duration, stop_timeout),
                settings,
                run,
            )
        )
        if run.error is not None:  # of no flow, but of what made the scheduler
            raise run.error
        return run

    def _play(self, work: Callable[[Settings, SimulatedRun], None]) -> SimulatedRun:
        run = SimulatedRun()
        self._runs.append(run)
        try:
            work(self._settings, run)
        finally:
            self.decisions += run._decisions
            self.defaults += run._defaults
        return run

    # What is drawn.

    def random_time(self, least: Duration, most: Duration) -> float:
        """A virtual moment between the two, in seconds, to a microsecond."""
        low, high = seconds_of(least, "random_time()"), seconds_of(most, "random_time()")
        return round(low + (high - low) * self._random.random(), 6)

    def choose(self, *values: Any) -> Any:
        """One of these."""
        return values[int(self._random.random() * len(values))]

    # What goes wrong, in the runs that follow.

    def fail(
        self,
        task: Any,
        *,
        share: float = 1.0,
        error: Callable[[], BaseException] | BaseException | None = None,
    ) -> None:
        """Make a share of a task's attempts fail before they begin.

        Args:
            task: its name, its function (of a branch), or its state.
            share: how many of them, from 0 to 1.
            error: what they raise, or makes that; None for an `InjectedFault`.
        """
        self._faults.fail(task, share, error)

    def slow(self, task: Any, least: Duration, most: Duration) -> None:
        """Have each attempt at a task begin later, by so many virtual seconds."""
        self._faults.slow(task, seconds_of(least, "slow()"), seconds_of(most, "slow()"))

    def fail_write(self, number: int) -> None:
        """Have the n-th write of each run to a store fail, from 1, with a `StoreError`."""
        self._faults.fail_write = number

    def jump_clock(self, offset: float, *, at: Duration = 0) -> None:
        """Set the time of day forward, or back (below 0), by so many seconds at a virtual moment.

        Intervals do not notice, as they do not in life.
        """
        self._faults.jumps.append((seconds_of(at, "jump_clock()"), offset))

    @property
    def _story(self) -> str:
        stories = [story_of(run._events) for run in self._runs]
        if len(stories) == 1:
            return stories[0]
        return "\n".join(
            f"run {number}:\n{story}" for number, story in enumerate(stories, 1) if story
        )


def explore(
    seeds: int | Iterable[int] = 500,
    *,
    strategy: str = "pct",
    limit: int | None = None,
    schedule: str | None = None,
    time_limit: Duration = LIMIT,
    steps: int = STEPS,
    patience: Duration = PATIENCE,
    now: datetime | float | None = None,
    last_write_wins: Iterable[str] = (),
    switch: str = "store",
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a test of pytest that is run under many schedules.

    The function gets a `Simulation` as `sim`, whatever else it takes is a fixture. Where it raises,
    or a check that is always on fails, the schedule is shrunk to the fewest hand-overs, and the
    failure says what happened, line by line. `CANO_SEED=3 pytest -k NAME` runs it with one seed.

    Args:
        seeds: so many, from 0; or which.
        strategy: "pct", "random" (see `simulate`), or "all": every schedule that there is, with
            the first seed. When all were right, it is proved, as far as the switch points go.
        limit: with "all", how many schedules; 10,000 by default. What is cut is warned of.
        schedule: the decisions to take instead, as a failure shows them.
        time_limit: virtual seconds that each run may take.
        steps: switch points that each run may pass.
        patience: real seconds without a switch point after which a task blocks outside.
        now: the time of day at which each run begins.
        last_write_wins: keys that several branches may put, whoever comes last.
        switch: "store" or "line"; see `simulate`.

    Raises:
        ConfigurationError: an argument is wrong.

    >>> from cano_sync import JoinConfig, JoinStrategy, Workflow
    >>> def add(store):
    ...     store.update("n", lambda n: n + 1)
    >>> workflow = Workflow().register_split("ADD", [add] * 2, JoinConfig(JoinStrategy.ALL, "DONE"))
    >>> workflow = workflow.add_exit_state("DONE")
    >>> @explore(strategy="all")
    ... def test_counter(sim):
    ...     assert sim.run(workflow, "ADD", store={"n": 0}).store["n"] == 2
    >>> test_counter()
    >>> test_counter.exploration.is_complete
    True
    """
    if callable(seeds):
        raise ConfigurationError("write @explore(), with parentheses")
    settings = check_settings(0, time_limit, steps, patience, now, last_write_wins, switch)
    chosen = range(seeds) if isinstance(seeds, int) else tuple(seeds)
    if strategy not in ("pct", "random", "all"):
        raise ConfigurationError(
            f"explore(strategy={strategy!r}): there are 'pct', 'random' and 'all'; a replay is "
            "said by schedule="
        )
    if limit is not None and strategy != "all":
        raise ConfigurationError("explore(limit=...) is for strategy='all'; say seeds= instead")
    numbers = None if schedule is None else read_schedule(schedule)

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(function)
        if "sim" not in signature.parameters:
            raise ConfigurationError(
                f"explore(): {function.__qualname__}() must take a parameter `sim`"
            )

        @functools.wraps(function)
        def test(*args: Any, **kwargs: Any) -> None:
            explorer = _Explorer(
                lambda sim: function(*args, sim=sim, **kwargs), function.__name__, settings
            )
            given = os.environ.get("CANO_SEED")
            todo = chosen if given is None else (int(given),)
            if numbers is not None:
                test.exploration = explorer.replay(todo[0], numbers)  # type: ignore[attr-defined]
            elif strategy == "all":
                made = explorer.all(todo[0], MOST if limit is None else limit)
                test.exploration = made  # type: ignore[attr-defined]
            else:
                test.exploration = explorer.seeds(todo, strategy)  # type: ignore[attr-defined]

        others = [each for name, each in signature.parameters.items() if name != "sim"]
        del test.__wrapped__
        test.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
        return test

    return decorate


class _Explorer:
    """Runs one test's function again and again."""

    def __init__(
        self, function: Callable[[Simulation], None], name: str, settings: Settings
    ) -> None:
        self._function = function
        self._name = name
        self._settings = settings

    def seeds(self, seeds: Iterable[int], strategy: str) -> Exploration:
        count = 0
        with simulating():
            for seed in seeds:
                count += 1
                sim = Simulation(seed, self._settings, strategies(strategy, seed, None))
                error = self._attempt(sim)
                if error is not None:
                    self._report(sim, error, f"seed {seed}, {strategy}")
        return Exploration(count, False)

    def all(self, seed: int, limit: int) -> Exploration:
        every = AllSchedules()
        count = 0
        with simulating():
            while True:
                count += 1
                sim = Simulation(seed, self._settings, lambda: every)
                error = self._attempt(sim)
                if error is not None:
                    self._report(sim, error, f"schedule {count:,} of all, seed {seed}")
                if not every.next_run() or count >= limit:
                    break
        made = Exploration(count, every.is_complete)
        if not made.is_complete:
            warnings.warn(
                f"{self._name}: {made} by limit={limit}: what it has not tried, it has not proved",
                ExplorationCutWarning,
                stacklevel=3,
            )
        return made

    def replay(self, seed: int, numbers: list[int]) -> Exploration:
        with simulating():
            strategy = Replay(numbers)
            sim = Simulation(seed, self._settings, lambda: strategy)
            error = self._attempt(sim)
            if error is not None:
                self._report(sim, error, f"its schedule, seed {seed}")
        if strategy.misfit is not None:
            warn_of_misfit(strategy, 3)
        return Exploration(1, False)

    def _attempt(self, sim: Simulation) -> BaseException | None:
        """What the function raised."""
        try:
            self._function(sim)
        except SimulationError:
            raise
        except Exception as error:
            return error
        except BaseException as error:
            if type(error).__name__ != "Failed":  # pytest.fail(); all else wants out
                raise
            return error
        return None

    def _report(self, sim: Simulation, error: BaseException, where: str) -> None:
        """Shrink it, and raise what says how it comes."""
        before = _hand_overs(sim)
        sim, error = self._shrink(sim, error)
        again, raised, _ = self._again(sim.seed, sim.decisions, recording=True)
        if raised is None:
            raise SimulationFailure(
                f"{self._name} has failed under {where}, and then has not under the same schedule: "
                "something in it is not simulated, and differs from run to run, such as "
                "datetime.now(), uuid4(), or what one run leaves to the next: "
                f"{type(error).__name__}: {error}",
                seed=sim.seed,
            ) from error
        sim, error = again, raised
        schedule = write_schedule(sim.decisions, sim.defaults)
        what = f"{type(error).__name__}: {error}" if not _is_check(error) else str(error)
        story = sim._story
        raise SimulationFailure(
            f"{self._name} fails under {where}: {what}\n\n"
            f"what happened, by {_hand_overs_text(sim)} (shrunk from {before}):\n\n"
            f"{story or '(no store was used)'}\n\n"
            f"to see it again:  CANO_SEED={sim.seed} pytest -k {self._name}\n"
            f'to keep it:       @explore(seeds=[{sim.seed}], schedule="{schedule}")',
            seed=sim.seed,
            schedule=schedule,
            story=story,
        ) from error

    def _again(
        self, seed: int, numbers: list[int], *, recording: bool = False
    ) -> tuple[Simulation, BaseException | None, Replay]:
        """The same under other decisions."""
        replay = Replay(numbers)
        settings = replace(self._settings, recording=recording)
        sim = Simulation(seed, settings, lambda: replay)
        return sim, self._attempt(sim), replay

    def _shrink(self, sim: Simulation, error: BaseException) -> tuple[Simulation, BaseException]:
        """The fewest hand-overs with which it fails in the same way."""
        return self._fewest(sim, error) or self._fewer(sim, error)

    def _fewest(
        self, sim: Simulation, error: BaseException
    ) -> tuple[Simulation, BaseException] | None:
        """Look for it among all schedules with none, then one, then two; not for long."""
        until = time.monotonic() + SHRINK_TIME
        waiting: deque[list[int]] = deque([[]])
        for _ in range(SHRINKS):
            if not waiting or time.monotonic() > until:
                return None
            numbers = waiting.popleft()
            found, raised, replay = self._again(sim.seed, numbers)
            if raised is not None and type(raised) is type(error):
                return found, raised
            # One hand-over more, anywhere behind the last one.
            for position in range(len(numbers), len(replay.choices)):
                before = [*numbers, *[NOBODY] * (position - len(numbers))]
                waiting.extend([*before, number] for number in replay.choices[position])
        return None

    def _fewer(self, sim: Simulation, error: BaseException) -> tuple[Simulation, BaseException]:
        """Drop hand-overs one by one, as long as it fails in the same way."""
        until = time.monotonic() + SHRINK_TIME
        is_shorter = True
        while is_shorter:
            is_shorter = False
            for position in range(len(sim.decisions) - 1, -1, -1):
                if position >= len(sim.decisions) or time.monotonic() > until:
                    continue
                if sim.decisions[position] == sim.defaults[position]:
                    continue
                numbers = [*sim.decisions]
                numbers[position] = NOBODY
                shorter, raised, _ = self._again(sim.seed, numbers)
                if raised is None or type(raised) is not type(error):
                    continue
                if _hand_overs(shorter) < _hand_overs(sim):
                    sim, error, is_shorter = shorter, raised, True
        return sim, error


def _hand_overs_text(sim: Simulation) -> str:
    count = _hand_overs(sim)
    return f"{count or 'no'} chosen hand-over{'' if count == 1 else 's'}"


def _is_check(error: BaseException) -> bool:
    return isinstance(error, SimulationFailure)


def _hand_overs(sim: Simulation) -> int:
    pairs = zip(sim.decisions, sim.defaults, strict=True)
    return sum(number != default for number, default in pairs)
