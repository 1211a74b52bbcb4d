"""The process's executors, one for each depth of nesting."""

from __future__ import annotations

__all__ = ("DAEMON_THREADS", "Pool", "occupancy", "process_pool")

import _thread
import atexit
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from .._base.waiting import INTERRUPTS, Wakeup, interruptible_wait, wait_first
from .._base.world import world
from .jobs import Job

T = TypeVar("T")

_log = logging.getLogger("cano_sync")

CEILING = 512
"""How many threads a pool may have; they are made as they are needed.

That is for each depth of each process; and those with abandoned tasks do not count. When they
return they are taken back and stay, so a pool can have more: as many as it once needed beside them.
"""

# Python 3.12 and later forbid daemon threads in some sub-interpreters (as under mod_wsgi).
DAEMON_THREADS: bool = getattr(_thread, "daemon_threads_allowed", lambda: True)()


class _PoolThread(threading.Thread):
    """A thread of a pool.

    Attributes:
        released: set while nobody need wait for it: it is with an abandoned task, has ended, or
            will never begin.
        maker: the identity of the thread that has made it, and starts it.
        is_written_off: whether it is with an abandoned task.
    """

    def __init__(self, name: str, pool: Pool) -> None:
        super().__init__(name=name, daemon=DAEMON_THREADS)
        self.released = Wakeup()
        self.maker = _thread.get_ident()
        self.is_written_off = False
        self._pool = pool
        self._fate: dict[str, bool] = {}

    def begins(self, answer: bool) -> bool:
        """Decide whether it begins: itself, or who gives up starting it. The first answer holds."""
        return self._fate.setdefault("begins", answer)  # one atomic step

    def run(self) -> None:
        if not self.begins(True):
            return
        try:
            self._pool.serve(self)
        finally:
            self.released.set()


