"""The spans of runs, states, branches and attempts."""

from __future__ import annotations

__all__ = ("Tracing",)

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any
from weakref import WeakValueDictionary

from opentelemetry.trace import Link, Span, TracerProvider, get_tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

from ..._base.text import error_text
from ..._model.join import JoinConfig
from ..._model.outcome import SplitResult
from ..._model.strategy import Verdict
from ..labels import ending, state_label
from .spans import OpenSpan, record_failure

# What is open below a run, and below a task; below a state they are found by their index.
_STATE = "state"
_ATTEMPT = "attempt"


class Tracing:
    """Opens and ends spans as an observer's hooks tell it. Safe from any thread.

    A run's span has those of its states below it, a state's those of its branches, and that of a
    task with retries those of its attempts. A task's code runs inside the span of its attempt,
    branch or state, on whatever thread. What never hears of its end ends with what it is below.

    Args:
        provider: makes the tracer; None for the process's.
    """

    def __init__(self, provider: TracerProvider | None) -> None:
        self._tracer = get_tracer("cano_sync", tracer_provider=provider)
        # Each run's context keeps its own alive. So a run whose end is never told leaves nothing.
        self._runs: WeakValueDictionary[str, OpenSpan] = WeakValueDictionary()

    def _start(
        self,
        kind: str,
        above: OpenSpan,
        state: Any,
        facts: Mapping[str, AttributeValue],
        links: Sequence[Link] = (),
    ) -> Span:
        label = state_label(state)
        return self._tracer.start_span(
            f"{kind} {label}",
            context=set_span_in_context(above.span),
            attributes={"cano.state": label, **facts},
            links=links,
        )

    def _visit(self, run_id: str, state: Any) -> OpenSpan | None:
        """The state that the run is in; None for news that come too late."""
        run = self._runs.get(run_id)
        visit = None if run is None else run.get(_STATE)
        return visit if visit is not None and visit.state is state else None

    # A run.

    def run_started(self, run_id: str, workflow: str, state: Any) -> None:
        """Open its span, below the one that is current here."""
        facts = {
            "cano.workflow": workflow,
            "cano.run_id": run_id,
            "cano.initial_state": state_label(state),
        }
        run = OpenSpan(self._tracer.start_span(f"run {workflow}", attributes=facts))
        self._runs[run_id] = run
        run.enter()

    def run_finished(self, run_id: str, state: Any, error: BaseException | None) -> None:
        """End its span, and whatever is open below."""
        run = self._runs.pop(run_id, None)
        if run is not None:
            name = "cano.exit_state" if error is None else "cano.state"
            run.span.set_attribute(name, state_label(state))
            _end(run, ending(run_id, error), error)

    # A state.

    def state_entered(self, run_id: str, state: Any) -> None:
        """Open its span."""
        run = self._runs.get(run_id)
        if run is not None:
            run.put(_STATE, OpenSpan(self._start("state", run, state, {}), state=state))

    def state_left(
        self, run_id: str, state: Any, next_state: Any, error: BaseException | None
    ) -> None:
        """End its span."""
        run, visit = self._runs.get(run_id), self._visit(run_id, state)
        if run is None or visit is None or run.take(_STATE) is None:
            return
        if next_state is None:
            run.has_told = error is not None
        else:
            visit.span.set_attribute("cano.next_state", state_label(next_state))
        _end(visit, ending(run_id, error), error)

    def split_started(
        self, run_id: str, state: Any, tasks: Sequence[str], join: JoinConfig[Any]
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
        self, run_id: str, state: Any, verdict: Verdict, result: SplitResult, timed_out: bool
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

    def task_started(self, run_id: str, state: Any, task: str, index: int | None) -> None:
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

    def task_ended(
        self,
        run_id: str,
        state: Any,
        index: int | None,
        outcome: str,
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
            task.has_told = error is not None
        if task.is_shared:  # what it is to the state's span, is told when the state is left
            if error is not None:
                record_failure(task.span, error, with_event=not task.has_told)
                visit.has_told = True
            task.leave()
        else:
            _end(task, outcome, error, reason)

    # An attempt.

    def attempt_started(
        self, run_id: str, state: Any, task: str, index: int | None, attempt: int
    ) -> None:
        """Open its span, with a link to the one before. The task runs inside it."""
        visit = self._visit(run_id, state)
        tried = None if visit is None else visit.get(index)
        if tried is None:
            return
        links = () if tried.previous is None else (Link(tried.previous),)
        facts: dict[str, AttributeValue] = {"cano.task": task, "cano.attempt": attempt}
        opened = OpenSpan(self._start("attempt", tried, state, facts, links))
        tried.put(_ATTEMPT, opened)
        opened.enter()

    def attempt_failed(
        self,
        run_id: str,
        state: Any,
        index: int | None,
        error: BaseException | None,
        delay: float | None,
    ) -> None:
        """End its span."""
        visit = self._visit(run_id, state)
        tried = None if visit is None else visit.get(index)
        attempt = None if tried is None else tried.take(_ATTEMPT)
        if tried is None or attempt is None:
            return
        tried.previous = attempt.span.get_span_context()
        tried.has_told = error is not None
        if delay is not None:
            attempt.span.set_attribute("cano.retry.delay", delay)
        _end(attempt, "failed", error)

    # A thread that was left with a task.

    def task_abandoned(
        self, run_id: str, state: Any, task: str, index: int | None, attempt: int
    ) -> None:
        """Mark the attempt or branch, if it goes on; else note it on the span of the state."""
        visit = self._visit(run_id, state)
        opened = None if visit is None else visit.get(index)
        if opened is not None:
            opened = opened.get(_ATTEMPT) or opened
            opened.span.set_attribute("cano.abandoned", True)
        where = opened or visit or self._runs.get(run_id)
        _note(where, "cano.task_abandoned", task, index, attempt)

    def task_returned(
        self, run_id: str, state: Any, task: str, index: int | None, attempt: int, late: float
    ) -> None:
        """Note it on the span of the state, or of the run if that has gone on."""
        where = self._visit(run_id, state) or self._runs.get(run_id)
        _note(where, "cano.task_returned", task, index, attempt, {"cano.late": late})


def _end(
    opened: OpenSpan, outcome: str, error: BaseException | None, reason: str | None = None
) -> None:
    opened.span.set_attribute("cano.outcome", outcome)
    if outcome in ("failed", "timed_out"):
        record_failure(opened.span, error, with_event=not opened.has_told)
    elif outcome == "cancelled":
        reason = reason or getattr(error, "reason", None)
        if reason is None:
            reason = "nobody said why" if error is None else error_text(error)
        opened.span.set_attribute("cano.cancel_reason", reason)
    opened.leave()
    opened.close()


def _note(
    where: OpenSpan | None,
    event: str,
    task: str,
    index: int | None,
    attempt: int,
    facts: Mapping[str, AttributeValue] = MappingProxyType({}),
) -> None:
    if where is not None:
        told: dict[str, AttributeValue] = {"cano.task": task, "cano.attempt": attempt, **facts}
        if index is not None:
            told["cano.branch.index"] = index
        where.span.add_event(event, told)
