"""A split's tracker: which branches are pending, running and landed, and what was decided."""

from __future__ import annotations

__all__ = ("Tracker",)

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from .._base.fence import Gate
from .._base.text import full_name
from .._model.outcome import Outcome, SplitResult
from .._model.strategy import JoinStrategy, Tally, Verdict
from .._model.task import BoundTask
from ..errors import CanoError, WorkflowError
from .attempts import Site
from .offload import Wakeup
from .pool import Job

_make = tuple.__new__


class Tracker:
    """Passive: it starts nothing and waits for nothing. The workers and the coordinator drive it.

    The lock guards `pending`, `_running`, the four counts and `verdict`. The strategy, which may
    be a user's, is asked without it. Once there is a verdict nothing lands any more: from then
    on the lists may be read without the lock.

    Attributes:
        pending: the branches that nobody has taken yet; not to be changed from outside.
        decided: rung by the one who decides.
        verdict: None until then.
        problem: what to raise instead of a failed join: a strategy that is broken, a branch
            that wants out of the program.
        timed_out: whether it was decided by the deadline.
        all_notified: rung, once there is a verdict, by the last of those who were telling by then
            that their branch has landed; see `is_notifying`.
    """

    def __init__(
        self, tasks: Sequence[BoundTask], strategy: JoinStrategy, site: Site, gate: Gate
    ) -> None:
        count = self._total = len(tasks)
        self._tasks = tasks
        self._strategy = strategy
        self._site = site
        self._gate = gate
        self._lock = threading.Lock()
        self.pending = deque(range(count))
        self._running: dict[int, Job] = {}
        self._workers = 0
        self._successes = 0
        self._errors = 0
        self._notifying = 0  # how many branches are on the tally, and their observers hear of it
        self._values: list[Any] = [None] * count
        self._raised: list[CanoError | None] = [None] * count
        self._began: list[float | None] = [None] * count
        self._ended: list[float | None] = [None] * count
        self.decided: Wakeup = Future()
        self.all_notified: Wakeup = Future()
        self.verdict: Verdict | None = None
        self.problem: BaseException | None = None
        self.timed_out = False

    # For the coordinator.

    @property
    def wants_workers(self) -> bool:
        """Whether there is still something to sit down for."""
        return bool(self.pending) and self.verdict is None

    def expect_worker(self) -> None:
        """One more may come and take branches."""
        with self._lock:
            self._workers += 1

    def lose_worker(self) -> bool:
        """One fewer may; are branches pending now that nobody will take?"""
        with self._lock:
            self._workers -= 1
            return not self._workers and self.wants_workers

    def ask(self) -> None:
        """Ask the strategy before the first branch begins: it may know already."""
        self._ask(Tally(self._total, 0, 0))

    def time_is_up(self) -> None:
        """Decide now: the split's deadline has passed."""
        with self._lock:
            tally = Tally(self._total, self._successes, self._errors)
        try:
            verdict = self._strategy.at_deadline(tally)
        except Exception as error:
            self.settle(Verdict.FAIL, problem=self._broken(f"it raised {error!r}", error))
            return
        # WAIT is no answer at a deadline.
        self.settle(verdict if verdict is Verdict.PROCEED else Verdict.FAIL, timed_out=True)

    def take_running(self) -> dict[int, Job]:
        """Those who are still performing a branch after the verdict, by its index."""
        with self._lock:
            running, self._running = self._running, {}
        return running

    @property
    def is_notifying(self) -> bool:
        """Whether observers are still hearing of a branch that had landed before the verdict."""
        with self._lock:
            return bool(self._notifying)

    @property
    def values(self) -> list[Any]:
        """What the successes returned, in the order of the tasks."""
        return [
            value
            for value, error, ended in zip(self._values, self._raised, self._ended, strict=True)
            if error is None and ended is not None
        ]

    def result(self) -> SplitResult:
        """What came of each branch, once there is a verdict."""
        now = time.perf_counter()
        epoch = time.time() - now
        lists: tuple[list[Outcome], list[Outcome], list[Outcome]] = ([], [], [])
        for index in range(self._total):
            which = 2 if self._ended[index] is None else 0 if self._raised[index] is None else 1
            lists[which].append(self._outcome(index, now, epoch))
        return SplitResult(*lists)

    def _outcome(self, index: int, now: float, epoch: float) -> Outcome:
        began, ended = self._began[index], self._ended[index]
        return Outcome(
            index,
            self._tasks[index].name,
            value=self._values[index],
            error=self._raised[index],
            started_at=None if began is None else epoch + began,
            duration=0.0 if began is None else (now if ended is None else ended) - began,
        )

    # For the workers.

    def take(self, job: Job) -> int | None:
        """The next branch to perform, or None to go home."""
        with self._lock:
            if self.verdict is not None or not self.pending:
                return None
            index = self.pending.popleft()
            self._running[index] = job
        self._began[index] = time.perf_counter()
        return index

    def land(self, index: int, value: Any, error: CanoError | None) -> None:
        """A branch has ended: put it on the tally and ask the strategy."""
        ended = time.perf_counter()
        with self._lock:
            self._running.pop(index, None)  # it may have been left behind
            if self.verdict is not None:
                return
            self._values[index] = value
            self._raised[index] = error
            self._ended[index] = ended
            if error is None:
                self._successes += 1
            else:
                self._errors += 1
            # As Tally(...) would, without its detour: this is done for each branch.
            tally = _make(Tally, (self._total, self._successes, self._errors))
            events = self._site.events
            is_heard = events is not None and events.has_listeners("branch_landed")
            self._notifying += is_heard
        if is_heard:  # before anybody decides by it
            self._tell(index, ended)
        self._ask(tally)

    def _tell(self, index: int, ended: float) -> None:
        """Tell the run's observers that a branch has landed."""
        events = self._site.events
        assert events is not None
        try:
            landed = self._outcome(index, ended, time.time() - ended)
            events.emit("branch_landed", state=self._site.state, outcome=landed)
        finally:
            with self._lock:
                self._notifying -= 1
                is_last = self.verdict is not None and not self._notifying
            if is_last:  # nothing lands after the verdict: there is one last
                self.all_notified.set_result(None)

    def drop(self, index: int) -> None:
        """A branch has ended as a consequence of a cancellation: that is no events."""
        with self._lock:
            self._running.pop(index, None)

    # For both.

    def settle(
        self, verdict: Verdict, *, problem: BaseException | None = None, timed_out: bool = False
    ) -> None:
        """The first verdict counts: from now on nothing lands, and nothing is written."""
        with self._lock:
            if self.verdict is not None:
                return
            self.verdict = verdict
            self.problem = problem
            self.timed_out = timed_out
            self.pending.clear()
        self._gate.close()
        self.decided.set_result(None)

    def _ask(self, tally: Tally) -> None:
        try:
            verdict: object = self._strategy.decide(tally)
        except Exception as error:
            self.settle(Verdict.FAIL, problem=self._broken(f"it raised {error!r}", error))
            return
        if verdict is Verdict.PROCEED or verdict is Verdict.FAIL:
            self.settle(verdict)
        elif verdict is not Verdict.WAIT:
            self.settle(Verdict.FAIL, problem=self._broken(f"it answered {verdict!r}"))
        elif tally.successes + tally.errors == tally.total:
            self.settle(
                Verdict.FAIL, problem=self._broken("it still waits after all branches have ended")
            )

    def _broken(self, why: str, cause: Exception | None = None) -> WorkflowError:
        error = WorkflowError(
            f"state {full_name(self._site.state)}: the strategy {self._strategy!r} is broken: "
            f"{why}; decide() must return a Verdict, and not WAIT once all branches have ended",
            state=self._site.state,
            run_id=self._site.run_id,
        )
        error.__cause__ = cause
        return error
