"""One task, performed as its config says: one attempt, or several."""

from __future__ import annotations

__all__ = ("execute",)

from typing import TYPE_CHECKING, Any

from .._base.cancellation import CancellationToken, Cancelled
from .._base.lazy import Lazy
from .._base.store import Store
from .._model.task import BoundTask
from ..errors import CanoError
from .attempts import Site, attempt, failure

if TYPE_CHECKING:
    from . import retrying
else:
    retrying = Lazy(".retrying", __package__)  # it brings tenacity along


def execute(task: BoundTask, store: Store, token: CancellationToken, site: Site) -> Any:
    """Run the task as its config says; what its last attempt raised is raised.

    Raises:
        Cancelled: the token was cancelled, between two attempts or in one.
        RetryExhaustedError: from the error of the last of several attempts.
        AttemptTimeoutError: the only attempt took too long.
    """
    if site.events is not None:
        return _told(task, store, token, site)
    return _execute(task, store, token, site)


def _execute(task: BoundTask, store: Store, token: CancellationToken, site: Site) -> Any:
    if task.config.retry is None:
        return attempt(task, store, token, site, 1)
    return retrying.with_retries(task, store, token, site)


def _told(task: BoundTask, store: Store, token: CancellationToken, site: Site) -> Any:
    """The same, and the run's observers hear how it begins and ends."""
    assert site.events is not None
    told = site.told = site.events.task(task.name, site.state, site.index, token)
    try:
        result = _execute(task, store, token, site)
    except (Exception, Cancelled) as error:
        if token.cancelled:
            told.cancelled(token.reason)
            raise
        # A CanoError is located only further up, where it is known whose mistake it is.
        known = error if isinstance(error, CanoError) else failure(error, task.name, site)
        told.failed(known)
        if known is error:
            raise  # as it is: its context is shown, as without observers
        raise known from known.__cause__
    except BaseException as error:  # it wants out of the program
        told.failed(error)
        raise
    told.succeeded()
    return result