class Pool(ThreadPoolExecutor):
    """A ThreadPoolExecutor that can do without the threads that abandoned tasks keep.

    Four things are its own. A thread that will perhaps never come back neither counts against the
    ceiling nor holds up the interpreter's exit. A job that nobody waits for (a worker of a split)
    needs no future: `start`. Idle threads are counted exactly, so that no job waits for a thread
    that is with an abandoned task. And no lock is held while a thread starts, which takes
    milliseconds on a busy machine: neither one of this pool nor the one that all executors of
    the standard library share.

    The last is why it keeps its threads and its queue itself, and takes nothing from its base
    class but the type, `map()` and the flag `_shutdown`, which it sets and reads itself.

    `_lock` guards all that follows it in `__init__`, but for `_is_filling`. Threads stay, once they
    have begun, until the pool is shut down; so neither `_made` nor `_running` shrinks before. Each
    job in the queue was either given to an
    idle thread, which is then no longer counted as idle, or is *unclaimed*: the next thread that
    becomes free, or has just begun, claims it. So it does not matter which of two jobs a thread
    gets, nor whether a thread that was started for a job comes too late for it.
    """

    def __init__(self, max_workers: int, thread_name_prefix: str = "") -> None:
        super().__init__(max_workers, thread_name_prefix)
        self._ceiling = max_workers
        self._prefix = thread_name_prefix
        self._lock = threading.RLock()  # re-entrant for a signal handler that cancels a run
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._made: set[_PoolThread] = set()  # but those that could not be started
        self._running: dict[int, _PoolThread] = {}  # by identity: those that have begun
        self._names = 0
        self._expected = 0  # threads that were made, and have not begun
        self._idle = 0
        self._unclaimed = 0
        self._written_off = 0  # threads that are with abandoned tasks
        self._is_filling = False
        _all[id(self)] = self

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run `fn` with these arguments; see `concurrent.futures.Executor.submit`."""
        future: Future[T] = Future()
        self.start(Job(self, lambda job: fn(*args, **kwargs), future=future))
        return future

    def start(self, job: Job) -> None:
        """Run a job, whose `run()` raises nothing: on an idle thread, on a new one, or later.

        Raises:
            RuntimeError: it was not taken: the pool is shut down, the interpreter is exiting, or
                the system has no thread that is not with an abandoned task. What was taken
                before is still run.
        """
        thread: _PoolThread | None = None
        try:
            # A signal handler that cancels meanwhile must not call users' callbacks under the lock.
            with interruptible_wait(), self._lock:
                if self.is_closed:
                    raise RuntimeError("the interpreter is exiting, and no thread takes new work")
                if self._idle:
                    self._idle -= 1
                    self._queue.put(job)
                    return
                self._unclaimed += 1
                self._queue.put(job)
                if self._may_grow:
                    thread = self._new_thread()
                    self._expect(thread)
            if thread is None or self._launch(thread):
                return
        except BaseException:  # Ctrl-C, before the thread was started or in the middle of it
            for _ in INTERRUPTS:
                try:
                    if thread is not None:
                        self._give_up(thread)
                    break
                except BaseException:  # and again
                    pass
            raise
        if self._withdraw(job):
            raise RuntimeError("the system has no thread for new work")

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more work: it is shut down, or the interpreter is exiting."""
        return self._shutdown or _is_exiting

    @property
    def _may_grow(self) -> bool:
        """Whether a job waits for a thread, and there may be one more. The lock is held."""
        if self.is_closed or self._expected >= self._unclaimed:
            return False
        return len(self._made) - self._written_off < self._ceiling

    def _new_thread(self) -> _PoolThread:
        self._names += 1
        return _PoolThread(f"{self._prefix}_{self._names - 1}", self)

    def _expect(self, thread: _PoolThread) -> None:
        """Count it from now on. The lock is held.

        So nobody makes another one for the same job, or one too many, until it has begun: it is
        started without the lock.
        """
        self._expected += 1
        self._made.add(thread)

    def _launch(self, thread: _PoolThread) -> bool:
        """Start a thread that was made; False if the system has no more."""
        try:
            with interruptible_wait():  # it takes locks, and waits until the thread runs
                world.start_thread(thread)
        except RuntimeError:
            return not self._give_up(thread)
        return True

    def _give_up(self, thread: _PoolThread) -> bool:
        """See to it that a thread never begins; False if it has, or is just about to.

        After Ctrl-C in its start nobody knows: whichever of the two comes first here decides.
        """
        if thread.begins(False):
            return False
        with interruptible_wait(), self._lock:
            if thread in self._made:
                self._expected -= 1
                self._made.discard(thread)
        thread.released.set()
        return True

    def _withdraw(self, job: Job) -> bool:
        """Take a job back for which there is no thread; False if one will come for it."""
        with interruptible_wait(), self._lock:
            # Those that have begun will take it when they come back; one that is only made, by
            # somebody else for another job, may come to nothing, too.
            if len(self._running) > self._written_off:
                return False
            waiting = self._drain()
            for other in waiting:
                if other is not job:
                    self._queue.put(other)
            if job not in waiting:
                return False
            self._unclaimed -= 1
            return True

    def _drain(self) -> list[Job | None]:
        """Empty the queue. The lock is held; a thread to which a job was given may be quicker."""
        waiting = []
        with suppress(Empty):
            while True:
                waiting.append(self._queue.get_nowait())
        return waiting

    def serve(self, thread: _PoolThread) -> None:
        """A thread's life: job after job, until the pool is shut down or the interpreter exits."""
        with self._lock:
            self._running[_thread.get_ident()] = thread
            self._expected -= 1
        queue = self._queue
        while True:
            with self._lock:
                if self._unclaimed:
                    self._unclaimed -= 1
                else:
                    self._idle += 1
            job = world.get(queue, None)
            if job is None:
                queue.put(None)  # for the next one
                return
            try:
                job.run()
            except BaseException:  # out of a done-callback of a future that a user holds
                _log.exception("a callback of a run's future raised")
            del job  # a thread that waits must not keep alive what it has done

    def write_off(self, ident: int) -> bool:
        """Do without the thread of this identity: it is with an abandoned task.

        Returns:
            Whether a job waits for which there may now be another thread: then call `fill()`,
            once no lock is held.
        """
        with interruptible_wait(), self._lock:
            thread = self._running[ident]
            if not thread.is_written_off:
                thread.is_written_off = True
                self._written_off += 1
            thread.released.set()
            return self._unclaimed > self._expected and not self.is_closed

    def fill(self) -> None:
        """Start the threads that jobs wait for, on a thread of their own.

        It is called by a run that is over its time: by the low-level call, for starting a
        `threading.Thread` waits until it runs. The thread ends when there is nothing to start.
        """
        if self._is_filling:
            # It looks once more before it ends, unless it ends because no thread is to be had: then
            # the jobs wait for one to come back, or for the next call.
            return
        self._is_filling = True
        try:
            world.start_function(self._fill)
        except BaseException as error:  # if it has begun after all, a second one does no harm
            self._is_filling = False
            if not isinstance(error, RuntimeError):  # else: the jobs wait for a thread to come back
                raise

    def _fill(self) -> None:
        thread: _PoolThread | None = None
        try:
            while True:
                with self._lock:
                    if not self._may_grow:
                        self._is_filling = False  # under the lock: who needs a thread now, asks
                        return
                    thread = self._new_thread()
                    self._expect(thread)
                if not self._launch(thread):
                    break  # the jobs wait for a thread to come back
        except BaseException:  # MemoryError, from the start of a thread
            if thread is not None:
                self._give_up(thread)
            _log.exception("pool %s could not start a thread", self._prefix)
        self._is_filling = False

    def reclaim(self, ident: int) -> None:
        """The thread of this identity has come back after all."""
        with self._lock:
            thread = self._running[ident]
            if thread.is_written_off:
                thread.is_written_off = False
                thread.released = Wakeup()
                self._written_off -= 1

    def occupancy(self) -> tuple[int, int, int]:
        """How many threads are busy, how many idle, and how many jobs wait for one.

        Those with abandoned tasks do not count. No lock: a signal handler may ask.
        """
        idle = self._idle
        begun = len(self._made) - self._expected - self._written_off
        return max(0, begun - idle), idle, self._unclaimed

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more jobs; see `concurrent.futures.Executor.shutdown`.

        Args:
            wait: whether to wait for the threads, but for those with abandoned tasks.
            cancel_futures: whether to cancel what was submitted and has not begun. Jobs that
                were started without a future are still run: who started them calls them off.
        """
        cancelled: list[Job] = []
        with interruptible_wait(), self._lock:
            self._shutdown = True
            if cancel_futures:
                for job in self._drain():
                    if job is not None and job.has_future:
                        cancelled.append(job)
                    else:
                        self._queue.put(job)
                # Threads to which one of them was given wait on, and are idle again.
                unclaimed = max(0, self._unclaimed - len(cancelled))
                self._idle += len(cancelled) - (self._unclaimed - unclaimed)
                self._unclaimed = unclaimed
            self._queue.put(None)
        for job in cancelled:
            job.cancel()
        if wait:
            self.wait_for_threads()

    def wait_for_threads(self) -> None:
        """Wait until all threads have ended, but for those that are with abandoned tasks."""
        with self._lock:
            made = list(self._made)
        for thread in made:
            # One that this thread has made and did not start, as Ctrl-C came in between: it will
            # never begin. One that another thread has made is just about to.
            if thread.maker == _thread.get_ident():
                self._give_up(thread)
            wait_first(thread.released, None, None)


# The mutable state of the module: the pools of this process; all pools, those of schedulers, too;
# and whether the interpreter exits. Without a lock: each step on them is atomic.
_pools: dict[int, Pool] = {}
_all: WeakValueDictionary[int, Pool] = WeakValueDictionary()
_is_exiting = False


def process_pool(depth: int) -> Pool:
    """The process's pool for work at this depth.

    Work at one depth only ever waits for work that is deeper, so no pool waits for itself.
    """
    held = world.holdings()
    pools: dict[int, Pool] = _pools if held is None else held.pools
    pool = pools.get(depth)
    if pool is None:  # of two that are made at once, which have no thread yet, one is dropped
        pool = pools.setdefault(depth, Pool(CEILING, f"cano-{depth}"))
    return pool


def _open_pools() -> list[Pool]:
    return [pool for ref in _all.valuerefs() if (pool := ref()) and not pool._shutdown]


def occupancy() -> tuple[int, int, int]:
    """How many threads of all open pools are busy, how many idle, and how many jobs wait.

    Those of schedulers count, too; threads with abandoned tasks do not. No lock: a signal handler
    may ask.
    """
    busy, idle, waiting = 0, 0, 0
    for pool in _open_pools():
        counts = pool.occupancy()
        busy, idle, waiting = busy + counts[0], idle + counts[1], waiting + counts[2]
    return busy, idle, waiting


def _at_exit() -> None:
    """Take no more work, and wait for what is under way, but not for abandoned tasks."""
    global _is_exiting
    _is_exiting = True  # from now on no pool that is made can be given work
    pools = _open_pools()
    for pool in pools:
        pool.shutdown(wait=False)
    for pool in pools:
        pool.wait_for_threads()


# Before the interpreter joins the threads that are no daemons, which may wait for what is under
# way: as concurrent.futures does itself, by an inner name that is there in Python 3.9 to 3.14.
# Without it, daemon threads can wait until later. The other inner names of the standard library in
# the engine are RLock._is_owned (waiting.py), _thread.daemon_threads_allowed (above, where there is
# one) and the base class's _shutdown.
# The last to register is the first to be called: the base class of `Pool` has loaded that module
# before, so that a user's executor still takes the branches of a run that is under way.
getattr(threading, "_register_atexit", atexit.register)(_at_exit)


def _forget_pools() -> None:
    """In a forked child: the threads of the parent are not here."""
    global _is_exiting
    _is_exiting = False
    _pools.clear()
    _all.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pools)
