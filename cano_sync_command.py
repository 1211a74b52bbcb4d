"""The console script `cano-sync`: outside the package, so that Ctrl-C is quiet while that loads."""

from __future__ import annotations

__all__ = ("main",)

import os
import signal
from importlib import import_module


def main() -> None:
    """Load the command line and run it.

    Loading takes a tenth of a second, most of it in `cano_sync` itself. Ctrl-C ends the process
    meanwhile at once, with 130 and without a word. The command line then has a handler of its own.
    """
    # A signal that the process was started to ignore, as by `nohup`, stays ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    import_module("cano_sync.cli").main()


def _end(number: int, frame: object) -> None:
    # Not by an exception: what is being loaded may swallow it, as the import system itself does
    # in some of its callbacks, and a second one would come anywhere.
    os._exit(128 + number)
