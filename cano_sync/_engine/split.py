"""One split: seats on a pool for its branches, one wait for its verdict, a fence behind it."""

from __future__ import annotations

__all__ = ("Split",)

import time
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from contextlib import ExitStack
from contextvars import copy_context
from types import CoroutineType
from typing import Any

from ..cancellation import CancellationToken, Cancelled
from ..description import show
from ..errors import JoinError, SplitTimeoutError, TaskExecutionError, WorkflowError, describe
from ..fence import fence
from ..join import JoinConfig
from ..outcome import SplitResult
from ..store import Store
from ..strategy import Verdict
from ..task import BoundTask
from .attempts import NEVER_RUN, Site, failure
from .away import PATIENCE, Bell, wait_first
from .ledger import Ledger
from .perform import perform
from .place import Place, enter, here
from .pool import Errand, Pool, process_pool
from .tokens import EngineToken


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
        self._entered = entered
        limit = join.timeout
        self._deadline = None if limit is None else entered + limit
        place = here()
        self._pool: Pool | None = None  # the process's, unless the user's can be used
        # Below any user's executor, not only this one: two of them that wait for each other,
        # crosswise, would never end.
        if executor is None or place.borrowed:
            self._pool = process_pool(place.depth + 1)
        borrowed = place.borrowed or self._pool is None
        self._executor = self._pool or executor
        self._store, self._gate = fence(store, place.gate)
        self._stopped: Bell = Future()
        self._token = EngineToken(
            token, deadline=self._deadline, bell=lambda: self._stopped.set_result(None)
        )
        self._context = copy_context()
        inside = Place(place.depth + 1, borrowed=borrowed, gate=self._gate)
        self._context.run(enter, inside, self._token)
        self._ledger = Ledger(tasks, join.effective, site, self._gate)

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
        try:
            self._tell_start()
            ledger.ask()
            if ledger.wants_seats:
                self._start_seats(min(len(self._tasks), self._join.bulkhead or len(self._tasks)))
            self._wait()
            self._tell_verdict()
        finally:
            if ledger.verdict is None:  # after a cancellation or Ctrl-C: the end of all writing
                ledger.settle(Verdict.FAIL)
            try:
                self._leave_behind()
            finally:
                self._token.release()
        if ledger.problem is not None:
            raise ledger.problem
        if ledger.verdict is not Verdict.PROCEED:
            self._fail()

    def _start_seats(self, count: int) -> None:
        if self._pool is None:
            self._submit_seats(count)
            return
        try:
            self._pool.start([Errand(self._pool, self._serve) for _ in range(count)])
        except RuntimeError as error:
            raise self._problem(f"there is no thread for its branches: {error}") from error

    def _submit_seats(self, count: int) -> None:
        """Submit them to the user's executor, as long as there is something to sit down for.

        It may be shut down, or break, with seats in its queue. As long as one of them comes, the
        work is done; when there is none left, nobody waits for them.
        """
        ledger, executor = self._ledger, self._executor
        assert executor is not None
        ledger.expect_seat()  # this thread stands for those that are still to be submitted
        refused: RuntimeError | None = None
        while count and ledger.wants_seats and refused is None:
            count -= 1
            ledger.expect_seat()
            try:
                seat = executor.submit(Errand(None, self._serve).run)
            except RuntimeError as error:
                ledger.lose_seat()
                refused = error
            else:
                seat.add_done_callback(self._seat_ended)
        if ledger.lose_seat():
            why = "was shut down" if refused is None else f"takes no more work: {refused}"
            raise self._no_executor(why) from refused

    def _wait(self) -> None:
        """Wait for the verdict, the deadline or a cancellation."""
        # The token's deadline is the earliest of all above, too: who waits for that may be gone,
        # where this thread, or a forked child, has outlived the run whose context it is in.
        wait_first(self._ledger.decided, self._stopped, self._token.deadline)
        if self._token.is_told:
            # A branch may have cancelled the token that it was given: that ends the run.
            self._parent.cancel(self._token.reason)
            raise Cancelled(self._token.reason)
        if not self._ledger.decided.done():
            if self._deadline != self._token.deadline:
                raise Cancelled(self._token.reason)  # the time of one above was up
            self._ledger.time_is_up()

    def _leave_behind(self) -> None:
        """Cancel what still runs, and count it as abandoned until it returns."""
        running = self._ledger.left_behind()
        if not running:
            return
        self._gate.close(PATIENCE)
        self._token.cancel_apart("the join was decided without this branch")
        news = self._site.news
        if news is None:
            for errand in running.values():
                errand.abandon()
            return
        with ExitStack() as last_first:  # each of them, though Ctrl-C may come in a hook
            for index, errand in reversed(running.items()):
                last_first.callback(news.leave, index, errand, self._token.reason)

    # The run's observers.

    def _tell_start(self) -> None:
        news = self._site.news
        if news is not None and news.hears("split_started"):
            names = tuple([task.name for task in self._tasks])
            news.tell("split_started", state=self._site.state, tasks=names, join=self._join)

    def _tell_verdict(self) -> None:
        news, ledger = self._site.news, self._ledger
        if news is None:
            return
        if ledger.is_telling:
            # A branch that had landed before the verdict tells so before: what comes is in order.
            wait_first(ledger.all_told, self._stopped, self._token.deadline)
        if ledger.problem is not None or not news.hears("join_decided"):
            return
        news.tell(
            "join_decided",
            state=self._site.state,
            verdict=ledger.verdict,
            result=ledger.result(),
            timed_out=ledger.timed_out,
            duration=time.monotonic() - self._entered,
        )

    def _fail(self) -> None:
        """Raise the failed join, from the errors of its branches."""
        state, result = self._site.state, self._ledger.result()
        kind: type[JoinError] = JoinError
        strategy = self._join.strategy
        impossible = strategy.problem_with(total=result.total, timeout=self._join.timeout)
        why = impossible or f"{strategy!r} failed"
        if not result.total:
            why += " over an empty list of tasks"
        if self._ledger.timed_out:
            kind = SplitTimeoutError
            why = f"{self._join.strategy!r} was not reached within {self._join.timeout:g} s"
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

    def _serve(self, seat: Errand) -> None:
        """Perform pending branches until there are none, or the verdict is there."""
        ledger = self._ledger
        try:
            index = ledger.take(seat)
            while index is not None:
                self._branch(index)
                index = ledger.take(seat) if ledger.pending else None
        except BaseException as bug:  # nobody reads a seat's future: let the caller know
            ledger.settle(Verdict.FAIL, problem=bug)

    def _branch(self, index: int) -> None:
        """One branch, in a context of its own, and its landing."""
        task, ledger = self._tasks[index], self._ledger
        context = self._context.copy()
        try:
            here = self._site
            if task.is_simple and here.news is None:
                value = context.run(task.plain, self._store)
            else:
                site = Site(here.run_id, here.state, index, here.error, here.news)
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
            if type(value) is CoroutineType:
                value.close()
                unrun = TaskExecutionError(
                    f"state {show(self._site.state)}: task {task.name!r} returned {NEVER_RUN}"
                )
                ledger.land(index, None, failure(unrun, task.name, self._site))
            else:
                ledger.land(index, value, None)

    def _seat_ended(self, seat: Future[None]) -> None:
        """A seat of the user's executor has come and gone, or will never come."""
        if self._ledger.lose_seat():
            failed = None if seat.cancelled() else seat.exception()
            why = "was shut down while branches waited for it"
            if failed is not None:
                why = f"is broken: {describe(failed)}"
            problem = self._no_executor(why)
            problem.__cause__ = failed
            self._ledger.settle(Verdict.FAIL, problem=problem)

    def _no_executor(self, why: str) -> WorkflowError:
        return self._problem(
            f"the executor given to with_executor() {why}; keep it open until the last run has "
            "ended"
        )

    def _problem(self, why: str) -> WorkflowError:
        state = self._site.state
        return WorkflowError(f"state {show(state)}: {why}", state=state, run_id=self._site.run_id)
