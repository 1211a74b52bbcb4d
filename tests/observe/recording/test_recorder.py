"""`Recorder`: real runs recorded, from several threads, one run at a time."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from functools import partial
from operator import is_
from pathlib import Path
from typing import Any

import pytest

from cano_sync import (
    CancellationToken,
    ConfigurationError,
    JoinConfig,
    JoinStrategy,
    TaskConfig,
    Verdict,
    Workflow,
    WorkflowCancelledError,
    WorkflowTimeoutError,
    task,
)
from cano_sync.observe import Record, Recorder, Status
from cano_sync.observe.recording import recorder as module

SOON = 20.0
"""Seconds after which a test gives up on what should take milliseconds."""


class Step(Enum):
    FIRST = auto()
    SPLIT = auto()
    MENDED = auto()
    DONE = auto()


class Boom(Exception):
    """What tasks of these tests fail with."""


def boom() -> Any:
    raise Boom("it broke")


def first(then: Any = Step.DONE, run: Callable[[], Any] = lambda: None) -> Workflow[Any]:
    def step() -> Any:
        run()
        return then

    return Workflow().register(Step.FIRST, step).add_exit_states(Step.DONE, Step.MENDED)


def split(tasks: Any, strategy: Any = JoinStrategy.ALL, **join: Any) -> Workflow[Any]:
    config: JoinConfig[Any] = JoinConfig(strategy, Step.DONE, **join)
    workflow: Workflow[Any] = Workflow().register_split(Step.SPLIT, tasks, config)
    return workflow.add_exit_states(Step.DONE, Step.MENDED)


def recorded(workflow: Workflow[Any], start: Any = Step.FIRST, **run: Any) -> Recorder:
    recorder = Recorder()
    workflow.with_observer(recorder).orchestrate(start, **run)
    return recorder


# Real runs.


def test_it_keeps_the_states_in_order() -> None:
    record = recorded(first()).record
    assert [visit.state for visit in record.visits] == [Step.FIRST, Step.DONE]
    assert record.visits[0].next_state is Step.DONE
    assert record.visits[1].is_exit
    assert (record.state, record.status, record.error) == (Step.DONE, Status.SUCCEEDED, None)
    assert record.duration >= record.visits[0].duration > 0


def test_it_keeps_the_branches_with_what_they_returned() -> None:
    record = recorded(split([lambda: 7, boom], JoinStrategy.ANY, bulkhead=1), Step.SPLIT).record
    join = record.visits[0].join
    good, unstarted = record.visits[0].branches
    assert (good.status, good.value) == (Status.SUCCEEDED, 7)
    assert (unstarted.status, unstarted.began) == (Status.NOT_STARTED, None)
    assert join is not None
    assert (join.verdict, join.config.strategy) == (Verdict.PROCEED, JoinStrategy.ANY)


def test_it_keeps_attempts() -> None:
    results = iter([Boom("once"), Boom("twice"), None])

    def flaky() -> None:
        result = next(results)
        if result is not None:
            raise result

    patient = task(config=TaskConfig().with_fixed_retry(5, delay=0))(flaky)
    (branch,) = recorded(split([patient]), Step.SPLIT).record.visits[0].branches
    assert branch.status is Status.SUCCEEDED
    assert [(trial.number, trial.status) for trial in branch.attempts] == [
        (1, Status.FAILED),
        (2, Status.FAILED),
        (3, Status.SUCCEEDED),
    ]
    assert [str(trial.error) for trial in branch.attempts[:2]] == ["once", "twice"]


def test_a_failure_leads_to_the_error_state() -> None:
    workflow = (
        Workflow().register(Step.FIRST, boom, error_state=Step.MENDED).add_exit_state(Step.MENDED)
    )
    failed, mended = recorded(workflow).record.visits
    assert (failed.status, failed.next_state) == (Status.FAILED, Step.MENDED)
    assert isinstance(getattr(failed.error, "__cause__", None), Boom)
    assert failed.spans[0].status is Status.FAILED
    assert mended.is_exit


def test_a_branch_that_listens_is_cancelled_and_one_that_is_deaf_is_abandoned(
    gate: threading.Event,
) -> None:
    def listens(store: Any, cancel: CancellationToken) -> None:
        cancel.sleep(SOON)

    def deaf() -> None:
        gate.wait(SOON)

    recorder = recorded(
        split([listens, deaf, lambda: 1], JoinStrategy.PARTIAL_TIMEOUT, timeout=0.3), Step.SPLIT
    )
    assert not recorder.wait_for_returns(0.1)
    branches = recorder.record.visits[0].branches
    assert [branch.status for branch in branches[1:]] == [Status.ABANDONED, Status.SUCCEEDED]
    gate.set()
    assert recorder.wait_for_returns(SOON)
    branches = recorder.record.visits[0].branches
    assert [branch.status for branch in branches[:2]] == [Status.CANCELLED, Status.CANCELLED]
    assert branches[1].late is not None


def test_a_picture_of_a_run_that_is_over_waits_a_moment_for_tasks_that_listen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A branch that is just about to return is not called abandoned."""
    monkeypatch.setattr(module, "MOMENT", SOON)  # the machine may be busy
    begun, let_go = threading.Event(), threading.Event()

    def listens(store: Any, cancel: CancellationToken) -> None:
        begun.set()
        try:
            cancel.sleep(SOON)
        finally:
            let_go.wait(SOON)

    recorder = recorded(split([listens, lambda: begun.wait(SOON)], JoinStrategy.ANY), Step.SPLIT)
    assert recorder.record.visits[0].branches[0].status is Status.ABANDONED
    threading.Timer(0.01, let_go.set).start()
    assert "cancelled" in recorder.timeline(100)


