"""What a run records, how it goes on, and what is no failure of it."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Any

import pytest

from cano_sync import (
    CancellationToken,
    Cancelled,
    CheckpointError,
    ConfigurationError,
    CorruptCheckpointError,
    DrainingError,
    JoinConfig,
    JoinStrategy,
    MemoryStore,
    RecordedError,
    RunBusyError,
    RunLostError,
    RunNotFoundError,
    SplitResult,
    TaskConfig,
    TaskContext,
    TaskExecutionError,
    VersionMismatchError,
    Workflow,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowTimeoutError,
    drain,
)
from cano_sync._engine import draining
from cano_sync._engine import journal as journals
from cano_sync._engine.machine import Machine
from cano_sync.checkpoints import MemoryCheckpoints, RunStatus, StepKind
from cano_sync.testing import inline
from tests.kit import SOON, Boom, Eventually, Step, boom, done


def recorded(
    function: Any, config: TaskConfig | None = None, checkpoints: Any = None, **keeping: Any
) -> tuple[MemoryCheckpoints, Workflow[Any]]:
    """A workflow of one state, START, and the exit DONE, that is recorded in memory."""
    checkpoints = checkpoints or MemoryCheckpoints()
    workflow = Workflow().register(Step.START, function, config).add_exit_state(Step.DONE)
    return checkpoints, workflow.with_checkpoints(checkpoints, name="flow", **keeping)


def changes(checkpoints: MemoryCheckpoints, run_id: str = "run") -> list[Any]:
    """What each step has recorded."""
    return [(step.state, dict(step.changes)) for step in checkpoints.run(run_id).steps]


# What is recorded.


def test_each_state_is_recorded_before_its_task_runs() -> None:
    checkpoints = MemoryCheckpoints()
    seen: list[Any] = []

    def look() -> Step:
        run = checkpoints.run("run")
        seen.append((run.status, run.state, [step.state for step in run.steps]))
        return Step.WORK if len(seen) == 1 else Step.DONE

    workflow = (
        Workflow()
        .register(Step.START, look)
        .register(Step.WORK, look)
        .add_exit_state(Step.DONE)
        .with_checkpoints(checkpoints, name="flow")
    )
    assert workflow.orchestrate(Step.START, run_id="run") is Step.DONE
    assert seen == [
        (RunStatus.RUNNING, "START", ["START"]),
        (RunStatus.RUNNING, "WORK", ["START", "WORK"]),
    ]
    run = checkpoints.run("run")
    assert (run.status, run.state, run.seq, run.owner) == (RunStatus.DONE, "DONE", 2, None)
    assert run.ended_at is not None


def test_only_what_has_changed_is_recorded_and_values_changed_in_place_have() -> None:
    def first(store: MemoryStore) -> Step:
        store.put("order", {"paid": False, "lines": [1]})
        store.put("same", [1])
        store.put("gone", 1)
        return Step.WORK

    def second(store: MemoryStore) -> Step:
        store.get("order")["lines"].append(2)
        assert store.get("same") == [1]
        del store["gone"]
        return Step.NEXT

    def third(store: MemoryStore) -> Step:
        store.update("order", lambda order: {**order, "paid": True})
        store.append("log", "paid")
        return Step.DONE

    checkpoints = MemoryCheckpoints()
    store = MemoryStore({"at": 1})
    workflow = (
        Workflow()
        .register(Step.START, first)
        .register(Step.WORK, second)
        .register(Step.NEXT, third)
        .add_exit_state(Step.DONE)
        .with_checkpoints(checkpoints, name="flow", check=True)
    )
    workflow.orchestrate(Step.START, store=store, run_id="run")
    assert changes(checkpoints) == [
        ("START", {"at": 1}),
        ("WORK", {"order": {"paid": False, "lines": [1]}, "same": [1], "gone": 1}),
        ("NEXT", {"order": {"paid": False, "lines": [1, 2]}}),
        ("DONE", {"order": {"paid": True, "lines": [1, 2]}, "log": ["paid"]}),
    ]
    assert checkpoints.run("run").steps[2].removed == ("gone",)
    assert checkpoints.run("run").store == store.snapshot()


@pytest.mark.parametrize(
    "reach",
    [
        lambda store: store["order"],
        lambda store: store.snapshot()["order"],
        lambda store: store.get("order", dict),
        lambda store: store.get("order", default=None),
    ],
)
def test_a_value_is_looked_at_however_it_was_handed_out(reach: Any) -> None:
    def pay(store: MemoryStore) -> Step:
        reach(store)["paid"] = True
        return Step.DONE

    checkpoints, workflow = recorded(pay)
    workflow.orchestrate(Step.START, store=MemoryStore({"order": {}}), run_id="run")
    assert changes(checkpoints)[1] == ("DONE", {"order": {"paid": True}})


def test_a_cleared_store_is_recorded_as_such() -> None:
    def clear(store: MemoryStore) -> Step:
        store.clear()
        store.put("b", 3)
        return Step.DONE

    checkpoints, workflow = recorded(clear)
    workflow.orchestrate(Step.START, store=MemoryStore({"a": 1, "b": 2}), run_id="run")
    assert checkpoints.run("run").store == {"b": 3}


def test_what_branches_write_is_recorded_with_the_join() -> None:
    def branch(number: int, store: MemoryStore) -> int:
        store.append("numbers", number)
        return number

    checkpoints = MemoryCheckpoints()
    join = JoinConfig(JoinStrategy.ALL, Step.DONE, collect="values", store_partial_results=True)
    workflow = (
        Workflow()
        .register_split(Step.START, [partial(branch, number) for number in range(3)], join)
        .add_exit_state(Step.DONE)
        .with_checkpoints(checkpoints, name="flow")
    )
    workflow.orchestrate(Step.START, run_id="run")
    assert [step.state for step in checkpoints.run("run").steps] == ["START", "DONE"]
    store = MemoryStore()
    workflow.resume("run", store=store)
    assert sorted(store.get("numbers")) == store.get("values") == [0, 1, 2]
    assert store.get("split_result", SplitResult).values == [0, 1, 2]


def test_after_many_deltas_the_whole_store_is_recorded_again() -> None:
    def grow(store: MemoryStore, context: TaskContext) -> Step:
        store.put("text", f"{context.visit} " + "x" * 30_000)
        return Step.START if context.visit is not None and context.visit < 5 else Step.DONE

    checkpoints, workflow = recorded(grow)
    store = MemoryStore({"kept": (1, 2)})
    workflow.orchestrate(Step.START, store=store, run_id="run")
    steps = checkpoints.run("run").steps
    assert [step.is_full for step in steps] == [True, False, False, True, False, False, True]
    again = MemoryStore()
    workflow.resume("run", store=again)
    assert again.snapshot() == store.snapshot()


def test_what_is_transient_is_never_recorded_and_stays_with_its_store() -> None:
    checkpoints = MemoryCheckpoints()

    def use(store: MemoryStore) -> Step:
        store.put("answer", store.get("client")())
        return Step.DONE

    _, workflow = recorded(use, checkpoints=checkpoints, transient=["client"])
    store = MemoryStore({"client": lambda: 42})
    workflow.orchestrate(Step.START, store=store, run_id="run")
    assert checkpoints.run("run").store == {"answer": 42}
    other = MemoryStore({"client": "another", "old": 1})
    workflow.resume("run", store=other)
    assert other.snapshot() == {"client": "another", "answer": 42}


@dataclass
class Address:
    """A type of a user's."""

    street: str


