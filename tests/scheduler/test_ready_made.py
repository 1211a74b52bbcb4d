"""The ready-made observers of runs, on workflows that a scheduler runs."""

from __future__ import annotations

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cano_sync.observe import OpenTelemetryTraces, Recorder
from cano_sync.scheduler import Scheduler
from cano_sync.testing import HandClock, start_by_hand
from tests.scheduler.conftest import Fails, one


def run_for_a_while(scheduler: Scheduler) -> None:
    """A hundred seconds."""
    with start_by_hand(scheduler) as time:
        for _ in range(10):
            time.advance(10)


def test_each_run_of_a_flow_has_a_trace_of_its_own(clock: HandClock) -> None:
    exporter = InMemorySpanExporter()
    traces = TracerProvider(shutdown_on_exit=False)
    traces.add_span_processor(SimpleSpanProcessor(exporter))
    observer = OpenTelemetryTraces(name="sync", tracer_provider=traces)
    scheduler = Scheduler(clock=clock)
    scheduler.every("sync", one(Fails()).with_observer(observer), "GO", 10)
    run_for_a_while(scheduler)
    runs = [span for span in exporter.get_finished_spans() if span.name == "run sync"]
    assert len(runs) == 10
    assert all(span.parent is None for span in runs)


def test_a_recorder_keeps_the_latest_run_of_a_flow(clock: HandClock) -> None:
    recorder = Recorder()
    scheduler = Scheduler(clock=clock)
    scheduler.every("sync", one(lambda: "DONE").with_observer(recorder), "GO", 10)
    run_for_a_while(scheduler)
    assert [visit.state for visit in recorder.record.visits] == ["GO", "DONE"]
