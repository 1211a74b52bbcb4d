"""Runs: what is left of one when it is over."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import pytest

from cano_sync.scheduler import Scheduler
from cano_sync.scheduler.run import FlowRun
from tests.scheduler.conftest import one

Eventually = Callable[[Callable[[], bool]], None]


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What is not freed at once stays."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def runs_alive() -> int:
    return sum(type(each) is FlowRun for each in gc.get_objects())


@pytest.mark.usefixtures("no_collector")
def test_a_run_that_ended_well_is_freed_at_once(eventually: Eventually) -> None:
    """Without the collector. (A traceback makes a circle of any error and who keeps it.)"""
    before = runs_alive()  # errors of other tests may keep some
    scheduler = Scheduler()
    scheduler.manual("flow", one(lambda: "DONE"), "GO")
    with scheduler.start_in_background():
        for _ in range(50):
            scheduler.trigger("flow").result(20)
    eventually(lambda: runs_alive() <= before)
