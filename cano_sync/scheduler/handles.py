"""What a scheduler that was started beside its program is held by: on a thread, or by hand."""

from __future__ import annotations

__all__ = ("Background", "ByHand")

import threading
from contextvars import copy_context
from typing import Self

from .._base.durations import Duration, limit, seconds
from .._base.waiting import wait_slice
from .._engine import DAEMON_THREADS
from .clock import HandClock, Moment
from .dispatcher import Dispatcher


class Background:
    """A scheduler that runs on a thread of its own; leaving the `with` block stops it.

    `Scheduler.start_in_background` makes it, and has started by then; `close()` is the same as
    leaving the block, for programs that have none: `atexit.register(background.close)`. The thread
    does not keep the interpreter alive; its exit waits for the runs that are under way.
    """

    def __init__(self, dispatcher: Dispatcher, stop_timeout: float | None) -> None:
        self._dispatcher = dispatcher
        self._stop_timeout = stop_timeout
        self._error: BaseException | None = None
        context = copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._run,), name="cano-clock", daemon=DAEMON_THREADS
        )
        try:
            self._thread.start()
        except RuntimeError:  # the system has no more threads
            dispatcher.stop(0.0)
            dispatcher.run()
            raise

    def _run(self) -> None:
        try:
            self._dispatcher.run()
        except BaseException as error:  # no flow's: a clock or a time zone that does not work
            self._error = error
            raise

    @property
    def is_running(self) -> bool:
        """Whether it goes on: False once it was stopped and all has ended, or a clock failed."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Stop, and wait until all has ended. Ctrl-C meanwhile cancels what runs.

        Thread-safe; a second call does nothing more.

        Raises:
            ConfigurationError: it would wait for the flow that calls it.
        """
        self._dispatcher.check_outside("close()")
        self._dispatcher.stop(self._stop_timeout)
        try:
            self._join()
        except BaseException:
            self._dispatcher.stop(0.0)
            self._join()
            raise
        if self._error is not None:
            raise self._error

    def _join(self) -> None:
        while self._thread.is_alive():
            self._thread.join(wait_slice(None))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class ByHand:
    """A scheduler without a thread, whose time passes when you say so; for tests.

    `start_by_hand` makes it. Flows run on threads as ever, but the clock stands still
    while they do. Leaving the `with` block stops the scheduler, and waits for its runs. To be used
    by one thread.
    """

    def __init__(self, dispatcher: Dispatcher, clock: HandClock) -> None:
        self._dispatcher = dispatcher
        self._clock = clock

    def run_pending(self) -> float | None:
        """Start what is due now; returns the seconds until the next is, or None."""
        alarm = self._dispatcher.run_pending()
        return alarm.left(Moment(self._clock.monotonic(), self._clock.wall()))

    def settle(self, timeout: Duration | None = None) -> None:
        """Wait (really) until no flow is running, at most so many seconds."""
        self._dispatcher.settle(limit(timeout, "settle()'s timeout"))

    def advance(self, duration: Duration, *, settle: bool = True) -> None:
        """Let time pass, from due time to due time.

        Args:
            duration: seconds, or a `timedelta`.
            settle: whether to wait at each for the runs to end; if not, the time goes on while
                they run, as long as the threads please.
        """
        end = self._clock.monotonic() + seconds(duration, "advance()")
        while True:
            pause = self.run_pending()
            while settle and self._dispatcher.settle(None):
                pause = self.run_pending()  # a run that ends may make way for the next
            left = end - self._clock.monotonic()
            if left <= 0:
                return
            self._clock.advance(left if pause is None else min(left, pause))

    def close(self) -> None:
        """Stop, and wait until all runs have ended.

        Raises:
            ConfigurationError: it would wait for the flow that calls it.
        """
        self._dispatcher.check_outside("close()")
        self._dispatcher.stop(None)
        self._dispatcher.run()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