def test_a_value_that_cannot_be_recorded_is_named_with_state_key_and_mend() -> None:
    def put(store: MemoryStore) -> Step:
        store.put("address", [Address("Gasse")])
        return Step.DONE

    checkpoints, workflow = recorded(put)
    with pytest.raises(CheckpointError, match=r"Step.START.*'address'.*Address.*types=\[Address\]"):
        workflow.orchestrate(Step.START, run_id="run")
    # A mistake in the description, and no failure: mended, the run goes on.
    assert checkpoints.run("run").status is RunStatus.READY
    _, mended = recorded(put, checkpoints=checkpoints, types=[Address])
    store = MemoryStore()
    assert mended.orchestrate(Step.START, store=store, run_id="run") is Step.DONE
    assert store.get("address") == [Address("Gasse")]


def test_a_value_that_is_too_large_is_refused_and_a_large_one_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(journals, "LARGE", 10)
    monkeypatch.setattr(journals, "LARGEST", 100)
    _, workflow = recorded(lambda store: store.put("text", "x" * 50) or Step.DONE)
    with caplog.at_level(logging.WARNING, "cano_sync"):
        workflow.orchestrate(Step.START, run_id="run")
    assert "'text' takes 52 characters" in caplog.text
    with pytest.raises(CheckpointError, match=r"'text' cannot be recorded.*102 characters"):
        workflow.orchestrate(Step.START, store=MemoryStore({"text": "x" * 100}))


def test_a_change_that_nobody_could_see_is_found_where_that_is_asked_for() -> None:
    kept: list[Any] = []

    def first(store: MemoryStore) -> Step:
        kept.append(store.get("order"))
        return Step.WORK

    def second() -> Step:
        kept[0]["paid"] = True
        return Step.DONE

    for check in (False, True):
        checkpoints = MemoryCheckpoints()
        workflow = (
            Workflow()
            .register(Step.START, first)
            .register(Step.WORK, second)
            .add_exit_state(Step.DONE)
            .with_checkpoints(checkpoints, name="flow", check=check)
        )
        kept.clear()
        store = MemoryStore({"order": {}})
        if check:
            with pytest.raises(CheckpointError, match=r"Step.WORK: store key 'order' has changed"):
                workflow.orchestrate(Step.START, store=store, run_id="run")
        else:
            workflow.orchestrate(Step.START, store=store, run_id="run")
            assert checkpoints.run("run").store == {"order": {}}


