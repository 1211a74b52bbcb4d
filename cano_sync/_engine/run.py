"""One run: the loop from state to state, and what may stop it."""

from __future__ import annotations

__all__ = ("execute_run", "submit_run")

import os
import time
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any

from .._base.cancellation import CancellationToken, Cancelled
from .._base.current import current_token_or_none
from .._base.engine_token import EngineToken
from .._base.fence import fence
from .._base.store import Store
from .._base.text import full_name
from .._model.description import SingleState, SplitState
from ..errors import (
    CanoError,
    JoinError,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowTimeoutError,
)
from .attempts import Site, failure
from .events import RunEvents
from .execute import execute
from .listing import listed
from .machine import Entry, Machine
from .nesting import Nesting
from .offload import Abandoned, run_on_pool
from .pool import Job, process_pool
from .split import Split


def execute_run(
    machine: Machine, initial: Any, store: Store, cancel: CancellationToken | None
) -> Any:
    """Run the machine until an exit state and return that.

    Where nothing can end the wait, or only what ends the task that this run is nested in, it
    stays on this thread. With a time limit or a token of its own it moves to a pool thread.
    """
    ambient = current_token_or_none()
    entry = machine.find(initial)
    assert entry is not None  # Workflow.validate_initial_state has looked
    run = _Run(machine, entry)
    if (
        machine.listeners
    ):  # in a context of its own, that observers may set what the tasks shall see
        return copy_context().run(_run_observed, run, store, cancel, ambient)
    return _run(run, store, cancel, ambient)


def _run(
    run: _Run, store: Store, cancel: CancellationToken | None, ambient: CancellationToken | None
) -> Any:
    if cancel is not None or run.machine.description.timeout is not None:
        return _run_away(run, store, cancel, ambient)
    return _run_here(run, store, ambient)


def _run_observed(
    run: _Run, store: Store, cancel: CancellationToken | None, ambient: CancellationToken | None
) -> Any:
    """The same, and its observers hear how it begins and ends."""
    events = RunEvents(run.id, run.machine.listeners)
    if run.machine.is_watched:
        run.events = events
    try:
        events.started(run.state)
        final = _run(run, store, cancel, ambient)
        events.finished(final, None)
    except BaseException as error:
        events.finished(run.state, error)  # unless Ctrl-C came while that was told
        raise
    return final


def submit_run(
    machine: Machine, initial: Any, store: Store, cancel: CancellationToken | None
) -> Future[Any]:
    """The same on a pool thread, detached from the task that asks for it, if there is one.

    That task may wait for it on a user's executor: then none of those is used.
    """
    nesting = Nesting.current()
    context = copy_context()
    inside = Nesting(nesting.depth + 1, on_user_executor=nesting.on_user_executor)
    context.run(inside.enter, None)
    pool = process_pool(nesting.depth + 1)
    try:
        return pool.submit(context.run, execute_run, machine, initial, store, cancel)
    except RuntimeError as error:
        raise WorkflowError(
            f"state {full_name(initial)}: there is no thread for the run: {error}",
            state=initial,
        ) from error


def _run_here(run: _Run, store: Store, ambient: CancellationToken | None) -> Any:
    nesting = Nesting.current()
    if nesting.gate is not None:  # nested: what ends the outer task closes this run's store too
        store, _ = fence(store, nesting.gate)
    token = EngineToken() if ambient is None else EngineToken(ambient)
    context = copy_context()
    context.run(nesting.enter, token)
    try:
        return context.run(run.walk, store, token)
    except Cancelled as signal:
        if ambient is not None and ambient.cancelled:
            raise
        raise run.cancelled(token.reason) from _consequence(signal)
    except BaseException as error:
        if not isinstance(error, Exception):  # Ctrl-C: whatever looks at the token shall stop
            token.cancel("interrupted")
        raise
    finally:
        token.release()


def _run_away(
    run: _Run, store: Store, cancel: CancellationToken | None, ambient: CancellationToken | None
) -> Any:
    # It may have two masters: the caller's token, and the task that this run is nested in.
    parents = {token: None for token in (cancel, ambient) if token is not None}
    limit = run.machine.description.timeout
    try:
        return run_on_pool(
            run.walk, store, *parents, limit=limit, what="the run", on_abandon=run.leave
        )
    except Abandoned as left:
        cause = _consequence(left.error)
        if left.timed_out:
            raise run.timed_out(limit) from cause
        if ambient is not None and ambient.cancelled:
            raise Cancelled(ambient.reason) from cause
        raise run.cancelled(left.reason) from cause
    except WorkflowError as error:
        run.locate(error)
        raise


def _consequence(error: BaseException | None) -> BaseException | None:
    """What a task raised because it was stopped: the cause of what the run reports."""
    return error.__cause__ if isinstance(error, Cancelled) else error


