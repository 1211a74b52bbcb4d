"""Which events a run's observers receive, when, on which thread and in which context."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
import tenacity

from cano_sync import (
    AttemptTimeoutError,
    CancellationToken,
    Cancelled,
    CanoError,
    JoinConfig,
    JoinError,
    JoinStrategy,
    MemoryStore,
    RetryExhaustedError,
    SplitTimeoutError,
    TaskConfig,
    TaskExecutionError,
    Verdict,
    Workflow,
    WorkflowCancelledError,
    WorkflowTimeoutError,
    abandoned_tasks,
    task,
    wait_for_abandoned,
)
from cano_sync._engine import split as split_module
from cano_sync._engine.events import RunEvents
from cano_sync._engine.machine import Machine
from cano_sync._engine.pool import Job
from cano_sync._engine.tracker import Tracker
from cano_sync._model.hooks import HOOKS, Observer, listeners_of
from tests.kit import SOON, Eventually
from tests.observing import Notes

ENDS = ("task_succeeded", "task_failed", "task_cancelled")


@pytest.fixture
def notes() -> Iterator[Notes]:
    """After each test: every task and state that began has one end."""
    noted = Notes()
    yield noted
    starts = [(f["run_id"], f["state"], f["index"]) for f in noted.of("task_started")]
    ends = [(f["run_id"], f["state"], f["index"]) for hook in ENDS for f in noted.of(hook)]
    assert sorted(starts, key=repr) == sorted(ends, key=repr)
    entered = [f["state"] for f in noted.of("state_entered") if not f["is_exit"]]
    assert entered == [f["state"] for f in noted.of("state_left")]
    assert len(noted.of("run_started")) == len(noted.of("run_finished"))


def fail() -> None:
    raise ValueError("no stock")


def single(function: Callable[..., Any], config: TaskConfig | None = None) -> Workflow[str]:
    return Workflow[str]().register("GO", function, config).add_exit_state("END")


def split(*tasks: Callable[..., Any], **join: Any) -> Workflow[str]:
    strategy = join.pop("strategy", JoinStrategy.ALL)
    config = JoinConfig(strategy, "END", **join)
    return Workflow[str]().register_split("GO", tasks, config).add_exit_state("END")


def listening(store: Any, cancel: CancellationToken) -> None:
    cancel.sleep(20)


# Runs and states.


def test_a_run_emits_events_from_its_start_to_its_end(notes: Notes) -> None:
    workflow = Workflow[str]().register("GO", lambda: "ON").register("ON", lambda: "END")
    workflow.add_exit_state("END").with_observer(notes).orchestrate("GO")
    step = ["state_entered", "task_started", "task_succeeded", "state_left"]
    assert notes.names() == ["run_started", *step, *step, "state_entered", "run_finished"]
    assert len({facts["run_id"] for _, facts in notes.all}) == 1
    assert notes.one("run_started")["state"] == "GO"
    assert [(f["state"], f["is_exit"]) for f in notes.of("state_entered")] == [
        ("GO", False),
        ("ON", False),
        ("END", True),
    ]
    assert [(f["state"], f["next_state"], f["error"]) for f in notes.of("state_left")] == [
        ("GO", "ON", None),
        ("ON", "END", None),
    ]
    finished = notes.one("run_finished")
    assert (finished["state"], finished["error"]) == ("END", None)
    took = sum(facts["duration"] for facts in notes.of("state_left"))
    assert 0 < took <= finished["duration"]


def test_a_run_that_begins_in_an_exit_state_emits_events_too(notes: Notes) -> None:
    single(lambda: "END").with_observer(notes).orchestrate("END")
    assert notes.names() == ["run_started", "state_entered", "run_finished"]


def test_the_run_has_the_id_that_its_tasks_and_errors_know(notes: Notes) -> None:
    ids: list[str] = []

    def go(store: Any, context: Any) -> str:
        ids.append(context.run_id)
        raise ValueError

    with pytest.raises(TaskExecutionError) as caught:
        single(go).with_observer(notes).orchestrate("GO")
    assert ids == [caught.value.run_id] == [notes.one("run_started")["run_id"]]


def test_a_failure_that_ends_the_run_is_emitted_by_task_state_and_run(notes: Notes) -> None:
    with pytest.raises(TaskExecutionError) as caught:
        single(fail).with_observer(notes).orchestrate("GO")
    for hook in ("task_failed", "state_left", "run_finished"):
        assert notes.one(hook)["error"] is caught.value
    assert notes.one("state_left")["next_state"] is None
    assert notes.one("run_finished")["state"] == "GO"
    assert notes.names()[-3:] == ["task_failed", "state_left", "run_finished"]


def test_an_error_state_is_where_the_state_is_left_to(notes: Notes) -> None:
    workflow = Workflow[str]().register("GO", fail, error_state="SORRY")
    workflow = workflow.register("SORRY", lambda: "END").add_exit_state("END")
    workflow.with_observer(notes).orchestrate("GO")
    left = notes.of("state_left")
    assert [(f["state"], f["next_state"]) for f in left] == [("GO", "SORRY"), ("SORRY", "END")]
    assert left[0]["error"] is notes.one("task_failed")["error"]
    assert left[1]["error"] is None
    assert notes.one("run_finished")["error"] is None


def test_an_error_state_that_is_an_exit_is_entered(notes: Notes) -> None:
    workflow = Workflow[str]().register("GO", fail, error_state="END").add_exit_state("END")
    workflow.with_observer(notes).orchestrate("GO")
    assert isinstance(notes.one("state_left")["error"], TaskExecutionError)
    assert [f["is_exit"] for f in notes.of("state_entered")] == [False, True]


def test_a_mistake_in_the_workflow_ends_the_run_after_a_task_that_succeeded(notes: Notes) -> None:
    with pytest.raises(CanoError, match="NOWHERE"):
        single(lambda: "NOWHERE").with_observer(notes).orchestrate("GO")
    assert notes.names()[-3:] == ["task_succeeded", "state_left", "run_finished"]


def test_a_task_that_raises_an_error_of_ours_is_routed_as_without_observers(notes: Notes) -> None:
    """The WorkflowError of a task is its failure, not a mistake of the machine around it."""

    def nested() -> str:
        return single(lambda: None).orchestrate("GO")

    workflow = Workflow[str]().register("GO", nested, error_state="END").add_exit_state("END")
    assert workflow.with_observer(notes).orchestrate("GO") == "END"
    assert notes.one("task_failed")["error"] is notes.one("state_left")["error"]


def test_a_run_in_the_background_emits_its_events_on_its_thread(notes: Notes) -> None:
    single(lambda: "END").with_observer(notes).submit("GO").result(20)
    assert {facts["thread"] for _, facts in notes.all} != {threading.current_thread().name}
    assert notes.names()[-1] == "run_finished"


def test_a_nested_run_has_its_own_events(notes: Notes) -> None:
    inner = single(lambda: "END").with_observer(notes)
    outer = single(lambda: inner.orchestrate("GO")).with_observer(notes)
    outer.orchestrate("GO")
    first, second = (facts["run_id"] for facts in notes.of("run_started"))
    assert [facts["run_id"] for facts in notes.of("run_finished")] == [second, first]


# Tasks and attempts.


def test_a_tasks_events_have_its_name(notes: Notes) -> None:
    single(task(name="load the order")(lambda: "END")).with_observer(notes).orchestrate("GO")
    started = notes.one("task_started")
    assert (started["task"], started["state"], started["index"]) == ("load the order", "GO", None)


def test_a_task_without_retries_emits_no_attempts(notes: Notes) -> None:
    config = TaskConfig().with_attempt_timeout(20)
    single(lambda: "END", config).with_observer(notes).orchestrate("GO")
    assert notes.of("attempt_started") == []


def test_each_attempt_is_emitted_with_its_delay_until_one_succeeds(notes: Notes) -> None:
    outcomes = iter([ValueError("first"), ValueError("second"), None])

    def flaky() -> str:
        error = next(outcomes)
        if error is not None:
            raise error
        return "END"

    single(flaky, TaskConfig().with_fixed_retry(5, 0.001)).with_observer(notes).orchestrate("GO")
    assert [facts["attempt"] for facts in notes.of("attempt_started")] == [1, 2, 3]
    failed = notes.of("attempt_failed")
    assert [(f["attempt"], f["delay"], str(f["error"])) for f in failed] == [
        (1, 0.001, "first"),
        (2, 0.001, "second"),
    ]
    assert len(notes.of("task_succeeded")) == 1


def test_the_last_attempt_is_not_followed_by_another(notes: Notes) -> None:
    config = TaskConfig().with_fixed_retry(1, 0)
    with pytest.raises(RetryExhaustedError) as caught:
        single(fail, config).with_observer(notes).orchestrate("GO")
    assert [f["delay"] for f in notes.of("attempt_failed")] == [0, None]
    assert notes.one("task_failed")["error"] is caught.value


def test_an_error_that_is_not_retried_ends_the_attempts(notes: Notes) -> None:
    only_os_errors = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(OSError), stop=tenacity.stop_after_attempt(3)
    )
    with pytest.raises(TaskExecutionError):
        single(fail, TaskConfig(retry=only_os_errors)).with_observer(notes).orchestrate("GO")
    assert notes.one("attempt_failed")["delay"] is None


def test_a_result_that_is_retried_is_a_failed_attempt_without_an_error(notes: Notes) -> None:
    results = iter(["", "END"])
    until_there_is_one = tenacity.Retrying(retry=tenacity.retry_if_result(lambda text: not text))
    config = TaskConfig(retry=until_there_is_one)
    single(lambda: next(results), config).with_observer(notes).orchestrate("GO")
    failed = notes.one("attempt_failed")
    assert (failed["attempt"], failed["error"], failed["delay"]) == (1, None, 0)


def test_an_attempt_out_of_time_leaves_a_thread_that_may_come_back(
    notes: Notes, gate: threading.Event, eventually: Eventually
) -> None:
    calls = iter([lambda: gate.wait(20), lambda: None])

    def deaf_once() -> str:
        next(calls)()
        return "END"

    config = TaskConfig().with_fixed_retry(1, 0).with_attempt_timeout(0.2)
    single(deaf_once, config).with_observer(notes).orchestrate("GO")
    assert notes.one("task_abandoned")["attempt"] == 1
    assert isinstance(notes.one("attempt_failed")["error"], AttemptTimeoutError)
    assert notes.of("task_returned") == []
    gate.set()
    eventually(lambda: bool(notes.of("task_returned")))
    returned = notes.one("task_returned")
    assert returned["attempt"] == 1
    assert returned["late"] > 0
    assert returned["thread"].startswith("cano-")


# Splits.


def test_a_split_emits_branch_by_branch_and_is_decided_before_it_goes_on(notes: Notes) -> None:
    @task(name="geo")
    def geo() -> str:
        return "CH"

    split(geo, fail, strategy=JoinStrategy.ANY, bulkhead=1).with_observer(notes).orchestrate("GO")
    started, decided = notes.one("split_started"), notes.one("join_decided")
    assert started["tasks"] == ("geo", "fail")
    assert started["join"].strategy is JoinStrategy.ANY
    assert notes.one("branch_landed")["outcome"].value == "CH"
    assert decided["verdict"] is Verdict.PROCEED
    assert decided["timed_out"] is False
    assert [outcome.name for outcome in decided["result"].cancelled] == ["fail"]
    assert [facts["task"] for facts in notes.of("task_started")] == ["geo"]  # the other never was
    for hook in ("split_started", "branch_landed", "join_decided"):
        assert notes.one(hook)["state"] == "GO"
    assert 0 <= decided["duration"] <= notes.one("state_left")["duration"]
    order = notes.names("split_started", "branch_landed", "join_decided", "state_left")
    assert order == ["split_started", "branch_landed", "join_decided", "state_left"]


def test_branches_emit_on_their_threads_with_their_index(notes: Notes) -> None:
    both = threading.Barrier(2)
    split(lambda: both.wait(), lambda: both.wait()).with_observer(notes).orchestrate("GO")
    started = {facts["index"]: facts["thread"] for facts in notes.of("task_started")}
    landed = {f["outcome"].index: f["thread"] for f in notes.of("branch_landed")}
    assert set(started) == {0, 1}
    assert started == landed
    assert len(set(started.values())) == 2


def test_a_branch_that_fails_lands_with_the_error_of_its_task(notes: Notes) -> None:
    with pytest.raises(JoinError) as caught:
        split(fail).with_observer(notes).orchestrate("GO")
    error = notes.one("task_failed")["error"]
    assert notes.one("branch_landed")["outcome"].error is error
    assert notes.one("join_decided")["verdict"] is Verdict.FAIL
    assert notes.one("state_left")["error"] is caught.value


def test_the_branches_retries_are_emitted(notes: Notes) -> None:
    retried = task(config=TaskConfig().with_fixed_retry(1, 0))(fail)
    with pytest.raises(JoinError):
        split(retried).with_observer(notes).orchestrate("GO")
    assert [(f["index"], f["attempt"]) for f in notes.of("attempt_failed")] == [(0, 1), (0, 2)]


def test_who_lists_the_branches_is_a_task_of_the_state(notes: Notes) -> None:
    def listed(store: Any) -> list[Any]:
        return [lambda: None]

    join = JoinConfig(JoinStrategy.ALL, "END")
    workflow = Workflow[str]().register_split("GO", listed, join).add_exit_state("END")
    workflow.with_observer(notes).orchestrate("GO")
    assert [(f["task"], f["index"]) for f in notes.of("task_started")] == [
        ("listed", None),
        ("<lambda>", 0),
    ]


def test_whoever_lists_the_branches_too_late_begins_no_split(
    notes: Notes, gate: threading.Event, eventually: Eventually
) -> None:
    ran: list[int] = []

    def listing() -> list[Callable[..., Any]]:
        gate.wait(20)
        return [lambda: ran.append(1)] * 8

    config = JoinConfig(JoinStrategy.ALL, "END")
    workflow = Workflow[str]().register_split("GO", listing, config).add_exit_state("END")
    for observed in (workflow, workflow.with_observer(notes)):
        gate.clear()
        with pytest.raises(WorkflowTimeoutError):
            observed.with_timeout(0.02).orchestrate("GO")
        gate.set()
        assert wait_for_abandoned(SOON)
    eventually(lambda: len(notes.of("task_returned")) == 1)
    assert not notes.of("split_started")
    assert not ran


def test_a_loser_that_listens_is_cancelled_and_comes_back(
    notes: Notes, eventually: Eventually
) -> None:
    begun = threading.Event()

    def loser(store: Any, cancel: CancellationToken) -> None:
        begun.set()
        cancel.sleep(20)

    split(loser, lambda: begun.wait(20), strategy=JoinStrategy.ANY).with_observer(
        notes
    ).orchestrate("GO")
    cancelled = notes.one("task_cancelled")
    assert (cancelled["index"], cancelled["reason"]) == (
        0,
        "the join was decided without this branch",
    )
    assert wait_for_abandoned(SOON)
    eventually(lambda: len(notes.of("task_abandoned")) == len(notes.of("task_returned")))


def test_a_loser_that_is_deaf_is_abandoned(
    notes: Notes, gate: threading.Event, eventually: Eventually
) -> None:
    begun = threading.Event()

    def deaf() -> None:
        begun.set()
        gate.wait(20)

    tasks = (deaf, lambda: begun.wait(20))
    split(*tasks, strategy=JoinStrategy.ANY).with_observer(notes).orchestrate("GO")
    assert notes.one("task_abandoned")["index"] == 0
    assert notes.of("task_returned") == []
    gate.set()
    eventually(lambda: bool(notes.of("task_returned")))
    assert [facts["outcome"].index for facts in notes.of("branch_landed")] == [1]


def test_a_loser_out_on_an_attempt_of_its_own_thread_is_abandoned_once(
    notes: Notes, gate: threading.Event, eventually: Eventually
) -> None:
    begun = threading.Event()

    @task(config=TaskConfig().with_attempt_timeout(20))
    def deaf() -> None:
        begun.set()
        gate.wait(20)

    tasks = (deaf, lambda: begun.wait(20))
    split(*tasks, strategy=JoinStrategy.ANY).with_observer(notes).orchestrate("GO")
    eventually(lambda: bool(notes.of("task_abandoned")))
    gate.set()
    eventually(lambda: bool(notes.of("task_returned")))
    notes.one("task_abandoned")
    notes.one("task_returned")


def test_a_split_out_of_time_says_so(notes: Notes) -> None:
    with pytest.raises(SplitTimeoutError):
        split(listening, timeout=0.05).with_observer(notes).orchestrate("GO")
    decided = notes.one("join_decided")
    assert decided["timed_out"] is True
    assert decided["verdict"] is Verdict.FAIL
    assert decided["duration"] >= 0.05


def test_a_strategy_that_is_broken_decides_nothing(notes: Notes) -> None:
    class Broken(JoinStrategy):
        def decide(self, tally: Any) -> Verdict:
            raise ZeroDivisionError

    with pytest.raises(CanoError, match="broken"):
        split(fail, strategy=Broken()).with_observer(notes).orchestrate("GO")
    assert notes.of("join_decided") == []


# What ends a run from outside.


def test_a_cancelled_run_says_why_before_it_finishes(notes: Notes) -> None:
    token = CancellationToken()

    def go(store: Any, cancel: CancellationToken) -> str:
        token.cancel("closing time")
        cancel.sleep(20)
        return "END"

    with pytest.raises(WorkflowCancelledError) as caught:
        single(go).with_observer(notes).orchestrate("GO", cancel=token)
    assert notes.one("task_cancelled")["reason"] == "closing time"
    assert notes.names("run_cancelled", "run_finished") == ["run_cancelled", "run_finished"]
    assert notes.one("run_cancelled")["reason"] == "closing time"
    assert notes.one("run_finished")["error"] is caught.value
    assert notes.one("state_left")["next_state"] is None


def test_a_nested_run_that_is_cancelled_is_a_failure_of_the_outer_one(notes: Notes) -> None:
    token = CancellationToken()
    token.cancel("closing time")
    inner = single(lambda: "END")
    outer = single(lambda: inner.orchestrate("GO", cancel=token)).with_observer(notes)
    with pytest.raises(WorkflowCancelledError):
        outer.orchestrate("GO")
    assert notes.of("run_cancelled") == []
    assert isinstance(notes.one("task_failed")["error"], WorkflowCancelledError)


def test_a_cancelled_split_is_not_decided_and_all_its_branches_are_cancelled(
    notes: Notes, eventually: Eventually
) -> None:
    token = CancellationToken()
    all_there = threading.Barrier(4)

    def branch(store: Any, cancel: CancellationToken) -> None:
        all_there.wait()
        cancel.sleep(20)

    run = split(branch, branch, branch).with_observer(notes).submit("GO", cancel=token)
    all_there.wait()
    token.cancel("closing time")
    with pytest.raises(WorkflowCancelledError):
        run.result(20)
    eventually(lambda: len(notes.of("task_cancelled")) == 3)
    assert {facts["reason"] for facts in notes.of("task_cancelled")} == {"closing time"}
    assert notes.of("join_decided") == notes.of("branch_landed") == []


def test_a_branch_that_is_left_after_run_finished_is_emitted_as_abandoned(
    notes: Notes, gate: threading.Event
) -> None:
    """The caller, who emits the end, may be quicker than the split that leaves its branches."""
    events = RunEvents("run", listeners_of([notes]))
    events.run_started("GO")
    events.task_started("deaf", "GO", 0, CancellationToken())
    at_work = threading.Event()
    job = Job(None, lambda job: at_work.set() or gate.wait(20))
    worker = threading.Thread(target=job.run)
    worker.start()
    assert at_work.wait(20)
    events.run_finished("GO", Cancelled("enough"))
    events.abandon(0, job, "enough")
    late = ("task_cancelled", "run_finished", "task_abandoned", "task_returned")
    assert notes.names(*late) == ["task_cancelled", "run_finished", "task_abandoned"]
    gate.set()
    worker.join(20)
    assert notes.names(*late)[-1] == "task_returned"


def test_the_end_of_a_run_out_of_time_is_emitted_by_the_caller(
    notes: Notes, gate: threading.Event, eventually: Eventually
) -> None:
    workflow = single(lambda: gate.wait(20)).with_timeout(0.2).with_observer(notes)
    with pytest.raises(WorkflowTimeoutError) as caught:
        workflow.orchestrate("GO")
    assert notes.names() == [
        "run_started",
        "state_entered",
        "task_started",
        "task_cancelled",
        "task_abandoned",
        "state_left",
        "run_finished",
    ]
    assert notes.one("run_finished")["error"] is caught.value
    here = threading.current_thread().name
    assert notes.one("run_started")["thread"] == notes.one("run_finished")["thread"] == here
    assert notes.one("task_started")["thread"] != here
    gate.set()
    eventually(lambda: notes.names()[-1] == "task_returned")
    assert len(notes.all) == 8


def test_a_run_that_nobody_waits_for_any_more_begins_no_further_task(
    notes: Notes, gate: threading.Event, eventually: Eventually
) -> None:
    second = threading.Event()

    def deaf() -> str:
        gate.wait(20)
        return "ON"

    workflow = Workflow[str]().register("GO", deaf).register("ON", second.set)
    workflow = workflow.add_exit_state("END").with_timeout(0.2).with_observer(notes)
    with pytest.raises(WorkflowTimeoutError):
        workflow.orchestrate("GO")
    gate.set()
    eventually(lambda: bool(notes.of("task_returned")))
    assert not second.is_set()
    assert [facts["state"] for facts in notes.of("state_entered")] == ["GO"]


def test_ctrl_c_in_a_task_is_a_cancellation(notes: Notes) -> None:
    def interrupted() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        single(interrupted).with_observer(notes).orchestrate("GO")
    assert notes.one("run_cancelled")["reason"] == "interrupted"
    assert isinstance(notes.one("run_finished")["error"], KeyboardInterrupt)


def test_what_wants_out_of_the_program_is_emitted_and_passes(notes: Notes) -> None:
    with pytest.raises(SystemExit):
        single(lambda: exec("raise SystemExit")).with_observer(notes).orchestrate("GO")
    assert isinstance(notes.one("task_failed")["error"], SystemExit)
    assert notes.of("run_cancelled") == []


# Observers that misbehave.


class Raising(Observer):
    """Raises in each hook that it hears."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error
        self.calls = 0

    def state_entered(self, **_: Any) -> None:
        self.calls += 1
        raise self.error("the observer's own fault")

    def run_finished(self, **_: Any) -> None:
        self.calls += 100


