"""Join strategies: from a tally of ended branches, wait, proceed or fail."""

from __future__ import annotations

__all__ = ("JoinStrategy", "Tally", "Verdict")

import math
from abc import ABC, abstractmethod
from enum import Enum
from typing import ClassVar, NamedTuple

from ..errors import ConfigurationError


class Verdict(Enum):
    """A strategy's answer."""

    WAIT = "wait"
    """More branches have to end before the outcome is certain."""
    PROCEED = "proceed"
    """The join succeeds; what still runs is cancelled."""
    FAIL = "fail"
    """The join cannot succeed any more; what still runs is cancelled."""


class Tally(NamedTuple):
    """How far a split has come.

    >>> Tally(total=5, successes=2, errors=1).pending
    2
    """

    total: int
    successes: int
    errors: int

    @property
    def ended(self) -> int:
        """How many branches have ended, well or not."""
        return self.successes + self.errors

    @property
    def pending(self) -> int:
        """How many branches have not ended yet."""
        return self.total - self.successes - self.errors


class JoinStrategy(ABC):
    """When a split goes on, and when it fails. Immutable; one object serves any number of runs.

    The engine asks `decide` once before the first branch starts, and then each time a branch
    has ended. The answer must depend on the tally alone, and once it is not `WAIT`, more
    branches must not change it. It is called from the branches' threads, two calls may overlap.

    >>> class Majority(JoinStrategy):
    ...     def decide(self, tally: Tally) -> Verdict:
    ...         if 2 * tally.successes > tally.total:
    ...             return Verdict.PROCEED
    ...         if 2 * tally.errors >= tally.total:
    ...             return Verdict.FAIL
    ...         return Verdict.WAIT
    >>> Majority().decide(Tally(total=3, successes=2, errors=0))
    <Verdict.PROCEED: 'proceed'>
    """

    ALL: ClassVar[JoinStrategy]
    """Every branch must succeed; fails when one has failed, after all have ended."""
    ANY: ClassVar[JoinStrategy]
    """The first success is enough; fails when all have failed."""
    SETTLED: ClassVar[JoinStrategy]
    """Proceeds when all have ended, well or not; needs no time limit, and fails only by one."""
    PARTIAL_TIMEOUT: ClassVar[JoinStrategy]
    """Takes what has ended at the deadline, or all; fails when nothing has. Needs a timeout."""

    @abstractmethod
    def decide(self, tally: Tally) -> Verdict:
        """Wait, proceed or fail, now that so many have ended?"""

    def at_deadline(self, tally: Tally) -> Verdict:
        """Proceed or fail, now that the split's time is up? It fails unless this says otherwise."""
        return Verdict.FAIL

    def failing_fast(self) -> JoinStrategy:
        """The strategy that stands in for this one under `fail_fast=True`.

        Raises:
            ConfigurationError: it means nothing for this strategy.
        """
        raise ConfigurationError(
            f"fail_fast=True goes with JoinStrategy.ALL, not with {self!r}, which already ends "
            "at the first moment that its outcome is certain; leave fail_fast out"
        )

    def problem_with(self, *, total: int | None, timeout: float | None) -> str | None:
        """What is wrong with using it for `total` tasks (None: not known yet), as a sentence."""
        return None

    @staticmethod
    def quorum(n: int) -> JoinStrategy:
        """Proceed when `n` branches have succeeded; fail when so many no longer can.

        >>> JoinStrategy.quorum(2).decide(Tally(total=3, successes=1, errors=2))
        <Verdict.FAIL: 'fail'>
        """
        return _AtLeast(n, "quorum")

    @staticmethod
    def partial_results(n: int) -> JoinStrategy:
        """Proceed with the first `n` successes: the rule of `quorum`, for who wants results."""
        return _AtLeast(n, "partial_results")

    @staticmethod
    def percentage(p: float) -> JoinStrategy:
        """Proceed when the share `p` of all branches has succeeded, rounded up; 0 < p <= 1.

        >>> JoinStrategy.percentage(0.5).decide(Tally(total=3, successes=2, errors=0))
        <Verdict.PROCEED: 'proceed'>
        """
        return _Share(p)


