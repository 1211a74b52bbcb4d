"""The tracker of a split, driven by hand: nothing here starts a thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from cano_sync import (
    Cancelled,
    JoinStrategy,
    MemoryStore,
    Tally,
    TaskExecutionError,
    Verdict,
    WorkflowError,
)
from cano_sync._base.fence import Gate, fence
from cano_sync._base.world import world
from cano_sync._engine.events import RunEvents
from cano_sync._engine.jobs import Job
from cano_sync._engine.tracker import Tracker
from cano_sync._model.hooks import Observer, listeners_of
from cano_sync._model.outcome import Outcome
from cano_sync._model.task import bind
from tests.kit import nothing
from tests.observing import Notes


def tracker_of(
    count: int,
    strategy: JoinStrategy = JoinStrategy.ALL,
    gate: Gate | None = None,
    kind: type[Tracker] = Tracker,
    observer: Observer | None = None,
) -> Any:
    tasks = [bind(nothing)] * count
    events = None if observer is None else RunEvents("run", listeners_of([observer]))
    return kind(tasks, strategy, gate or Gate(), state="SPLIT", run_id="run", events=events)


def failed() -> TaskExecutionError:
    return TaskExecutionError("it broke")


def job() -> Job:
    return Job(None, lambda job: None)


class Own(JoinStrategy):
    def __init__(self, answer: Callable[[Tally], Any]) -> None:
        self.answer = answer

    def decide(self, tally: Tally) -> Any:
        return self.answer(tally)

    def at_deadline(self, tally: Tally) -> Any:
        return self.answer(tally)


def test_branches_are_taken_in_the_order_of_their_tasks() -> None:
    tracker = tracker_of(3)
    assert [tracker.take(job()) for _ in range(4)] == [0, 1, 2, None]


def test_nothing_is_taken_after_the_verdict() -> None:
    tracker = tracker_of(3)
    assert tracker.take(job()) == 0
    tracker.settle(Verdict.FAIL)
    assert tracker.take(job()) is None


def test_workers_are_wanted_while_branches_are_pending() -> None:
    tracker = tracker_of(2)
    wanted = []
    for _ in range(3):
        wanted.append(tracker.wants_workers)
        tracker.take(job())
    assert wanted == [True, True, False]
    other = tracker_of(2)
    other.settle(Verdict.PROCEED)
    assert not other.wants_workers


def test_as_many_workers_are_started_as_are_allowed() -> None:
    tracker = tracker_of(3)
    assert not tracker.claim_worker()
    tracker.allow_workers(2)
    assert [tracker.claim_worker() for _ in range(3)] == [True, True, False]


def test_no_worker_is_started_once_all_branches_are_taken_or_there_is_a_verdict() -> None:
    taken, decided = tracker_of(1), tracker_of(1)
    for tracker in (taken, decided):
        tracker.allow_workers(1)
    taken.take(job())
    decided.settle(Verdict.PROCEED)
    assert not taken.claim_worker()
    assert not decided.claim_worker()


def test_branches_are_stranded_when_pending_and_the_last_worker_is_lost() -> None:
    tracker = tracker_of(2)
    tracker.expect_worker()
    tracker.expect_worker()
    assert not tracker.lose_worker()
    assert tracker.lose_worker()


def test_nothing_is_stranded_without_pending_branches_or_after_the_verdict() -> None:
    taken, decided = tracker_of(1), tracker_of(1)
    for tracker in (taken, decided):
        tracker.expect_worker()
    taken.take(job())
    decided.settle(Verdict.PROCEED)
    assert not taken.lose_worker()
    assert not decided.lose_worker()


def test_before_the_verdict_there_is_neither_a_problem_nor_a_timeout() -> None:
    tracker = tracker_of(1)
    assert tracker.verdict is None
    assert tracker.problem is None
    assert not tracker.timed_out


def test_a_landing_that_makes_it_certain_decides() -> None:
    tracker = tracker_of(2)
    for index in range(2):
        tracker.take(job())
        assert tracker.verdict is None
        assert not tracker.decided.done()
        tracker.land(index, f"value {index}", None)
    assert tracker.verdict is Verdict.PROCEED
    assert tracker.decided.done()
    assert tracker.values == ["value 0", "value 1"]
    assert not tracker.timed_out
    assert tracker.problem is None


def test_the_first_verdict_counts() -> None:
    tracker = tracker_of(2)
    tracker.settle(Verdict.PROCEED)
    tracker.settle(Verdict.FAIL, problem=WorkflowError("late"), timed_out=True)
    assert tracker.verdict is Verdict.PROCEED
    assert tracker.problem is None
    assert not tracker.timed_out


def test_a_verdict_that_ctrl_c_interrupts_may_be_given_again() -> None:
    """A coordinator that is interrupted settles once more at its end."""

    class Interrupting(deque[int]):
        def clear(self) -> None:
            super().clear()
            raise KeyboardInterrupt

    gate = Gate()
    tracker = tracker_of(2, gate=gate)
    tracker._pending = Interrupting(tracker._pending)
    with pytest.raises(KeyboardInterrupt):
        tracker.settle(Verdict.PROCEED, timed_out=True)
    tracker._pending = deque(tracker._pending)
    tracker.settle(Verdict.FAIL)
    assert tracker.verdict is Verdict.FAIL
    assert not tracker.timed_out
    assert tracker.decided.done()
    with pytest.raises(Cancelled):
        gate.check()


def test_nothing_lands_after_the_verdict() -> None:
    tracker = tracker_of(3, JoinStrategy.ANY)
    for _ in range(3):
        tracker.take(job())
    tracker.land(1, "first", None)
    tracker.land(0, "late", None)
    tracker.land(2, None, failed())
    result = tracker.result()
    assert [outcome.index for outcome in result.successes] == [1]
    assert [outcome.index for outcome in result.cancelled] == [0, 2]
    assert result.errors == []
    assert [outcome.value for outcome in result.cancelled] == [None, None]
    assert tracker.values == ["first"]
    assert tracker.running() == {}


def test_the_fence_is_closed_before_the_caller_is_woken() -> None:
    """Law 5: no write can slip in after the join state was entered."""
    gate = Gate()
    store, gate = fence(MemoryStore(), gate)
    tracker = tracker_of(1, gate=gate)
    seen: list[str] = []

    def woken() -> None:
        with pytest.raises(Cancelled):
            store.put("late", True)
        seen.append("closed")

    tracker.decided.add_callback(woken)
    tracker.take(job())
    store.put("early", True)
    tracker.land(0, None, None)
    assert seen == ["closed"]


def test_workers_that_still_perform_a_branch_are_abandoned() -> None:
    tracker = tracker_of(3, JoinStrategy.ANY)
    jobs = [job(), job()]
    tracker.take(jobs[0])
    tracker.take(jobs[1])
    tracker.land(0, None, None)
    assert tracker.running() == {1: jobs[1]}
    tracker.drop(1)
    assert tracker.running() == {}


def test_a_dropped_branch_is_not_left_behind() -> None:
    tracker = tracker_of(2)
    jobs = [job(), job()]
    for each in jobs:
        tracker.take(each)
    tracker.drop(0)
    assert tracker.running() == {1: jobs[1]}


def test_a_dropped_branch_does_not_ask_the_strategy() -> None:
    asked: list[Tally] = []

    def note(tally: Tally) -> Verdict:
        asked.append(tally)
        return Verdict.WAIT

    tracker = tracker_of(2, Own(note))
    tracker.take(job())
    tracker.drop(0)
    assert asked == []
    assert tracker.verdict is None


@pytest.mark.parametrize("when", ["ask", "time_is_up"])
def test_a_strategy_is_asked_without_the_lock(when: str) -> None:
    """It may be slow, or look at the split from another side."""
    looked: list[bool] = []

    def look(tally: Tally) -> Verdict:
        looked.append(tracker.lose_worker())  # takes the lock
        return Verdict.PROCEED

    tracker = tracker_of(1, Own(look))
    tracker.expect_worker()
    getattr(tracker, when)()
    assert looked == [True]
    assert tracker.verdict is Verdict.PROCEED


COUNTS = ("_spare", "_alive", "_successes", "_errors", "_emitting")


class Watched(Tracker):
    """A tracker that notes what is counted, or changed, without its lock."""

    def __getattribute__(self, name: str) -> Any:
        if name in COUNTS:
            self.note(name)
        return super().__getattribute__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in (*COUNTS, "_running", "verdict", "problem"):
            self.note(name)
        super().__setattr__(name, value)

    unguarded: list[str] | None = None

    def watch(self) -> None:
        note = self.note

        class Pending(deque[int]):
            def popleft(self) -> int:
                note("_pending")
                return super().popleft()

            def clear(self) -> None:
                note("_pending")
                super().clear()

        class Running(dict[int, Job]):
            def __setitem__(self, index: int, job: Job) -> None:
                note("_running")
                super().__setitem__(index, job)

            def pop(self, *arguments: Any) -> Any:
                note("_running")
                return super().pop(*arguments)

        self._pending = Pending(self._pending)
        self._running = Running(self._running)
        self.unguarded = []

    def note(self, name: str) -> None:
        if self.unguarded is not None and not self._lock._is_owned():
            self.unguarded.append(name)


def test_what_the_lock_guards_is_counted_and_changed_under_it() -> None:
    """By threads that meet: a sum that two of them change at once would lose one of both."""
    tracker = tracker_of(4, JoinStrategy.SETTLED, kind=Watched, observer=Notes())
    tracker.watch()
    tracker.allow_workers(1)
    tracker.claim_worker()
    tracker.expect_worker()
    tracker.lose_worker()
    for _ in range(3):
        tracker.take(job())
    tracker.land(0, None, None)
    tracker.land(1, None, failed())
    tracker.drop(2)
    assert not tracker.is_emitting
    tracker.time_is_up()
    tracker.running()
    assert tracker.verdict is Verdict.FAIL
    assert tracker.unguarded == []


def test_outcomes_have_the_times_of_their_branches(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that the test sets: the wall clock only says where the fine timer stands."""
    clock = SimpleNamespace(now=10.0)
    monkeypatch.setattr(world, "wall", lambda: 999_990.0 + clock.now)
    monkeypatch.setattr(world, "perf_counter", lambda: clock.now)
    tracker = tracker_of(4, JoinStrategy.PARTIAL_TIMEOUT)
    tracker.take(job())
    clock.now = 11.0
    tracker.take(job())
    tracker.take(job())
    clock.now = 13.5
    tracker.land(0, "value", None)
    clock.now = 14.0
    error = failed()
    tracker.land(1, None, error)
    clock.now = 15.0
    tracker.time_is_up()
    result = tracker.result()
    good, bad, (running, pending) = result.successes[0], result.errors[0], result.cancelled
    assert (good.started_at, good.duration, good.value) == (1_000_000.0, 3.5, "value")
    assert (bad.started_at, bad.duration, bad.error) == (1_000_001.0, 3.0, error)
    assert (running.started_at, running.duration) == (1_000_001.0, 4.0)
    assert (pending.started_at, pending.duration) == (None, 0.0)
    assert {outcome.name for outcome in (good, bad, running, pending)} == {"nothing"}


