"""One run: the loop from state to state, and what may stop it."""

from __future__ import annotations

__all__ = ("Run",)

import os
import threading
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from .._base.cancellation import CancellationToken, Cancelled
from .._base.current import current_token_or_none, set_current_token
from .._base.engine_token import EngineToken
from .._base.fence import fence
from .._base.lazy import Lazy
from .._base.store import MemoryStore, Store
from .._base.text import full_name
from .._base.tracebacks import without_engine_frames
from .._base.world import world
from .._model.around import HandOver
from .._model.description import SingleState, SplitState
from .._model.outcome import SplitResult
from .._model.task import BoundTask, Visit
from ..errors import (
    CanoError,
    JoinError,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowTimeoutError,
    is_interruption,
)
from .draining import drains, running
from .events import RunEvents
from .jobs import Job
from .listing import list_branches
from .machine import Entry, Machine
from .nesting import Nesting
from .offload import Abandoned, run_on_pool
from .pool import process_pool
from .report import DeafTask
from .request import Request
from .split import Split
from .staying import Stopped, run_here
from .surroundings import JobSurroundings
from .task_run import TaskRun, failure

if TYPE_CHECKING:
    from . import journal
else:
    journal = Lazy(".journal", __package__)  # for runs that are recorded only

_id_lock = threading.RLock()  # guards that each run has one id; re-entrant for a signal handler


