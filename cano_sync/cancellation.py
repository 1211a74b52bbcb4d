"""Cooperative cancellation: a token that tells a task to stop, and the signal that stops it."""

from __future__ import annotations

__all__ = (
    "CancellationToken",
    "Cancelled",
    "Registration",
    "ambient_token",
    "cancel_from_engine",
    "current_token",
    "engine_token",
    "enter_token",
    "release_token",
)

import _thread
import threading
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from types import TracebackType

from .callbacks import Callback, call_elsewhere, call_here
from .duration import Duration, capped, seconds

_DEADLINE_REASON = "the token's time limit passed"


class Cancelled(BaseException):
    """What a cancellation point raises inside a task whose token was cancelled.

    It derives from `BaseException`, so that a broad `except Exception` in a task cannot swallow
    it. Let it pass, or clean up and raise it again. Outside the tasks nobody sees it: the run
    reports `WorkflowCancelledError`, or `WorkflowTimeoutError` where the time was up.

    Attributes:
        reason: what was given to `CancellationToken.cancel`, or None.
    """

    def __init__(self, reason: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason or "cancelled"


class Registration:
    """A callback registered by `CancellationToken.on_cancel`; ends with its `with` block."""

    __slots__ = ("_token",)

    def __init__(self, token: CancellationToken) -> None:
        self._token = token

    def remove(self) -> None:
        """Take the callback back. It may be running already, if a cancellation is under way."""
        self._token._forget(self)

    def __enter__(self) -> Registration:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()


class CancellationToken:
    """Tells whoever holds it to stop: by `cancel()`, by a time limit, or through its parent.

    Safe to use from any number of threads; `cancel()` also from a signal handler. A token stays
    cancelled for ever.

    Args:
        timeout: seconds (or a `timedelta`) after which the token counts as cancelled;
            None for no limit of its own.
        parent: a token whose cancellation and time limit are this one's too.

    >>> token = CancellationToken(timeout=60)
    >>> token.cancelled, 59 < token.remaining() <= 60
    (False, True)
    >>> with token.on_cancel(lambda: print("closing the socket")):
    ...     token.cancel("the user went away")
    closing the socket
    >>> token.cancelled, token.reason
    (True, 'the user went away')
    """

    __slots__ = (
        "_callbacks",
        "_cancelled",
        "_deadline",
        "_driven",
        "_link",
        "_lock",
        "_parent",
        "_reason",
        "_timer",
    )

    def __init__(
        self, timeout: Duration | None = None, parent: CancellationToken | None = None
    ) -> None:
        # The lock guards _callbacks, _cancelled, _reason, _link and _timer. It is re-entrant,
        # because a signal handler may call cancel() while its own thread holds it. Where two
        # are held, the child's is taken before the parent's.
        self._lock = threading.RLock()
        self._callbacks: dict[Registration, Callback] = {}
        self._cancelled = False
        self._reason: str | None = None
        self._parent = parent
        self._link: Registration | None = None  # our callback at the parent, while it matters
        self._timer: threading.Timer | None = None  # fires the callbacks at our own deadline
        self._driven = False  # the engine's own: linked at once, its deadline is waited for
        deadline = None if parent is None else parent.deadline
        if timeout is not None:
            own = time.monotonic() + seconds(timeout, "a token's timeout")
            deadline = own if deadline is None else min(own, deadline)
        self._deadline: float | None = deadline

    @property
    def cancelled(self) -> bool:
        """Whether to stop: somebody cancelled, the time is up, or the parent is cancelled."""
        if self._cancelled:
            return True
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return True
        return not self._driven and self._parent is not None and self._parent.cancelled

    @property
    def reason(self) -> str | None:
        """Why it was cancelled; None while it is not, or when no reason was given."""
        if self._cancelled:
            return self._reason
        if self._parent is not None and self._parent.cancelled:
            return self._parent.reason
        return _DEADLINE_REASON if self.cancelled else None

    @property
    def deadline(self) -> float | None:
        """When the time is up, on the clock of `time.monotonic()`; None without a limit."""
        return self._deadline

    def remaining(self, default: float | None = None) -> float | None:
        """Seconds left until the deadline, never below 0; `default` without a time limit.

        Give it to whatever blocks: `urlopen(url, timeout=cancel.remaining(default=5.0))`.
        """
        if self._deadline is None:
            return default
        return max(0.0, self._deadline - time.monotonic())

    def cancel(self, reason: str | None = None) -> None:
        """Cancel the token and its children. A second call does nothing.

        The callbacks run in this thread, before the call returns; one that raises is logged.
        Called from a signal handler that interrupted one of the library's own waits, they run
        in a thread of their own instead, because the interrupted frame may hold their locks.
        """
        self._cancel(reason, call_here)

    def _cancel(self, reason: str | None, call: Callable[[Sequence[Callback]], None]) -> None:
        with self._lock:
            if self._cancelled:
                return
            self._cancelled = True
            self._reason = reason
            callbacks, self._callbacks = list(self._callbacks.values()), {}
        self._unlink()
        if callbacks:
            call(callbacks)

    def check(self) -> None:
        """A cancellation point: raise `Cancelled` if the token is cancelled."""
        if self.cancelled:
            raise Cancelled(self.reason)

    def wait(self, timeout: Duration | None = None) -> bool:
        """Block until the token is cancelled, at most `timeout` seconds; is it cancelled?"""
        limit = None if timeout is None else seconds(timeout, "wait()'s timeout")
        left = self.remaining()
        if left is not None:
            limit = left if limit is None else min(left, limit)
        # A bare lock, not an Event: it may be released by a signal handler on this very thread.
        gong = _thread.allocate_lock()
        gong.acquire()
        registration = self._add(gong.release, timed=False)  # the time limit is waited for here
        try:
            if not self.cancelled:
                wait = capped(limit)
                gong.acquire(True, -1 if wait is None else wait)
            return self.cancelled
        finally:
            self._forget(registration)

    def sleep(self, duration: Duration) -> None:
        """Sleep, unless cancelled before or meanwhile: then raise `Cancelled` at once."""
        if self.wait(duration):
            raise Cancelled(self.reason)

    def child(self, timeout: Duration | None = None) -> CancellationToken:
        """A token of one's own below this one: it ends with it, or earlier."""
        return CancellationToken(timeout, parent=self)

    def on_cancel(self, callback: Callback) -> Registration:
        """Call `callback()` once when the token is cancelled; at once if it already is.

        This is how a blocking call is interrupted: close its socket, cancel its query. It runs
        in the thread that cancels, or in a timer's thread where a time limit passes; keep it
        short. Use the result in a `with` statement (or `remove()` it) so that the callback is
        gone when the call has returned.
        """
        # First insert, then look: a cancel() between the two, from another thread or from a
        # signal handler on this one, either finds the callback or is seen here.
        registration = self._add(callback)
        if self.cancelled and self._forget(registration):
            call_here([callback])
        return registration

    def _add(self, callback: Callback, *, timed: bool = True) -> Registration:
        """Insert a callback and begin to listen: to the parent, and to our own deadline."""
        registration = Registration(self)
        timer = None
        with self._lock:
            self._callbacks[registration] = callback
            if not self._driven:
                parent = self._parent
                if parent is not None and self._link is None:
                    self._link = parent._add(self._parent_cancelled, timed=False)
                if timed and self._timer is None and self._deadline is not None:
                    left = max(0.0, self._deadline - time.monotonic())
                    timer = self._timer = threading.Timer(
                        min(left, threading.TIMEOUT_MAX), self.cancel, [_DEADLINE_REASON]
                    )
                    timer.daemon = True  # the one thread nobody joins: it ends with the token
        if timer is not None:
            timer.start()
        return registration

    def _forget(self, registration: Registration) -> bool:
        """Drop a callback; False when a cancellation has taken it already."""
        with self._lock:
            found = self._callbacks.pop(registration, None) is not None
            idle = not self._callbacks and not self._driven
        if idle:
            self._unlink()
        return found

    def _unlink(self) -> None:
        """Leave no callback at the parent and no timer behind."""
        with self._lock:
            link, self._link = self._link, None
            timer, self._timer = self._timer, None
        if link is not None:
            link.remove()
        if timer is not None:
            timer.cancel()

    def _parent_cancelled(self) -> None:
        parent = self._parent
        self.cancel(None if parent is None else parent.reason)

    def __repr__(self) -> str:
        if self.cancelled:
            return f"<CancellationToken cancelled, reason={self.reason!r}>"
        left = self.remaining()
        return f"<CancellationToken {'active' if left is None else f'{left:.3f} s left'}>"


def engine_token(
    parent: CancellationToken | None, timeout: float | None = None
) -> CancellationToken:
    """A token whose deadline the engine waits for itself; `release_token` it at the end.

    It is linked to its parent at once, so that its flag alone tells whether to go on.
    """
    token = CancellationToken(timeout, parent)
    token._driven = True
    if parent is not None:
        token._link = parent._add(token._parent_cancelled, timed=False)
        if parent.cancelled:
            token._parent_cancelled()
    return token


def cancel_from_engine(token: CancellationToken, reason: str) -> None:
    """Cancel without waiting for the callbacks: a run that is over its time is not held up."""
    token._cancel(reason, call_elsewhere)


def release_token(token: CancellationToken) -> None:
    """Cut an engine's token off its parent, which may outlive it by far."""
    token._unlink()


_current: ContextVar[CancellationToken | None] = ContextVar("cano_sync.token", default=None)


def current_token() -> CancellationToken:
    """The token of the task that this code runs in; outside a run, one that nobody cancels.

    >>> current_token().cancelled
    False
    """
    return _current.get() or CancellationToken()


def ambient_token() -> CancellationToken | None:
    """The token of the task that this code runs in, or None outside a run."""
    return _current.get()


def enter_token(token: CancellationToken | None) -> None:
    """Make `token` the current one in the context that this is called in."""
    _current.set(token)