# Going on.


class Killed(BaseException):
    """Stands for the end of the process."""


class Dying:
    """A task that ends the process at its first call, and the memory with it."""

    def __init__(self, checkpoints: MemoryCheckpoints, result: Any = Step.DONE) -> None:
        self.checkpoints, self.result, self.calls = checkpoints, result, 0

    def __call__(self, store: MemoryStore, context: TaskContext) -> Any:
        self.calls += 1
        store.append("written", self.calls)
        if self.calls == 1:
            self.checkpoints.after_crash()
            raise Killed
        self.context = context
        return self.result


def test_after_a_crash_the_state_is_redone_with_the_store_as_it_was_and_the_same_key() -> None:
    keys: list[Any] = []

    def first(store: MemoryStore, context: TaskContext) -> Step:
        keys.append((context.key, context.visit, context.redone, context.token))
        store.put("order", (1, 2))
        return Step.WORK

    before = MemoryCheckpoints()
    dying = Dying(before)

    def workflow(checkpoints: MemoryCheckpoints) -> Workflow[Any]:
        return (
            Workflow()
            .register(Step.START, first)
            .register(Step.WORK, dying)
            .add_exit_state(Step.DONE)
            .with_checkpoints(checkpoints, name="flow")
        )

    with pytest.raises(Killed):
        workflow(before).orchestrate(Step.START, run_id="run")
    after = before.after_crash()
    store = MemoryStore({"rubbish": 1})
    assert workflow(after).resume("run", store=store) is Step.DONE
    assert store.snapshot() == {"order": (1, 2), "written": [2]}
    assert keys == [("run:0", 0, 0, 1)]  # once
    context = dying.context
    assert (context.key, context.visit, context.redone, context.token) == ("run:1", 1, 1, 2)
    assert [step.token for step in after.run("run").steps] == [1, 1, 2]


def test_a_run_that_has_ended_gives_its_exit_and_runs_no_task() -> None:
    calls: list[int] = []

    def count(store: MemoryStore) -> Step:
        calls.append(1)
        store.put("n", 3)
        return Step.DONE

    _, workflow = recorded(count)
    for again in range(3):
        store = MemoryStore()
        if again < 2:
            assert workflow.orchestrate(Step.START, store=store, run_id="run") is Step.DONE
        else:
            assert workflow.resume("run", store=store) is Step.DONE
        assert store.snapshot() == {"n": 3}
    assert calls == [1]
    assert workflow.submit(Step.START, run_id="run").result(SOON) is Step.DONE


def test_a_run_that_has_failed_raises_its_error_again() -> None:
    checkpoints, workflow = recorded(lambda store: store.put("n", 1) or boom())
    with pytest.raises(TaskExecutionError, match="it broke") as first:
        workflow.orchestrate(Step.START, run_id="run")
    run = checkpoints.run("run")
    assert (run.status, run.state) == (RunStatus.FAILED, "START")
    assert "it broke" in (run.error or "")
    with pytest.raises(TaskExecutionError) as again:
        workflow.orchestrate(Step.START, run_id="run")
    assert str(again.value) == str(first.value)
    assert (again.value.state, again.value.run_id) == (Step.START, "run")
    cause = again.value.__cause__
    assert isinstance(cause, RecordedError)
    assert cause.kind.endswith("Boom") and "in boom" in cause.trace
    assert checkpoints.run("run").store == {}  # what a failed state wrote is not recorded


def test_a_mistake_in_the_workflow_is_a_failure_too() -> None:
    checkpoints, workflow = recorded(lambda: None)
    with pytest.raises(WorkflowError, match="returned None"):
        workflow.orchestrate(Step.START, run_id="run")
    assert checkpoints.run("run").status is RunStatus.FAILED


def test_an_error_state_is_recorded_with_the_error_that_led_to_it() -> None:
    before = MemoryCheckpoints()
    dying = Dying(before)

    def workflow(checkpoints: MemoryCheckpoints) -> Workflow[Any]:
        return (
            Workflow()
            .register(Step.START, boom, error_state=Step.MENDED)
            .register(Step.MENDED, dying)
            .add_exit_state(Step.DONE)
            .with_checkpoints(checkpoints, name="flow")
        )

    with pytest.raises(Killed):
        workflow(before).orchestrate(Step.START, run_id="run")
    after = before.after_crash()
    assert workflow(after).orchestrate(Step.START, run_id="run") is Step.DONE
    assert isinstance(dying.context.error, TaskExecutionError)
    assert dying.context.error.state is Step.START
    assert "Boom: it broke" in (after.run("run").steps[1].error or "")


