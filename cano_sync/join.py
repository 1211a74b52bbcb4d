"""`JoinConfig`: how the branches of a split come together again."""

from __future__ import annotations

__all__ = ("JoinConfig",)

from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar, cast

from .duration import Duration, seconds
from .errors import ConfigurationError
from .strategy import JoinStrategy

S = TypeVar("S")


@dataclass(frozen=True)
class JoinConfig(Generic[S]):
    """How a split joins, and where the run goes then. Immutable.

    Args:
        strategy: when to go on: `JoinStrategy.ALL`, `.ANY`, `.quorum(n)`, `.percentage(p)`,
            `.partial_results(n)`, `.PARTIAL_TIMEOUT`, or an object of your own.
        join_state: the state that follows.
        timeout: seconds (or a `timedelta`) for the whole split, from the moment it is entered;
            None for no limit. An error for every strategy but PARTIAL_TIMEOUT.
        bulkhead: how many branches may run at once; None for no limit but the pool's.
        store_partial_results: put `split_result` and its counts into the store.
        collect: the store key that gets the list of the successes' values.
        fail_fast: ALL fails at the first failure, instead of after all have ended.
        error_state: where the run goes when the join fails or times out, instead of raising.

    Raises:
        ConfigurationError: a setting is impossible, such as a bulkhead of 0.

    >>> join = JoinConfig(JoinStrategy.quorum(2), "NEXT", timeout=0.5)
    >>> join.with_bulkhead(4).bulkhead
    4
    """

    strategy: JoinStrategy
    join_state: S
    timeout: Duration | None = field(default=None, kw_only=True)
    bulkhead: int | None = field(default=None, kw_only=True)
    store_partial_results: bool = field(default=False, kw_only=True)
    collect: str | None = field(default=None, kw_only=True)
    fail_fast: bool = field(default=False, kw_only=True)
    error_state: S | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        given: object = self.strategy
        if not isinstance(given, JoinStrategy):
            mend = "such as JoinStrategy.ALL"
            if isinstance(given, type):
                mend = f"make an object of the class: {given.__qualname__}()"
            elif callable(given):
                mend = f"call it: JoinStrategy.{getattr(given, '__name__', '...')}(...)"
            raise ConfigurationError(f"a join needs a JoinStrategy, not {given!r}; {mend}")
        if self.timeout is not None:
            object.__setattr__(self, "timeout", seconds(self.timeout, "a join's timeout"))
        if self.bulkhead is not None and (
            isinstance(self.bulkhead, bool)
            or not isinstance(self.bulkhead, int)
            or self.bulkhead < 1
        ):
            raise ConfigurationError(
                f"bulkhead is how many branches may run at once, 1 or more, not {self.bulkhead!r}; "
                "leave it out (None) for no limit"
            )
        if self.collect is not None and not isinstance(self.collect, str):
            raise ConfigurationError(
                f"collect is the store key for the successes' values, a str, not {self.collect!r}"
            )
        problem = self.effective.problem_with(total=None, timeout=self.limit)
        if problem is not None:
            raise ConfigurationError(problem)

    @property
    def effective(self) -> JoinStrategy:
        """The strategy that is asked: `strategy`, or its fail-fast variant."""
        return self.strategy.failing_fast() if self.fail_fast else self.strategy

    @property
    def limit(self) -> float | None:
        """The timeout in seconds."""
        return cast("float | None", self.timeout)  # __post_init__ has made seconds of it

    def with_timeout(self, timeout: Duration | None) -> JoinConfig[S]:
        """The same with another time limit for the split, in seconds; None for none."""
        return replace(self, timeout=timeout)

    def with_bulkhead(self, bulkhead: int | None) -> JoinConfig[S]:
        """The same with so many branches at once."""
        return replace(self, bulkhead=bulkhead)

    def with_store_partial_results(self, store: bool = True) -> JoinConfig[S]:
        """The same, putting its result into the store or not."""
        return replace(self, store_partial_results=store)

    def with_join_state(self, state: S) -> JoinConfig[S]:
        """The same, going on to another state."""
        return replace(self, join_state=state)

    def with_error_state(self, state: S | None) -> JoinConfig[S]:
        """The same, going to `state` when the join fails or times out; None to raise."""
        return replace(self, error_state=state)
