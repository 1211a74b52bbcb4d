"""Runs as OpenTelemetry's traces: spans of runs, states, branches and attempts."""

from __future__ import annotations

__all__ = ("OpenTelemetryTraces",)

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any
from weakref import WeakValueDictionary

from opentelemetry.trace import Link, Span, TracerProvider, get_tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

from ..._base.text import error_text, state_name
from ..._model.hooks import Observer
from ..._model.join import JoinConfig
from ..._model.outcome import SplitResult
from ..._model.strategy import Verdict
from ..status import Status, status_of
from .names import check_name, workflow_name
from .spans import OpenSpan, record_failure

# What is open below a run, and below a task; below a state they are found by their index.
_STATE = "state"
_ATTEMPT = "attempt"


class OpenTelemetryTraces(Observer):
    """Traces runs by OpenTelemetry. Needs the extra `otel`.

    Make one and attach it to all workflows: it serves any number of runs and threads. What becomes
    of the spans is for the SDK to say that the program has set up; without one this does nothing,
    at little cost.

    `run <workflow>` is below the span that was current where the run began, and has
    `state <state>` for each state; below these are `branch <state>` for each branch of a split
    that began, and `attempt <state>` for each attempt at a task with retries, with a link to the
    attempt before. Spans that a task itself opens are below these, on whatever thread it runs.

    Each has `cano.outcome`: of a run or state succeeded, failed, cancelled or timed_out, of a
    branch or attempt succeeded, failed or cancelled. A failure is the span's status, and an
    exception event once: where it happened. Other attributes: `cano.run_id`, `cano.workflow`,
    `cano.state`, `cano.next_state`, `cano.exit_state`, `cano.task`, `cano.branch.index`,
    `cano.attempt`, `cano.retry.delay`, `cano.cancel_reason`; of a split `cano.split.strategy`,
    `.branches`, `.verdict`, `.timed_out`, `.succeeded`, `.failed`, `.cancelled`. An abandoned task
    is `cano.abandoned` on an attempt or branch whose span is open, and an event
    `cano.task_abandoned`; `cano.task_returned` follows when its thread has returned.

    What never hears of its end ends with the span that it is below.

    Args:
        name: what the workflow is called in spans; None to call each after the enum of its states.
        tracer_provider: where the spans go; None for the process's.

    Raises:
        ConfigurationError: the name is no text.

    >>> from cano_sync import Workflow
    >>> workflow = Workflow().register("START", lambda: "END").add_exit_state("END")
    >>> workflow.with_observer(OpenTelemetryTraces(name="nightly")).orchestrate("START")
    'END'
    """

    def __init__(
        self, *, name: str | None = None, tracer_provider: TracerProvider | None = None
    ) -> None:
        check_name(name)
        self._name = name
        self._tracer = get_tracer("cano_sync", tracer_provider=tracer_provider)
        # Each run's context keeps its own alive: a run that never ends leaves nothing.
        self._runs: WeakValueDictionary[str, OpenSpan] = WeakValueDictionary()

    def _start(
        self,
        kind: str,
        above: OpenSpan,
        state: Any,
        facts: Mapping[str, AttributeValue],
        links: Sequence[Link] = (),
    ) -> Span:
        label = state_name(state)
        return self._tracer.start_span(
            f"{kind} {label}",
            context=set_span_in_context(above.span),
            attributes={"cano.state": label, **facts},
            links=links,
        )

    def _visit(self, run_id: str, state: Any) -> OpenSpan | None:
        """The state that the run is in; None for an event that comes too late."""
        run = self._runs.get(run_id)
        visit = None if run is None else run.get(_STATE)
        return visit if visit is not None and visit.state is state else None

    def _task(self, run_id: str, state: Any, index: int | None) -> OpenSpan | None:
        visit = self._visit(run_id, state)
        return None if visit is None else visit.get(index)

    # A run.

    def run_started(self, *, run_id: str, state: Any, **_: object) -> None:
        """Open its span, below the one that is current here."""
        workflow = workflow_name(self._name, state)
        facts = {
            "cano.workflow": workflow,
            "cano.run_id": run_id,
            "cano.initial_state": state_name(state),
        }
        run = OpenSpan(self._tracer.start_span(f"run {workflow}", attributes=facts))
        self._runs[run_id] = run
        run.enter()

    def run_finished(
        self, *, run_id: str, state: Any, error: BaseException | None, **_: object
    ) -> None:
        """End its span, and whatever is open below."""
        run = self._runs.pop(run_id, None)
        if run is not None:
            name = "cano.exit_state" if error is None else "cano.state"
            run.span.set_attribute(name, state_name(state))
            _end(run, status_of(run_id, error), error)

    # A state.

    def state_entered(self, *, run_id: str, state: Any, is_exit: bool, **_: object) -> None:
        """Open its span, unless the run ends there."""
        run = self._runs.get(run_id)
        if run is not None and not is_exit:
            run.put(_STATE, OpenSpan(self._start("state", run, state, {}), state=state))

    def state_left(
        self, *, run_id: str, state: Any, next_state: Any, error: BaseException | None, **_: object
    ) -> None:
        """End its span."""
        run, visit = self._runs.get(run_id), self._visit(run_id, state)
        if run is None or visit is None or run.take(_STATE) is None:
            return
        if next_state is None:
            run.is_recorded = error is not None
        else:
            visit.span.set_attribute("cano.next_state", state_name(next_state))
        _end(visit, status_of(run_id, error), error)

    def split_started(
        self, *, run_id: str, state: Any, tasks: Sequence[str], join: JoinConfig[Any], **_: object
    ) -> None:
        """Note what it is, on the span of its state."""
        visit = self._visit(run_id, state)
        if visit is None:
            return
        visit.span.set_attribute("cano.split.strategy", repr(join.strategy))
        visit.span.set_attribute("cano.split.branches", len(tasks))
        if join.timeout is not None:
            visit.span.set_attribute("cano.split.timeout", join.timeout)
        if join.bulkhead is not None:
            visit.span.set_attribute("cano.split.bulkhead", join.bulkhead)

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
        """Note what came of it, on the span of its state."""
        visit = self._visit(run_id, state)
        if visit is None:
            return
        visit.span.set_attributes(
            {
                "cano.split.verdict": verdict.value,
                "cano.split.timed_out": timed_out,
                "cano.split.succeeded": len(result.successes),
                "cano.split.failed": len(result.errors),
                "cano.split.cancelled": len(result.cancelled),
            }
        )

    # A task.

    def task_started(
        self, *, run_id: str, state: Any, task: str, index: int | None, **_: object
    ) -> None:
        """Open a branch's span; that of a state is there. The task runs inside it."""
        visit = self._visit(run_id, state)
        if visit is None:
            return
        if index is None:
            visit.span.set_attribute("cano.task", task)
            opened = OpenSpan(visit.span, is_shared=True)
        else:
            facts: dict[str, AttributeValue] = {"cano.task": task, "cano.branch.index": index}
            opened = OpenSpan(self._start("branch", visit, state, facts))
        visit.put(index, opened)
        opened.enter()

    def task_succeeded(self, *, run_id: str, state: Any, index: int | None, **_: object) -> None:
        """End its span."""
        self._end_task(run_id, state, index, Status.SUCCEEDED)

    def task_failed(
        self, *, run_id: str, state: Any, index: int | None, error: BaseException, **_: object
    ) -> None:
        """End its span."""
        self._end_task(run_id, state, index, Status.FAILED, error)

    def task_cancelled(
        self, *, run_id: str, state: Any, index: int | None, reason: str | None, **_: object
    ) -> None:
        """End its span."""
        self._end_task(run_id, state, index, Status.CANCELLED, reason=reason)

    def _end_task(
        self,
        run_id: str,
        state: Any,
        index: int | None,
        outcome: Status,
        error: BaseException | None = None,
        reason: str | None = None,
    ) -> None:
        """End a branch's span, and that of an attempt that is still open: it ends like this."""
        visit = self._visit(run_id, state)
        task = None if visit is None else visit.take(index)
        if visit is None or task is None:
            return
        attempt = task.take(_ATTEMPT)
        if attempt is not None:
            _end(attempt, outcome, error, reason)
            task.is_recorded = error is not None
        if task.is_shared:  # its outcome is noted on the state's span when the state is left
            if error is not None:
                record_failure(task.span, error, with_event=not task.is_recorded)
                visit.is_recorded = True
            task.leave()
        else:
            _end(task, outcome, error, reason)

    # An attempt.

    def attempt_started(
        self, *, run_id: str, state: Any, task: str, index: int | None, attempt: int, **_: object
    ) -> None:
        """Open its span, with a link to the one before. The task runs inside it."""
        tried = self._task(run_id, state, index)
        if tried is None:
            return
        links = () if tried.previous is None else (Link(tried.previous),)
        facts: dict[str, AttributeValue] = {"cano.task": task, "cano.attempt": attempt}
        opened = OpenSpan(self._start("attempt", tried, state, facts, links))
        tried.put(_ATTEMPT, opened)
        opened.enter()

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
        """End its span."""
        tried = self._task(run_id, state, index)
        attempt = None if tried is None else tried.take(_ATTEMPT)
        if tried is None or attempt is None:
            return
        tried.previous = attempt.span.get_span_context()
        tried.is_recorded = error is not None
        if delay is not None:
            attempt.span.set_attribute("cano.retry.delay", delay)
        _end(attempt, Status.FAILED, error)

    # An abandoned task.

    def task_abandoned(self, *, run_id: str, **task: Any) -> None:
        """Mark the attempt or branch, if it goes on; else note it on the span of the state."""
        opened = self._task(run_id, task["state"], task["index"])
        if opened is not None:
            opened = opened.get(_ATTEMPT) or opened
            opened.span.set_attribute("cano.abandoned", True)
        self._note(opened, "cano.task_abandoned", run_id, task)

    def task_returned(self, *, run_id: str, late: float, **task: Any) -> None:
        """Note it on the span of the state, or of the run if that has gone on."""
        self._note(None, "cano.task_returned", run_id, task, {"cano.late": late})

    def _note(
        self,
        opened: OpenSpan | None,
        event: str,
        run_id: str,
        task: Mapping[str, Any],
        facts: Mapping[str, AttributeValue] = MappingProxyType({}),
    ) -> None:
        where = opened or self._visit(run_id, task["state"]) or self._runs.get(run_id)
        if where is not None:
            attributes = {"cano.task": task["task"], "cano.attempt": task["attempt"], **facts}
            if task["index"] is not None:
                attributes["cano.branch.index"] = task["index"]
            where.span.add_event(event, attributes)


def _end(
    opened: OpenSpan, outcome: Status, error: BaseException | None, reason: str | None = None
) -> None:
    opened.span.set_attribute("cano.outcome", outcome.value)
    if outcome in (Status.FAILED, Status.TIMED_OUT):
        record_failure(opened.span, error, with_event=not opened.is_recorded)
    elif outcome is Status.CANCELLED:
        reason = reason or getattr(error, "reason", None)
        if reason is None:
            reason = "no reason given" if error is None else error_text(error)
        opened.span.set_attribute("cano.cancel_reason", reason)
    opened.leave()
    opened.close()
