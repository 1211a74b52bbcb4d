"""What a run is doing at the moment, as its observer knows it."""

from __future__ import annotations

__all__ = ("TaskSeen", "Visit", "Watch")

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .. import abandoned_tasks
from .._base.text import error_text
from .._model.hooks import Observer
from ..errors import WorkflowCancelledError
from ..observe import Status as Fate
from .errors import one_line
from .states import name_of

KEPT = 200
"""How many visited states are remembered: a run may go round for days."""

MOMENT = 0.05
"""Seconds that threads get to come back before they are said to run still."""


@dataclass(slots=True)
class TaskSeen:
    """A task of a state, or a branch.

    Attributes:
        name: its name.
        index: of a branch; else None.
        began: on the clock of `time.monotonic()`.
        fate: what has become of it up to now.
        ended: when, on the same clock; None while it runs.
        note: what else there is to say.
        is_back: whether its thread was left behind, and has come back.
    """

    name: str
    index: int | None
    began: float
    fate: Fate = Fate.RUNNING
    ended: float | None = None
    note: str = ""
    is_back: bool = False

    def lasted(self, now: float) -> float:
        """Seconds until its end, or until now."""
        return (now if self.ended is None else self.ended) - self.began


@dataclass(slots=True)
class Visit:
    """A state that the run has entered.

    Attributes:
        state: its name.
        began: when it was entered, on the clock of `time.monotonic()`.
        is_exit: whether the run is over with it.
        fate: what has become of it up to now.
        ended: when it was left; None if it was not.
        note: what else there is to say.
        branches: how many tasks its split has; 0 if it is none.
        tasks: those that have begun, by name and index.
    """

    state: str
    began: float
    is_exit: bool = False
    fate: Fate = Fate.RUNNING
    ended: float | None = None
    note: str = ""
    branches: int = 0
    tasks: dict[tuple[str, int | None], TaskSeen] = field(default_factory=dict)

    @property
    def not_started(self) -> int:
        """How many branches had no turn, once the state was left."""
        if self.ended is None:
            return 0
        return self.branches - sum(task.index is not None for task in self.tasks.values())

    def lasted(self, now: float) -> float:
        """Seconds until its end, or until now."""
        return (now if self.ended is None else self.ended) - self.began


