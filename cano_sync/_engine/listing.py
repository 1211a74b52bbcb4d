"""The branches of a split whose tasks are listed only when it is entered."""

from __future__ import annotations

__all__ = ("listed",)

from collections.abc import Iterable
from typing import NoReturn

from .._base.cancellation import CancellationToken, Cancelled
from .._base.store import Store
from .._base.text import full_name
from .._model.task import BoundTask, bind
from ..errors import ConfigurationError, WorkflowError
from .attempts import Site, failure
from .execute import execute


def listed(
    factory: BoundTask, store: Store, token: CancellationToken, site: Site
) -> tuple[BoundTask, ...]:
    """Call what lists the tasks, and bind them.

    Raises:
        WorkflowError: it is no list, or what is in it is no task.
        CanoError: the factory failed.
        Cancelled: the run was cancelled, or its time was up, meanwhile.
    """
    try:
        given = execute(factory, store, token, site)
    except (Exception, Cancelled) as error:
        _fail(error, factory, token, site)
    if not isinstance(given, Iterable) or isinstance(given, str | bytes):
        raise _mistake(
            f"{factory.name!r} must return the list of tasks, not {given!r} of type "
            f"{type(given).__name__}",
            site,
        )
    try:
        given = list(given)  # it may be a generator, whose code runs only now
    except (Exception, Cancelled) as error:
        _fail(error, factory, token, site)
    tasks = []
    for index, task in enumerate(given):
        try:
            tasks.append(bind(task, branch=True))
        except ConfigurationError as error:
            why = f"task {index} of the list that {factory.name!r} returned: {error}"
            raise _mistake(why, site) from error
    token.check()  # the run may have gone on without this thread: then no branch is to begin
    return tuple(tasks)


def _fail(
    error: Exception | Cancelled, factory: BoundTask, token: CancellationToken, site: Site
) -> NoReturn:
    """Raise it as the factory's failure, unless it is what a cancellation has led to."""
    known = error
    if not token.cancelled:
        known = failure(error, factory.name, site)
    if known is error:
        raise error
    raise known from known.__cause__


def _mistake(why: str, site: Site) -> WorkflowError:
    return WorkflowError(
        f"state {full_name(site.state)}: {why}", state=site.state, run_id=site.run_id
    )
