"""Switch points at each line of users' code: for races on plain objects."""

from __future__ import annotations

__all__ = ("switching_at_lines",)

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from .session import current_stage
from .stage import Stage

_PACKAGE = str(Path(__file__).parents[2])
_LIBRARY = str(Path(threading.__file__).parent)


@contextmanager
def switching_at_lines(stage: Stage) -> Iterator[None]:
    """Within the block, actors of the stage switch at each line outside the library.

    By `sys.settrace`, on the actors' own threads.
    """

    def local(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line" and current_stage() is stage:
            stage.step()
        return local

    def begins(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_name == "<module>":  # it holds the lock of its import
            return None
        file = frame.f_code.co_filename
        if file.startswith((_PACKAGE, _LIBRARY, "<frozen")) and "site-packages" not in file:
            return None
        return local

    stage.trace = begins
    try:
        yield
    finally:
        stage.trace = None
