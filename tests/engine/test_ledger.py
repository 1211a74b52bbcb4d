"""The ledger of a split, driven by hand: nothing here starts a thread."""

from __future__ import annotations

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
from cano_sync._engine import ledger as ledger_room
from cano_sync._engine.attempts import Site
from cano_sync._engine.ledger import Ledger
from cano_sync._engine.pool import Errand
from cano_sync.fence import Gate, fence
from cano_sync.task import bind


def nothing() -> None:
    """A branch that nobody performs here."""


def ledger_of(
    count: int, strategy: JoinStrategy = JoinStrategy.ALL, gate: Gate | None = None
) -> Ledger:
    return Ledger([bind(nothing)] * count, strategy, Site("run", "SPLIT"), gate or Gate())


def failed() -> TaskExecutionError:
    return TaskExecutionError("it broke")


def errand() -> Errand:
    return Errand(None, lambda errand: None)


class Own(JoinStrategy):
    def __init__(self, answer: Callable[[Tally], Any]) -> None:
        self.answer = answer

    def decide(self, tally: Tally) -> Any:
        return self.answer(tally)

    def at_deadline(self, tally: Tally) -> Any:
        return self.answer(tally)


def test_branches_are_taken_in_the_order_of_their_tasks() -> None:
    ledger = ledger_of(3)
    assert [ledger.take(errand()) for _ in range(4)] == [0, 1, 2, None]


def test_nothing_is_taken_after_the_verdict() -> None:
    ledger = ledger_of(3)
    assert ledger.take(errand()) == 0
    ledger.settle(Verdict.FAIL)
    assert ledger.take(errand()) is None


def test_seats_are_wanted_while_branches_are_pending() -> None:
    ledger = ledger_of(2)
    wanted = []
    for _ in range(3):
        wanted.append(ledger.wants_seats)
        ledger.take(errand())
    assert wanted == [True, True, False]
    other = ledger_of(2)
    other.settle(Verdict.PROCEED)
    assert not other.wants_seats


def test_branches_are_stranded_when_pending_and_the_last_seat_is_lost() -> None:
    ledger = ledger_of(2)
    ledger.expect_seat()
    ledger.expect_seat()
    assert not ledger.lose_seat()
    assert ledger.lose_seat()


def test_nothing_is_stranded_without_pending_branches_or_after_the_verdict() -> None:
    taken, decided = ledger_of(1), ledger_of(1)
    for ledger in (taken, decided):
        ledger.expect_seat()
    taken.take(errand())
    decided.settle(Verdict.PROCEED)
    assert not taken.lose_seat()
    assert not decided.lose_seat()


def test_a_landing_that_makes_it_certain_decides() -> None:
    ledger = ledger_of(2)
    for index in range(2):
        ledger.take(errand())
        assert ledger.verdict is None
        assert not ledger.decided.done()
        ledger.land(index, f"value {index}", None)
    assert ledger.verdict is Verdict.PROCEED
    assert ledger.decided.done()
    assert ledger.values == ["value 0", "value 1"]
    assert not ledger.timed_out
    assert ledger.problem is None


def test_the_first_verdict_counts() -> None:
    ledger = ledger_of(2)
    ledger.settle(Verdict.PROCEED)
    ledger.settle(Verdict.FAIL, problem=WorkflowError("late"), timed_out=True)
    assert ledger.verdict is Verdict.PROCEED
    assert ledger.problem is None
    assert not ledger.timed_out


def test_nothing_lands_after_the_verdict() -> None:
    ledger = ledger_of(3, JoinStrategy.ANY)
    for _ in range(3):
        ledger.take(errand())
    ledger.land(1, "first", None)
    ledger.land(0, "late", None)
    ledger.land(2, None, failed())
    result = ledger.result()
    assert [outcome.index for outcome in result.successes] == [1]
    assert [outcome.index for outcome in result.cancelled] == [0, 2]
    assert result.errors == []
    assert [outcome.value for outcome in result.cancelled] == [None, None]
    assert ledger.values == ["first"]
    assert ledger.left_behind() == {}


def test_the_fence_is_closed_before_the_caller_is_woken() -> None:
    """Law 5: no write can slip in after the join state was entered."""
    gate = Gate()
    store, gate = fence(MemoryStore(), gate)
    ledger = ledger_of(1, gate=gate)
    seen: list[str] = []

    def woken(bell: object) -> None:
        with pytest.raises(Cancelled):
            store.put("late", True)
        seen.append("closed")

    ledger.decided.add_done_callback(woken)
    ledger.take(errand())
    store.put("early", True)
    ledger.land(0, None, None)
    assert seen == ["closed"]