@pytest.mark.parametrize("error", [ValueError, Cancelled, SystemExit, GeneratorExit])
def test_an_observer_that_raises_is_logged_once_and_hears_no_more_of_the_run(
    error: type[BaseException], notes: Notes, caplog: pytest.LogCaptureFixture
) -> None:
    raising = Raising(error)
    workflow = single(lambda: "END").with_observer(raising).with_observer(notes)
    assert workflow.orchestrate("GO") == "END"
    assert raising.calls == 1
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("cano_sync", logging.ERROR)
    assert "state_entered" in record.getMessage()
    assert notes.one("run_started")["run_id"] in record.getMessage()
    assert len(notes.of("state_entered")) == 2  # the other one hears all
    workflow.orchestrate("GO")
    assert raising.calls == 2  # and receives the events of the next run again


def test_branches_that_trip_over_an_observer_at_once_log_it_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Meeting(Observer):
        def __init__(self) -> None:
            self.both = threading.Barrier(2)

        def task_started(self, **_: Any) -> None:
            self.both.wait(20)
            raise ValueError

    split(lambda: None, lambda: None).with_observer(Meeting()).orchestrate("GO")
    assert len(caplog.records) == 1


def test_ctrl_c_in_a_hook_is_no_fault_of_the_observer(notes: Notes) -> None:
    class Interrupted(Observer):
        def state_entered(self, **_: Any) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        single(lambda: "END").with_observer(notes).with_observer(Interrupted()).orchestrate("GO")


