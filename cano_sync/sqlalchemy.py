"""For SQLAlchemy without a framework: a session around each attempt at a task, by name.

It needs the extra `sqlalchemy`: `pip install 'cano_sync[sqlalchemy]'`.
"""

from __future__ import annotations

__all__ = ("SqlAlchemySession", "sqlalchemy_session")

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

from . import Around, ConfigurationError, TaskContext

try:
    from sqlalchemy.orm import Session, scoped_session
except ModuleNotFoundError as error:
    raise ImportError(
        "cano_sync.sqlalchemy needs SQLAlchemy: pip install 'cano_sync[sqlalchemy]'",
        name=error.name,
    ) from error

_log = logging.getLogger("cano_sync")

AnySession = TypeVar("AnySession", bound=Session)


class SqlAlchemySession(Around, Generic[AnySession]):
    """What `sqlalchemy_session` makes: see there.

    Attributes:
        name: the name of the parameter by which tasks get the session, or None.
    """

    def __init__(self, factory: Callable[[], AnySession], name: str | None) -> None:
        self.name = name
        self._factory = factory
        self._current: ContextVar[AnySession] = ContextVar("cano_sync.session")

    @property
    def current(self) -> AnySession:
        """The session of the attempt that calls, for code far below the task.

        Raises:
            ConfigurationError: no attempt calls, or one of a workflow without this around.
        """
        try:
            return self._current.get()
        except LookupError:
            raise ConfigurationError(
                "there is no session here: `current` is that of a task's attempt, in a workflow "
                "that was made with_around() this"
            ) from None

    @contextmanager
    def task(self, context: TaskContext, captured: Any) -> Iterator[AnySession]:
        session = self._factory()
        if not isinstance(session, Session):
            raise ConfigurationError(
                f"sqlalchemy_session(): the factory gave {session!r} of type "
                f"{type(session).__name__}, which is no Session; give sessionmaker(engine)"
            )
        before = self._current.set(session)
        try:
            yield session
            session.commit()  # not reached by a task that was abandoned: that leaves by Cancelled
        except BaseException:
            _roll_back(session)
            raise
        finally:
            self._current.reset(before)
            session.close()


def sqlalchemy_session(
    factory: Callable[[], AnySession], *, name: str | None = "session"
) -> SqlAlchemySession[AnySession]:
    """A session around each attempt at a task: commit, roll back, close.

    Each attempt has its own, on its own thread, and with it a transaction of its own: branches do
    not see what others have not yet committed.

    - The task has returned: it is committed. A commit that fails is the attempt's failure, and is
      retried as the task's config says.
    - The task has raised: it is rolled back, and the error passes.
    - The run has gone on without the task, as its time was up or a join was decided: it is rolled
      back, even if the task returns a value in the end.

    In any case it is closed, and its connection is back in the engine's pool. Objects that a task
    has loaded do not outlive it: put ids and plain values into the store.

    Attach it before the tasks that take the session are registered. Safe from any thread.

    Args:
        factory: makes a new `Session`; a `sessionmaker` does.
        name: the name of the parameter by which tasks get it; None for only by `current`.

    Raises:
        ConfigurationError: the factory cannot be one.

    >>> from sqlalchemy import create_engine, text
    >>> from sqlalchemy.orm import sessionmaker
    >>> from sqlalchemy.pool import StaticPool
    >>> from cano_sync import MemoryStore, Workflow
    >>> engine = create_engine("sqlite://", poolclass=StaticPool)
    >>> def count(store, session):
    ...     store.put("count", session.scalar(text("select 40 + 2")))
    ...     return "DONE"
    >>> workflow = (
    ...     Workflow()
    ...     .with_around(sqlalchemy_session(sessionmaker(engine)))
    ...     .register("COUNT", count)
    ...     .add_exit_state("DONE")
    ... )
    >>> store = MemoryStore()
    >>> workflow.orchestrate("COUNT", store=store), store.get("count")
    ('DONE', 42)
    >>> engine.dispose()
    """
    if isinstance(factory, scoped_session):
        raise ConfigurationError(
            "sqlalchemy_session(): a scoped_session keeps one session by thread, and an attempt "
            "must have its own; give the sessionmaker that it was made of"
        )
    if not callable(factory):
        raise ConfigurationError(
            f"sqlalchemy_session() takes a function that makes a Session, not {factory!r} of type "
            f"{type(factory).__name__}; give sessionmaker(engine)"
        )
    return SqlAlchemySession(factory, name)


def _roll_back(session: Session) -> None:
    try:
        session.rollback()
    except Exception:  # the connection is gone: what the task has raised says more
        _log.exception("a session could not be rolled back")
