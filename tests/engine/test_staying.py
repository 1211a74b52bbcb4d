"""Limits and tokens that are kept on the calling thread."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cano_sync import (
    AttemptTimeoutError,
    CancellationToken,
    Cancelled,
    ConfigurationError,
    JoinConfig,
    JoinStrategy,
    SplitTimeoutError,
    TaskConfig,
    TaskContext,
    Workflow,
    WorkflowCancelledError,
    WorkflowTimeoutError,
    current_token,
)
from cano_sync import task as task_with
from tests.kit import SOON, Boom, Step, boom, done, single, split

LIMIT = 0.1


def deaf_for(seconds: float) -> None:
    """Block without listening, as a call in C does."""
    threading.Event().wait(seconds)


def where(store: Any) -> Step:
    store.put("thread", threading.get_ident())
    return Step.DONE


# Where it runs.


@pytest.mark.parametrize("how", ["limit", "token", "limit and token"])
def test_the_tasks_run_on_the_calling_thread(how: str) -> None:
    seen = []
    workflow = single(lambda: seen.append(threading.get_ident()) or Step.DONE)
    if "limit" in how:
        workflow = workflow.with_timeout(SOON, stay=True)
    token = CancellationToken() if "token" in how else None

    workflow.orchestrate(Step.START, cancel=token, stay=how == "token")

    assert seen == [threading.get_ident()]


def test_a_limit_moves_the_run_unless_it_is_to_stay() -> None:
    seen = []
    workflow = single(lambda: seen.append(threading.get_ident()) or Step.DONE).with_timeout(SOON)

    workflow.orchestrate(Step.START)
    workflow.orchestrate(Step.START, stay=True)

    assert seen[0] != threading.get_ident()
    assert seen[1] == threading.get_ident()


def test_branches_of_a_split_have_threads_of_their_own_as_ever() -> None:
    seen: list[int] = []
    split([lambda store: seen.append(threading.get_ident())]).with_timeout(
        SOON, stay=True
    ).orchestrate(Step.START)

    assert seen != [threading.get_ident()]


def test_its_token_has_the_limit_and_is_the_current_one() -> None:
    seen = []

    def look(store: Any, cancel: CancellationToken) -> Step:
        seen.append((cancel.remaining(), current_token() is cancel))
        return Step.DONE

    single(look).with_timeout(SOON, stay=True).orchestrate(Step.START)

    [(left, is_current)] = seen
    assert left is not None
    assert 0 < left <= SOON
    assert is_current


# What ends it.


def test_the_limit_is_looked_at_between_states() -> None:
    entered = []

    def late() -> Step:
        deaf_for(LIMIT * 2)
        return Step.NEXT

    workflow = (
        Workflow()
        .register(Step.START, late)
        .register(Step.NEXT, lambda: entered.append(1) or Step.DONE)
        .add_exit_state(Step.DONE)
        .with_timeout(LIMIT, stay=True)
    )

    with pytest.raises(WorkflowTimeoutError):
        workflow.orchestrate(Step.START)
    assert entered == []


def test_the_error_says_that_a_deaf_task_was_waited_for_and_how_long() -> None:
    def late() -> Step:
        deaf_for(LIMIT * 3)
        return Step.DONE

    with pytest.raises(WorkflowTimeoutError) as caught:
        single(late).with_timeout(LIMIT, stay=True).orchestrate(Step.START)

    said = re.search(
        r"time of 0.1 s was up in state Step.START; .* waited for ([\d.]+) s", str(caught.value)
    )
    assert said
    assert 0.15 < float(said[1]) < 5


def test_it_says_so_of_a_cancellation_too() -> None:
    token = CancellationToken()

    def late() -> Step:
        token.cancel("the user went away")
        deaf_for(LIMIT)
        return Step.DONE

    with pytest.raises(WorkflowCancelledError, match=r"went away; .* waited for 0\.\d+ s longer"):
        single(late).orchestrate(Step.START, cancel=token, stay=True)


def test_a_task_that_listens_is_stopped_in_time_and_nothing_is_said_of_waiting() -> None:
    def listening(store: Any, cancel: CancellationToken) -> Step:
        cancel.sleep(SOON)
        return Step.DONE

    with pytest.raises(WorkflowTimeoutError) as caught:
        single(listening).with_timeout(LIMIT, stay=True).orchestrate(Step.START)

    assert "was up" in str(caught.value)


def test_a_split_is_ended_by_the_limit_though_its_branches_are_deaf() -> None:
    gate = threading.Event()
    workflow = split([lambda store: gate.wait(SOON)]).with_timeout(LIMIT, stay=True)
    try:
        with pytest.raises(WorkflowTimeoutError):
            workflow.orchestrate(Step.START)
        assert not gate.is_set()
    finally:
        gate.set()


def test_a_splits_own_limit_is_its_own_error() -> None:
    gate = threading.Event()
    workflow = split([lambda store: gate.wait(SOON)], timeout=LIMIT).with_timeout(SOON, stay=True)
    try:
        with pytest.raises(SplitTimeoutError):
            workflow.orchestrate(Step.START)
    finally:
        gate.set()


def test_what_is_registered_with_on_cancel_is_called_at_the_limit() -> None:
    closed = threading.Event()

    def blocking(store: Any, cancel: CancellationToken) -> Step:
        with cancel.on_cancel(closed.set):
            assert closed.wait(SOON)
        return Step.DONE

    with pytest.raises(WorkflowTimeoutError):
        single(blocking).with_timeout(LIMIT, stay=True).orchestrate(Step.START)


def test_what_a_task_raises_after_the_limit_is_the_cause() -> None:
    def late() -> Step:
        deaf_for(LIMIT * 2)
        raise Boom

    with pytest.raises(WorkflowTimeoutError) as caught:
        single(late).with_timeout(LIMIT, stay=True).orchestrate(Step.START)

    assert isinstance(caught.value.__cause__, Boom)


def test_a_failure_within_the_limit_is_itself() -> None:
    workflow = (
        Workflow()
        .register(Step.START, boom, error_state=Step.MENDED)
        .add_exit_states(Step.DONE, Step.MENDED)
        .with_timeout(SOON, stay=True)
    )

    assert workflow.orchestrate(Step.START) is Step.MENDED


def test_ctrl_c_cancels_the_token_and_passes() -> None:
    tokens = []

    def interrupted(store: Any, cancel: CancellationToken) -> Step:
        tokens.append(cancel)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        single(interrupted).with_timeout(SOON, stay=True).orchestrate(Step.START)

    assert tokens[0].cancelled


def test_a_run_within_a_task_ends_with_that_task() -> None:
    inner = single(lambda store, cancel: cancel.sleep(SOON)).with_timeout(SOON, stay=True)
    raised = []

    def outer(store: Any) -> Step:
        try:
            inner.orchestrate(Step.START)
        except Cancelled as signal:
            raised.append(signal)
            raise
        return Step.DONE

    with pytest.raises(WorkflowTimeoutError):
        single(outer).with_timeout(LIMIT, stay=True).orchestrate(Step.START)

    assert raised


def test_an_inner_limit_does_not_end_the_outer_run() -> None:
    inner = single(lambda store, cancel: cancel.sleep(SOON)).with_timeout(LIMIT, stay=True)

    def outer(store: Any) -> Step:
        with pytest.raises(WorkflowTimeoutError):
            inner.orchestrate(Step.START)
        return Step.DONE

    assert single(outer).with_timeout(SOON, stay=True).orchestrate(Step.START) is Step.DONE


# Attempts.


def test_an_attempt_with_a_limit_stays_too() -> None:
    seen = []

    def look(store: Any, cancel: CancellationToken, context: TaskContext) -> Step:
        left = cancel.remaining()
        seen.append((threading.get_ident(), context.thread, left is not None and left <= SOON))
        return Step.DONE

    workflow = single(look, TaskConfig(attempt_timeout=SOON))
    workflow.orchestrate(Step.START)
    workflow.orchestrate(Step.START, stay=True)

    assert seen[0][1:] == ("pool", True)
    assert seen[1] == (threading.get_ident(), "caller", True)


def test_an_attempt_that_is_over_its_limit_is_retried() -> None:
    lasting = iter([LIMIT * 3, 0.0])

    def sometimes_late(store: Any) -> Step:
        deaf_for(next(lasting))
        return Step.DONE

    config = TaskConfig(attempt_timeout=LIMIT).with_fixed_retry(1, delay=0)

    assert single(sometimes_late, config).orchestrate(Step.START, stay=True) is Step.DONE


def test_the_last_attempt_that_is_over_its_limit_says_that_it_was_waited_for() -> None:
    workflow = single(lambda: deaf_for(LIMIT * 2) or Step.DONE, TaskConfig(attempt_timeout=LIMIT))

    with pytest.raises(AttemptTimeoutError, match=r"attempt_timeout of 0.1 s; .* was waited for"):
        workflow.orchestrate(Step.START, stay=True)


def test_a_cancellation_in_an_attempt_that_stays_ends_the_run() -> None:
    token = CancellationToken()

    def cancelling(store: Any, cancel: CancellationToken) -> Step:
        token.cancel("enough")
        cancel.check()
        return Step.DONE

    config = TaskConfig(attempt_timeout=SOON).with_fixed_retry(3, delay=0)
    with pytest.raises(WorkflowCancelledError, match="enough"):
        single(cancelling, config).orchestrate(Step.START, cancel=token, stay=True)


def test_what_an_attempt_that_stays_raises_is_its_failure() -> None:
    with pytest.raises(Exception, match="it broke") as caught:
        single(boom, TaskConfig(attempt_timeout=SOON)).orchestrate(Step.START, stay=True)

    assert isinstance(caught.value.__cause__, Boom)


def test_branches_with_an_attempt_limit_are_abandoned_as_ever() -> None:
    gate = threading.Event()
    slow = task_with(config=TaskConfig(attempt_timeout=LIMIT))(lambda store: gate.wait(SOON))
    workflow = split([slow], JoinStrategy.SETTLED).with_timeout(SOON, stay=True)
    try:
        assert workflow.orchestrate(Step.START) is Step.DONE
        assert not gate.is_set()
    finally:
        gate.set()


def test_a_transaction_that_belongs_to_the_thread_holds_what_a_run_with_a_limit_writes() -> None:
    open_here = threading.local()
    written: list[str] = []

    @contextmanager
    def transaction() -> Iterator[None]:
        open_here.rows = []
        yield
        written.extend(open_here.rows)

    workflow = (
        Workflow()
        .register(Step.START, lambda: open_here.rows.append("first") or Step.WORK)
        .register_split(Step.WORK, [lambda store: "asked"], JoinConfig(JoinStrategy.ALL, Step.NEXT))
        .register(Step.NEXT, lambda: open_here.rows.append("second") or Step.DONE)
        .add_exit_state(Step.DONE)
        .with_timeout(SOON, stay=True)
    )
    with transaction():
        workflow.orchestrate(Step.START)

    assert written == ["first", "second"]


@pytest.mark.parametrize("stay", [1, None, "yes"])
def test_stay_is_yes_or_no(stay: Any) -> None:
    workflow = single(done)
    with pytest.raises(ConfigurationError, match="stay must be True or False"):
        workflow.with_timeout(1, stay=stay)
    with pytest.raises(ConfigurationError, match="stay must be True or False"):
        workflow.orchestrate(Step.START, stay=stay)
