"""A user's own executor: whether the branches of splits can run on it."""

from __future__ import annotations

__all__ = ("check_executor", "check_open")

from concurrent.futures import Executor
from typing import Any

from ..errors import ConfigurationError


def check_executor(executor: Any) -> None:
    """An executor that branches can run on, or None."""
    problem = None
    if executor is None:
        return
    if not isinstance(executor, Executor):
        problem = "is no concurrent.futures.Executor; such as ThreadPoolExecutor(8)"
    elif any(base.__name__ == "ProcessPoolExecutor" for base in type(executor).__mro__):
        # By name: importing the class would load multiprocessing with every import of ours.
        problem = "runs in other processes, where no store can be shared; use threads"
    if problem is not None:
        raise ConfigurationError(f"with_executor(): {executor!r} {problem}")
    check_open(executor)


def check_open(executor: Executor | None) -> None:
    """An executor that is not shut down, as far as it can be known, or None."""
    if executor is not None and getattr(executor, "_shutdown", False) is True:
        raise ConfigurationError(
            f"with_executor(): {executor!r} is shut down; give one that is open, and keep it open "
            "while runs last"
        )
