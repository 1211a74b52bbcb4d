"""The errors of cano_sync, one tree.

::

    CanoError
    ├── ConfigurationError          a workflow, config or call is wrong (also ValueError)
    ├── WorkflowError               a run broke a rule of the machine
    │   ├── JoinError               a split's strategy said "fail"; carries .result
    │   │   └── SplitTimeoutError   the split's time was up (also TimeoutError)
    │   └── WorkflowTimeoutError    the workflow's time was up (also TimeoutError)
    ├── WorkflowCancelledError      somebody cancelled the run
    ├── DrainingError               the process is ending, and no run begins
    ├── TaskExecutionError          a task raised; the user's exception is the __cause__
    ├── NodeExecutionError          a node's exec or post raised
    ├── PreparationError            a node's prep raised
    ├── AttemptTimeoutError         one attempt's time was up (also TimeoutError)
    ├── RetryExhaustedError         the last of several attempts failed
    └── StoreError                  a store was asked for what it has not
        ├── KeyNotFoundError        no such key (also KeyError)
        └── TypeMismatchError       another type than asked for (also TypeError)

Every error says in its message what was wrong, with which value, and what mends it.
`Cancelled`, the signal that stops a task, is not in this tree: see `cano_sync.Cancelled`.
"""

from __future__ import annotations

__all__ = (
    "AttemptTimeoutError",
    "CanoError",
    "ConfigurationError",
    "DiscardedWorkflowWarning",
    "DrainingError",
    "JoinError",
    "KeyNotFoundError",
    "NodeExecutionError",
    "PreparationError",
    "RetryExhaustedError",
    "SplitTimeoutError",
    "StoreError",
    "TaskExecutionError",
    "TypeMismatchError",
    "WorkflowCancelledError",
    "WorkflowError",
    "WorkflowTimeoutError",
    "root_of",
)

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the tree is the ground floor: a failed join only carries the result of one
    from ._model.outcome import SplitResult


class CanoError(Exception):
    """The root of every error that cano_sync raises.

    Attributes:
        state: the state in which it happened, or None where that is not known.
        task: the name of the task, or None.
        run_id: the run's id, or None.

    >>> try:
    ...     raise TaskExecutionError("task 'load' failed", state="LOAD", task="load")
    ... except CanoError as error:
    ...     print(error, "|", error.state, error.task, error.run_id)
    task 'load' failed | LOAD load None
    """

    def __init__(
        self, message: str, *, state: Any = None, task: str | None = None, run_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.state = state
        self.task = task
        self.run_id = run_id

    def __str__(self) -> str:
        # KeyError, a second base below, would show the repr of its argument.
        return str(self.args[0])

    def locate(self, *, state: Any, task: str | None, run_id: str) -> None:
        """Fill in where it happened, as far as a deeper floor has not said it already."""
        if self.run_id is None:
            self.run_id = run_id
            if self.state is None:
                self.state = state
            if self.task is None:
                self.task = task


class ConfigurationError(CanoError, ValueError):
    """A workflow, a config or an argument is wrong, found before any task ran.

    Attributes:
        problems: every problem found, one sentence each.

    >>> ConfigurationError.of(["no exit state", "no task"]).problems
    ('no exit state', 'no task')
    """

    def __init__(self, message: str, *, state: Any = None, task: str | None = None) -> None:
        super().__init__(message, state=state, task=task)
        self.problems: tuple[str, ...] = (message,)

    @classmethod
    def of(cls, problems: list[str]) -> ConfigurationError:
        """One error that lists all the problems of a description."""
        if len(problems) == 1:
            return cls(problems[0])
        lines = "".join(f"\n  {number}. {text}" for number, text in enumerate(problems, 1))
        error = cls(f"{len(problems)} problems in this workflow:{lines}")
        error.problems = tuple(problems)
        return error


class WorkflowError(CanoError):
    """A run broke a rule of the machine: a task returned no state, an unknown one, a split.

    It is a mistake in the workflow, not an event of its business: an `error_state` never
    catches it, except the failed joins among its children.
    """


class JoinError(WorkflowError):
    """A split's join failed.

    Attributes:
        result: the `SplitResult`: which branches succeeded, failed, were cancelled.

    Its `__cause__` is an `ExceptionGroup` of the branches' errors, when there are any.
    """

    def __init__(
        self,
        message: str,
        *,
        result: SplitResult | None = None,
        state: Any = None,
        run_id: str | None = None,
    ) -> None:
        super().__init__(message, state=state, run_id=run_id)
        self.result = result


class SplitTimeoutError(JoinError, TimeoutError):
    """A split's time was up before its strategy could proceed."""


class WorkflowTimeoutError(WorkflowError, TimeoutError):
    """The workflow's own time (`Workflow.with_timeout`) was up."""


class WorkflowCancelledError(CanoError):
    """The run was cancelled through its token.

    Attributes:
        reason: what was given to `CancellationToken.cancel`, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        state: Any = None,
        task: str | None = None,
        run_id: str | None = None,
    ) -> None:
        super().__init__(message, state=state, task=task, run_id=run_id)
        self.reason = reason


class DrainingError(CanoError):
    """A run, or a scheduler, was not begun: `cano_sync.drain` was called, and the process ends.

    Nothing has happened: give the work to another process, as by answering 503, or by leaving the
    message in its queue.
    """


class TaskExecutionError(CanoError):
    """A task raised an exception, which is this error's `__cause__`."""


class NodeExecutionError(CanoError):
    """A node's `exec` or `post` raised an exception, which is this error's `__cause__`."""


class PreparationError(CanoError):
    """A node's `prep` raised an exception, which is this error's `__cause__`."""


class AttemptTimeoutError(CanoError, TimeoutError):
    """One attempt of a task took longer than its `attempt_timeout`; the task was abandoned."""


class RetryExhaustedError(CanoError):
    """A task with retries failed in its last attempt, whose error is the `__cause__`.

    Attributes:
        attempts: how many attempts were made.
    """

    def __init__(
        self,
        message: str,
        *,
        attempts: int = 0,
        state: Any = None,
        task: str | None = None,
        run_id: str | None = None,
    ) -> None:
        super().__init__(message, state=state, task=task, run_id=run_id)
        self.attempts = attempts


class StoreError(CanoError):
    """A store cannot do what it was asked."""


class KeyNotFoundError(StoreError, KeyError):
    """There is no such key in the store."""


class TypeMismatchError(StoreError, TypeError):
    """The value under a key has another type than the one asked for."""


class DiscardedWorkflowWarning(UserWarning):
    """A workflow that a builder method returned was dropped without being used.

    Builder methods return a *new* workflow: a call whose result is thrown away registers nothing.
    """


_WRAPPERS = (TaskExecutionError, NodeExecutionError, PreparationError, RetryExhaustedError)


def root_of(error: BaseException) -> BaseException:
    """What a task raised, taken out of what the engine has wrapped it in."""
    while isinstance(error, _WRAPPERS) and error.__cause__ is not None:
        error = error.__cause__
    return error
