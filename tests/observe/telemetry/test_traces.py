"""The spans of runs, as the real SDK's in-memory exporter gets them."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto

import pytest
import tenacity
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.trace import StatusCode

from cano_sync import (
    CancellationToken,
    CanoError,
    JoinConfig,
    JoinError,
    JoinStrategy,
    RetryExhaustedError,
    SplitTimeoutError,
    TaskConfig,
    TaskExecutionError,
    Workflow,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowTimeoutError,
    task,
)
from cano_sync.observe import OpenTelemetryTraces
from tests.conftest import Eventually
from tests.observe.telemetry.traces_rig import Rig, events, facts, outcomes


class Order(Enum):
    LOAD = auto()
    ASK = auto()
    SORRY = auto()
    DONE = auto()


def one(rig: Rig, work, config=None, **options) -> Workflow[Order]:
    workflow = Workflow[Order]().register(Order.LOAD, work, config, **options)
    return workflow.add_exit_states(Order.DONE, Order.SORRY).with_observer(rig.observer)


def split(rig: Rig, *tasks, strategy=JoinStrategy.ALL, **options) -> Workflow[Order]:
    join = JoinConfig(strategy, Order.DONE, **options)
    workflow = Workflow[Order]().register_split(Order.ASK, tasks, join)
    return workflow.add_exit_states(Order.DONE, Order.SORRY).with_observer(rig.observer)


def done() -> Order:
    return Order.DONE


def failing(store: object) -> Order:
    raise ValueError("no such order")


def listening(store: object, cancel: CancellationToken) -> Order:
    cancel.sleep(20)
    return Order.DONE


# What is below what.


def test_a_run_has_its_states_below_it_and_says_how_it_ended(rig: Rig) -> None:
    one(rig, done).orchestrate(Order.LOAD)
    run, state = rig.one("run Order"), rig.one("state LOAD")
    assert run.parent is None
    assert rig.path(state) == ["run Order", "state LOAD"]
    assert len(facts(run).pop("cano.run_id")) == 32
    assert facts(run) == {
        "cano.workflow": "Order",
        "cano.run_id": facts(run)["cano.run_id"],
        "cano.initial_state": "LOAD",
        "cano.exit_state": "DONE",
        "cano.outcome": "succeeded",
    }
    assert facts(state) == {
        "cano.state": "LOAD",
        "cano.task": "done",
        "cano.next_state": "DONE",
        "cano.outcome": "succeeded",
    }
    assert run.status.status_code is state.status.status_code is StatusCode.UNSET


def test_a_run_is_below_the_span_of_its_caller_which_is_current_again_afterwards(rig: Rig) -> None:
    with rig.tracer.start_as_current_span("request") as request:
        one(rig, done).orchestrate(Order.LOAD)
        assert trace.get_current_span() is request
    assert rig.parent(rig.one("run Order")) == "request"


def test_a_run_in_the_background_is_below_the_span_of_who_submitted_it(rig: Rig) -> None:
    with rig.tracer.start_as_current_span("request"):
        future = one(rig, done).submit(Order.LOAD)
    assert future.result(20) is Order.DONE
    assert rig.path(rig.one("state LOAD")) == ["request", "run Order", "state LOAD"]


def test_a_workflow_can_be_given_a_name(rig: Rig) -> None:
    named = OpenTelemetryTraces(name="orders", tracer_provider=rig.provider)
    workflow = Workflow[Order]().register(Order.LOAD, done).add_exit_state(Order.DONE)
    workflow.with_observer(named).orchestrate(Order.LOAD)
    assert facts(rig.one("run orders"))["cano.workflow"] == "orders"


@pytest.mark.parametrize("limit", [None, 20.0], ids=["on the caller's thread", "on a pool thread"])
def test_spans_of_a_task_are_below_its_state(rig: Rig, limit: float | None) -> None:
    def work() -> Order:
        with rig.tracer.start_as_current_span("inner"):
            return Order.DONE

    one(rig, work).with_timeout(limit).orchestrate(Order.LOAD)
    assert rig.path(rig.one("inner")) == ["run Order", "state LOAD", "inner"]


def test_spans_of_a_branch_are_below_it_whatever_its_thread(rig: Rig) -> None:
    meet = threading.Barrier(3)

    def branch(store: object) -> str:
        meet.wait(20)  # all three are at work at once
        with rig.tracer.start_as_current_span(f"inner {threading.get_ident()}"):
            meet.wait(20)
        return "ok"

    split(rig, branch, branch, branch).orchestrate(Order.ASK)
    inner = [span for span in rig.spans if span.name.startswith("inner")]
    assert len({span.name for span in inner}) == 3
    parents = {span.parent.span_id for span in inner if span.parent}
    assert parents == {rig.branch(index).context.span_id for index in range(3)}
    assert rig.path(rig.branch(1)) == ["run Order", "state ASK", "branch ASK"]
    assert facts(rig.branch(1))["cano.task"] == "branch"


def test_an_attempt_with_a_time_limit_carries_its_span_to_its_thread(rig: Rig) -> None:
    threads = []

    def work(store: object) -> Order:
        threads.append(threading.get_ident())
        with rig.tracer.start_as_current_span("inner"):
            return Order.DONE

    config = TaskConfig().with_fixed_retry(1, delay=0).with_attempt_timeout(20)
    one(rig, work, config).orchestrate(Order.LOAD)
    assert threads != [threading.get_ident()]
    assert rig.path(rig.one("inner")) == ["run Order", "state LOAD", "attempt LOAD", "inner"]


def test_a_nested_run_is_below_the_branch_that_starts_it(rig: Rig) -> None:
    inner = one(rig, done)
    outer = OpenTelemetryTraces(name="outer", tracer_provider=rig.provider)
    workflow = (
        Workflow[Order]()
        .register_split(
            Order.ASK,
            [lambda store: inner.orchestrate(Order.LOAD)],
            JoinConfig(JoinStrategy.ALL, Order.DONE),
        )
        .add_exit_state(Order.DONE)
        .with_observer(outer)
    )
    workflow.orchestrate(Order.ASK)
    assert rig.path(rig.one("state LOAD")) == [
        *("run outer", "state ASK", "branch ASK"),
        *("run Order", "state LOAD"),
    ]


def test_what_lists_the_branches_runs_inside_the_span_of_the_state(rig: Rig) -> None:
    def listing(store: object) -> list[object]:
        with rig.tracer.start_as_current_span("listing"):
            return [done, done]

    join = JoinConfig(JoinStrategy.ALL, Order.DONE)
    workflow = Workflow[Order]().register_split(Order.ASK, listing, join)
    workflow.add_exit_state(Order.DONE).with_observer(rig.observer).orchestrate(Order.ASK)
    assert rig.path(rig.one("listing")) == ["run Order", "state ASK", "listing"]
    assert len(rig.all("branch ASK")) == 2


def test_a_span_that_a_task_leaves_attached_ends_with_the_task(rig: Rig) -> None:
    """What comes after it is below its own state all the same."""

    def careless() -> Order:
        otel_context.attach(trace.set_span_in_context(rig.tracer.start_span("left attached")))
        return Order.ASK

    def careful() -> Order:
        with rig.tracer.start_as_current_span("inner"):
            return Order.DONE

    workflow = Workflow[Order]().register(Order.LOAD, careless).register(Order.ASK, careful)
    workflow.add_exit_state(Order.DONE).with_observer(rig.observer).orchestrate(Order.LOAD)
    assert rig.path(rig.one("inner")) == ["run Order", "state ASK", "inner"]


def test_two_observers_make_a_span_each(rig: Rig) -> None:
    second = OpenTelemetryTraces(name="second", tracer_provider=rig.provider)
    one(rig, done).with_observer(second).orchestrate(Order.LOAD)
    assert len(rig.all("state LOAD")) == 2
    assert outcomes([rig.one("run Order"), rig.one("run second")]) == ["succeeded", "succeeded"]


# Failures.


def test_a_failure_is_the_status_of_all_that_it_ends_and_an_event_where_it_happened(
    rig: Rig,
) -> None:
    with pytest.raises(TaskExecutionError):
        one(rig, failing).orchestrate(Order.LOAD)
    run, state = rig.one("run Order"), rig.one("state LOAD")
    for span in (run, state):
        assert span.status.status_code is StatusCode.ERROR
        assert span.status.description == "ValueError: no such order"
        assert facts(span)["error.type"] == "ValueError"
        assert facts(span)["cano.outcome"] == "failed"
    assert events(state) == ["exception"]
    assert dict(state.events[0].attributes or {})["exception.type"] == "ValueError"
    assert events(run) == []
    assert facts(run)["cano.state"] == "LOAD"


def test_a_failure_that_leads_to_an_error_state_leaves_the_run_in_order(rig: Rig) -> None:
    assert one(rig, failing, error_state=Order.SORRY).orchestrate(Order.LOAD) is Order.SORRY
    run, state = rig.one("run Order"), rig.one("state LOAD")
    assert state.status.status_code is StatusCode.ERROR
    assert facts(state)["cano.next_state"] == "SORRY"
    assert run.status.status_code is StatusCode.UNSET
    assert facts(run)["cano.exit_state"] == "SORRY"


def test_a_mistake_of_the_workflow_is_an_event_of_the_state(rig: Rig) -> None:
    with pytest.raises(WorkflowError):
        one(rig, lambda: None).orchestrate(Order.LOAD)
    state = rig.one("state LOAD")
    assert events(state) == ["exception"]
    assert facts(state)["error.type"] == "cano_sync.errors.WorkflowError"
    assert events(rig.one("run Order")) == []


def test_an_exception_whose_text_cannot_be_had_is_recorded_by_its_class(rig: Rig) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    def work() -> Order:
        raise Mute

    with pytest.raises(TaskExecutionError):
        one(rig, work).orchestrate(Order.LOAD)
    assert rig.one("state LOAD").status.description == "Mute (its text raised RuntimeError)"


def test_what_wants_out_of_the_program_ends_all_spans(rig: Rig) -> None:
    def leaving() -> Order:
        sys.exit(3)

    with pytest.raises(SystemExit):
        one(rig, leaving, TaskConfig().with_fixed_retry(1, delay=0)).orchestrate(Order.LOAD)
    assert outcomes(rig.spans) == ["failed", "cancelled", "cancelled"]


# Attempts.


def test_each_attempt_has_a_link_to_the_one_before(rig: Rig) -> None:
    seen = []

    def flaky(store: object) -> Order:
        with rig.tracer.start_as_current_span("inner"):
            seen.append(None)
            if len(seen) < 3:
                raise ConnectionError(f"refused {len(seen)}")
        return Order.DONE

    one(rig, flaky, TaskConfig().with_fixed_retry(3, delay=0)).orchestrate(Order.LOAD)
    first, second, third = attempts = rig.all("attempt LOAD")
    assert [len(span.links) for span in attempts] == [0, 1, 1]
    assert second.links[0].context.span_id == first.context.span_id
    assert third.links[0].context.span_id == second.context.span_id
    assert outcomes(attempts) == ["failed", "failed", "succeeded"]
    assert [facts(span)["cano.attempt"] for span in attempts] == [1, 2, 3]
    assert first.status.description == "ConnectionError: refused 1"
    assert facts(first)["cano.retry.delay"] == 0.0
    assert [rig.parent(span) for span in rig.all("inner")] == ["attempt LOAD"] * 3
    assert rig.one("state LOAD").status.status_code is StatusCode.UNSET


def test_exhausted_retries_are_recorded_once_with_the_attempts(rig: Rig) -> None:
    with pytest.raises(RetryExhaustedError):
        one(rig, failing, TaskConfig().with_fixed_retry(1, delay=0)).orchestrate(Order.LOAD)
    assert [events(span) for span in rig.all("attempt LOAD")] == [["exception"], ["exception"]]
    state = rig.one("state LOAD")
    assert events(state) == []
    assert facts(state)["error.type"] == "cano_sync.errors.RetryExhaustedError"
    assert "cano.retry.delay" not in facts(rig.all("attempt LOAD")[-1])


def test_an_attempt_that_returns_what_is_retried_on_has_failed_without_an_exception(
    rig: Rig,
) -> None:
    answers = [None, None, Order.DONE]
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda value: value is None), wait=tenacity.wait_none()
    )
    one(rig, lambda: answers.pop(0), TaskConfig(retrying)).orchestrate(Order.LOAD)
    attempts = rig.all("attempt LOAD")
    assert outcomes(attempts) == ["failed", "failed", "succeeded"]
    assert attempts[0].status.description == "it returned what its config retries on"
    assert events(attempts[0]) == []


def test_attempts_of_branches_are_below_their_branch(rig: Rig) -> None:
    first = [True, True]

    def flaky(which: int):
        @task(config=TaskConfig().with_fixed_retry(1, delay=0), name=f"flaky {which}")
        def work(store: object) -> str:
            if first[which]:
                first[which] = False
                raise ConnectionError("refused")
            return "ok"

        return work

    split(rig, flaky(0), flaky(1)).orchestrate(Order.ASK)
    for index in (0, 1):
        branch = rig.branch(index)
        below = [
            span
            for span in rig.all("attempt ASK")
            if span.parent and span.parent.span_id == branch.context.span_id
        ]
        assert outcomes(below) == ["failed", "succeeded"]
        assert facts(branch)["cano.outcome"] == "succeeded"


class Listening(OpenTelemetryTraces):
    """Lets a test wait until the return of an abandoned task was noted."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(tracer_provider=rig.provider)
        self.returned = threading.Event()

    def task_returned(self, **facts) -> None:  # type: ignore[no-untyped-def]
        super().task_returned(**facts)
        self.returned.set()


