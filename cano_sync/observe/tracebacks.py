"""Which errors' tracebacks are in the log already."""

from __future__ import annotations

__all__ = ("Tracebacks",)

from collections.abc import Iterator
from weakref import WeakSet

from ..errors import CanoError


class Tracebacks:
    """Sees to it that none is logged twice. Keeps no error alive; safe from any thread.

    An error of a run is known by itself, or by one that has led to it: the failed join comes
    after its branches, the exhausted retries after the failure of a nested run. A user's own
    exception is always behind the `CanoError` that the run makes of it.

    >>> tracebacks, error = Tracebacks(), CanoError("no")
    >>> tracebacks.once(error) is error, tracebacks.once(error)
    (True, None)
    """

    def __init__(self) -> None:
        self._logged: WeakSet[CanoError] = WeakSet()

    def once(self, error: BaseException) -> BaseException | None:
        """The error, if it is to be logged with its traceback; else None."""
        chain = [link for link in _chain(error) if isinstance(link, CanoError)]
        is_known = any(link in self._logged for link in chain)
        for link in chain:
            self._logged.add(link)
        return None if is_known else error


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
