"""Cooperative cancellation: a token that tells a task to stop, and the signal that stops it."""

from __future__ import annotations

__all__ = ("CancellationToken", "Cancelled", "Registration")

import _thread
import os
import threading
import time
from typing import overload

from ..errors import ConfigurationError
from .durations import Duration, limit, seconds
from .waiting import Callback, call_callbacks, wait_slice

_DEADLINE_REASON = "the token's time limit passed"

# One lock for all tokens: a cancellation goes down a tree of them while others join and leave it
# upwards, and a signal handler may begin one in the middle of either. With a lock each there would
# be no order to take two in. Re-entrant for that handler, and held across a fork, so that no child
# inherits it from a thread that it does not have. No user code runs under it.
_lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )


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

    def __exit__(self, *error: object) -> None:
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
        "_children",
        "_deadline",
        "_linked",
        "_parents",
        "_reason",
        "_timer",
    )

    # What the engine's own tokens (_engine/tokens.py) have: they are linked for their life, their
    # deadline is waited for by a coordinator, and the wakeup wakes that one before any user's
    # callback is called.
    _is_engine_owned = False
    _wakeup: Callback | None = None

    def __init__(
        self, timeout: Duration | None = None, parent: CancellationToken | None = None
    ) -> None:
        length = limit(timeout, "a token's timeout")
        deadline = None if length is None else time.monotonic() + length
        self._begin(deadline, () if parent is None else (parent,))

    def _begin(self, deadline: float | None, parents: tuple[CancellationToken, ...]) -> None:
        # The lock guards _callbacks, _children, _cancelled, _reason, _linked and _timer.
        self._callbacks: dict[Registration, Callback] = {}
        self._children: dict[CancellationToken, None] = {}  # those who listen for our end
        self._cancelled = False
        self._reason: str | None = None
        self._linked = False  # whether we are among our parents' children
        self._timer: threading.Timer | None = None  # fires the callbacks at our own deadline
        self._parents = parents  # one, or none; two for a run with two masters
        for parent in parents:
            if parent._deadline is not None and (deadline is None or parent._deadline < deadline):
                deadline = parent._deadline
        self._deadline: float | None = deadline

    @property
    def cancelled(self) -> bool:
        """Whether to stop: somebody cancelled, the time is up, or the parent is cancelled."""
        if self._cancelled:
            return True
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return True
        return not self._is_engine_owned and self._cancel_called

    @property
    def _cancel_called(self) -> bool:
        """Whether somebody cancelled it or its parent; a deadline is not looked at."""
        return self._cancelled or any(parent._cancel_called for parent in self._parents)

    @property
    def reason(self) -> str | None:
        """Why it was cancelled; None while it is not, or when no reason was given."""
        if self._cancelled:
            return self._reason
        for parent in self._parents:
            if parent.cancelled:
                return parent.reason
        return _DEADLINE_REASON if self.cancelled else None

    @property
    def deadline(self) -> float | None:
        """When the time is up, on the clock of `time.monotonic()`; None without a limit."""
        return self._deadline

    @overload
    def remaining(self, default: None = None) -> float | None: ...
    @overload
    def remaining(self, default: float) -> float: ...
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
        Whatever they do, every run and every task below this token has got the events before.
        Called from a signal handler that interrupted one of the library's own waits, they run
        in a thread of their own: the interrupted frame may hold their locks.
        """
        call_callbacks(*self._mark(reason))

    def _mark(self, reason: str | None) -> tuple[list[Callback], list[Callback]]:
        """Set the flag, here and below; return the wakeups and the callbacks, to be called."""
        wakeups: list[Callback] = []
        callbacks: list[Callback] = []
        timers: list[threading.Timer] = []
        todo: list[CancellationToken] = [self]
        with _lock:
            while todo:
                token = todo.pop()
                if token._cancelled:
                    continue
                token._reason = reason  # before the flag: who sees that sees the reason, too
                token._cancelled = True
                if token._wakeup is not None:
                    wakeups.append(token._wakeup)
                callbacks += token._callbacks.values()
                todo += token._children
                token._callbacks.clear()
                token._children.clear()
                timers += token._unlink()
        for timer in timers:
            timer.cancel()
        return wakeups, callbacks

    def check(self) -> None:
        """A cancellation point: raise `Cancelled` if the token is cancelled."""
        if self.cancelled:
            raise Cancelled(self.reason)

    def wait(self, timeout: Duration | None = None) -> bool:
        """Block until the token is cancelled, at most `timeout` seconds; is it cancelled?"""
        end = self._deadline
        if timeout is not None:
            own = time.monotonic() + seconds(timeout, "a token's wait()")
            end = own if end is None else min(own, end)
        # A bare lock, not an Event: it may be released by a signal handler on this very thread.
        woken = _thread.allocate_lock()
        woken.acquire()
        registration = self._add(woken.release, timed=False)  # the time limit is waited for here
        try:
            while not self.cancelled:
                left = None if end is None else end - time.monotonic()
                if (left is not None and left <= 0) or woken.acquire(True, wait_slice(left)):
                    break
            return self.cancelled
        finally:
            self._forget(registration)

    def sleep(self, duration: Duration) -> None:
        """Sleep, unless cancelled before or meanwhile: then raise `Cancelled` at once."""
        if self.wait(seconds(duration, "a token's sleep()")):
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

        Raises:
            ConfigurationError: it cannot be called.
        """
        if not callable(callback):
            raise ConfigurationError(
                f"on_cancel() takes a function without parameters, not {callback!r}; such as "
                "connection.close"
            )
        # First insert, then look: a cancel() between the two, from another thread or from a
        # signal handler on this one, either finds the callback or is seen here.
        registration = self._add(callback)
        if self.cancelled and self._forget(registration):
            call_callbacks((), (callback,))
        return registration

    def _add(self, callback: Callback, *, timed: bool = True) -> Registration:
        """Insert a callback and begin to listen: to the parents, and to our own deadline."""
        registration = Registration(self)
        timer = None
        with _lock:
            self._callbacks[registration] = callback
            if not self._is_engine_owned:
                self._link()
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
        with _lock:
            callback = self._callbacks.pop(registration, None)
            timers = self._unlink_if_idle()
        for timer in timers:
            timer.cancel()
        return callback is not None  # dropped without the lock: its end may be user code

    # Links to the parents. The lock is held: who leaves last must not cut off one who just came.

    def _link(self) -> None:
        """Have the parents pass on their cancellation, and they have theirs."""
        if self._linked or self._cancelled:
            return
        self._linked = True
        for parent in self._parents:
            parent._children[self] = None
            if not parent._is_engine_owned:
                parent._link()

    def _unlink(self) -> list[threading.Timer]:
        """Leave the parents alone; return the timers to be cancelled, without the lock."""
        timer, self._timer = self._timer, None
        timers = [] if timer is None else [timer]
        if self._linked:
            self._linked = False
            for parent in self._parents:
                parent._children.pop(self, None)
                timers += parent._unlink_if_idle()
        return timers

    def _unlink_if_idle(self) -> list[threading.Timer]:
        if self._is_engine_owned or self._callbacks or self._children:
            return []
        return self._unlink()

    def __repr__(self) -> str:
        if self.cancelled:
            return f"<CancellationToken cancelled, reason={self.reason!r}>"
        left = self.remaining()
        return f"<CancellationToken {'active' if left is None else f'{left:.3f} s left'}>"