def test_an_attempt_that_is_over_its_time_is_abandoned_and_its_return_is_noted(
    rig: Rig, gate: threading.Event
) -> None:
    observer = rig.observer = Listening(rig)
    numbers = iter(range(1, 20))

    def deaf_at_first(store: object) -> Order:
        if next(numbers) == 1:
            gate.wait(20)
        return Order.ASK

    def meet() -> Order:
        gate.set()
        observer.returned.wait(20)
        return Order.DONE

    config = TaskConfig().with_fixed_retry(9, delay=0).with_attempt_timeout(0.3)
    one(rig, deaf_at_first, config).register(Order.ASK, meet).orchestrate(Order.LOAD)
    first, *_, last = rig.all("attempt LOAD")
    assert facts(first)["cano.abandoned"] is True
    assert events(first) == ["cano.task_abandoned", "exception"]
    assert facts(first)["error.type"] == "cano_sync.errors.AttemptTimeoutError"
    assert "cano.abandoned" not in facts(last)
    assert "cano.task_returned" in events(rig.one("run Order"))  # its state had been left


# Splits.


def test_a_split_says_on_its_state_how_it_was_joined(rig: Rig) -> None:
    tasks = [lambda store: 1, failing, lambda store: 2]
    workflow = split(rig, *tasks, strategy=JoinStrategy.PARTIAL_TIMEOUT, timeout=20, bulkhead=2)
    workflow.orchestrate(Order.ASK)
    assert facts(rig.one("state ASK")) == {
        "cano.state": "ASK",
        "cano.split.strategy": "JoinStrategy.PARTIAL_TIMEOUT",
        "cano.split.branches": 3,
        "cano.split.timeout": 20.0,
        "cano.split.bulkhead": 2,
        "cano.split.verdict": "proceed",
        "cano.split.timed_out": False,
        "cano.split.succeeded": 2,
        "cano.split.failed": 1,
        "cano.split.cancelled": 0,
        "cano.next_state": "DONE",
        "cano.outcome": "succeeded",
    }
    assert events(rig.branch(1)) == ["exception"]
    assert rig.branch(1).status.description == "ValueError: no such order"
    assert outcomes(rig.branch(index) for index in range(3)) == ["succeeded", "failed", "succeeded"]


