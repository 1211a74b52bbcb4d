"""Background runs that begin when the transaction around them is committed."""

from __future__ import annotations

__all__ = ("submit_on_commit",)

import logging
import weakref
from concurrent.futures import Future
from typing import Any, TypeVar

from django.db import transaction

from .. import CancellationToken, Store, Workflow
from .._base.cancellation import check_token
from .._base.store import check_store
from .._base.text import full_name

S = TypeVar("S")

_log = logging.getLogger("cano_sync.django")


def submit_on_commit(
    workflow: Workflow[S],
    initial_state: S,
    *,
    store: Store | None = None,
    cancel: CancellationToken | None = None,
    using: str | None = None,
) -> Future[S]:
    """`workflow.submit(...)`, once the current transaction is committed.

    So the run sees what the transaction has written, and there is none if that is rolled back.
    Outside a transaction the run begins at once. Call it on the thread that has the transaction;
    do not wait there for the future before the commit.

    Args:
        workflow: what is to be run.
        initial_state: where to begin.
        store: the run's store; None for the workflow's, or else a fresh `MemoryStore`.
        cancel: a token that ends the run when it is cancelled. That of the request ends with its
            response: leave it out for what shall go on.
        using: the database of the transaction; None for "default".

    Returns:
        A future with the exit state, or the error. It is cancelled if the transaction (or the
        savepoint) is rolled back; cancelled by you before the commit, nothing is run.

    Raises:
        ConfigurationError: the workflow, or an argument, is wrong: raised here, not on commit.

    Example::

        with transaction.atomic():
            order = Order.objects.create(city="Bern")
            submit_on_commit(SHIPPING, Shipping.ASK, store=MemoryStore({"order": order.pk}))
    """
    workflow.validate()
    workflow.validate_initial_state(initial_state)
    check_store(store)
    check_token(cancel)
    future: Future[S] = Future()
    start = _Start(workflow, initial_state, store, cancel, future)
    transaction.on_commit(start, using=using)
    return future


class _Start:
    """The callback of the commit."""

    def __init__(
        self,
        workflow: Workflow[Any],
        initial_state: Any,
        store: Store | None,
        cancel: CancellationToken | None,
        future: Future[Any],
    ) -> None:
        self._workflow = workflow
        self._initial_state = initial_state
        self._store = store
        self._cancel = cancel
        self._future = future
        self.__qualname__ = "submit_on_commit"  # for Django's log
        # Django says nothing of a rollback: it drops the callbacks. Then nobody has this one.
        self._finalizer = weakref.finalize(self, _dropped, future)
        self._finalizer.atexit = False

    def __call__(self) -> None:
        future = self._future
        self._finalizer.detach()
        if not future.set_running_or_notify_cancel():
            return
        try:
            run = self._workflow.submit(self._initial_state, store=self._store, cancel=self._cancel)
        except Exception as error:  # the commit is done: the view has nothing to do with this
            _log.exception(
                "state %s: the run could not begin after the commit",
                full_name(self._initial_state),
            )
            future.set_exception(error)
            return
        run.add_done_callback(lambda ended: _hand_on(ended, future))


def _hand_on(ended: Future[Any], future: Future[Any]) -> None:
    error = ended.exception()
    if error is None:
        future.set_result(ended.result())
    else:
        future.set_exception(error)


def _dropped(future: Future[Any]) -> None:
    """The transaction was rolled back, and nobody has the callback any more."""
    future.cancel()
    future.set_running_or_notify_cancel()  # who waits for it by `wait()` learns of it