def test_a_run_may_begin_in_an_exit_state() -> None:
    checkpoints, workflow = recorded(done)
    assert workflow.orchestrate(Step.DONE, run_id="run") is Step.DONE
    assert workflow.orchestrate(Step.DONE, run_id="run") is Step.DONE
    run = checkpoints.run("run")
    assert (run.status, [step.state for step in run.steps]) == (RunStatus.DONE, ["DONE"])


def test_a_run_without_an_id_gets_one_and_is_recorded() -> None:
    checkpoints, workflow = recorded(done)
    workflow.orchestrate(Step.START)
    workflow.orchestrate(Step.START)
    later, earlier = checkpoints.runs()
    assert earlier.id < later.id and len(later.id) == 32


def test_an_id_stands_for_one_run_of_one_workflow_with_one_beginning() -> None:
    checkpoints, workflow = recorded(done)
    workflow.orchestrate(Step.START, store=MemoryStore({"n": 1, "m": 2}), run_id="run")
    workflow.orchestrate(Step.START, store=MemoryStore({"m": 2, "n": 1}), run_id="run")
    workflow.orchestrate(Step.START, run_id="run")  # nothing is said of the store
    with pytest.raises(ConfigurationError, match=r"other values in its store than \['n'\].*resume"):
        workflow.orchestrate(Step.START, store=MemoryStore({"n": 2}), run_id="run")
    with pytest.raises(ConfigurationError, match="has begun in state 'START', and not in 'DONE'"):
        workflow.orchestrate(Step.DONE, run_id="run")
    other = Workflow().register(Step.START, done).add_exit_state(Step.DONE)
    other = other.with_checkpoints(checkpoints, name="other")
    for act in (partial(other.orchestrate, Step.START, run_id="run"), partial(other.resume, "run")):
        with pytest.raises(ConfigurationError, match="is one of workflow 'flow', and not of 'oth"):
            act()


def test_what_is_not_there_cannot_be_resumed() -> None:
    _, workflow = recorded(done)
    with pytest.raises(RunNotFoundError, match=r"no run 'run'.*orchestrate\(initial") as raised:
        workflow.resume("run")
    assert isinstance(raised.value, KeyError)
    assert raised.value.run_id == "run"


def test_a_state_that_is_no_more_is_an_error_that_lists_those_there_are() -> None:
    before = MemoryCheckpoints()
    with pytest.raises(Killed):
        recorded(Dying(before), checkpoints=before)[1].orchestrate(Step.START, run_id="run")
    after = before.after_crash()
    workflow = (
        Workflow()
        .register(Step.WORK, done)
        .add_exit_state(Step.DONE)
        .with_checkpoints(after, name="flow")
    )
    with pytest.raises(ConfigurationError, match=r"in state 'START', which .* 'WORK', 'DONE'"):
        workflow.resume("run")
    assert after.run("run").token == 1  # nothing was begun


def test_another_shape_under_the_same_version_is_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = MemoryCheckpoints()
    dying = Dying(before)
    with pytest.raises(Killed):
        recorded(dying, checkpoints=before)[1].orchestrate(Step.START, run_id="run")
    workflow = (
        Workflow()
        .register(Step.START, dying)
        .register(Step.WORK, done)
        .add_exit_state(Step.DONE)
        .with_checkpoints(before.after_crash(), name="flow")
    )
    with caplog.at_level(logging.WARNING, "cano_sync"):
        assert workflow.resume("run") is Step.DONE
    assert "with other states under the same version" in caplog.text


# Versions.


def of_version(
    checkpoints: MemoryCheckpoints, task: Any, version: Any, upgrade: Any = None
) -> Workflow[Any]:
    """The workflow in one of its versions."""
    return recorded(task, checkpoints=checkpoints, version=version, upgrade=upgrade)[1]


def test_another_version_is_refused_with_both_numbers_before_anything_happens() -> None:
    before = MemoryCheckpoints()
    with pytest.raises(Killed):
        of_version(before, Dying(before), None).orchestrate(Step.START, run_id="run")
    after = before.after_crash()
    with pytest.raises(VersionMismatchError, match=r"version 0 of .* this is version 2") as raised:
        of_version(after, done, 2).resume("run")
    assert (raised.value.recorded, raised.value.offered) == (0, 2)
    assert after.run("run").token == 1
    assert of_version(after, done, 0).resume("run") is Step.DONE
    assert of_version(after, boom, 2).resume("run") is Step.DONE  # it has ended: no matter


