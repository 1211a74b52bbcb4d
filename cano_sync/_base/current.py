"""The current token: that of the task that code runs in, however far below."""

from __future__ import annotations

__all__ = ("current_token", "current_token_or_none", "set_current_token")

from contextvars import ContextVar

from .cancellation import CancellationToken

_current: ContextVar[CancellationToken | None] = ContextVar("cano_sync.token", default=None)


def current_token() -> CancellationToken:
    """The token of the task that this code runs in; outside a run, one that nobody cancels.

    >>> current_token().cancelled
    False
    """
    return _current.get() or CancellationToken()


def current_token_or_none() -> CancellationToken | None:
    """The token of the task that this code runs in, or None outside a run."""
    return _current.get()


def set_current_token(token: CancellationToken | None) -> None:
    """Make `token` the current one in the context that this is called in."""
    _current.set(token)
