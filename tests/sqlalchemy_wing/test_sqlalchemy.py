"""A session around each attempt: committed, rolled back, closed, and given by name."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from cano_sync import (
    AttemptTimeoutError,
    CancellationToken,
    ConfigurationError,
    JoinConfig,
    JoinError,
    JoinStrategy,
    MemoryStore,
    RetryExhaustedError,
    TaskConfig,
    TaskExecutionError,
    Workflow,
    WorkflowTimeoutError,
    wait_for_abandoned,
)
from cano_sync.sqlalchemy import SqlAlchemySession, sqlalchemy_session
from cano_sync.testing import inline
from tests.kit import SOON, Boom, Step
from tests.postgres import fresh_database, needs_postgres, sqlalchemy_url


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=needs_postgres)])
def engine(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Of an empty database with a table `item`, whose names are unique, when looked at late."""
    if request.param == "sqlite":
        made = create_engine(f"sqlite:///{tmp_path_factory.mktemp('sqlite') / Path('shop.db')}")
        with made.begin() as connection:
            connection.execute(text("CREATE TABLE item (name TEXT)"))
        yield made
        made.dispose()
        return
    with fresh_database() as name:
        made = create_engine(sqlalchemy_url(name), pool_size=10)
        with made.begin() as connection:
            connection.execute(
                text("CREATE TABLE item (name TEXT UNIQUE DEFERRABLE INITIALLY DEFERRED)")
            )
        yield made
        made.dispose()


@pytest.fixture
def around(engine: Any) -> Iterator[SqlAlchemySession[Session]]:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM item"))
    yield sqlalchemy_session(sessionmaker(engine))
    assert wait_for_abandoned(SOON)
    assert engine.pool.checkedout() == 0  # each session was closed


def names(engine: Any) -> list[str]:
    with engine.connect() as connection:
        return sorted(connection.scalars(text("SELECT name FROM item")))


def insert(session: Session, name: str) -> None:
    session.execute(text("INSERT INTO item VALUES (:name)"), {"name": name})


def single(around: Any, task: Any, config: TaskConfig | None = None) -> Workflow[Any]:
    workflow = Workflow().with_around(around).register(Step.START, task, config)
    return workflow.add_exit_state(Step.DONE)


def split(around: Any, tasks: Any, strategy: JoinStrategy = JoinStrategy.ALL, **join: Any) -> Any:
    config = JoinConfig(strategy, Step.DONE, **join)
    workflow = Workflow().with_around(around).register_split(Step.START, tasks, config)
    return workflow.add_exit_state(Step.DONE)


def test_a_task_that_returns_is_committed(engine, around) -> None:
    def save(store: Any, session: Session) -> Any:
        insert(session, "kept")
        return Step.DONE

    single(around, save).orchestrate(Step.START)
    assert names(engine) == ["kept"]


def test_a_task_that_raises_is_rolled_back(engine, around) -> None:
    def save(store: Any, session: Session) -> Any:
        insert(session, "dropped")
        raise Boom

    with pytest.raises(TaskExecutionError) as caught:
        single(around, save).orchestrate(Step.START)
    assert isinstance(caught.value.__cause__, Boom)
    assert names(engine) == []


def test_each_attempt_has_a_session_and_a_transaction(engine, around) -> None:
    sessions: list[Session] = []

    def save(store: Any, session: Session, context: Any) -> Any:
        sessions.append(session)
        insert(session, f"attempt {context.attempt}")
        if context.attempt == 1:
            raise Boom
        return Step.DONE

    single(around, save, TaskConfig().with_fixed_retry(1, 0)).orchestrate(Step.START)
    assert names(engine) == ["attempt 2"]
    assert sessions[0] is not sessions[1]


def test_each_branch_has_a_session(engine, around) -> None:
    meeting = threading.Barrier(8, timeout=SOON)
    sessions: list[Session] = []

    def save(store: Any, session: Session, context: Any) -> None:
        sessions.append(session)
        meeting.wait()
        insert(session, f"branch {context.index}")

    split(around, [save] * 8).orchestrate(Step.START)
    assert len({id(session) for session in sessions}) == 8
    assert names(engine) == [f"branch {index}" for index in range(8)]


@pytest.mark.parametrize("retries", [0, 1])
def test_a_commit_that_fails_fails_the_attempt(engine, around, retries: int) -> None:
    """It is retried as configured, and what went before is not there twice."""
    attempts: list[int] = []

    def save(store: Any, session: Session, context: Any) -> Any:
        attempts.append(context.attempt)
        insert(session, "kept")
        if context.attempt == 1:
            event.listen(session, "before_commit", fail)
        return Step.DONE

    def fail(session: Session) -> None:
        raise Boom("no commit today")

    config = TaskConfig().with_fixed_retry(retries, 0) if retries else None
    workflow = single(around, save, config)
    if retries:
        workflow.orchestrate(Step.START)
        assert names(engine) == ["kept"]
    else:
        with pytest.raises(TaskExecutionError, match="no commit today"):
            workflow.orchestrate(Step.START)
        assert names(engine) == []
    assert len(attempts) == retries + 1


def test_what_the_database_finds_at_the_commit_fails_the_task(engine, around) -> None:
    if engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no constraints that are looked at so late")

    def save(store: Any, session: Session) -> Any:
        insert(session, "twice")
        insert(session, "twice")
        return Step.DONE

    config = TaskConfig().with_fixed_retry(1, 0)
    with pytest.raises(RetryExhaustedError, match="duplicate key"):
        single(around, save, config).orchestrate(Step.START)
    assert names(engine) == []