def test_an_upgrade_says_where_a_run_goes_on_and_is_a_step_of_its_own() -> None:
    before = MemoryCheckpoints()
    first = of_version(before, Dying(before), 1)
    with pytest.raises(Killed):
        first.orchestrate(Step.START, store=MemoryStore({"name": "Ada"}), run_id="run")
    after = before.after_crash()
    seen: list[Any] = []

    def upgrade(version: Any, state: str, store: MemoryStore) -> Step:
        seen.append((version, state, store.snapshot()))
        store.put("names", [store.get("name")])
        store.remove("name")
        return Step.WORK

    workflow = (
        Workflow()
        .register(Step.WORK, lambda store: store.append("names", "Bob") or Step.DONE)
        .add_exit_state(Step.DONE)
        .with_checkpoints(after, name="flow", version="two", upgrade=upgrade)
    )
    store = MemoryStore()
    assert workflow.resume("run", store=store) is Step.DONE
    assert seen == [(1, "START", {"name": "Ada"})]
    assert store.snapshot() == {"names": ["Ada", "Bob"]}
    run = after.run("run")
    assert run.version == "two"
    assert [(step.state, step.kind) for step in run.steps] == [
        ("START", StepKind.ENTERED),
        ("WORK", StepKind.UPGRADED),
        ("DONE", StepKind.ENTERED),
    ]


def test_an_upgrade_that_leads_nowhere_is_a_mistake() -> None:
    before = MemoryCheckpoints()
    with pytest.raises(Killed):
        of_version(before, Dying(before), 1).orchestrate(Step.START, run_id="run")
    after = before.after_crash()
    for wrong in (Step.LOST, None, Step.DONE):
        workflow = of_version(after, done, 2, lambda *_, wrong=wrong: wrong)
        with pytest.raises(ConfigurationError, match=r"put run 'run'.* into .*which has no task"):
            workflow.resume("run")
    assert after.run("run").version == 1


# Ownership.


def test_a_run_that_is_under_way_is_busy(gate: threading.Event) -> None:
    started = threading.Event()

    def wait() -> Step:
        started.set()
        gate.wait(SOON)
        return Step.DONE

    _, workflow = recorded(wait)
    future = workflow.submit(Step.START, run_id="run")
    assert started.wait(SOON)
    for act in (
        partial(workflow.orchestrate, Step.START, run_id="run"),
        partial(workflow.resume, "run"),
    ):
        with pytest.raises(RunBusyError, match=r"process \d+ on memory .* in state 'START' since"):
            act()
    gate.set()
    assert future.result(SOON) is Step.DONE


def test_who_was_taken_over_records_nothing_and_takes_no_error_state(gate: threading.Event) -> None:
    started, calls = threading.Event(), list[str]()

    def work(*, context: TaskContext) -> Step:
        if context.token == 1:
            started.set()
            gate.wait(SOON)
            raise Boom("the loser has failed")
        return Step.DONE

    checkpoints = MemoryCheckpoints()
    workflow = (
        Workflow()
        .register(Step.START, work, error_state=Step.MENDED)
        .register(Step.MENDED, lambda: calls.append("mended") or Step.DONE)
        .add_exit_state(Step.DONE)
        .with_checkpoints(checkpoints, name="flow")
    )
    loser = workflow.submit(Step.START, run_id="run")
    assert started.wait(SOON)
    assert workflow.resume("run", takeover=True) is Step.DONE
    before = checkpoints.run("run")
    gate.set()
    with pytest.raises(RunLostError, match=r"was taken over.*token 2 by now, and had 1"):
        loser.result(SOON)
    assert checkpoints.run("run") == before
    assert calls == []


# What is no failure.


class Broken(MemoryCheckpoints):
    """A memory that cannot be written to while `why` is set."""

    why: BaseException | None = None
    at: str = ""

    def move(self, *given: Any, **named: Any) -> None:
        if self.why is not None and self.at in ("", given[2].state):
            raise self.why
        super().move(*given, **named)

    def end(self, *given: Any, **named: Any) -> None:
        if self.why is not None and self.at == "":
            raise self.why
        super().end(*given, **named)


@pytest.mark.parametrize("state", ["WORK", "NEXT", "MENDED"])
def test_a_checkpoint_that_cannot_be_written_is_nobody_s_failure(state: str) -> None:
    checkpoints, tried = Broken(), list[str]()

    def fail() -> Step:
        tried.append("fail")
        raise Boom("it broke")

    retried = TaskConfig().with_fixed_retry(2, delay=0)
    workflow = (
        Workflow()
        .register(Step.START, lambda: Step.WORK, retried, error_state=Step.LOST)
        .register_split(
            Step.WORK, [lambda: 1], JoinConfig(JoinStrategy.ALL, Step.NEXT, error_state=Step.LOST)
        )
        .register(Step.NEXT, fail, retried, error_state=Step.MENDED)
        .register(Step.MENDED, lambda: Step.DONE, retried, error_state=Step.LOST)
        .register(Step.LOST, lambda: tried.append("lost") or Step.DONE)
        .add_exit_state(Step.DONE)
        .with_checkpoints(checkpoints, name="flow")
    )
    checkpoints.why, checkpoints.at = CheckpointError("the disk is full"), state
    with pytest.raises(CheckpointError, match="the disk is full"):
        workflow.orchestrate(Step.START, run_id="run")
    run = checkpoints.run("run")
    assert run.status is RunStatus.READY
    assert "lost" not in tried and state not in [step.state for step in run.steps]
    checkpoints.why = None
    assert workflow.orchestrate(Step.START, run_id="run") is Step.DONE
    assert "lost" not in tried


