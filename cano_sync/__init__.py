"""A workflow engine for synchronous Python: states, tasks, splits and joins on threads."""

from ._base.cancellation import CancellationToken, Cancelled, Registration
from ._base.current import current_token
from ._base.store import MemoryStore, Store
from ._engine.drain_signals import drain_on_signals
from ._engine.draining import drain, draining
from ._engine.jobs import abandoned_tasks, wait_for_abandoned
from ._engine.report import AbandonedRun, DeafTask, DrainReport
from ._engine.surroundings import install_around
from ._model.around import Around
from ._model.config import TaskConfig
from ._model.join import JoinConfig
from ._model.node import Node
from ._model.outcome import Outcome, SplitResult
from ._model.strategy import JoinStrategy, Tally, Verdict
from ._model.task import Task, TaskContext, TaskResult, task
from .errors import (
    AttemptTimeoutError,
    CanoError,
    ConfigurationError,
    DiscardedWorkflowWarning,
    DrainingError,
    JoinError,
    KeyNotFoundError,
    NodeExecutionError,
    PreparationError,
    RetryExhaustedError,
    SplitTimeoutError,
    StoreError,
    TaskExecutionError,
    TypeMismatchError,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowTimeoutError,
)
from .workflow import Workflow

__all__ = (
    "AbandonedRun",
    "Around",
    "AttemptTimeoutError",
    "CancellationToken",
    "Cancelled",
    "CanoError",
    "ConfigurationError",
    "DeafTask",
    "DiscardedWorkflowWarning",
    "DrainReport",
    "DrainingError",
    "JoinConfig",
    "JoinError",
    "JoinStrategy",
    "KeyNotFoundError",
    "MemoryStore",
    "Node",
    "NodeExecutionError",
    "Outcome",
    "PreparationError",
    "Registration",
    "RetryExhaustedError",
    "SplitResult",
    "SplitTimeoutError",
    "Store",
    "StoreError",
    "Tally",
    "Task",
    "TaskConfig",
    "TaskContext",
    "TaskExecutionError",
    "TaskResult",
    "TypeMismatchError",
    "Verdict",
    "Workflow",
    "WorkflowCancelledError",
    "WorkflowError",
    "WorkflowTimeoutError",
    "abandoned_tasks",
    "current_token",
    "drain",
    "drain_on_signals",
    "draining",
    "install_around",
    "task",
    "wait_for_abandoned",
)
