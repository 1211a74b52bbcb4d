"""`SQLiteCheckpoints`: runs recorded in a file, by the standard library alone."""

from __future__ import annotations

__all__ = ("SQLiteCheckpoints",)

import os
import sqlite3
import time
from functools import partial
from pathlib import Path
from typing import Any, Literal

from .._base.cancellation import CancellationToken
from .._base.durations import Duration, seconds
from .._base.text import state_name
from .._model.checkpoint import Owner, RunRow, RunStatus, StepRow, Stored
from ..errors import (
    CheckpointError,
    ConfigurationError,
    CorruptCheckpointError,
    RunLostError,
    RunNotFoundError,
)
from .database import Database, Work, database_at
from .history import RunRecord, record_of
from .rows import RUN_COLUMNS, STEP_COLUMNS, row_of, run_of, step_of

SHORT_PATIENCE = 0.05
"""Seconds to wait for a file while a run is given back: its caller has its error already."""

_INSERT_RUN = f"insert or ignore into run ({RUN_COLUMNS}) values (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
_INSERT_STEP = f"insert into step (run, {STEP_COLUMNS}) values (?,?,?,?,?,?,?,?,?,?)"
_INSERT_PROCESS = "insert or ignore into process values (?,?,?,?)"
_CLAIM = (
    "update run set token = token + 1, owner = ?, status = 1, begun = begun + 1, changed_at = ?, "
    "version = ?, shape = ?, state = ?, seq = ? "
    "where id = ? and token = ? and seq = ? and status = ?"
)
_MOVE = (
    "update run set state = ?, seq = ?, begun = 0, changed_at = ? "
    "where id = ? and token = ? and seq = ? and status = 1"
)
_END = (
    "update run set state = coalesce(?, state), seq = ?, status = ?, owner = null, error = ?, "
    "changed_at = ?, ended_at = ? where id = ? and token = ? and seq = ? and status = 1"
)
_REST = (
    "update run set status = 0, owner = null, changed_at = ? "
    "where id = ? and token = ? and owner = ? and status = 1"
)
_RUN = f"select {RUN_COLUMNS} from run where id = ?"
_STEPS = f"select {STEP_COLUMNS} from step where run = ? order by seq"
_LATEST_STEPS = (
    f"select {STEP_COLUMNS} from step where run = ? and seq >= "
    "(select coalesce(max(seq), 0) from step where run = ? and is_full) order by seq"
)
_PROCESS = "select host, pid, started_at from process where id = ?"
_FORGET_PROCESSES = (
    "delete from process where id <> ? and not exists "
    "(select 1 from run where owner = process.id and status = 1)"
)


class Move:
    """A transition: the work of the one transaction that each state costs."""

    __slots__ = ("_row", "_there")

    def __init__(self, there: tuple[Any, ...], row: tuple[Any, ...]) -> None:
        self._there = there
        self._row = row

    def __call__(self, cursor: sqlite3.Cursor) -> bool:
        """Move the run, if the fence lets it through."""
        cursor.execute(_MOVE, self._there)
        if cursor.rowcount != 1:
            return False
        cursor.execute(_INSERT_STEP, self._row)
        return True


