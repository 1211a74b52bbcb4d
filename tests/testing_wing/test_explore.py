"""`explore`: a test under many schedules, a failure that is shrunk, and a proof by all of them."""

from __future__ import annotations

import inspect
import time
from typing import Any

import pytest

from cano_sync import ConfigurationError, JoinStrategy, StoreError, TaskConfig
from cano_sync.testing import (
    ExplorationCutWarning,
    InjectedFault,
    ScheduleWarning,
    Simulation,
    SimulationError,
    SimulationFailure,
    explore,
    simulate,
)
from tests.kit import Step, single, split


def add(store: Any) -> None:
    store.put("n", store.get("n") + 1)


def add_at_once(store: Any) -> None:
    store.update("n", lambda n: n + 1)


WRONG, RIGHT = split([add, add]), split([add_at_once, add_at_once])


def count(sim: Simulation) -> None:
    assert sim.run(WRONG, Step.START, store={"n": 0}).store["n"] == 2


def failure_of(test: Any) -> SimulationFailure:
    with pytest.raises(SimulationFailure) as caught:
        test()
    return caught.value


def test_the_first_bad_schedule_is_shrunk_and_told_line_by_line() -> None:
    failure = failure_of(explore(500)(count))
    assert failure.story == (
        "add[0]  get n → 0\n"
        "add[1]  get n → 0\n"
        "add[1]  put n = 1\n"
        "add[0]  put n = 1   ← lost: add[1]'s write was overwritten unread"
    )
    text = str(failure)
    assert f"count fails under seed {failure.seed}, pct: lost update" in text
    assert "by 1 chosen hand-over (shrunk from " in text
    assert f"CANO_SEED={failure.seed} pytest -k count" in text
    assert f'@explore(seeds=[{failure.seed}], schedule="{failure.schedule}")' in text


def test_a_tests_own_assertion_is_the_cause() -> None:
    @explore(500)
    def test(sim: Simulation) -> None:
        run = sim.run(split([lambda store: store.append("log", "a")]), Step.START)
        assert run.store["log"] == ["b"]

    failure = failure_of(test)
    assert isinstance(failure.__cause__, AssertionError)
    assert "AssertionError: assert ['a'] == ['b']" in str(failure)


def test_a_seed_can_be_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    monkeypatch.setenv("CANO_SEED", "7")
    explore(3)(lambda sim: seeds.append(sim.seed))()
    assert seeds == [7]


def test_seeds_are_a_number_or_are_listed() -> None:
    seeds: list[int] = []
    explore(3)(lambda sim: seeds.append(sim.seed))()
    explore(seeds=[8, 5])(lambda sim: seeds.append(sim.seed))()
    assert seeds == [0, 1, 2, 8, 5]


def test_what_is_shown_can_be_pasted() -> None:
    failure = failure_of(explore(500)(count))
    again = failure_of(explore([failure.seed], schedule=failure.schedule)(count))
    assert again.story == failure.story
    with pytest.raises(SimulationFailure):
        simulate(WRONG, Step.START, store={"n": 0}, seed=failure.seed, schedule=failure.schedule)


def test_a_schedule_that_no_longer_fits_is_warned_of() -> None:
    @explore([1], schedule="1 1 9")
    def test(sim: Simulation) -> None:
        sim.run(RIGHT, Step.START, store={"n": 0})

    with pytest.warns(ScheduleWarning, match="after step 2"):
        test()


# All schedules.


def test_all_schedules_prove_the_mend() -> None:
    @explore(strategy="all")
    def test(sim: Simulation) -> None:
        assert sim.run(RIGHT, Step.START, store={"n": 0}).store["n"] == 2

    test()
    made = test.exploration  # type: ignore[attr-defined]
    assert made.is_complete
    assert str(made) == f"{made.schedules} schedules, complete"


def test_all_schedules_find_what_one_has() -> None:
    failure = failure_of(explore(strategy="all")(count))
    assert "of all, seed 0" in str(failure)


def test_every_interleaving_is_among_all_schedules() -> None:
    """Three branches of two accesses each: all orders in which the six can come."""
    orders = set()

    def twice(store: Any, *, context: Any) -> None:
        store.append("log", context.index)
        store.append("log", context.index)

    @explore(strategy="all")
    def test(sim: Simulation) -> None:
        orders.add(tuple(sim.run(split([twice] * 2), Step.START).store["log"]))

    test()
    assert orders == {
        (0, 0, 1, 1), (0, 1, 0, 1), (0, 1, 1, 0), (1, 0, 0, 1), (1, 0, 1, 0), (1, 1, 0, 0),
    }  # fmt: skip


def test_what_is_cut_is_warned_of() -> None:
    @explore(strategy="all", limit=5)
    def test(sim: Simulation) -> None:
        sim.run(split([add_at_once] * 3), Step.START, store={"n": 0})

    with pytest.warns(ExplorationCutWarning, match="5 schedules, cut by limit=5"):
        test()
    assert not test.exploration.is_complete  # type: ignore[attr-defined]


# What goes wrong.


def test_a_share_of_a_tasks_attempts_fails() -> None:
    outcomes = set()

    def pay(store: Any) -> int:
        return 1

    @explore(30)
    def test(sim: Simulation) -> None:
        sim.fail("pay", share=0.5)
        run = sim.run(split([pay] * 2, JoinStrategy.SETTLED, collect="paid"), Step.START)
        outcomes.add(len(run.store["paid"]))

    test()
    assert outcomes == {0, 1, 2}