# Contexts.


mark: ContextVar[str] = ContextVar("mark", default="outside")


class Marking(Observer):
    """Sets the mark where the hook of its name is called."""

    def __init__(self, hook: str) -> None:
        self.hook = hook

    def _mark(self, hook: str) -> None:
        if hook == self.hook:
            mark.set(hook)

    def run_started(self, **_: Any) -> None:
        self._mark("run_started")

    def task_started(self, **_: Any) -> None:
        self._mark("task_started")

    def attempt_started(self, **_: Any) -> None:
        self._mark("attempt_started")


@pytest.mark.parametrize("hook", ["run_started", "task_started", "attempt_started"])
@pytest.mark.parametrize("limit", [None, 20], ids=["current", "run_on_pool"])
@pytest.mark.parametrize("attempt", [None, 20], ids=["one thread", "a thread of its own"])
def test_what_a_hook_sets_the_tasks_see_and_nobody_outside(
    hook: str, limit: float | None, attempt: float | None
) -> None:
    seen: list[str] = []
    config = TaskConfig().with_fixed_retry(1, 0).with_attempt_timeout(attempt)

    def look() -> str:
        seen.append(mark.get())
        return "ON"

    workflow = (
        Workflow[str]()
        .register("GO", look, config)
        .register_split("ON", [task(config=config)(look)], JoinConfig(JoinStrategy.ALL, "END"))
        .add_exit_state("END")
        .with_timeout(limit)
        .with_observer(Marking(hook))
    )
    workflow.orchestrate("GO")
    assert seen == [hook, hook]
    assert mark.get() == "outside"