def _need(wanted: int, tally: Tally) -> Verdict:
    """The answer of every strategy that wants so many successes."""
    if tally.successes >= wanted:
        return Verdict.PROCEED
    return Verdict.FAIL if tally.total - tally.errors < wanted else Verdict.WAIT


class _All(JoinStrategy):
    def decide(self, tally: Tally) -> Verdict:
        if tally.successes + tally.errors < tally.total:
            return Verdict.WAIT
        return Verdict.FAIL if tally.errors else Verdict.PROCEED

    def failing_fast(self) -> JoinStrategy:
        return _AllFailFast()

    def __repr__(self) -> str:
        return "JoinStrategy.ALL"

    def __reduce__(self) -> str:
        return repr(self)  # a copy, or one that was pickled, is the same object


class _AllFailFast(JoinStrategy):
    def decide(self, tally: Tally) -> Verdict:
        return _need(tally.total, tally)

    def failing_fast(self) -> JoinStrategy:
        return self

    def __repr__(self) -> str:
        return "JoinStrategy.ALL"


class _Any(JoinStrategy):
    def decide(self, tally: Tally) -> Verdict:
        return _need(1, tally)

    def __repr__(self) -> str:
        return "JoinStrategy.ANY"

    def __reduce__(self) -> str:
        return repr(self)  # a copy, or one that was pickled, is the same object


class _AtLeast(JoinStrategy):
    def __init__(self, n: int, name: str) -> None:
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ConfigurationError(
                f"JoinStrategy.{name}(n) needs a whole number of branches, 1 or more, not {n!r}"
            )
        self._n = n
        self._name = name

    def decide(self, tally: Tally) -> Verdict:
        return _need(self._n, tally)

    def problem_with(self, *, total: int | None, timeout: float | None) -> str | None:
        if total and total < self._n:
            return (
                f"{self!r} can never be reached by {total} task{'s' if total > 1 else ''}; "
                f"ask for {total} or fewer, or register more tasks"
            )
        return None

    def __repr__(self) -> str:
        return f"JoinStrategy.{self._name}({self._n})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _AtLeast) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))


class _Share(JoinStrategy):
    def __init__(self, p: float) -> None:
        if (
            isinstance(p, bool)
            or not isinstance(p, int | float)
            or not math.isfinite(p)
            or not 0 < p <= 1
        ):
            raise ConfigurationError(
                f"JoinStrategy.percentage(p) needs a share above 0 and up to 1, not {p!r}; "
                "write 0.75 for 75 percent"
            )
        self._p = p

    def decide(self, tally: Tally) -> Verdict:
        # 0.07 of 100 is 7 and not, as floats have it, 7.000000000000001 and so 8.
        return _need(max(1, math.ceil(round(self._p * tally.total, 9))), tally)

    def __repr__(self) -> str:
        return f"JoinStrategy.percentage({self._p})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Share) and self._p == other._p

    def __hash__(self) -> int:
        return hash(self._p)


class _Settled(JoinStrategy):
    def decide(self, tally: Tally) -> Verdict:
        return Verdict.PROCEED if tally.successes + tally.errors == tally.total else Verdict.WAIT

    def __repr__(self) -> str:
        return "JoinStrategy.SETTLED"

    def __reduce__(self) -> str:
        return repr(self)  # a copy, or one that was pickled, is the same object


class _PartialTimeout(JoinStrategy):
    def decide(self, tally: Tally) -> Verdict:
        return Verdict.PROCEED if tally.successes + tally.errors == tally.total else Verdict.WAIT

    def at_deadline(self, tally: Tally) -> Verdict:
        return Verdict.PROCEED if tally.ended else Verdict.FAIL

    def problem_with(self, *, total: int | None, timeout: float | None) -> str | None:
        if timeout is None:
            return (
                "JoinStrategy.PARTIAL_TIMEOUT needs a time limit: JoinConfig(..., timeout=seconds)"
            )
        return None

    def __repr__(self) -> str:
        return "JoinStrategy.PARTIAL_TIMEOUT"

    def __reduce__(self) -> str:
        return repr(self)  # a copy, or one that was pickled, is the same object


JoinStrategy.ALL = _All()
JoinStrategy.ANY = _Any()
JoinStrategy.SETTLED = _Settled()
JoinStrategy.PARTIAL_TIMEOUT = _PartialTimeout()
