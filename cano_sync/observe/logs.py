"""Runs in the log of the standard library."""

from __future__ import annotations

__all__ = ("LoggingObserver", "logger_of")

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from logging import DEBUG, ERROR, INFO, WARNING
from typing import Any
from weakref import WeakValueDictionary

from .._base.durations import Duration, seconds
from .._base.text import error_text, full_name
from .._model.hooks import Observer
from .._model.join import JoinConfig
from .._model.outcome import SplitResult
from .._model.strategy import Verdict
from ..errors import ConfigurationError, RetryExhaustedError
from .scope import enter, leave
from .status import Status, status_of
from .tracebacks import ExcInfo, Style, Tracebacks


class LoggingObserver(Observer):
    """Writes what runs do into the log. One object serves any number of runs and threads.

    - INFO: a run starts, succeeds, is cancelled.
    - DEBUG: states, tasks, attempts, splits; a task that is abandoned, and one that soon returns.
    - WARNING: an attempt failed and is made again; a branch failed; a state failed and leads to
      its error state; an abandoned task has not returned for long.
    - ERROR: a run failed or timed out; the last of several attempts failed.

    An error's traceback is logged once: with the last of several attempts, with the branch, with
    the state that leads to its error state, or with the run. It is that of the user's exception,
    with the frames of the user's code: where it has none, the line has said it all.

    A line begins with the first eight characters of the run's id, for people and for `grep`. Each
    record carries its facts as attributes, for structured logs: `run_id`, and where they apply
    `state`, `next_state` (both as text), `task`, `index`, `attempt`, `duration`, `delay`,
    `late`, `reason`, and `outcome`: the value of a `Status`. What a task itself logs gets some of
    these by a `RunFilter`.

    Args:
        logger: the logger, or its name.
        late_after: seconds (or a `timedelta`) after which an abandoned task that has not returned
            is worth a warning. One that listens to its token returns within milliseconds.
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
    INFO orders: succeeded in 'END'
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
        self._logger = logger_of(logger, "LoggingObserver")
        self._tracebacks = Tracebacks(tracebacks)
        self._late_after = seconds(late_after, "late_after")
        # By run. Each run's context keeps its own alive: a run that never ends leaves nothing.
        self._abandoned: WeakValueDictionary[str, _Abandoned] = WeakValueDictionary()
        self._lock = threading.Lock()  # guards what is in these

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
        task: Mapping[str, Any],
        text: str,
        *values: object,
        **facts: Any,
    ) -> None:
        """Log a line about a task, which begins with its name."""
        if self._logger.isEnabledFor(level):
            attributes = {**_task_facts(task), "state": full_name(task["state"]), **facts}
            self._log(level, run_id, f"%s {text}", _task_text(task), *values, **attributes)

    # A run.

    def run_started(self, *, run_id: str, state: Any, **_: object) -> None:
        """INFO. From here on its tasks know its id."""
        abandoned = self._abandoned[run_id] = _Abandoned()
        enter(run_id, keep=abandoned)
        where = full_name(state)
        self._log(INFO, run_id, "started in %s", where, state=where)

    def run_finished(
        self, *, run_id: str, state: Any, duration: float, error: BaseException | None, **_: object
    ) -> None:
        """INFO; ERROR for a run that failed or timed out. WARNING of tasks abandoned for long."""
        now, text = time.monotonic(), "was abandoned %.3f s ago and has not returned"
        with self._lock:
            abandoned = tuple(self._abandoned.pop(run_id, ()))
        for task, since in abandoned:
            if (late := now - since) >= self._late_after:
                self._log_task(WARNING, run_id, task, text, late, late=late)
        status, where = status_of(run_id, error), full_name(state)
        facts: dict[str, Any] = {"state": where, "duration": duration, "outcome": status.value}
        text, values = f"{status.label} in %s after %.3f s", [where, duration]
        if error is None:
            self._log(INFO, run_id, text, *values, **facts)
        elif status is Status.CANCELLED:
            facts["reason"] = reason = getattr(error, "reason", None) or error_text(error)
            self._log(INFO, run_id, f"{text}: %s", *values, reason, **facts)
        else:
            facts["traceback"] = self._tracebacks.once(error)
            self._log(ERROR, run_id, f"{text}: %s", *values, error_text(error), **facts)
        leave(run_id)

    # States and splits.

    def state_entered(self, *, run_id: str, state: Any, **_: object) -> None:
        """DEBUG."""
        if self._logger.isEnabledFor(DEBUG):
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
        if not self._logger.isEnabledFor(level):
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
        if self._logger.isEnabledFor(DEBUG):
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
        """DEBUG: what it leads to is logged with the state or the run."""
        if self._logger.isEnabledFor(DEBUG):
            where, outcome = full_name(state), verdict.value
            values = (where, outcome, duration, result.summary)
            text = "the join of %s says %s after %.3f s: %s"
            self._log(DEBUG, run_id, text, *values, state=where, outcome=outcome, duration=duration)

    # Tasks and attempts.

    def task_started(self, *, run_id: str, **task: Any) -> None:
        """DEBUG. From here on the task knows what it is."""
        enter(run_id, **_task_facts(task))
        self._log_task(DEBUG, run_id, task, "starts")

    def task_succeeded(self, *, run_id: str, duration: float, **task: Any) -> None:
        """DEBUG."""
        leave(run_id, task["task"], task["index"])
        text = "succeeded after %.3f s"
        self._log_task(DEBUG, run_id, task, text, duration, duration=duration)

    def task_failed(
        self, *, run_id: str, duration: float, error: BaseException, **task: Any
    ) -> None:
        """ERROR after several attempts, WARNING for a branch; else DEBUG: the state has more."""
        leave(run_id, task["task"], task["index"])
        level = DEBUG if task["index"] is None else WARNING
        if isinstance(error, RetryExhaustedError) and error.run_id == run_id:
            level = ERROR
        if self._logger.isEnabledFor(level):
            values = (duration, error_text(error))
            traceback = None if level == DEBUG else self._tracebacks.once(error)
            facts = {"duration": duration, "traceback": traceback}
            self._log_task(level, run_id, task, "failed after %.3f s: %s", *values, **facts)

    def task_cancelled(
        self, *, run_id: str, duration: float, reason: str | None, **task: Any
    ) -> None:
        """DEBUG."""
        leave(run_id, task["task"], task["index"])
        text, values = "cancelled after %.3f s: %s", (duration, reason or "no reason given")
        facts = {"duration": duration, "reason": reason}
        self._log_task(DEBUG, run_id, task, text, *values, **facts)

    def task_abandoned(self, *, run_id: str, **task: Any) -> None:
        """DEBUG; `task_returned` and `run_finished` log when that is worth a warning."""
        with self._lock:
            abandoned = self._abandoned.get(run_id)  # none any more, where the run is over
            if abandoned is not None:
                abandoned.append((_task_facts(task), time.monotonic()))
        self._log_task(DEBUG, run_id, task, "is abandoned")

    def task_returned(self, *, run_id: str, late: float, **task: Any) -> None:
        """DEBUG; WARNING if it was abandoned for longer than `late_after`."""
        facts = _task_facts(task)
        with self._lock:
            abandoned = self._abandoned.get(run_id, _Abandoned())
            for entry in abandoned:
                if entry[0] == facts:  # of several, the one that was abandoned first
                    abandoned.remove(entry)
                    break
        level = WARNING if late > self._late_after else DEBUG
        self._log_task(level, run_id, task, "returned %.3f s late", late, late=late)

    def attempt_started(self, *, run_id: str, attempt: int, **task: Any) -> None:
        """DEBUG. From here on the task knows which attempt it is."""
        leave(run_id, task["task"], task["index"])
        enter(run_id, **_task_facts(task), attempt=attempt)
        self._log_task(DEBUG, run_id, task, "begins attempt %d", attempt, attempt=attempt)

    def attempt_failed(
        self,
        *,
        run_id: str,
        duration: float,
        error: BaseException | None,
        delay: float | None,
        **task: Any,
    ) -> None:
        """WARNING, without a traceback; DEBUG for the last one: `task_failed` has more."""
        why = "it returned what its config retries on" if error is None else error_text(error)
        facts = {"duration": duration, "delay": delay}
        level, text = DEBUG, "failed for good in attempt %d: %s"
        values: tuple[object, ...] = (task["attempt"], why)
        if delay is not None:
            level, text = WARNING, "failed in attempt %d, the next comes in %.3f s: %s"
            values = (task["attempt"], delay, why)
        self._log_task(level, run_id, task, text, *values, **facts)


class _Abandoned(list[tuple[Mapping[str, Any], float]]):
    """The facts of a run's abandoned tasks that have not returned, and since when they are so."""

    __slots__ = ("__weakref__",)


def logger_of(given: object, whose: str) -> logging.Logger:
    """A logger, given by itself or by its name.

    Raises:
        ConfigurationError: it is neither.
    """
    given = logging.getLogger(given) if isinstance(given, str) else given
    if isinstance(given, logging.Logger):
        return given
    raise ConfigurationError(
        f"{whose}() takes a logger or its name, not {given!r}; give logging.getLogger(...)"
    )


def _task_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What distinguishes one task from another; a hook may have more in a later version."""
    return {name: facts[name] for name in ("state", "task", "index", "attempt") if name in facts}


def _task_text(task: Mapping[str, Any]) -> str:
    branch = "" if task["index"] is None else f", branch {task['index']}"
    return f"task {task['task']!r} of {full_name(task['state'])}{branch}:"