def test_the_losers_of_a_join_are_cancelled_and_their_threads_noted(
    rig: Rig, gate: threading.Event
) -> None:
    begun = threading.Event()

    def deaf(store: object) -> None:
        with rig.tracer.start_as_current_span("late"):
            begun.set()
            gate.wait(20)

    def swift(store: object) -> None:
        begun.wait(20)

    split(rig, deaf, swift, strategy=JoinStrategy.ANY).orchestrate(Order.ASK)
    loser, state = rig.branch(0), rig.one("state ASK")
    assert facts(loser)["cano.outcome"] == "cancelled"
    assert facts(loser)["cano.cancel_reason"] == "the join was decided without this branch"
    assert loser.status.status_code is StatusCode.UNSET
    assert events(state) == ["cano.task_abandoned"]
    assert dict(state.events[0].attributes or {})["cano.branch.index"] == 0
    assert rig.all("late") == []
    gate.set()


def test_a_loser_ends_its_own_spans_below_its_branch_when_it_hears_of_it(
    rig: Rig, eventually: Eventually
) -> None:
    begun = threading.Event()

    def listener(store: object, cancel: CancellationToken) -> None:
        with rig.tracer.start_as_current_span("inner"):
            begun.set()
            cancel.sleep(20)

    split(rig, listener, lambda store: begun.wait(20), strategy=JoinStrategy.ANY).orchestrate(
        Order.ASK
    )
    eventually(lambda: len(rig.all("inner")) == 1)
    assert rig.path(rig.one("inner")) == ["run Order", "state ASK", "branch ASK", "inner"]


