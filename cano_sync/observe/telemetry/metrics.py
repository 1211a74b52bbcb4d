"""The figures of runs, states, branches, flows and threads, as OpenTelemetry's instruments."""

from __future__ import annotations

__all__ = ("Metrics",)

from collections.abc import Iterator
from typing import Any

from opentelemetry.metrics import (
    CallbackOptions,
    Meter,
    MeterProvider,
    Observation,
    get_meter,
)

# How many threads of the process's pools are at work: nobody but the engine knows.
from ... import abandoned_tasks
from ..._engine import occupancy
from ..labels import state_label

BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0),
)
"""Upper bounds, in seconds: from a state of a few milliseconds to a batch of half an hour."""


class Metrics:
    """Counts and measures as an observer's hooks tell it. Safe from any thread.

    Labels are the names of workflows, states and flows, and words from short lists.

    Args:
        provider: makes the meter; None for the process's.
    """

    def __init__(self, provider: MeterProvider | None) -> None:
        meter = get_meter("cano_sync", meter_provider=provider)

        def durations(name: str, what: str) -> Any:
            return meter.create_histogram(
                name, unit="s", description=what, explicit_bucket_boundaries_advisory=BUCKETS
            )

        self._runs = meter.create_counter(
            "cano.runs", unit="{run}", description="Runs that ended, by outcome and last state"
        )
        self._run_duration = durations("cano.run.duration", "How long runs took")
        self._state_duration = durations("cano.state.duration", "How long visits of a state took")
        self._retries = meter.create_counter(
            "cano.retries", unit="{retry}", description="Attempts that failed and were made again"
        )
        self._branches = meter.create_counter(
            "cano.branches", unit="{branch}", description="Branches of splits, by outcome"
        )
        self._lag = durations("cano.flow.lag", "How long after they were due flows began a run")
        self._flow_events = meter.create_counter(
            "cano.flow.events",
            unit="{event}",
            description="Flows' runs by outcome; flows that were skipped, backed off or tripped",
        )
        _make_gauges(meter)

    def run_finished(self, workflow: str, state: Any, duration: float, outcome: str) -> None:
        """A run is over."""
        facts = {"cano.workflow": workflow, "cano.outcome": outcome}
        self._run_duration.record(duration, facts)
        self._runs.add(1, {**facts, "cano.state": state_label(state)})

    def state_left(self, workflow: str, state: Any, duration: float, outcome: str) -> None:
        """A visit of a state is over."""
        self._state_duration.record(duration, {**_at(workflow, state), "cano.outcome": outcome})

    def retried(self, workflow: str, state: Any) -> None:
        """An attempt has failed, and the next will be made."""
        self._retries.add(1, _at(workflow, state))

    def branches(self, workflow: str, state: Any, outcome: str, count: int = 1) -> None:
        """So many branches have ended like this."""
        if count:
            self._branches.add(count, {**_at(workflow, state), "cano.outcome": outcome})

    def flow_started(self, flow: str, lag: float) -> None:
        """A flow begins a run, so late."""
        self._lag.record(lag, {"cano.flow": flow})

    def flow_event(self, flow: str, event: str) -> None:
        """A flow's run has ended like this, or it was skipped, has backed off, or has tripped."""
        self._flow_events.add(1, {"cano.flow": flow, "cano.event": event})


def _make_gauges(meter: Meter) -> None:
    """What is read when somebody collects; the meter keeps them."""
    meter.create_observable_gauge(
        "cano.pool.threads",
        callbacks=[_threads],
        unit="{thread}",
        description="Threads of the pools, busy or idle, without those of abandoned tasks",
    )
    meter.create_observable_gauge(
        "cano.pool.jobs_waiting",
        callbacks=[_jobs_waiting],
        unit="{job}",
        description="Jobs that wait because a pool has as many threads as it may",
    )
    meter.create_observable_gauge(
        "cano.tasks.abandoned",
        callbacks=[_abandoned],
        unit="{task}",
        description="Abandoned tasks that still keep a thread",
    )


def _at(workflow: str, state: Any) -> dict[str, str]:
    return {"cano.workflow": workflow, "cano.state": state_label(state)}


def _threads(_: CallbackOptions) -> Iterator[Observation]:
    busy, idle, _waiting = occupancy()
    yield Observation(busy, {"cano.pool.state": "busy"})
    yield Observation(idle, {"cano.pool.state": "idle"})


def _jobs_waiting(_: CallbackOptions) -> Iterator[Observation]:
    yield Observation(occupancy()[2])


def _abandoned(_: CallbackOptions) -> Iterator[Observation]:
    yield Observation(abandoned_tasks())
