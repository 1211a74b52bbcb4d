"""A split's tracker: which branches are pending, running and landed, and what was decided."""

from __future__ import annotations

__all__ = ("Tracker",)

import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

from .._base.fence import Gate
from .._base.text import full_name
from .._base.waiting import Wakeup
from .._base.world import world
from .._model.outcome import Outcome, SplitResult
from .._model.strategy import JoinStrategy, Tally, Verdict
from .._model.task import BoundTask
from ..errors import CanoError, WorkflowError
from .events import RunEvents
from .jobs import Job

_make = tuple.__new__


class Tracker:
    """Passive: it starts nothing and waits for nothing. The workers and the coordinator drive it.

    The lock guards `_pending`, `_reserved`, `_running`, `_spare`, `_alive`, the counts and
    `verdict`. The strategy, which may be a user's, is asked without it. Once there is a verdict
    nothing lands any more: from then on the lists may be read without the lock.

    Args:
        tasks: the branches.
        strategy: what is asked whenever one of them has landed.
        gate: is closed by whoever decides.
        state: the state that is split, for errors and events.
        run_id: its run, for errors.
        events: where to emit; None where nobody listens.

    Attributes:
        decided: set by the one who decides.
        verdict: None until then.
        problem: what to raise instead of a failed join: a strategy that is broken, a branch
            that wants out of the program.
        timed_out: whether it was decided by the deadline.
        all_emitted: set, once there is a verdict, by the last of the threads that were emitting
            by then that their branch has landed; see `is_emitting`.
    """

    def __init__(
        self,
        tasks: Sequence[BoundTask],
        strategy: JoinStrategy,
        gate: Gate,
        *,
        state: Any,
        run_id: str,
        events: RunEvents | None,
    ) -> None:
        count = self._total = len(tasks)
        self._tasks = tasks
        self._strategy = strategy
        self._gate = gate
        self._state = state
        self._run_id = run_id
        self._events = events
        # Re-entrant for a signal handler that shuts a user's executor down: it ends workers.
        self._lock = threading.RLock()
        self._pending = deque(range(count))  # not yet taken; empty after the verdict
        self._reserved = 0  # of the pending ones, those that a worker is about to take
        self._running: dict[int, Job] = {}  # who runs a branch, by its index
        self._spare = 0  # how many workers may still be started
        self._alive = 0  # how many workers of a user's executor may still come, or are here
        self._successes = 0
        self._errors = 0
        self._emitting = 0  # branches that are on the tally, and whose landing is being emitted
        self._values: list[Any] = [None] * count
        self._raised: list[CanoError | None] = [None] * count
        self._began: list[float | None] = [None] * count
        self._ended: list[float | None] = [None] * count
        self.decided = Wakeup()
        self.all_emitted = Wakeup()
        self.verdict: Verdict | None = None
        self.problem: BaseException | None = None
        self.timed_out = False

    # For the coordinator.

    @property
    def wants_workers(self) -> bool:
        """Whether there is still a branch to be taken; never after the verdict."""
        return bool(self._pending)

    def allow_workers(self, count: int) -> None:
        """So many workers may be started, each claimed by `claim_worker()`."""
        with self._lock:
            self._spare = count

    def expect_worker(self) -> None:
        """One more worker of a user's executor may come and take branches."""
        with self._lock:
            self._alive += 1

    def lose_worker(self) -> bool:
        """One fewer may; are branches pending now that nobody will take?"""
        with self._lock:
            self._alive -= 1
            return not self._alive and self.wants_workers

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

    def running(self) -> dict[int, Job]:
        """The workers that are with a branch at this moment, by its index."""
        with self._lock:
            return dict(self._running)

    @property
    def is_emitting(self) -> bool:
        """Whether it is still being emitted that a branch has landed before the verdict."""
        with self._lock:
            return bool(self._emitting)

    @property
    def values(self) -> list[Any]:
        """What the successes returned, in the order of the tasks."""
        return [
            value
            for value, error, ended in zip(self._values, self._raised, self._ended, strict=True)
            if error is None and ended is not None
        ]

    def began(self, index: int) -> float:
        """When a branch was taken, on the clock of `time.perf_counter()`; now, if it was not."""
        began = self._began[index]
        return world.perf_counter() if began is None else began

    def result(self) -> SplitResult:
        """What came of each branch, once there is a verdict."""
        now = world.perf_counter()
        epoch = world.wall() - now
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

    def claim_worker(self) -> bool:
        """Whether to start one more worker: it is allowed, and there is a branch for it."""
        with self._lock:
            if not self._spare or not self._pending:
                return False
            self._spare -= 1
            return True

    def reserve(self) -> bool:
        """Keep one of the pending branches for this worker, which takes it by `take`.

        In a split whose workers do so, all of them do.
        """
        with self._lock:
            if len(self._pending) <= self._reserved:
                return False
            self._reserved += 1
            return True

    def take(self, job: Job, *, is_reserved: bool = False) -> int | None:
        """The next branch to run, or None when there is none.

        Args:
            job: whose worker asks.
            is_reserved: whether it has reserved one; then there is none only after the verdict.
        """
        with self._lock:
            if is_reserved:  # in one step, or another worker would reserve the same one in between
                self._reserved -= 1
            if not self._pending:
                return None
            index = self._pending.popleft()
            self._running[index] = job
            # Under the lock: whoever decides sees either that it is pending or when it began.
            self._began[index] = world.perf_counter()
            return index

    def land(self, index: int, value: Any, error: CanoError | None) -> None:
        """A branch has ended: put it on the tally and ask the strategy."""
        ended = world.perf_counter()
        with self._lock:
            self._running.pop(index, None)  # it may have been abandoned
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
            events = self._events
            has_listeners = events is not None and events.has_listeners("branch_landed")
            self._emitting += has_listeners
        if has_listeners:  # before anybody decides by it
            self._emit_landed(index, ended)
        self._ask(tally)

    def _emit_landed(self, index: int, ended: float) -> None:
        assert self._events is not None
        try:
            outcome = self._outcome(index, ended, world.wall() - ended)
            self._events.emit("branch_landed", state=self._state, outcome=outcome)
        finally:
            with self._lock:
                self._emitting -= 1
                is_last = self.verdict is not None and not self._emitting
            if is_last:  # nothing lands after the verdict: there is one last
                self.all_emitted.set()

    def drop(self, index: int) -> None:
        """A branch has ended as a consequence of a cancellation, or is abandoned.

        It does not count.
        """
        with self._lock:
            self._running.pop(index, None)

    # For both.

    def settle(
        self, verdict: Verdict, *, problem: BaseException | None = None, timed_out: bool = False
    ) -> None:
        """Decide, for PROCEED or for FAIL. The first verdict counts.

        From now on nothing lands, and nothing is written.
        """
        with self._lock:
            if self.verdict is not None:
                return
            self._pending.clear()  # nothing is taken any more
            self.problem = problem
            self.timed_out = timed_out
            self.verdict = verdict  # last: where Ctrl-C comes in between, the caller settles again
        # In between the coordinator may find that its time is up, see the verdict and go on. That
        # does no harm: for as long as a branch is running it closes the gate itself.
        self._gate.close()
        self.decided.set()

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
            f"state {full_name(self._state)}: the strategy {self._strategy!r} is broken: {why}; "
            "decide() must return a Verdict, and not WAIT once all branches have ended",
            state=self._state,
            run_id=self._run_id,
        )
        error.__cause__ = cause
        return error
