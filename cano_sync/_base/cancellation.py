"""Cooperative cancellation: a token that tells a task to stop, and the signal that stops it."""

from __future__ import annotations

__all__ = ("CancellationToken", "Cancelled", "Registration", "check_token")

import _thread
import logging
import os
import threading
from contextlib import suppress
from typing import Any, overload

from ..errors import ConfigurationError
from .durations import Duration, limit, seconds
from .timer import TimerEntry, schedule
from .waiting import (
    INTERRUPTS,
    Callback,
    Wakeup,
    interruptible_wait,
    is_waiting,
    on_new_thread,
    wait_first,
    wait_slice,
)
from .world import world

_log = logging.getLogger("cano_sync")

_DEADLINE_REASON = "the token's time limit passed"

# One lock for all tokens: a cancellation goes down a tree of them while others join and leave it
# upwards, and a signal handler may begin one in the middle of either. With a lock each there would
# be no order to take two in. Re-entrant for that handler, and held across a fork, so that no child
# inherits it from a thread that it does not have. No user code runs under it. It guards the states
# of all registrations, too.
_lock = threading.RLock()


def _release_in_child() -> None:
    with suppress(RuntimeError):  # uWSGI forks by itself, and calls what comes after alone
        _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_release_in_child
    )

_REGISTERED, _RUNNING, _ENDED = "registered", "running", "ended"  # or taken back


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
    """A callback registered by `CancellationToken.on_cancel`; ends with its `with` block.

    >>> token = CancellationToken()
    >>> with token.on_cancel(lambda: print("closing the socket")):
    ...     pass  # the blocking call
    >>> token.cancel()  # too late: the callback is gone
    """

    __slots__ = ("_callback", "_end", "_is_wakeup", "_state", "_thread", "_token")

    def __init__(self, token: CancellationToken, callback: Callback, *, is_wakeup: bool) -> None:
        self._token = token
        self._callback = [callback]  # empty once it is called, or will never be
        self._is_wakeup = is_wakeup  # it wakes a wait of ours, and goes before users' callbacks
        self._state = _REGISTERED
        self._thread = 0  # the identity of the thread that calls it
        self._end: Wakeup | None = None  # for those who wait until it has ended

    def remove(self) -> None:
        """Take the callback back: when this returns, it is not running, and never will be.

        Where a cancellation is just calling it on another thread, this waits until the callback
        has ended: afterwards what it uses may be closed. The callback itself may call this, and
        then it does not wait. A second call does nothing.
        """
        if self._token._forget(self):
            return
        with interruptible_wait(), _lock:
            if self._state is not _RUNNING or self._thread == _thread.get_ident():
                return
            end = self._end = self._end or Wakeup()
        wait_first(end, None, None)

    def __enter__(self) -> Registration:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()

    def _call(self) -> BaseException | None:
        """Call the callback, unless somebody has done so or has taken it back.

        It may be called again by the same thread where Ctrl-C has interrupted it, and then goes
        on where it was: the callback is called once, whatever comes in between.

        Returns:
            What wants out of the program, for when all others have been called.
        """
        me = _thread.get_ident()
        with interruptible_wait(), _lock:
            if self._state is _REGISTERED:
                self._thread = me
                self._state = _RUNNING
            elif self._state is _ENDED or self._thread != me:
                return None
        leaving: BaseException | None = None
        while self._callback:
            try:
                self._callback.pop()()  # in one step: who takes it, calls it
            except (KeyboardInterrupt, SystemExit) as error:
                leaving = error
            except BaseException:  # Cancelled among them, from a store that is closed by now
                _log.exception("a callback of CancellationToken.on_cancel raised")
        with interruptible_wait(), _lock:
            if self._end is not None:
                self._end.set()
            self._state = _ENDED
        return leaving


