"""What is noted of a run's stores: who did what, and what two branches must not do."""

from __future__ import annotations

__all__ = ("Branch", "Event", "Watch", "WatchedStore", "branches")

import copy
import pickle
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from types import FrameType
from typing import Any, NamedTuple, cast

from ..._base.fence import Gate
from ..._base.store import MemoryStore, Store
from ...errors import ConfigurationError, StoreError
from .session import current_stage
from .stage import Actor, Stage

_MISSING: Any = object()
_LONGEST = 60  # characters of a value that a story shows


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """A branch of a split; there is one object of it."""

    split: Any
    index: int
    name: str

    def __str__(self) -> str:
        return f"{self.name}[{self.index}]"


branches: ContextVar[tuple[Branch, ...]] = ContextVar("cano_sync.simulation", default=())
"""The branches that code runs in, the outermost first."""


class Event(NamedTuple):
    """One line of a story."""

    who: str
    what: str
    at: float
    note: str = ""


class _Write(NamedTuple):
    """The last write of a key."""

    path: tuple[Branch, ...]
    value: Any
    who: str


class Watch:
    """What the stores of one run note, and the checks of it that are always on.

    Args:
        stage: where the run is played.
        recording: whether to note events, for a story.
        last_write_wins: keys that several branches may put, whoever comes last.
        fail_at: the number of the write that fails, from 1; None for none.

    Attributes:
        events: what has happened.
        problems: what two branches did that they must not.
    """

    def __init__(
        self,
        stage: Stage,
        *,
        recording: bool,
        last_write_wins: frozenset[str] = frozenset(),
        fail_at: int | None = None,
    ) -> None:
        self.stage = stage
        self.recording = recording
        self.events: list[Event] = []
        self.problems: list[str] = []
        self._last_write_wins = last_write_wins
        self._fail_at = fail_at
        self._writes = 0
        self._stores: dict[int, tuple[Any, WatchedStore | _Foreign]] = {}

    # Stores.

    def watched(self, store: Any) -> Any:
        """The store as a simulated run uses it: the same data, with switch points."""
        if isinstance(store, WatchedStore | _Foreign):
            return store
        known = self._stores.get(id(store))
        if known is not None:
            return known[1]
        made: WatchedStore | _Foreign
        if type(store) is MemoryStore:
            made = WatchedStore.watching(store, self)
        else:
            made = _Foreign(store, self)
        self._stores[id(store)] = (store, made)
        return made

    # Notes.

    def note(self, what: str, *, note: str = "", who: str | None = None) -> None:
        """An event, by whoever runs."""
        if self.recording:
            name = self.name() if who is None else who
            self.events.append(Event(name, what, self.stage.now, note))

    def name(self) -> str:
        """What to call the code that runs: its branch, or its task's function."""
        path = branches.get()
        if path:
            return str(path[-1])
        return _user_function(sys._getframe(1))

    def step(self) -> bool:
        """A switch point before an access; False where the code that asks is no actor."""
        if current_stage() is not self.stage:
            return False
        self.stage.step()
        return True

    def writes(self) -> None:
        """A write follows.

        Raises:
            StoreError: it is the one that is to fail.
        """
        self._writes += 1
        if self._writes == self._fail_at:
            self.note("a write fails", note="injected")
            raise StoreError(f"write {self._writes} was made to fail by the simulation")

    def problem(self, what: str, event: int | None = None, note: str = "") -> None:
        """Something that must not be."""
        if self.recording and event is not None and event < len(self.events):
            self.events[event] = self.events[event]._replace(note=note)
        if what not in self.problems:
            self.problems.append(what)

    def put(self, keys: _Keys, key: str, value: Any) -> None:
        """A branch, or the run, has written a key without reading it in the same step."""
        path = branches.get()
        before = keys.writes.get(key)
        version = keys.versions.get(key, 0)
        who = self.name()
        event = len(self.events)
        if self.recording:
            self.note(f"put {key} = {shown(value)}", who=who)
        if before is not None and key not in self._last_write_wins and _siblings(path, before.path):
            seen = keys.reads.get((path, key))
            if seen is not None and seen < version and not _harmless(before.value, value):
                self.problem(
                    f"lost update: {who} put {key!r} by what it had read before {before.who} wrote "
                    "it; read and write in one step: store.update() or store.append(), or hold a "
                    "lock over both",
                    event,
                    f"lost: {before.who}'s write was overwritten unread",
                )
            elif seen is None and not _same(before.value, value):
                self.problem(
                    f"conflicting writes: {before.who} and {who} both put {key!r}, and the last "
                    "one wins; give each a key of its own, return the values and collect them, or "
                    f"say last_write_wins=[{key!r}]",
                    event,
                    f"conflict: {before.who} has put {shown(before.value)}",
                )
        keys.versions[key] = version + 1
        keys.writes[key] = _Write(path, value, who)
        if path:
            keys.reads[path, key] = version + 1

    def changed(self, keys: _Keys, key: str, value: Any, verb: str) -> None:
        """It was written by who has read it in the same step."""
        path = branches.get()
        version = keys.versions.get(key, 0) + 1
        keys.versions[key] = version
        if path:
            keys.reads[path, key] = version
        if self.recording:
            self.note(f"{verb} {key}: {shown(value)}")
        keys.writes[key] = _Write(path, value, self.name())

    def removed(self, keys: _Keys, key: str) -> None:
        """It is there no more."""
        keys.versions[key] = keys.versions.get(key, 0) + 1
        keys.writes.pop(key, None)

    def read(self, keys: _Keys, key: str, value: Any, store: WatchedStore) -> None:
        """It was read, or looked for."""
        path = branches.get()
        if not path:
            return
        keys.reads[path, key] = keys.versions.get(key, 0)
        if isinstance(value, _MUTABLE):
            actor = self.stage.current
            if actor is not None:
                if actor.watched is None:
                    actor.watched = _Fetched(self)
                actor.watched.add(key, value, store)