@pytest.mark.parametrize("how", ["by its state", "by its function"])
def test_a_task_is_named_in_several_ways(how: str) -> None:
    def task(store: Any) -> Step:
        return Step.DONE

    @explore(1)
    def test(sim: Simulation) -> None:
        if how == "by its state":
            sim.fail(Step.START, error=ValueError("made to"))
            run = sim.run(single(task), Step.START)
        else:
            sim.fail(task)
            run = sim.run(split([task, lambda: 1]), Step.START)
        assert run.error is not None

    test()


def test_a_fault_says_that_it_was_made() -> None:
    @explore(1)
    def test(sim: Simulation) -> None:
        sim.fail(Step.START)
        error = sim.run(single(lambda: Step.DONE), Step.START).error
        assert error is not None
        assert isinstance(error.__cause__, InjectedFault)

    test()


def test_a_retry_meets_a_fault_of_its_own() -> None:
    tries = []

    @explore(30)
    def test(sim: Simulation) -> None:
        sim.fail(Step.START, share=0.5)
        config = TaskConfig().with_fixed_retry(9, 1.0)
        run = sim.run(single(lambda: Step.DONE, config), Step.START)
        tries.append(run.elapsed)

    test()
    assert len(set(tries)) > 2


def test_a_task_is_slow() -> None:
    elapsed = []

    @explore(20)
    def test(sim: Simulation) -> None:
        sim.slow(Step.START, 1, 5)
        elapsed.append(sim.run(single(lambda: Step.DONE), Step.START).elapsed)

    test()
    assert all(1 <= seconds <= 5 for seconds in elapsed)
    assert len(set(elapsed)) == 20


def test_a_write_fails() -> None:
    @explore(1)
    def test(sim: Simulation) -> None:
        sim.fail_write(2)
        run = sim.run(split([add_at_once] * 2), Step.START, store={"n": 0})
        assert run.store["n"] == 1
        assert any(isinstance(error, StoreError) for error in run.error.__cause__.exceptions)

    test()


def test_the_time_of_day_is_set() -> None:
    def look(store: Any) -> Step:
        before = time.time(), time.monotonic()
        time.sleep(10)
        store.put("passed", (time.time() - before[0], time.monotonic() - before[1]))
        return Step.DONE

    @explore(1)
    def test(sim: Simulation) -> None:
        sim.jump_clock(-3600, at=5)
        assert sim.run(single(look), Step.START).store["passed"] == (-3590, 10)

    test()


def test_moments_follow_from_the_seed() -> None:
    drawn: list[float] = []
    test = explore(20)(lambda sim: drawn.append(sim.random_time(1, 2)))
    test()
    test()
    assert drawn[:20] == drawn[20:]
    assert len(set(drawn)) == 20
    assert all(1 <= moment <= 2 for moment in drawn)


# As a test of pytest.


@explore(5)
def test_it_takes_fixtures_beside(sim: Simulation, tmp_path: Any) -> None:
    assert tmp_path.exists()
    assert sim.run(RIGHT, Step.START, store={"n": 0}).store["n"] == 2


@pytest.mark.parametrize("number", [1, 2])
@explore(5)
def test_it_takes_parameters(number: int, sim: Simulation) -> None:
    store = sim.run(split([add_at_once] * number), Step.START, store={"n": 0}).store
    assert store["n"] == number


class TestInAClass:
    """As in any."""

    @explore(5)
    def test_it_is_a_method(self, sim: Simulation) -> None:
        assert sim.run(RIGHT, Step.START, store={"n": 0}).store["n"] == 2


def test_it_keeps_its_name_and_its_words() -> None:
    made = explore(5)(count)
    assert made.__name__ == "count"
    assert list(inspect.signature(made).parameters) == []


def test_pytests_own_failures_count_and_skips_pass() -> None:
    failure = failure_of(explore(3)(lambda sim: pytest.fail("no")))
    assert "no" in str(failure)
    with pytest.raises(pytest.skip.Exception):
        explore(3)(lambda sim: pytest.skip("not here"))()


def test_what_is_not_simulated_is_said_to_be_the_reason() -> None:
    left = [1]

    @explore(3)
    def test(sim: Simulation) -> None:
        assert not left.pop() if left else True

    assert "something in it is not simulated" in str(failure_of(test))


def test_what_blocks_outside_is_no_failure_of_the_test() -> None:
    def test(sim: Simulation) -> None:
        raise SimulationError("it blocks")

    with pytest.raises(SimulationError, match="it blocks"):
        explore(3)(test)()


@pytest.mark.parametrize(
    ("decorate", "message"),
    [
        (lambda: explore(count), "with parentheses"),
        (lambda: explore(strategy="best"), "there are 'pct', 'random' and 'all'"),
        (lambda: explore(limit=5), "limit=...) is for strategy='all'"),
        (lambda: explore(schedule="a")(count), "'a' is no decision"),
        (lambda: explore()(lambda: None), "must take a parameter `sim`"),
    ],
    ids=["without parentheses", "strategy", "limit", "schedule", "sim"],
)
def test_a_mistake_is_refused(decorate: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        decorate()
    assert message in str(caught.value)