def test_an_end_that_cannot_be_written_is_not_reported_as_one() -> None:
    for task in (done, boom):
        checkpoints = Broken()
        _, workflow = recorded(task, checkpoints=checkpoints)
        checkpoints.why = CheckpointError("the disk is full")
        with pytest.raises(CheckpointError, match="the disk is full") as raised:
            workflow.orchestrate(Step.START, run_id="run")
        assert isinstance(raised.value.__context__, TaskExecutionError) == (task is boom)
        assert checkpoints.run("run").status is RunStatus.READY


@pytest.mark.parametrize("where", ["single", "node", "retried", "branch"])
def test_a_lost_run_within_a_task_of_another_interrupts_both(where: str) -> None:
    inner_memory, calls = Broken(), list[str]()
    inner = recorded(done, checkpoints=inner_memory)[1]

    def nested(*, context: TaskContext) -> Step:
        calls.append("nested")
        inner.orchestrate(Step.START, run_id=context.key)
        return Step.DONE

    checkpoints = MemoryCheckpoints()
    workflow: Workflow[Any] = Workflow()
    if where == "branch":
        join = JoinConfig(JoinStrategy.SETTLED, Step.DONE, error_state=Step.MENDED)
        workflow = workflow.register_split(Step.START, [nested, lambda: 1], join)
    else:
        retry = TaskConfig().with_fixed_retry(3, delay=0) if where == "retried" else None
        workflow = workflow.register(Step.START, nested, retry, error_state=Step.MENDED)
    workflow = (
        workflow.register(Step.MENDED, lambda: calls.append("mended") or Step.DONE)
        .add_exit_state(Step.DONE)
        .with_checkpoints(checkpoints, name="outer")
    )
    inner_memory.why = CheckpointError("the disk is full")
    with pytest.raises(CheckpointError, match="the disk is full"):
        workflow.orchestrate(Step.START, run_id="run")
    assert calls == ["nested"]
    assert checkpoints.run("run").status is RunStatus.READY
    inner_memory.why = None
    assert workflow.orchestrate(Step.START, run_id="run") is Step.DONE
    assert calls == ["nested", "nested"]
    assert len(inner_memory.runs()) == 1  # redone, the task has found its child


def test_a_cancelled_run_is_ready_and_goes_on() -> None:
    token = CancellationToken()

    def work(store: MemoryStore, cancel: CancellationToken, context: TaskContext) -> Step:
        store.put("half", True)
        if context.redone == 0:
            token.cancel("the user went away")
            cancel.check()
        return Step.DONE

    checkpoints, workflow = recorded(work)
    with pytest.raises(WorkflowCancelledError, match="the user went away"):
        workflow.orchestrate(Step.START, run_id="run", cancel=token)
    store = MemoryStore()
    # Called at once, while the thread that walked may still be on its way out.
    assert workflow.orchestrate(Step.START, run_id="run", store=store) is Step.DONE
    run = checkpoints.run("run")
    assert (run.token, run.begun) == (2, 1)


@pytest.mark.parametrize("how", ["offloaded", "staying", "inline"])
def test_a_run_over_its_time_is_ready_and_goes_on(how: str) -> None:
    def work(*, cancel: CancellationToken, context: TaskContext) -> Step:
        if not context.redone:
            cancel.wait(SOON)
            cancel.check()
        return Step.DONE

    _, workflow = recorded(work)
    workflow = workflow.with_timeout(0.02, stay=how == "staying")
    if how == "inline":
        with inline(), pytest.raises(WorkflowTimeoutError):
            workflow.orchestrate(Step.START, run_id="run")
    else:
        with pytest.raises(WorkflowTimeoutError):
            workflow.orchestrate(Step.START, run_id="run")
    assert workflow.with_timeout(SOON).resume("run") is Step.DONE


