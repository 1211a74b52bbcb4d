"""SIGTERM and Ctrl-C that drain the process, and then end it in time."""

from __future__ import annotations

__all__ = ("drain_on_signals", "is_drain_handler")

import _thread
import atexit
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from .._base.durations import Duration, seconds
from .._base.lazy import Lazy
from .._base.waiting import on_new_thread, wait_slice
from ..errors import ConfigurationError, DrainingError, WorkflowCancelledError
from .draining import ENDING, drain
from .report import DrainReport

if TYPE_CHECKING:
    import socket
else:
    socket = Lazy("socket")

_log = logging.getLogger("cano_sync")

SIGNALS = (signal.SIGTERM, signal.SIGINT)
LAST_WORDS = 1.0
"""Seconds, within the grace, in which the main thread may do something with what its runs came to
before it is interrupted."""
LEAVING = 0.07
"""Seconds after the grace when the main thread has had its chance to leave, and is not waited for
any more: the functions of `atexit` are called without it."""
END = 0.12
"""Seconds after the grace when the process ends, whatever is still being done."""


class _Phase(Enum):
    """How far it is."""

    WAITING = auto()  # for a signal
    DRAINING = auto()  # a second signal cancels at once
    LEAVING = auto()  # the next signal, which is ours, makes the main thread leave
    LEFT = auto()  # that has happened
    HELD = auto()  # the main thread is held where it is, and another one ends the process