def test_a_failed_join_is_an_event_of_its_state(rig: Rig) -> None:
    with pytest.raises(JoinError):
        split(rig, failing, failing).orchestrate(Order.ASK)
    state = rig.one("state ASK")
    assert events(state) == ["exception"]
    assert facts(state)["cano.split.verdict"] == "fail"
    assert outcomes([state, rig.one("run Order")]) == ["failed", "failed"]
    assert outcomes(rig.all("branch ASK")) == ["failed", "failed"]


def test_a_split_whose_time_is_up_says_so(rig: Rig) -> None:
    with pytest.raises(SplitTimeoutError):
        split(rig, listening, listening, timeout=0.1).orchestrate(Order.ASK)
    state = rig.one("state ASK")
    assert facts(state)["cano.split.timed_out"] is True
    assert facts(state)["cano.outcome"] == "failed"
    assert facts(state)["error.type"] == "cano_sync.errors.SplitTimeoutError"


def test_a_branch_that_never_began_has_no_span(rig: Rig) -> None:
    tasks = [lambda store: 1, lambda store: 2, lambda store: 3]
    split(rig, *tasks, strategy=JoinStrategy.ANY, bulkhead=1).orchestrate(Order.ASK)
    assert len(rig.all("branch ASK")) == 1
    assert facts(rig.one("state ASK"))["cano.split.cancelled"] == 2


