"""The figures of runs, as the real SDK's in-memory reader and a scrape over HTTP get them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from typing import Any
from urllib.request import urlopen

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricReader
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from cano_sync import (
    CancellationToken,
    CanoError,
    JoinConfig,
    JoinError,
    JoinStrategy,
    TaskConfig,
    TaskExecutionError,
    Workflow,
    WorkflowCancelledError,
    WorkflowTimeoutError,
    abandoned_tasks,
)
from cano_sync._engine.pool import Pool
from cano_sync.observe import OpenTelemetryMetrics
from tests.conftest import Eventually

Labels = frozenset[tuple[str, object]]


class Order(Enum):
    LOAD = auto()
    ASK = auto()
    DONE = auto()


class Figures:
    """An observer, and what the SDK has collected from it."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)
        self.observer = OpenTelemetryMetrics(meter_provider=self.provider)

    def points(self, name: str) -> list[Any]:
        """The points of this instrument."""
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def values(self, name: str) -> dict[Labels, Any]:
        """A counter's or a gauge's value, by its labels; of a histogram the count."""
        return {
            frozenset((point.attributes or {}).items()): getattr(point, "value", None)
            if hasattr(point, "value")
            else point.count
            for point in self.points(name)
        }

    def run(self, work: Callable[..., Any], config: TaskConfig | None = None) -> Workflow[Order]:
        """A workflow of one state."""
        workflow = Workflow[Order]().register(Order.LOAD, work, config)
        return workflow.add_exit_state(Order.DONE).with_observer(self.observer)

    def split(self, *tasks: Any, strategy: JoinStrategy, **options: Any) -> Workflow[Order]:
        """A workflow of one split."""
        join = JoinConfig(strategy, Order.DONE, **options)
        workflow = Workflow[Order]().register_split(Order.ASK, tasks, join)
        return workflow.add_exit_state(Order.DONE).with_observer(self.observer)


def at(state: str, outcome: str | None = None) -> Labels:
    labels: dict[str, object] = {"cano.workflow": "Order", "cano.state": state}
    if outcome is not None:
        labels["cano.outcome"] = outcome
    return frozenset(labels.items())


@pytest.fixture
def figures() -> Iterator[Figures]:
    figures = Figures()
    yield figures
    figures.provider.shutdown()


def done(store: object) -> Order:
    return Order.DONE


def failing(store: object) -> Order:
    raise ValueError("no such order")


def listening(store: object, cancel: CancellationToken) -> Order:
    cancel.sleep(20)
    return Order.DONE


# Runs and states.


def test_runs_are_counted_by_how_and_where_they_ended(figures: Figures) -> None:
    figures.run(done).orchestrate(Order.LOAD)
    figures.run(done).orchestrate(Order.LOAD)
    with pytest.raises(TaskExecutionError):
        figures.run(failing).orchestrate(Order.LOAD)
    with pytest.raises(WorkflowTimeoutError):
        figures.run(listening).with_timeout(0.05).orchestrate(Order.LOAD)
    token = CancellationToken()
    token.cancel("enough")
    with pytest.raises(WorkflowCancelledError):
        figures.run(done).orchestrate(Order.LOAD, cancel=token)
    assert figures.values("cano.runs") == {
        at("DONE", "succeeded"): 2,
        at("LOAD", "failed"): 1,
        at("LOAD", "timed_out"): 1,
        at("LOAD", "cancelled"): 1,
    }


def test_runs_and_states_are_measured_in_seconds(figures: Figures) -> None:
    with pytest.raises(WorkflowTimeoutError):
        figures.run(listening).with_timeout(0.2).orchestrate(Order.LOAD)
    (run,), (state,) = figures.points("cano.run.duration"), figures.points("cano.state.duration")
    assert dict(run.attributes) == {"cano.workflow": "Order", "cano.outcome": "timed_out"}
    assert frozenset(state.attributes.items()) == at("LOAD", "timed_out")
    for point in (run, state):
        assert point.count == 1
        assert 0.1 < point.sum < 20
        assert point.explicit_bounds[0] == 0.001
        assert point.explicit_bounds[-1] == 1800


