"""The world as the engine sees it in a simulation: for actors; for all others, the real one."""

from __future__ import annotations

__all__ = ("WALL_START", "RunWorld", "begin_world", "simulated_wall", "simulated_world")

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from queue import Empty, SimpleQueue
from random import Random
from typing import Any

from ..._base.world import Holdings, World, world
from ..._model.strategy import JoinStrategy
from .session import current_stage
from .stage import START, Stage
from .watching import Branch, Watch, branches

WALL_START = 1_767_225_600.0
"""The time of day at which a simulation begins, unless it is given: 2026-01-01 00:00 UTC."""


class RunWorld:
    """What the world of one run has.

    Attributes:
        wall_start: the time of day when it begins; moved where the clock is set.
        holdings: its own pools and timer.
        random: for what the engine draws.
        watch: what its stores note.
    """

    def __init__(self, stage: Stage, random: Random, watch: Watch, wall_start: float) -> None:
        self.stage = stage
        self.random = random
        self.watch = watch
        self.wall_start = wall_start
        self.holdings = Holdings()


_run: RunWorld | None = None
_real = World()


def begin_world(run: RunWorld | None) -> None:
    """From now on actors are in this one."""
    global _run
    _run = run


@contextmanager
def simulated_world() -> Iterator[None]:
    """Stand in for the real world within the block, for actors."""
    before = {name: getattr(world, name) for name in _SEAMS}
    try:
        for name, function in _SEAMS.items():
            setattr(world, name, function)
        yield
    finally:
        begin_world(None)
        for name, function in before.items():
            setattr(world, name, function)


def _monotonic() -> float:
    stage = current_stage()
    return _real.monotonic() if stage is None else stage.now


def _perf_counter() -> float:
    stage = current_stage()
    return _real.perf_counter() if stage is None else stage.now


def _wall() -> float:
    stage = current_stage()
    return _real.wall() if stage is None else simulated_wall(stage)


def simulated_wall(stage: Stage) -> float:
    """The time of day in the run that is under way."""
    start = WALL_START if _run is None else _run.wall_start
    return start + (stage.now - START)


def _acquire(lock: Any, seconds: float) -> bool:
    stage = current_stage()
    if stage is None:
        return _real.acquire(lock, seconds)
    until = stage.now + seconds if seconds < threading.TIMEOUT_MAX else None
    stage.block(lambda: not lock.locked(), until, "a join, the end of a run or a cancellation")
    acquired: bool = lock.acquire(False)
    return acquired


def _wait(event: threading.Event, seconds: float | None) -> bool:
    stage = current_stage()
    if stage is None:
        return _real.wait(event, seconds)
    return stage.block(event.is_set, _until(stage, seconds), "a thread of the engine")


def _wait_changed(
    condition: threading.Condition, test: Callable[[], bool], seconds: float
) -> object:
    stage = current_stage()
    if stage is None:
        return _real.wait_changed(condition, test, seconds)
    condition.release()
    try:
        return stage.block(test, _until(stage, seconds), "a time limit", service=True)
    finally:
        condition.acquire()


def _get(queue: SimpleQueue[Any], seconds: float | None) -> Any:
    stage = current_stage()
    if stage is None:
        return _real.get(queue, seconds)
    is_idle = seconds is None  # a thread of a pool
    until = _until(stage, seconds)
    if not stage.block(lambda: not queue.empty(), until, "work", service=is_idle):
        raise Empty
    return queue.get_nowait()


def _until(stage: Stage, seconds: float | None) -> float | None:
    if seconds is None or seconds >= threading.TIMEOUT_MAX:
        return None
    return stage.now + max(0.0, seconds)


def _start_thread(thread: threading.Thread) -> object:
    stage = current_stage()
    if stage is None:
        return _real.start_thread(thread)
    return stage.spawn(thread.name, thread.run)


def _start_function(function: Callable[[], object]) -> object:
    stage = current_stage()
    if stage is None:
        return _real.start_function(function)
    return stage.spawn("a thread of the engine", function)


def _holdings() -> Holdings | None:
    stage, run = current_stage(), _run
    return None if stage is None or run is None else run.holdings


def _entropy(count: int) -> bytes:
    stage, run = current_stage(), _run
    if stage is None or run is None:
        return os.urandom(count)
    return run.random.getrandbits(8 * count).to_bytes(count, "big")


def _store(store: Any) -> Any:
    stage, run = current_stage(), _run
    return store if stage is None or run is None else run.watch.watched(store)


def _checked() -> None:
    stage = current_stage()
    if stage is not None:
        stage.step()


def _branch_begins(split: Any, index: int, context: Context) -> None:
    stage = current_stage()
    if stage is not None:
        task = split.tasks[index]
        outer = context.get(branches, ())
        context.run(branches.set, (*outer, Branch(split, index, task.name)))
        stage.step()


def _branch_ends(split: Any) -> None:
    stage = current_stage()
    # When all are waited for, it makes no difference which of them lands first.
    if stage is not None and split.strategy is not JoinStrategy.ALL:
        stage.step()


_SEAMS = {
    "monotonic": _monotonic,
    "perf_counter": _perf_counter,
    "wall": _wall,
    "acquire": _acquire,
    "wait": _wait,
    "wait_changed": _wait_changed,
    "get": _get,
    "start_thread": _start_thread,
    "start_function": _start_function,
    "holdings": _holdings,
    "entropy": _entropy,
    "store": _store,
    "checked": _checked,
    "branch_begins": _branch_begins,
    "branch_ends": _branch_ends,
}
assert set(_SEAMS) == set(World.__slots__)
