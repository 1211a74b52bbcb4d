"""The journal of one run: what is written of it, from its begin or claim to its end."""

from __future__ import annotations

__all__ = ("Ended", "Journal", "open_journal")

import json
import logging
import os
import threading
import time
from dataclasses import dataclass
from typing import Any

from .._base.cancellation import CancellationToken, Cancelled
from .._base.codec import Unencodable, ValueCodec, digest_of
from .._base.delta import REMOVED, fold, text_of
from .._base.store import MemoryStore
from .._base.text import error_text, full_name
from .._base.tracked import TrackedStore
from .._base.world import world
from .._model.checkpoint import Owner, RunRow, RunStatus, StepKind, StepRow, Stored
from .._model.task import Visit
from ..errors import (
    CanoError,
    CheckpointError,
    ConfigurationError,
    CorruptCheckpointError,
    RunBusyError,
    RunNotFoundError,
    VersionMismatchError,
    is_interruption,
)
from .machine import Entry, Machine
from .request import Request

_log = logging.getLogger("cano_sync")

LARGEST, LARGE = 1_000_000, 64_000
"""How long the text of one value may be; from what length on it is logged."""
LEAST_FULL = 64_000
"""So many characters of deltas there may be before the whole store is written again."""
GRACE = 0.25
"""Seconds that a run of this process, which was cancelled, gets to give itself back."""