def test_a_run_whose_thread_was_abandoned_is_busy_until_that_comes_back(
    gate: threading.Event, eventually: Eventually
) -> None:
    def deaf(*, context: TaskContext) -> Step:
        if not context.redone:
            gate.wait(SOON)
        return Step.DONE

    checkpoints, workflow = recorded(deaf)
    with pytest.raises(WorkflowTimeoutError):
        workflow.with_timeout(0.02).orchestrate(Step.START, run_id="run")
    with pytest.raises(RunBusyError):
        workflow.resume("run")
    gate.set()
    eventually(lambda: checkpoints.run("run").status is RunStatus.READY)
    assert [step.state for step in checkpoints.run("run").steps] == ["START"]
    assert workflow.resume("run") is Step.DONE


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
def test_what_wants_out_of_the_program_leaves_the_run_ready(error: BaseException) -> None:
    def work(*, context: TaskContext) -> Step:
        if not context.redone:
            raise error
        return Step.DONE

    checkpoints, workflow = recorded(work)
    with pytest.raises(type(error)):
        workflow.orchestrate(Step.START, run_id="run")
    assert checkpoints.run("run").status is RunStatus.READY
    assert workflow.orchestrate(Step.START, run_id="run") is Step.DONE


def test_a_token_that_is_cancelled_already_begins_nothing() -> None:
    class Slow(MemoryCheckpoints):
        def begin(self, *given: Any, cancel: Any, **named: Any) -> bool:
            cancel.check()  # as one does that waits for a lock
            return super().begin(*given, cancel=cancel, **named)

    checkpoints = Slow()
    _, workflow = recorded(done, checkpoints=checkpoints)
    token = CancellationToken()
    token.cancel("too late")
    with pytest.raises(WorkflowCancelledError, match=r"before run 'run' was begun.*: too late"):
        workflow.orchestrate(Step.START, cancel=token, run_id="run")
    assert checkpoints.runs() == []
    with pytest.raises(WorkflowTimeoutError, match="time of 0 s was up before run 'run'"):
        workflow.with_timeout(0).orchestrate(Step.START, run_id="run")

    def outer(*, cancel: CancellationToken) -> Step:
        cancel.cancel("outer")
        with pytest.raises(Cancelled):
            workflow.orchestrate(Step.START, run_id="run")
        return Step.DONE

    with pytest.raises(WorkflowCancelledError):
        Workflow().register(Step.START, outer).add_exit_state(Step.DONE).orchestrate(Step.START)


def test_a_transition_that_waits_is_ended_by_the_run_s_cancellation() -> None:
    token = CancellationToken()

    class Slow(MemoryCheckpoints):
        def end(self, *given: Any, cancel: Any, **named: Any) -> None:
            token.cancel("enough")
            cancel.sleep(SOON)

    checkpoints = Slow()
    _, workflow = recorded(done, checkpoints=checkpoints)
    with pytest.raises(WorkflowCancelledError, match="enough"):
        workflow.orchestrate(Step.START, cancel=token, run_id="run")


# What is damaged.


def test_what_cannot_be_read_is_an_error_that_names_run_and_step() -> None:
    before = MemoryCheckpoints()
    with pytest.raises(Killed):
        workflow = recorded(Dying(before), checkpoints=before, types=[Address])[1]
        workflow.orchestrate(Step.START, store=MemoryStore({"at": Address("Gasse")}), run_id="run")
    after = before.after_crash()
    with pytest.raises(CorruptCheckpointError, match=r"run 'run', at step 0.*'Address'"):
        recorded(done, checkpoints=after)[1].resume("run")
    assert after.run("run").token == 1
    rows = after._memory.steps["run"]
    for wrong in ('{"at":', "[1]", '{"at":{"$new":1}}', '{"at":1e999}'):
        rows[0] = rows[0]._replace(delta=wrong)
        with pytest.raises(CorruptCheckpointError, match="run 'run', at step 0"):
            recorded(done, checkpoints=after)[1].resume("run")
    memory = after._memory.runs
    for row in (
        memory["run"]._replace(version="{"),
        memory["run"]._replace(status=RunStatus.FAILED, error=None),
        memory["run"]._replace(status=RunStatus.FAILED, error="3"),
    ):
        memory["run"] = row
        with pytest.raises(CorruptCheckpointError, match="run 'run' is damaged"):
            recorded(done, checkpoints=after, version=1)[1].resume("run")
    memory["run"] = row._replace(status=RunStatus.DONE)
    with pytest.raises(ConfigurationError, match="'START', which is no exit state here"):
        recorded(done, checkpoints=after, version=1)[1].resume("run")


# What is refused.


