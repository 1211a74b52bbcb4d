"""What observers hear of flows, and that they can hurt nobody."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from cano_sync import (
    Cancelled,
    MemoryStore,
    TaskExecutionError,
    WorkflowCancelledError,
    abandoned_tasks,
    current_token,
)
from cano_sync._engine.pool import Pool
from cano_sync.scheduler import Backoff, FlowObserver, Scheduler
from cano_sync.testing import HandClock, start_by_hand
from tests.conftest import Eventually
from tests.observing import Notes
from tests.scheduler.conftest import Fails, FlowNotes, Held, Journal, one

FLOW = ("flow_started", "flow_finished", "flow_skipped", "flow_backed_off", "flow_tripped")


@pytest.fixture
def notes() -> FlowNotes:
    return FlowNotes()


def emitted(notes: FlowNotes, hook: str) -> list[dict[str, Any]]:
    """What this hook was given each time, but for the thread."""
    return [{key: facts[key] for key in facts if key != "thread"} for facts in notes.of(hook)]


def test_a_start_is_emitted_with_its_lag(clock: HandClock, notes: FlowNotes) -> None:
    scheduler = Scheduler(clock=clock, observers=[notes])
    scheduler.every("flow", one(lambda: "DONE"), "GO", 10)
    with start_by_hand(scheduler) as time:
        clock.advance(12.5)
        time.run_pending()
        time.settle(20)
        scheduler.trigger("flow").result(20)
    assert emitted(notes, "flow_started") == [
        {"flow": "flow", "lag": 2.5},
        {"flow": "flow", "lag": 0.0},
    ]


def test_it_is_emitted_before_the_run_begins(clock: HandClock, notes: FlowNotes) -> None:
    scheduler = Scheduler(clock=clock, observers=[notes])
    scheduler.every("flow", one(lambda: "DONE").with_observer(notes.runs), "GO", 10)
    with start_by_hand(scheduler) as time:
        time.advance(10)
    names = notes.names()
    assert names[0] == "flow_started"
    assert names[1] == "run_started"
    assert names[-2:] == ["run_finished", "flow_finished"]


def test_the_lag_leaves_the_jitter_out(clock: HandClock, notes: FlowNotes) -> None:
    scheduler = Scheduler(clock=clock, observers=[notes])
    scheduler.every("flow", one(lambda: "DONE"), "GO", 10, jitter=5)
    with start_by_hand(scheduler) as time:
        time.advance(100)
    assert all(facts["lag"] < 1e-6 for facts in notes.of("flow_started"))


def test_a_skipped_time_is_emitted_with_how_long_the_flow_has_been_running(
    clock: HandClock, notes: FlowNotes, held: Held
) -> None:
    scheduler = Scheduler(clock=clock, observers=[notes])
    scheduler.every("flow", one(held), "GO", 10)
    with start_by_hand(scheduler) as time:
        time.advance(30, settle=False)
        held.release()
    assert emitted(notes, "flow_skipped") == [
        {"flow": "flow", "running_for": 10.0},
        {"flow": "flow", "running_for": 20.0},
    ]


def test_what_is_made_up_for_is_not_emitted_as_skipped(
    clock: HandClock, notes: FlowNotes, held: Held
) -> None:
    scheduler = Scheduler(clock=clock, observers=[notes])
    scheduler.every("flow", one(held), "GO", 10, catch_up=True)
    with start_by_hand(scheduler) as time:
        time.advance(30, settle=False)
        assert emitted(notes, "flow_skipped") == []
        scheduler.pause("flow")
        held.release()


def test_backing_off_and_tripping_are_emitted(clock: HandClock, notes: FlowNotes) -> None:
    scheduler = Scheduler(clock=clock, observers=[notes])
    backoff = Backoff(20, jitter=0, trip_after=3)
    scheduler.every("flow", one(Fails()), "GO", 10, backoff=backoff)
    with start_by_hand(scheduler) as time:
        time.advance(200)
    errors = [facts["error"] for facts in notes.of("flow_finished")]
    assert emitted(notes, "flow_backed_off") == [
        {"flow": "flow", "failures": 1, "delay": 20.0, "error": errors[0]},
        {"flow": "flow", "failures": 2, "delay": 40.0, "error": errors[1]},
    ]
    (tripped,) = emitted(notes, "flow_tripped")
    assert tripped == {
        "flow": "flow",
        "failures": 3,
        "error": scheduler.status("flow").last_error,
    }


# The end of a run.


def test_the_end_of_a_run_is_emitted_with_its_state_and_how_long_it_took(
    clock: HandClock, notes: FlowNotes, held: Held
) -> None:
    scheduler = Scheduler(clock=clock, observers=[notes])
    scheduler.every("flow", one(held), "GO", 10)
    with start_by_hand(scheduler) as time:
        time.advance(10, settle=False)
        held.wait()
        clock.advance(2.5)
        held.release()
    (end,) = emitted(notes, "flow_finished")
    assert end == {
        "flow": "flow", "state": "DONE", "duration": 2.5, "outcome": "succeeded", "error": None,
    }  # fmt: skip
    assert notes.one("flow_finished")["thread"].startswith("cano-flow")


@pytest.mark.parametrize("backoff", [None, Backoff(0), Backoff(0, trip_after=1)])
def test_a_failure_is_emitted_whatever_follows_and_before_it(
    backoff: Backoff | None, clock: HandClock, notes: FlowNotes
) -> None:
    scheduler = Scheduler(clock=clock, observers=[notes])
    scheduler.manual("flow", one(Fails()), "GO", backoff=backoff)
    with start_by_hand(scheduler):
        error = scheduler.trigger("flow").exception(20)
    assert isinstance(error, TaskExecutionError)
    assert notes.names()[:2] == ["flow_started", "flow_finished"]
    (end,) = emitted(notes, "flow_finished")
    assert (end["state"], end["outcome"], end["error"]) == (None, "failed", error)


def test_so_is_that_of_a_run_for_which_there_is_no_thread(
    clock: HandClock, notes: FlowNotes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(pool: Pool, job: object) -> None:
        raise RuntimeError("can't start new thread")

    scheduler = Scheduler(clock=clock, observers=[notes])
    scheduler.manual("flow", one(lambda: "DONE"), "GO")
    monkeypatch.setattr(Pool, "start", no_thread)
    with start_by_hand(scheduler):
        error = scheduler.trigger("flow").exception(20)
    assert notes.one("flow_finished")["error"] is error


def test_a_run_that_the_scheduler_has_cancelled_is_emitted_as_cancelled(
    notes: FlowNotes, held: Held
) -> None:
    scheduler = Scheduler(observers=[notes])
    scheduler.manual("flow", one(held), "GO", backoff=Backoff(1, trip_after=1))
    with scheduler.start_in_background(stop_timeout=0):
        future = scheduler.trigger("flow")
        held.wait()
    end = notes.one("flow_finished")
    error = end["error"]
    assert end["outcome"] == "cancelled"
    assert error is future.exception(0)
    assert isinstance(error, WorkflowCancelledError)
    assert (error.run_id, error.reason) == (None, "the scheduler was stopped")
    assert notes.names(*FLOW) == ["flow_started", "flow_finished"]


def test_whatever_a_run_raises_because_it_was_cancelled(notes: FlowNotes) -> None:
    """The engine sees to that within a workflow; a store's factory is outside."""
    began = threading.Event()

    def make() -> MemoryStore:
        began.set()
        current_token().wait(20)
        raise OSError("the connection was closed")

    scheduler = Scheduler(observers=[notes])
    scheduler.manual("flow", one(lambda: "DONE"), "GO", store=make)
    with scheduler.start_in_background(stop_timeout=0):
        scheduler.trigger("flow")
        assert began.wait(20)
    assert isinstance(notes.one("flow_finished")["error"], WorkflowCancelledError)
    assert scheduler.status("flow").failures == 0