def test_those_who_still_perform_a_branch_are_left_behind() -> None:
    ledger = ledger_of(3, JoinStrategy.ANY)
    errands = [errand(), errand()]
    ledger.take(errands[0])
    ledger.take(errands[1])
    ledger.land(0, None, None)
    assert ledger.left_behind() == {1: errands[1]}
    ledger.drop(1)
    assert ledger.left_behind() == {}


def test_a_dropped_branch_is_no_news() -> None:
    asked: list[Tally] = []

    def note(tally: Tally) -> Verdict:
        asked.append(tally)
        return Verdict.WAIT

    ledger = ledger_of(2, Own(note))
    ledger.take(errand())
    ledger.drop(0)
    assert asked == []
    assert ledger.verdict is None


def test_a_strategy_is_asked_without_the_lock() -> None:
    """It may be slow, or look at the split from another side."""
    looked: list[bool] = []

    def look(tally: Tally) -> Verdict:
        looked.append(ledger.lose_seat())  # takes the lock
        return Verdict.PROCEED

    ledger = ledger_of(1, Own(look))
    ledger.expect_seat()
    ledger.ask()
    assert looked == [True]
    assert ledger.verdict is Verdict.PROCEED


def test_outcomes_have_the_times_of_their_branches(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that the test sets: the wall clock only says where the fine timer stands."""
    clock = SimpleNamespace(now=10.0)
    fake = SimpleNamespace(time=lambda: 999_990.0 + clock.now, perf_counter=lambda: clock.now)
    monkeypatch.setattr(ledger_room, "time", fake)
    ledger = ledger_of(4, JoinStrategy.PARTIAL_TIMEOUT)
    ledger.take(errand())
    clock.now = 11.0
    ledger.take(errand())
    ledger.take(errand())
    clock.now = 13.5
    ledger.land(0, "value", None)
    clock.now = 14.0
    error = failed()
    ledger.land(1, None, error)
    clock.now = 15.0
    ledger.time_is_up()
    result = ledger.result()
    good, bad, (running, pending) = result.successes[0], result.errors[0], result.cancelled
    assert (good.started_at, good.duration, good.value) == (1_000_000.0, 3.5, "value")
    assert (bad.started_at, bad.duration, bad.error) == (1_000_001.0, 3.0, error)
    assert (running.started_at, running.duration) == (1_000_001.0, 4.0)
    assert (pending.started_at, pending.duration) == (None, 0.0)
    assert {outcome.name for outcome in (good, bad, running, pending)} == {"nothing"}


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
    ledger = ledger_of(1, Own(lambda tally: answer))
    ledger.time_is_up()
    assert ledger.verdict is verdict
    assert ledger.timed_out
    assert ledger.problem is None


def test_the_deadline_comes_too_late_for_a_split_that_was_decided() -> None:
    ledger = ledger_of(1)
    ledger.settle(Verdict.PROCEED)
    ledger.time_is_up()
    assert ledger.verdict is Verdict.PROCEED
    assert not ledger.timed_out


@pytest.mark.parametrize("when", ["ask", "time_is_up"])
def test_a_strategy_that_raises_is_the_problem(when: str) -> None:
    ledger = ledger_of(1, Own(lambda tally: 1 // 0))
    getattr(ledger, when)()
    assert ledger.verdict is Verdict.FAIL
    assert isinstance(ledger.problem, WorkflowError)
    assert isinstance(ledger.problem.__cause__, ZeroDivisionError)
    assert (ledger.problem.state, ledger.problem.run_id) == ("SPLIT", "run")


def test_an_answer_that_is_no_verdict_is_the_problem() -> None:
    ledger = ledger_of(1, Own(lambda tally: "proceed"))
    ledger.ask()
    assert ledger.verdict is Verdict.FAIL
    assert "it answered 'proceed'" in str(ledger.problem)


def test_waiting_when_all_have_ended_is_the_problem() -> None:
    ledger = ledger_of(1, Own(lambda tally: Verdict.WAIT))
    ledger.ask()
    assert ledger.verdict is None
    ledger.take(errand())
    ledger.land(0, None, None)
    assert ledger.verdict is Verdict.FAIL
    assert "still waits" in str(ledger.problem)
