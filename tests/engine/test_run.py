"""A run: from state to state, and where its errors lead."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from cano_sync import (
    CancellationToken,
    Cancelled,
    CanoError,
    ConfigurationError,
    JoinConfig,
    JoinError,
    JoinStrategy,
    MemoryStore,
    Node,
    NodeExecutionError,
    PreparationError,
    RetryExhaustedError,
    SplitTimeoutError,
    Store,
    TaskConfig,
    TaskContext,
    TaskExecutionError,
    TaskResult,
    Workflow,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowTimeoutError,
    current_token,
)
from cano_sync._base.world import world
from cano_sync._engine import run as run_module
from cano_sync._engine.machine import Machine
from cano_sync._engine.run import Run
from tests.kit import SOON, Boom, Step, boom, done, single, split

# Runs.


def test_a_run_walks_from_state_to_state_until_an_exit() -> None:
    def start(store: Store) -> Step:
        store.append("path", "start")
        return Step.WORK

    def work(store: Store) -> Step:
        store.append("path", "work")
        return Step.START if len(store.get("path")) < 4 else Step.DONE

    store = MemoryStore()
    workflow = (
        Workflow()
        .register(Step.START, start)
        .register(Step.WORK, work)
        .add_exit_states(Step.DONE, Step.MENDED)
    )
    assert workflow.orchestrate(Step.START, store=store) is Step.DONE
    assert store.get("path") == ["start", "work", "start", "work"]


def test_a_run_can_begin_in_any_state() -> None:
    workflow = (
        Workflow()
        .register(Step.START, boom)
        .register(Step.WORK, lambda: Step.DONE)
        .add_exit_state(Step.DONE)
    )
    assert workflow.orchestrate(Step.WORK) is Step.DONE


@pytest.mark.parametrize("timeout", [None, 60])
def test_a_run_that_begins_in_an_exit_ends_there_at_once(timeout: float | None) -> None:
    assert single(boom).with_timeout(timeout).orchestrate(Step.DONE) is Step.DONE


# Errors, and where they lead.


def test_a_foreign_error_is_the_cause_of_a_task_execution_error() -> None:
    with pytest.raises(TaskExecutionError) as caught:
        single(boom).orchestrate(Step.START)
    error = caught.value
    assert isinstance(error.__cause__, Boom)
    assert (error.state, error.task) == (Step.START, "boom")
    assert error.run_id
    assert str(error) == "state Step.START: task 'boom' raised Boom: it broke"


@pytest.mark.parametrize("timeout", [None, 60])
def test_an_error_of_the_tree_passes_as_it_is_and_says_where_it_happened(
    timeout: float | None,
) -> None:
    mine = CanoError("the till is closed")

    def start() -> Step:
        raise mine

    with pytest.raises(CanoError) as caught:
        single(start).with_timeout(timeout).orchestrate(Step.START)
    assert caught.value is mine
    assert (mine.state, mine.task) == (Step.START, "start")
    assert mine.run_id


def test_a_nodes_failure_says_which_step_failed() -> None:
    class Bad(Node):
        def __init__(self, step: str) -> None:
            self.step = step

        def prep(self, store: Store) -> None:
            if self.step == "prep":
                raise Boom

        def exec(self, prepared: None) -> None:
            if self.step == "exec":
                raise Boom

        def post(self, store: Store, result: None) -> Step:
            raise Boom

    for step, kind in (
        ("prep", PreparationError),
        ("exec", NodeExecutionError),
        ("post", NodeExecutionError),
    ):
        with pytest.raises(kind) as caught:
            single(Bad(step)).orchestrate(Step.START)
        assert isinstance(caught.value.__cause__, Boom)
        assert (caught.value.state, caught.value.task) == (Step.START, "Bad")


def routed(
    function: Any, config: TaskConfig | None = None, *, mend: Any = None
) -> tuple[Workflow[Any], list[CanoError | None]]:
    """START leads to WORK when it fails; WORK, then MENDED, note the error they see."""
    errors: list[CanoError | None] = []

    def look(context: TaskContext) -> Step:
        errors.append(context.error)
        return Step.MENDED if context.state is Step.WORK else Step.DONE

    def work(store: Store, context: TaskContext) -> Step:
        return look(context)

    def mended(store: Store, context: TaskContext) -> Step:
        return look(context)

    workflow = (
        Workflow()
        .register(Step.START, function, config, error_state=Step.WORK)
        .register(Step.WORK, mend or work)
        .register(Step.MENDED, mended)
        .add_exit_state(Step.DONE)
    )
    return workflow, errors


def test_a_failure_leads_to_the_error_state_and_is_the_contexts_error_there_only() -> None:
    workflow, errors = routed(boom)
    assert workflow.orchestrate(Step.START) is Step.DONE
    first, second = errors
    assert isinstance(first, TaskExecutionError)
    assert isinstance(first.__cause__, Boom)
    assert (first.state, first.task) == (Step.START, "boom")
    assert second is None


def test_an_error_state_whose_task_takes_only_the_store_forgets_the_error_too() -> None:
    workflow, errors = routed(boom, mend=lambda store: Step.MENDED)
    assert workflow.orchestrate(Step.START) is Step.DONE
    assert errors == [None]


def test_a_state_that_is_entered_without_an_error_sees_none() -> None:
    workflow, errors = routed(done)
    assert workflow.orchestrate(Step.WORK) is Step.DONE
    assert errors == [None, None]


def test_the_error_state_may_be_an_exit() -> None:
    workflow = (
        Workflow()
        .register(Step.START, boom, error_state=Step.MENDED)
        .add_exit_states(Step.DONE, Step.MENDED)
    )
    assert workflow.orchestrate(Step.START) is Step.MENDED


def test_the_error_state_may_be_a_split_whose_branches_see_the_error() -> None:
    store = MemoryStore()
    workflow = (
        Workflow()
        .register(Step.START, boom, error_state=Step.WORK)
        .register_split(
            Step.WORK,
            lambda *, context: [lambda *, context, error=context.error: context.error is error],
            JoinConfig(JoinStrategy.ALL, Step.DONE, collect="same"),
        )
        .add_exit_state(Step.DONE)
    )
    workflow.orchestrate(Step.START, store=store)
    assert store.get("same") == [True]


def test_a_failure_in_the_error_state_has_an_error_state_of_its_own_or_raises() -> None:
    def again(context: TaskContext) -> Step:
        raise Boom("again") from context.error

    chained = (
        Workflow()
        .register(Step.START, boom, error_state=Step.WORK)
        .register(Step.WORK, lambda *, context: again(context), error_state=Step.MENDED)
        .add_exit_states(Step.DONE, Step.MENDED)
    )
    assert chained.orchestrate(Step.START) is Step.MENDED
    raising, _ = routed(boom, mend=lambda *, context: again(context))
    with pytest.raises(TaskExecutionError) as caught:
        raising.orchestrate(Step.START)
    assert caught.value.state is Step.WORK
    assert str(caught.value.__cause__) == "again"


def test_an_error_state_may_be_entered_anew_with_each_error() -> None:
    """A loop: try, fail, mend, try again; each time with the error of that time."""
    seen: list[str] = []

    def start(store: Store) -> Step:
        n = store.update("n", lambda n: n + 1, default=0)
        if n < 4:
            raise Boom(str(n))
        return Step.DONE

    def mend(store: Store, context: TaskContext) -> Step:
        assert context.error is not None
        seen.append(str(context.error.__cause__))
        return Step.START

    workflow = (
        Workflow()
        .register(Step.START, start, error_state=Step.WORK)
        .register(Step.WORK, mend)
        .add_exit_state(Step.DONE)
    )
    assert workflow.orchestrate(Step.START) is Step.DONE
    assert seen == ["1", "2", "3"]


def test_an_error_state_is_entered_after_the_retries() -> None:
    workflow, errors = routed(boom, TaskConfig().with_fixed_retry(2, delay=0))
    assert workflow.orchestrate(Step.START) is Step.DONE
    assert isinstance(errors[0], RetryExhaustedError)
    assert errors[0].attempts == 3


def failing_join(**join: Any) -> tuple[Workflow[Any], list[CanoError | None]]:
    errors: list[CanoError | None] = []

    def work(store: Store, context: TaskContext) -> Step:
        errors.append(context.error)
        return Step.DONE

    config = JoinConfig(JoinStrategy.ALL, Step.DONE, error_state=Step.WORK, **join)
    return (
        Workflow()
        .register_split(Step.START, [join.pop("branch", boom)], config)
        .register(Step.WORK, work)
        .add_exit_state(Step.DONE)
    ), errors


def test_a_failed_join_leads_to_its_error_state() -> None:
    workflow, errors = failing_join()
    assert workflow.orchestrate(Step.START) is Step.DONE
    assert type(errors[0]) is JoinError
    assert errors[0].result is not None
    assert len(errors[0].result.errors) == 1


def test_a_split_that_is_late_leads_to_its_error_state(gate: threading.Event) -> None:
    errors: list[CanoError | None] = []

    def work(store: Store, context: TaskContext) -> Step:
        errors.append(context.error)
        return Step.DONE

    late = JoinConfig(JoinStrategy.ALL, Step.MENDED, timeout=0.25, error_state=Step.WORK)
    workflow = (
        Workflow()
        .register_split(Step.START, [lambda: gate.wait(SOON)], late)
        .register(Step.WORK, work)
        .add_exit_states(Step.DONE, Step.MENDED)
    )
    assert workflow.orchestrate(Step.START) is Step.DONE
    assert isinstance(errors[0], SplitTimeoutError)


def test_a_cancellation_is_never_routed() -> None:
    token = CancellationToken()

    def start(store: Store, cancel: CancellationToken) -> Step:
        token.cancel("enough")
        cancel.check()
        raise AssertionError("check() must raise")

    workflow, errors = routed(start)
    with pytest.raises(WorkflowCancelledError) as caught:
        workflow.orchestrate(Step.START, cancel=token)
    assert caught.value.reason == "enough"
    assert errors == []


def test_the_workflows_own_timeout_is_never_routed(gate: threading.Event) -> None:
    workflow, errors = routed(lambda store: gate.wait(SOON))
    with pytest.raises(WorkflowTimeoutError):
        workflow.with_timeout(0.25).orchestrate(Step.START)
    assert errors == []


@pytest.mark.parametrize("result", [None, "elsewhere", TaskResult.split([Step.DONE])], ids=repr)
@pytest.mark.parametrize("takes_context", [False, True])
def test_a_mistake_in_the_workflow_is_never_routed(result: Any, takes_context: bool) -> None:
    function = (lambda *, context: result) if takes_context else (lambda: result)
    workflow, errors = routed(function)
    with pytest.raises(WorkflowError):
        workflow.orchestrate(Step.START)
    assert errors == []


def test_a_mistake_in_the_error_state_is_not_routed_either() -> None:
    workflow, _ = routed(boom, mend=lambda: None)
    with pytest.raises(WorkflowError, match="returned None"):
        workflow.orchestrate(Step.START)


def test_a_list_of_tasks_that_is_none_is_a_mistake_and_not_routed() -> None:
    workflow = (
        Workflow()
        .register_split(
            Step.START,
            lambda: 7,  # type: ignore[arg-type,return-value]
            JoinConfig(JoinStrategy.ALL, Step.DONE, error_state=Step.WORK),
        )
        .register(Step.WORK, done)
        .add_exit_state(Step.DONE)
    )
    with pytest.raises(WorkflowError, match="must return the list of tasks"):
        workflow.orchestrate(Step.START)


@pytest.fixture
def nested_failures(gate: threading.Event) -> dict[str, tuple[Callable[[], Any], type[CanoError]]]:
    """Runs that a task starts and that fail, with what they raise."""
    cancelled = CancellationToken()
    cancelled.cancel("the inner one only")
    deaf = lambda: gate.wait(SOON)  # noqa: E731
    return {
        "mistake": (lambda: single(lambda: None).orchestrate(Step.START), WorkflowError),
        "timeout": (
            lambda: single(deaf).with_timeout(0.25).orchestrate(Step.START),
            WorkflowTimeoutError,
        ),
        "cancelled": (
            lambda: single(done).orchestrate(Step.START, cancel=cancelled),
            WorkflowCancelledError,
        ),
        "failed": (lambda: single(boom).orchestrate(Step.START), TaskExecutionError),
        "join": (lambda: split([boom]).orchestrate(Step.START), JoinError),
        "configuration": (lambda: Workflow().orchestrate(Step.START), ConfigurationError),
    }


@pytest.mark.parametrize(
    "how", ["mistake", "timeout", "cancelled", "failed", "join", "configuration"]
)
@pytest.mark.parametrize("timeout", [None, 60])
def test_a_nested_runs_failure_is_its_tasks_failure_and_is_routed(
    how: str,
    timeout: float | None,
    nested_failures: dict[str, tuple[Callable[[], Any], type[CanoError]]],
) -> None:
    run, kind = nested_failures[how]
    workflow, errors = routed(lambda store: run())
    assert workflow.with_timeout(timeout).orchestrate(Step.START) is Step.DONE
    assert type(errors[0]) is kind


def test_a_workflow_error_that_a_task_raises_itself_is_routed() -> None:
    def start() -> Step:
        raise WorkflowError("mine")

    workflow, errors = routed(start)
    assert workflow.orchestrate(Step.START) is Step.DONE
    assert str(errors[0]) == "mine"


def test_a_cancelled_that_nobody_asked_for_is_a_failure() -> None:
    def start() -> Step:
        raise Cancelled("on my own account")

    with pytest.raises(TaskExecutionError, match="nobody had cancelled it") as caught:
        single(start).orchestrate(Step.START)
    assert isinstance(caught.value.__cause__, Cancelled)
    workflow, errors = routed(start)
    assert workflow.orchestrate(Step.START) is Step.DONE
    assert isinstance(errors[0], TaskExecutionError)


@pytest.mark.parametrize("timeout", [None, 60])
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_wants_out_of_the_program_is_neither_wrapped_nor_routed(
    kind: type[BaseException], timeout: float | None
) -> None:
    def start() -> Step:
        raise kind

    workflow, errors = routed(start)
    with pytest.raises(kind):
        workflow.with_timeout(timeout).orchestrate(Step.START)
    assert errors == []


@pytest.mark.parametrize(
    "timeout",
    [
        None,
        60,
    ],
)
def test_what_wants_out_of_the_program_cancels_the_runs_token(timeout: float | None) -> None:
    """For the threads that the task has started, and that look at it."""
    tokens: list[CancellationToken] = []

    def start(store: Store, cancel: CancellationToken) -> Step:
        tokens.append(cancel)
        raise SystemExit

    with pytest.raises(SystemExit):
        single(start).with_timeout(timeout).orchestrate(Step.START)
    assert tokens[0].cancelled


# Where a run's tasks are performed.


def test_without_anything_that_could_end_the_wait_tasks_run_on_the_callers_thread() -> None:
    threads: set[int] = set()

    def note(store: Store) -> Step:
        threads.add(threading.get_ident())
        return Step.WORK

    workflow = (
        Workflow()
        .register(Step.START, note)
        .register(Step.WORK, lambda store: note(store) and Step.DONE)
        .add_exit_state(Step.DONE)
    )
    workflow.orchestrate(Step.START)
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("how", ["timeout", "token"])
def test_with_something_that_could_the_whole_run_takes_one_other_thread(how: str) -> None:
    threads: set[int] = set()

    def note(store: Store) -> Step:
        threads.add(threading.get_ident())
        return Step.DONE if store.update("n", lambda n: n + 1, default=0) > 5 else Step.START

    workflow = single(note).with_timeout(60 if how == "timeout" else None)
    workflow.orchestrate(Step.START, cancel=CancellationToken() if how == "token" else None)
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


# Runs inside tasks.


def waits_for_its_token(started: threading.Event) -> Callable[..., Any]:
    def inner_task(store: Store, cancel: CancellationToken) -> Any:
        started.set()
        cancel.wait(SOON)
        cancel.check()

    return inner_task


@pytest.mark.parametrize("inner", ["plain", "timeout", "token", "both"])
@pytest.mark.parametrize("outer", ["token", "timeout"])
def test_what_ends_the_outer_run_ends_the_run_inside_its_task(inner: str, outer: str) -> None:
    """And it is the outer one that is reported, with its own reason."""
    started = threading.Event()
    inner_errors: list[BaseException] = []

    def outer_task() -> Any:
        workflow = single(waits_for_its_token(started))
        if inner in ("timeout", "both"):
            workflow = workflow.with_timeout(60)
        own = CancellationToken() if inner in ("token", "both") else None
        try:
            return workflow.orchestrate(Step.START, cancel=own)
        except BaseException as error:
            inner_errors.append(error)
            raise
        finally:
            ended.set()

    ended, token = threading.Event(), CancellationToken()
    workflow, errors = routed(outer_task)
    limited = workflow.with_timeout(0.3 if outer == "timeout" else None)
    future = limited.submit(Step.START, cancel=token if outer == "token" else None)
    assert started.wait(SOON)
    if outer == "token":
        token.cancel("the outer one")
    error = future.exception(SOON)
    assert isinstance(error, WorkflowTimeoutError if outer == "timeout" else WorkflowCancelledError)
    assert error.state is Step.START
    assert ended.wait(SOON)
    assert [type(inner_error) for inner_error in inner_errors] == [Cancelled]
    assert errors == []
    if isinstance(error, WorkflowCancelledError):
        assert error.reason == "the outer one"
        assert inner_errors[0].args == ("the outer one",)


def test_a_token_given_to_the_run_inside_ends_that_run_alone() -> None:
    started, token = threading.Event(), CancellationToken()

    def outer_task() -> Step:
        future = single(waits_for_its_token(started)).submit(Step.START, cancel=token)
        assert started.wait(SOON)
        token.cancel("the inner one")
        assert isinstance(future.exception(SOON), WorkflowCancelledError)
        return Step.DONE

    assert single(outer_task).with_timeout(60).orchestrate(Step.START) is Step.DONE


def test_the_run_inside_may_be_given_the_tasks_own_token() -> None:
    started, token = threading.Event(), CancellationToken()

    def outer_task(store: Store, cancel: CancellationToken) -> Any:
        return single(waits_for_its_token(started)).orchestrate(Step.START, cancel=cancel)

    future = single(outer_task).submit(Step.START, cancel=token)
    assert started.wait(SOON)
    token.cancel("both")
    error = future.exception(SOON)
    assert isinstance(error, WorkflowCancelledError)
    assert error.reason == "both"


def test_the_run_inside_knows_how_much_time_the_outer_one_has_left() -> None:
    def inner_task(store: Store, cancel: CancellationToken) -> Step:
        store.put("left", cancel.remaining(default=SOON * 1000))
        return Step.DONE

    def outer_task(store: Store) -> Any:
        own = CancellationToken()
        return single(inner_task).orchestrate(Step.START, store=store, cancel=own)

    store = MemoryStore()
    single(outer_task).with_timeout(60).orchestrate(Step.START, store=store)
    assert 0 < store.get("left", float) <= 60


def test_the_run_inside_shares_the_store_that_it_is_given() -> None:
    def inner_task(store: Store) -> Step:
        store.update("n", lambda n: n + 1)
        return Step.DONE

    def outer_task(store: Store) -> Step:
        single(inner_task).orchestrate(Step.START, store=store)
        single(inner_task).with_timeout(60).orchestrate(Step.START, store=store)
        return Step.DONE

    store = MemoryStore({"n": 0})
    single(outer_task).with_timeout(60).orchestrate(Step.START, store=store)
    assert store.get("n") == 2


def test_the_run_inside_has_an_id_of_its_own() -> None:
    ids: list[str] = []

    def note(context: TaskContext) -> None:
        ids.append(context.run_id)

    def outer_task(store: Store, context: TaskContext) -> Step:
        note(context)
        single(lambda store, context: note(context) or Step.DONE).orchestrate(Step.START)
        note(context)
        return Step.DONE

    single(outer_task).orchestrate(Step.START)
    assert ids[0] == ids[2] != ids[1]


# Cancellation of a run.


def test_a_token_that_was_cancelled_before_runs_nothing() -> None:
    token, called = CancellationToken(), list[int]()
    token.cancel("before it began")
    with pytest.raises(WorkflowCancelledError) as caught:
        single(lambda store: called.append(1)).orchestrate(Step.START, cancel=token)
    assert caught.value.reason == "before it began"
    assert caught.value.state is Step.START
    assert caught.value.run_id
    assert str(caught.value).endswith("was cancelled in state Step.START: before it began")
    assert called == []


def test_a_deaf_task_does_not_hold_up_the_cancellation(gate: threading.Event) -> None:
    token, started = CancellationToken(), threading.Event()

    def deaf() -> Any:
        started.set()
        gate.wait(SOON)

    future = single(deaf).submit(Step.START, cancel=token)
    assert started.wait(SOON)
    token.cancel()
    error = future.exception(SOON)
    assert isinstance(error, WorkflowCancelledError)
    assert error.reason is None
    assert str(error) == "the run was cancelled in state Step.START"


def test_a_run_between_two_states_notices_the_cancellation() -> None:
    """The task ignores its token and returns; the next state is not entered."""
    token, called = CancellationToken(), list[int]()

    def ignores() -> Step:
        token.cancel()
        return Step.WORK

    workflow = single(ignores).register(Step.WORK, lambda store: called.append(1) or Step.DONE)
    with pytest.raises(WorkflowCancelledError):
        workflow.orchestrate(Step.START, cancel=token)
    assert called == []


@pytest.mark.parametrize("takes", ["cancel", "current_token"])
def test_a_task_can_cancel_its_own_run(takes: str) -> None:
    def with_parameter(store: Store, cancel: CancellationToken) -> Step:
        cancel.cancel("from inside")
        return Step.WORK

    def with_current(store: Store) -> Step:
        current_token().cancel("from inside")
        return Step.WORK

    start = with_parameter if takes == "cancel" else with_current
    workflow = single(start).register(Step.WORK, boom)
    with pytest.raises(WorkflowCancelledError) as caught:
        workflow.orchestrate(Step.START)
    assert caught.value.reason == "from inside"


def test_a_tokens_time_limit_cancels_the_run(gate: threading.Event) -> None:
    with pytest.raises(WorkflowCancelledError, match="time limit passed"):
        single(lambda store: gate.wait(SOON)).orchestrate(
            Step.START, cancel=CancellationToken(timeout=0.25)
        )


def test_the_earlier_of_the_tokens_and_the_workflows_limit_is_reported(
    gate: threading.Event,
) -> None:
    workflow = single(lambda store: gate.wait(SOON))
    with pytest.raises(WorkflowTimeoutError):
        workflow.with_timeout(0.25).orchestrate(Step.START, cancel=CancellationToken(60))
    with pytest.raises(WorkflowCancelledError):
        workflow.with_timeout(60).orchestrate(Step.START, cancel=CancellationToken(0.25))


@pytest.mark.parametrize("how", ["timeout", "token"])
def test_what_ended_a_run_is_reported_with_the_state_that_it_was_in(
    how: str, gate: threading.Event
) -> None:
    workflow = single(lambda store: Step.WORK).register(Step.WORK, lambda store: gate.wait(SOON))
    token = CancellationToken(0.25) if how == "token" else None
    limited = workflow.with_timeout(0.25 if how == "timeout" else None)
    with pytest.raises((WorkflowTimeoutError, WorkflowCancelledError)) as caught:
        limited.orchestrate(Step.START, cancel=token)
    assert caught.value.state is Step.WORK


def test_what_a_task_raised_because_it_was_cancelled_is_the_cause() -> None:
    """On the caller's own thread, where the run hears of it from the task."""

    def start(store: Store, cancel: CancellationToken) -> Any:
        cancel.cancel("enough")
        raise Boom("the connection was closed")

    workflow, errors = routed(start)
    with pytest.raises(WorkflowCancelledError) as caught:
        workflow.orchestrate(Step.START)
    assert isinstance(caught.value.__cause__, Boom)
    assert errors == []