def test_what_a_branch_sets_its_neighbour_does_not_see() -> None:
    class Numbering(Observer):
        def task_started(self, *, index: int | None, **_: Any) -> None:
            mark.set(str(index))

    both = threading.Barrier(2)

    def look() -> str:
        both.wait()
        return mark.get()

    store = MemoryStore()
    split(look, look, collect="marks").with_observer(Numbering()).orchestrate("GO", store=store)
    assert store.get("marks") == ["0", "1"]


# What nobody hears.


def test_who_hears_only_of_runs_leaves_the_fast_way_open() -> None:
    class Ends(Observer):
        def run_finished(self, **_: Any) -> None: ...

    quick = Machine(single(lambda: "END").with_observer(Ends()).description)
    watched = Machine(single(lambda: "END").with_observer(Notes()).description)
    assert not quick.is_observed
    assert quick.find("GO").step is not None  # type: ignore[union-attr]
    assert watched.find("GO").step is None  # type: ignore[union-attr]


def test_who_hears_only_of_states_costs_the_tasks_nothing() -> None:
    class States(Observer):
        def state_left(self, **_: Any) -> None: ...

    machine = Machine(single(lambda: "END").with_observer(States()).description)
    assert machine.is_observed
    assert not machine.is_observed_closely


# Ctrl-C in a hook.


