"""`simulate`: one run of a workflow, under a schedule that a seed chooses."""

from __future__ import annotations

__all__ = (
    "Settings",
    "SimulatedRun",
    "check_settings",
    "perform",
    "perform_call",
    "play",
    "simulate",
    "simulate_call",
    "simulating",
    "strategies",
    "warn_of_misfit",
)

import contextvars
import gc
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from random import Random
from types import FrameType
from typing import Any, TypeVar

from ... import install_around
from ..._base.cancellation import CancellationToken
from ..._base.durations import Duration
from ..._base.durations import seconds as seconds_of
from ..._base.store import MemoryStore, Store
from ..._base.text import full_name
from ..._model.description import Description, SingleState
from ...errors import ConfigurationError
from ...workflow import Workflow
from .borrowed import Borrowed
from .errors import ScheduleWarning, SimulationFailure, SimulationOver
from .faults import Faults
from .lines import switching_at_lines
from .patches import patched, seed_chance
from .session import session
from .stage import START, Actor, Stage, Strategy
from .story import story_of
from .strategies import Pct, RandomWalk, Replay, read_schedule, write_schedule
from .watching import Event, Watch, store_of
from .world import WALL_START, RunWorld, begin_world, simulated_world

S = TypeVar("S")

LIMIT = 30 * 86_400.0
"""Virtual seconds that a run may take: thirty days."""
STEPS = 50_000
"""Switch points that a run may pass."""
PATIENCE = 5.0
"""Real seconds after which who has not come to a switch point blocks outside."""


@dataclass(slots=True)
class SimulatedRun:
    """What came of a simulated run.

    Attributes:
        state: the exit state; None where the run raised.
        result: what the function returned, where that was not a workflow's run.
        error: what it raised, or None.
        store: its store.
        elapsed: virtual seconds until it ended.
        steps: switch points that it passed, with what went on after its end.
        schedule: the decisions, as a short string for `schedule=`.
        story: what happened, line by line; empty in the runs of `explore` that do not fail.
    """

    state: Any = None
    result: Any = None
    error: BaseException | None = None
    store: Any = None
    elapsed: float = 0.0
    steps: int = 0
    schedule: str = ""
    story: str = ""
    _events: list[Event] = field(default_factory=list, repr=False)
    _decisions: list[int] = field(default_factory=list, repr=False)
    _defaults: list[int] = field(default_factory=list, repr=False)


@dataclass(slots=True)
class Settings:
    """How runs are played."""

    seed: int = 0
    make_strategy: Callable[[], Strategy] = field(default=lambda: RandomWalk(Random(0)))
    recording: bool = False
    limit: float = LIMIT
    steps: int = STEPS
    patience: float = PATIENCE
    now: datetime | float | None = None
    last_write_wins: frozenset[str] = frozenset()
    switch: str = "store"
    faults: Faults | None = None


def strategies(name: str, seed: int, schedule: str | None) -> Callable[[], Strategy]:
    """What makes the strategy of each run of a seed.

    Raises:
        ConfigurationError: there is no such strategy.
    """
    if schedule is not None:
        replay = Replay(read_schedule(schedule))
        return lambda: replay
    random = Random((seed << 2) | 1)
    # What is short and shallow is found by a random walk sooner, what is deep by priorities: so
    # every second seed does without them.
    if name == "pct" and seed % 2 == 0:
        return lambda: Pct(random)
    if name in ("pct", "random"):
        return lambda: RandomWalk(random)
    raise ConfigurationError(
        f"strategy={name!r} is unknown here: there are 'pct' and 'random'; 'all' is for explore(), "
        "and a replay is said by schedule="
    )


@contextmanager
def simulating() -> Iterator[None]:
    """Take the process for simulations within the block.

    Raises:
        SimulationError: somebody has it.
    """
    session.begin()
    try:
        with simulated_world(), patched():
            yield
    finally:
        _looked_at.clear()
        session.end()


