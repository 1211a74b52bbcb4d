"""A process that ends, in a simulation: at any moment, and every run is accounted for once."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import Any

from cano_sync import DrainingError, JoinConfig, JoinStrategy, Workflow, drain, draining
from cano_sync.testing import Simulation, explore
from tests.kit import Step


def working(sim: Simulation) -> Workflow[Any]:
    """Some listen, and some do not."""

    def branch(store: Any, cancel: Any) -> None:
        seconds = sim.choose(0.5, 1.0, 3.0)
        if sim.choose(True, False):
            cancel.sleep(seconds)
        else:
            time.sleep(seconds)

    join = JoinConfig(sim.choose(JoinStrategy.ALL, JoinStrategy.ANY), Step.DONE)
    return Workflow().register_split(Step.START, [branch] * 2, join).add_exit_state(Step.DONE)


@explore(40)
def test_every_run_is_accounted_for_once_and_in_time(sim: Simulation) -> None:
    workflow, moment, grace = working(sim), sim.random_time(0, 2), sim.choose(0, 0.7, 5)

    def live() -> None:
        begun: list[Future[Any]] = []
        refused = 0
        for _ in range(4):
            begun.append(workflow.submit(Step.START))
            time.sleep(sim.choose(0.0, 0.3))
        time.sleep(moment)
        began = time.monotonic()
        report = drain(grace)
        assert time.monotonic() - began <= grace + 0.1
        ended = sum(future.done() for future in begun)
        assert report.finished + report.cancelled + len(report.abandoned) <= 4
        assert ended + len(report.abandoned) >= 4 - refused
        try:
            workflow.orchestrate(Step.START)
        except DrainingError:
            pass
        else:
            raise AssertionError("a run began")

    run = sim.call(live)
    if run.error is not None:
        raise run.error


def test_the_process_goes_on_after_a_drain_that_was_simulated() -> None:
    assert not draining()
