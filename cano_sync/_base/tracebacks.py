"""Tracebacks that begin with the user's own code."""

from __future__ import annotations

__all__ = ("traceback_text", "without_engine_frames")

import traceback
from typing import TypeVar

E = TypeVar("E", bound=BaseException)

LONGEST = 4_000
"""How many characters of a traceback are recorded, the last ones."""

# Private modules of this package, the builder, and what carries an error from thread to thread.
_ENGINE = ("cano_sync._", "cano_sync.workflow", "concurrent.futures", "tenacity")


def without_engine_frames(error: E) -> E:
    """Cut the engine's frames off the outer end of an error's traceback.

    What is left begins with the frame of the task, or of whatever the user's code is. Frames of
    ours further in, as those of a store that a task has asked, stay.

    Returns:
        The same error.
    """
    frame = error.__traceback__
    while frame is not None and _is_engine(frame.tb_frame.f_globals.get("__name__")):
        frame = frame.tb_next
    return error.with_traceback(frame)


def _is_engine(module: object) -> bool:
    return isinstance(module, str) and module.startswith(_ENGINE)


def traceback_text(error: BaseException) -> str:
    """The frames of the user's code in an error's traceback, as text; the last of them."""
    frame = error.__traceback__
    while frame is not None and _is_engine(frame.tb_frame.f_globals.get("__name__")):
        frame = frame.tb_next
    return "".join(traceback.format_tb(frame))[-LONGEST:]