def play(function: Callable[[Stage, Watch], Any], settings: Settings, run: SimulatedRun) -> None:
    """Play one run, within a session; what came of it is put into `run`.

    Raises:
        SimulationFailure: a check that is always on has failed.
        SimulationError: somebody blocks outside.
    """
    stage = Stage(
        settings.make_strategy(),
        limit=settings.limit,
        max_steps=settings.steps,
        patience=settings.patience,
    )
    stage.name_of = _name_of
    faults = settings.faults
    watch = Watch(
        stage,
        recording=settings.recording,
        last_write_wins=settings.last_write_wins,
        fail_at=None if faults is None else faults.fail_write,
    )
    if settings.recording:
        stage.note = watch.note
    now = settings.now
    wall = WALL_START if now is None else now.timestamp() if isinstance(now, datetime) else now
    world = RunWorld(stage, Random((settings.seed << 2) | 2), watch, wall)
    seed_chance((settings.seed << 2) | 3)

    def first() -> None:
        if faults is not None:
            for at, offset in faults.jumps:
                stage.spawn("the clock", partial(_jump, stage, world, at, offset))
        try:
            run.result = function(stage, watch)
        except SimulationOver:
            raise
        except BaseException as error:
            run.error = error

    with ExitStack() as stack:
        if faults is not None and faults.has_rules:
            stack.callback(install_around(faults))
        if settings.switch == "line":
            stack.enter_context(switching_at_lines(stage))
        # A finalizer that the collector calls would run on whichever actor allocates next: its
        # steps would differ from run to run, and it may wait for somebody who cannot go on.
        if gc.isenabled():
            gc.disable()
            stack.callback(gc.enable)
        session.stage = stage
        begin_world(world)
        try:
            stage.perform(first, contextvars.copy_context())
        finally:
            session.stage = None
            begin_world(None)
            for pool in world.holdings.pools.values():
                pool.shutdown(wait=False)
            for undo in world.holdings.undo:
                undo()
            run.elapsed = round(stage.ended_at - START, 9)
            run.steps = stage.steps
            run.schedule = write_schedule(stage.decisions, stage.defaults)
            run._events = watch.events
            run._decisions, run._defaults = stage.decisions, stage.defaults
    if watch.problems:
        raise SimulationFailure("; ".join(watch.problems))
    if stage.left:
        raise SimulationFailure(
            "threads are left behind when the run has ended:\n  " + "\n  ".join(stage.left)
        )


def _jump(stage: Stage, world: RunWorld, at: float, offset: float) -> None:
    stage.block(None, START + at, "the clock to be set", service=True)
    world.wall_start += offset


def perform(
    workflow: Workflow[S],
    state: S,
    settings: Settings,
    run: SimulatedRun,
    *,
    store: Any,
    cancel_at: Duration | None,
) -> None:
    """Play one run of a workflow; see `play`."""
    own = workflow.description.store
    given = store_of(store)
    if given is None and own is None:
        given = MemoryStore()
    moment = None if cancel_at is None else seconds_of(cancel_at, "cancel_at")

    def orchestrate(stage: Stage, watch: Watch) -> Any:
        token = None
        if moment is not None:
            token = CancellationToken()
            stage.spawn("cancel_at", partial(_cancel, stage, watch, token, moment))
        return workflow.orchestrate(state, store=given, cancel=token)

    run.store = own if given is None else given
    with _borrowed(workflow).lent():
        play(orchestrate, settings, run)
    run.state = run.result
    run.result = None


def perform_call(function: Callable[[], Any], settings: Settings, run: SimulatedRun) -> None:
    """Play one call of a function; see `play`."""
    with Borrowed([function]).lent():
        play(lambda stage, watch: function(), settings, run)


_looked_at: dict[int, tuple[Any, Borrowed]] = {}  # by the description, for one session


def _borrowed(workflow: Workflow[Any]) -> Borrowed:
    """What the tasks of a workflow have had since before the run."""
    description = workflow.description
    known = _looked_at.get(id(description))
    if known is None:
        known = _looked_at[id(description)] = (description, Borrowed(_functions_of(description)))
    return known[1]


def _functions_of(description: Description) -> Iterator[Any]:
    for state in description.states.values():
        if isinstance(state, SingleState):
            yield state.task.function
        elif state.factory is not None:
            yield state.factory.function
        else:
            yield from (task.function for task in state.tasks)


def _cancel(stage: Stage, watch: Watch, token: CancellationToken, moment: float) -> None:
    stage.block(None, START + moment, "cancel_at", service=True)
    watch.note(f"cancels the run at {moment:g} s", who="cancel_at")
    token.cancel("cancel_at")


def _name_of(actor: Actor) -> str:
    """What an actor is doing: the branch, or the state, whose task its frames show."""
    frame: FrameType | None = sys._current_frames().get(actor.ident)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("cano_sync._engine"):
            held = frame.f_locals
            if frame.f_code.co_name == "_branch" and "index" in held and "task" in held:
                return f"{held['task'].name}[{held['index']}]"
            if frame.f_code.co_name == "_walk" and "entry" in held:
                what = held["entry"].what
                task = getattr(what, "task", None)
                if task is not None:
                    return f"task {task.name!r}"
                return f"the run in state {full_name(held['entry'].state)}"
        frame = frame.f_back
    return actor.name


