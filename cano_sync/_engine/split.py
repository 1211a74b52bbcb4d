"""One split: seats on a pool for its branches, one wait for its verdict, a fence behind it."""

from __future__ import annotations

__all__ = ("Split",)

import time
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from contextvars import copy_context
from typing import Any

from ..cancellation import (
    CancellationToken,
    Cancelled,
    cancel_from_engine,
    engine_token,
    release_token,
)
from ..description import show
from ..errors import JoinError, SplitTimeoutError, WorkflowError
from ..fence import fence
from ..join import JoinConfig
from ..outcome import SplitResult
from ..store import Store
from ..strategy import Verdict
from ..task import BoundTask
from .attempts import Site, failure, perform
from .away import PATIENCE, Bell, wait_first
from .ledger import Ledger
from .pool import Errand, Place, enter, here, process_pool


class Split:
    """What happens in one split, from the first branch to the verdict.

    The *coordinator* (the run's thread) starts the seats and waits. A *seat* is a job on the
    pool that performs one pending branch after the other; there are as many seats as branches,
    or as the bulkhead allows. The seat whose branch makes the outcome certain decides.

    Args:
        tasks: the branches.
        join: how they join.
        store: the run's store.
        token: the run's token.
        site: the run and the state, for errors.
        executor: the user's, or None for the process's pool.
        entered: when the state was entered, on the monotonic clock.
    """

    def __init__(
        self,
        tasks: Sequence[BoundTask],
        join: JoinConfig[Any],
        store: Store,
        token: CancellationToken,
        site: Site,
        executor: Executor | None,
        entered: float,
    ) -> None:
        self._tasks = tasks
        self._join = join
        self._site = site
        self._parent = token
        self._deadline = None if join.limit is None else entered + join.limit
        place = here()
        self._shared = executor is None or executor in place.executors
        if executor is None or self._shared:
            self._executor = process_pool(place.depth + 1)
            executors = place.executors
        else:
            self._executor = executor
            executors = (*place.executors, executor)
        self._store, self._gate = fence(store, place.gate)
        left = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
        self._token = engine_token(token, left)
        self._context = copy_context()
        self._context.run(enter, Place(place.depth + 1, executors, self._gate), self._token)
        self._ledger = Ledger(tasks, join.effective, site, self._gate)
        self._stopped: Bell = Future()

    @property
    def values(self) -> list[Any]:
        """What the successes returned, in the order of the tasks."""
        return self._ledger.values

    @property
    def result(self) -> SplitResult:
        """What came of it, once it was performed."""
        return self._ledger.result()

    def perform(self) -> None:
        """Run the branches until the strategy says to proceed.

        Raises:
            JoinError: the strategy said "fail".
            SplitTimeoutError: the time was up.
            Cancelled: the run was cancelled.
        """
        ledger = self._ledger
        bell = self._token.on_cancel(lambda: self._stopped.set_result(None))
        try:
            ledger.ask()
            self._start_seats()
            self._wait()
        finally:
            # A no-op after a verdict; after a cancellation or Ctrl-C the end of all writing.
            ledger.settle(Verdict.FAIL)
            bell.remove()
            self._leave_behind()
            release_token(self._token)
        if ledger.problem is not None:
            raise ledger.problem
        if ledger.verdict is not Verdict.PROCEED:
            self._fail()

    def _start_seats(self) -> None:
        """Submit seats until there are enough, or nothing is left to sit down for."""
        for number in range(min(len(self._tasks), self._join.bulkhead or len(self._tasks))):
            if not self._ledger.wants_seats:
                return
            try:
                seat = self._executor.submit(self._seat)
            except RuntimeError as error:
                if number:
                    return  # it was shut down meanwhile; the seats that are there do the work
                raise self._no_executor(f"takes no more work: {error}") from error
            if not self._shared:
                seat.add_done_callback(self._seat_ended)

    def _wait(self) -> None:
        """Wait for the verdict, the deadline or a cancellation."""
        decided = self._ledger.decided
        wait_first(decided, self._stopped, self._deadline)
        if decided.done():
            return
        if self._stopped.done():
            # A branch may have cancelled the token that it was given: that ends the run.
            self._parent.cancel(self._token.reason)
            raise Cancelled(self._token.reason)
        self._ledger.time_is_up()

    def _leave_behind(self) -> None:
        """Cancel what still runs, and count it as abandoned until it returns."""
        running = self._ledger.left_behind()
        if not running:
            return
        self._gate.close(PATIENCE)
        cancel_from_engine(self._token, "the join was decided without this branch")
        for errand in running:
            errand.abandon()

    def _fail(self) -> None:
        """Raise the failed join, from the errors of its branches."""
        state, result = self._site.state, self._ledger.result()
        kind: type[JoinError] = JoinError
        why = f"{self._join.strategy!r} failed"
        if self._ledger.timed_out:
            kind = SplitTimeoutError
            why = f"{self._join.strategy!r} was not reached within {self._join.limit:g} s"
        error = kind(
            f"state {show(state)}: {why}: {result.summary}",
            result=result,
            state=state,
            run_id=self._site.run_id,
        )
        causes = [outcome.error for outcome in result.errors if outcome.error is not None]
        if not causes:
            raise error
        raise error from ExceptionGroup(f"branches of {show(state)} that failed", causes)

    # On the pool's threads.

    def _seat(self) -> None:
        """Perform pending branches until there are none, or the verdict is there."""
        errand = Errand(self._executor)
        errand.begin()
        try:
            while (index := self._ledger.take(errand)) is not None:
                self._branch(index)
        except BaseException as bug:  # nobody reads a seat's future: let the caller know
            self._ledger.settle(Verdict.FAIL, problem=bug)
        finally:
            errand.end()

    def _branch(self, index: int) -> None:
        """One branch, in a context of its own, and its landing."""
        task, ledger = self._tasks[index], self._ledger
        context = self._context.copy()
        try:
            if task.is_simple:
                value = context.run(task.plain, self._store)
            else:
                here = self._site
                site = Site(here.run_id, here.state, index, here.error)
                value = context.run(perform, task, self._store, self._token, site)
        except (Exception, Cancelled) as error:
            if self._token.cancelled:
                ledger.drop(index)  # the coordinator hears of the cancellation itself
            else:
                ledger.land(index, None, failure(error, task.name, self._site))
        except BaseException as error:  # SystemExit, KeyboardInterrupt: for the caller
            ledger.settle(Verdict.FAIL, problem=error)
            ledger.drop(index)
        else:
            ledger.land(index, value, None)

    def _seat_ended(self, seat: Future[None]) -> None:
        """A user's executor was shut down with seats in its queue: do not wait for them."""
        if seat.cancelled() and self._ledger.is_stranded:
            problem = self._no_executor("was shut down while branches waited for it")
            self._ledger.settle(Verdict.FAIL, problem=problem)

    def _no_executor(self, why: str) -> WorkflowError:
        return WorkflowError(
            f"state {show(self._site.state)}: the executor given to with_executor() {why}; keep "
            "it open until the last run has ended",
            state=self._site.state,
            run_id=self._site.run_id,
        )
