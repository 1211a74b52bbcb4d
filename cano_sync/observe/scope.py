"""Which run and task a line of log is from: a context variable, and the filter that reads it."""

from __future__ import annotations

__all__ = ("RunFilter", "Scope", "enter", "leave")

import logging
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from .._base.text import full_name


@dataclass(slots=True, eq=False)  # frozen it would cost each task three times as much
class Scope:
    """A run, or a task of one, that code is in.

    Attributes:
        outer: the scope around it, which is current again when this one is left.
        task: None for the run itself.
        keep: kept alive as long as the scope is.
    """

    outer: Scope | None
    run_id: str
    state: Any
    task: str | None
    index: int | None
    attempt: int
    keep: object


_current: ContextVar[Scope | None] = ContextVar("cano_sync.log_scope", default=None)


def enter(
    run_id: str,
    state: Any = None,
    task: str | None = None,
    index: int | None = None,
    attempt: int = 1,
    keep: object = None,
) -> None:
    """Be in this task (None: this run), in the context that this is called in."""
    _current.set(Scope(_current.get(), run_id, state, task, index, attempt, keep))


def leave(run_id: str, task: str | None = None, index: int | None = None) -> None:
    """Be where one was before, if one is in this task (None: this run).

    One is not where another thread reports the end of an abandoned task: in another context,
    which has not entered it.
    """
    scope = _current.get()
    if scope is not None and (scope.run_id, scope.task, scope.index) == (run_id, task, index):
        _current.set(scope.outer)


class RunFilter(logging.Filter):
    """Puts `run_id`, `state`, `task`, `index` and `attempt` into every record that a task logs.

    Add it to a *handler*: then it serves what is logged by any logger and on any thread, by the
    task itself or by a library below it. (To the `QueueHandler`, where there is one: its listener
    is another thread.) Outside a task each is "-", so that a format may always ask for them.

    What it knows comes from a `LoggingObserver` that is attached to the workflow; to have
    only this of it, set the level of its logger higher. What a record has already, by `extra`,
    stays as it is. With `dictConfig`: `"filters": {"run": {"()": "cano_sync.observe.RunFilter"}}`.

    >>> import sys
    >>> from cano_sync import Workflow
    >>> from cano_sync.observe import LoggingObserver
    >>> log = logging.getLogger("shop")
    >>> handler = logging.StreamHandler(sys.stdout)
    >>> handler.addFilter(RunFilter())
    >>> handler.setFormatter(logging.Formatter("[%(state)s %(task)s] %(message)s"))
    >>> log.addHandler(handler)
    >>> def load():
    ...     log.warning("nothing left")
    ...     return "END"
    >>> workflow = Workflow().register("START", load).add_exit_state("END")
    >>> workflow.with_observer(LoggingObserver()).orchestrate("START")
    ['START' load] nothing left
    'END'
    >>> log.warning("closing")
    [- -] closing
    >>> log.removeHandler(handler)
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Complete the record; drop it only where the filter was given another logger's name."""
        facts = record.__dict__
        # An observer's own line has these facts: it may be about a task of another thread.
        scope = None if "run_id" in facts else _current.get()
        if scope is not None:
            facts["run_id"] = scope.run_id
            if scope.task is not None:
                facts.setdefault("state", full_name(scope.state))
                facts.setdefault("task", scope.task)
                facts.setdefault("index", "-" if scope.index is None else scope.index)
                facts.setdefault("attempt", scope.attempt)
        for name in ("run_id", "state", "task", "index", "attempt"):
            facts.setdefault(name, "-")
        return bool(super().filter(record))
