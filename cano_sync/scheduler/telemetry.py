"""A scheduler's flows as OpenTelemetry's metrics; the one room here that needs the extra `otel`."""

from __future__ import annotations

__all__ = ("FlowMetrics",)

from typing import Any

from .observer import FlowObserver

try:
    from opentelemetry.metrics import MeterProvider, get_meter

    from ..observe.telemetry.metrics import durations
except ModuleNotFoundError as error:
    raise ImportError(
        "FlowMetrics needs opentelemetry: pip install 'cano_sync[otel]'", name="opentelemetry"
    ) from error


class FlowMetrics(FlowObserver):
    """Counts and measures flows by OpenTelemetry. Needs the extra `otel`. Safe from any thread.

    A histogram `cano.flow.lag`, in seconds: how long after it was due a flow began a run. A counter
    `cano.flow.events`, by `cano.event`: succeeded, failed, cancelled (a run), skipped, backed_off,
    tripped. Both have the flow's id as `cano.flow`. The runs themselves are measured by the
    observers of their workflows.

    Args:
        meter_provider: where the figures go; None for the process's.

    >>> from cano_sync import Workflow
    >>> from cano_sync.scheduler import Scheduler
    >>> workflow = Workflow().register("SWEEP", lambda: "DONE").add_exit_state("DONE")
    >>> scheduler = Scheduler(observers=[FlowMetrics()])
    >>> scheduler.every_minutes("sweep", workflow, "SWEEP", 5)
    """

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        meter = get_meter("cano_sync", meter_provider=meter_provider)
        self._lag = durations(
            meter, "cano.flow.lag", "How long after they were due flows began a run"
        )
        self._events = meter.create_counter(
            "cano.flow.events",
            unit="{event}",
            description="Flows' runs by outcome; flows that were skipped, backed off or tripped",
        )

    def on_event(self, *, event: str, flow: str, **facts: Any) -> None:
        """Measure how late a run begins; count everything else, an end by its outcome."""
        if event == "flow_started":
            self._lag.record(facts["lag"], {"cano.flow": flow})
        else:
            label = facts.get("outcome", event.removeprefix("flow_"))
            self._events.add(1, {"cano.flow": flow, "cano.event": label})
