"""The figures of runs, states, branches and threads, as OpenTelemetry's instruments."""

from __future__ import annotations

__all__ = ("OpenTelemetryMetrics", "durations")

from collections.abc import Iterator
from typing import Any

from opentelemetry.metrics import (
    CallbackOptions,
    Histogram,
    Meter,
    MeterProvider,
    Observation,
    get_meter,
)

from ... import abandoned_tasks
from ..._base.text import state_name
from ..._engine import occupancy
from ..._model.hooks import Observer
from ..._model.outcome import SplitResult
from ..status import Status, status_of
from .names import check_name, workflow_name

BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0),
)
"""Upper bounds, in seconds: from a hand-over of a millisecond to a batch of half an hour."""


class OpenTelemetryMetrics(Observer):
    """Counts and measures runs by OpenTelemetry. Needs the extra `otel`.

    Make one and attach it to all workflows: it serves any number of runs and threads. Where the
    figures go is for the SDK to say that the program has set up; without one this does nothing,
    at little cost.

    Histograms in seconds: `cano.run.duration`, `cano.state.duration`. Counters: `cano.runs`,
    `cano.retries`, `cano.branches`. Gauges of the process: `cano.pool.threads` (`cano.pool.state`:
    busy, idle), `cano.pool.jobs_waiting`, `cano.tasks.abandoned`.

    Labels are `cano.workflow`, `cano.state` and `cano.outcome`: of runs and states succeeded,
    failed, cancelled or timed_out, of branches succeeded, failed, cancelled or not_started. None
    grows with the number of runs.

    Args:
        name: what the workflow is called in labels; None to call each after the enum of its
            states.
        meter_provider: where the figures go; None for the process's.

    Raises:
        ConfigurationError: the name is no text.

    >>> from cano_sync import Workflow
    >>> workflow = Workflow().register("START", lambda: "END").add_exit_state("END")
    >>> workflow.with_observer(OpenTelemetryMetrics(name="nightly")).orchestrate("START")
    'END'
    """

    def __init__(
        self, *, name: str | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        check_name(name)
        self._name = name
        meter = get_meter("cano_sync", meter_provider=meter_provider)
        self._runs = meter.create_counter(
            "cano.runs", unit="{run}", description="Runs that ended, by outcome and last state"
        )
        self._run_duration = durations(meter, "cano.run.duration", "How long runs took")
        self._state_duration = durations(
            meter, "cano.state.duration", "How long visits of a state took"
        )
        self._retries = meter.create_counter(
            "cano.retries", unit="{retry}", description="Attempts that failed and were made again"
        )
        self._branches = meter.create_counter(
            "cano.branches", unit="{branch}", description="Branches of splits, by outcome"
        )
        _make_gauges(meter)

    def _labels(self, state: Any) -> dict[str, str]:
        return {"cano.workflow": workflow_name(self._name, state), "cano.state": state_name(state)}

    def run_finished(
        self, *, run_id: str, state: Any, duration: float, error: BaseException | None, **_: object
    ) -> None:
        """Measure and count it, by outcome."""
        labels = {**self._labels(state), "cano.outcome": status_of(run_id, error).value}
        self._runs.add(1, labels)
        del labels["cano.state"]
        self._run_duration.record(duration, labels)

    def state_left(
        self, *, run_id: str, state: Any, duration: float, error: BaseException | None, **_: object
    ) -> None:
        """Measure the visit."""
        labels = {**self._labels(state), "cano.outcome": status_of(run_id, error).value}
        self._state_duration.record(duration, labels)

    def attempt_failed(self, *, state: Any, delay: float | None, **_: object) -> None:
        """Count it, if the next one comes."""
        if delay is not None:
            self._retries.add(1, self._labels(state))

    def join_decided(self, *, state: Any, result: SplitResult, **_: object) -> None:
        """Count the branches that never began."""
        waiting = sum(outcome.started_at is None for outcome in result.cancelled)
        if waiting:
            labels = {**self._labels(state), "cano.outcome": Status.NOT_STARTED.value}
            self._branches.add(waiting, labels)

    def task_succeeded(self, *, state: Any, index: int | None, **_: object) -> None:
        """Count a branch."""
        self._count_branch(state, index, Status.SUCCEEDED)

    def task_failed(self, *, state: Any, index: int | None, **_: object) -> None:
        """Count a branch."""
        self._count_branch(state, index, Status.FAILED)

    def task_cancelled(self, *, state: Any, index: int | None, **_: object) -> None:
        """Count a branch."""
        self._count_branch(state, index, Status.CANCELLED)

    def _count_branch(self, state: Any, index: int | None, outcome: Status) -> None:
        if index is not None:
            self._branches.add(1, {**self._labels(state), "cano.outcome": outcome.value})


def durations(meter: Meter, name: str, what: str) -> Histogram:
    """A histogram of seconds."""
    return meter.create_histogram(
        name, unit="s", description=what, explicit_bucket_boundaries_advisory=BUCKETS
    )


def _make_gauges(meter: Meter) -> None:
    """What is read when somebody collects; the meter keeps them."""
    for name, callback, unit, description in (
        ("pool.threads", _threads, "{thread}", "Threads of the pools, but for abandoned tasks"),
        ("pool.jobs_waiting", _jobs_waiting, "{job}", "Jobs that a full pool has no thread for"),
        ("tasks.abandoned", _abandoned, "{task}", "Abandoned tasks that still keep a thread"),
    ):
        meter.create_observable_gauge(f"cano.{name}", [callback], unit, description)


def _threads(_: CallbackOptions) -> Iterator[Observation]:
    busy, idle, _waiting = occupancy()
    yield Observation(busy, {"cano.pool.state": "busy"})
    yield Observation(idle, {"cano.pool.state": "idle"})


def _jobs_waiting(_: CallbackOptions) -> Iterator[Observation]:
    yield Observation(occupancy()[2])


def _abandoned(_: CallbackOptions) -> Iterator[Observation]:
    yield Observation(abandoned_tasks())