def test_states_are_counted_by_how_they_were_left(figures: Figures) -> None:
    workflow = (
        Workflow[Order]()
        .register(Order.LOAD, failing, error_state=Order.ASK)
        .register(Order.ASK, done)
        .add_exit_state(Order.DONE)
        .with_observer(figures.observer)
    )
    workflow.orchestrate(Order.LOAD)
    assert figures.values("cano.state.duration") == {
        at("LOAD", "failed"): 1,
        at("ASK", "succeeded"): 1,
    }


def test_retries_are_counted_and_the_last_failure_is_none(figures: Figures) -> None:
    with pytest.raises(CanoError):
        figures.run(failing, TaskConfig().with_fixed_retry(3, delay=0)).orchestrate(Order.LOAD)
    assert figures.values("cano.retries") == {at("LOAD"): 3}


def test_a_name_is_the_label_of_all_its_workflows(figures: Figures) -> None:
    named = OpenTelemetryMetrics(name="nightly", meter_provider=figures.provider)
    workflow = Workflow[str]().register("START", lambda: "END").add_exit_state("END")
    workflow.with_observer(named).orchestrate("START")
    (run,) = figures.points("cano.runs")
    assert dict(run.attributes) == {
        "cano.workflow": "nightly",
        "cano.state": "END",
        "cano.outcome": "succeeded",
    }


# Branches.


def test_branches_are_counted_once_each_however_a_split_ends(figures: Figures) -> None:
    swift = [done] * 4
    figures.split(done, failing, strategy=JoinStrategy.PARTIAL_TIMEOUT, timeout=20).orchestrate(
        Order.ASK
    )
    assert figures.values("cano.branches") == {at("ASK", "succeeded"): 1, at("ASK", "failed"): 1}
    figures.split(*swift, strategy=JoinStrategy.ANY, bulkhead=1).orchestrate(Order.ASK)
    assert figures.values("cano.branches") == {
        at("ASK", "succeeded"): 2,
        at("ASK", "failed"): 1,
        at("ASK", "not_started"): 3,
    }


def test_branches_of_a_join_that_fails_are_counted(figures: Figures) -> None:
    begun = threading.Event()

    def listener(store: object, cancel: CancellationToken) -> None:
        begun.set()
        cancel.sleep(20)

    def bad(store: object) -> None:
        begun.wait(20)
        raise ValueError

    with pytest.raises(JoinError):
        figures.split(listener, bad, strategy=JoinStrategy.ALL, fail_fast=True).orchestrate(
            Order.ASK
        )
    assert figures.values("cano.branches") == {at("ASK", "cancelled"): 1, at("ASK", "failed"): 1}


# The process.


def test_the_gauges_show_threads_and_abandoned_tasks(
    figures: Figures, gate: threading.Event, eventually: Eventually
) -> None:
    def pool() -> dict[object, int]:
        values = figures.values("cano.pool.threads")
        return {dict(labels)["cano.pool.state"]: value for labels, value in values.items()}

    ready = threading.Barrier(4)

    def branch(store: object) -> None:
        ready.wait(20)
        gate.wait(20)

    token = CancellationToken()
    eventually(lambda: pool()["busy"] == 0)  # what other tests have left is home
    future = figures.split(branch, branch, branch, strategy=JoinStrategy.ALL).submit(
        Order.ASK, cancel=token
    )
    ready.wait(20)
    assert pool()["busy"] >= 4  # three branches, and the threads of the run
    assert figures.values("cano.tasks.abandoned") == {frozenset(): 0}
    token.cancel()
    with pytest.raises(WorkflowCancelledError):
        future.result(20)
    # The thread of the run hears of it itself, leaves the branches, and comes back.
    eventually(lambda: figures.values("cano.tasks.abandoned") == {frozenset(): 3})
    gate.set()
    eventually(lambda: abandoned_tasks() == 0)
    assert figures.values("cano.tasks.abandoned") == {frozenset(): 0}
    eventually(lambda: pool()["busy"] == 0)
    assert pool()["idle"] >= 4
    assert figures.values("cano.pool.jobs_waiting") == {frozenset(): 0}