def test_a_users_executor_makes_no_difference(rig: Rig) -> None:
    def branch(store: object) -> str:
        with rig.tracer.start_as_current_span("inner"):
            return "ok"

    with ThreadPoolExecutor(1) as executor:
        split(rig, branch, branch).with_executor(executor).orchestrate(Order.ASK)
    assert [rig.parent(span) for span in rig.all("inner")] == ["branch ASK"] * 2


# Runs that are stopped.


def test_a_run_whose_time_is_up_ends_all_spans_though_a_thread_is_left(
    rig: Rig, gate: threading.Event
) -> None:
    def deaf() -> Order:
        gate.wait(20)
        return Order.DONE

    with pytest.raises(WorkflowTimeoutError):
        one(rig, deaf).with_timeout(0.2).orchestrate(Order.LOAD)
    run, state = rig.one("run Order"), rig.one("state LOAD")
    assert outcomes([run, state]) == ["timed_out", "timed_out"]
    assert run.status.status_code is StatusCode.ERROR
    assert events(state) == ["cano.task_abandoned", "exception"]
    gate.set()


def test_a_run_that_is_left_in_a_split_ends_its_branches(rig: Rig, gate: threading.Event) -> None:
    begun = threading.Barrier(3)

    def deaf(store: object) -> None:
        begun.wait(20)
        gate.wait(20)

    token = CancellationToken()
    future = split(rig, deaf, deaf).submit(Order.ASK, cancel=token)
    begun.wait(20)
    token.cancel("enough")
    with pytest.raises(WorkflowCancelledError):
        future.result(20)
    assert outcomes(rig.all("branch ASK")) == ["cancelled", "cancelled"]
    run = rig.one("run Order")
    assert facts(run)["cano.outcome"] == "cancelled"
    assert facts(run)["cano.cancel_reason"] == "enough"
    assert run.status.status_code is StatusCode.UNSET
    gate.set()