class _Run:
    """What happens once: one walk through the machine. Used by one thread at a time."""

    __slots__ = ("_entry", "_error", "_id", "_store", "_token", "events", "machine")

    def __init__(self, machine: Machine, entry: Entry) -> None:
        self.machine = machine
        self._entry = entry  # where it is: read by whoever reports its end, on another thread
        self._error: CanoError | None = None  # what led to the error state that comes next
        self._id: str | None = None
        self.events: RunEvents | None = None  # where its observers hear of its states and tasks

    @property
    def state(self) -> Any:
        """Where it is."""
        return self._entry.state

    @property
    def id(self) -> str:
        """The run's id, made when somebody first asks: most runs end well without."""
        if self._id is None:
            self._id = os.urandom(16).hex()
        return self._id

    def walk(self, store: Store, token: CancellationToken) -> Any:
        """The loop. Raises what ends the run; `Cancelled` once the token is cancelled."""
        self._store, self._token = store, token
        entry = self._entry
        while True:
            try:
                if self._error is None:
                    # The fast way, for tasks that only take the store: one look-up, one call.
                    while (step := entry.step) is not None:
                        self._entry = entry
                        result = step(store)
                        following = entry.edges.get(id(result))
                        if following is None or token._cancelled:
                            break
                        entry = following
                    else:
                        self._entry = entry
                        if entry.what is None:
                            return self._arrive(entry)
                        result = self._visit(entry)
                else:
                    self._entry = entry
                    if entry.what is None:
                        return self._arrive(entry)
                    result = self._visit(entry)
                    self._error = None
            except BaseException as error:
                entry = self._fail(entry, error)
                continue
            if token._cancelled:
                raise Cancelled(token.reason)
            following = entry.edges.get(id(result))
            entry = entry.follow(result, self.id) if following is None else following

    def _visit(self, entry: Entry) -> Any:
        """Perform a state that takes more than one call; return what says where to go."""
        if self.events is not None:
            self.events.entered(entry.state, self._error, is_exit=False)
        events = self.events if self.machine.is_watched_closely else None
        site = Site(self.id, entry.state, None, self._error, events)
        what = entry.what
        if isinstance(what, SingleState):
            return execute(what.task, self._store, self._token, site)
        assert what is not None
        return self._split(what, site)

    def _arrive(self, exit_: Entry) -> Any:
        """Return the exit state."""
        if self.events is not None:
            self.events.entered(exit_.state, self._error, is_exit=True)
        return exit_.state

    def _split(self, what: SplitState, site: Site) -> Any:
        entered = time.monotonic()
        join, store, token = what.join, self._store, self._token
        tasks = what.tasks if what.factory is None else listed(what.factory, store, token, site)
        split = Split(tasks, join, store, token, site, self.machine.description.executor, entered)
        try:
            split.execute()
        except JoinError as error:
            if join.store_partial_results and error.result is not None:
                _store_result(store, error.result)
            raise
        if join.store_partial_results:
            _store_result(store, split.result)
        if join.collect is not None:
            store.put(join.collect, split.values)
        return join.join_state

    def _fail(self, entry: Entry, error: BaseException) -> Entry:
        """Where the run goes after an error, or the error that it ends with.

        There are four cases: what a cancellation led to; what wants out of the program; a
        mistake in the workflow, and any failure without an error state; a failure with one.
        """
        if self._token.cancelled and isinstance(error, Exception | Cancelled):
            if isinstance(error, Cancelled):
                raise error
            raise Cancelled(self._token.reason) from error
        if not isinstance(error, Exception | Cancelled):
            raise error
        # The engine has put this run's id into the mistakes that it found itself; a task's own
        # failure, be it the WorkflowError of a run nested in it, has no such id yet.
        mistake = (
            isinstance(error, WorkflowError)
            and not isinstance(error, JoinError)
            and error.run_id == self.id
        )
        task = entry.what.task.name if isinstance(entry.what, SingleState) else None
        known = failure(error, task, Site(self.id, entry.state))
        if mistake or entry.on_error is None:
            if known is error:
                raise error  # as it is: its context is shown, too
            raise known from known.__cause__
        self._error = known
        return entry.on_error

    def leave(self, job: Job, reason: str | None) -> None:
        """Abandon the thread that walks."""
        if self.events is None:
            job.abandon()
        else:
            self.events.leave(None, job, reason)

    def locate(self, error: CanoError) -> None:
        """Tell an error that came from nowhere in the machine where the run was."""
        error.locate(state=self._entry.state, task=None, run_id=self.id)

    def cancelled(self, reason: str | None) -> WorkflowCancelledError:
        """The error of a run that was cancelled, and where it was."""
        state = self._entry.state
        return WorkflowCancelledError(
            f"the run was cancelled in state {full_name(state)}"
            + (f": {reason}" if reason else ""),
            reason=reason,
            state=state,
            run_id=self.id,
        )

    def timed_out(self, limit: float | None) -> WorkflowTimeoutError:
        """The error of a run whose time was up, and where it was."""
        state = self._entry.state
        return WorkflowTimeoutError(
            f"the workflow's time of {limit:g} s was up in state {full_name(state)}",
            state=state,
            run_id=self.id,
        )


def _store_result(store: Store, result: Any) -> None:
    store.put("split_successes_count", len(result.successes))
    store.put("split_errors_count", len(result.errors))
    store.put("split_cancelled_count", len(result.cancelled))
    store.put("split_results_summary", result.summary)
    store.put("split_result", result)