@pytest.mark.parametrize(
    "config",
    [
        TaskConfig().with_fixed_retry(1, 0.01).with_attempt_timeout(0.05),
        TaskConfig(attempt_timeout=0.05),
    ],
    ids=["with retries", "without"],
)
def test_an_attempt_that_does_not_listen_is_shown_as_abandoned_until_it_returns(
    gate: threading.Event, config: TaskConfig
) -> None:
    deaf = task(config=config)(lambda: gate.wait(SOON))
    recorder = recorded(split([deaf], JoinStrategy.PARTIAL_TIMEOUT, timeout=SOON), Step.SPLIT)
    assert "not returned" in recorder.timeline(150)
    assert "its thread has not returned" in recorder.to_html()
    gate.set()
    assert recorder.wait_for_returns(SOON)
    assert "later" in recorder.timeline(150)
    assert "its thread returned" in recorder.to_html()


def test_a_run_that_was_cancelled_says_so() -> None:
    token = CancellationToken()
    recorder = Recorder()
    workflow = first(run=lambda: token.cancel("enough")).with_observer(recorder)
    with pytest.raises(WorkflowCancelledError):
        workflow.orchestrate(Step.FIRST, cancel=token)
    record = recorder.record
    assert (record.status, record.reason, record.state) == (Status.CANCELLED, "enough", Step.FIRST)


def test_a_run_whose_time_limit_passed_has_timed_out_and_so_has_its_last_state(
    gate: threading.Event,
) -> None:
    recorder = Recorder()
    workflow = first(run=lambda: gate.wait(SOON)).with_timeout(0.05).with_observer(recorder)
    with pytest.raises(WorkflowTimeoutError):
        workflow.orchestrate(Step.FIRST)
    record = recorder.record
    assert (record.status, type(record.error)) == (Status.TIMED_OUT, WorkflowTimeoutError)
    assert record.visits[0].status is Status.TIMED_OUT
    assert record.visits[0].spans[0].status is Status.ABANDONED
    gate.set()
    assert recorder.wait_for_returns(SOON)


def test_it_can_be_asked_while_the_run_goes_on() -> None:
    recorder = Recorder()
    seen: list[Record] = []
    first(run=lambda: seen.append(recorder.record)).with_observer(recorder).orchestrate(Step.FIRST)
    assert (seen[0].status, seen[0].state) == (Status.RUNNING, Step.FIRST)
    assert seen[0].visits[0].spans[0].status is Status.RUNNING


# One run at a time.


def test_before_any_run_it_is_empty_and_says_what_to_do() -> None:
    recorder = Recorder()
    assert recorder.record == Record()
    assert "with_observer(recorder)" in recorder.timeline()
    assert "No run yet" in recorder.to_html()
    assert recorder.to_dict()["run_id"] is None
    assert recorder.wait_for_returns(0)


def test_the_latest_run_takes_the_place_of_the_one_before() -> None:
    recorder = Recorder()
    workflow = first().with_observer(recorder)
    workflow.orchestrate(Step.FIRST)
    before = recorder.record.run_id
    workflow.orchestrate(Step.FIRST)
    assert recorder.record.run_id != before
    assert len(recorder.record.visits) == 2


def test_of_two_runs_at_once_it_keeps_the_one_that_began_last() -> None:
    recorder = Recorder()
    inner = first(Step.MENDED).with_observer(recorder)
    outer = first(run=lambda: inner.orchestrate(Step.FIRST)).with_observer(recorder)
    outer.orchestrate(Step.FIRST)
    record = recorder.record
    assert (record.state, record.status) == (Step.MENDED, Status.SUCCEEDED)
    assert len(record.visits) == 2


def test_it_keeps_no_more_events_than_its_limit() -> None:
    count = iter(range(1000))
    workflow = (
        Workflow()
        .register("LOOP", lambda: "LOOP" if next(count) < 500 else "END")
        .add_exit_state("END")
    )
    recorder = Recorder(limit=50)
    workflow.with_observer(recorder).orchestrate("LOOP")
    record = recorder.record
    assert (record.state, record.status) == ("END", Status.SUCCEEDED)
    assert 5 < len(record.visits) < 50
    assert record.forgotten > 1000
    assert f"the first {record.forgotten:,} events were dropped" in recorder.timeline(width=100)


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, None, "many"])
def test_a_limit_that_is_no_count_is_refused(limit: Any) -> None:
    with pytest.raises(ConfigurationError, match="how many events"):
        Recorder(limit=limit)


