"""The world around the engine: time, waits, threads and chance, at one place."""

from __future__ import annotations

__all__ = ("Holdings", "World", "world")

import _thread
import os
import threading
import time
from collections.abc import Callable
from contextvars import Context
from queue import SimpleQueue
from typing import Any


class Holdings:
    """What a process has one of, and a simulation one of its own, made when first needed.

    Attributes:
        pools: the pools, by depth (`_engine/pool.py`).
        timer: keeps the deadlines that nobody waits for (`_base/timer.py`).
        undo: what takes back, at its end, what would else stay with the process.
    """

    __slots__ = ("pools", "timer", "undo")

    def __init__(self) -> None:
        self.pools: dict[int, Any] = {}
        self.timer: Any = None
        self.undo: list[Callable[[], object]] = []


class World:
    """What the engine asks of the operating system and of chance, as functions.

    There is one object, `world`, and everybody calls it as in `world.monotonic()`. Its functions
    are those of the standard library; where that has none, a function of one line. So it costs what
    the function does, and the loop of a run, which waits for nothing, calls none. A simulation
    (`cano_sync.testing.simulate`) puts functions of its own in their place, which do the same as
    ever on each thread that is not part of it. It stands on the lowest floor, and not in the
    engine, for tokens, timers and fences wait and look at the time, too.

    Attributes:
        monotonic: seconds, for deadlines; see `time.monotonic`.
        perf_counter: seconds, for durations.
        wall: the time of day, in seconds since 1970.
        acquire: `(lock, seconds)`: wait for a bare lock that somebody releases; is it acquired?
        wait: `(event, seconds)`: wait for an event; None for as long as it takes; is it set?
        wait_changed: `(condition, test, seconds)`: wait until the condition, whose lock is held, is
            notified; the test says whether there is something new.
        get: `(queue, seconds)`: take from a queue; None for as long as it takes.
        start_thread: start a thread.
        start_function: call a function on a thread that ends with it.
        holdings: what a simulation has of its own; None in the real world.
        entropy: so many random bytes.
        store: the store to use where a run is given this one.
        checked: called where a task looks whether it is cancelled; None in the real world, as the
            next two are, which costs less than a call.
        branch_begins: called with a split, an index and the branch's context, on its thread.
        branch_ends: called with a split when a branch of it has ended, and has not landed yet.
    """

    __slots__ = (
        "acquire",
        "branch_begins",
        "branch_ends",
        "checked",
        "entropy",
        "get",
        "holdings",
        "monotonic",
        "perf_counter",
        "start_function",
        "start_thread",
        "store",
        "wait",
        "wait_changed",
        "wall",
    )

    monotonic: Callable[[], float]
    perf_counter: Callable[[], float]
    wall: Callable[[], float]
    acquire: Callable[[Any, float], bool]
    wait: Callable[[threading.Event, float | None], bool]
    wait_changed: Callable[[threading.Condition, Callable[[], bool], float], object]
    get: Callable[[SimpleQueue[Any], float | None], Any]
    start_thread: Callable[[threading.Thread], object | None]
    start_function: Callable[[Callable[[], object]], object]
    holdings: Callable[[], Holdings | None]
    entropy: Callable[[int], bytes]
    store: Callable[[Any], Any]
    checked: Callable[[], object] | None
    branch_begins: Callable[[Any, int, Context], object] | None
    branch_ends: Callable[[Any], object] | None

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """The real world: what it is at first."""
        self.monotonic = time.monotonic
        self.perf_counter = time.perf_counter
        self.wall = time.time
        self.acquire = _acquire
        self.wait = threading.Event.wait
        self.wait_changed = _wait_changed
        self.get = _get
        self.start_thread = _start_thread
        self.start_function = _start_function
        self.holdings = _holdings
        self.entropy = os.urandom
        self.store = _same
        self.checked = self.branch_begins = self.branch_ends = None


def _acquire(lock: Any, seconds: float) -> bool:
    acquired: bool = lock.acquire(True, seconds)
    return acquired


def _wait_changed(
    condition: threading.Condition, test: Callable[[], bool], seconds: float
) -> object:
    return condition.wait(seconds)


def _get(queue: SimpleQueue[Any], seconds: float | None) -> Any:
    return queue.get(True, seconds)


def _start_thread(thread: threading.Thread) -> None:
    thread.start()


def _start_function(function: Callable[[], object]) -> object:
    return _thread.start_new_thread(function, ())


def _same(store: Any) -> Any:
    return store


def _holdings() -> None:
    """The real world's are where they have always been."""


world = World()
