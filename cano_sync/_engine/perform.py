"""One task, performed as its config says: one attempt, or several."""

from __future__ import annotations

__all__ = ("perform",)

from typing import TYPE_CHECKING, Any

from ..cancellation import CancellationToken
from ..lazy import Lazy
from ..store import Store
from ..task import BoundTask
from .attempts import Site, attempt

if TYPE_CHECKING:
    from . import retrying
else:
    retrying = Lazy(".retrying", __package__)  # it brings tenacity along


def perform(task: BoundTask, store: Store, token: CancellationToken, site: Site) -> Any:
    """Run the task as its config says; what its last attempt raised is raised.

    Raises:
        Cancelled: the token was cancelled, between two attempts or in one.
        RetryExhaustedError: from the error of the last of several attempts.
        AttemptTimeoutError: the only attempt took too long.
    """
    if task.config.retry is None:
        return attempt(task, store, token, site, 1)
    return retrying.with_retries(task, store, token, site)
