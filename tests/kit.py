"""What tests of several rooms share: states, an error, small tasks, workflows of one state."""

from __future__ import annotations

__all__ = (
    "SOON",
    "Boom",
    "Eventually",
    "Step",
    "Watched",
    "boom",
    "done",
    "nothing",
    "single",
    "split",
)

import queue
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from cano_sync import JoinConfig, JoinStrategy, Tally, TaskConfig, Verdict, Workflow

SOON = 20.0
"""Seconds after which a test gives up on what should take milliseconds."""

Eventually = Callable[[Callable[[], bool]], None]
"""What the fixture `eventually` is: it waits until a condition holds."""


class Step(Enum):
    """States of workflows whose states' names do not matter."""

    START = auto()
    WORK = auto()
    NEXT = auto()
    MENDED = auto()
    LOST = auto()
    DONE = auto()


class Boom(Exception):
    """What a task fails with."""


def boom() -> Any:
    """A task that fails."""
    raise Boom("it broke")


def done() -> Step:
    """A task that leads to the exit."""
    return Step.DONE


def nothing() -> None:
    """A branch that succeeds."""


def single(function: Any, config: TaskConfig | None = None) -> Workflow[Any]:
    """A workflow of one state, START, and the exit DONE."""
    return Workflow().register(Step.START, function, config).add_exit_state(Step.DONE)


def split(tasks: Any, strategy: JoinStrategy = JoinStrategy.ALL, **join: Any) -> Workflow[Any]:
    """A workflow of one split, START, and the exit DONE."""
    config = JoinConfig(strategy, Step.DONE, **join)
    return Workflow().register_split(Step.START, tasks, config).add_exit_state(Step.DONE)


class Watched(JoinStrategy):
    """Another strategy, which puts each answer of `decide` in a queue."""

    def __init__(self, inner: JoinStrategy, answers: queue.Queue[Verdict] | None = None) -> None:
        self.inner = inner
        self.answers = queue.Queue() if answers is None else answers

    def decide(self, tally: Tally) -> Verdict:
        verdict = self.inner.decide(tally)
        self.answers.put(verdict)
        return verdict

    def at_deadline(self, tally: Tally) -> Verdict:
        return self.inner.at_deadline(tally)

    def failing_fast(self) -> JoinStrategy:
        return Watched(self.inner.failing_fast(), self.answers)

    def problem_with(self, *, total: int | None, timeout: float | None) -> str | None:
        return self.inner.problem_with(total=total, timeout=timeout)
