"""The guard of a pool thread's connections: a task that comes too late neither queries nor commits.

The fence of the engine keeps such a task out of the store. A database is guarded by what Django
leaves open on a connection: a wrapper around each query, and the methods `commit` and `on_commit`,
which all that is atomic ends with.
"""

from __future__ import annotations

__all__ = ("InlineBranch", "JobOnThread", "TaskOnThread", "current_home")

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from threading import get_ident
from types import TracebackType
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connections

from .. import Cancelled, TaskContext, current_token
from .._engine import is_abandoned
from .busy import job_begins, job_ends
from .closing import close
from .home import Home
from .refusals import add_notes
from .warning import warn_at_the_query


class _Thread(threading.local):
    """What a pool thread is at; nothing on all others."""

    task: TaskOnThread | None = None


_thread = _Thread()


def current_home() -> Home | None:
    """Where the task on this thread was handed over; None outside of pool threads."""
    return None if _thread.task is None else _thread.task.home


LOCK_SHARE = 0.9
"""Of the time that is left, for locks: so that a branch says what it waits for, in time."""


class JobOnThread:
    """A pool thread's job: its connections are guarded, and those that it opens are closed."""

    def __init__(self) -> None:
        self._guards: list[_Guard] = []
        # An executor of a user's may have opened some on its threads, or may do the work on the
        # thread that submits it, in the middle of a transaction: they stay as they are.
        self._kept: set[int] = set()

    def __enter__(self) -> None:
        job_begins()
        for connection in _all_connections():
            if connection.connection is not None:
                self._kept.add(id(connection))
            if not any(isinstance(each, _Guard) for each in connection.execute_wrappers):
                self._guards.append(_Guard(connection))

    def __exit__(self, *error: object) -> None:
        try:
            for guard in self._guards:
                guard.detach()
            close(
                [
                    each
                    for each in connections.all(initialized_only=True)
                    if each.connection is not None and id(each) not in self._kept
                ]
            )
        finally:
            job_ends()


def _all_connections() -> Iterator[Any]:
    """Also those that this thread has not used yet: `on_commit` does not connect beforehand."""
    for alias in connections:
        # One that nobody can use need not be guarded; who tries will learn of it.
        with suppress(ImproperlyConfigured):
            yield connections[alias]


class TaskOnThread:
    """An attempt at a task on a pool thread, with what it has brought along from home.

    Attributes:
        home: the thread where its work was handed over.
    """

    def __init__(self, context: TaskContext, home: Home) -> None:
        self._context = context
        self.home = home
        self._outer: TaskOnThread | None = None
        self._queried: set[str] = set()  # the databases with an open transaction at home
        self._limited: list[Any] = []  # the connections with a limit for locks

    def __enter__(self) -> None:
        self._outer, _thread.task = _thread.task, self
        # In the task's own copy of the contextvars context, with which it ends.
        self.home.ambience.enter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _thread.task = self._outer
        for connection in self._limited:
            _set_lock_timeout(connection, "DEFAULT")
        if error is not None:
            add_notes(error)

    def before_query(self, connection: Any) -> None:
        """Warn of an open transaction at home, once, and limit the wait for its locks."""
        alias = connection.alias
        home = self.home
        if alias not in home.open or alias in self._queried or home.thread == get_ident():
            return
        self._queried.add(alias)
        warn_at_the_query(home.warning(alias, self._context.state))
        left = current_token().remaining()
        if left is None or connection.vendor != "postgresql":
            return
        with connection.wrap_database_errors:
            milliseconds = max(1, int(left * LOCK_SHARE * 1000))
            with connection.connection.cursor() as cursor:
                cursor.execute(f"SET lock_timeout = {milliseconds}")
        self._limited.append(connection)

    def defer(self, connection: Any, callback: Callable[[], object], robust: bool) -> bool:
        """Let a callback of `on_commit` wait for the transaction at home, if it is to."""
        deferred = self.home.deferred.get(connection.alias)
        if deferred is None or connection.in_atomic_block or not connection.get_autocommit():
            return False
        deferred.add(callback, robust)
        return True


class InlineBranch:
    """A branch on its view's own thread, within its transaction: as in a test, and only there.

    It warns of the first query to each database of which the view holds a transaction open: with a
    thread of its own the branch will see something else.
    """

    def __init__(self, context: TaskContext, home: Home, held: list[str]) -> None:
        self._context = context
        self._home = home
        self._left = ExitStack()
        self._held = held

    def __enter__(self) -> None:
        for alias in self._held:
            self._left.enter_context(connections[alias].execute_wrapper(self._wrapper(alias)))

    def __exit__(self, *error: object) -> None:
        self._left.close()

    def _wrapper(self, alias: str) -> Callable[..., Any]:
        warned = False

        def wrapper(
            execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any
        ) -> Any:
            nonlocal warned
            if not warned:
                warned = True
                text = self._home.warning(alias, self._context.state)
                warn_at_the_query(f"(outside of tests:) {text}")
            return execute(sql, params, many, context)

        return wrapper


class _Guard:
    """Of one connection, while a job has the thread. As a wrapper of queries it is the outermost.

    Whoever abandons a task between the look and the commit comes too late to stop that.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._commit = connection.commit
        self._on_commit = connection.on_commit
        # At the beginning: Django's execute_wrapper() takes back the last one, whichever it is.
        connection.execute_wrappers.insert(0, self)
        connection.commit = self.commit
        connection.on_commit = self.on_commit

    def detach(self) -> None:
        """Leave the connection as it was."""
        connection = self._connection
        connection.execute_wrappers.remove(self)
        del connection.commit
        del connection.on_commit

    def __call__(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        """Around a query."""
        if not (isinstance(sql, str) and sql.startswith(("ROLLBACK", "RELEASE"))):
            self._check()
        task = _thread.task
        if task is not None:
            task.before_query(self._connection)
        return execute(sql, params, many, context)

    def commit(self) -> None:
        """Commit, or roll back and raise `Cancelled`: callbacks of `on_commit` go with it."""
        try:
            self._check()
        except Cancelled:
            try:
                self._connection.rollback()
            except Error:
                self._connection.close()
            raise
        self._commit()

    def on_commit(self, callback: Callable[[], object], robust: bool = False) -> None:
        """Register a callback, or let it wait for the transaction that its branch stands beside."""
        self._check()
        task = _thread.task
        if (
            task is None
            or not callable(callback)
            or not task.defer(self._connection, callback, robust)
        ):
            self._on_commit(callback, robust=robust)

    def _check(self) -> None:
        if is_abandoned(current_token()):
            alias = self._connection.alias
            raise Cancelled(
                f"the run has moved on: this task's access to database {alias!r} came too late"
            )


def _set_lock_timeout(connection: Any, value: str) -> None:
    if connection.connection is None:
        return
    try:
        with connection.connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {value}")
    except Exception:  # it is broken: the next task gets another one
        connection.close()