class _Keys:
    """Of one store: how often each key was written, by whom last, and which write each has seen."""

    __slots__ = ("reads", "versions", "writes")

    def __init__(self) -> None:
        self.versions: dict[str, int] = {}
        self.writes: dict[str, _Write] = {}
        self.reads: dict[tuple[tuple[Branch, ...], str], int] = {}


def _siblings(path: tuple[Branch, ...], other: tuple[Branch, ...]) -> bool:
    """Whether two pieces of code are in two branches of one split."""
    for mine, theirs in zip(path, other, strict=False):
        if mine.split is not theirs.split:
            return False
        if mine.index != theirs.index:
            return True
    return False


def _same(value: Any, other: Any) -> bool:
    try:
        return bool(value == other)
    except Exception:  # it cannot be said: then nobody is accused
        return True


def _harmless(before: Any, value: Any) -> bool:
    """Whether it makes no difference that both have written: a flag, a name, the same state.

    Two equal numbers or lists may well be a count that lacks one, or a list that lacks an item.
    """
    is_mark = value is None or isinstance(value, bool | str | bytes | Enum)
    return is_mark and _same(before, value)


def shown(value: Any) -> str:
    """A value in a story."""
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


_MUTABLE = (list, dict, set, bytearray)


class _Fetched:
    """What a branch has fetched that it may go on changing in place, when its store is closed.

    What the fence cannot guard is compared whenever the branch has run: before and after. Others
    may change it meanwhile, as they should, by the store.
    """

    __slots__ = ("_before", "_values", "_watch")

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._values: dict[int, tuple[str, Any, WatchedStore, str]] = {}
        self._before: list[tuple[str, Any, str, bytes]] = []

    def add(self, key: str, value: Any, store: WatchedStore) -> None:
        if id(value) not in self._values:
            self._values[id(value)] = (key, value, store, self._watch.name())

    def resumed(self, actor: Actor) -> None:
        """The actor goes on: how is what it can change no more?"""
        for key, value, store, who in self._values.values():
            if store.is_closed and store.holds(key, value):
                self._before.append((key, value, who, _frozen(value)))

    def paused(self, actor: Actor) -> None:
        """The actor has run: did it change it?"""
        if not self._before:
            return
        before, self._before = self._before, []
        for key, value, who, frozen in before:
            if _frozen(value) != frozen:
                event = len(self._watch.events)
                self._watch.note(f"changes {key} in place, now {shown(value)}", who=who)
                self._watch.problem(
                    f"changed behind the fence: {who} went on changing the {type(value).__name__} "
                    f"under {key!r} in place after the join was decided without it; write by "
                    "store.append() or store.update(), which the fence guards",
                    event,
                    "late: the join was decided without it",
                )


