"""What a drain reports: how many runs ended in which way, and what is still running."""

from __future__ import annotations

__all__ = ("AbandonedRun", "DeafTask", "DrainReport")

from dataclasses import dataclass
from typing import Any

from .._base.text import full_name

SHOWN = 20
"""How many of the abandoned runs the text of a report names."""


@dataclass(frozen=True, slots=True)
class DeafTask:
    """A task that was cancelled, and that a thread is still with.

    Attributes:
        state: the state that it belongs to.
        task: its name.
        index: the branch's place in its split; None in a single state.
        seconds: for how long it has been running. Of a task of a single state, for how long its
            run has.
    """

    state: Any
    task: str
    index: int | None
    seconds: float

    def __str__(self) -> str:
        branch = "" if self.index is None else f"branch {self.index}, "
        return (
            f"state {full_name(self.state)}: {branch}task {self.task!r} has been running for "
            f"{self.seconds:.3g} s"
        )


@dataclass(frozen=True, slots=True)
class AbandonedRun:
    """A run that was cancelled, and has not come to its end, or whose tasks have not.

    Attributes:
        run_id: the run's id.
        state: the state that it was in at last.
        seconds: for how long it has been running.
        tasks: which of its tasks do not listen; empty where the engine cannot know it, as for
            branches on an executor that runs them where they are submitted.
    """

    run_id: str
    state: Any
    seconds: float
    tasks: tuple[DeafTask, ...]

    def __str__(self) -> str:
        what = "; ".join(map(str, self.tasks))
        if not what:
            what = f"state {full_name(self.state)}, running for {self.seconds:.3g} s"
        return f"run {self.run_id}: {what}"


@dataclass(frozen=True, slots=True)
class DrainReport:
    """What came of the runs that were under way when `drain` began: each is counted once.

    Runs that these have begun meanwhile (nested in a task, or submitted by one) are counted, too.

    Attributes:
        finished: how many came to their own end, be it an exit state or an error.
        cancelled: how many were cancelled and have ended, and no task of theirs is running.
        abandoned: those that were cancelled, and are still running, or a task of theirs is.
        seconds: how long it took.

    >>> report = DrainReport(finished=3, cancelled=1, abandoned=(), seconds=0.25)
    >>> print(report)
    drained in 0.25 s: of 4 runs, 3 finished, 1 cancelled, 0 abandoned
    >>> report.total
    4
    """

    finished: int
    cancelled: int
    abandoned: tuple[AbandonedRun, ...]
    seconds: float

    @property
    def total(self) -> int:
        """How many runs there were."""
        return self.finished + self.cancelled + len(self.abandoned)

    def __str__(self) -> str:
        lines = [
            f"drained in {self.seconds:.3g} s: of {self.total} runs, {self.finished} finished, "
            f"{self.cancelled} cancelled, {len(self.abandoned)} abandoned",
            *map(str, self.abandoned[:SHOWN]),
        ]
        if len(self.abandoned) > SHOWN:
            lines.append(f"and {len(self.abandoned) - SHOWN} more")
        return "\n  ".join(lines)
