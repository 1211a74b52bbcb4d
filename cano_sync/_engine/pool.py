"""The process's executors, one for each depth of nesting, and the tasks they were left with."""

from __future__ import annotations

__all__ = ("Errand", "Place", "abandoned_tasks", "enter", "here", "process_pool")

import _thread
import os
import threading
from concurrent.futures import Executor, ThreadPoolExecutor
from concurrent.futures import thread as _thread_module
from contextvars import ContextVar
from typing import Any, NamedTuple

from ..cancellation import CancellationToken, enter_token
from ..fence import Gate

CEILING = 512
"""How many threads a pool may have; they are made as they are needed."""


# Python 3.12 and later forbid daemon threads in some sub-interpreters (as under mod_wsgi).
_DAEMONIC: bool = getattr(_thread, "daemon_threads_allowed", lambda: True)()
# Whom the standard library joins at the interpreter's exit. (typeshed shows it read-only.)
_joined_at_exit: Any = _thread_module._threads_queues


class Place(NamedTuple):
    """Where a task runs: how deep, on which executors of users', behind which gate."""

    depth: int = 0
    executors: tuple[Executor, ...] = ()
    gate: Gate | None = None


_OUTSIDE = Place()
_place: ContextVar[Place] = ContextVar("cano_sync.place", default=_OUTSIDE)


def here() -> Place:
    """The place of the code that calls."""
    return _place.get()


def enter(place: Place, token: CancellationToken | None) -> None:
    """Make them the current ones, in the context that this is called in."""
    _place.set(place)
    enter_token(token)


class _Pool(ThreadPoolExecutor):
    """A pool that does without the threads that abandoned tasks have kept.

    It leans on a few inner parts of ThreadPoolExecutor, the same in Python 3.11 to 3.13: a
    thread that will perhaps never come back must neither count against the ceiling nor hold up
    the interpreter's exit, and the standard library offers no way to say so.
    """

    def _adjust_thread_count(self) -> None:
        # Daemonic, as a new thread inherits it from the current one. Idle and busy threads are
        # still joined at exit (by concurrent.futures); the abandoned ones are not waited for.
        creator = threading.current_thread()
        before = creator.daemon
        creator._daemonic = _DAEMONIC  # type: ignore[attr-defined]
        try:
            super()._adjust_thread_count()
        finally:
            creator._daemonic = before  # type: ignore[attr-defined]

    def lend(self, thread: threading.Thread) -> None:
        """Do without this thread: it is with an abandoned task."""
        _joined_at_exit.pop(thread, None)
        with self._shutdown_lock:
            self._max_workers += 1
            if not self._work_queue.empty():
                self._adjust_thread_count()

    def take_back(self, thread: threading.Thread) -> None:
        """The thread has come back after all."""
        _joined_at_exit[thread] = self._work_queue
        with self._shutdown_lock:
            self._max_workers -= 1


# The one mutable state of the module: the pools of this process, and the errands left behind.
# The lock guards both.
_lock = threading.Lock()
_pools: dict[int, _Pool] = {}
_abandoned: set[Errand] = set()


def process_pool(depth: int) -> Executor:
    """The process's pool for work at this depth.

    Work at one depth only ever waits for work that is deeper, so no pool waits for itself.
    """
    pool = _pools.get(depth)
    if pool is None:
        with _lock:
            pool = _pools.get(depth)
            if pool is None:
                pool = _pools[depth] = _Pool(CEILING, thread_name_prefix=f"cano-{depth}")
    return pool


def abandoned_tasks() -> int:
    """How many abandoned tasks are still running, in the whole process.

    A task is abandoned when its run has moved on without it: its time was up, it was cancelled,
    or the join was decided. Its result is dropped and its store is closed to it, but Python
    cannot end its thread. The count falls as such tasks return.

    >>> abandoned_tasks()
    0
    """
    return len(_abandoned)


class Errand:
    """A thread's time with one piece of work, which its owner may leave behind."""

    __slots__ = ("_ended", "_left", "_pool", "_thread")

    def __init__(self, pool: Executor) -> None:
        self._pool = pool if isinstance(pool, _Pool) else None
        self._thread: threading.Thread | None = None
        self._ended = False
        self._left = False

    def begin(self) -> None:
        """The work begins, on this thread."""
        self._thread = threading.current_thread()

    def end(self) -> None:
        """The work has ended. First write, then look: `abandon` does the same the other way."""
        self._ended = True
        if self._left:
            with _lock:
                if self not in _abandoned:
                    return
                _abandoned.remove(self)
            if self._pool is not None and self._thread is not None:
                self._pool.take_back(self._thread)

    def abandon(self) -> None:
        """The owner waits no longer. Nothing to do if the work has not begun, or has ended."""
        with _lock:
            self._left = True
            if self._ended or self._thread is None:
                return
            # Before the lock is free: end() gives back only what was lent.
            if self._pool is not None:
                self._pool.lend(self._thread)
            _abandoned.add(self)


def _forget() -> None:
    """In a forked child: the threads of the parent are not here, nor its tasks."""
    global _lock
    _lock = threading.Lock()
    _pools.clear()
    _abandoned.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
