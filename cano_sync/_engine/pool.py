"""The process's executors, one for each depth of nesting, and the tasks they were left with."""

from __future__ import annotations

__all__ = ("DAEMON_THREADS", "Job", "Pool", "abandoned_tasks", "occupancy", "process_pool")

import _thread
import logging
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import thread as _threads_of_futures
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from .._base.waiting import interruptible_wait

T = TypeVar("T")

_log = logging.getLogger("cano_sync")

CEILING = 512
"""How many threads a pool may have; they are made as they are needed."""


# Python 3.12 and later forbid daemon threads in some sub-interpreters (as under mod_wsgi).
DAEMON_THREADS: bool = getattr(_thread, "daemon_threads_allowed", lambda: True)()
# Whom the standard library joins at the interpreter's exit. (typeshed shows it read-only.)
_joined_at_exit: Any = _threads_of_futures._threads_queues


class FutureJob:
    """A job whose result somebody waits for."""

    __slots__ = ("_future", "_work")

    def __init__(self, future: Future[Any], work: Callable[[], Any]) -> None:
        self._future = future
        self._work = work

    @property
    def future(self) -> Future[Any]:
        """What ThreadPoolExecutor.shutdown(cancel_futures=True) cancels."""
        return self._future

    def run(self) -> None:
        future = self._future
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = self._work()
        except BaseException as error:
            future.set_exception(error)
            del future, self  # or the error's traceback would keep them alive, and they the error
        else:
            future.set_result(result)


class _Worker(threading.Thread):
    """A thread of a pool: whoever joins it waits until it ends or is with an abandoned task.

    At its exit the interpreter joins the threads that it found at work. One of them may become
    abandoned only then, by a run that was left behind itself and has just listeners of it.
    """

    def __init__(self, name: str, pool: Pool) -> None:
        super().__init__(name=name, daemon=DAEMON_THREADS)
        self.released = threading.Event()
        self._pool = pool

    def run(self) -> None:
        try:
            self._pool.serve(self)
        finally:
            self.released.set()

    def join(self, timeout: float | None = None) -> None:
        self.released.wait(timeout)


class Pool(ThreadPoolExecutor):
    """A ThreadPoolExecutor that does without the threads that abandoned tasks have kept.

    Three things of it are our own, in terms of a few inner parts that are the same in Python 3.11
    to 3.13. A thread that will perhaps never come back neither counts against the ceiling nor
    holds up the interpreter's exit. A job that nobody waits for (a worker of a split) needs no
    future: `start`. And idle threads are counted exactly: the standard library's count may be too
    high, after jobs have waited at the ceiling; then a job waits for a thread that is not there,
    which is for ever where that thread is with an abandoned task.

    `_shutdown_lock` guards `_idle`, `_unclaimed`, `_written_off`, `_threads` and `_max_workers`.
    Each job in the queue has been promised a thread (an idle one, or a new one), or is unclaimed:
    then the next thread that comes back is for it.
    """

    def __init__(self, max_workers: int, thread_name_prefix: str = "") -> None:
        super().__init__(max_workers, thread_name_prefix)
        self._idle = 0
        self._unclaimed = 0
        self._written_off = 0  # threads that are with abandoned tasks
        self._workers: dict[int, _Worker] = {}  # by identity
        _all[id(self)] = self

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run `fn` with these arguments; see `concurrent.futures.Executor.submit`."""
        future: Future[T] = Future()
        self.start((FutureJob(future, lambda: fn(*args, **kwargs)),))
        return future

    def start(self, jobs: Iterable[FutureJob | Job]) -> None:
        """Run jobs whose end nobody waits for, each by its `run()`, which raises nothing.

        Raises:
            RuntimeError: none of them was taken: the pool is shut down, the interpreter is
                exiting, or the system has no thread that is not with an abandoned task.
        """
        # A signal handler that cancels meanwhile must not call users' callbacks under these locks.
        with interruptible_wait(), self._shutdown_lock, _threads_of_futures._global_shutdown_lock:
            if self._is_closed:
                raise RuntimeError("the interpreter is exiting, and no thread takes new work")
            for job in jobs:
                if self._idle:
                    self._idle -= 1
                elif not self._grow():
                    self._unclaimed += 1
                self._work_queue.put(job)  # type: ignore[arg-type]

    @property
    def _is_closed(self) -> bool:
        return self._shutdown or bool(_threads_of_futures._shutdown)

    def _grow(self) -> bool:
        """Make a thread, if the ceiling allows it. Both locks are held."""
        number = len(self._threads)
        if number >= self._max_workers:
            return False
        thread = _Worker(f"{self._thread_name_prefix}_{number}", self)
        try:
            thread.start()
        except RuntimeError:
            if len(self._threads) <= self._written_off:
                raise
            return False  # the system has no more: those that will come back do it
        # Idle and busy threads are joined at exit, daemons though they are. The abandoned are not.
        self._threads.add(thread)  # type: ignore[attr-defined]
        _joined_at_exit[thread] = self._work_queue
        return True

    def serve(self, worker: _Worker) -> None:
        """A thread's life: job after job, until the pool is shut down or the interpreter exits."""
        self._workers[_thread.get_ident()] = worker
        jobs: Any = self._work_queue
        while True:
            job = jobs.get()
            if job is None:
                if self._is_closed:
                    jobs.put(None)  # for the next one
                    return
                continue
            try:
                job.run()
            except BaseException:  # out of a done-callback of a future that a user holds
                _log.exception("a callback of a run's future raised")
            del job  # a thread that waits must not keep alive what it has done
            with self._shutdown_lock:
                if self._unclaimed:
                    self._unclaimed -= 1
                else:
                    self._idle += 1

    def write_off(self, ident: int) -> None:
        """Do without the thread of this identity: it is with an abandoned task."""
        self._workers[ident].released.set()
        with self._shutdown_lock, _threads_of_futures._global_shutdown_lock:
            self._max_workers += 1
            self._written_off += 1
            # Not while the interpreter exits: it goes over the list of all threads. And where no
            # thread can be had, the job waits until one comes back.
            with suppress(RuntimeError):
                if self._unclaimed and not self._is_closed and self._grow():
                    self._unclaimed -= 1

    def reclaim(self, ident: int) -> None:
        """The thread has come back after all."""
        self._workers[ident].released.clear()
        with self._shutdown_lock:
            self._max_workers -= 1
            self._written_off -= 1