def _frozen(value: Any) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception:
        return repr(value).encode()


class _Lock:
    """A re-entrant lock for actors; for others, a real one. It is no switch point itself.

    That of a watched store: the function given to `update()` runs under it, and may sleep.
    """

    __slots__ = ("_count", "_lock", "_owner")

    def __init__(self) -> None:
        self._lock = threading.RLock()  # for who is no actor
        self._owner: Actor | None = None
        self._count = 0

    def acquire(self) -> bool:
        stage = current_stage()
        if stage is None:
            return self._lock.acquire()
        me = stage.current
        if self._owner is not None and self._owner is not me:
            stage.block(lambda: self._owner is None, None, "a store, for update() is under way")
        self._owner = me
        self._count += 1
        return True

    def release(self) -> None:
        if current_stage() is None and self._owner is None:
            self._lock.release()
            return
        self._count -= 1
        if not self._count:
            self._owner = None

    __enter__ = acquire

    def __exit__(self, *error: object) -> None:
        self.release()


class WatchedStore(MemoryStore):
    """A `MemoryStore` whose accesses are switch points, and are noted."""

    __slots__ = ("_keys", "_watch")

    _keys: _Keys
    _watch: Watch

    @classmethod
    def watching(cls, store: MemoryStore, watch: Watch) -> WatchedStore:
        """One with the data of this one."""
        made = cls.__new__(cls)
        made._data = store._data
        made._lock = _Lock()
        made._guard = made._lock
        made._keys = _Keys()
        made._watch = watch
        return made

    def view(self, guard: AbstractContextManager[Any]) -> WatchedStore:
        """See `MemoryStore.view`."""
        made = WatchedStore.__new__(WatchedStore)
        made._data, made._lock, made._guard = self._data, self._lock, guard
        made._keys, made._watch = self._keys, self._watch
        return made

    @property
    def is_closed(self) -> bool:
        """Whether the run goes on without whom this view was made for."""
        gate = getattr(self._guard, "_gate", None)
        return isinstance(gate, Gate) and gate.is_closed

    def holds(self, key: str, value: Any) -> bool:
        """Whether this very object is under the key."""
        return self._data.get(key) is value

    def get(self, key: str, type: Any = None, *, default: Any = _MISSING) -> Any:
        """See `MemoryStore.get`."""
        options = {} if default is _MISSING else {"default": default}
        if not self._watch.step():
            return super().get(key, type, **options)
        watch = self._watch
        try:
            value = super().get(key, type, **options)
        except LookupError:
            watch.read(self._keys, key, None, self)
            watch.note(f"get {key}: there is none")
            raise
        watch.read(self._keys, key, value, self)
        if watch.recording:
            watch.note(f"get {key} → {shown(value)}")
        return value

    def put(self, key: str, value: Any) -> None:
        """See `MemoryStore.put`."""
        if not self._watch.step():
            super().put(key, value)
            return
        self._watch.writes()
        super().put(key, value)
        self._watch.put(self._keys, key, value)

    def append(self, key: str, item: Any) -> None:
        """See `MemoryStore.append`."""
        if not self._watch.step():
            super().append(key, item)
            return
        self._watch.writes()
        super().append(key, item)
        self._watch.changed(self._keys, key, item, "append to")

    def update(self, key: str, function: Callable[[Any], Any], default: Any = _MISSING) -> Any:
        """See `MemoryStore.update`."""
        options = () if default is _MISSING else (default,)
        if not self._watch.step():
            return super().update(key, function, *options)
        self._watch.writes()
        value = super().update(key, function, *options)
        self._watch.changed(self._keys, key, value, "update")
        return value

    def remove(self, key: str) -> None:
        """See `MemoryStore.remove`."""
        if not self._watch.step():
            super().remove(key)
            return
        self._watch.writes()
        super().remove(key)
        self._watch.removed(self._keys, key)
        self._watch.note(f"remove {key}")

    def __delitem__(self, key: str) -> None:
        if not self._watch.step():
            super().__delitem__(key)
            return
        self._watch.writes()
        super().__delitem__(key)
        self._watch.removed(self._keys, key)
        self._watch.note(f"remove {key}")

    def contains_key(self, key: str) -> bool:
        """See `MemoryStore.contains_key`."""
        if not self._watch.step():
            return super().contains_key(key)
        found = super().contains_key(key)
        self._watch.read(self._keys, key, None, self)
        self._watch.note(f"{key}? {'yes' if found else 'no'}")
        return found

    def keys(self) -> list[str]:
        """See `MemoryStore.keys`."""
        if self._watch.step():
            self._watch.note("keys")
        return super().keys()

    def clear(self) -> None:
        """See `MemoryStore.clear`."""
        if not self._watch.step():
            super().clear()
            return
        self._watch.writes()
        super().clear()
        self._watch.note("clear")

    def snapshot(self) -> dict[str, Any]:
        """See `MemoryStore.snapshot`."""
        if not self._watch.step():
            return super().snapshot()
        everything = super().snapshot()
        for key in everything:
            self._watch.read(self._keys, key, None, self)
        self._watch.note("snapshot")
        return everything

    def __reduce__(self) -> tuple[type[MemoryStore], tuple[dict[str, Any]]]:
        return (MemoryStore, (dict(self._data),))