def test_the_end_of_a_run_that_is_abandoned_is_emitted_at_once_and_once(
    notes: FlowNotes, gate: threading.Event, eventually: Eventually
) -> None:
    began = threading.Event()

    def deaf() -> str:
        began.set()
        gate.wait(20)
        return "DONE"

    scheduler = Scheduler(observers=[notes])
    scheduler.manual("flow", one(deaf).with_observer(notes.runs), "GO")
    with scheduler.start_in_background(stop_timeout=0):
        future = scheduler.trigger("flow")
        assert began.wait(20)
    assert notes.one("flow_finished")["error"] is future.exception(0)
    assert notes.names("flow_finished", "run_finished") == ["flow_finished"]
    gate.set()
    eventually(lambda: "run_finished" in notes.names())
    eventually(lambda: abandoned_tasks() == 0)
    assert len(notes.of("flow_finished")) == 1


def test_an_observer_that_raises_then_costs_nobody_the_end(
    held: Held, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(FlowObserver):
        def flow_finished(self, **_: Any) -> None:
            raise KeyboardInterrupt

    later = FlowNotes()
    scheduler = Scheduler(observers=[Broken(), later])
    scheduler.manual("flow", one(Fails()), "GO", backoff=Backoff(1))
    with scheduler.start_in_background():
        assert scheduler.trigger("flow").exception(20) is not None
    assert later.names(*FLOW) == ["flow_started", "flow_finished", "flow_backed_off"]
    assert caplog.records


# Who hears it.


def test_whoever_waits_for_the_future_finds_all_emitted(clock: HandClock, notes: FlowNotes) -> None:
    scheduler = Scheduler(clock=clock, observers=[notes])
    scheduler.manual("flow", one(Fails()), "GO", backoff=Backoff(10, trip_after=1))
    with start_by_hand(scheduler):
        assert scheduler.trigger("flow").exception(20) is not None
        assert notes.names(*FLOW) == ["flow_started", "flow_finished", "flow_tripped"]


def test_the_schedulers_observers_hear_all_flows_and_a_workflows_its_runs(
    clock: HandClock, notes: FlowNotes
) -> None:
    own = Notes()
    scheduler = Scheduler(clock=clock, observers=[notes])
    scheduler.every("a", one(lambda: "DONE").with_observer(own), "GO", 10)
    scheduler.every("b", one(lambda: "DONE"), "GO", 10)
    with start_by_hand(scheduler) as time:
        time.advance(10)
    assert [facts["flow"] for facts in notes.of("flow_started")] == ["a", "b"]
    assert (own.names()[0], own.names()[-1]) == ("run_started", "run_finished")
    assert "run_started" not in notes.names()


def test_one_that_is_added_later_hears_from_then_on(clock: HandClock, notes: FlowNotes) -> None:
    first = FlowNotes()
    scheduler = Scheduler(clock=clock, observers=[first])
    scheduler.every("flow", one(lambda: "DONE"), "GO", 10)
    with start_by_hand(scheduler) as time:
        time.advance(10)
        scheduler.add_observer(notes)
        assert scheduler.observers == (first, notes)
        time.advance(10)
    assert len(first.of("flow_finished")) == 2
    assert notes.names() == ["flow_started", "flow_finished"]


def test_a_catch_all_hears_each_event_before_the_hook_of_its_own(clock: HandClock) -> None:
    class Both(FlowObserver):
        def __init__(self) -> None:
            self.calls: list[tuple[str, dict[str, Any]]] = []

        def on_event(self, *, event: str, flow: str, **facts: Any) -> None:
            self.calls.append((event, {"flow": flow, **facts}))

        def flow_started(self, **facts: Any) -> None:
            self.calls.append(("its own hook", facts))

    both = Both()
    scheduler = Scheduler(clock=clock, observers=[both])
    scheduler.manual("flow", one(lambda: "DONE"), "GO")
    with start_by_hand(scheduler):
        scheduler.trigger("flow").result(20)
    facts = {"flow": "flow", "lag": 0.0}
    assert both.calls[:2] == [("flow_started", facts), ("its own hook", facts)]
    assert [event for event, _ in both.calls[2:]] == ["flow_finished"]


def test_the_base_class_itself_hears_nothing_and_hurts_nobody(clock: HandClock) -> None:
    scheduler = Scheduler(clock=clock, observers=[FlowObserver()])
    scheduler.manual("flow", one(lambda: "DONE"), "GO")
    with start_by_hand(scheduler):
        assert scheduler.trigger("flow").result(20) == "DONE"


@pytest.mark.parametrize("error", [OSError("no pipe"), Cancelled("late"), SystemExit(3)])
def test_one_that_raises_is_logged_and_hurts_nobody(
    error: BaseException, clock: HandClock, notes: FlowNotes, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(FlowObserver):
        def flow_started(self, **_: Any) -> None:
            raise error

        def flow_tripped(self, **_: Any) -> None:
            raise error

    scheduler = Scheduler(clock=clock, observers=[Broken(), notes])
    scheduler.every("flow", one(Fails()), "GO", 10, backoff=Backoff(0, trip_after=2))
    journal = Journal(clock)
    scheduler.every("other", one(journal), "GO", 10)
    with caplog.at_level(logging.ERROR, "cano_sync"), start_by_hand(scheduler) as time:
        time.advance(30)
    assert journal.times == [10, 20, 30]
    assert notes.names(*FLOW).count("flow_tripped") == 1
    complaints = [record.getMessage() for record in caplog.records]
    assert any("flow 'flow': flow_tripped of the observer" in each for each in complaints)