class Landings(Observer):
    """Calls the test's function where it hears that a branch has landed."""

    def __init__(self, heard: Callable[[Outcome], None]) -> None:
        self.heard = heard

    def branch_landed(self, *, state: str, outcome: Outcome, **_: Any) -> None:
        assert state == "SPLIT"
        self.heard(outcome)


def test_the_outcome_of_a_landing_is_the_one_that_the_result_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(now=10.0)
    monkeypatch.setattr(world, "wall", lambda: 999_990.0 + clock.now)
    monkeypatch.setattr(world, "perf_counter", lambda: clock.now)
    heard: list[Outcome] = []
    tracker = tracker_of(1, observer=Landings(heard.append))
    tracker.take(job())
    clock.now = 13.5
    tracker.land(0, "value", None)
    assert heard == tracker.result().successes
    assert (heard[0].started_at, heard[0].duration) == (1_000_000.0, 3.5)


def test_all_is_emitted_when_the_last_of_those_that_landed_before_the_verdict_is() -> None:
    emitted: list[tuple[bool, bool]] = []

    def look() -> None:
        emitted.append((tracker.is_emitting, tracker.all_emitted.done()))

    def heard(outcome: Outcome) -> None:
        if outcome.index == 0:
            tracker.land(1, None, None)  # as another thread would, meanwhile
        else:
            tracker.settle(Verdict.FAIL)
        look()

    tracker = tracker_of(3, observer=Landings(heard))
    for _ in range(3):
        tracker.take(job())
    tracker.land(0, None, None)
    look()
    assert emitted == [(True, False), (True, False), (False, True)]