# Threads.


def test_branches_and_readers_on_many_threads_do_not_disturb_each_other() -> None:
    recorder = Recorder()
    over = threading.Event()

    def read() -> int:
        count = 0
        while not over.is_set():
            record = recorder.record
            assert all(visit.duration >= 0 for visit in record.visits)
            count += 1
        return count

    workflow = split([lambda: None] * 500, bulkhead=16).with_observer(recorder)
    with ThreadPoolExecutor(2) as readers:
        reads = [readers.submit(read) for _ in range(2)]
        try:
            for _ in range(3):
                workflow.orchestrate(Step.SPLIT)
        finally:
            over.set()
        assert all(read.result(SOON) for read in reads)
    branches = recorder.record.visits[0].branches
    assert [branch.index for branch in branches] == list(range(500))
    assert {branch.status for branch in branches} == {Status.SUCCEEDED}


@pytest.mark.skipif(not hasattr(signal, "raise_signal"), reason="no signals")
def test_a_signal_handler_may_look_in_the_middle_of_a_hook() -> None:
    seen: list[Record] = []
    recorder: Recorder

    def clock() -> float:  # asked under the lock
        if not seen:
            seen.append(Record())
            signal.raise_signal(signal.SIGINT)
        return 0.0

    before = signal.signal(signal.SIGINT, lambda *_: seen.append(recorder.record))
    try:
        recorder = Recorder(clock=clock)
        first().with_observer(recorder).orchestrate(Step.FIRST)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(seen) == 2
    assert recorder.record.status is Status.SUCCEEDED


# What it costs, and what it loads.


def _next(state: int, store: Any) -> int:
    return state


def chain(length: int) -> Workflow[int]:
    """So many states in a row, and an exit state."""
    workflow: Workflow[int] = Workflow()
    for number in range(length):
        workflow = workflow.register(number, partial(_next, number + 1))
    return workflow.add_exit_state(length)


def calls(look: Callable[[], object]) -> int:
    """How many of Python's functions are called by it on this thread."""
    count = 0

    def on_call(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(on_call)
    try:
        look()
    finally:
        sys.setprofile(before)
    return count


def test_each_event_is_folded_once_however_often_the_record_is_looked_at() -> None:
    recorder = recorded(chain(2_000), 0)
    first = recorder.record
    assert calls(lambda: recorder.record) < 50
    assert all(map(is_, recorder.record.visits, first.visits))


def test_a_look_while_the_run_goes_on_costs_what_has_changed_and_not_what_went_before() -> None:
    recorder = Recorder()
    costs: list[int] = []

    def look() -> int:
        costs.append(calls(lambda: recorder.record))
        return len(costs)

    workflow: Workflow[int] = Workflow()
    for number in range(300):
        workflow = workflow.register(number, look)
    workflow.add_exit_state(300).with_observer(recorder).orchestrate(0)
    assert max(costs[10:]) < 2 * max(costs[:10])


def test_a_picture_of_the_latest_states_costs_its_lines_and_not_the_run() -> None:
    short, long = recorded(chain(50), 0), recorded(chain(2_000), 0)
    frames = [calls(lambda each=each: each.timeline(80, height=20)) for each in (short, long)]
    assert frames[1] < 1.5 * frames[0]


def test_a_record_can_be_kept_and_sent_without_its_recorder() -> None:
    record = recorded(split([lambda: 7], JoinStrategy.quorum(1)), Step.SPLIT).record
    assert pickle.loads(pickle.dumps(record)) == record


@pytest.mark.parametrize("wing", ["observe", "diagram"])
def test_importing_the_wing_loads_nothing_optional(wing: str) -> None:
    script = (
        f"import sys; before = set(sys.modules); import cano_sync.{wing};"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    foreign = {name for name in done.stdout.split() if name not in sys.stdlib_module_names}
    assert foreign == {"cano_sync"}


# As data.


def test_its_data_can_be_written_as_json() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise Boom("no repr")

    workflow = split([lambda: Odd(), lambda: {1, 2}, boom], JoinStrategy.quorum(2), timeout=60)
    data = json.loads(json.dumps(recorded(workflow, Step.SPLIT).to_dict()))
    assert (data["state"], data["status"]) == ("DONE", "succeeded")
    (visit, last) = data["visits"]
    assert (visit["state"], visit["next_state"], last["is_exit"]) == ("SPLIT", "DONE", True)
    assert visit["join"]["strategy"] == "JoinStrategy.quorum(2)"
    assert visit["join"]["timeout"] == 60.0
    odd, plain, _ = visit["spans"]
    assert odd["value"].startswith("<Odd instance at")
    assert plain["value"] == "{1, 2}"


def test_errors_are_data_by_type_and_text_with_what_the_task_raised() -> None:
    workflow = Workflow().register("A", boom, error_state="END").add_exit_state("END")
    data = recorded(workflow, "A").to_dict()
    error = data["visits"][0]["error"]
    assert error["type"] == "TaskExecutionError"
    assert error["cause"] == {"type": "Boom", "text": "it broke"}