def test_a_run_that_is_left_in_an_attempt_ends_it(rig: Rig) -> None:
    with pytest.raises(WorkflowTimeoutError):
        one(rig, listening, TaskConfig().with_fixed_retry(1, delay=0)).with_timeout(
            0.2
        ).orchestrate(Order.LOAD)
    assert outcomes([rig.one("attempt LOAD")]) == ["cancelled"]


def test_a_nested_run_that_is_stopped_by_its_own_limit_is_a_failure_of_the_outer(rig: Rig) -> None:
    inner = one(rig, listening).with_timeout(0.1)
    outer = OpenTelemetryTraces(name="outer", tracer_provider=rig.provider)
    workflow = Workflow[Order]().register(Order.LOAD, lambda: inner.orchestrate(Order.LOAD))
    workflow = workflow.add_exit_state(Order.DONE).with_observer(outer)
    with pytest.raises(WorkflowTimeoutError):
        workflow.orchestrate(Order.LOAD)
    assert outcomes([rig.one("run Order"), rig.one("run outer")]) == ["timed_out", "failed"]


def test_a_nested_run_that_ends_with_the_outer_one_is_cancelled(
    rig: Rig, eventually: Eventually
) -> None:
    inner = one(rig, listening)
    outer = OpenTelemetryTraces(name="outer", tracer_provider=rig.provider)
    workflow = Workflow[Order]().register(Order.LOAD, lambda: inner.orchestrate(Order.LOAD))
    workflow = workflow.add_exit_state(Order.DONE).with_observer(outer).with_timeout(0.2)
    with pytest.raises(WorkflowTimeoutError):
        workflow.orchestrate(Order.LOAD)
    eventually(lambda: len(rig.all("run Order")) == 1)
    assert outcomes([rig.one("run Order"), rig.one("run outer")]) == ["cancelled", "timed_out"]


@pytest.mark.skipif(sys.platform == "win32", reason="there SIGINT is another thing")
def test_ctrl_c_ends_all_spans(rig: Rig) -> None:
    def interrupted(store: object, cancel: CancellationToken) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        cancel.sleep(20)

    with pytest.raises(KeyboardInterrupt):
        split(rig, interrupted).orchestrate(Order.ASK)
    assert outcomes([rig.one("run Order"), rig.branch(0)]) == ["cancelled", "cancelled"]
    assert facts(rig.one("run Order"))["cano.cancel_reason"] == "KeyboardInterrupt"


def test_ctrl_c_in_a_task_on_the_main_thread_ends_all_spans(rig: Rig) -> None:
    def interrupted() -> Order:
        signal.raise_signal(signal.SIGINT)
        return Order.DONE

    with pytest.raises(KeyboardInterrupt):
        one(rig, interrupted).orchestrate(Order.LOAD)
    assert outcomes([rig.one("run Order"), rig.one("state LOAD")]) == ["cancelled", "cancelled"]