# The mutable state of the module: the pools of this process, and the jobs left behind, which
# the lock guards; and whatever pools there are (each step on them is atomic).
_lock = threading.Lock()
_pools: dict[int, Pool] = {}
_abandoned: set[Job] = set()
_all: WeakValueDictionary[int, Pool] = WeakValueDictionary()


def process_pool(depth: int) -> Pool:
    """The process's pool for work at this depth.

    Work at one depth only ever waits for work that is deeper, so no pool waits for itself.
    """
    pool = _pools.get(depth)
    if pool is None:
        with _lock:
            pool = _pools.get(depth)
            if pool is None:
                pool = _pools[depth] = Pool(CEILING, f"cano-{depth}")
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


def occupancy() -> tuple[int, int, int]:
    """How many threads of all pools are busy, how many idle, and how many jobs wait.

    Those of schedulers count, too; threads with abandoned tasks do not. No lock: a signal handler
    may ask.
    """
    pools = [pool for ref in _all.valuerefs() if (pool := ref()) and not pool._shutdown]
    idle = sum(pool._idle for pool in pools)
    ours = sum(len(pool._threads) - pool._written_off for pool in pools)
    return max(0, ours - idle), idle, sum(pool._unclaimed for pool in pools)


class Job:
    """A thread's time with one piece of work, which its owner may leave behind.

    Args:
        pool: whose thread it is; None for an executor of a user's.
        work: gets the job.
    """

    __slots__ = ("_back", "_ended", "_left", "_pool", "_thread", "_work")

    def __init__(self, pool: Pool | None, work: Callable[[Job], Any]) -> None:
        self._pool = pool
        self._work = work
        self._thread = 0  # its identity, once the work has begun
        self._ended = False
        self._left = False
        self._back: Callable[[], None] | None = None

    def run(self) -> Any:
        """Do the work, on this thread."""
        self._thread = _thread.get_ident()
        try:
            return self._work(self)
        finally:
            # First write, then look: `abandon` does the same the other way.
            self._ended = True
            if self._left:
                self._come_back()

    def _come_back(self) -> None:
        with _lock:
            if self not in _abandoned:
                return
            _abandoned.remove(self)
        if self._pool is not None:
            self._pool.reclaim(self._thread)
        if self._back is not None:
            self._back()

    def abandon(self, back: Callable[[], None] | None = None) -> bool:
        """The owner waits no longer. Nothing to do if the work has not begun, or has ended.

        Args:
            back: called on the thread when it has come back.

        Returns:
            Whether a thread was left with the work.
        """
        with _lock:
            self._left = True
            if self._ended or not self._thread:
                return False
            self._back = back
            # Before the lock is free: _come_back() gives back only what was lent.
            if self._pool is not None:
                self._pool.write_off(self._thread)
            _abandoned.add(self)
            return True


def _forget() -> None:
    """In a forked child: the threads of the parent are not here, nor its tasks."""
    global _lock
    _lock = threading.Lock()
    for thread in list(_joined_at_exit):
        if isinstance(thread, _Worker):  # of whatever pool: a scheduler has one of its own
            del _joined_at_exit[thread]
    _pools.clear()
    _all.clear()
    _abandoned.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
