"""Locks that actors wait for in the simulation, and all others for real."""

from __future__ import annotations

__all__ = ("SimulatedLock", "SimulatedRLock", "Waiter")

import _thread
from typing import Any

from .session import current_stage
from .stage import Actor

_FOR_EVER = -1


class Waiter:
    """What `threading.Condition.wait` waits on: a lock that is no switch point while it is free.

    Its methods are those of a lock; a real one keeps the state, so that any thread may use it.
    """

    __slots__ = ("_lock", "name")

    def __init__(self, name: str = "a condition, an event or a queue") -> None:
        self._lock = _thread.allocate_lock()
        self.name = name

    def acquire(self, blocking: bool = True, timeout: float = _FOR_EVER) -> bool:
        """See `threading.Lock.acquire`."""
        stage = current_stage()
        if stage is None:
            return self._lock.acquire(blocking, timeout)
        if self._lock.acquire(False):
            return True
        if not blocking:
            return False
        until = None if timeout is None or timeout < 0 else stage.now + timeout
        while not self._lock.acquire(False):
            if not stage.block(lambda: not self._lock.locked(), until, self.name):
                return False
        return True

    def release(self) -> None:
        """See `threading.Lock.release`."""
        try:
            self._lock.release()
        except RuntimeError:
            stage = current_stage()
            if stage is None or not stage.is_aborting:  # else it was not taken on the way out
                raise

    def locked(self) -> bool:
        """See `threading.Lock.locked`."""
        return self._lock.locked()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()

    def _at_fork_reinit(self) -> None:
        self._lock = _thread.allocate_lock()

    def __repr__(self) -> str:
        return f"<{self.name}>"


class SimulatedLock(Waiter):
    """A `threading.Lock` made during a run: taking it is a switch point."""

    __slots__ = ()

    def acquire(self, blocking: bool = True, timeout: float = _FOR_EVER) -> bool:
        """See `threading.Lock.acquire`."""
        stage = current_stage()
        if stage is None:
            return self._lock.acquire(blocking, timeout)
        if stage.is_aborting:  # what is on its way out takes no notice of locks
            self._lock.acquire(False)
            return True
        stage.step()
        if self._lock.locked() and blocking:
            stage.note(f"waits for {self.name}")
        taken = super().acquire(blocking, timeout)
        stage.note(f"takes {self.name}" if taken else f"does not get {self.name}")
        return taken

    __enter__ = acquire


class SimulatedRLock:
    """A `threading.RLock` made during a run: taking it is a switch point."""

    __slots__ = ("_count", "_lock", "_owner")

    def __init__(self, name: str) -> None:
        self._lock = SimulatedLock(name)
        self._owner: Actor | int | None = None
        self._count = 0

    def _me(self) -> Actor | int | None:
        stage = current_stage()
        return _thread.get_ident() if stage is None else stage.current

    def acquire(self, blocking: bool = True, timeout: float = _FOR_EVER) -> bool:
        """See `threading.RLock.acquire`."""
        me = self._me()
        if self._owner == me:
            self._count += 1
            return True
        if not self._lock.acquire(blocking, timeout):
            return False
        self._owner, self._count = me, 1
        return True

    def release(self) -> None:
        """See `threading.RLock.release`."""
        if self._owner != self._me():
            raise RuntimeError("cannot release un-acquired lock")
        self._count -= 1
        if not self._count:
            self._owner = None
            self._lock.release()

    __enter__ = acquire

    def __exit__(self, *error: object) -> None:
        self.release()

    # What `threading.Condition` asks of a lock that may be taken more than once.

    def _is_owned(self) -> bool:
        return self._owner == self._me()

    def _release_save(self) -> tuple[int, Any]:
        state = (self._count, self._owner)
        self._count, self._owner = 0, None
        self._lock.release()
        return state

    def _acquire_restore(self, state: tuple[int, Any]) -> None:
        self._lock.acquire()
        self._count, self._owner = state

    def _at_fork_reinit(self) -> None:
        self._lock._at_fork_reinit()
        self._owner, self._count = None, 0

    def __repr__(self) -> str:
        return repr(self._lock)
