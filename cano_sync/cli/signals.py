"""Ctrl-C and SIGTERM: they ask the work to stop, and at last end the process."""

from __future__ import annotations

__all__ = ("SHOW_CURSOR", "Interruptions", "end", "exit_code")

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, NoReturn

SHOW_CURSOR = b"\x1b[?25h"
"""What shows the cursor of a terminal again that a live view has hidden."""

_HANDLED = (signal.SIGINT, signal.SIGTERM)


def exit_code(number: int) -> int:
    """As a shell says it of a program that a signal has ended."""
    return 128 + number


class Interruptions:
    """Handles both signals during its `with` block: each takes the next step, the last ends all.

    A signal that the process was started to ignore, as by `nohup` or in the background of a
    script, stays ignored. Nothing is handled off the main thread, where Python has no signals.

    Args:
        steps: called one after the other, with the name of the signal; in a signal handler, so
            they may take no lock that the interrupted code could hold. When there are no more of
            them, the process ends.

    Attributes:
        number: the first signal that came, or None.
    """

    def __init__(self, *steps: Callable[[str], object]) -> None:
        self.number: int | None = None
        self._steps = list(steps)
        self._before: dict[int, Any] = {}

    @property
    def name(self) -> str | None:
        """What stopped it, for people."""
        return None if self.number is None else _name(self.number)

    def __enter__(self) -> Interruptions:
        if threading.current_thread() is threading.main_thread():
            for number in _HANDLED:
                before = signal.getsignal(number)
                if before not in (signal.SIG_IGN, None):  # None: it could not be put back
                    self._before[number] = before
                    signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def over(self) -> None:
        """The work has ended: there is nothing left to stop, and the next signal ends all."""
        self._steps.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._steps:
            end(number, frame)
        self.number = self.number or number
        self._steps.pop(0)(_name(number))


def end(number: int, frame: FrameType | None) -> NoReturn:
    """A signal handler that ends the process at once."""
    # Not by an exception, which would have to wind its way through whatever does not end.
    if os.isatty(2):
        os.write(2, SHOW_CURSOR)
    os._exit(exit_code(number))


def _name(number: int) -> str:
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
