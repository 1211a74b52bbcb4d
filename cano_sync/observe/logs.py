"""Runs in the log of the standard library."""

from __future__ import annotations

__all__ = ("LoggingObserver",)

import logging
from collections.abc import Mapping, Sequence
from logging import DEBUG, ERROR, INFO, WARNING
from typing import Any
from weakref import WeakValueDictionary

from .._base.durations import Duration, seconds
from .._base.text import error_text, full_name
from .._model.join import JoinConfig
from .._model.outcome import SplitResult
from .._model.strategy import Verdict
from ..errors import ConfigurationError, RetryExhaustedError
from .abandoned import AbandonedTasks
from .flow_log import FlowLog
from .labels import ending
from .scope import enter_attempt, enter_run, enter_task, leave
from .tracebacks import ExcInfo, Style, Tracebacks


class LoggingObserver(FlowLog):
    """Writes what runs do into the log. One object serves any number of runs and threads.

    - INFO: a run starts, finishes, is cancelled; a flow's run begins, finishes, is cancelled.
    - DEBUG: states, tasks, attempts, splits; a task that is abandoned, and one that is soon back.
    - WARNING: an attempt failed and is made again; a branch failed; a state failed and leads to
      its error state; an abandoned task is out for long; a flow is skipped, or backs off.
    - ERROR: a run failed, or its time was up; the last of several attempts failed; a flow failed,
      or tripped.

    An error's traceback is logged once: with the last of several attempts, with the branch, with
    the state that leads to its error state, with the run, or with the flow. It is that of the
    user's exception, with the frames of the user's code: where it has none, the line has said it
    all.

    Attached to a workflow it tells of its runs, and of the flows that run it. Attached to a
    `Scheduler` it tells of all its flows, and not of what happens within their runs.

    A line begins with the first eight characters of the run's id, for people and for `grep`. Each
    record carries what it tells as attributes, for structured logs: `run_id`, and where they apply
    `state`, `next_state` (both as text), `task`, `index`, `attempt`, `duration`, `delay`,
    `late`, `outcome`, `reason`; instead of the run's id those of a flow carry `flow`, and
    `failures` or `lag`. What a task itself logs gets some of these by a `RunFilter`.

    Args:
        logger: the logger, or its name.
        late_after: seconds (or a `timedelta`) that an abandoned task may be out before that is
            worth a warning. One that listens to its token is back within milliseconds.
        tracebacks: "short"; "full" with all errors on the way and the frames of the engine; or
            "none".

    Raises:
        ConfigurationError: an argument makes no sense.

    >>> import sys
    >>> from cano_sync import Workflow
    >>> log = logging.getLogger("orders")
    >>> log.setLevel("INFO")
    >>> handler = logging.StreamHandler(sys.stdout)
    >>> handler.addFilter(lambda record: hasattr(record, "outcome"))
    >>> handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(outcome)s in %(state)s"))
    >>> log.addHandler(handler)
    >>> workflow = Workflow().register("START", lambda: "END").add_exit_state("END")
    >>> workflow.with_observer(LoggingObserver("orders")).orchestrate("START")
    INFO orders: finished in 'END'
    'END'
    >>> log.removeHandler(handler)
    """

    def __init__(
        self,
        logger: str | logging.Logger = "cano_sync",
        *,
        late_after: Duration = 1.0,
        tracebacks: Style = "short",
    ) -> None:
        super().__init__(_logger_of(logger), Tracebacks(tracebacks))
        self._late_after = seconds(late_after, "late_after")
        # Each run's context keeps its own alive. So a run whose end is never told leaves nothing.
        self._absences: WeakValueDictionary[str, AbandonedTasks] = WeakValueDictionary()

    def __repr__(self) -> str:
        return f"LoggingObserver({self._logger.name!r})"

    def _log(
        self,
        level: int,
        run_id: str,
        text: str,
        *values: object,
        traceback: ExcInfo | None = None,
        **facts: Any,
    ) -> None:
        self._logger.log(
            level,
            f"run %s: {text}",
            run_id[:8],  # to be read; the record has it all
            *values,
            exc_info=traceback,
            extra={"run_id": run_id, **facts},
        )

    def _log_task(
        self,
        level: int,
        run_id: str,
        what: Mapping[str, Any],
        text: str,
        *values: object,
        **facts: Any,
    ) -> None:
        """The same about a task: the line begins with its name."""
        if self._logger.isEnabledFor(level):
            told = {**_kept(what), "state": full_name(what["state"])}
            self._log(level, run_id, f"%s {text}", _named(what), *values, **told, **facts)

    def _hears(self, level: int) -> bool:
        return self._logger.isEnabledFor(level)

    # A run.

    def run_started(self, *, run_id: str, state: Any, **_: object) -> None:
        """INFO. From here on its tasks know its id."""
        absences = self._absences[run_id] = AbandonedTasks()
        enter_run(run_id, keep=absences)
        where = full_name(state)
        self._log(INFO, run_id, "started in %s", where, state=where)

    def run_finished(
        self, *, run_id: str, state: Any, duration: float, error: BaseException | None, **_: object
    ) -> None:
        """INFO; ERROR for a run that failed or whose time was up. WARNING of who is still out."""
        absences = self._absences.pop(run_id, None)
        out = [] if absences is None else absences.longer_than(self._late_after)
        for what, late in out:
            text = "was abandoned %.3f s ago and is still out"
            self._log_task(WARNING, run_id, what, text, late, late=late)
        outcome, where = ending(run_id, error), full_name(state)
        facts: dict[str, Any] = {"state": where, "duration": duration, "outcome": outcome}
        if error is None:
            self._log(INFO, run_id, "finished in %s after %.3f s", where, duration, **facts)
        elif outcome == "cancelled":
            facts["reason"] = reason = getattr(error, "reason", None) or error_text(error)
            text = "cancelled in %s after %.3f s: %s"
            self._log(INFO, run_id, text, where, duration, reason, **facts)
        else:
            facts["traceback"] = self._tracebacks.once(error)
            text = "failed in %s after %.3f s: %s"
            self._log(ERROR, run_id, text, where, duration, error_text(error), **facts)
        leave(run_id)

    # States and splits.

    def state_entered(self, *, run_id: str, state: Any, **_: object) -> None:
        """DEBUG."""
        if self._hears(DEBUG):
            where = full_name(state)
            self._log(DEBUG, run_id, "in %s", where, state=where)

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
        """DEBUG; WARNING for a failure that leads to an error state."""
        level = DEBUG if error is None or next_state is None else WARNING
        if not self._hears(level):
            return
        facts: dict[str, Any] = {"state": full_name(state), "duration": duration}
        text, values = "left %s after %.3f s", [facts["state"], duration]
        if next_state is not None:
            facts["next_state"] = full_name(next_state)
            text, values = f"{text} for %s", [*values, facts["next_state"]]
        if error is not None:
            text, values = f"{text}: %s", [*values, error_text(error)]
            facts["traceback"] = self._tracebacks.once(error) if level == WARNING else None
        self._log(level, run_id, text, *values, **facts)

    def split_started(
        self, *, run_id: str, state: Any, tasks: Sequence[str], join: JoinConfig[Any], **_: object
    ) -> None:
        """DEBUG."""
        if self._hears(DEBUG):
            where = full_name(state)
            text = "%s splits into %d " + ("branch" if len(tasks) == 1 else "branches")
            values = (where, len(tasks), join.strategy)
            self._log(DEBUG, run_id, f"{text}, joined by %r", *values, state=where)

    def join_decided(
        self,
        *,
        run_id: str,
        state: Any,
        verdict: Verdict,
        result: SplitResult,
        duration: float,
        **_: object,
    ) -> None:
        """DEBUG: what it leads to is told by the state or the run."""
        if self._hears(DEBUG):
            where, outcome = full_name(state), verdict.value
            values = (where, outcome, duration, result.summary)
            text = "the join of %s says %s after %.3f s: %s"
            self._log(DEBUG, run_id, text, *values, state=where, outcome=outcome, duration=duration)

    # Tasks and attempts.

    def task_started(
        self, *, run_id: str, state: Any, task: str, index: int | None, **_: object
    ) -> None:
        """DEBUG. From here on the task knows what it is."""
        enter_task(run_id, state, task, index)
        what = {"state": state, "task": task, "index": index}
        self._log_task(DEBUG, run_id, what, "starts")

    def task_succeeded(self, *, run_id: str, duration: float, **what: Any) -> None:
        """DEBUG."""
        leave(run_id, what["task"], what["index"])
        text = "succeeded after %.3f s"
        self._log_task(DEBUG, run_id, what, text, duration, duration=duration)

    def task_failed(
        self, *, run_id: str, duration: float, error: BaseException, **what: Any
    ) -> None:
        """ERROR after several attempts, WARNING for a branch; else DEBUG: the state tells more."""
        leave(run_id, what["task"], what["index"])
        level = DEBUG if what["index"] is None else WARNING
        if isinstance(error, RetryExhaustedError) and error.run_id == run_id:
            level = ERROR
        if self._hears(level):
            values = (duration, error_text(error))
            traceback = None if level == DEBUG else self._tracebacks.once(error)
            facts = {"duration": duration, "traceback": traceback}
            self._log_task(level, run_id, what, "failed after %.3f s: %s", *values, **facts)

    def task_cancelled(
        self, *, run_id: str, duration: float, reason: str | None, **what: Any
    ) -> None:
        """DEBUG."""
        leave(run_id, what["task"], what["index"])
        text, values = "cancelled after %.3f s: %s", (duration, reason or "nobody said why")
        facts = {"duration": duration, "reason": reason}
        self._log_task(DEBUG, run_id, what, text, *values, **facts)

    def task_abandoned(self, *, run_id: str, **what: Any) -> None:
        """DEBUG; `task_returned` and `run_finished` tell when that is worth a warning."""
        absences = self._absences.get(run_id)  # none any more, where the run is over
        if absences is not None:
            absences.begin(_kept(what))
        self._log_task(DEBUG, run_id, what, "is abandoned")

    def task_returned(self, *, run_id: str, late: float, **what: Any) -> None:
        """DEBUG; WARNING if it has been out for longer than `late_after`."""
        absences = self._absences.get(run_id)
        if absences is not None:
            absences.end(_kept(what))
        level = WARNING if late > self._late_after else DEBUG
        self._log_task(level, run_id, what, "comes back %.3f s late", late, late=late)

    def attempt_started(
        self, *, run_id: str, state: Any, task: str, index: int | None, attempt: int, **_: object
    ) -> None:
        """DEBUG. From here on the task knows which attempt it is."""
        enter_attempt(run_id, state, task, index, attempt)
        what = {"state": state, "task": task, "index": index, "attempt": attempt}
        self._log_task(DEBUG, run_id, what, "begins attempt %d", attempt)

    def attempt_failed(
        self,
        *,
        run_id: str,
        duration: float,
        error: BaseException | None,
        delay: float | None,
        **what: Any,
    ) -> None:
        """WARNING, without a traceback; DEBUG for the last one: `task_failed` tells more."""
        why = "it returned what its config retries on" if error is None else error_text(error)
        facts = {"duration": duration, "delay": delay}
        level, text = DEBUG, "failed for good in attempt %d: %s"
        values: tuple[object, ...] = (what["attempt"], why)
        if delay is not None:
            level, text = WARNING, "failed in attempt %d, the next comes in %.3f s: %s"
            values = (what["attempt"], delay, why)
        self._log_task(level, run_id, what, text, *values, **facts)


def _logger_of(given: object) -> logging.Logger:
    given = logging.getLogger(given) if isinstance(given, str) else given
    if isinstance(given, logging.Logger):
        return given
    raise ConfigurationError(
        f"LoggingObserver() takes a logger or its name, not {given!r}; give logging.getLogger(...)"
    )


def _kept(what: Mapping[str, Any]) -> dict[str, Any]:
    """What tells one task from another; a hook may tell more in a later version."""
    return {name: what[name] for name in ("state", "task", "index", "attempt") if name in what}


def _named(what: Mapping[str, Any]) -> str:
    branch = "" if what["index"] is None else f", branch {what['index']}"
    return f"task {what['task']!r} of {full_name(what['state'])}{branch}:"