def simulate(
    workflow: Workflow[S],
    state: S,
    *,
    store: Mapping[str, Any] | Store | Callable[[], Any] | None = None,
    seed: int = 0,
    schedule: str | None = None,
    strategy: str = "pct",
    cancel_at: Duration | None = None,
    limit: Duration = LIMIT,
    steps: int = STEPS,
    patience: Duration = PATIENCE,
    now: datetime | float | None = None,
    last_write_wins: Iterable[str] = (),
    switch: str = "store",
) -> SimulatedRun:
    """Run a workflow once, on the real engine, under a schedule that follows from a seed.

    Its threads run one at a time, and hand over only at accesses to a store, at a token's checks
    and waits, at locks and queues made during the run, and where a branch begins and ends. Time is
    virtual: an hour's sleep takes none. The same seed gives the same run, on any machine. It needs
    the whole process, and returns when all that it began has ended. What is not simulated: races
    between two switch points (but see `switch`), C code, other processes, and real input and
    output, which blocks it; see `outside`.

    Args:
        workflow: the workflow.
        state: where it begins.
        store: what its store holds at first, copied; or a store, which is used as it is; or a
            function that makes either.
        seed: what all choices follow from.
        schedule: the decisions to take instead, as a failure or `run.schedule` shows them.
        strategy: "pct" (priorities that change at two moments; with every second seed a random
            walk) or "random" (always that).
        cancel_at: the virtual moment at which the run is cancelled, in seconds from its beginning.
        limit: virtual seconds that it may take.
        steps: switch points that it may pass.
        patience: real seconds without a switch point after which a task blocks outside.
        now: the time of day at which it begins: a `datetime`, or seconds since 1970 UTC.
        last_write_wins: keys that several branches may put, whoever comes last.
        switch: "store", or "line" for switch points at each line of users' code, too: for races on
            plain attributes. A debugger, or a measuring of coverage, does not see these lines.

    Returns:
        What came of it. An error that the run raised is its `error`.

    Raises:
        SimulationFailure: a check that is always on has failed: a deadlock, a limit that was
            passed, two branches that put one key, a value changed behind the fence, threads left
            behind.
        SimulationError: a task blocks outside the simulation, or another one is under way.
        ConfigurationError: an argument is wrong.

    >>> import time
    >>> from cano_sync import Workflow
    >>> workflow = Workflow().register("NAP", lambda: time.sleep(3600) or "DONE")
    >>> run = simulate(workflow.add_exit_state("DONE"), "NAP")
    >>> run.state, run.elapsed
    ('DONE', 3600.0)
    """
    run = SimulatedRun()
    settings = check_settings(seed, limit, steps, patience, now, last_write_wins, switch)
    _once(
        lambda: perform(workflow, state, settings, run, store=store, cancel_at=cancel_at),
        strategies(strategy, seed, schedule),
        settings,
        run,
    )
    return run


def simulate_call(
    function: Callable[[], Any],
    *,
    seed: int = 0,
    schedule: str | None = None,
    strategy: str = "pct",
    limit: Duration = LIMIT,
    steps: int = STEPS,
    patience: Duration = PATIENCE,
    now: datetime | float | None = None,
    last_write_wins: Iterable[str] = (),
    switch: str = "store",
) -> SimulatedRun:
    """Call a function in a simulation: for two runs at once, for a scheduler, for what waits.

    All that it calls, and the threads that it starts, are simulated; see `simulate`, whose
    arguments these are.

    Returns:
        What came of it: `result` is what the function returned.

    >>> import time
    >>> simulate_call(lambda: time.sleep(86_400)).elapsed
    86400.0
    """
    run = SimulatedRun()
    settings = check_settings(seed, limit, steps, patience, now, last_write_wins, switch)
    _once(
        lambda: perform_call(function, settings, run),
        strategies(strategy, seed, schedule),
        settings,
        run,
    )
    return run


def check_settings(
    seed: int,
    limit: Duration,
    steps: int,
    patience: Duration,
    now: datetime | float | None,
    last_write_wins: Iterable[str],
    switch: str,
) -> Settings:
    """The settings, checked.

    Raises:
        ConfigurationError: one of them is wrong.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigurationError(f"seed= is a whole number from 0, not {seed!r}")
    if switch not in ("store", "line"):
        raise ConfigurationError(f"switch= is 'store' or 'line', not {switch!r}")
    if isinstance(last_write_wins, str):
        raise ConfigurationError(f"last_write_wins= is a list of keys, not {last_write_wins!r}")
    return Settings(
        seed=seed,
        limit=seconds_of(limit, "limit"),
        steps=steps,
        patience=seconds_of(patience, "patience"),
        now=now,
        last_write_wins=frozenset(last_write_wins),
        switch=switch,
    )


def _once(
    work: Callable[[], None],
    make_strategy: Callable[[], Strategy],
    settings: Settings,
    run: SimulatedRun,
) -> None:
    settings.make_strategy, settings.recording = make_strategy, True
    try:
        with simulating():
            work()
    except SimulationFailure as failure:
        run.story = story_of(run._events)
        text = f"\n\nwhat happened:\n\n{run.story}" if run.story else ""
        raise SimulationFailure(
            f"{failure}{text}\n\nto see it again:  seed={settings.seed}, schedule={run.schedule!r}",
            seed=settings.seed,
            schedule=run.schedule,
            story=run.story,
        ) from None
    run.story = story_of(run._events)
    warn_of_misfit(make_strategy(), 4)


def warn_of_misfit(strategy: Strategy, level: int) -> None:
    """Say after which step a schedule no longer fitted."""
    if isinstance(strategy, Replay) and strategy.misfit is not None:
        warnings.warn(
            f"the schedule no longer fits after step {strategy.misfit - 1}: the workflow has other "
            "switch points than when it was recorded; the run went on without it. Look for another "
            "by explore(), or drop it",
            ScheduleWarning,
            stacklevel=level + 1,
        )