def test_jobs_that_wait_at_a_pools_ceiling_are_counted(
    figures: Figures, gate: threading.Event
) -> None:
    with Pool(1, "tests-narrow") as pool:
        jobs = [pool.submit(gate.wait, 20) for _ in range(3)]
        assert figures.values("cano.pool.jobs_waiting") == {frozenset(): 2}
        gate.set()
        assert all(job.result(20) for job in jobs)
        assert figures.values("cano.pool.jobs_waiting") == {frozenset(): 0}


def test_two_observers_of_one_provider_measure_the_process_once(figures: Figures) -> None:
    OpenTelemetryMetrics(meter_provider=figures.provider)
    assert len(figures.points("cano.tasks.abandoned")) == 1
    assert len(figures.points("cano.pool.threads")) == 2


# All together.


def test_labels_have_no_ids_and_no_texts_and_do_not_grow(figures: Figures) -> None:
    for _ in range(5):
        with pytest.raises(CanoError):
            figures.run(failing, TaskConfig().with_fixed_retry(1, delay=0)).orchestrate(Order.LOAD)
    data = figures.reader.get_metrics_data()
    assert data is not None
    text = data.to_json()
    assert "no such" not in text
    assert "run_id" not in text
    for name in ("cano.runs", "cano.run.duration", "cano.state.duration", "cano.retries"):
        assert len(figures.points(name)) == 1


def test_one_observer_counts_parallel_runs_exactly(figures: Figures) -> None:
    workflow = figures.split(done, done, failing, strategy=JoinStrategy.quorum(2))
    with ThreadPoolExecutor(16) as callers:
        list(callers.map(lambda _: workflow.orchestrate(Order.ASK), range(200)))
    assert figures.values("cano.runs") == {at("DONE", "succeeded"): 200}
    assert sum(figures.values("cano.branches").values()) == 600
    assert figures.values("cano.branches")[at("ASK", "succeeded")] == 400


@pytest.fixture
def prometheus() -> Iterator[tuple[MetricReader, str]]:
    """A reader, and the address at which Prometheus would scrape it."""
    registry = CollectorRegistry()
    reader = PrometheusMetricReader(registry=registry)
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    yield reader, f"http://127.0.0.1:{server.server_port}/metrics"
    server.shutdown()
    server.server_close()
    thread.join()


def test_prometheus_scrapes_all_of_it(prometheus: tuple[MetricReader, str]) -> None:
    reader, address = prometheus
    provider = MeterProvider([reader], shutdown_on_exit=False)
    figures = Figures()
    figures.observer = OpenTelemetryMetrics(meter_provider=provider)
    figures.split(done, failing, strategy=JoinStrategy.ANY).orchestrate(Order.ASK)
    with urlopen(address, timeout=20) as answer:
        text = answer.read().decode()
    provider.shutdown()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {
        "cano_runs",
        "cano_run_duration_seconds",
        "cano_state_duration_seconds",
        "cano_branches",
        "cano_pool_threads",
        "cano_pool_jobs_waiting",
        "cano_tasks_abandoned",
    } <= set(families)
    (runs,) = [s for s in families["cano_runs"].samples if s.name == "cano_runs_total"]
    assert runs.value == 1
    assert runs.labels["cano_outcome"] == "succeeded"
    assert {s.labels["cano_pool_state"] for s in families["cano_pool_threads"].samples} == {
        "busy",
        "idle",
    }
    bounds = {s.labels.get("le") for s in families["cano_run_duration_seconds"].samples}
    assert {"0.001", "1800.0", "+Inf"} <= bounds
