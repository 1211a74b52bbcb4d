"""The branches of a split whose tasks are listed only when its state is entered."""

from __future__ import annotations

__all__ = ("list_branches",)

from typing import NoReturn

from .._base.cancellation import Cancelled
from .._base.text import full_name
from .._model.task import BoundTask, bind
from ..errors import ConfigurationError, WorkflowError
from .task_run import TaskRun


def list_branches(task_run: TaskRun) -> tuple[BoundTask, ...]:
    """Run the task that lists a split's tasks, and bind what it lists.

    Raises:
        WorkflowError: it is no list, or what is in it is no task.
        CanoError: the task that lists them failed.
        Cancelled: the run was cancelled, or its time was up, meanwhile.
    """
    name = task_run.task.name
    try:
        given = task_run.execute()
    except (Exception, Cancelled) as error:
        _fail(error, task_run)
    if not isinstance(given, list):
        raise _mistake(
            f"{name!r} must return the list of tasks, not {given!r} of type {type(given).__name__}",
            task_run,
        )
    tasks, provided = [], task_run.surroundings.provided
    for index, task in enumerate(given):
        try:
            tasks.append(bind(task, branch=True, provided=provided))
        except ConfigurationError as error:
            why = f"task {index} of the list that {name!r} returned: {error}"
            raise _mistake(why, task_run) from error
    # The run may have gone on without this thread: then no branch is to begin.
    task_run.token.check()
    return tuple(tasks)


def _fail(error: Exception | Cancelled, task_run: TaskRun) -> NoReturn:
    """Raise it as the task's failure, unless it is what a cancellation has led to."""
    known = error if task_run.token.cancelled else task_run.fail(error)
    if known is error:
        raise error
    raise known from known.__cause__


def _mistake(why: str, task_run: TaskRun) -> WorkflowError:
    state = task_run.state
    return WorkflowError(f"state {full_name(state)}: {why}", state=state, run_id=task_run.run_id)