def _renew_lock() -> None:
    """In a forked child: a thread that is not here may have held it."""
    global _id_lock
    _id_lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class Run:
    """What happens once: one walk through a machine. Made and executed by one thread.

    Only what says where the run is, or abandons it, is used on another thread than the one that
    walks.

    Args:
        machine: what is run.
        initial_state: where it begins; the machine knows it.
        store: what its tasks share.
        cancel: the caller's token, or None.
        stays: whether its limits are kept on the calling thread.
        request: what was asked for, where the machine keeps its runs: its initial state may be
            None, for a run that is resumed.
    """

    __slots__ = (
        "_asks",
        "_cancel",
        "_entry",
        "_events",
        "_future",
        "_id",
        "_journal",
        "_machine",
        "_outer",
        "_request",
        "_stays",
        "_store",
        "_surroundings",
        "_token",
    )

    def __init__(
        self,
        machine: Machine,
        initial_state: Any,
        store: Store,
        cancel: CancellationToken | None,
        *,
        stays: bool = False,
        request: Request | None = None,
    ) -> None:
        entry = machine.find(initial_state)
        self._machine = machine
        self._entry: Entry  # where it is: read by whoever reports its end, on another thread
        if entry is not None:  # one that is resumed has none before its journal is open
            self._entry = entry
        self._request = request
        self._journal: journal.Journal | None = None
        self._store = store
        self._cancel = cancel
        self._outer = current_token_or_none()  # of the task that this run is nested in
        self._token: EngineToken
        self._id: str | None = None
        self._future: Future[Any] | None = None  # of one that was submitted
        self._events: RunEvents | None = None
        self._stays = stays or machine.description.stays
        self._asks = False  # whether what surrounds it is asked, though nothing leaves this thread
        self._surroundings = machine.surroundings  # those of the thread that it is on

    @property
    def is_observed(self) -> bool:
        """Whether anybody listens to its events."""
        return bool(self._machine.listeners)

    @property
    def id(self) -> str:
        """The run's id, made when somebody first asks: most runs on one thread end without.

        A drain may be the one who asks, on another thread, while the run's own does so, too.
        """
        if self._id is None:
            with _id_lock:
                if self._id is None:
                    self._id = world.entropy(16).hex()
        return self._id

    @property
    def _known_entry(self) -> Entry | None:
        return getattr(self, "_entry", None)

    # For a drain, on another thread.

    @property
    def token(self) -> CancellationToken | None:
        """The token of its tasks, as soon as there is one."""
        token: CancellationToken | None = getattr(self, "_token", None)
        return token

    def call_off(self, reason: str) -> None:
        """Cancel it, if it has its token, or waits for a thread; if not, it will ask."""
        token: EngineToken | None = getattr(self, "_token", None)
        if token is not None:
            token.cancel_nowait(reason)
        elif self._future is not None and self._future.cancel():
            self._leave(is_cancelled=True)

    def where(self, seconds: float) -> tuple[Any, tuple[DeafTask, ...]]:
        """The state that it is in, and the task that the thread is with which walks.

        Args:
            seconds: for how long it has been running.
        """
        entry = self._known_entry
        if entry is None:
            return None, ()
        what = entry.what
        task = what.task if isinstance(what, SingleState) else None
        if isinstance(what, SplitState):  # its branches are abandoned by themselves
            task = what.factory
        if task is None:
            return entry.state, ()
        return entry.state, (DeafTask(entry.state, task.name, None, seconds),)

    def _doing(self, began: float) -> tuple[str, DeafTask] | None:
        _, tasks = self.where(world.monotonic() - began)
        return (self.id, tasks[0]) if tasks else None

    # For the thread that it is on.

    def execute(self) -> Any:
        """Run until an exit state and return that.

        Called in a `contextvars` context of the run's own, where `is_observed`: what its observers
        set there, its tasks shall see, and nobody else.

        Where nothing can end the wait, or only what ends the task that this run is nested in, it
        stays on this thread. With a time limit or a token of its own it moves to a pool's thread,
        unless it is to stay.

        Raises:
            DrainingError: the process is ending; see draining.py for the order of the two steps.
        """
        is_cancelled = False
        try:
            running[self] = world.monotonic()
            if drains:
                entry = self._known_entry
                drains[0].admit(self, self._outer, None if entry is None else entry.state)
            if self._request is not None:
                return self._execute_kept(self._request)
            if self._machine.listeners:
                return self._execute_observed()
            if self._cancel is None and self._machine.description.timeout is None:
                return self._on_this_thread()
            return self._within_limits()
        except Cancelled:
            is_cancelled = True
            raise
        except WorkflowCancelledError as error:  # or that of a run nested in a task of it
            is_cancelled = error.run_id == self._id
            raise
        finally:
            # As _leave() does, without a call: every run comes here, and to a drain hardly any.
            running.pop(self, None)
            if drains:
                drains[0].ended(self, is_cancelled=is_cancelled)

    def _leave(self, *, is_cancelled: bool) -> None:
        """It has ended before it was executed: it is no longer registered."""
        running.pop(self, None)
        if drains:
            drains[0].ended(self, is_cancelled=is_cancelled)

    def _execute_kept(self, request: Request) -> Any:
        """The same for a run that is recorded, once it was begun or taken up."""
        opened = self._open(request)
        if isinstance(opened, journal.Ended):
            return opened.state
        self._journal, self._id = opened, opened.run_id
        self._entry, self._store = opened.entry, opened.store
        try:
            if self._machine.listeners:
                return self._execute_observed()
            if self._cancel is None and self._machine.description.timeout is None:
                return self._on_this_thread()
            return self._within_limits()
        finally:
            opened.give_back(unless_walked=True)

    def _open(self, request: Request) -> journal.Journal | journal.Ended:
        """Begin the run, or take it up; on this thread, as long as its limits allow."""
        limit, store = self._machine.description.timeout, self._store
        assert type(store) is MemoryStore  # Workflow._prepare has looked
        token = EngineToken(
            *self._parents, deadline=None if limit is None else world.monotonic() + limit
        )
        self._hold(token)
        try:
            return journal.open_journal(self._machine, self._known_entry, store, request, token)
        except Cancelled:
            self._id = request.run_id
            called, reason = token.cancel_called, token.reason
            if self._outer is not None and self._outer.cancelled:
                raise
            why = f"before run {request.run_id!r} was begun or taken up"
            if called or limit is None:
                raise WorkflowCancelledError(
                    f"the call was cancelled {why}" + (f": {reason}" if reason else ""),
                    reason=reason,
                    run_id=request.run_id,
                ) from None
            raise WorkflowTimeoutError(
                f"the workflow's time of {limit:g} s was up {why}", run_id=request.run_id
            ) from None
        finally:
            token.release()

    def _execute_observed(self) -> Any:
        events = self._events = RunEvents(self.id, self._machine.listeners)
        try:
            events.run_started(self._entry.state)
            if self._cancel is None and self._machine.description.timeout is None:
                final = self._on_this_thread()
            else:
                final = self._within_limits()
        except BaseException as error:
            events.run_finished(self._entry.state, error)
            raise
        events.run_finished(final, None)
        return final

    def _within_limits(self) -> Any:
        if self._stays:
            return self._staying()
        if (nesting := Nesting.current()).is_inline:
            self._stay_inline(nesting, "run")
            return self._staying()
        return self._offloaded()

    def _on_this_thread(self) -> Any:
        nesting, outer = Nesting.current(), self._outer
        if nesting.gate is not None:  # nested: what ends the outer task closes this run's store too
            self._store, _ = fence(self._store, nesting.gate)
        if nesting.is_inline:
            self._stay_inline(nesting)
        token = self._token = EngineToken() if outer is None else EngineToken(outer)
        context = copy_context()
        context.run(nesting.enter, token)
        try:
            if drains:
                drains[0].hold(self)
                token.check()
            return context.run(self._walk_to_end)
        except Cancelled as signal:
            if outer is not None and outer.cancelled:
                raise
            raise self._cancelled(token.reason) from _consequence(signal)
        except BaseException as error:
            if not isinstance(error, Exception):  # Ctrl-C: whatever looks at the token shall stop
                token.cancel("interrupted")
            raise
        finally:
            token.release()

    @property
    def _parents(self) -> tuple[CancellationToken, ...]:
        """It may be cancelled from two sides: by the caller's token, and with the outer task."""
        both = {token: None for token in (self._cancel, self._outer) if token is not None}
        return tuple(both)

    def _stay_inline(self, nesting: Nesting, work: HandOver | None = None) -> None:
        """Stay on this thread for a test, which shall fail where it would be refused to leave it.

        Within a branch nobody is asked: outside the test that has a thread of its own.
        """
        self._asks = nesting.depth == 0 and not self._stays
        self._stays = True
        if work is not None and self._asks:
            self._surroundings.ask(work, state=self._entry.state, run_id=self.id)

    def _staying(self) -> Any:
        nesting, limit = Nesting.current(), self._machine.description.timeout
        if nesting.gate is not None:
            self._store, _ = fence(self._store, nesting.gate)
        self._stays = True
        try:
            return run_here(self._walk_on, *self._parents, limit=limit, enter=nesting.enter)
        except Stopped as stopped:
            self._stop(
                stopped.error,
                limit if stopped.timed_out else None,
                stopped.reason,
                waited=stopped.waited,
            )

    def _offloaded(self) -> Any:
        limit = self._machine.description.timeout
        try:
            # The id is made here, for two threads will ask: the one that walks, and this one.
            self._surroundings = self._surroundings.hand_over(
                "run", state=self._entry.state, run_id=self.id
            )
            return run_on_pool(
                self._walk_with,
                self._store,
                *self._parents,
                limit=limit,
                around_job=self._around_job(),
                what="the run",
                on_abandon=self._abandon,
                on_token=self._hold,
            )
        except Abandoned as abandoned:
            self._stop(abandoned.error, limit if abandoned.timed_out else None, abandoned.reason)
        except WorkflowError as error:
            error.locate(state=self._entry.state, task=None, run_id=self.id)
            raise

    def _stop(
        self,
        error: BaseException | None,
        limit: float | None,
        reason: str | None,
        *,
        waited: str = "",
    ) -> NoReturn:
        """Raise what a run ends with that was over its limit, or, without one, cancelled."""
        outer, cause = self._outer, _consequence(error)
        if limit is not None:
            raise self._timed_out(limit, waited) from cause
        if outer is not None and outer.cancelled:
            raise Cancelled(outer.reason) from cause
        raise self._cancelled(reason, waited) from cause

    def _walk_on(self, token: EngineToken) -> Any:
        self._hold(token)
        token.check()
        return self._walk_to_end()

    def _hold(self, token: EngineToken) -> None:
        self._token = token
        if drains:
            drains[0].hold(self)

    def _walk_with(self, store: Store, token: EngineToken) -> Any:
        """On the pool's thread: with the store that it has there."""
        self._store = store
        return self._walk_to_end()

    def _walk_to_end(self) -> Any:
        """Walk; and where the run is recorded, close its journal, however that ends."""
        kept = self._journal
        if kept is None:
            return self._walk()
        try:
            kept.begin_walk(self._token)
            return self._walk()
        except BaseException as error:
            kept.leave(error)
            raise

    def _walk(self) -> Any:
        """The loop. Raises what ends the run; `Cancelled` once the token is cancelled."""
        store, token, kept = self._store, self._token, self._journal
        entry = self._entry
        # What led to the error state that comes next.
        error: CanoError | None = None if kept is None else kept.error
        while True:
            try:
                # The fast way, for tasks that only take the store: one look-up, one call.
                while (step := entry.step) is not None and error is None:
                    self._entry = entry
                    result = step(store)
                    following = entry.edges.get(id(result))
                    if following is None or token._cancelled:
                        break
                    entry = following
                else:
                    self._entry = entry
                    what = entry.what
                    if self._events is not None and self._machine.is_observed:
                        self._events.state_entered(entry.state, error, is_exit=what is None)
                    if what is None:
                        return entry.state
                    if isinstance(what, SingleState):
                        result = self._task_run(what.task, entry, error).execute()
                    else:
                        result = self._split(what, entry, error)
                    error = None
            except BaseException as raised:
                entry, error = self._fail(entry, raised)
                if kept is not None:
                    kept.move(entry, error, token)
                continue
            if token._cancelled:
                raise Cancelled(token.reason)
            following = entry.edges.get(id(result))
            if following is None:
                following = self._machine.follow(entry, result, self.id)
            if kept is not None:
                kept.move(following, None, token)
                if token._cancelled:
                    raise Cancelled(token.reason)
            entry = following

    def _task_run(self, task: BoundTask, entry: Entry, error: CanoError | None) -> TaskRun:
        if self._asks and task.config.attempt_timeout is not None:
            self._surroundings.ask("attempt", state=entry.state, run_id=self.id)
        return TaskRun(
            task,
            self._store,
            self._token,
            self.id,
            entry.state,
            self._surroundings,
            error=error,
            stays=self._stays,
            events=self._task_events,
            visit=self._visit_for(task),
        )

    def _visit_for(self, task: BoundTask) -> Visit | None:
        """What the task's context says of the visit, where it is recorded and somebody asks."""
        if self._journal is None:
            return None
        is_asked = task.wants_context or self._surroundings.has_tasks
        return self._journal.visit if is_asked else None

    @property
    def _task_events(self) -> RunEvents | None:
        return self._events if self._machine.is_observed_closely else None

    def _split(self, what: SplitState, entry: Entry, error: CanoError | None) -> Any:
        """Execute a split; return its join state."""
        entered = world.monotonic()
        join, store, tasks = what.join, self._store, what.tasks
        if what.factory is not None:
            tasks = list_branches(self._task_run(what.factory, entry, error))
        split = Split(
            tasks,
            join,
            store,
            self._token,
            state=entry.state,
            run_id=self.id,
            error=error,
            surroundings=self._surroundings,
            events=self._task_events,
            executor=self._machine.description.executor,
            entered=entered,
            visit=None if self._journal is None else self._journal.visit,
        )
        try:
            split.execute()
        except JoinError as failed:
            if join.store_partial_results and failed.result is not None:
                _store_result(store, failed.result)
            raise
        if join.store_partial_results:
            _store_result(store, split.result)
        if join.collect is not None:
            store.put(join.collect, split.values)
        return join.join_state

    def _fail(self, entry: Entry, error: BaseException) -> tuple[Entry, CanoError]:
        """Where the run goes after an error, with that error; or raise what the run ends with.

        There are five cases: what a cancellation led to; what wants out of the program; a
        checkpoint of a run nested in a task that could not be written; a mistake in the workflow,
        and any failure without an error state; a failure with one.
        """
        if self._token.cancelled and isinstance(error, Exception | Cancelled):
            if isinstance(error, Cancelled):
                raise error
            raise Cancelled(self._token.reason) from error
        if not isinstance(error, Exception | Cancelled):
            raise error
        if is_interruption(error):  # nobody's failure: neither run has failed, both can go on
            raise error
        # The engine has put this run's id into the mistakes that it found itself; a task's own
        # failure, be it the WorkflowError of a run nested in it, has no such id yet.
        is_mistake = (
            isinstance(error, WorkflowError)
            and not isinstance(error, JoinError)
            and error.run_id == self.id
        )
        task = entry.what.task.name if isinstance(entry.what, SingleState) else None
        known = failure(error, task, entry.state, self.id)
        if is_mistake or entry.on_error is None:
            if known is error:
                raise error  # as it is: its context is shown, too
            raise known from known.__cause__
        return entry.on_error, known

    def _abandon(self, job: Job, reason: str | None) -> None:
        """Abandon the thread that walks."""
        job.doing = partial(self._doing, running.get(self, world.monotonic()))
        if self._events is not None and self._machine.is_observed:
            self._events.abandon(None, job, reason)
        else:
            job.abandon()

    def _cancelled(self, reason: str | None, waited: str = "") -> WorkflowCancelledError:
        """The error of a run that was cancelled, and where it was."""
        state = self._entry.state
        return WorkflowCancelledError(
            f"the run was cancelled in state {full_name(state)}"
            + (f": {reason}" if reason else "")
            + waited,
            reason=reason,
            state=state,
            run_id=self.id,
        )

    def _timed_out(self, limit: float, waited: str) -> WorkflowTimeoutError:
        """The error of a run whose time was up, and where it was."""
        state = self._entry.state
        return WorkflowTimeoutError(
            f"the workflow's time of {limit:g} s was up in state {full_name(state)}{waited}",
            state=state,
            run_id=self.id,
        )

    def start(self) -> Future[Any]:
        """Submit it: execute it on a pool's thread, detached from the task that asks, if any does.

        That task may wait for it on a user's executor: then the run uses none of those.

        Raises:
            WorkflowError: there is no thread, as at the interpreter's exit.
        """
        nesting, state = Nesting.current(), self._entry.state
        # It belongs to the task that asks for it only in so far as that may begin it at all. From
        # here on it is registered; `execute` does it once more, and finds it admitted.
        try:
            running[self] = world.monotonic()
            if drains:
                drains[0].admit(self, self._outer, state)
            self._outer = None
            return self._execute_now() if nesting.is_inline else self._start(nesting, state)
        except BaseException:
            self._leave(is_cancelled=False)
            raise

    def _start(self, nesting: Nesting, state: Any) -> Future[Any]:
        self._surroundings = self._surroundings.hand_over("submit", state=state, run_id=self._id)
        context = copy_context()
        inside = Nesting(nesting.depth + 1, on_user_executor=nesting.on_user_executor)
        context.run(inside.enter, None)
        pool = process_pool(nesting.depth + 1)
        future: Future[Any] = Future()
        self._future = future
        job = Job(pool, self._execute_job, context=context, future=future)
        job.on_cancelled = self._never_begin
        try:
            pool.start(job)
        except RuntimeError as error:
            raise WorkflowError(
                f"state {full_name(state)}: there is no thread for the run: {error}", state=state
            ) from error
        return future

    def _never_begin(self) -> None:
        """Its future was cancelled before it had a thread."""
        self._leave(is_cancelled=True)

    def _execute_job(self, job: Job) -> Any:
        try:
            around_job = self._around_job()
            if around_job is None:
                return self.execute()
            with around_job:
                return self.execute()
        except CanoError as error:
            without_engine_frames(error)
            raise

    def _around_job(self) -> JobSurroundings | None:
        return self._surroundings.around_job(state=self._entry.state, run_id=self._id)

    def _execute_now(self) -> Future[Any]:
        """Execute it before anybody can wait for it, where nothing goes to another thread."""
        future: Future[Any] = Future()
        context = copy_context()
        context.run(set_current_token, None)  # detached, as it would be on a thread of its own
        self._stays = True
        try:
            final = context.run(self.execute)
        except Exception as error:
            if isinstance(error, CanoError):
                without_engine_frames(error)
            future.set_exception(error)
        else:
            future.set_result(final)
        return future


def _consequence(error: BaseException | None) -> BaseException | None:
    """What a task raised because it was stopped: the cause of what the run reports."""
    cause = error.__cause__ if isinstance(error, Cancelled) else error
    return None if cause is None else without_engine_frames(cause)


def _store_result(store: Store, result: SplitResult) -> None:
    store.put("split_successes_count", len(result.successes))
    store.put("split_errors_count", len(result.errors))
    store.put("split_cancelled_count", len(result.cancelled))
    store.put("split_results_summary", result.summary)
    store.put("split_result", result)