def test_what_is_emitted_before_the_verdict_is_nothing_to_wait_for() -> None:
    tracker = tracker_of(2, observer=Landings(lambda outcome: None))
    for _ in range(2):
        tracker.take(job())
    tracker.land(0, None, None)
    assert not tracker.is_emitting
    assert not tracker.all_emitted.done()


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (Verdict.PROCEED, Verdict.PROCEED),
        (Verdict.FAIL, Verdict.FAIL),
        (Verdict.WAIT, Verdict.FAIL),
        ("rubbish", Verdict.FAIL),
    ],
)
def test_the_deadline_decides(answer: Any, verdict: Verdict) -> None:
    tracker = tracker_of(1, Own(lambda tally: answer))
    tracker.time_is_up()
    assert tracker.verdict is verdict
    assert tracker.timed_out
    assert tracker.problem is None


def test_the_deadline_asks_about_what_has_landed_by_then() -> None:
    asked: list[Tally] = []

    class Late(Own):
        def decide(self, tally: Tally) -> Verdict:
            return Verdict.WAIT

    tracker = tracker_of(4, Late(asked.append))
    for _ in range(4):
        tracker.take(job())
    tracker.land(0, None, None)
    tracker.land(1, None, failed())
    tracker.land(2, None, None)
    tracker.time_is_up()
    assert asked == [Tally(total=4, successes=2, errors=1)]