def test_a_task_may_clean_up_when_it_is_cancelled_and_pass_the_signal_on() -> None:
    cleaned: list[str | None] = []

    def start(store: Store, cancel: CancellationToken) -> Any:
        cancel.cancel("enough")
        try:
            cancel.check()
        except Cancelled as signal:
            cleaned.append(signal.reason)
            raise

    with pytest.raises(WorkflowCancelledError) as caught:
        single(start).orchestrate(Step.START)
    assert cleaned == ["enough"]
    assert caught.value.__cause__ is None


def test_many_runs_with_one_token_leave_nothing_on_it() -> None:
    token = CancellationToken()
    workflow = single(done)
    for _ in range(10):
        workflow.orchestrate(Step.START, cancel=token)
    assert token._callbacks == {}


def test_a_run_has_one_id_though_two_threads_ask_for_it_at_once(
    monkeypatch: pytest.MonkeyPatch, gate: threading.Event
) -> None:
    """The one that walks, for a task; and the caller's, for the error that says the time is up."""
    ids: queue.Queue[str | None] = queue.Queue()
    asked_here = threading.Event()

    def urandom(count: int) -> bytes:
        if threading.current_thread() is threading.main_thread():
            asked_here.set()
            return b"1" * count
        asked_here.wait(SOON)  # just between its look and what it writes
        return b"2" * count

    def task(store: Store, context: TaskContext) -> Step:
        ids.put(context.run_id)
        gate.wait(SOON)
        return Step.DONE

    monkeypatch.setattr(world, "entropy", urandom)
    with pytest.raises(WorkflowTimeoutError) as caught:
        single(task).with_timeout(0.1).orchestrate(Step.START)
    assert caught.value.run_id == ids.get(timeout=SOON)


def test_a_run_has_one_id_whichever_of_two_threads_asks_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A drain asks for it on its own thread."""
    workflow = single(done)
    machine = Machine(workflow.description)
    both = threading.Barrier(2)
    entropy = world.entropy

    def slow(count: int) -> bytes:
        made = entropy(count)
        with suppress(threading.BrokenBarrierError):
            both.wait(0.2)  # would bring the two together, if they both came here
        return made

    monkeypatch.setattr(run_module, "world", SimpleNamespace(entropy=slow))
    run = Run(machine, Step.START, MemoryStore(), None)
    with ThreadPoolExecutor(2) as threads:
        ids = set(threads.map(lambda _: run.id, range(2)))
    assert len(ids) == 1
