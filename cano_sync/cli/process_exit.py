"""The end of the process: with the right code, and no later than the grace allows."""

from __future__ import annotations

__all__ = ("GRACE", "SHORT_GRACE", "ProcessExit")

import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn, TextIO

from .. import wait_for_abandoned
from .errors import BROKEN_PIPE, FAILED
from .signals import end

GRACE = 2.0
"""Seconds for which abandoned tasks may hold the process after the work."""

SHORT_GRACE = 0.1
"""And after a signal: a task that listens cleans up, a deaf one must not keep anybody waiting."""


class ProcessExit:
    """Ends the process, once the command has done its work. To be used on the main thread.

    Attributes:
        grace: for how many seconds abandoned tasks may hold the process.
        is_over: whether the work is done, and a signal has nothing left to stop.
        was_interrupted: whether Ctrl-C came where nothing ran yet, or any more.
    """

    def __init__(self) -> None:
        self.grace = GRACE
        self.is_over = False
        self.was_interrupted = False

    def listen(self) -> None:
        """Handle Ctrl-C while nothing else does: before the work, and after it."""
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._interrupt)

    def done(self, *, by_signal: bool, grace: float | None) -> None:
        """The work is over; the grace in seconds is the user's, if there is one."""
        self.grace = grace if grace is not None else SHORT_GRACE if by_signal else GRACE
        self.is_over = True

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.is_over or self.was_interrupted:
            end(number, frame)
        self.was_interrupted = True
        self.grace = SHORT_GRACE
        raise KeyboardInterrupt

    def __call__(self, code: int) -> NoReturn:
        """End the process with this code, at the latest after the grace.

        The interpreter ends in good order if it can: it joins the user's threads and executors,
        and calls what was registered with `atexit`. It would wait for a thread that never ends,
        and it would cut off the abandoned ones (daemons, all of them) in the midst of whatever
        they do. So those are waited for first; and where the grace is not enough for the one or
        the other, the process leaves by `os._exit`, which waits for nobody and tears nothing down
        under the feet of threads that still run. All output was flushed before.
        """
        self.is_over = True
        code = _flushed(code)
        # A moment for good order there always is.
        limit = min(self.grace + SHORT_GRACE, threading.TIMEOUT_MAX)
        guard = threading.Timer(limit, os._exit, [code])
        guard.name = "cano-exit"
        guard.daemon = True  # nobody joins it: it ends with the process, or the process with it
        guard.start()
        if not wait_for_abandoned(self.grace):
            os._exit(_flushed(code))
        sys.exit(code)


def _flushed(code: int) -> int:
    """The exit code, once all is written that anybody reads."""
    _flush(sys.stderr)
    error = _flush(sys.stdout)
    if isinstance(error, BrokenPipeError):
        return code or BROKEN_PIPE
    return code if error is None else code or FAILED


def _flush(stream: TextIO) -> OSError | None:
    """Write what waits to be written; the error, if nobody reads it or it finds no room."""
    try:
        stream.flush()
    except OSError as error:
        # What is still written there, by the interpreter's end at last, shall go nowhere.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        return error
    except ValueError:  # it is closed
        pass
    return None
