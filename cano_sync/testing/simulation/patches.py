"""What users' code calls, in a simulation: time, locks, threads and chance, for actors only."""

from __future__ import annotations

__all__ = ("patched", "replacements", "seed_chance")

import _thread
import contextvars
import os
import queue
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from .locks import SimulatedLock, SimulatedRLock, Waiter
from .session import current_stage, session
from .stage import Actor, Stage, is_making_thread
from .world import simulated_wall

# Those that the engine, and the standard library's own futures and logs, make are real: they are
# never contended, for nobody hands over while holding one.
_OURS = ("cano_sync", "concurrent.futures", "logging")
_BETWEEN = ("threading", "queue")

_real: dict[tuple[Any, str], Any] = {}


def _sleep(seconds: float) -> None:
    stage = current_stage()
    if stage is None:
        _real[time, "sleep"](seconds)
        return
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    stage.note(f"sleeps {seconds:g} s")
    stage.sleep(seconds)


def _clock(name: str, scale: int | None, wall: bool) -> Callable[[], float]:
    real = getattr(time, name)

    def clock() -> float:
        stage = current_stage()
        if stage is None:
            now: float = real()
            return now
        shown = simulated_wall(stage) if wall else stage.now
        return shown if scale is None else round(shown * scale)

    return clock


def _made_by_engine(frame: FrameType | None) -> bool:
    """Whether the code that makes a lock is the engine's, or the standard library's own."""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module not in _BETWEEN:
            return module.startswith(_OURS) and not module.startswith("cano_sync.demo")
        # The locks of a thread's beginning: the thread itself takes them before it is an actor.
        if frame.f_code.co_name == "__init__" and isinstance(
            frame.f_locals.get("self"), threading.Thread
        ):
            return True
        frame = frame.f_back
    return True


def _is_simulated() -> bool:
    """Whether who makes a lock gets a simulated one: an actor, or the test between two runs."""
    if is_making_thread():
        return False
    if current_stage() is None and _thread.get_ident() != session.owner:
        return False
    return not _made_by_engine(sys._getframe(2))


def _lock() -> Any:
    return SimulatedLock(_name("lock")) if _is_simulated() else _thread.allocate_lock()


def _rlock() -> Any:
    return SimulatedRLock(_name("lock")) if _is_simulated() else _real[threading, "RLock"]()


def _name(kind: str) -> str:
    """A lock's name in stories: where it was made."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__") in _BETWEEN:
        kind, frame = "condition", frame.f_back
    return f"{kind} {os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"


def _waiter() -> Any:
    """For `threading.Condition.wait`, of whatever was made whenever."""
    if current_stage() is None or is_making_thread():
        return _thread.allocate_lock()
    return Waiter()


def _simple_queue() -> Any:
    maker = sys._getframe(1).f_globals.get("__name__", "")
    if current_stage() is not None and not maker.startswith("cano_sync"):
        return queue._PySimpleQueue()  # type: ignore[attr-defined]
    return _real[queue, "SimpleQueue"]()


def _start(thread: threading.Thread) -> None:
    """Threads that actors start are actors."""
    stage = current_stage()
    start = _real[threading.Thread, "start"]
    if stage is None:
        start(thread)
        return
    run = thread.run
    actor = stage.adopt(thread.name, lambda: _run_thread(stage, run))
    actor.context = contextvars.Context()
    thread.run = lambda: _play(stage, actor)  # type: ignore[method-assign]
    _actors[id(thread)] = (thread, actor)
    ident, stage.ident = stage.ident, 0  # how it begins is the standard library's affair
    try:
        start(thread)
    except BaseException:  # the system has no thread
        stage.drop(actor)
        raise
    finally:
        stage.ident = ident
    actor.ident = thread.ident or 0


_actors: dict[int, tuple[threading.Thread, Actor]] = {}


def _run_thread(stage: Stage, run: Callable[[], object]) -> None:
    try:
        run()
    except Exception:
        if stage.is_aborting:
            return
        threading.excepthook(
            threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread()))
        )


def _play(stage: Stage, actor: Actor) -> None:
    actor.lock.acquire()
    stage.play(actor)


def _join(thread: threading.Thread, timeout: float | None = None) -> None:
    stage = current_stage()
    known = _actors.get(id(thread))
    if stage is not None and known is not None and known[0] is thread:
        actor = known[1]
        if actor is stage.current:
            raise RuntimeError("cannot join current thread")
        until = None if timeout is None else stage.now + max(0.0, timeout)
        if not stage.block(lambda: not stage.has(actor), until, f"thread {thread.name!r}"):
            return
        timeout = None  # it has ended, but for a moment
    _real[threading.Thread, "join"](thread, timeout)


_PATCHES: dict[tuple[Any, str], Any] = {
    (time, "sleep"): _sleep,
    (threading, "Lock"): _lock,
    (threading, "RLock"): _rlock,
    (threading, "_allocate_lock"): _waiter,
    (queue, "SimpleQueue"): _simple_queue,
    (threading.Thread, "start"): _start,
    (threading.Thread, "join"): _join,
}
for _clock_name, _scale, _wall in (
    ("monotonic", None, False),
    ("perf_counter", None, False),
    ("time", None, True),
    ("monotonic_ns", 10**9, False),
    ("perf_counter_ns", 10**9, False),
    ("time_ns", 10**9, True),
):
    _PATCHES[time, _clock_name] = _clock(_clock_name, _scale, _wall)
# By these names the two modules know the monotonic clock, for their own time limits.
_PATCHES[threading, "_time"] = _PATCHES[queue, "time"] = _PATCHES[time, "monotonic"]


@contextmanager
def patched() -> Iterator[None]:
    """Replace what users' code calls within the block, and put it back whatever happens."""
    chance = random.getstate()
    try:
        for (holder, name), function in _PATCHES.items():
            _real[holder, name] = holder.__dict__[name]
            setattr(holder, name, function)
        yield
    finally:
        for (holder, name), function in _real.items():  # kept: a thread may be in one of ours
            setattr(holder, name, function)
        _actors.clear()
        random.setstate(chance)


def replacements() -> dict[int, Any]:
    """What stands in for functions that users' modules have taken by name, by the real one's id."""
    return {
        id(_real[holder, name]): function
        for (holder, name), function in _PATCHES.items()
        if holder in (time, threading)
    }


def seed_chance(seed: int) -> None:
    """What the module `random` draws from now on follows from this."""
    random.seed(seed)
