"""A scheduler in a simulation: a week of a timetable, with flows that fail and overlap."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from typing import Any

from cano_sync import MemoryStore, Workflow
from cano_sync.scheduler import Backoff, Every, FlowObserver, Scheduler
from cano_sync.testing import Simulation, explore, simulate_call
from tests.kit import Step, single, split

HOUR, DAY = 3600, 86_400
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def napping(seconds: float) -> Workflow[Any]:
    def nap() -> Step:
        time.sleep(seconds)
        return Step.DONE

    return single(nap)


@explore(10, now=MONDAY)
def test_a_week_passes_in_no_time(sim: Simulation) -> None:
    store = MemoryStore({"n": 0})
    work = split([lambda store: store.update("n", lambda n: n + 1)] * 2)

    def make() -> Scheduler:
        scheduler = Scheduler()
        scheduler.every_hours("count", work, Step.START, 6, store=store)
        return scheduler

    run = sim.schedule(make, 7 * DAY + 60)
    assert run.elapsed == 7 * DAY + 60
    assert run.result["count"].runs == 28
    assert store["n"] == 56


@explore(8)
def test_a_flow_that_is_due_while_it_runs_leaves_that_time_out(sim: Simulation) -> None:
    """And never runs twice at once, under whatever schedule."""
    inside = [0]
    most = [0]

    def long() -> Step:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(random.uniform(0, 1.8 * HOUR))
        inside[0] -= 1
        return Step.DONE

    def make() -> Scheduler:
        scheduler = Scheduler()
        scheduler.every_hours("long", single(long), Step.START, 1)
        scheduler.every_minutes("short", napping(60), Step.START, 30)
        return scheduler

    status = sim.schedule(make, 2 * DAY + 1).result
    assert most[0] == 1
    assert status["short"].runs == 96
    assert status["long"].runs + status["long"].skipped in (47, 48)
    assert 24 <= status["long"].runs <= 48


@explore(8)
def test_flows_that_fail_back_off_and_come_back(sim: Simulation) -> None:
    heard: list[str] = []

    class Ends(FlowObserver):
        def flow_finished(self, *, flow: str, **facts: Any) -> None:
            heard.append(flow)

    def shaky() -> Step:
        if random.random() < 0.4:
            raise ValueError("not now")
        return Step.DONE

    def make() -> Scheduler:
        scheduler = Scheduler(observers=[Ends()])
        backoff = Backoff(60)
        scheduler.add("shaky", single(shaky), Step.START, Every(minutes=10), backoff=backoff)
        scheduler.add("sound", napping(5), Step.START, Every(minutes=10))
        return scheduler

    status = sim.schedule(make, DAY + 60).result
    assert status["sound"].runs == 144
    assert heard.count("sound") == 144
    assert heard.count("shaky") == status["shaky"].runs <= 200


@explore(8)
def test_one_that_is_stopped_lets_its_runs_end_or_cancels_them(sim: Simulation) -> None:
    """At a random moment, with a flow that listens and one that does not."""

    def listens(store: Any, cancel: Any) -> Step:
        cancel.sleep(90)
        return Step.DONE

    def make() -> Scheduler:
        scheduler = Scheduler()
        scheduler.every_minutes("listens", single(listens), Step.START, 2)
        scheduler.every_minutes("deaf", napping(90), Step.START, 2)
        return scheduler

    moment = sim.random_time(HOUR, HOUR + 600)
    patience = sim.choose(None, 0, 10)
    run = sim.schedule(make, moment, stop_timeout=patience)
    longest = 90 if patience is None else patience + 0.2
    assert run.error is None
    assert moment <= run.elapsed <= moment + longest


def test_the_jitter_of_a_scheduler_follows_from_the_seed() -> None:
    def lags(seed: int) -> list[float]:
        begun: list[float] = []
        workflow = single(lambda: begun.append(time.monotonic()) or Step.DONE)

        def live() -> None:
            scheduler = Scheduler()
            scheduler.every("often", workflow, Step.START, 60, jitter=30)
            with scheduler.start_in_background():
                time.sleep(HOUR)

        assert simulate_call(live, seed=seed).error is None
        return begun

    assert lags(1) == lags(1) != lags(2)


@explore(5, now=MONDAY)
def test_the_clock_is_set_while_it_lives(sim: Simulation) -> None:
    """Intervals do not notice."""
    sim.jump_clock(sim.choose(-2 * HOUR, 2 * HOUR), at=HOUR)

    def make() -> Scheduler:
        scheduler = Scheduler()
        scheduler.every_minutes("often", napping(1), Step.START, 10)
        return scheduler

    assert sim.schedule(make, 4 * HOUR + 60).result["often"].runs == 24