class _DrainSignals:
    """What happens from the first signal to the end of the process.

    A signal is heard in two ways. Python calls the handler on the main thread, as soon as that is
    in Python code: which may be never, in a call that does not return. So the number of the signal
    is also written to a socket, at once, by C code (`signal.set_wakeup_fd`), and a thread reads it
    there. Whichever comes first counts.

    The handler takes no lock and waits for nothing. Two more threads do the work from the first
    signal on: one drains and makes the main thread leave; the other, the *watch*, ends the process
    when the time is up. All are started by the low-level call, for a `threading.Thread` takes
    locks that the interrupted frame may hold. Each attribute is written by one step.

    Attributes:
        is_inherited: whether this process was forked from the one that called `install`. Then only
            the handler is left.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._previous: dict[int, Any] = {}
        self._excepthook: Any = None
        self._sender: socket.socket | None = None
        self._receiver: socket.socket | None = None
        self._outer_fd = -1  # to which signals were written before
        self.is_inherited = False
        self.reset()

    def fork(self) -> None:
        """In a forked child: signals are not to be written to the parent's socket."""
        self.is_inherited = True
        if self._receiver is not None:
            self._close()
        self.reset()

    def reset(self) -> None:
        """No signal has come."""
        self._heard = [0, 0]  # how many signals, by the handler and by the socket
        self._begun = _thread.allocate_lock()  # taken by whichever begins
        self._phase = _Phase.WAITING
        self._number = signal.Signals.SIGTERM
        self._end = 0.0  # of the grace, on the monotonic clock
        self._is_exiting = False  # whether the interpreter exits, on the main thread
        # Locks that are held until something has happened, or (the last) that somebody takes once.
        self._drained = _Flag()
        self._main_exits = _Flag()
        self._hastened = _Flag()
        self._exit_functions = _thread.allocate_lock()

    def install(self) -> None:
        """Handle the signals, but for those that are ignored, or handled by others than Python."""
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if handler not in (signal.SIG_IGN, None):
                self._previous[number] = handler
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        self._outer_fd = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        for each in self._previous:
            signal.signal(each, self.handle)
        on_new_thread(partial(self._listen, self._receiver))

    def uninstall(self) -> None:
        """Put back what was there, where nobody else has put something there meanwhile."""
        for number, handler in self._previous.items():
            if signal.getsignal(number) == self.handle:
                signal.signal(number, handler)
        self._close()

    def _close(self) -> None:
        sender, receiver = self._sender, self._receiver
        if sender is None or receiver is None:
            return
        self._sender = self._receiver = None
        current = signal.set_wakeup_fd(-1)
        if current == sender.fileno():
            current = self._outer_fd
        signal.set_wakeup_fd(current)
        sender.close()  # the thread reads the end of it, and ends; in a child, there is none
        if self.is_inherited:
            receiver.close()

    # Hearing signals.

    def _listen(self, receiver: socket.socket) -> None:
        with suppress(OSError), receiver:
            while numbers := receiver.recv(64):
                if self._outer_fd != -1:  # who listened before does so still
                    with suppress(OSError):
                        os.write(self._outer_fd, numbers)
                for number in numbers:
                    if number in self._previous:
                        self._hear(number, 1)

    def _hear(self, number: int, by: int) -> None:
        """A signal has come, by one of the two ways; perhaps it has by the other, too."""
        self._heard[by] += 1
        if self._phase is _Phase.WAITING:
            if self._begun.acquire(blocking=False):
                self._begin(number)
        elif self._phase is _Phase.DRAINING and self._heard[by] > 1:
            self._end = min(self._end, time.monotonic())
            self._hastened.set()
            on_new_thread(_drain_now)

    # On the main thread.

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The handler of the signals."""
        if self._phase is _Phase.LEAVING:
            self._leave()
            return
        if self._phase is _Phase.HELD:
            _Flag().wait(None)
        self._hear(number, 0)
        previous = self._previous.get(number)
        if callable(previous) and previous is not signal.default_int_handler:
            previous(number, frame)

    def _begin(self, number: int) -> None:
        self._number = signal.Signals(number)
        self._end = time.monotonic() + self._grace
        self._phase = _Phase.DRAINING
        self._excepthook, sys.excepthook = sys.excepthook, self._on_uncaught
        if not (on_new_thread(self._watch) and on_new_thread(self._drain_and_exit)):
            os._exit(self._code)  # the system has no threads any more

    def _leave(self) -> None:
        self._phase = _Phase.LEFT
        if not self._is_exiting:
            raise SystemExit(self._code)

    @property
    def _code(self) -> int:
        """As a shell has it: of a process that was ended by the signal."""
        return 128 + self._number

    def _on_uncaught(
        self, kind: type[BaseException], error: BaseException, where: TracebackType | None
    ) -> None:
        """What nobody caught on the main thread after the signal: what it ends with is the signal.

        That the process is ending is no news; all else is shown as ever.
        """
        is_news = not isinstance(error, DrainingError)
        if isinstance(error, WorkflowCancelledError) and error.reason == ENDING:
            is_news = False
        if is_news:
            self._excepthook(kind, error, where)
        raise SystemExit(self._code)

    def on_exit(self) -> None:
        """The main thread has come to its end. Runs on other threads still have their grace."""
        if self._phase is not _Phase.WAITING:
            self._is_exiting = True
            self._main_exits.set()
            self._drained.wait(None)

    def at_exit(self) -> None:
        """The functions of atexit are to be called, unless another thread does it already."""
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and not self._exit_functions.acquire(blocking=False):
            _Flag().wait(None)

    # On threads of their own.

    def _drain_and_exit(self) -> None:
        try:
            report = drain(max(0.0, self._end - time.monotonic()))
            self._say(report)
            if report.total:
                end = self._end + LEAVING / 2  # a moment even for what was cancelled
                self._main_exits.wait(min(time.monotonic() + LAST_WORDS, end))
        finally:
            self._drained.set()
            self._phase = _Phase.LEAVING
            self._interrupt_main()
        while (end := self._end + LEAVING) > time.monotonic():
            self._hastened.wait(end)
        if self._exit_functions.acquire(blocking=False):
            # It hangs: in a call that does not return, or with a thread that it waits for.
            self._phase = _Phase.HELD
            self._interrupt_main()
            atexit._run_exitfuncs()
            for stream in (sys.stdout, sys.stderr):
                with suppress(Exception):
                    stream.flush()
            os._exit(self._code)

    def _say(self, report: DrainReport) -> None:
        level = logging.WARNING if report.abandoned else logging.INFO
        _log.log(level, "%s: %s", self._number.name, report)

    def _interrupt_main(self) -> None:
        main = threading.main_thread().ident
        if hasattr(signal, "pthread_kill") and main is not None:
            # To that thread, so that it ends a system call, too.
            signal.pthread_kill(main, self._number)
        else:
            _thread.interrupt_main(self._number)

    def _watch(self) -> None:
        """End the process when the time is up, whatever the other threads do, or hold."""
        while (end := self._end + END) > time.monotonic():
            self._hastened.wait(end)
        os._exit(self._code)


class _Flag:
    """An event that may be set in a signal handler, whatever that has interrupted."""

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._lock.acquire()

    def set(self) -> None:
        """Let who waits go on. A second call does nothing."""
        with suppress(RuntimeError):
            self._lock.release()

    def wait(self, end: float | None) -> None:
        """Wait until it is set, or the time (on the monotonic clock) is up; None for ever."""
        while end is None or time.monotonic() < end:
            left = None if end is None else end - time.monotonic()
            if self._lock.acquire(True, max(0.0, wait_slice(left))):
                self._lock.release()
                return


def _drain_now() -> None:
    drain(0)


# The one that is in effect, if one is, for the signals are the process's; and whether it has been
# arranged that it hears of the interpreter's exit. Both are changed on the main thread.
_active: list[_DrainSignals] = []
_hears_of_exit = False


def drain_on_signals(grace: Duration = 20.0) -> Callable[[], None]:
    """Have SIGTERM and Ctrl-C drain this process and end it: for scripts, workers, schedulers.

    To be called on the main thread, when the program begins. The first signal begins `drain` on a
    thread of its own. When that is over, the main thread leaves what it is doing by `SystemExit`,
    and the process ends with the exit code that a shell gives a process ended by that signal: 143,
    or 130 after Ctrl-C. The functions of `atexit` are called. A second signal cancels at once what
    is still running.

    - It ends at most 0.2 s after the grace, even if the main thread is in a call that does not
      return; then another thread calls the functions of `atexit`, and gives up what is left of
      those 0.2 s after it. Only an extension that keeps Python's own lock for itself can hold it
      up.
    - The main thread goes on meanwhile. Where runs have finished, it has up to a second more
      within the grace to do something with what they came to. If it comes to its own end, the
      process ends with the exit code of that, when the runs on other threads have ended.
    - What nobody catches on the main thread after the signal ends the process with that exit code;
      `DrainingError`, and the cancellation by the drain, without a traceback.
    - A handler of yours that was there before is called as well, after the drain has begun; what
      is ignored (as by `nohup`) stays so. A `Scheduler.start` on the main thread leaves the
      signals to this.
    - The report is logged to the logger `cano_sync`; as a warning if a run was abandoned.

    Servers have signal handlers of their own, and want another recipe: see the guide.

    Args:
        grace: seconds (or a `timedelta`) for which running runs may go on.

    Returns:
        A function that takes it back, on the main thread.

    Raises:
        ConfigurationError: the grace is no duration; it is called on another thread than the main
            one; or it is in effect already.

    >>> uninstall = drain_on_signals(grace=10)
    >>> uninstall()
    """
    length = seconds(grace, "drain_on_signals()'s grace")
    if threading.current_thread() is not threading.main_thread():
        raise ConfigurationError(
            "drain_on_signals() must be called on the main thread, for it sets signal handlers; "
            f"it was called on {threading.current_thread().name!r}"
        )
    if _active and _active[0].is_inherited:
        _active.pop().uninstall()
    if _active:
        raise ConfigurationError(
            "drain_on_signals() is in effect already; to change it, first call what it returned"
        )
    _hear_of_exit()
    made = _DrainSignals(length)
    _active.append(made)
    made.install()

    def uninstall() -> None:
        made.uninstall()
        if made in _active:
            _active.remove(made)

    return uninstall


def is_drain_handler(handler: Any) -> bool:
    """Whether this handler of a signal is ours."""
    return any(handler == each.handle for each in _active)


def _on_exit() -> None:
    for each in _active:
        each.on_exit()


def _at_exit() -> None:
    for each in _active:
        each.at_exit()


def _fork() -> None:
    for each in _active:
        each.fork()


def _hear_of_exit() -> None:
    """Before the pools are closed: they were imported, and so registered, before."""
    global _hears_of_exit
    if not _hears_of_exit:
        getattr(threading, "_register_atexit", atexit.register)(_on_exit)
        atexit.register(_at_exit)
        _hears_of_exit = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fork)
