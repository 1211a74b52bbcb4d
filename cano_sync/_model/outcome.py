"""What came of a split: one outcome for each branch, and all of them together."""

from __future__ import annotations

__all__ = ("Outcome", "SplitResult")

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

from .._base.text import error_text
from ..errors import CanoError, root_of


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one branch.

    Attributes:
        index: its place in the list of tasks, from 0.
        name: its task's name.
        value: what the task returned, where it succeeded; else None.
        error: the error, where it failed; else None. A user's exception is its `__cause__`.
        started_at: when it began, in seconds since the epoch; None if it never did.
        duration: how many seconds it took, up to the join's decision for a cancelled one.
    """

    index: int
    name: str
    _: KW_ONLY
    value: Any = None
    error: CanoError | None = None
    started_at: float | None = None
    duration: float = 0.0


@dataclass(frozen=True, slots=True)
class SplitResult:
    """What came of a split, each list in the order of its tasks.

    Attributes:
        successes: the branches that returned.
        errors: the branches that raised.
        cancelled: those that had not ended when the join was decided: cancelled on the way,
            or never started.

    >>> result = SplitResult([Outcome(0, "geo", value="CH")], [], [Outcome(1, "user")])
    >>> result.values
    ['CH']
    >>> print(result.summary)
    1 of 2 succeeded, 0 failed, 1 cancelled (1 not started)
    """

    successes: Sequence[Outcome]
    errors: Sequence[Outcome]
    cancelled: Sequence[Outcome]

    @property
    def total(self) -> int:
        """How many branches there were."""
        return len(self.successes) + len(self.errors) + len(self.cancelled)

    @property
    def values(self) -> list[Any]:
        """What the successes returned, in the order of the tasks."""
        return [outcome.value for outcome in self.successes]

    @property
    def summary(self) -> str:
        """One line of text; names the first branches that failed, and what they raised."""
        line = (
            f"{len(self.successes)} of {self.total} succeeded, {len(self.errors)} failed, "
            f"{len(self.cancelled)} cancelled"
        )
        unstarted = sum(outcome.started_at is None for outcome in self.cancelled)
        if unstarted:
            line += f" ({unstarted} not started)"
        failed = "; ".join(map(_in_short, self.errors[:3]))
        more = "; ..." if len(self.errors) > 3 else ""
        return f"{line}: {failed}{more}" if failed else line


def _in_short(bad: Outcome) -> str:
    """A branch that failed, on one line: where and with which retries, its error says itself."""
    raised = "" if bad.error is None else f": {error_text(root_of(bad.error))}"
    return " ".join(f"#{bad.index} {bad.name}{raised}".split())