class SQLiteCheckpoints:
    """Records runs in an SQLite file on a local disk.

    The file, and beside it a folder `<file>-owners`, are made when they are first used. Safe from
    any thread, and after a fork; several processes of one machine may use one file. A run whose
    process has ended, in whatever way, can be gone on with at once; one whose process is only
    stopped stays its own until somebody says `takeover=True`.

    Args:
        path: the file. SQLite also writes `<file>-wal` and `<file>-shm`; a copy of it is made by
            SQLite's `VACUUM INTO`, not by copying one of them.
        survive: what a transition survives: "crash", the end of its process at any instruction;
            "power", also that of the machine, for which each waits until it is on the disk, with
            those of other runs that do. That a run was claimed and that it has ended is on the
            disk in both cases.
        patience: seconds (or a `timedelta`) to wait for a file that another program has locked,
            or a disk that is full, before the call ends with a `CheckpointError`. A cancelled
            run does not wait.

    Raises:
        ConfigurationError: an argument is wrong. A file that cannot be used is found when it is
            first used.

    >>> from tempfile import TemporaryDirectory
    >>> from cano_sync import MemoryStore, Workflow
    >>> def count(store):
    ...     store.update("n", lambda n: n + 1, default=0)
    ...     return "DONE"
    >>> with TemporaryDirectory() as folder, SQLiteCheckpoints(f"{folder}/runs.db") as checkpoints:
    ...     workflow = (
    ...         Workflow()
    ...         .register("COUNT", count)
    ...         .add_exit_state("DONE")
    ...         .with_checkpoints(checkpoints, name="counting")
    ...     )
    ...     for _ in range(2):  # the second call gives the end of the run: nothing is done again
    ...         store = MemoryStore()
    ...         print(workflow.orchestrate("COUNT", store=store, run_id="monday"), store.get("n"))
    ...     print([step.state for step in checkpoints.run("monday").steps])
    DONE 1
    DONE 1
    ['COUNT', 'DONE']
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        survive: Literal["crash", "power"] = "crash",
        patience: Duration = 30.0,
    ) -> None:
        if not isinstance(path, str | os.PathLike) or not str(path) or str(path) == ":memory:":
            raise ConfigurationError(
                f"SQLiteCheckpoints() takes the path of a file, not {path!r}; for runs that need "
                "not survive their process there is MemoryCheckpoints()"
            )
        if survive not in ("crash", "power"):
            raise ConfigurationError(
                f"SQLiteCheckpoints(survive={survive!r}): it is 'crash' or 'power'"
            )
        self._path = Path(path)
        self._survives_power = survive == "power"
        self._patience = seconds(patience, "SQLiteCheckpoints(patience=...)")
        self._database: Database | None = None

    def __repr__(self) -> str:
        return f"SQLiteCheckpoints({str(self._path)!r})"

    def _known(self) -> Database:
        """The file, as this process uses it; it may not be open yet."""
        if self._database is None:
            self._database = database_at(self._path)
        return self._database

    def _open(self, cancel: CancellationToken | None = None) -> Database:
        database = self._known()
        if not database.is_open:
            database.open(self._patience, cancel)
            mine = database.process.id
            database.write(
                lambda cursor: cursor.execute(_FORGET_PROCESSES, (mine,)),
                self._patience,
                cancel,
                is_durable=False,
            )
        return database

    def close(self) -> None:
        """Close the file; the next use opens it again. Runs that are under way lose it."""
        if self._database is not None:
            self._database.close()

    def __enter__(self) -> SQLiteCheckpoints:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # For the engine: what a backend does.

    def begin(self, run: RunRow, step: StepRow, *, cancel: CancellationToken | None) -> bool:
        """See `Checkpoints`."""
        database = self._open(cancel)
        process = database.process
        row = run._replace(owner=process.id)
        first = row_of(run.id, step)

        def work(cursor: sqlite3.Cursor) -> bool:
            if cursor.execute(_INSERT_RUN, row).rowcount != 1:
                return False
            cursor.execute(_INSERT_STEP, first)
            cursor.execute(
                _INSERT_PROCESS, (process.id, process.host, process.pid, process.started_at)
            )
            return True

        is_durable = self._survives_power
        return self._take(database, run.id, run.token, work, cancel, is_durable, step)

    def look(
        self, run_id: str, *, cancel: CancellationToken | None, history: bool = False
    ) -> Stored | None:
        """See `Checkpoints`."""
        database = self._open(cancel)

        def work(cursor: sqlite3.Cursor) -> tuple[Any, list[Any], Any]:
            found = cursor.execute(_RUN, (run_id,)).fetchone()
            if found is None:
                return None, [], None
            rows = (
                cursor.execute(_STEPS, (run_id,))
                if history
                else cursor.execute(_LATEST_STEPS, (run_id, run_id))
            ).fetchall()
            owner = found[RunRow._fields.index("owner")]
            return found, rows, cursor.execute(_PROCESS, (owner,)).fetchone()

        found, rows, process = database.read(work, self._patience, cancel)
        if found is None:
            return None
        run = run_of(found)
        steps = tuple([step_of(run_id, row) for row in rows])
        _check_steps(run, steps, history=history)
        return Stored(run, steps, self._owner(database, run, process), run_id in database.held)

    def _owner(self, database: Database, run: RunRow, process: Any) -> Owner | None:
        if run.owner is None:
            return None
        if run.owner == database.process.id:
            # Its process lives, but is any thread at it? One may have failed to give it back.
            is_alive = database.held.get(run.id) == run.token
        else:
            is_alive = database.process.is_alive(run.owner)
        host, pid, started_at = ("?", 0, 0.0) if process is None else process
        return Owner(run.owner, str(host), pid, started_at, is_alive)

    def claim(
        self,
        run: RunRow,
        *,
        step: StepRow | None = None,
        cancel: CancellationToken | None,
    ) -> RunRow | None:
        """See `Checkpoints`."""
        database = self._open(cancel)
        process, now = database.process, time.time()
        claimed = run._replace(
            token=run.token + 1,
            owner=process.id,
            status=RunStatus.RUNNING,
            begun=run.begun + 1,
            changed_at=now,
        )
        row: tuple[Any, ...] = ()
        if step is not None:
            step = step._replace(seq=run.seq + 1, token=claimed.token)
            row = row_of(run.id, step)
            claimed = claimed._replace(seq=step.seq, state=step.state)

        def work(cursor: sqlite3.Cursor) -> bool:
            cursor.execute(
                _CLAIM,
                (process.id, now, claimed.version, claimed.shape, claimed.state, claimed.seq)
                + (run.id, run.token, run.seq, run.status),
            )
            if cursor.rowcount != 1:
                return False
            if row:
                cursor.execute(_INSERT_STEP, row)
            cursor.execute(
                _INSERT_PROCESS, (process.id, process.host, process.pid, process.started_at)
            )
            return True

        if not self._take(database, run.id, claimed.token, work, cancel, True, step):
            return None
        return claimed

    def _take(
        self,
        database: Database,
        run_id: str,
        token: int,
        work: Work[bool],
        cancel: CancellationToken | None,
        is_durable: bool,
        step: StepRow | None,
    ) -> bool:
        """Write that a run is this process's own; whether it is, from now on."""
        try:
            is_mine = self._write(database, work, cancel, is_durable=is_durable, step=step)
            if is_mine:
                database.held[run_id] = token
            return is_mine
        except BaseException:
            # It may have been written, and only the wait for the disk was ended: nobody is at it.
            database.owed[run_id] = token
            self._give_back(database)
            raise

    def move(
        self, run_id: str, token: int, step: StepRow, *, cancel: CancellationToken | None
    ) -> None:
        """See `Checkpoints`."""
        database = self._database
        if database is None or not database.is_open:
            database = self._open(cancel)
        move = Move(
            (step.state, step.seq, step.entered_at, run_id, token, step.seq - 1),
            row_of(run_id, step),
        )
        pages = 3 + len(step.delta) // 4096
        is_durable = self._survives_power
        if not database.write(move, self._patience, cancel, is_durable=is_durable, pages=pages):
            self._lost(database, run_id, token, step.seq)

    def end(
        self,
        run_id: str,
        token: int,
        status: RunStatus,
        *,
        seq: int,
        step: StepRow | None,
        error: str | None,
        cancel: CancellationToken | None,
    ) -> None:
        """See `Checkpoints`."""
        database, now = self._open(cancel), time.time()
        state, last = (None, seq) if step is None else (step.state, step.seq)

        def work(cursor: sqlite3.Cursor) -> bool:
            cursor.execute(_END, (state, last, status, error, now, now, run_id, token, seq))
            if cursor.rowcount != 1:
                return False
            if step is not None:
                cursor.execute(_INSERT_STEP, row_of(run_id, step))
            return True

        if not self._write(database, work, cancel, is_durable=True, step=step):
            self._lost(database, run_id, token, last)
        database.held.pop(run_id, None)

    def rest(self, run_id: str, token: int) -> None:
        """See `Checkpoints`."""
        database = self._database
        if database is None or not database.is_open:
            return  # it was closed, and with it was given up what this process had
        if database.held.get(run_id) == token:
            del database.held[run_id]
        database.owed[run_id] = token
        self._give_back(database)

    def _give_back(self, database: Database) -> None:
        """Give back what this process has and nobody works on, as far as that is possible now."""
        for run_id, token in list(database.owed.items()):
            row = (time.time(), run_id, token, database.process.id)
            try:
                database.write(partial(_rest, row), SHORT_PATIENCE, None, is_durable=False)
            except CheckpointError:
                return
            if database.owed.get(run_id) == token:
                del database.owed[run_id]

    def _write(
        self,
        database: Database,
        work: Work[bool],
        cancel: CancellationToken | None,
        *,
        is_durable: bool,
        step: StepRow | None,
    ) -> bool:
        if database.owed:
            self._give_back(database)
        pages = 6 if step is None else 6 + len(step.delta) // 4096
        return database.write(work, self._patience, cancel, is_durable=is_durable, pages=pages)

    def _lost(self, database: Database, run_id: str, token: int, seq: int) -> None:
        """The fence has refused a step: the run is lost, unless it was written after all.

        That is where a commit has failed by its own account, and has not.
        """
        stored = self.look(run_id, cancel=None)
        if (
            stored is not None
            and (stored.run.token, stored.run.seq) == (token, seq)
            and stored.run.status is not RunStatus.READY
        ):
            return
        if database.held.get(run_id) == token:
            del database.held[run_id]
        if stored is None:
            why = "its row is gone"
        elif stored.run.token != token:
            who = stored.owner
            why = f"it has token {stored.run.token} by now, and had {token}" + (
                "" if who is None else f"; process {who.pid} on {who.host} has it"
            )
        else:
            why = f"it is at step {stored.run.seq}, and was to go to {seq}"
        raise RunLostError(
            f"run {run_id!r} was taken over: {why}; nothing more of it is recorded here",
            run_id=run_id,
        )

    # For people.

    def run(self, run_id: str) -> RunRecord:
        """What is recorded of a run, with its steps.

        What is damaged, or of a type that is not known here, does not keep the rest from being
        shown: see `RunRecord.problem`.

        Raises:
            RunNotFoundError: there is no run of this id.
            CheckpointError: the file cannot be read.
        """
        database = self._open()

        def work(cursor: sqlite3.Cursor) -> tuple[Any, list[Any], Any]:
            found = cursor.execute(_RUN, (run_id,)).fetchone()
            rows = cursor.execute(_STEPS, (run_id,)).fetchall()
            owner = None if found is None else found[RunRow._fields.index("owner")]
            return found, rows, cursor.execute(_PROCESS, (owner,)).fetchone()

        found, rows, process = database.read(work, self._patience, None)
        if found is None:
            raise RunNotFoundError(f"there is no run {run_id!r} in {self._path}", run_id=run_id)
        return self._record(database, found, process, rows)

    def runs(
        self,
        *,
        workflow: str | None = None,
        status: RunStatus | None = None,
        state: Any = None,
        since: float | None = None,
        until: float | None = None,
        after: tuple[float, str] | None = None,
        limit: int = 100,
    ) -> list[RunRecord]:
        """The recorded runs, the newest first, without their steps.

        Args:
            workflow: only those of this name.
            status: only those of this status.
            state: only those that are in this state, or have ended there: the state or its name.
            since: only those that began at this time or later, in seconds since the epoch.
            until: only those that began before it.
            after: the next page: `(created_at, id)` of the last run of the page before.
            limit: how many at most.

        Raises:
            CheckpointError: the file cannot be read.
        """
        database = self._open()
        name = None if state is None else state_name(state)
        where, values = selection(workflow, status, name, since, until, after)
        columns = ", ".join(f"run.{name}" for name in RunRow._fields)
        query = (
            f"select {columns}, process.host, process.pid, process.started_at from run "
            f"left join process on process.id = run.owner{where} "
            "order by run.created_at desc, run.id desc limit ?"
        )
        rows = database.read(
            lambda cursor: cursor.execute(query, (*values, limit)).fetchall(), self._patience, None
        )
        width = len(RunRow._fields)
        return [
            self._record(database, row[:width], None if row[width] is None else row[width:], None)
            for row in rows
        ]

    def _record(self, database: Database, found: Any, process: Any, rows: Any) -> RunRecord:
        steps: list[StepRow] = []
        problem = None
        try:
            run = run_of(found)
            if rows is not None:
                steps.extend(step_of(run.id, row) for row in rows)  # those before a damaged one
                _check_steps(run, tuple(steps), history=True)
        except CorruptCheckpointError as error:
            problem = str(error)
            run = _as_far_as_readable(found)
        return record_of(run, self._owner(database, run, process), steps, problem)


