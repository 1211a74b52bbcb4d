"""The fence: keeps the abandoned tasks of a run out of its store."""

from __future__ import annotations

__all__ = ("Fence", "Gate", "fence")

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .cancellation import Cancelled
from .store import Store, has_views
from .waiting import Wakeup, wait_first
from .world import world


class Gate:
    """The latch of a fence: once closed, no write passes it, for ever.

    The lock guards `_closed` here and in every gate below (they share it) and `_writing`.
    Closing takes the lock that every write holds while it changes the store, so when `close`
    returns, no write is half-way and none can follow. No user code runs under it.
    """

    __slots__ = ("_closed", "_drained", "_lock", "_parent", "_writing")

    def __init__(self, parent: Gate | None = None) -> None:
        self._parent = parent
        self._lock: Any = threading.RLock() if parent is None else parent._lock
        self._closed = False
        self._writing = 0  # writes under way in a foreign backend, outside the lock
        self._drained: Wakeup | None = None

    def close(self, patience: float = 0.0) -> None:
        """Let no more writes through; wait `patience` seconds for a foreign one under way."""
        with self._lock:
            self._closed = True
            if self._writing and patience and self._drained is None:
                self._drained = Wakeup()
            drained = self._drained
        if drained is not None:
            wait_first(drained, None, world.monotonic() + patience)

    def is_below(self, other: Gate) -> bool:
        """Whether it is the other, or closed with it."""
        return any(gate is other for gate in self._chain())

    @property
    def is_closed(self) -> bool:
        """Whether this gate, or one above it, is closed."""
        gate: Gate | None = self
        while gate is not None and not gate._closed:
            gate = gate._parent
        return gate is not None

    def check(self) -> None:
        """Raise `Cancelled` behind a closed gate."""
        gate: Gate | None = self
        while gate is not None:
            if gate._closed:
                raise Cancelled("the run has moved on: this task's store access came too late")
            gate = gate._parent

    def _chain(self) -> Iterator[Gate]:
        """This gate and those above it: whichever is closed, the write ends behind it."""
        gate: Gate | None = self
        while gate is not None:
            yield gate
            gate = gate._parent

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Around one write of a foreign backend, which is done without our lock."""
        with self._lock:
            self.check()
            for gate in self._chain():
                gate._writing += 1
        try:
            yield
        finally:
            with self._lock:
                for gate in self._chain():
                    gate._writing -= 1
                    if not gate._writing and gate._drained is not None:
                        gate._drained.set()


class _Guard:
    """The store's lock and then the gate's, with a look at the gate: what a fenced write holds."""

    __slots__ = ("_gate", "_lock")

    def __init__(self, lock: Any, gate: Gate) -> None:
        self._lock = lock
        self._gate = gate

    @property
    def gates(self) -> tuple[Gate, ...]:
        """The gates that end a write, with those above them."""
        return (self._gate,)

    def __enter__(self) -> None:
        # Ctrl-C between two steps here would leave a lock taken, by the main thread. On that no
        # task is behind a fence, but where branches are run inline: and there no other thread
        # waits for the lock, which the main thread may take once more.
        gate = self._gate
        self._lock.acquire()
        gate._lock.acquire()
        try:
            gate.check()
        except BaseException:
            gate._lock.release()
            self._lock.release()
            raise

    def __exit__(self, *error: object) -> None:
        self._gate._lock.release()
        self._lock.release()


class _Guards:
    """As `_Guard`, where gates that do not lie one above the other all end the write."""

    __slots__ = ("_locks", "gates")

    def __init__(self, lock: Any, gates: tuple[Gate, ...]) -> None:
        self.gates = gates
        # Below the store's: in one order everywhere, or two threads could wait for each other.
        self._locks = (lock, *sorted({gate._lock for gate in gates}, key=id))

    def __enter__(self) -> None:
        for lock in self._locks:
            lock.acquire()
        try:
            for gate in self.gates:
                gate.check()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        for lock in reversed(self._locks):
            lock.release()


class Fence(Store):
    """A foreign backend behind a gate: the store's methods, and nothing else of it.

    Reads look at the gate; a write holds it open until the backend has answered.
    """

    __slots__ = ("_gate", "_store")

    def __init__(self, store: Store, gate: Gate) -> None:
        self._store = store
        self._gate = gate

    def get(self, key: str, type: Any = None, **default: Any) -> Any:
        self._gate.check()
        return self._store.get(key, type, **default)

    def put(self, key: str, value: Any) -> None:
        with self._gate.passing():
            self._store.put(key, value)

    def append(self, key: str, item: Any) -> None:
        with self._gate.passing():
            self._store.append(key, item)

    def update(self, key: str, function: Callable[[Any], Any], *default: Any, **named: Any) -> Any:
        def checked(value: Any) -> Any:
            result = function(value)
            self._gate.check()  # the run may have moved on while the function ran
            return result

        with self._gate.passing():
            return self._store.update(key, checked, *default, **named)

    def remove(self, key: str) -> None:
        with self._gate.passing():
            self._store.remove(key)

    def contains_key(self, key: str) -> bool:
        self._gate.check()
        return self._store.contains_key(key)

    def keys(self) -> list[str]:
        self._gate.check()
        return self._store.keys()

    def clear(self) -> None:
        with self._gate.passing():
            self._store.clear()

    def snapshot(self) -> dict[str, Any]:
        self._gate.check()
        return self._store.snapshot()


def fence(store: Store, outer: Gate | None = None) -> tuple[Store, Gate]:
    """`store` as tasks that may be abandoned see it, and the gate to close behind them.

    The new gate hangs below the `outer` one, of the task that runs this one. Closing either stops
    the writes; so does closing the gate of a fence that the store is behind already.
    """
    if not has_views(store):
        gate = Gate(outer)
        return Fence(store, gate), gate
    guard = store._guard
    given = guard.gates if isinstance(guard, _Guard | _Guards) else ()
    if not given:
        gate = Gate(outer)
    elif len(given) == 1 and (outer is None or given[0].is_below(outer)):
        gate = Gate(given[0])  # a nested run with the store of the task that it is in
    else:  # with the store of another task: an older one, perhaps of a task that encloses it
        gate = Gate(outer)
        others = tuple(each for each in given if not gate.is_below(each))
        if others:
            return store.view(_Guards(store._lock, (*others, gate))), gate
    return store.view(_Guard(store._lock, gate)), gate