_SHORT = 64  # a text up to this length is kept as it is; of a longer one its digest


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that had ended already, in this exit state."""

    state: Any


# The journals that are open in this process, by the id of their backend and their run's. The
# condition's lock guards it; it is notified when one is closed.
_closed = threading.Condition()
_open: dict[tuple[int, str], Journal] = {}


class Journal:
    """What one walk through a run writes down. Used by one thread at a time.

    It is made open: the run is this process's own. It is closed once, by the thread that walks,
    or by the caller where none has begun to: with the run's exit, with its error, or by giving
    the run back.

    Args:
        machine: the run's machine.
        row: the run, as it was begun or claimed.
        entry: where it is.
        store: what its tasks share.
        marks: what was recorded last: of each key the text of its value, or that text's digest.
        error: what has led to the state where it is, if that was an error.
        sizes: how long the last full step is, and the deltas since then.

    Attributes:
        run_id: the run's id.
        entry: where it is.
        store: the view of the store that notes what changes.
        error: what had led to the state where it was opened, if that was an error.
        token: that of the walk, once it has begun: it ends waits for the backend.
    """

    def __init__(
        self,
        machine: Machine,
        row: RunRow,
        entry: Entry,
        store: MemoryStore,
        marks: dict[str, str],
        error: CanoError | None,
        sizes: tuple[int, int],
    ) -> None:
        assert machine.keeping is not None
        self._keeping = machine.keeping
        self._codec = machine.codec
        self._checkpoints = machine.keeping.checkpoints
        self.run_id = row.id
        self.entry = entry
        self.store = TrackedStore(store)
        self.error = error
        self.token: CancellationToken | None = None
        self._fence = row.token
        self._seq = row.seq
        self._redone = row.begun
        self._marks = marks
        self._full_size, self._since_full = sizes
        self._large: set[str] = set()  # keys whose size was logged
        self._lock = threading.Lock()  # guards the two that follow
        self._is_walked = False
        self._is_closed = False
        with _closed:
            _open[id(self._checkpoints), self.run_id] = self

    @property
    def visit(self) -> Visit:
        """The visit of the state where the run is."""
        return Visit(self.run_id, self._seq, self._redone, self._fence)

    # Walking.

    def begin_walk(self, token: CancellationToken) -> None:
        """The thread that calls is the one that walks, and closes the journal.

        Raises:
            Cancelled: nobody waits for the run any more, and it was given back.
        """
        with self._lock:
            if self._is_closed:
                raise Cancelled("the run was given back before a thread came to it")
            self._is_walked = True
            self.token = token

    def move(self, entry: Entry, error: CanoError | None, token: CancellationToken) -> None:
        """Write that the run comes to this state, with what the last one has left behind.

        Raises:
            RunLostError: it is another's by now.
            CheckpointError: it could not be written.
            Cancelled: the token was cancelled meanwhile.
        """
        changes = self._changes()
        delta, is_full = text_of(changes), False
        self._since_full += len(delta)
        if self._since_full > max(LEAST_FULL, 2 * self._full_size):
            changes = self._texts(self.store.take_all()[0])
            delta, is_full = text_of(changes), True
        step = StepRow(
            self._seq + 1,
            entry.name,
            world.wall(),
            self._fence,
            StepKind.ENTERED,
            is_full,
            delta,
            None if error is None else self._error_text(error),
        )
        if entry.what is None:
            self._end(RunStatus.DONE, step=step, token=token)
            return
        self._checkpoints.move(self.run_id, self._fence, step, cancel=token)
        self._seq += 1
        self._redone = 0
        self.entry = entry
        if is_full:
            self._marks = {}
            self._full_size, self._since_full = len(delta), 0
        marks = self._marks
        for key, text in changes.items():
            marks[key] = text if len(text) <= _SHORT else digest_of(text)

    def _changes(self) -> dict[str, str]:
        """The texts of the values that have changed since the last step, by their keys."""
        if self._keeping.check:
            values, gone = self._checked()
        else:
            values, gone = self.store.take()
        changes: dict[str, str] = {}
        marks, transient, encode = self._marks, self._keeping.transient, self._codec.encode
        for key, value in values.items():
            if transient and key in transient:
                continue
            text = ""
            try:
                text = encode(value)
                is_usual = len(text) <= LARGE and type(key) is str
            except Exception:
                is_usual = False
            if not is_usual:
                text = self._text(key, value)  # says what is wrong with it
            if marks.get(key) != (text if len(text) <= _SHORT else digest_of(text)):
                changes[key] = text
        for key in gone:
            if marks.get(key, REMOVED) != REMOVED:
                changes[key] = REMOVED
        return changes

    def _checked(self) -> tuple[dict[str, Any], list[str]]:
        """All values; an error where one has changed that nobody has fetched or written."""
        values, touched = self.store.take_all()
        for key, value in values.items():
            if key in touched or key in self._keeping.transient:
                continue
            text = self._text(key, value)
            if self._marks.get(key) != (text if len(text) <= _SHORT else digest_of(text)):
                raise self._problem(
                    f"store key {key!r} has changed, though nobody has fetched or put it since "
                    "the state was entered: keep no object of the store elsewhere, as on self, "
                    "or put() it again when you have changed it"
                )
        return values, [key for key in self._marks if key not in values]

    def _texts(self, values: dict[str, Any]) -> dict[str, str]:
        transient = self._keeping.transient
        return {
            key: self._text(key, value) for key, value in values.items() if key not in transient
        }

    def _text(self, key: str, value: Any) -> str:
        text = _text(self._codec, key, value, self.entry.state, self.run_id)
        if len(text) > LARGE and key not in self._large:
            self._large.add(key)
            _log.warning(
                "run %s: store key %r takes %d characters of each step that changes it; keep what "
                "is large elsewhere, and a reference to it in the store",
                self.run_id,
                key,
                len(text),
            )
        return text

    def _error_text(self, error: BaseException) -> str:
        return _error_text(self._codec, error)

    def _problem(self, why: str) -> CheckpointError:
        state = self.entry.state
        return CheckpointError(f"state {full_name(state)}: {why}", state=state, run_id=self.run_id)

    # The three ends.

    def _end(
        self,
        status: RunStatus,
        *,
        step: StepRow | None = None,
        error: str | None = None,
        token: CancellationToken | None,
    ) -> None:
        self._checkpoints.end(
            self.run_id,
            self._fence,
            status,
            seq=self._seq,
            step=step,
            error=error,
            cancel=token,
        )
        self._close()

    def leave(self, error: BaseException) -> None:
        """Close it, as far as it is open, after what the walk has raised.

        A failure is recorded; after all else the run is given back: what the world outside does
        to a run is no failure, and it can go on later.

        Raises:
            CheckpointError: the failure could not be recorded.
        """
        is_cancelled = self.token is not None and self.token.cancelled
        try:
            if isinstance(error, CanoError) and not is_interruption(error) and not is_cancelled:
                self._end(RunStatus.FAILED, error=self._error_text(error), token=self.token)
        finally:
            self.give_back()

    def give_back(self, *, unless_walked: bool = False) -> None:
        """Close it, if it is open, and leave the run to whoever comes next."""
        with self._lock:
            if self._is_closed or (unless_walked and self._is_walked):
                return
            self._is_closed = True
        try:
            self._checkpoints.rest(self.run_id, self._fence)
        except Exception:  # of a user's own backend: the run's error is more important
            _log.exception("run %s could not be given back", self.run_id)
        finally:
            self._unlist()

    def end_at_once(self, token: CancellationToken | None) -> None:
        """Write the end of a run that begins in an exit state."""
        try:
            self._end(RunStatus.DONE, token=token)
        finally:
            self.give_back()

    def _close(self) -> None:
        with self._lock:
            self._is_closed = True
        self._unlist()

    def _unlist(self) -> None:
        key = (id(self._checkpoints), self.run_id)
        with _closed:
            if _open.get(key) is self:
                del _open[key]
            _closed.notify_all()


# Opening.


def open_journal(
    machine: Machine,
    entry: Entry | None,
    store: MemoryStore,
    request: Request,
    cancel: CancellationToken | None,
) -> Journal | Ended:
    """Begin a run, go on with it, or give its end.

    Args:
        machine: the run's machine, which is one that keeps its runs.
        entry: where it begins; None where it is only resumed.
        store: what its tasks are to share: as given, or as it was recorded.
        request: what is asked for.
        cancel: ends the waits for the backend.

    Raises:
        ConfigurationError: the id is that of a run of another workflow, or with another beginning.
        RunNotFoundError: it was to be resumed, and is not there.
        RunBusyError: its owner lives.
        VersionMismatchError: it was recorded by another version.
        CorruptCheckpointError: it cannot be read.
        CanoError: it had failed: what it failed with.
        Cancelled: `cancel` was cancelled.
    """
    return _Opening(machine, store, request, cancel).open(entry)


class _Opening:
    """One call of `open_journal`."""

    def __init__(
        self,
        machine: Machine,
        store: MemoryStore,
        request: Request,
        cancel: CancellationToken | None,
    ) -> None:
        assert machine.keeping is not None
        self._machine = machine
        self._keeping = machine.keeping
        self._codec = machine.codec
        self._checkpoints = machine.keeping.checkpoints
        self._store = store
        self._request = request
        self._cancel = cancel
        self._run_id = request.run_id or _new_id()

    def open(self, entry: Entry | None) -> Journal | Ended:
        request = self._request
        texts: dict[str, str] | None = None
        if entry is not None:
            texts = self._initial_texts(entry)
        while True:
            stored = None
            if request.run_id is not None:
                stored = self._checkpoints.look(self._run_id, cancel=self._cancel)
            if stored is None:
                if entry is None or texts is None:
                    raise RunNotFoundError(
                        f"there is no run {self._run_id!r}; begin it by orchestrate(initial_state, "
                        f"run_id={self._run_id!r})",
                        run_id=self._run_id,
                    )
                begun = self._begin(entry, texts)
            else:
                self._check_same(stored.run, entry, texts)
                begun = self._go_on(stored)
            if begun is not None:
                return begun

    def _initial_texts(self, entry: Entry) -> dict[str, str]:
        """The texts of what the store holds at first, by keys in order."""
        values = sorted(self._store.snapshot().items(), key=lambda item: str(item[0]))
        return {
            key: _text(self._codec, key, value, entry.state, self._run_id)
            for key, value in values
            if key not in self._keeping.transient
        }

    # Beginning.

    def _begin(self, entry: Entry, texts: dict[str, str]) -> Journal | Ended | None:
        keeping, now, delta = self._keeping, world.wall(), text_of(texts)
        row = RunRow(
            self._run_id,
            keeping.name,
            keeping.version_text,
            self._machine.shape,
            RunStatus.RUNNING,
            entry.name,
            0,
            1,
            None,
            0,
            entry.name,
            digest_of(delta),
            None,
            now,
            now,
            None,
        )
        step = StepRow(0, entry.name, now, 1, StepKind.ENTERED, True, delta)
        if not self._checkpoints.begin(row, step, cancel=self._cancel):
            return None  # another was quicker with the same id
        marks = {
            key: text if len(text) <= _SHORT else digest_of(text) for key, text in texts.items()
        }
        journal = self._journal(row, entry, marks, None, (len(delta), 0))
        if entry.what is None:
            journal.end_at_once(self._cancel)
            return Ended(entry.state)
        return journal

    def _journal(
        self,
        row: RunRow,
        entry: Entry,
        marks: dict[str, str],
        error: CanoError | None,
        sizes: tuple[int, int],
        values: dict[str, Any] | None = None,
    ) -> Journal:
        """Of a run that is ours now; gives it back, if anything (Ctrl-C) comes in between."""
        try:
            if values is not None:
                self._fill(values)
            return Journal(self._machine, row, entry, self._store, marks, error, sizes)
        except BaseException:
            self._checkpoints.rest(row.id, row.token)
            raise

    # Going on.

    def _check_same(self, run: RunRow, entry: Entry | None, texts: dict[str, str] | None) -> None:
        """Whether the run that is there is the one that is meant."""
        keeping, run_id = self._keeping, run.id
        if run.workflow != keeping.name:
            raise ConfigurationError(
                f"run {run_id!r} is one of workflow {run.workflow!r}, and not of {keeping.name!r}; "
                "give this one another id"
            )
        if entry is None or texts is None:
            return
        if run.initial != entry.name:
            raise ConfigurationError(
                f"run {run_id!r} has begun in state {run.initial!r}, and not in {entry.name!r}; "
                f"give this one another id, or go on with that one by resume({run_id!r})"
            )
        if self._request.has_store and run.inputs != digest_of(text_of(texts)):
            raise ConfigurationError(
                f"run {run_id!r} has begun with other values in its store than {sorted(texts)} "
                "are now; give this one another id, or go on with that one by "
                f"resume({run_id!r}), which takes the recorded values"
            )

    def _go_on(self, stored: Stored) -> Journal | Ended | None:
        """Claim the run that is there; None where another was quicker."""
        run = stored.run
        if run.status.has_ended:
            return self._ended(stored)
        if run.status is RunStatus.RUNNING and not self._request.takeover:
            owner = stored.owner
            if owner is not None and owner.is_alive:
                if stored.is_walked_here and self._given_back():
                    return None
                raise _busy(run, owner)
        if run.version != self._keeping.version_text:
            return self._upgraded(stored)
        self._warn_of_shape(run)
        entry = self._entry_of(run)
        values, marks, error = self._read(stored)
        claimed = self._checkpoints.claim(run, cancel=self._cancel)
        if claimed is None:
            return None
        full, *later = [len(step.delta) for step in stored.steps]
        return self._journal(claimed, entry, marks, error, (full, sum(later)), values)

    def _given_back(self) -> bool:
        """Whether the run was only on its way to be given back, after a cancellation."""
        key = (id(self._checkpoints), self._run_id)
        end = world.monotonic() + GRACE
        with _closed:
            journal = _open.get(key)
            if journal is None:
                return True
            if journal.token is None or not journal.token.cancelled:
                return False
            while _open.get(key) is journal and world.monotonic() < end:
                world.wait_changed(_closed, lambda: _open.get(key) is not journal, 0.005)
                if self._cancel is not None:
                    self._cancel.check()
            return _open.get(key) is not journal

    def _upgraded(self, stored: Stored) -> Journal | None:
        """Claim a run of another version, put where the user's function says."""
        run, keeping = stored.run, self._keeping
        try:
            version = json.loads(run.version)
        except ValueError:
            raise CorruptCheckpointError(
                f"run {run.id!r} is damaged: its version is {run.version!r}", run_id=run.id
            ) from None
        if keeping.upgrade is None:
            raise VersionMismatchError(
                f"run {run.id!r} was recorded by version {version!r} of workflow "
                f"{keeping.name!r}, and this is version {keeping.version!r}; give "
                "with_checkpoints(upgrade=...) a function that brings it here, or finish it with "
                "that version",
                recorded=version,
                offered=keeping.version,
                run_id=run.id,
            )
        values, _, error = self._read(stored)
        store = MemoryStore(values)
        state = keeping.upgrade(version, run.state, store)
        entry = self._machine.find(state)
        if entry is None or entry.what is None:
            raise ConfigurationError(
                f"the function given to with_checkpoints(upgrade=...) put run {run.id!r}, of "
                f"version {version!r} in state {run.state!r}, into {full_name(state)}, which has "
                "no task here; return one of the workflow's states"
            )
        texts = {
            key: _text(self._codec, key, value, entry.state, run.id)
            for key, value in store.snapshot().items()
            if key not in keeping.transient
        }
        delta = text_of(texts)
        step = StepRow(
            run.seq + 1, entry.name, world.wall(), run.token, StepKind.UPGRADED, True, delta
        )
        row = run._replace(version=keeping.version_text, shape=self._machine.shape)
        claimed = self._checkpoints.claim(row, step=step, cancel=self._cancel)
        if claimed is None:
            return None
        marks = {
            key: text if len(text) <= _SHORT else digest_of(text) for key, text in texts.items()
        }
        return self._journal(claimed, entry, marks, error, (len(delta), 0), store.snapshot())

    def _ended(self, stored: Stored) -> Ended:
        """What a run has come to that ended before; raises what it failed with."""
        run = stored.run
        if run.status is RunStatus.FAILED:
            if run.error is None:
                raise CorruptCheckpointError(
                    f"run {run.id!r} is damaged: it has failed, without an error", run_id=run.id
                )
            error = self._codec.decode(run.error)
            if not isinstance(error, CanoError):
                raise CorruptCheckpointError(
                    f"run {run.id!r} is damaged: it has failed with {error!r}", run_id=run.id
                )
            self._fill(self._read(stored)[0])
            raise error from error.__cause__
        entry = self._entry_of(run)
        if entry.what is not None:
            raise ConfigurationError(
                f"run {run.id!r} has ended in state {run.state!r}, which is no exit state here; "
                "was another version of the workflow meant?"
            )
        self._fill(self._read(stored)[0])
        return Ended(entry.state)

    def _entry_of(self, run: RunRow) -> Entry:
        for entry in self._machine.entries:
            if entry.name == run.state:
                return entry
        names = ", ".join(repr(entry.name) for entry in self._machine.entries)
        raise ConfigurationError(
            f"run {run.id!r} is in state {run.state!r}, which this workflow has not: there are "
            f"{names}; give with_checkpoints() another version, and an upgrade that says where "
            "such runs go on"
        )

    def _warn_of_shape(self, run: RunRow) -> None:
        if run.shape != self._machine.shape:
            _log.warning(
                "run %s was recorded by workflow %r with other states under the same version %s: "
                "it goes on in state %r; raise the version where its states mean something else",
                run.id,
                run.workflow,
                run.version,
                run.state,
            )

    def _read(self, stored: Stored) -> tuple[dict[str, Any], dict[str, str], CanoError | None]:
        """What the store held at the last step, the marks of that, and the error before it."""
        run_id, codec = stored.run.id, self._codec
        try:
            folded = fold(step.delta for step in stored.steps)
            marks: dict[str, str] = {}
            values: dict[str, Any] = {}
            for key, value in folded.items():
                text = _dumps(value)  # what it was read from: the codec writes no other JSON
                marks[key] = text if len(text) <= _SHORT else digest_of(text)
                values[key] = codec.restore(value)
            last = stored.steps[-1].error
            error = None if last is None else codec.decode(last)
        except ValueError as problem:  # among them what the codec raises
            raise CorruptCheckpointError(
                f"run {run_id!r}, at step {stored.run.seq}: {problem}", run_id=run_id
            ) from problem
        return values, marks, error if isinstance(error, CanoError) else None

    def _fill(self, values: dict[str, Any]) -> None:
        """Put into the store what was recorded; of the rest only what is never recorded stays."""
        store, transient = self._store, self._keeping.transient
        for key in [*store]:
            if key not in values and key not in transient:
                store.remove(key)
        for key, value in values.items():
            store.put(key, value)


