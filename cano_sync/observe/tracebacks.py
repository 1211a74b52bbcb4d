"""Tracebacks for the log: short ones, of the user's own code, and each only once."""

from __future__ import annotations

__all__ = ("ExcInfo", "Style", "Tracebacks", "is_ours", "short")

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Literal, TypeAlias, get_args
from weakref import WeakSet

from ..errors import (
    CanoError,
    ConfigurationError,
    JoinError,
    NodeExecutionError,
    PreparationError,
    RetryExhaustedError,
    TaskExecutionError,
    WorkflowCancelledError,
    WorkflowTimeoutError,
    root_of,
)

ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]
"""What the standard library's `logging` takes for `exc_info`."""

Style: TypeAlias = Literal["short", "full", "none"]
"""Which tracebacks are wanted."""

_PACKAGE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")
_DEMO = os.path.join(_PACKAGE, "demo", "")  # it stands for a user's program

# Errors that add nothing to the line of the log: what led to them is their cause.
_WRAPPERS = (
    JoinError, NodeExecutionError, PreparationError, RetryExhaustedError, TaskExecutionError,
    WorkflowCancelledError, WorkflowTimeoutError,
)  # fmt: skip


def is_ours(filename: str) -> bool:
    """Whether a frame of this file is of no interest to a user: it is one of this package.

    >>> is_ours(__file__), is_ours("/srv/shop/orders.py")
    (True, False)
    """
    return filename.startswith(_PACKAGE) and not filename.startswith(_DEMO)


def short(error: BaseException) -> ExcInfo | None:
    """What was raised by the user's code, with the frames of that code; None if there are none.

    The error and its tracebacks stay as they are. Of runs nested in each other, the frames are
    put in a row, as if there had been no engine between them. Of a failed join it is all the
    branches' errors.
    """
    frames: list[TracebackType] = []
    link: BaseException | None = error
    while link is not None:
        error = link
        entries = _entries(link)
        frames += (each for each in entries if not is_ours(each.tb_frame.f_code.co_filename))
        link = _inside(link)
    if not frames and not isinstance(error, BaseExceptionGroup):
        return None
    return type(error), error, _in_a_row(frames)


def _entries(error: BaseException) -> Iterator[TracebackType]:
    entry = error.__traceback__
    while entry is not None:
        yield entry
        entry = entry.tb_next


def _inside(error: BaseException) -> BaseException | None:
    cause = error.__cause__
    if not isinstance(error, _WRAPPERS) or cause is None:
        return None
    if isinstance(error, JoinError) and isinstance(cause, BaseExceptionGroup):
        roots = [root_of(branch) for branch in cause.exceptions]
        return roots[0] if len(roots) == 1 else cause.derive(roots)
    return cause


def _in_a_row(entries: Iterable[TracebackType]) -> TracebackType | None:
    """A traceback of these entries, the most recent call last."""
    row: TracebackType | None = None
    for entry in reversed(list(entries)):
        row = TracebackType(row, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return row


_STYLES: Mapping[str, Callable[[BaseException], ExcInfo | None]] = {
    "short": short,
    "full": lambda error: (type(error), error, error.__traceback__),
    "none": lambda error: None,
}


class Tracebacks:
    """Sees to it that none is logged twice. Keeps no error alive; safe from any thread.

    An error of a run is known by itself, or by one that has led to it: the failed join comes
    after its branches, the exhausted retries after the failure of a nested run. A user's own
    exception is always behind the `CanoError` that the run makes of it.

    Raises:
        ConfigurationError: there is no such style.

    >>> tracebacks, error = Tracebacks("full"), CanoError("no")
    >>> tracebacks.once(error)[1] is error, tracebacks.once(error)
    (True, None)
    """

    def __init__(self, style: Style) -> None:
        if style not in get_args(Style):
            raise ConfigurationError(
                f"tracebacks={style!r} is none of {', '.join(map(repr, get_args(Style)))}; leave "
                "it out for short ones"
            )
        self._style = _STYLES[style]
        self._logged: WeakSet[CanoError] = WeakSet()

    def once(self, error: BaseException) -> ExcInfo | None:
        """What to log of it as `exc_info`; None if that has been logged already."""
        chain = [link for link in _chain(error) if isinstance(link, CanoError)]
        is_known = any(link in self._logged for link in chain)
        for link in chain:
            self._logged.add(link)
        return None if is_known else self._style(error)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and what has led to it, as a traceback shows it."""
    links, seen = [error], set[int]()
    while links:
        link = links.pop()
        if id(link) not in seen:
            seen.add(id(link))
            yield link
            links += link.exceptions if isinstance(link, BaseExceptionGroup) else ()
            links += () if link.__cause__ is None else (link.__cause__,)