class _Foreign(Store):
    """A backend of a user's, whose accesses are switch points."""

    __slots__ = ("_store", "_watch")

    def __init__(self, store: Store, watch: Watch) -> None:
        self._store = store
        self._watch = watch

    def _read(self, what: str) -> None:
        if self._watch.step():
            self._watch.note(what)

    def _write(self, what: str) -> None:
        if self._watch.step():
            self._watch.writes()
            self._watch.note(what)

    def get(self, key: str, type: Any = None, **default: Any) -> Any:
        self._read(f"get {key}")
        return self._store.get(key, type, **default)

    def put(self, key: str, value: Any) -> None:
        self._write(f"put {key} = {shown(value)}")
        self._store.put(key, value)

    def append(self, key: str, item: Any) -> None:
        self._write(f"append {shown(item)} to {key}")
        self._store.append(key, item)

    def update(self, key: str, function: Callable[[Any], Any], *default: Any, **named: Any) -> Any:
        self._write(f"update {key}")
        return self._store.update(key, function, *default, **named)

    def remove(self, key: str) -> None:
        self._write(f"remove {key}")
        self._store.remove(key)

    def contains_key(self, key: str) -> bool:
        self._read(f"{key}?")
        return self._store.contains_key(key)

    def keys(self) -> list[str]:
        self._read("keys")
        return self._store.keys()

    def clear(self) -> None:
        self._write("clear")
        self._store.clear()

    def snapshot(self) -> dict[str, Any]:
        self._read("snapshot")
        return self._store.snapshot()


def store_of(given: Any) -> Store | None:
    """A fresh store of what was given: a mapping, a store, a function that makes either, None."""
    is_made = isinstance(given, type) or (callable(given) and not hasattr(given, "get"))
    made: Any = given() if is_made else given
    if not isinstance(made, Mapping):
        return cast("Store | None", made)
    if is_made:
        return MemoryStore(made)
    try:
        copied = copy.deepcopy(dict(made))
    except Exception as error:
        raise ConfigurationError(
            f"store={shown(made)} cannot be copied for each run ({error}); give a function that "
            "makes it: store=lambda: {...}"
        ) from error
    return MemoryStore(copied)


def _user_function(frame: FrameType | None) -> str:
    """The innermost function outside the library."""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if not module.startswith(("cano_sync", "threading", "concurrent", "contextlib")):
            return frame.f_code.co_name
        frame = frame.f_back
    return "the run"