_dumps = json.JSONEncoder(
    ensure_ascii=True, allow_nan=False, check_circular=False, separators=(",", ":")
).encode


def _text(codec: ValueCodec, key: Any, value: Any, state: Any, run_id: str) -> str:
    """The text of one value of the store.

    Raises:
        CheckpointError: it cannot be recorded.
    """
    why = None
    try:
        text = codec.encode(value)
        if len(text) > LARGEST:
            why = (
                f"it takes {len(text):,} characters, and {LARGEST:,} are the most; keep it "
                "elsewhere, and a reference to it in the store"
            )
        elif type(key) is not str:
            why = "its key is no text"
        else:
            return text
    except Unencodable as error:
        why = str(error)
    except Exception as error:  # a thread that the task has left behind changes it, for one
        why = error_text(error)
    raise CheckpointError(
        f"state {full_name(state)}: store key {key!r} cannot be recorded: {why}",
        state=state,
        run_id=run_id,
    )


def _error_text(codec: ValueCodec, error: BaseException) -> str:
    """The text of an error, or of as much of it as can be recorded."""
    try:
        return codec.encode(error)
    except Exception:
        bare = CanoError(error_text(error))
        return codec.encode(bare)


def _new_id() -> str:
    """An id that is never used again; those of later runs sort after it."""
    return f"{int(world.wall() * 1e6):014x}{world.entropy(9).hex()}"


def _busy(run: RunRow, owner: Owner) -> RunBusyError:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.changed_at))
    return RunBusyError(
        f"run {run.id!r} is under way: process {owner.pid} on {owner.host} has been in state "
        f"{run.state!r} since {since}; wait for it, or, if that process is stuck, take the run "
        f"over: resume({run.id!r}, takeover=True)",
        owner=owner,
        run_id=run.id,
    )


def _renew() -> None:
    """In a forked child: the parent's walks are not here, and its lock may have been held."""
    global _closed
    _closed = threading.Condition()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
