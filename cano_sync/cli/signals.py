"""Ctrl-C and SIGTERM: they ask the work to stop, and at last end the process."""

from __future__ import annotations

__all__ = ("SHOW_CURSOR", "Interruptions", "end", "exit_code", "interruptions")

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from ..scheduler.signals import handling_signals

SHOW_CURSOR = b"\x1b[?25h"
"""What shows the cursor of a terminal again that a live view has hidden."""


def exit_code(number: int) -> int:
    """As a shell says it of a program that a signal has ended."""
    return 128 + number


class Interruptions:
    """The signals that came: each takes the next step; where there is none, the process ends.

    Attributes:
        number: the first signal that came, or None.
    """

    def __init__(self, *steps: Callable[[str], object]) -> None:
        self.number: int | None = None
        self._steps = list(steps)

    @property
    def name(self) -> str | None:
        """What stopped it, for people."""
        return None if self.number is None else _name(self.number)

    def over(self) -> None:
        """The work has ended: there is nothing left to stop, and the next signal ends all."""
        self._steps.clear()

    def handle(self, number: int, frame: FrameType | None) -> None:
        """A signal has come."""
        if not self._steps:
            end(number, frame)
        self.number = self.number or number
        self._steps.pop(0)(_name(number))


@contextmanager
def interruptions(*steps: Callable[[str], object]) -> Iterator[Interruptions]:
    """Handle both signals during the block.

    Args:
        steps: called one after the other, with the name of the signal; in a signal handler, so
            they may take no lock that the interrupted code could hold.
    """
    signals = Interruptions(*steps)
    with handling_signals(signals.handle):
        yield signals


def end(number: int, frame: FrameType | None) -> NoReturn:
    """A signal handler that ends the process at once."""
    # Not by an exception, which would have to wind its way through whatever does not end.
    if os.isatty(2):
        os.write(2, SHOW_CURSOR)
    os._exit(exit_code(number))


def _name(number: int) -> str:
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
