"""One thread for all deadlines that have to be kept while nobody waits for them."""

from __future__ import annotations

__all__ = ("TimerEntry", "schedule")

import heapq
import itertools
import logging
import os
import threading
from collections.abc import Callable

from .waiting import interruptible_wait, on_new_thread
from .world import world

_log = logging.getLogger("cano_sync")

IDLE = 5.0
"""Seconds for which the thread stays when there is nothing to do, before it ends."""
CROWD = 64
"""Entries that were cancelled and may lie about among as many again that were not."""


class TimerEntry:
    """Something to be called at a deadline, unless it is cancelled before."""

    __slots__ = ("action", "deadline")

    def __init__(self, deadline: float, action: Callable[[], object]) -> None:
        self.deadline = deadline
        self.action: Callable[[], object] | None = action

    def cancel(self) -> None:
        """It is not needed any more. Takes no lock: safe in a signal handler, twice, and late."""
        if self.action is not None:
            self.action = None  # what it would have called is free at once, the entry in time
            _current().cancelled()


class _Timer:
    """The heap of the deadlines, and the thread that keeps them while there are any.

    The lock guards `_heap`, `_dead` and `_is_running`. Nothing is called under it. Its thread is a
    daemon that nobody joins: it ends a few seconds after the last deadline. An action must not
    block: it holds up all others.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # re-entrant for a signal handler
        # Only the timer's thread waits for it, and takes the lock by it. Elsewhere the lock itself
        # is taken, in C: after Ctrl-C a lock that is taken in Python code may stay taken.
        self._changed = threading.Condition(self._lock)
        self._heap: list[tuple[float, int, TimerEntry]] = []
        self._order = itertools.count()  # entries of one moment are called in their order
        self._dead = 0  # about how many of the heap were cancelled
        self._is_running = False

    def add(self, entry: TimerEntry) -> None:
        """Call it at its deadline."""
        with interruptible_wait(), self._lock:
            if self._dead > CROWD and 2 * self._dead > len(self._heap):
                self._heap = [item for item in self._heap if item[2].action is not None]
                heapq.heapify(self._heap)
                self._dead = 0
            heapq.heappush(self._heap, (entry.deadline, next(self._order), entry))
            if self._heap[0][2] is entry:
                self._changed.notify()
        # Only the thread itself says that it runs: so where Ctrl-C comes just here, or no thread
        # can be had, the next entry tries again. If two were started, one goes home.
        if not self._is_running:
            on_new_thread(self._run)

    def cancelled(self) -> None:
        """One of the entries was cancelled."""
        self._dead += 1  # a count that goes astray between two threads does no harm

    def pending(self) -> int:
        """How many entries are still to be called."""
        with self._lock:
            return sum(entry.action is not None for _, _, entry in self._heap)

    def _run(self) -> None:
        with self._changed:
            if self._is_running:
                return
            self._is_running = True
        while True:
            with self._changed:
                due = self._next_due()
                if due is None:
                    self._is_running = False
                    return
            action, due.action = due.action, None
            if action is not None:
                try:
                    action()
                except BaseException:  # the thread has other deadlines to keep
                    _log.exception("what a token's time limit has called raised")

    def _next_due(self) -> TimerEntry | None:
        """Wait for the next one that is due; None when there was nothing to do for a while."""
        while True:
            while self._heap and self._heap[0][2].action is None:
                heapq.heappop(self._heap)
                self._dead = max(0, self._dead - 1)
            if not self._heap:
                world.wait_changed(self._changed, lambda: bool(self._heap), IDLE)
                if not self._heap:
                    return None
                continue
            left = self._heap[0][0] - world.monotonic()
            if left <= 0:
                return heapq.heappop(self._heap)[2]
            self._wait_for_another(self._heap[0], min(left, threading.TIMEOUT_MAX))

    def _wait_for_another(self, first: tuple[float, int, TimerEntry], seconds: float) -> None:
        world.wait_changed(self._changed, lambda: self._heap[0] is not first, seconds)


_timer = _Timer()


def _current() -> _Timer:
    """The timer of this world: the process's, or a simulation's own."""
    held = world.holdings()
    if held is None:
        return _timer
    if held.timer is None:
        held.timer = _Timer()
    timer: _Timer = held.timer
    return timer


def schedule(entry: TimerEntry) -> None:
    """Have the entry's action called at its deadline, on the timer's thread. Never under a lock."""
    if entry.action is not None:
        _current().add(entry)


def _restart() -> None:
    """In a forked child: the thread is not here, and the parent's deadlines are not ours."""
    global _timer
    _timer = _Timer()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restart)