class Watch(Observer):
    """Follows one run; safe to look at from any thread.

    Args:
        tell: called with each piece of news as a line of text, on the thread that it comes from;
            None for nobody.
        clock: the time, in seconds.
    """

    def __init__(
        self,
        tell: Callable[[str], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.run_id: str | None = None
        self.state: Any = None  # where it is
        self.began = clock()
        self._tell = tell
        self._clock = clock
        # Guards all that follows, visits and tasks included; told when a thread has come back.
        self._lock = threading.Condition(threading.Lock())
        self._visits: deque[Visit] = deque(maxlen=KEPT)
        self._entered = 0

    # For who looks at it.

    def visits(self) -> tuple[list[Visit], int]:
        """The last states, each as it is now, and how many there were in all."""
        with self._lock:
            copies = [
                replace(visit, tasks={key: replace(task) for key, task in visit.tasks.items()})
                for visit in self._visits
            ]
            return copies, self._entered

    def stopped(self) -> tuple[list[str], list[str]]:
        """Once a run has been cut short: the tasks that were cancelled, and those that still run.

        Of the latter the threads have not come back yet.
        """
        with self._lock:
            # Who listens is back in a millisecond or so, and does not still run. And that a task
            # was left behind may be told a moment after the run has ended.
            self._lock.wait_for(lambda: not (abandoned_tasks() or self._has_left()), MOMENT)
            tasks = list(self._visits[-1].tasks.values()) if self._visits else []
        cancelled = [task.name for task in tasks if task.fate in (Fate.CANCELLED, Fate.ABANDONED)]
        return cancelled, [task.name for task in tasks if task.fate is Fate.ABANDONED]

    def _has_left(self) -> bool:
        """Whether a task of the last state was left behind. The lock is held."""
        tasks = self._visits[-1].tasks.values() if self._visits else ()
        return any(task.fate is Fate.ABANDONED for task in tasks)

    # The hooks. Each changes what is known, and then tells it, without the lock.

    def run_started(self, *, run_id: str, state: Any, **_: object) -> None:
        self.run_id, self.began = run_id, self._clock()

    def run_cancelled(self, *, state: Any, reason: str | None, **_: object) -> None:
        with self._lock:
            if self._visits:
                self._visits[-1].fate = Fate.CANCELLED
        self._news(f"cancelled in {name_of(state)}" + (f": {reason}" if reason else ""))

    def run_finished(self, *, state: Any, error: BaseException | None, **_: object) -> None:
        if not isinstance(error, WorkflowCancelledError):  # that was told
            self._news(f"failed in {name_of(state)}" if error else f"finished in {name_of(state)}")

    def state_entered(self, *, state: Any, is_exit: bool, **_: object) -> None:
        self.state = state
        now = self._clock()
        visit = Visit(name_of(state), now)
        if is_exit:
            visit.is_exit, visit.fate, visit.ended = True, Fate.SUCCEEDED, now
        with self._lock:
            self._entered += 1
            self._visits.append(visit)
        self._news(f"{name_of(state)}")

    def state_left(self, *, next_state: Any, error: BaseException | None, **_: object) -> None:
        with self._lock:
            visit = self._visits[-1]
            visit.ended = self._clock()
            if error is None:
                visit.fate = Fate.SUCCEEDED
            elif isinstance(error, WorkflowCancelledError):
                visit.fate = Fate.CANCELLED
            elif visit.fate is Fate.RUNNING:
                visit.fate, visit.note = Fate.FAILED, _short(error)
            missing = visit.not_started
        if missing:
            self._news(f"  {missing} {Fate.NOT_STARTED.label}")
        if error is not None and next_state is not None:
            self._news(f"{visit.state} failed, on to {name_of(next_state)}: {visit.note}")

    def split_started(self, *, tasks: Sequence[str], **_: object) -> None:
        with self._lock:
            self._visits[-1].branches = len(tasks)
        self._news(f"  splits into {len(tasks)}")

    def task_started(self, *, task: str, index: int | None, **_: object) -> None:
        with self._lock:
            seen = TaskSeen(task, index, self._clock())
            self._visits[-1].tasks[task, index] = seen

    def task_succeeded(self, *, task: str, index: int | None, **_: object) -> None:
        self._ended(task, index, Fate.SUCCEEDED)

    def task_failed(
        self, *, task: str, index: int | None, error: BaseException, **_: object
    ) -> None:
        self._ended(task, index, Fate.FAILED, _short(error))

    def task_cancelled(
        self, *, task: str, index: int | None, reason: str | None, **_: object
    ) -> None:
        self._ended(task, index, Fate.CANCELLED, reason or "")

    def task_abandoned(self, *, task: str, index: int | None, **_: object) -> None:
        self._ended(task, index, Fate.ABANDONED, "its thread still runs")

    def task_returned(self, *, task: str, index: int | None, **_: object) -> None:
        with self._lock:
            seen = self._find(task, index)
            if seen is not None:
                seen.fate, seen.note = Fate.CANCELLED, "its thread has come back"
                seen.is_back = True
            self._lock.notify_all()
        self._news(f"  {task} has come back")

    def attempt_failed(
        self,
        *,
        task: str,
        index: int | None,
        attempt: int,
        error: BaseException | None,
        delay: float | None,
        **_: object,
    ) -> None:
        why = f": {_short(error)}" if error else ""
        again = "" if delay is None else f", again in {delay:.3g} s"
        note = f"attempt {attempt} failed{again}{why}"
        with self._lock:
            seen = self._find(task, index)
            if seen is not None:
                seen.note = note
        self._news(f"  {task}: {note}")

    def _ended(self, task: str, index: int | None, fate: Fate, note: str = "") -> None:
        with self._lock:
            seen = self._find(task, index)
            if seen is None:  # of a state that is long forgotten
                return
            # Threads tell of themselves, and so not in one order: who is back is not abandoned
            # any more, and who is abandoned stays so, cancelled as it is.
            if seen.is_back or (seen.fate, fate) == (Fate.ABANDONED, Fate.CANCELLED):
                return
            seen.fate, seen.note = fate, note or seen.note
            seen.ended = seen.ended or self._clock()
        self._news(f"  {task} {fate.label}" + (f": {note}" if note else ""))

    def _find(self, task: str, index: int | None) -> TaskSeen | None:
        """Where a task is kept; it may be of an earlier state. The lock is held."""
        for visit in reversed(self._visits):
            if (task, index) in visit.tasks:
                return visit.tasks[task, index]
        return None

    def _news(self, text: str) -> None:
        if self._tell is not None:
            self._tell(f"{self._clock() - self.began:9.3f} s  {text}")


def _short(error: BaseException) -> str:
    """An error in a line: what the user's code raised, where it did."""
    return one_line(error_text(error.__cause__ or error))