def test_checkpoints_are_checked_when_they_are_described() -> None:
    base = Workflow().register(Step.START, done).add_exit_state(Step.DONE)
    memory: Any = MemoryCheckpoints()
    wrong: list[tuple[str, Any, dict[str, Any]]] = [
        ("records nothing: it has no begin", object(), {"name": "x"}),
        ("is a class; give an object", MemoryCheckpoints, {"name": "x"}),
        ("name must be a text", memory, {"name": ""}),
        ("version must be a number or a text", memory, {"name": "x", "version": 1.5}),
        ("version must be a number or a text", memory, {"name": "x", "version": True}),
        ("upgrade must be a function", memory, {"name": "x", "upgrade": 3}),
        ("transient must be a list", memory, {"name": "x", "transient": "client"}),
        ("check must be True or False", memory, {"name": "x", "check": 1}),
        ("cannot be recorded by its shape", memory, {"name": "x", "types": [object]}),
    ]
    for message, checkpoints, given in wrong:
        with pytest.raises(ConfigurationError, match=message):
            base.with_checkpoints(checkpoints, **given)


def test_two_states_of_one_name_are_refused() -> None:
    class Other(Enum):
        START = auto()

    base: Any = Workflow().register(Step.START, done).add_exit_state(Step.DONE)
    with pytest.raises(ConfigurationError, match=r"Step.START and Other.START have one name"):
        base.register(Other.START, done).with_checkpoints(MemoryCheckpoints(), name="x")
    kept = base.with_checkpoints(MemoryCheckpoints(), name="x").register("START", done)
    with pytest.raises(ConfigurationError, match=r"Step.START and 'START' have one name"):
        kept.validate()


def test_a_run_id_is_for_workflows_that_are_recorded() -> None:
    workflow = Workflow().register(Step.START, done).add_exit_state(Step.DONE)
    for act in (
        lambda: workflow.orchestrate(Step.START, run_id="run"),
        lambda: workflow.submit(Step.START, run_id="run"),
        lambda: workflow.resume("run"),
    ):
        with pytest.raises(ConfigurationError, match=r"not recorded.*with_checkpoints"):
            act()
    _, kept = recorded(done)
    for wrong in ("", 3):
        with pytest.raises(ConfigurationError, match="run_id must be a text"):
            kept.orchestrate(Step.START, run_id=wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="needs the id of a run"):
        kept.resume(None)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="takeover must be True or False"):
        kept.resume("run", takeover=1)  # type: ignore[arg-type]


def test_a_recorded_run_has_a_store_of_its_own() -> None:
    class Mine(MemoryStore):
        """Of a user's."""

    _, kept = recorded(done)
    with pytest.raises(ConfigurationError, match="needs a MemoryStore of its own, not Mine"):
        kept.orchestrate(Step.START, store=Mine())

    def outer(store: MemoryStore) -> Step:
        kept.orchestrate(Step.START, store=store)
        return Step.DONE

    with pytest.raises(ConfigurationError, match="needs a MemoryStore of its own, not Tracked"):
        recorded(outer)[1].orchestrate(Step.START)


def test_without_checkpoints_a_context_has_no_key_and_tasks_keep_the_fast_way() -> None:
    seen: list[TaskContext] = []
    workflow = (
        Workflow()
        .register(Step.START, lambda *, context: seen.append(context) or Step.WORK)
        .register(Step.WORK, lambda store: Step.DONE)
        .add_exit_state(Step.DONE)
    )
    workflow.orchestrate(Step.START)
    assert (seen[0].key, seen[0].visit, seen[0].redone, seen[0].token) == (None,) * 4
    # Without what other tests may have installed around all runs.
    bare = Machine(workflow.description).find(Step.WORK)
    assert bare is not None and bare.step is not None
    kept = Machine(recorded(lambda store: Step.DONE)[1].description).find(Step.START)
    assert kept is not None and kept.step is None


def test_branches_have_keys_of_their_own() -> None:
    seen: list[Any] = []
    plain = [lambda *, context: seen.append(context.key) for _ in range(2)]
    join = JoinConfig(JoinStrategy.ALL, Step.DONE)
    workflow = Workflow().register_split(Step.START, plain, join).add_exit_state(Step.DONE)
    workflow.with_checkpoints(MemoryCheckpoints(), name="x").orchestrate(Step.START, run_id="r")
    assert sorted(seen) == ["r:0:0", "r:0:1"]


def test_a_drain_leaves_a_recorded_run_where_it_was_to_go_on_in_the_next_process() -> None:
    checkpoints, started = MemoryCheckpoints(), threading.Event()

    def work(*, cancel: CancellationToken, context: TaskContext) -> Step:
        if not context.redone:
            started.set()
            cancel.sleep(SOON)
        return Step.DONE

    _, workflow = recorded(work, checkpoints=checkpoints)
    future = workflow.submit(Step.START, run_id="run")
    assert started.wait(SOON)
    try:
        report = drain(0.01)
        with pytest.raises(DrainingError):
            workflow.resume("run")
    finally:
        draining._forget()  # as another process
    assert (report.cancelled, report.abandoned) == (1, ())
    with pytest.raises(WorkflowCancelledError):
        future.result(SOON)
    assert checkpoints.run("run").status is RunStatus.READY
    assert workflow.resume("run") is Step.DONE