def _rest(row: tuple[float, str, int, str], cursor: sqlite3.Cursor) -> None:
    cursor.execute(_REST, row)


def selection(
    workflow: str | None,
    status: RunStatus | None,
    state: str | None,
    since: float | None,
    until: float | None,
    after: tuple[float, str] | None,
) -> tuple[str, list[Any]]:
    """The filters of a listing, as SQL with the values to bind."""
    wanted: list[tuple[str, Any]] = [
        ("workflow = ?", workflow),
        ("status = ?", status),
        ("state = ?", state),
        ("created_at >= ?", since),
        ("created_at < ?", until),
    ]
    chosen = [(text, value) for text, value in wanted if value is not None]
    parts, values = [text for text, _ in chosen], [value for _, value in chosen]
    if after is not None:
        parts.append("(created_at, run.id) < (?, ?)")
        values += after
    return (f" where {' and '.join(parts)}" if parts else ""), values


def _check_steps(run: RunRow, steps: tuple[StepRow, ...], *, history: bool) -> None:
    """Whether the steps are whole, and lead to where the run is.

    Raises:
        CorruptCheckpointError: they do not.
    """
    where = f"run {run.id!r} is damaged: "
    if not steps or not steps[0].is_full or (history and steps[0].seq != 0):
        raise CorruptCheckpointError(f"{where}its first step is missing", run_id=run.id)
    for number, step in enumerate(steps, steps[0].seq):
        if step.seq != number:
            raise CorruptCheckpointError(f"{where}step {number} is missing", run_id=run.id)
    last = steps[-1]
    if (last.seq, last.state) != (run.seq, run.state):
        raise CorruptCheckpointError(
            f"{where}it is said to be at step {run.seq}, in {run.state!r}, and its last step is "
            f"{last.seq}, in {last.state!r}",
            run_id=run.id,
        )


def _as_far_as_readable(row: Any) -> RunRow:
    """A damaged row, for a listing: what has the wrong type is shown as text, or left out."""
    run = RunRow(*row)
    readable: dict[str, Any] = {
        name: str(getattr(run, name))
        for name in ("id", "workflow", "version", "shape", "state", "initial", "inputs")
    }
    for name in ("seq", "token", "begun"):
        readable[name] = value if isinstance(value := getattr(run, name), int) else -1
    for name in ("created_at", "changed_at"):
        readable[name] = value if isinstance(value := getattr(run, name), int | float) else 0.0
    for name, kind in (("owner", str), ("error", str), ("ended_at", float)):
        readable[name] = value if isinstance(value := getattr(run, name), kind) else None
    known = [status for status in RunStatus if status == run.status]
    return run._replace(**readable, status=known[0] if known else RunStatus.FAILED)
