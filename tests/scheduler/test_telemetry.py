"""Flows as OpenTelemetry's metrics."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from cano_sync.scheduler import Backoff, Scheduler
from cano_sync.scheduler.telemetry import FlowMetrics
from cano_sync.testing import HandClock, start_by_hand
from tests.scheduler.conftest import Fails, Held, one


class Figures:
    """What a meter provider has collected."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        assert data is not None
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


@pytest.fixture
def figures() -> Figures:
    return Figures()


def test_the_lag_of_each_run_is_measured_by_flow(figures: Figures, clock: HandClock) -> None:
    scheduler = Scheduler(clock=clock, observers=[FlowMetrics(figures.provider)])
    scheduler.every("sync", one(lambda: "DONE"), "GO", 10)
    with start_by_hand(scheduler) as time:
        time.advance(10)
        clock.advance(12.5)
        time.run_pending()
        time.settle(20)
    (lag,) = figures.points("cano.flow.lag")
    assert (lag.count, lag.sum, dict(lag.attributes)) == (2, 2.5, {"cano.flow": "sync"})


def test_everything_else_is_counted_and_an_end_by_its_outcome(
    figures: Figures, clock: HandClock, held: Held
) -> None:
    fails = Fails()
    scheduler = Scheduler(clock=clock, observers=[FlowMetrics(figures.provider)])
    scheduler.manual("fails", one(fails), "GO", backoff=Backoff(0, trip_after=2))
    scheduler.every("held", one(held), "GO", 10)
    with start_by_hand(scheduler) as time:
        for _ in range(2):
            scheduler.trigger("fails").exception(20)
        scheduler.reset("fails")
        fails.is_broken = False
        scheduler.trigger("fails").result(20)
        time.advance(30, settle=False)  # begins once, and is skipped twice
        held.wait()
        scheduler.stop(0)
    events = {
        (point.attributes["cano.flow"], point.attributes["cano.event"]): point.value
        for point in figures.points("cano.flow.events")
    }
    assert events == {
        ("fails", "failed"): 2,
        ("fails", "backed_off"): 1,
        ("fails", "tripped"): 1,
        ("fails", "succeeded"): 1,
        ("held", "skipped"): 2,
        ("held", "cancelled"): 1,
    }


def test_without_opentelemetry_the_rest_of_the_wing_works_and_the_error_names_the_extra() -> None:
    script = """
import sys
sys.modules["opentelemetry"] = None  # as where it is not installed
from cano_sync.scheduler import *
from cano_sync.testing import start_by_hand
try:
    import cano_sync.scheduler.telemetry
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=40
    )
    assert done.stdout == "FlowMetrics needs opentelemetry: pip install 'cano_sync[otel]'\n"
