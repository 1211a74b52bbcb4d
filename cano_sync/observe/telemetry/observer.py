"""Runs as OpenTelemetry's traces and metrics."""

from __future__ import annotations

__all__ = ("OpenTelemetryObserver",)

from collections.abc import Sequence
from typing import Any

from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from ..._model.hooks import Observer
from ..._model.join import JoinConfig
from ..._model.outcome import SplitResult
from ..._model.strategy import Verdict
from ...errors import ConfigurationError
from ..labels import ending, flow_ending, workflow_label
from .metrics import Metrics
from .tracing import Tracing


class OpenTelemetryObserver(Observer):
    """Traces and measures runs by OpenTelemetry. Needs the extra `otel`.

    Make one and attach it to all workflows: it serves any number of runs and threads. What becomes
    of spans and figures is for the SDK to say that the program has set up; without one this does
    nothing, at little cost.

    **Spans.** `run <workflow>` is below the span that was current where the run began, and has
    `state <state>` for each state; below these are `branch <state>` for each branch of a split
    that began, and `attempt <state>` for each attempt at a task with retries, with a link to the
    attempt before. Spans that a task itself opens are below these, on whatever thread it runs.

    Each has `cano.outcome`: of a run or state finished, failed, cancelled or timed_out, of a
    branch or attempt succeeded, failed or cancelled. A failure is the span's status, and an
    exception event once: where it happened. Other attributes: `cano.run_id`, `cano.workflow`,
    `cano.state`, `cano.next_state`, `cano.exit_state`, `cano.task`, `cano.branch.index`,
    `cano.attempt`, `cano.retry.delay`, `cano.cancel_reason`; of a split `cano.split.strategy`,
    `.branches`, `.verdict`, `.timed_out`, `.succeeded`, `.failed`, `.cancelled`. A thread that was
    left behind is `cano.abandoned` on an attempt that was given up, else an event
    `cano.task_abandoned` of the state, and `cano.task_returned` when it is back.

    **Metrics.** Histograms in seconds: `cano.run.duration`, `cano.state.duration`,
    `cano.flow.lag`. Counters: `cano.runs`, `cano.retries`, `cano.branches`, `cano.flow.events`
    (`cano.event`: finished, failed, cancelled, skipped, backed_off, tripped). Gauges of the
    process: `cano.pool.threads` (`cano.pool.state`: busy, idle), `cano.pool.jobs_waiting`,
    `cano.tasks.abandoned`.

    Args:
        name: what the workflow is called in spans and labels; None to call each after the enum
            of its states.
        tracer_provider: where the spans go; None for the process's.
        meter_provider: where the figures go; None for the process's.

    Raises:
        ConfigurationError: the name is no text.

    >>> from cano_sync import Workflow
    >>> workflow = Workflow().register("START", lambda: "END").add_exit_state("END")
    >>> workflow.with_observer(OpenTelemetryObserver(name="nightly")).orchestrate("START")
    'END'
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        if name is not None and not (isinstance(name, str) and name):
            raise ConfigurationError(
                f"name is what the workflow is called in spans and labels, not {name!r}; leave it "
                "out (None) to call it after the enum of its states"
            )
        self._name = name
        self._tracing = Tracing(tracer_provider)
        self._metrics = Metrics(meter_provider)

    def _workflow(self, state: Any) -> str:
        return workflow_label(state) if self._name is None else self._name

    # A run.

    def run_started(self, *, run_id: str, state: Any, **_: object) -> None:
        """Open its span."""
        self._tracing.run_started(run_id, self._workflow(state), state)

    def run_finished(
        self, *, run_id: str, state: Any, duration: float, error: BaseException | None, **_: object
    ) -> None:
        """End its span; measure."""
        self._tracing.run_finished(run_id, state, error)
        outcome = ending(run_id, error)
        self._metrics.run_finished(self._workflow(state), state, duration, outcome)

    # A state.

    def state_entered(self, *, run_id: str, state: Any, is_exit: bool, **_: object) -> None:
        """Open its span, unless the run ends there."""
        if not is_exit:
            self._tracing.state_entered(run_id, state)

    def state_left(
        self,
        *,
        run_id: str,
        state: Any,
        next_state: Any,
        duration: float,
        error: BaseException | None,
        **_: object,
    ) -> None:
        """End its span; measure."""
        self._tracing.state_left(run_id, state, next_state, error)
        outcome = ending(run_id, error)
        self._metrics.state_left(self._workflow(state), state, duration, outcome)

    def split_started(
        self, *, run_id: str, state: Any, tasks: Sequence[str], join: JoinConfig[Any], **_: object
    ) -> None:
        """Note it on the state's span."""
        self._tracing.split_started(run_id, state, tasks, join)

    def join_decided(
        self,
        *,
        run_id: str,
        state: Any,
        verdict: Verdict,
        result: SplitResult,
        timed_out: bool,
        **_: object,
    ) -> None:
        """Note it on the state's span; count the branches that never began."""
        self._tracing.join_decided(run_id, state, verdict, result, timed_out)
        unbegun = sum(outcome.started_at is None for outcome in result.cancelled)
        self._metrics.branches(self._workflow(state), state, "cancelled", unbegun)

    # A task.

    def task_started(
        self, *, run_id: str, state: Any, task: str, index: int | None, **_: object
    ) -> None:
        """Open its span."""
        self._tracing.task_started(run_id, state, task, index)

    def task_succeeded(self, *, run_id: str, state: Any, index: int | None, **_: object) -> None:
        """End its span; count."""
        self._task_ended(run_id, state, index, "succeeded")

    def task_failed(
        self, *, run_id: str, state: Any, index: int | None, error: BaseException, **_: object
    ) -> None:
        """End its span; count."""
        self._task_ended(run_id, state, index, "failed", error=error)

    def task_cancelled(
        self, *, run_id: str, state: Any, index: int | None, reason: str | None, **_: object
    ) -> None:
        """End its span; count."""
        self._task_ended(run_id, state, index, "cancelled", reason=reason)

    def _task_ended(
        self,
        run_id: str,
        state: Any,
        index: int | None,
        outcome: str,
        *,
        error: BaseException | None = None,
        reason: str | None = None,
    ) -> None:
        self._tracing.task_ended(run_id, state, index, outcome, error, reason)
        if index is not None:
            self._metrics.branches(self._workflow(state), state, outcome)

    def task_abandoned(
        self, *, run_id: str, state: Any, task: str, index: int | None, attempt: int, **_: object
    ) -> None:
        """Note it."""
        self._tracing.task_abandoned(run_id, state, task, index, attempt)

    def task_returned(
        self,
        *,
        run_id: str,
        state: Any,
        task: str,
        index: int | None,
        attempt: int,
        late: float,
        **_: object,
    ) -> None:
        """Note it, if the run is not over."""
        self._tracing.task_returned(run_id, state, task, index, attempt, late)

    # An attempt.

    def attempt_started(
        self, *, run_id: str, state: Any, task: str, index: int | None, attempt: int, **_: object
    ) -> None:
        """Open its span."""
        self._tracing.attempt_started(run_id, state, task, index, attempt)

    def attempt_failed(
        self,
        *,
        run_id: str,
        state: Any,
        index: int | None,
        error: BaseException | None,
        delay: float | None,
        **_: object,
    ) -> None:
        """End its span; count it if the next one comes."""
        self._tracing.attempt_failed(run_id, state, index, error, delay)
        if delay is not None:
            self._metrics.retried(self._workflow(state), state)

    # A scheduler's flow.

    def flow_started(self, *, flow: str, lag: float, **_: object) -> None:
        """Measure how late."""
        self._metrics.flow_started(flow, lag)

    def flow_finished(self, *, flow: str, error: BaseException | None, **_: object) -> None:
        """Count, by outcome."""
        self._metrics.flow_event(flow, flow_ending(error))

    def flow_skipped(self, *, flow: str, **_: object) -> None:
        """Count."""
        self._metrics.flow_event(flow, "skipped")

    def flow_backed_off(self, *, flow: str, **_: object) -> None:
        """Count."""
        self._metrics.flow_event(flow, "backed_off")

    def flow_tripped(self, *, flow: str, **_: object) -> None:
        """Count."""
        self._metrics.flow_event(flow, "tripped")
