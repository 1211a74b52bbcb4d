"""`Recorder`: an observer that keeps one run's record, and draws it when asked."""

from __future__ import annotations

__all__ = ("Recorder",)

import threading
import time
from collections.abc import Callable
from typing import Any

from ..._base.durations import Duration, seconds
from ..._base.waiting import wait_slice
from ..._model.hooks import Observer
from ...errors import ConfigurationError
from .export import to_dict
from .history import History
from .notes import Note
from .page import page
from .record import Record
from .timeline import check_height, timeline

MOMENT = 0.05
"""Seconds that a picture of a run that is over waits for cancelled tasks to return."""


class Recorder(Observer):
    """Keeps one run's record: see `timeline`, `to_html`, `to_dict` and, as data, `record`.

    It keeps the latest run that it has heard of: when another begins, with this workflow or with
    another that it is attached to, that one takes its place and the first is heard no more. So
    give runs in parallel, and a run nested in another, a recorder each:
    `workflow.with_observer(recorder)` is cheap.

    Safe from any thread, while the run goes on, too. Each event is folded into the record as it
    comes, in one to two microseconds; to look at it costs what there is to see, and what has
    ended is made once. What the branches of a split return is kept as long as the recorder is.

    Args:
        limit: how many events to keep, from 1: the latest, in whole visits to states. A visit
            makes four, a branch three or more. The last visit stays, however many it has.
        clock: gives the time in seconds, from any beginning.

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
        self._limit = limit
        # Guards `_history` and all that is in it, so that its events belong to one run and are in
        # the order of their times. Re-entrant for a signal handler that looks at the run whose
        # hook it has interrupted.
        self._lock = threading.RLock()
        self._returned = threading.Condition(self._lock)  # an abandoned task has, or a run begins
        self._history: History | None = None
        self._zero = 0.0  # the clock's time when the run began

    def on_event(self, *, event: str, run_id: str, **facts: Any) -> None:
        """Fold an event of the run into its record."""
        with self._lock:
            history = self._history
            if history is not None and history.run_id == run_id:
                history.fold(self._clock() - self._zero, event, facts)
                if event == "task_returned":
                    self._returned.notify_all()
            elif event == "run_started":
                self._history = History(run_id, facts["state"], time.time(), self._limit)
                self._zero = self._clock()
                self._returned.notify_all()

    @property
    def record(self) -> Record:
        """The run as data that never changes, up to now. What has ended is the same each time."""
        return self._look()[0]

    def _look(self, latest: int | None = None) -> tuple[Record, int]:
        """The record with so many of the latest visits (None: all), and how many came before."""
        with self._lock:
            history = self._history
            if history is None:
                return Record(), 0
            record = history.record(self._clock() - self._zero, latest)
            return record, 0 if latest is None else history.earlier(latest)

    def timeline(
        self,
        width: int | None = None,
        color: bool | None = None,
        *,
        height: int | None = None,
        note: Note | None = None,
    ) -> str:
        """The run as text: states, with their branches beneath, along one axis of time.

        With a `height` it is made to be drawn again and again while the run goes on: a call costs
        as much as its lines, however long the run.

        Args:
            width: how many cells wide, from 40; None for the terminal's width, up to 200, or 80
                where there is no terminal.
            color: whether to colour it by a terminal's escape sequences; None to do so where the
                output goes to a terminal that wants them.
            height: how many lines at most, from 4: of the states the latest that fit, of the
                branches first those that are running; None for the whole run, in which a long
                loop becomes one line.
            note: what to say of a line, instead of errors and counts: called with the visit, and
                the task or branch or None for the line of the state; None for the usual.

        Raises:
            ConfigurationError: too narrow or too low, or noted by what is no function, or by one
                that returns no text.

        >>> from cano_sync import Workflow
        >>> workflow = Workflow().register("START", lambda: "END").add_exit_state("END")
        >>> recorder = Recorder()
        >>> workflow.with_observer(recorder).orchestrate("START")
        'END'
        >>> picture = recorder.timeline(width=60, height=4).splitlines()
        >>> [line.split()[0] for line in picture[1:]]
        ['START', 'END', 'succeeded']
        """
        check_height(height)
        self._wait_for_cancelled()
        record, earlier = self._look(height)
        return timeline(record, width, color, note, height=height, earlier=earlier)

    def to_html(self, title: str | None = None, *, note: Note | None = None) -> str:
        """The run as one page that needs nothing else: details come with the mouse or the keys.

        Args:
            title: its heading; None for how the run ended.
            note: what to say of a line, as for `timeline`.

        Raises:
            ConfigurationError: the title is no text, or the note as for `timeline`.
        """
        self._wait_for_cancelled()
        return page(self.record, title, note)

    def to_dict(self) -> dict[str, Any]:
        """The record as plain data for `json.dumps`: values by their repr, errors by their text."""
        self._wait_for_cancelled()
        return to_dict(self.record)

    def _wait_for_cancelled(self) -> None:
        """Of a run that is over: give tasks that were cancelled just now a moment to return."""
        with self._lock:
            is_over = self._history is not None and self._history.is_over
        if is_over:
            self.wait_for_returns(MOMENT)

    def wait_for_returns(self, timeout: Duration = 0.1) -> bool:
        """Wait until the threads of all tasks that the run has abandoned have returned.

        That of a task that listens to its token returns within a millisecond or so; until then
        the record calls it abandoned. Pictures of a run that is over wait for a twentieth of a
        second by themselves.

        Args:
            timeout: for how many seconds at most. Ctrl-C ends the wait, too.

        Returns:
            Whether all have returned.
        """
        limit = time.monotonic() + seconds(timeout, "wait_for_returns(timeout=...)")
        with self._returned:
            while self._history is not None and self._history.abandoned > 0:
                left = limit - time.monotonic()
                if left <= 0:
                    return False
                self._returned.wait(wait_slice(left))
            return True