class Interrupted(Observer):
    """Ctrl-C comes while it hears one hook for the first time."""

    def __init__(self, hook: str) -> None:
        self.hook = hook
        self.listeners = False

    def _hear(self, hook: str) -> None:
        if hook == self.hook and not self.listeners:
            self.listeners = True
            raise KeyboardInterrupt


def _interrupting(hook: str) -> Callable[..., None]:
    return lambda self, **_: self._hear(hook)


for _hook in HOOKS:
    setattr(Interrupted, _hook, _interrupting(_hook))


def fails() -> str:
    raise OSError("no disk")


STORY = (
    Workflow[str]()
    .register("GO", lambda: "BOTH")
    .register_split("BOTH", [lambda: 1, lambda: 2], JoinConfig(JoinStrategy.ALL, "TRY"))
    .register("TRY", fails, TaskConfig().with_fixed_retry(1, 0), error_state="MEND")
    .register("MEND", lambda: "END")
    .add_exit_state("END")
)


@pytest.mark.parametrize(
    "hook",
    [
        "run_started",
        "state_entered",
        "state_left",
        "task_started",
        "task_succeeded",
        "task_failed",
        "attempt_started",
        "attempt_failed",
        "split_started",
        "branch_landed",
        "join_decided",
        "run_finished",
    ],
)
def test_ctrl_c_in_a_hook_ends_the_run_and_the_others_hear_each_start_and_end(
    hook: str, notes: Notes
) -> None:
    first = Interrupted(hook)
    with pytest.raises(KeyboardInterrupt):
        STORY.with_observer(first).with_observer(notes).orchestrate("GO")
    assert first.listeners
    assert notes.names()[0] == "run_started"
    assert notes.names("run_started", "run_finished") == ["run_started", "run_finished"]
    assert hook in notes.names()