def test_an_abandoned_branch_is_rolled_back_though_it_returns(engine, around, gate) -> None:
    begun = threading.Event()

    def deaf(store: Any, session: Session) -> str:
        insert(session, "late")
        begun.set()
        gate.wait(SOON)
        return "a value"

    def fail(store: Any, session: Session) -> None:
        begun.wait(SOON)
        raise Boom

    with pytest.raises(JoinError):
        split(around, [deaf, fail], fail_fast=True).orchestrate(Step.START)
    gate.set()
    assert wait_for_abandoned(SOON)
    assert names(engine) == []


def test_an_abandoned_run_is_rolled_back(engine, around, gate) -> None:
    def deaf(store: Any, session: Session) -> Any:
        insert(session, "late")
        gate.wait(SOON)
        return Step.DONE

    with pytest.raises(WorkflowTimeoutError):
        single(around, deaf).with_timeout(0.05).orchestrate(Step.START)
    gate.set()
    assert wait_for_abandoned(SOON)
    assert names(engine) == []


def test_an_abandoned_attempt_is_rolled_back(engine, around, gate) -> None:
    def deaf(store: Any, session: Session) -> Any:
        insert(session, "late")
        gate.wait(SOON)
        return Step.DONE

    with pytest.raises(AttemptTimeoutError):
        single(around, deaf, TaskConfig().with_attempt_timeout(0.05)).orchestrate(Step.START)
    gate.set()
    assert wait_for_abandoned(SOON)
    assert names(engine) == []


def test_a_task_that_was_cancelled_is_rolled_back(engine, around) -> None:
    def save(store: Any, session: Session, cancel: CancellationToken) -> Any:
        insert(session, "late")
        cancel.sleep(SOON)

    with pytest.raises(WorkflowTimeoutError):
        single(around, save).with_timeout(0.05, stay=True).orchestrate(Step.START)
    assert names(engine) == []


def test_code_far_below_finds_the_session(around) -> None:
    seen: list[bool] = []

    def below() -> Session:
        return around.current

    def save(store: Any, session: Session) -> Any:
        seen.append(below() is session)
        return Step.DONE

    single(around, save).orchestrate(Step.START)
    assert seen == [True]
    with pytest.raises(ConfigurationError, match="there is no session here"):
        below()


def test_two_databases_have_two_names(engine) -> None:
    factory = sessionmaker(engine)
    first, second = sqlalchemy_session(factory), sqlalchemy_session(factory, name="archive")
    third = sqlalchemy_session(factory, name=None)
    seen: list[Any] = []

    def save(store: Any, archive: Session, session: Session) -> Any:
        seen.extend((archive is second.current, session is first.current, third.current))
        return Step.DONE

    workflow = Workflow().with_around(first).with_around(second).with_around(third)
    workflow.register(Step.START, save).add_exit_state(Step.DONE).orchestrate(Step.START)
    assert seen[:2] == [True, True]
    assert seen[2] is not None


def test_a_run_within_a_task_has_its_own_and_gives_the_outer_one_back(engine, around) -> None:
    def inner(store: Any, session: Session) -> Any:
        return Step.DONE if session is around.current else Step.LOST

    def outer(store: Any, session: Session) -> Any:
        final = single(around, inner).orchestrate(Step.START)
        assert around.current is session
        return final

    assert single(around, outer).orchestrate(Step.START) is Step.DONE


def test_inline_runs_commit_as_others_do(engine, around) -> None:
    def save(store: Any, session: Session, context: Any) -> None:
        insert(session, f"branch {context.index}")

    with inline():
        split(around, [save] * 2).orchestrate(Step.START)
    assert names(engine) == ["branch 0", "branch 1"]


def test_a_connection_that_is_gone_does_not_hide_the_error(engine, around, caplog) -> None:
    def save(store: Any, session: Session) -> Any:
        event.listen(session, "after_rollback", gone)
        insert(session, "dropped")
        raise Boom("what happened")

    def gone(session: Session) -> None:
        raise ConnectionError("gone")

    with pytest.raises(TaskExecutionError, match="what happened"):
        single(around, save).orchestrate(Step.START)
    assert "a session could not be rolled back" in caplog.text
    assert names(engine) == []


def test_a_store_is_given_beside_it(around) -> None:
    store = MemoryStore()

    def save(store: Any, session: Session) -> Any:
        store.put("one", session.scalar(text("SELECT 1")))
        return Step.DONE

    single(around, save).orchestrate(Step.START, store=store)
    assert store.get("one") == 1


# What is wrong with it.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda engine: engine, r"not Engine\(.*give sessionmaker\(engine\)"),
        (lambda engine: Session(engine), r"of type Session; give sessionmaker\(engine\)"),
        (lambda engine: scoped_session(sessionmaker(engine)), "must have its own"),
    ],
)
def test_what_cannot_be_a_factory_is_refused(engine: Any, make: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        sqlalchemy_session(make(engine))


def test_a_factory_of_something_else_is_seen_when_it_is_called(engine: Any) -> None:
    around: Any = sqlalchemy_session(engine.connect)  # type: ignore[type-var]
    with pytest.raises(ConfigurationError, match="which is no Session; give sessionmaker"):
        single(around, lambda: Step.DONE).orchestrate(Step.START)