# Many runs, and what is left of them.


def test_parallel_runs_of_several_workflows_do_not_mix(rig: Rig) -> None:
    def branch(store: object) -> str:
        with rig.tracer.start_as_current_span("inner"):
            return "ok"

    first = split(rig, branch, branch, failing, strategy=JoinStrategy.PARTIAL_TIMEOUT, timeout=20)
    second = one(rig, done, TaskConfig().with_fixed_retry(1, delay=0))
    futures = [first.submit(Order.ASK) for _ in range(40)]
    futures += [second.submit(Order.LOAD) for _ in range(40)]
    assert {future.result(20) for future in futures} == {Order.DONE}
    traces: dict[int, list[str]] = {}
    for span in rig.spans:
        traces.setdefault(span.context.trace_id, []).append(span.name)
    kinds = {tuple(sorted(names)) for names in traces.values()}
    assert len(traces) == 80  # each run is the root of its own
    assert kinds == {
        ("attempt LOAD", "run Order", "state LOAD"),
        (*["branch ASK"] * 3, "inner", "inner", "run Order", "state ASK"),
    }
    assert all(rig.parent(span) == "branch ASK" for span in rig.all("inner"))


def test_nothing_is_kept_of_runs_that_have_ended(rig: Rig, gate: threading.Event) -> None:
    kept: list[weakref.ref[object]] = []

    class Payload:
        pass

    def work(store: object) -> Order:
        payload = Payload()
        kept.append(weakref.ref(payload))
        raise LookupError(payload)

    def deaf() -> Order:
        gate.wait(20)
        return Order.DONE

    for _ in range(3):
        with pytest.raises(CanoError):
            one(rig, work).orchestrate(Order.LOAD)
    with pytest.raises(WorkflowTimeoutError):
        one(rig, deaf).with_timeout(0.05).orchestrate(Order.LOAD)
    gc.collect()
    assert len(rig.observer._runs) == 0
    assert [reference() for reference in kept] == [None] * 3


def test_a_span_processor_that_raises_costs_the_run_nothing_and_leaves_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(SpanProcessor):
        def on_start(self, span: Span, parent_context: Context | None = None) -> None:
            if span.name.startswith("state"):
                raise RuntimeError("out of order")

    caplog.set_level(logging.CRITICAL, "cano_sync")  # a record would keep the traceback alive
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Broken())
    observer = OpenTelemetryTraces(tracer_provider=provider)
    workflow = Workflow[Order]().register(Order.LOAD, done).add_exit_state(Order.DONE)
    assert workflow.with_observer(observer).orchestrate(Order.LOAD) is Order.DONE
    gc.collect()
    assert len(observer._runs) == 0


def test_events_that_come_after_the_end_of_a_run_are_dropped(rig: Rig) -> None:
    one(rig, done).orchestrate(Order.LOAD)
    before = len(rig.spans)
    late = {"run_id": facts(rig.one("run Order"))["cano.run_id"], "state": Order.LOAD}
    observer = rig.observer
    observer.task_started(task="late", index=0, **late)
    observer.attempt_started(task="late", index=0, attempt=2, **late)
    observer.attempt_failed(index=0, error=ValueError(), delay=None, **late)
    observer.task_abandoned(task="late", index=0, attempt=2, **late)
    observer.task_cancelled(index=0, reason=None, **late)
    observer.task_returned(task="late", index=0, attempt=2, late=1.0, **late)
    observer.state_left(next_state=None, duration=1.0, error=None, **late)
    observer.run_finished(duration=1.0, error=None, **late)
    assert len(rig.spans) == before


def test_without_an_sdk_a_run_goes_its_way() -> None:
    """The process's own provider, which nobody has set up."""
    workflow = Workflow[Order]().register(Order.LOAD, done).add_exit_state(Order.DONE)
    assert workflow.with_observer(OpenTelemetryTraces()).orchestrate(Order.LOAD) is Order.DONE
