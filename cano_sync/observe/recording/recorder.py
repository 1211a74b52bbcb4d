"""`Recorder`: an observer that keeps one run's events, and makes a record of them when asked."""

from __future__ import annotations

__all__ = ("Recorder",)

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ..._base.durations import Duration, seconds
from ..._base.waiting import wait_slice
from ..._model.hooks import Observer
from ...errors import ConfigurationError
from .export import to_dict
from .history import Event, history
from .notes import Note
from .page import page
from .record import Record
from .timeline import timeline

MOMENT = 0.05
"""Seconds that a picture waits for tasks that were told to stop when the run ended."""


class Recorder(Observer):
    """Keeps one run's events: see `timeline`, `to_html`, `to_dict` and, as data, `record`.

    It keeps the latest run that was told to it: when another begins, with this workflow or with
    another that it is attached to, that one takes its place and the first is heard no more. So
    give runs in parallel, and a run nested in another, a recorder each:
    `workflow.with_observer(recorder)` is cheap.

    Safe from any thread, while the run goes on, too. A hook costs about a microsecond: it only
    notes the time. What the tasks of a split return is kept as long as the recorder is.

    Args:
        limit: how many events to keep, from 1: the latest. A visit to a state makes four, a branch
            three or more.
        clock: what tells the time in seconds, from any beginning.

    >>> from cano_sync import Workflow
    >>> workflow = Workflow().register("START", lambda: "END").add_exit_state("END")
    >>> recorder = Recorder()
    >>> workflow.with_observer(recorder).orchestrate("START")
    'END'
    >>> [visit.state for visit in recorder.record.visits]
    ['START', 'END']
    """

    def __init__(
        self, *, limit: int = 100_000, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise ConfigurationError(
                f"Recorder(limit=...) is how many events to keep, 1 or more, not {limit!r}; leave "
                "it out for 100,000"
            )
        self._clock = clock
        # Guards everything below, so that the events belong to one run and are in the order of
        # their times. Re-entrant for a signal handler that wants to see the run whose hook it has
        # interrupted. Under it events are noted and copied, no more.
        self._lock = threading.RLock()
        self._back = threading.Condition(self._lock)  # told when a task that was left is back
        self._run_id: str | None = None
        self._started_at = self._zero = 0.0
        self._events: deque[Event] = deque(maxlen=limit)
        self._heard = 0  # how many events there were
        self._out = 0  # how many tasks are left behind and have not come back
        self._is_over = False

    # What there is to see.

    @property
    def record(self) -> Record:
        """The run as data that never changes, up to now; made anew each time."""
        with self._lock:
            if self._run_id is None:
                return Record()
            events = tuple(self._events)
            now, started_at = self._clock() - self._zero, self._started_at
            forgotten = self._heard - len(events)
        return history(events, now, started_at, forgotten)

    def timeline(
        self,
        width: int | None = None,
        color: bool | None = None,
        *,
        note: Note | None = None,
    ) -> str:
        """The run as text: states, with their branches beneath, along one axis of time.

        Args:
            width: how many cells wide, from 40; None for the terminal's width, up to 200, or 80
                where there is no terminal.
            color: whether to colour it by a terminal's escape sequences; None to do so where the
                output goes to a terminal that wants them and the extra `cli` is installed.
            note: what to say of a line, instead of errors and counts: called with the visit, and
                the task or branch or None for the line of the state; None for the usual.

        Raises:
            ConfigurationError: too narrow, coloured without the extra, or noted by what is no
                function, or by one that returns no text.
        """
        return timeline(self._settled(), width, color, note)

    def to_html(self, title: str | None = None, *, note: Note | None = None) -> str:
        """The run as one page that needs nothing else: details come with the mouse or the keys.

        Args:
            title: its heading; None for how the run ended.
            note: what to say of a line, as for `timeline`.

        Raises:
            ConfigurationError: the title is no text, or the note as for `timeline`.
        """
        return page(self._settled(), title, note)

    def to_dict(self) -> dict[str, Any]:
        """The record as plain data for `json.dumps`: values by their repr, errors by their text."""
        return to_dict(self._settled())

    def _settled(self) -> Record:
        """The record; of a run that is over, once those are back who were just told to stop."""
        with self._lock:
            is_over = self._is_over
        if is_over:
            self.wait_for_returns(MOMENT)
        return self.record

    def wait_for_returns(self, timeout: Duration = 0.1) -> bool:
        """Wait until all tasks that the run has left behind have given their threads back.

        A task that listens to its token is back within a millisecond or so; until then the record
        calls it abandoned. Pictures of a run that is over wait for a twentieth of a second by
        themselves.

        Args:
            timeout: for how many seconds at most. Ctrl-C ends the wait, too.

        Returns:
            Whether all are back.
        """
        limit = time.monotonic() + seconds(timeout, "wait_for_returns(timeout=...)")
        with self._back:
            while self._out > 0:
                left = limit - time.monotonic()
                if left <= 0:
                    return False
                self._back.wait(wait_slice(left))
            return True

    # The hooks: see `Observer`.

    def _keep(self, hook: str, told: dict[str, Any]) -> None:
        with self._lock:
            if told["run_id"] == self._run_id:
                self._events.append((self._clock() - self._zero, hook, told))
                self._heard += 1

    def run_started(self, **told: Any) -> None:
        with self._lock:
            self._run_id = told["run_id"]
            self._started_at, self._zero = time.time(), self._clock()
            self._events.clear()
            self._events.append((0.0, "run_started", told))
            self._heard, self._out, self._is_over = 1, 0, False
            self._back.notify_all()

    def run_cancelled(self, **told: Any) -> None:
        self._keep("run_cancelled", told)

    def run_finished(self, **told: Any) -> None:
        with self._lock:
            self._keep("run_finished", told)
            self._is_over = self._is_over or told["run_id"] == self._run_id

    def state_entered(self, **told: Any) -> None:
        self._keep("state_entered", told)

    def state_left(self, **told: Any) -> None:
        self._keep("state_left", told)

    def task_started(self, **told: Any) -> None:
        self._keep("task_started", told)

    def task_succeeded(self, **told: Any) -> None:
        self._keep("task_succeeded", told)

    def task_failed(self, **told: Any) -> None:
        self._keep("task_failed", told)

    def task_cancelled(self, **told: Any) -> None:
        self._keep("task_cancelled", told)

    def task_abandoned(self, **told: Any) -> None:
        self._count(+1, "task_abandoned", told)

    def task_returned(self, **told: Any) -> None:
        self._count(-1, "task_returned", told)

    def _count(self, change: int, hook: str, told: dict[str, Any]) -> None:
        with self._back:
            if told["run_id"] == self._run_id:
                self._keep(hook, told)
                self._out += change
                self._back.notify_all()

    def attempt_started(self, **told: Any) -> None:
        self._keep("attempt_started", told)

    def attempt_failed(self, **told: Any) -> None:
        self._keep("attempt_failed", told)

    def split_started(self, **told: Any) -> None:
        self._keep("split_started", told)

    def branch_landed(self, **told: Any) -> None:
        self._keep("branch_landed", told)

    def join_decided(self, **told: Any) -> None:
        self._keep("join_decided", told)
