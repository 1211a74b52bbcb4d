"""The ready-made observers hear a real scheduler: its log, its metrics, its traces."""

from __future__ import annotations

import logging

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cano_sync.observe import LoggingObserver, OpenTelemetryObserver, Recorder
from cano_sync.scheduler import Backoff, HandClock, Scheduler
from tests.scheduler.conftest import Fails, Held, one


def run_for_a_while(scheduler: Scheduler) -> None:
    """A flow that fails three times, at 10, 20 and (after a delay of 20) 40 seconds, and trips."""
    with scheduler.start_by_hand() as time:
        for _ in range(10):
            time.advance(10)


def test_the_log_tells_of_starts_delays_and_the_end(
    clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = Scheduler(clock=clock, observers=[LoggingObserver()])
    backoff = Backoff(5, multiplier=4, jitter=0, trip_after=3)
    scheduler.every("sync", one(Fails()), "GO", 10, backoff=backoff)
    with caplog.at_level(logging.INFO, "cano_sync"):
        run_for_a_while(scheduler)
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    a_run = ["INFO", "ERROR"]
    assert [level for level, _ in told] == [*a_run, "WARNING", *a_run, "WARNING", *a_run, "ERROR"]
    assert all(text.startswith("flow sync: ") for _, text in told)
    assert "failed 3 times" in told[-1][1]


def test_a_flow_that_fails_is_in_the_log_with_its_traceback_once(
    clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    log = LoggingObserver()
    scheduler = Scheduler(clock=clock, observers=[log])
    scheduler.manual("watched", one(Fails()).with_observer(log), "GO")
    scheduler.manual("sync", one(Fails()), "GO")
    with caplog.at_level(logging.ERROR, "cano_sync"), scheduler.start_by_hand():
        for id in ("watched", "sync"):
            scheduler.trigger(id).exception(20)
    told = [(record.getMessage().split(":")[0][:12], record.exc_info) for record in caplog.records]
    assert [(who[:4], bool(info)) for who, info in told] == [
        ("run ", True), ("flow", False), ("flow", True),
    ]  # fmt: skip


def test_what_the_scheduler_has_cancelled_is_no_error(
    held: Held, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = Scheduler(observers=[LoggingObserver()])
    scheduler.manual("sync", one(held), "GO")
    with (
        caplog.at_level(logging.INFO, "cano_sync"),
        scheduler.start_in_background(stop_timeout=0),
    ):
        scheduler.trigger("sync")
        held.wait()
    last = caplog.records[-1]
    assert (last.levelname, last.exc_info) == ("INFO", None)
    assert "flow sync: cancelled after" in last.getMessage()
    assert "the scheduler was stopped" in last.getMessage()


def test_runs_of_a_flow_have_their_spans_and_the_flow_its_figures(clock: HandClock) -> None:
    reader, exporter = InMemoryMetricReader(), InMemorySpanExporter()
    traces, meters = TracerProvider(shutdown_on_exit=False), MeterProvider([reader])
    traces.add_span_processor(SimpleSpanProcessor(exporter))
    observer = OpenTelemetryObserver(name="sync", tracer_provider=traces, meter_provider=meters)
    scheduler = Scheduler(clock=clock)
    scheduler.every("sync", one(Fails()).with_observer(observer), "GO", 10)
    run_for_a_while(scheduler)
    data = reader.get_metrics_data()
    meters.shutdown()
    assert data is not None
    (lag,) = (
        point
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "cano.flow.lag"
        for point in metric.data.data_points
    )
    assert (lag.count, lag.sum) == (10, 0)
    runs = [span for span in exporter.get_finished_spans() if span.name == "run sync"]
    assert len(runs) == 10
    assert all(span.parent is None for span in runs)


def test_a_recorder_keeps_the_latest_run_of_a_flow(clock: HandClock) -> None:
    recorder = Recorder()
    scheduler = Scheduler(clock=clock)
    scheduler.every("sync", one(lambda: "DONE").with_observer(recorder), "GO", 10)
    run_for_a_while(scheduler)
    assert [visit.state for visit in recorder.record.visits] == ["GO", "DONE"]
