"""One SQLite file, as one process uses it: connections, transactions and their durability."""

from __future__ import annotations

__all__ = ("Database", "Work", "database_at")

import os
import random
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet, WeakValueDictionary, finalize

from .._base.cancellation import CancellationToken
from ..errors import CheckpointError, ConfigurationError
from .liveness import ProcessLock
from .schema import SCHEMA, SQLITE

if sys.platform == "darwin":
    import fcntl

T = TypeVar("T")

Work = Callable[[sqlite3.Cursor], T]
"""What is done within a transaction; it may be done again, if the transaction has failed."""

FIRST_PAUSE, LONGEST_PAUSE = 0.0001, 0.002
"""Seconds between two tries to write, while another process does."""
LONG_PAUSE = 0.25
"""Seconds between two tries where a disk is full, or broken: no other process will be done soon."""
CHECKPOINT_PAGES = 1_000
"""After about so many written pages they are copied from the WAL into the file."""
MANY_FRAMES = 16_000
"""With so many frames in the WAL its rest is copied while nobody of this process writes."""

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
_PASSING = (*_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM)


class Database:
    """One file, as one process uses it. All handles of the process for this file share it.

    There is one connection for writing, and one for reading, each behind a lock, and one that
    copies the WAL into the file: threads of a process never meet in SQLite's own busy handler,
    which hears no cancellation. `_lock` guards the writing connection, `_written` and `_pages`;
    `_reading` the reading one; `_syncing` guards `_synced` and `_is_syncing`. None of them is held
    while somebody waits for another process.

    Attributes:
        is_open: whether it was opened, and not closed.
        held: the runs that threads of this process are at, with the tokens that they have.
        owed: runs that could not be given back yet, with their tokens.
        syncs: how often the WAL was synced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connections: list[sqlite3.Connection] = []
        self._process: ProcessLock | None = None
        self.is_open = False
        # Who drops the last handle without closing it need not know that there are connections.
        # At the interpreter's exit an abandoned task may still be in one: there it is left alone.
        finalize(self, _close, self._connections).atexit = False
        # Of both, only single operations of a dict are used, each of which is atomic.
        self.held: dict[str, int] = {}
        self.owed: dict[str, int] = {}
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._opening = threading.Lock()
        self._syncing = threading.Condition(threading.Lock())
        self._written = self._synced = self._pages = self.syncs = 0
        self._wal = -1  # a descriptor of the WAL, once something was synced
        self._is_syncing = False
        self._checkpointing: threading.Thread | None = None
        self._copier: sqlite3.Connection | None = None  # used by that thread alone
        self._cursor_type: type[sqlite3.Cursor] = sqlite3.Cursor
        self._identity: tuple[int, int] | None = None

    # Opening.

    @property
    def process(self) -> ProcessLock:
        """This process, as the others see it; once it is open."""
        assert self._process is not None
        return self._process

    def open(self, patience: float, cancel: CancellationToken | None) -> None:
        """Open the file, if that was not done yet.

        Raises:
            ConfigurationError: it cannot be used there.
            CheckpointError: it cannot be opened now.
        """
        if self.is_open:
            return
        with self._opening:
            if not self.is_open:
                try:
                    self._open(patience, cancel)
                except BaseException:
                    self._close_connections()
                    raise
                self.is_open = True

    def _open(self, patience: float, cancel: CancellationToken | None) -> None:
        path = self.path
        if not path.parent.is_dir():
            raise ConfigurationError(f"{path}: there is no folder {path.parent}; make it first")
        if path.is_dir():
            raise ConfigurationError(f"{path} is a folder; name a file in it")
        with suppress(OSError):
            # For its owner alone: it has the values of the runs. Only a file that is new is
            # opened here: closing a descriptor of another would drop SQLite's locks on it.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        try:
            self._writer = self._retry(self._connect, patience, cancel)
            self._cursor = self._writer.cursor(self._cursor_type)
            self._retry(self._migrate, patience, cancel)
            self._reader = self._retry(self._connect, patience, cancel)
            self._process = ProcessLock(path.with_name(f"{path.name}-owners"))
        except sqlite3.Error as error:  # what _retry has not understood
            raise self._problem(error) from error
        except OSError as error:
            raise CheckpointError(
                f"{path}: the folder for its owners' locks cannot be used: {error}"
            ) from error
        status = os.stat(path)
        self._identity = (status.st_dev, status.st_ino)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            (mode,) = connection.execute("pragma journal_mode = wal").fetchone()
            if mode != "wal":
                raise ConfigurationError(
                    f"{self.path}: SQLite answers journal mode {mode!r} instead of 'wal', as on a "
                    f"network file system; {_mount_of(self.path)}put the file on a local disk"
                )
            connection.execute("pragma synchronous = normal")
            # Done by a thread of ours: by a committing one, it would hold that run up. And only
            # one process does it at a time: before SQLite 3.51.3, two that do it at the same
            # instant while a third one commits may damage the file.
            connection.execute("pragma wal_autocheckpoint = 0")
            if sys.platform == "darwin":
                connection.execute("pragma checkpoint_fullfsync = 1")
        except BaseException:
            connection.close()
            raise
        self._connections.append(connection)
        return connection

    def _migrate(self) -> None:
        cursor = self._cursor
        if self._schema()[0] >= SCHEMA:
            self._check_reader()
            return
        cursor.execute("begin immediate")
        try:
            number, _ = self._schema()
            if number == 0:
                cursor.execute(
                    "create table if not exists meta (key text primary key not null, value text) "
                    "without rowid"
                )
            for migration in SQLITE:
                if migration.number > number:
                    for statement in migration.statements:
                        cursor.execute(statement)
                    for key, value in (
                        ("schema", migration.number),
                        ("min_reader", migration.min_reader),
                    ):
                        cursor.execute("insert or replace into meta values (?, ?)", (key, value))
            cursor.execute("commit")
        except BaseException:
            self._roll_back()
            raise
        self._check_reader()

    def _schema(self) -> tuple[int, int]:
        """The numbers of the schema, and of the oldest reader that may use it; 0 without one."""
        cursor = self._cursor
        found = cursor.execute("select 1 from sqlite_master where name = 'meta'").fetchone()
        if found is None:
            return 0, 0
        meta = dict(cursor.execute("select key, value from meta").fetchall())
        try:
            return int(meta.get("schema", 0)), int(meta.get("min_reader", 0))
        except (TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.path}: the number of its schema is damaged: {meta.get('schema')!r}"
            ) from error

    def _check_reader(self) -> None:
        number, oldest = self._schema()
        if oldest > SCHEMA:
            raise CheckpointError(
                f"{self.path} has schema {number}, for which this version of cano_sync, which "
                f"knows {SCHEMA}, is too old; install a newer one"
            )

    # Transactions.

    def write(
        self,
        work: Work[T],
        patience: float,
        cancel: CancellationToken | None,
        *,
        is_durable: bool,
        pages: int = 3,
    ) -> T:
        """Do `work` in a transaction.

        Args:
            work: gets a cursor.
            patience: seconds to wait for what passes by itself.
            cancel: ends the wait.
            is_durable: return only when it survives a power cut.
            pages: about how many it writes.

        Raises:
            CheckpointError: it could not be done.
            Cancelled: `cancel` was cancelled while another process was writing.
        """
        try:
            ticket, result = self._transaction(work, pages)
        except sqlite3.Error:
            ticket, result = self._retry(lambda: self._transaction(work, pages), patience, cancel)
        if is_durable:
            self._check_file()
            self._sync(ticket, cancel)
        return result

    def _transaction(self, work: Work[T], pages: int) -> tuple[int, T]:
        with self._lock:
            cursor = self._cursor
            cursor.execute("begin immediate")
            try:
                result = work(cursor)
                cursor.execute("commit")
            except BaseException:
                self._roll_back()
                raise
            self._written += 1
            ticket = self._written
            self._pages += pages
            is_much = self._pages >= CHECKPOINT_PAGES
            if is_much:
                self._pages = 0
        if is_much:
            self._start_checkpoint()
        return ticket, result

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):
            if self._writer.in_transaction:
                self._cursor.execute("rollback")

    def read(self, work: Work[T], patience: float, cancel: CancellationToken | None) -> T:
        """Do `work` in a transaction that only reads: all it sees is of one moment."""

        def once() -> T:
            with self._reading:
                cursor = self._reader.cursor()
                cursor.execute("begin")
                try:
                    return work(cursor)
                finally:
                    cursor.execute("rollback")

        return self._retry(once, patience, cancel)

    def _retry(self, act: Callable[[], T], patience: float, cancel: CancellationToken | None) -> T:
        end = time.monotonic() + patience
        pause = FIRST_PAUSE
        while True:
            try:
                return act()
            except sqlite3.Error as error:
                code = _code_of(error)
                if code not in _PASSING or time.monotonic() >= end:
                    raise self._problem(error) from error
            length = pause * random.uniform(0.5, 1.0) if code in _BUSY else LONG_PAUSE
            pause = min(2 * pause, LONGEST_PAUSE)
            length = min(length, max(0.0, end - time.monotonic()))
            if cancel is None:
                time.sleep(length)
            else:
                cancel.sleep(length)

    def _problem(self, error: sqlite3.Error) -> CheckpointError:
        code, mend = _code_of(error), "look at the file and its folder"
        if code in _BUSY:
            mend = "another program has locked it for long: find out which, or give more patience"
        elif code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            mend = "make room on its disk; the run goes on from its last state"
        elif code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
            mend = "make the file and its folder writable for this user"
        elif code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            mend = "it is no database of checkpoints, or was damaged: restore a copy of it"
        return CheckpointError(f"{self.path}: {error}; {mend}")

    def watch(self, heard: Callable[[str], object]) -> None:
        """Call `heard("before")` and `heard("after")` around each statement that may write."""

        class Watched(sqlite3.Cursor):
            def execute(self, statement: str, values: Any = (), /) -> Any:
                heard("before")
                super().execute(statement, values)
                heard("after")
                return self

        self._cursor_type = Watched
        if self.is_open:
            self._cursor = self._writer.cursor(Watched)

    # Durability.

    def _sync(self, ticket: int, cancel: CancellationToken | None) -> None:
        """Return when the transaction with this number is on the disk.

        One thread of all that wait syncs the WAL, and with it all that stands in it by then (a
        group commit). It does so by a descriptor of its own, without a lock, and without SQLite's
        for writing: others go on committing meanwhile. What is no longer in the WAL was synced
        when it was copied from there. On the WAL, unlike the file, SQLite has no lock that closing
        a descriptor could drop.
        """
        syncing = self._syncing
        while True:
            with syncing:
                while self._is_syncing and self._synced < ticket:
                    syncing.wait(0.05)
                    if cancel is not None and self._synced < ticket:
                        cancel.check()
                if self._synced >= ticket:
                    return
                self._is_syncing = True
            synced = 0
            try:
                written = self._written  # these have been committed, and are in the WAL
                self._sync_wal()
                synced = written
            except OSError as error:  # what is on the disk now, nobody knows: no second try
                raise CheckpointError(
                    f"{self.path}: its WAL could not be synced: {error}; look at the disk"
                ) from error
            finally:
                with syncing:
                    self._is_syncing = False
                    self._synced = max(self._synced, synced)
                    self.syncs += 1
                    syncing.notify_all()

    def _sync_wal(self) -> None:
        if self._wal < 0:
            self._wal = os.open(f"{self.path}-wal", os.O_RDWR)
            _sync_folder(self.path.parent)
        if sys.platform == "darwin":
            fcntl.fcntl(self._wal, fcntl.F_FULLFSYNC)
        elif sys.platform == "win32":
            os.fsync(self._wal)
        else:
            os.fdatasync(self._wal)

    def _check_file(self) -> None:
        """What is written into a file that is gone from its folder is not kept."""
        try:
            status = os.stat(self.path)
            identity = (status.st_dev, status.st_ino)
        except OSError:
            identity = (-1, -1)
        if identity != self._identity:
            raise CheckpointError(
                f"{self.path} was deleted or replaced while it was in use: what is written now is "
                "lost; put the file back, and start the process again"
            )

    def _start_checkpoint(self) -> None:
        """Copy pages from the WAL into the file, on a thread that ends when that is done."""
        with suppress(RuntimeError):  # at the interpreter's exit
            if self._checkpointing is None or not self._checkpointing.is_alive():
                thread = threading.Thread(
                    target=self._checkpoint, name="cano-checkpoint", daemon=True
                )
                thread.start()
                self._checkpointing = thread

    def _checkpoint(self) -> None:
        with suppress(sqlite3.Error, OSError):
            if self._copier is None:
                self._copier = self._connect()
            # Who has this lock is the only one that does it, among all processes.
            with self.process.alone("checkpoint") as is_alone:
                if not is_alone:
                    return
                answer = self._copier.execute("pragma wal_checkpoint(passive)").fetchone()
                if answer[1] > MANY_FRAMES:
                    # Who writes all the time never lets the WAL begin again from its start.
                    with self._lock:
                        self._copier.execute("pragma wal_checkpoint(passive)")

    # The end.

    def close(self) -> None:
        """Close the file, and give up what this process has."""
        with self._opening:
            thread = self._checkpointing
            if thread is not None:
                thread.join()
            with self._lock, self._reading:
                self._close_connections()
                if self._process is not None:
                    self._process.close()
                self._process = None
                self.is_open = False
                self.held.clear()
                self.owed.clear()

    def _close_connections(self) -> None:
        self._copier = None
        self._close_wal()
        _close(self._connections)

    def _close_wal(self) -> None:
        if self._wal >= 0:
            os.close(self._wal)
        self._wal = -1

    def forget(self) -> None:
        """In a forked child: drop what is the parent's, without closing it, and begin anew."""
        _inherited.extend(self._connections)  # closing one would end the parent's locks
        self._connections.clear()
        if self._process is not None:
            self._process.forget()
        self._process = None
        self.is_open = False
        self._close_wal()
        self.held.clear()
        self.owed.clear()
        self._begin()


def _close(connections: list[sqlite3.Connection]) -> None:
    while connections:
        connections.pop().close()


def _code_of(error: sqlite3.Error) -> int:
    """The primary code of an error of SQLite's; 0 where it is one of Python's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _sync_folder(folder: Path) -> None:
    """Have the names of new files on the disk, too; where the system knows no such thing, not."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _mount_of(path: Path) -> str:
    """Where the file system is mounted that a path is on, for a message."""
    folder = path.resolve().parent
    while not folder.is_mount() and folder != folder.parent:
        folder = folder.parent
    return f"it is mounted at {folder}; "


_inherited: list[Any] = []
_databases: WeakValueDictionary[Path, Database] = WeakValueDictionary()
_all: WeakSet[Database] = WeakSet()
_lock = threading.Lock()  # guards both


def database_at(path: Path) -> Database:
    """The one of this process for this file."""
    where = path.absolute()
    with suppress(OSError):
        where = where.resolve()
    with _lock:
        found = _databases.get(where)
        if found is None:
            found = _databases[where] = Database(where)
            _all.add(found)
        return found


def _forget_all() -> None:
    global _lock
    _lock = threading.Lock()
    for database in list(_all):
        database.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