def test_the_deadline_comes_too_late_for_a_split_that_was_decided() -> None:
    tracker = tracker_of(1)
    tracker.settle(Verdict.PROCEED)
    tracker.time_is_up()
    assert tracker.verdict is Verdict.PROCEED
    assert not tracker.timed_out


@pytest.mark.parametrize("when", ["ask", "time_is_up"])
def test_a_strategy_that_raises_is_the_problem(when: str) -> None:
    tracker = tracker_of(1, Own(lambda tally: 1 // 0))
    getattr(tracker, when)()
    assert tracker.verdict is Verdict.FAIL
    assert isinstance(tracker.problem, WorkflowError)
    assert isinstance(tracker.problem.__cause__, ZeroDivisionError)
    assert (tracker.problem.state, tracker.problem.run_id) == ("SPLIT", "run")


@pytest.mark.parametrize("when", ["ask", "time_is_up"])
def test_a_strategy_that_wants_out_of_the_program_is_not_broken(when: str) -> None:
    def leave(tally: Tally) -> Verdict:
        raise SystemExit(3)

    tracker = tracker_of(1, Own(leave))
    with pytest.raises(SystemExit):
        getattr(tracker, when)()
    assert tracker.problem is None


def test_an_answer_that_is_no_verdict_is_the_problem() -> None:
    tracker = tracker_of(1, Own(lambda tally: "proceed"))
    tracker.ask()
    assert tracker.verdict is Verdict.FAIL
    assert "it answered 'proceed'" in str(tracker.problem)


def test_waiting_when_all_have_ended_is_the_problem() -> None:
    tracker = tracker_of(2, Own(lambda tally: Verdict.WAIT))
    tracker.ask()
    for index, error in enumerate((None, failed())):
        assert tracker.verdict is None
        tracker.take(job())
        tracker.land(index, None, error)
    assert tracker.verdict is Verdict.FAIL
    assert "still waits" in str(tracker.problem)
