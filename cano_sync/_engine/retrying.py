"""Several attempts at a task: tenacity, once the first one has failed."""

from __future__ import annotations

__all__ = ("with_retries",)

import time
from typing import Any

import tenacity

from .._base.cancellation import CancellationToken, Cancelled
from .._base.store import Store
from .._base.text import error_text, full_name
from .._model.task import BoundTask
from ..errors import NodeExecutionError, PreparationError, RetryExhaustedError
from .attempts import Site, attempt


def with_retries(task: BoundTask, store: Store, token: CancellationToken, site: Site) -> Any:
    """Run a task with retries as its config says; what its last attempt raised is raised.

    Raises:
        Cancelled: the token was cancelled, between two attempts or in one.
        RetryExhaustedError: from the error of the last of several attempts.
    """
    assert task.config.retry is not None
    return _Performance(task, store, token, site).execute(task.config.retry)


class _Performance:
    """One performance of a task with retries."""

    __slots__ = ("_last", "_site", "_store", "_task", "_token")

    def __init__(self, task: BoundTask, store: Store, token: CancellationToken, site: Site) -> None:
        self._task = task
        self._store = store
        self._token = token
        self._site = site
        self._last: Exception | None = None  # what the last attempt raised, as we report it

    def execute(self, retry: tenacity.BaseRetrying) -> Any:
        if not getattr(retry, "enabled", True):
            return self._attempt(1)
        started = time.monotonic()
        if _asks_only_about_errors(retry):
            try:
                return self._attempt(1)
            except Exception as error:
                self._failed(error)
        retrying = retry.copy(reraise=False)  # its statistics and loop state are a run's own
        retrying.begin()
        state = tenacity.RetryCallState(retrying, None, (), {})
        state.start_time = started
        if self._last is not None:
            self._tell(state, self._last)
        return self._drive(retrying, state)

    def _drive(self, retrying: tenacity.BaseRetrying, state: tenacity.RetryCallState) -> Any:
        """tenacity's own loop, with our attempts and sleeps."""
        while True:
            try:
                do = retrying.iter(retry_state=state)
            except Exception as error:
                self._tell_failure(None)
                # A RetryError is tenacity's own word only about this attempt: a task may use
                # tenacity itself, and fail with another.
                if isinstance(error, tenacity.RetryError) and error.last_attempt is state.outcome:
                    raise self._exhausted(state) from self._last
                if self._last is not None and error is _as_users_know_it(self._last):
                    raise self._last from self._last.__cause__
                raise
            if isinstance(do, tenacity.DoAttempt):
                self._try(state)
            elif isinstance(do, tenacity.DoSleep):
                self._tell_failure(float(do))
                state.prepare_for_next_attempt()
                self._sleep(retrying, float(do))
            else:
                return do

    def _try(self, state: tenacity.RetryCallState) -> None:
        self._last = None
        try:
            result = self._attempt(state.attempt_number)
        except Exception as error:
            self._failed(error)
            self._tell(state, error)
        else:
            state.set_result(result)

    def _attempt(self, number: int) -> Any:
        if self._site.told is not None:
            self._site.told.attempt_started(number)
        return attempt(self._task, self._store, self._token, self._site, number)

    def _tell_failure(self, delay: float | None) -> None:
        """Tell of an attempt that was not good enough: the next is made in `delay` seconds."""
        if self._site.told is not None:
            self._site.told.attempt_failed(self._last, delay)

    def _failed(self, error: Exception) -> None:
        """Remember it, unless it is only what a cancellation led to."""
        if self._token.cancelled:
            raise Cancelled(self._token.reason) from error
        self._last = error

    def _tell(self, state: tenacity.RetryCallState, error: Exception) -> None:
        user = _as_users_know_it(error)
        state.set_exception((type(user), user, user.__traceback__))

    def _sleep(self, retrying: tenacity.BaseRetrying, delay: float) -> None:
        if retrying.sleep is tenacity.nap.sleep:
            self._token.sleep(delay)
            return
        self._token.check()
        retrying.sleep(delay)  # the user's own, as it is
        self._token.check()

    def _exhausted(self, state: tenacity.RetryCallState) -> RetryExhaustedError:
        number, site = state.attempt_number, self._site
        last = "returned what its config retries on"
        if self._last is not None:
            last = f"raised {error_text(self._last)}"
        return RetryExhaustedError(
            f"state {full_name(site.state)}: task {self._task.name!r} failed in all of its "
            f"{number} attempt{'s' if number > 1 else ''}; the last one {last}",
            attempts=number,
            state=site.state,
            task=self._task.name,
            run_id=site.run_id,
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
