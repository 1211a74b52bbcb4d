"""Several attempts at a task: tenacity, once the first one has failed."""

from __future__ import annotations

__all__ = ("Attempts",)

from typing import Any, Protocol

import tenacity

from .._base.cancellation import CancellationToken, Cancelled
from .._base.text import error_text, full_name
from .._base.tracebacks import without_engine_frames
from .._base.world import world
from .._model.task import BoundTask
from ..errors import NodeExecutionError, PreparationError, RetryExhaustedError, is_interruption
from .events import TaskEvents


class Attempted(Protocol):
    """What is attempted: a `TaskRun`, as far as it matters here."""

    task: BoundTask
    token: CancellationToken
    run_id: str
    state: Any
    events: TaskEvents | None

    def attempt(self, number: int) -> Any:
        """One attempt at the task."""


class Attempts:
    """The attempts of one task run, as the config of its task says."""

    __slots__ = ("_last", "_retry", "_task_run")

    def __init__(self, task_run: Attempted) -> None:
        retry = task_run.task.config.retry
        assert retry is not None
        self._retry = retry
        self._task_run = task_run
        self._last: Exception | None = None  # what the last attempt raised, as we report it

    def run(self) -> Any:
        """tenacity's own loop, with our attempts and sleeps; raises what the last attempt raised.

        Raises:
            Cancelled: the token was cancelled, between two attempts or in one.
            RetryExhaustedError: from the error of the last attempt.
        """
        task_run, retry = self._task_run, self._retry
        began = world.monotonic()
        if not getattr(retry, "enabled", True):
            self._emit_started(1)
            return task_run.attempt(1)
        if _asks_only_about_errors(retry):
            try:
                self._emit_started(1)
                return task_run.attempt(1)
            except Exception as error:
                self._failed(error)
        # Its statistics and the state of its loop are a run's own.
        retrying = retry.copy(reraise=False)
        retrying.begin()
        state = tenacity.RetryCallState(retrying, None, (), {})
        state.start_time = began
        if self._last is not None:
            _set_exception(state, self._last)
        while True:
            try:
                do = retrying.iter(retry_state=state)
            except Exception as error:
                self._emit_failed(None)
                self._raise_for(error, state)
                raise
            if isinstance(do, tenacity.DoAttempt):
                self._last = None
                try:
                    self._emit_started(state.attempt_number)
                    result = task_run.attempt(state.attempt_number)
                except Exception as error:
                    self._failed(error)
                    _set_exception(state, error)
                else:
                    state.set_result(result)
            elif isinstance(do, tenacity.DoSleep):
                self._emit_failed(float(do))
                state.prepare_for_next_attempt()
                self._sleep(retrying, float(do))
            else:
                return do

    def _emit_started(self, number: int) -> None:
        if self._task_run.events is not None:
            self._task_run.events.attempt_started(number)

    def _emit_failed(self, delay: float | None) -> None:
        """An attempt was not good enough: the next one is made in `delay` seconds, or never."""
        if self._task_run.events is not None:
            self._task_run.events.attempt_failed(self._last, delay)

    def _failed(self, error: Exception) -> None:
        """Remember the error, unless it is only what a cancellation led to."""
        token = self._task_run.token
        if token.cancelled:
            raise Cancelled(token.reason) from error
        self._last = error
        if is_interruption(error):  # of a run nested in the task: it goes on later, and not here
            self._emit_failed(None)
            raise error

    def _raise_for(self, error: Exception, state: tenacity.RetryCallState) -> None:
        """Raise what stands for the error that tenacity has raised; nothing if it is its own."""
        last = self._last
        # A RetryError is tenacity's own word only about this attempt: a task may use tenacity
        # itself, and fail with another.
        if isinstance(error, tenacity.RetryError) and error.last_attempt is state.outcome:
            raise self._exhausted(state) from last and without_engine_frames(last)
        if last is not None and error is _as_users_know_it(last):
            raise last from last.__cause__

    def _sleep(self, retrying: tenacity.BaseRetrying, delay: float) -> None:
        token = self._task_run.token
        if retrying.sleep is tenacity.nap.sleep:
            token.sleep(delay)
            return
        token.check()
        retrying.sleep(delay)  # the user's own, as it is
        token.check()

    def _exhausted(self, state: tenacity.RetryCallState) -> RetryExhaustedError:
        number, task_run = state.attempt_number, self._task_run
        last = "returned what its config retries on"
        if self._last is not None:
            last = f"raised {error_text(self._last)}"
        return RetryExhaustedError(
            f"state {full_name(task_run.state)}: task {task_run.task.name!r} failed in all of its "
            f"{number} attempt{'s' if number > 1 else ''}; the last one {last}",
            attempts=number,
            state=task_run.state,
            task=task_run.task.name,
            run_id=task_run.run_id,
        )


# Predicates that never retry a success. By class, and no subclasses: what derives from them, in
# tenacity too, may well retry one.
_ABOUT_ERRORS: set[type] = {
    tenacity.retry_if_exception,
    tenacity.retry_if_exception_type,
    tenacity.retry_if_not_exception_type,
    tenacity.retry_if_exception_cause_type,
    tenacity.retry_if_exception_message,
}


def _asks_only_about_errors(retry: tenacity.BaseRetrying) -> bool:
    """Whether a first attempt that succeeds is nothing to tenacity, which costs 14 µs a call."""
    return type(retry.retry) in _ABOUT_ERRORS and retry.before is tenacity.before_nothing


def _as_users_know_it(error: Exception) -> Exception:
    """A retry predicate is written for the user's exceptions, not for a node's wrapping of them."""
    if isinstance(error, NodeExecutionError | PreparationError) and isinstance(
        error.__cause__, Exception
    ):
        return error.__cause__
    return error


def _set_exception(state: tenacity.RetryCallState, error: Exception) -> None:
    user = _as_users_know_it(error)
    state.set_exception((type(user), user, user.__traceback__))
