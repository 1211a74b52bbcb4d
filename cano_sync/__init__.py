"""A workflow engine for synchronous Python: states, tasks, splits and joins on threads."""

from ._engine.pool import abandoned_tasks
from .ambient import current_token
from .cancellation import CancellationToken, Cancelled, Registration
from .config import TaskConfig
from .errors import (
    AttemptTimeoutError,
    CanoError,
    ConfigurationError,
    DiscardedWorkflowWarning,
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
from .join import JoinConfig
from .node import Node
from .outcome import Outcome, SplitResult
from .store import MemoryStore, Store
from .strategy import JoinStrategy, Tally, Verdict
from .task import Task, TaskContext, TaskResult, task
from .workflow import Workflow

__all__ = (
    "AttemptTimeoutError",
    "CancellationToken",
    "Cancelled",
    "CanoError",
    "ConfigurationError",
    "DiscardedWorkflowWarning",
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
    "task",
)
