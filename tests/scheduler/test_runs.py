"""Runs: what is left of one when it is over."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from cano_sync.scheduler import Scheduler
from cano_sync.scheduler.runs import Run
from tests.scheduler.conftest import Fails, one


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What is not freed at once stays."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def runs_alive() -> int:
    return sum(isinstance(each, Run) for each in gc.get_objects())


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("task", [lambda: "DONE", Fails()])
def test_a_run_that_is_over_is_freed_at_once(task: object, eventually: object) -> None:
    """Without the collector: it is in no circle, also where its error has a traceback."""
    assert callable(task) and callable(eventually)
    before = runs_alive()  # errors of other tests may keep some
    scheduler = Scheduler()
    scheduler.manual("flow", one(task), "GO")
    with scheduler.start_in_background():
        for _ in range(50):
            scheduler.trigger("flow").exception(20)
    eventually(lambda: runs_alive() <= before)