def test_ctrl_c_while_one_is_abandoned_abandons_the_others_too(
    notes: Notes, gate: threading.Event, eventually: Eventually
) -> None:
    begun = threading.Barrier(4)

    def deaf() -> None:
        begun.wait(20)
        gate.wait(20)

    def fast() -> None:
        begun.wait(20)

    workflow = split(fast, deaf, deaf, deaf, strategy=JoinStrategy.ANY)
    observed = workflow.with_observer(Interrupted("task_abandoned")).with_observer(notes)
    with pytest.raises(KeyboardInterrupt):
        observed.orchestrate("GO")
    assert abandoned_tasks() == 3
    gate.set()
    eventually(lambda: len(notes.of("task_returned")) == 3)


# What an observer leaves as it is.


def test_a_branch_that_has_landed_says_so_before_the_join_is_decided(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though its thread may be slow to say so, and another branch decide meanwhile."""
    counted, goes_on = threading.Event(), threading.Event()
    emit, wait = Tracker._emit_landed, split_module.wait_first
    waits: list[object] = []

    class Decided(Observer):
        def join_decided(self, **_: object) -> None:
            goes_on.set()

    def slow(tracker: Tracker, index: int, ended: float) -> None:
        if index == 0:
            counted.set()
            assert goes_on.wait(20)
        emit(tracker, index, ended)

    def waiting(first: Any, *rest: Any) -> None:
        waits.append(first)
        if len(waits) == 2:  # after the verdict, for what is still being emitted
            goes_on.set()
        wait(first, *rest)

    monkeypatch.setattr(Tracker, "_emit_landed", slow)
    monkeypatch.setattr(split_module, "wait_first", waiting)
    workflow = split(lambda: 1, lambda: counted.wait(20)).with_observer(notes)
    workflow.with_observer(Decided()).orchestrate("GO")
    emitted = notes.names("branch_landed", "join_decided", "run_finished")
    assert emitted == ["branch_landed", "branch_landed", "join_decided", "run_finished"]


def test_a_hook_that_blocks_after_the_landing_does_not_hold_up_a_deadline(
    gate: threading.Event, notes: Notes
) -> None:
    class Blocks(Observer):
        def branch_landed(self, **_: object) -> None:
            gate.wait(20)

    workflow = split(lambda: 1, listening, strategy=JoinStrategy.PARTIAL_TIMEOUT, timeout=0.05)
    assert workflow.with_observer(Blocks()).with_observer(notes).orchestrate("GO") == "END"
    assert not gate.is_set()


@pytest.mark.parametrize("is_observed", [False, True])
def test_the_context_of_a_tasks_own_error_is_shown(is_observed: bool, notes: Notes) -> None:
    def look_up() -> str:
        try:
            return str({}["sku"])
        except KeyError:
            raise CanoError("no such order")  # noqa: B904

    for workflow in (single(look_up), split(look_up)):
        observed = workflow.with_observer(notes) if is_observed else workflow
        with pytest.raises(CanoError) as caught:
            observed.orchestrate("GO")
        error: BaseException = caught.value
        if isinstance(error, JoinError):
            assert error.result is not None
            landed = error.result.errors[0].error
            assert landed is not None
            error = landed
        assert isinstance(error.__context__, KeyError)
        assert not error.__suppress_context__
