"""SIGTERM and Ctrl-C, handled while something runs."""

from __future__ import annotations

__all__ = ("handling_signals",)

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from .._engine import is_drain_handler

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def handling_signals(handle: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Handle both signals within the block, on the main thread; elsewhere do nothing.

    A signal that is ignored stays so (`nohup`, and a shell's background jobs ignore Ctrl-C), as
    does one whose handler is not Python's, for it could not be put back, and one that drains the
    process, which stops its schedulers.

    Args:
        handle: called at each signal; it takes no lock that the interrupted code may hold.
    """
    previous: dict[signal.Signals, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                handler = signal.getsignal(number)
                if handler not in (signal.SIG_IGN, None) and not is_drain_handler(handler):
                    signal.signal(number, handle)
                    previous[number] = handler
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
