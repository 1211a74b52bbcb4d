"""Row 11 of the web's ledger: `db.session` of Flask-SQLAlchemy in the branches of a split."""

from __future__ import annotations

import inspect
import threading
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import session as orm_session

from cano_sync import (
    Cancelled,
    JoinError,
    JoinStrategy,
    MemoryStore,
    TaskConfig,
    WorkflowTimeoutError,
    wait_for_abandoned,
)
from cano_sync import task as as_task
from cano_sync.testing import inline
from tests.kit import SOON, Boom, Step, single, split

WIDE = 8


def asking(db: Any, sessions: list[int]) -> Any:
    """A branch that queries while all others have a session, too, and notes which it has."""
    meeting = threading.Barrier(WIDE, timeout=SOON)

    def ask() -> int:
        sessions.append(id(db.session()))
        meeting.wait()
        try:
            return int(db.session.scalar(text("SELECT 42")))
        finally:
            meeting.wait()  # so that no session is removed, and its address used again, before

    return ask


def test_without_the_extension_branches_share_one_session(with_database) -> None:
    """What is turned: one object on eight threads."""
    app, db = with_database(has_cano=False)
    sessions: list[int] = []
    workflow = split([asking(db, sessions)] * WIDE, JoinStrategy.SETTLED)
    with app.test_request_context():
        workflow.orchestrate(Step.START)
    assert len(sessions) == WIDE
    assert len(set(sessions)) == 1


@pytest.mark.skipif(
    "provisioning a new" not in inspect.getsource(orm_session),
    reason="this SQLAlchemy does not notice it: both go on with one connection",
)
def test_without_the_extension_branches_get_in_each_others_way(with_database, monkeypatch) -> None:
    """One is still connecting when the other begins to: SQLAlchemy sees that, if nothing else."""
    app, db = with_database(has_cano=False)
    is_connecting, may_go_on = threading.Event(), threading.Event()
    connect = Engine.connect

    def slow(engine: Engine) -> Any:
        if not is_connecting.is_set():
            is_connecting.set()
            may_go_on.wait(SOON)
        return connect(engine)

    monkeypatch.setattr(Engine, "connect", slow)

    def first() -> None:
        db.session.scalar(text("SELECT 42"))

    def second() -> None:
        is_connecting.wait(SOON)
        try:
            db.session.scalar(text("SELECT 42"))
        finally:
            may_go_on.set()

    workflow = split([first, second])
    with app.test_request_context(), pytest.raises(JoinError) as caught:
        workflow.orchestrate(Step.START)
    (outcome,) = caught.value.result.errors
    assert "This session is provisioning a new connection" in str(outcome.error)


def test_each_branch_has_a_session_of_its_own(with_database) -> None:
    app, db = with_database()
    sessions: list[int] = []
    store = MemoryStore()
    workflow = split([asking(db, sessions)] * WIDE, collect="answers")
    with app.test_request_context():
        sessions_of_view = id(db.session())
        workflow.orchestrate(Step.START, store=store)
        assert db.engine.pool.checkedout() == 0
    assert store.get("answers") == [42] * WIDE
    assert len({*sessions, sessions_of_view}) == WIDE + 1


def test_a_branchs_session_is_removed_at_its_end(with_database) -> None:
    """What it has not committed is rolled back, and its connection is in the pool again."""
    app, db = with_database()

    def add(name: str, commits: bool) -> Any:
        def task() -> None:
            db.session.execute(text("INSERT INTO item VALUES (:name)"), {"name": name})
            if commits:
                db.session.commit()

        return task

    with app.test_request_context():
        split([add("kept", True)]).orchestrate(Step.START)
        split([add("dropped", False)]).orchestrate(Step.START)
        assert db.session.scalars(text("SELECT name FROM item")).all() == ["kept"]
        db.session.remove()
        assert db.engine.pool.checkedout() == 0


def test_single_states_keep_the_views_session_and_its_transaction(with_database) -> None:
    app, db = with_database()

    def add() -> Step:
        db.session.execute(text("INSERT INTO item VALUES ('of a task')"))
        return Step.DONE

    workflow = single(add)
    with app.test_request_context():
        session = db.session()
        workflow.orchestrate(Step.START)
        workflow.with_timeout(SOON, stay=True).orchestrate(Step.START)
        assert db.session() is session
        assert db.session.scalar(text("SELECT count(*) FROM item")) == 2
        db.session.rollback()
        assert db.session.scalar(text("SELECT count(*) FROM item")) == 0


def test_a_run_that_moves_to_another_thread_has_a_session_for_each_task(with_database) -> None:
    app, db = with_database()
    seen: list[Any] = []

    def task() -> Step:
        seen.append(db.session())
        return Step.DONE

    with app.test_request_context():
        seen.append(db.session())
        single(task).with_timeout(SOON).orchestrate(Step.START)
    assert seen[0] is not seen[1]


def test_each_attempt_has_a_session(with_database) -> None:
    app, db = with_database()
    seen: list[Any] = []

    def task(*, context: Any) -> None:
        seen.append(db.session())
        db.session.execute(text("INSERT INTO item VALUES ('of an attempt')"))
        if context.attempt == 1:
            raise Boom
        db.session.commit()

    retried = as_task(config=TaskConfig().with_fixed_retry(1, 0))(task)
    with app.test_request_context():
        split([retried]).orchestrate(Step.START)
        assert db.session.scalar(text("SELECT count(*) FROM item")) == 1
    assert seen[0] is not seen[1]


def test_inline_branches_see_the_tests_rows(with_database) -> None:
    """On one thread there is one session: what a test has flushed is there in branches."""
    app, db = with_database()
    store = MemoryStore()

    def count() -> Any:
        return db.session.scalar(text("SELECT count(*) FROM item"))

    with app.test_request_context(), inline():
        db.session.execute(text("INSERT INTO item VALUES ('of the test')"))
        split([count] * 2, collect="counts").orchestrate(Step.START, store=store)
    assert store.get("counts") == [1, 1]


def test_an_abandoned_task_leaves_its_session_rolled_back(with_database, gate) -> None:
    """It has returned a value, too late: what it did not commit itself is not there."""
    app, db = with_database()
    ended: list[BaseException | None] = []
    app.teardown_appcontext(ended.append)

    begun = threading.Event()

    def deaf() -> None:
        db.session.execute(text("INSERT INTO item VALUES ('late')"))
        begun.set()
        gate.wait(SOON)

    def fail() -> None:
        begun.wait(SOON)
        raise Boom

    with app.test_request_context():
        with pytest.raises(JoinError):
            split([deaf, fail], fail_fast=True).orchestrate(Step.START)
        gate.set()
        assert wait_for_abandoned(SOON)
        assert any(isinstance(error, Cancelled) for error in ended)
        assert db.session.scalar(text("SELECT count(*) FROM item")) == 0
        db.session.remove()
        assert db.engine.pool.checkedout() == 0


def test_a_timed_out_run_gives_its_connection_back(with_database, gate) -> None:
    app, db = with_database()

    def deaf() -> Step:
        db.session.execute(text("INSERT INTO item VALUES ('late')"))
        gate.wait(SOON)
        return Step.DONE

    with app.test_request_context():
        with pytest.raises(WorkflowTimeoutError):
            single(deaf).with_timeout(0.05).orchestrate(Step.START)
        gate.set()
        assert wait_for_abandoned(SOON)
        assert db.engine.pool.checkedout() == 0