class _Cancellation:
    """What one call of `cancel()` has to do; all of it, though Ctrl-C comes in the middle.

    Each step can be done twice without harm, by two threads at once, too, and what is still to be
    done is kept here: so the whole begins again when the thread was interrupted.

    Args:
        tokens: those that are cancelled, with all below them.
        reason: what is said.
        callbacks: what else is called.
        nowait: whether users' callbacks, which may take their time, get a thread of their own.
    """

    def __init__(
        self,
        *tokens: CancellationToken,
        reason: str | None = None,
        callbacks: tuple[Registration, ...] = (),
        nowait: bool = False,
    ) -> None:
        self._reason = reason
        self._nowait = nowait
        self._tokens = [*tokens]  # and those below them
        self._marked = 0  # how many of them were looked at
        self._current: CancellationToken | None = None  # the one that is being marked
        self._wakeups: list[Wakeup] = []
        self._callbacks: list[Registration] = [*callbacks]
        self._leaving: BaseException | None = None  # what wants out of the program

    def run(self) -> None:
        """Mark the tokens, wake who waits for them, call the callbacks."""
        interrupt: BaseException | None = None
        for _ in INTERRUPTS:
            try:
                self._mark_all()
                self._wake_and_call()
                break
            except BaseException as error:  # Ctrl-C, or what else a signal handler raises
                interrupt = error
        leaving = interrupt or self._leaving
        if leaving is not None:
            raise leaving

    def _mark_all(self) -> None:
        # A call, and no loop, is the last thing in the block: at the end of a loop there, Python
        # 3.13 lets Ctrl-C come where the lock is not released.
        with interruptible_wait(), _lock:
            self._mark_rest()

    def _mark_rest(self) -> None:
        while self._marked < len(self._tokens):
            self._mark(self._tokens[self._marked])
            self._marked += 1

    def _mark(self, token: CancellationToken) -> None:
        """Mark one token, and collect what follows from it. The lock is held."""
        if token._cancelled and token is not self._current:
            return  # by somebody else, who does what is to be done
        self._current = token
        token._reason = self._reason  # before the flag: who sees that sees the reason, too
        token._cancelled = True
        if token._wakeup is not None:
            self._wakeups.append(token._wakeup)
        self._callbacks += token._callbacks
        self._tokens += token._children
        token._callbacks.clear()
        token._children.clear()
        token._unlink()

    def _wake_and_call(self) -> None:
        if not (self._wakeups or self._callbacks):
            return
        # A thread that is marked as waiting has come here through a signal handler (or a
        # finalizer) that interrupted the wait: the frame below may hold the locks of what it
        # waits for, and whoever wakes it would wait for them for ever. Another thread can.
        if is_waiting() and on_new_thread(self._wake_and_call):
            return
        # All of them each time, for after a second Ctrl-C two threads may be here at once.
        for wakeup in self._wakeups:
            wakeup.set()
        for registration in self._callbacks:
            if registration._is_wakeup:
                self._leaving = registration._call() or self._leaving
        is_for_users = not all(registration._is_wakeup for registration in self._callbacks)
        if is_for_users and not (self._nowait and on_new_thread(self._call_users)):
            self._call_users()

    def _call_users(self) -> None:
        for registration in self._callbacks:
            self._leaving = registration._call() or self._leaving


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

    # What the engine's own tokens (engine_token.py) have: they are linked for their life, a
    # coordinator waits for their deadline, and it is woken before any user's callback is called.
    _is_engine_owned = False
    _wakeup: Wakeup | None = None

    def __init__(
        self, timeout: Duration | None = None, parent: CancellationToken | None = None
    ) -> None:
        length = limit(timeout, "a token's timeout")
        deadline = None if length is None else world.monotonic() + length
        self._begin(deadline, () if parent is None else (parent,))

    def _begin(self, deadline: float | None, parents: tuple[CancellationToken, ...]) -> None:
        # The lock guards _callbacks, _children, _cancelled, _reason, _linked and _timer.
        self._callbacks: dict[Registration, None] = {}
        self._children: dict[CancellationToken, None] = {}  # those who listen for our end
        self._cancelled = False
        self._reason: str | None = None
        self._linked = False  # whether we are among our parents' children
        self._timer: TimerEntry | None = None  # calls the callbacks at our own deadline
        self._parents = parents  # one, or none; two for a run that may be cancelled from two sides
        for parent in parents:
            if parent._deadline is not None and (deadline is None or parent._deadline < deadline):
                deadline = parent._deadline
        self._deadline: float | None = deadline

    @property
    def cancelled(self) -> bool:
        """Whether to stop: somebody cancelled, the time is up, or the parent is cancelled."""
        if self._cancelled:
            return True
        if self._deadline is not None and world.monotonic() >= self._deadline:
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
        return max(0.0, self._deadline - world.monotonic())

    def cancel(self, reason: str | None = None) -> None:
        """Cancel the token and its children. A second call does nothing.

        The callbacks run in this thread, before the call returns; one that raises is logged.
        Whatever they do, every run and every task below this token was woken before. Ctrl-C in
        the middle does not keep the cancellation from its end, after which it is raised.
        Called from a signal handler that interrupted one of the library's own waits, or the lock
        of its tokens, threads or abandoned tasks, they run in a thread of their own: the
        interrupted frame may hold locks that they need.

        Args:
            reason: what `Cancelled` and the errors of the runs will say.
        """
        _Cancellation(self, reason=reason).run()

    def check(self) -> None:
        """A cancellation point: raise `Cancelled` if the token is cancelled."""
        if world.checked is not None:
            world.checked()
        if self.cancelled:
            raise Cancelled(self.reason)

    def wait(self, timeout: Duration | None = None) -> bool:
        """Block until the token is cancelled, at most `timeout` seconds; is it cancelled?"""
        end = self._deadline
        if timeout is not None:
            own = world.monotonic() + seconds(timeout, "a token's wait()")
            end = own if end is None else min(own, end)
        # A bare lock, not an Event: it may be released by a signal handler on this very thread.
        woken = _thread.allocate_lock()
        woken.acquire()
        # The time limit is waited for here, and needs no timer.
        registration = self._add(woken.release, is_wakeup=True)
        try:
            while not self.cancelled:
                left = None if end is None else end - world.monotonic()
                if (left is not None and left <= 0) or world.acquire(woken, wait_slice(left)):
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
        in the thread that cancels, or in one of its own where a time limit passes; keep it
        short. Use the result in a `with` statement (or `remove()` it), so that the callback is
        gone, and not running any more, when the call has returned.

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
        if self.cancelled and self._take(registration):
            _Cancellation(callbacks=(registration,)).run()
        return registration

    def _add(self, callback: Callback, *, is_wakeup: bool = False) -> Registration:
        """Insert a callback and begin to listen: to the parents, and to our own deadline."""
        registration = Registration(self, callback, is_wakeup=is_wakeup)
        timer = None
        with interruptible_wait(), _lock:
            self._callbacks[registration] = None
            if not self._is_engine_owned:
                self._link()
                if not is_wakeup and self._timer is None and self._deadline is not None:
                    timer = self._timer = TimerEntry(self._deadline, self._time_is_up)
        if timer is not None:
            schedule(timer)
        return registration

    def _time_is_up(self) -> None:
        """On the timer's thread, which has other tokens' deadlines to keep."""
        _Cancellation(self, reason=_DEADLINE_REASON, nowait=True).run()

    def _take(self, registration: Registration) -> bool:
        """Take a callback off the list; False when a cancellation has taken it already."""
        with interruptible_wait(), _lock:
            taken = registration in self._callbacks
            self._callbacks.pop(registration, None)
            self._unlink_if_idle()  # a cancellation in between may have left us a timer
        return taken

    def _forget(self, registration: Registration) -> bool:
        """Make sure that a callback is never called; False where that has begun already."""
        dropped: list[Callback] = []
        with interruptible_wait(), _lock:
            self._callbacks.pop(registration, None)
            self._unlink_if_idle()
            forgotten = registration._state is _REGISTERED
            if forgotten:
                registration._state = _ENDED
                dropped, registration._callback = registration._callback, []
        del dropped  # without the lock: its end may be user code
        return forgotten

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

    def _unlink(self) -> None:
        """Leave the parents alone, and the timer."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        if self._linked:
            self._linked = False
            for parent in self._parents:
                parent._children.pop(self, None)
                parent._unlink_if_idle()

    def _unlink_if_idle(self) -> None:
        if not (self._is_engine_owned or self._callbacks or self._children):
            self._unlink()

    def __repr__(self) -> str:
        if self.cancelled:
            return f"<CancellationToken cancelled, reason={self.reason!r}>"
        left = self.remaining()
        return f"<CancellationToken {'active' if left is None else f'{left:.3f} s left'}>"


def check_token(cancel: Any) -> None:
    """Refuse what was given for `cancel` and is no token; None is none, and will do."""
    if cancel is not None and not isinstance(cancel, CancellationToken):
        raise ConfigurationError(f"cancel must be a CancellationToken, not {cancel!r}")
