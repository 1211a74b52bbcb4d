"""Faults, drawn from a seed: tasks that fail or are slow, writes that fail, clocks that are set."""

from __future__ import annotations

__all__ = ("Faults", "InjectedFault")

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from random import Random
from typing import Any, NamedTuple

from ..._model.around import Around
from ..._model.task import TaskContext
from ...errors import ConfigurationError
from .session import current_stage
from .watching import branches


class InjectedFault(Exception):
    """What a task that was made to fail raises."""


class _Rule(NamedTuple):
    task: Any
    share: float
    error: Callable[[], BaseException] | None
    slow: tuple[float, float] | None


class Faults(Around):
    """What is to go wrong in the runs of one test, as an around of all runs.

    A task is named by its name, its state, or the function itself.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._rules: list[_Rule] = []
        self.fail_write: int | None = None
        self.jumps: list[tuple[float, float]] = []

    @property
    def has_rules(self) -> bool:
        """Whether any task is to fail or be slow."""
        return bool(self._rules)

    def fail(
        self, task: Any, share: float, error: Callable[[], BaseException] | BaseException | None
    ) -> None:
        """Make a share of its attempts fail."""
        if not 0 <= share <= 1:
            raise ConfigurationError(f"fail(share=...) is a share from 0 to 1, not {share!r}")
        if error is None:
            make: Callable[[], BaseException] = lambda: InjectedFault("made to fail")  # noqa: E731
        elif isinstance(error, BaseException):
            make = lambda: error  # noqa: E731
        else:
            make = error
        self._rules.append(_Rule(task, share, make, None))

    def slow(self, task: Any, least: float, most: float) -> None:
        """Have each of its attempts begin later."""
        self._rules.append(_Rule(task, 1.0, None, (least, most)))

    def task(self, context: TaskContext, captured: Any) -> AbstractContextManager[Any]:
        """Around each attempt: what the rules say, before it begins."""
        return self._before(context)

    @contextmanager
    def _before(self, context: TaskContext) -> Iterator[None]:
        stage = current_stage()
        if stage is not None:
            for rule in self._rules:
                if not _is_meant(rule.task, context):
                    continue
                if rule.slow is not None:
                    least, most = rule.slow
                    stage.sleep(least + (most - least) * self._random.random(), "sim.slow()")
                elif self._random.random() < rule.share and rule.error is not None:
                    raise rule.error()
        yield


def _is_meant(task: Any, context: TaskContext) -> bool:
    path = branches.get()
    inner = path[-1] if path and context.index == path[-1].index else None
    if task == context.state or (inner is not None and task in (inner.name, str(inner))):
        return True
    if isinstance(task, str):
        return task == getattr(context.state, "name", None)
    return inner is not None and inner.split.tasks[inner.index].function is task
