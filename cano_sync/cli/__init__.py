"""The command line `cano-sync`, which needs the extra `cli`."""

import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """Who has changed their mind while all is loaded, for a tenth of a second, wants no more."""
    # Not by KeyboardInterrupt: the import system may swallow it, and a second one comes anywhere.
    os._exit(130)


_is_plain = (
    threading.current_thread() is threading.main_thread()
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
)
if _is_plain:
    signal.signal(signal.SIGINT, _end)
try:
    from .program import main
except ModuleNotFoundError as error:
    if error.name not in ("click", "rich"):
        raise
    _missing = error.name

    def main() -> NoReturn:
        """Say how to get what the command line needs."""
        sys.stderr.write(
            f"cano-sync: the command line needs {_missing}: pip install 'cano_sync[cli]'\n"
        )
        sys.exit(1)

finally:
    if _is_plain:
        signal.signal(signal.SIGINT, signal.default_int_handler)

__all__ = ("main",)
