"""One split: workers on a pool for its branches, one wait for its verdict, a fence behind it."""

from __future__ import annotations

__all__ = ("Split",)

import copy
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from contextvars import copy_context
from functools import partial
from types import CoroutineType
from typing import Any

from .._base.cancellation import Cancelled
from .._base.engine_token import EngineToken
from .._base.fence import fence
from .._base.inline import InlineExecutor
from .._base.store import Store
from .._base.text import error_text, full_name
from .._base.waiting import INTERRUPTS, Wakeup, wait_first
from .._base.world import world
from .._model.join import JoinConfig
from .._model.outcome import SplitResult
from .._model.strategy import Verdict
from .._model.task import BoundTask, TaskContext, Visit
from ..errors import (
    CanoError,
    JoinError,
    SplitTimeoutError,
    TaskExecutionError,
    WorkflowError,
    is_interruption,
)
from .events import RunEvents
from .jobs import Job
from .nesting import Nesting
from .offload import WRITE_GRACE
from .pool import Pool, process_pool
from .report import DeafTask
from .surroundings import JobSurroundings, Surroundings
from .task_run import NEVER_RUN, TaskRun, failure
from .tracker import Tracker

FAN_OUT = 2
"""How many workers each worker starts before its first branch."""


class Split:
    """What happens in one split, from the first branch to the verdict.

    The *coordinator* (the run's thread) starts the first worker and waits. A *worker* is a job on
    the pool that runs one pending branch after the other; there are as many as branches, or as the
    bulkhead allows. Each starts up to two more before its first branch, as long as there are
    branches that nobody has taken. So the coordinator is free to see the verdict, the deadline and
    the cancellation at once, however long it takes to start all the threads; none is started that
    nobody needs any more; and short branches are done by the few threads that come first, without
    the hundreds that would only wake up to wait for the interpreter's lock.

    The worker whose branch makes the outcome certain decides.

    Args:
        tasks: the branches.
        join: how they join.
        store: the run's store.
        token: the run's token.
        state: the state that is split.
        run_id: the run's id.
        error: what led to this error state, or None.
        surroundings: what surrounds the run.
        events: where to emit its events; None where nobody listens.
        executor: the user's, or None for the process's pool.
        entered: when the state was entered, on the monotonic clock.
        visit: the visit of the state, where the run is recorded.
    """

    def __init__(
        self,
        tasks: Sequence[BoundTask],
        join: JoinConfig[Any],
        store: Store,
        token: EngineToken,
        *,
        state: Any,
        run_id: str,
        error: CanoError | None,
        surroundings: Surroundings,
        events: RunEvents | None,
        executor: Executor | None,
        entered: float,
        visit: Visit | None = None,
    ) -> None:
        self.tasks = tasks
        self.strategy = join.effective
        self._join = join
        self._state = state
        self._run_id = run_id
        self._error = error
        self._events = events
        self._visit = visit
        self._parent = token
        self._entered = entered
        self._deadline = None if join.timeout is None else entered + join.timeout
        nesting = Nesting.current()
        if nesting.is_inline:
            executor = InlineExecutor()
        self._is_inline = isinstance(executor, InlineExecutor)
        self._surroundings = surroundings
        if not self._is_inline:
            self._surroundings = surroundings.hand_over("split", state=state, run_id=run_id)
        self._pool: Pool | None = None  # the process's, unless the user's can be used
        # Below any user's executor, not only this one: two of them that wait for each other,
        # crosswise, would never end.
        if executor is None or (nesting.on_user_executor and not self._is_inline):
            self._pool = process_pool(nesting.depth + 1)
        on_user_executor = nesting.on_user_executor or (self._pool is None and not self._is_inline)
        self._executor = executor
        self._is_bare = not self._surroundings.has_tasks
        self._stays = nesting.is_inline  # the attempts of its branches
        self._store, self._gate = fence(store, nesting.gate)
        # Guards where errors that several branches may raise, one object, say they come from.
        self._locating = threading.Lock()
        self._stopped = Wakeup()
        self._token = EngineToken(token, deadline=self._deadline, wakeup=self._stopped)
        self._context = copy_context()
        inside = Nesting(
            nesting.depth + 1,
            on_user_executor=on_user_executor,
            gate=self._gate,
            is_inline=nesting.is_inline,
        )
        self._context.run(inside.enter, self._token)
        self._tracker = Tracker(
            tasks, join.effective, self._gate, state=state, run_id=run_id, events=events
        )

    @property
    def values(self) -> list[Any]:
        """What the successes returned, in the order of the tasks."""
        return self._tracker.values

    @property
    def result(self) -> SplitResult:
        """What came of it, once it was executed."""
        return self._tracker.result()

    def execute(self) -> None:
        """Run the branches until the strategy says to proceed.

        Raises:
            JoinError: the strategy said "fail".
            SplitTimeoutError: the time was up.
            Cancelled: the run was cancelled.
        """
        tracker = self._tracker
        try:
            self._emit_started()
            tracker.ask()
            if tracker.wants_workers:
                self._start_workers(min(len(self.tasks), self._join.bulkhead or len(self.tasks)))
            self._wait()
            self._emit_decided()
        finally:
            interrupt: BaseException | None = None
            for _ in INTERRUPTS:
                try:
                    self._leave()
                    break
                except BaseException as error:
                    interrupt = error
            if interrupt is not None:
                raise interrupt
        if tracker.problem is not None:
            raise tracker.problem
        if tracker.verdict is not Verdict.PROCEED:
            self._fail()

    def _start_workers(self, count: int) -> None:
        if self._pool is None:
            self._submit_workers(count)
            return
        self._tracker.allow_workers(count - 1)
        try:
            self._pool.start(Job(self._pool, self._work))
        except RuntimeError as error:
            raise self._problem(f"there is no thread for its branches: {error}") from error

    def _submit_workers(self, count: int) -> None:
        """Submit them to the user's executor, as long as there are branches to be taken.

        It may be shut down, or break, with workers in its queue. As long as one of them comes, the
        work is done; when there is none left, nobody waits for them.
        """
        tracker, executor = self._tracker, self._executor
        assert executor is not None
        tracker.expect_worker()  # this thread stands for those that are still to be submitted
        refused: RuntimeError | None = None
        while count and tracker.wants_workers and refused is None and not self._token.cancelled:
            count -= 1
            tracker.expect_worker()
            try:
                worker = executor.submit(Job(None, self._work).run)
            except RuntimeError as error:
                tracker.lose_worker()
                refused = error
            else:
                worker.add_done_callback(self._worker_ended)
        if tracker.lose_worker() and not self._token.cancelled:
            why = "was shut down" if refused is None else f"takes no more work: {refused}"
            raise self._no_executor(why) from refused

    def _wait(self) -> None:
        """Wait for the verdict, the deadline or a cancellation."""
        # The token's deadline is the earliest of all above, too: who waits for that may be gone,
        # where this thread, or a forked child, has outlived the run whose context it is in.
        wait_first(self._tracker.decided, self._stopped, self._token.deadline)
        if self._token.cancel_called:
            # A branch may have cancelled the token that it was given: that ends the run.
            self._parent.cancel(self._token.reason)
            raise Cancelled(self._token.reason)
        if not self._tracker.decided.done():
            # The token's deadline is the earliest of its own and those above, one of these numbers
            # itself and nothing computed from them: so to be equal is to be that one.
            if self._deadline != self._token.deadline:
                raise Cancelled(self._token.reason)  # the time of one above was up
            self._tracker.time_is_up()

    def _leave(self) -> None:
        """What is to be done at the end; again, where Ctrl-C comes in the middle."""
        if self._tracker.verdict is None:  # after a cancellation or Ctrl-C: the end of all writing
            self._tracker.settle(Verdict.FAIL)
        self._abandon_running()
        self._token.release()

    def _abandon_running(self) -> None:
        """Cancel what still runs, and count it as abandoned until it returns."""
        running = self._tracker.running()
        if not running:
            return
        self._gate.close(WRITE_GRACE)
        self._token.cancel_nowait("the join was decided without this branch")
        interrupt: BaseException | None = None
        for index, job in running.items():
            job.doing = partial(self._doing, index)
            try:
                if self._events is None:
                    job.abandon()
                else:
                    self._events.abandon(index, job, self._token.reason)
                self._tracker.drop(index)
            except BaseException as error:  # Ctrl-C, in a hook perhaps: the others first
                interrupt = error
        if interrupt is not None:
            raise interrupt  # and once more those that were not dropped

    def _doing(self, index: int) -> tuple[str, DeafTask]:
        """What a branch does that was abandoned."""
        seconds = world.perf_counter() - self._tracker.began(index)
        return self._run_id, DeafTask(self._state, self.tasks[index].name, index, seconds)

    # The run's observers.

    def _emit_started(self) -> None:
        events = self._events
        if events is not None and events.has_listeners("split_started"):
            names = tuple([task.name for task in self.tasks])
            events.emit("split_started", state=self._state, tasks=names, join=self._join)

    def _emit_decided(self) -> None:
        events, tracker = self._events, self._tracker
        if events is None:
            return
        if tracker.is_emitting:
            # That a branch had landed before the verdict is emitted before it; but at the deadline,
            # or when the run is cancelled, a hook that has not returned is not waited for: then the
            # order may be join_decided, run_finished, branch_landed.
            wait_first(tracker.all_emitted, self._stopped, self._token.deadline)
        if tracker.problem is not None or not events.has_listeners("join_decided"):
            return
        events.emit(
            "join_decided",
            state=self._state,
            verdict=tracker.verdict,
            result=tracker.result(),
            timed_out=tracker.timed_out,
            duration=world.monotonic() - self._entered,
        )

    def _fail(self) -> None:
        """Raise the failed join, from the errors of its branches."""
        state, result = self._state, self._tracker.result()
        kind: type[JoinError] = JoinError
        strategy = self._join.strategy
        impossible = strategy.problem_with(total=result.total, timeout=self._join.timeout)
        why = impossible or f"{strategy!r} failed"
        if not result.total:
            why += " over an empty list of tasks"
        if self._tracker.timed_out:
            kind = SplitTimeoutError
            why = f"{strategy!r} was not reached within {self._join.timeout:g} s"
        error = kind(
            f"state {full_name(state)}: {why}: {result.summary}",
            result=result,
            state=state,
            run_id=self._run_id,
        )
        causes = [outcome.error for outcome in result.errors if outcome.error is not None]
        if not causes:
            raise error
        raise error from ExceptionGroup(f"branches of {full_name(state)} that failed", causes)

    # On the pool's threads.

    def _work(self, job: Job) -> None:
        """Run pending branches until there are none, or the verdict or a cancellation is there."""
        tracker, token = self._tracker, self._token
        try:
            self._start_more()  # before a branch is taken: one that is taken has begun
            # The coordinator is only just being woken where somebody has cancelled: it settles
            # later than this thread could take the next branch. So each looks at the token first.
            around_job = self._surroundings.around_job(state=self._state, run_id=self._run_id)
            if self._is_inline:
                self._take_inline(job)
            elif around_job is not None:
                self._take_surrounded(job, around_job)
            else:
                while tracker.wants_workers and not token._cancelled:
                    index = tracker.take(job)
                    if index is None:
                        return
                    self._branch(index)
        except BaseException as bug:  # nobody reads a worker's future: let the caller know
            tracker.settle(Verdict.FAIL, problem=bug)

    def _take_inline(self, job: Job) -> None:
        """As any worker, but on the coordinator's thread: so it must look at the time itself."""
        tracker, token = self._tracker, self._token
        while not token.cancelled and (index := tracker.take(job)) is not None:
            self._branch(index)

    def _take_surrounded(self, job: Job, around_job: JobSurroundings) -> None:
        """As any worker, within what surrounds its thread.

        That is left before its last branch lands: when all have landed, the coordinator goes on,
        and by then nothing shall be left on the pool's threads. So a branch is reserved before what
        surrounds is entered, and the next one before this one lands: a worker that is inside has a
        branch that has not landed.
        """
        tracker, context = self._tracker, self._context.copy()
        if not tracker.reserve():
            return

        def before_landing() -> None:
            if not tracker.reserve():
                context.run(around_job.leave)

        context.run(around_job.enter)
        try:
            while not self._token._cancelled and around_job.is_entered:
                index = tracker.take(job, is_reserved=True)
                if index is None:  # there is a verdict
                    return
                self._branch(index, before_landing)
        finally:
            context.run(around_job.leave)

    def _start_more(self) -> None:
        """Start the next workers, before this one is busy for who knows how long."""
        pool, tracker = self._pool, self._tracker
        if pool is None:
            return
        for _ in range(FAN_OUT):
            if self._token._cancelled or not tracker.claim_worker():
                return
            try:
                pool.start(Job(pool, self._work))
            except RuntimeError:
                # The pool is closed, or the system has no more threads. The workers that are
                # there do what is left, one branch after the other: there is one at least.
                tracker.allow_workers(0)
                return

    def _branch(self, index: int, before_landing: Callable[[], None] | None = None) -> None:
        """One branch, in a context of its own, and its landing."""
        task, tracker = self.tasks[index], self._tracker
        context = self._context.copy()
        if world.branch_begins is not None:
            world.branch_begins(self, index, context)
        try:
            if task.is_simple and self._events is None:
                if self._is_bare:
                    value = context.run(task.plain, self._store)
                else:
                    value = context.run(self._call_surrounded, task, index)
            else:
                value = context.run(self._task_run(index).execute)
        except (Exception, Cancelled) as error:
            if before_landing is not None:
                before_landing()
            if world.branch_ends is not None:
                world.branch_ends(self)
            if self._token.cancelled:
                # The coordinator is woken by the cancellation itself, or by the deadline, which it
                # knows.
                tracker.drop(index)
            elif is_interruption(error):  # of a run nested in the branch: nobody's failure
                tracker.settle(Verdict.FAIL, problem=error)
                tracker.drop(index)
            else:
                tracker.land(index, None, self._failure(error, task))
        except BaseException as error:  # SystemExit, KeyboardInterrupt: for the caller
            tracker.settle(Verdict.FAIL, problem=error)
            tracker.drop(index)
        else:
            if before_landing is not None:
                before_landing()
            if world.branch_ends is not None:
                world.branch_ends(self)
            if self._is_inline and self._token.cancelled:
                tracker.drop(index)  # nobody could end the wait for it in time
            elif type(value) is CoroutineType:
                value.close()
                unrun = TaskExecutionError(
                    f"state {full_name(self._state)}: task {task.name!r} returned {NEVER_RUN}"
                )
                tracker.land(index, None, self._failure(unrun, task))
            else:
                tracker.land(index, value, None)

    def _call_surrounded(self, task: BoundTask, index: int) -> Any:
        """As a TaskRun would; where no events are emitted, this is all that there is to it."""
        surroundings = self._surroundings
        facts: tuple[Any, ...] = () if self._visit is None else self._visit.facts(index)
        context = TaskContext(
            self._run_id, self._state, index, 1, self._error, surroundings.thread, *facts
        )
        return surroundings.call(task, self._store, self._token, context)

    def _task_run(self, index: int) -> TaskRun:
        return TaskRun(
            self.tasks[index],
            self._store,
            self._token,
            self._run_id,
            self._state,
            self._surroundings,
            index=index,
            error=self._error,
            stays=self._stays,
            events=self._events,
            visit=self._visit,
        )

    def _failure(self, error: Exception | Cancelled, task: BoundTask) -> CanoError:
        """A branch's error as its outcome has it."""
        if not isinstance(error, CanoError):  # it gets one of its own; its text may be user code
            return failure(error, task.name, self._state, self._run_id)
        with self._locating:
            if error.run_id == self._run_id and error.task not in (None, task.name):
                # Two branches have raised one object, and it has the name of the first in it.
                error = _unlocated_copy(error)
            return failure(error, task.name, self._state, self._run_id)

    def _worker_ended(self, worker: Future[None]) -> None:
        """A worker of the user's executor has come and gone, or will never come."""
        if self._tracker.lose_worker():
            failed = None if worker.cancelled() else worker.exception()
            why = "was shut down while branches waited for it"
            if failed is not None:
                why = f"is broken: {error_text(failed)}"
            problem = self._no_executor(why)
            problem.__cause__ = failed
            self._tracker.settle(Verdict.FAIL, problem=problem)

    def _no_executor(self, why: str) -> WorkflowError:
        return self._problem(
            f"the executor given to with_executor() {why}; keep it open until the last run has "
            "ended"
        )

    def _problem(self, why: str) -> WorkflowError:
        state = self._state
        return WorkflowError(f"state {full_name(state)}: {why}", state=state, run_id=self._run_id)


def _unlocated_copy(error: CanoError) -> CanoError:
    twin = copy.copy(error)
    twin.__cause__, twin.__traceback__ = error.__cause__, error.__traceback__
    twin.run_id = twin.state = twin.task = None
    return twin
