"""`JoinConfig`: how the branches of a split come together again."""

from __future__ import annotations

__all__ = ("JoinConfig",)

from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

from .._base.durations import Duration, limit
from ..errors import ConfigurationError
from .strategy import JoinStrategy

S = TypeVar("S")


# Without slots: on Python 3.11, JoinConfig[State](...) would fail on a frozen class with slots.
@dataclass(frozen=True, init=False)
class JoinConfig(Generic[S]):
    """How a split joins, and where the run goes then. Immutable.

    Args:
        strategy: when to go on: `JoinStrategy.ALL`, `.ANY`, `.quorum(n)`, `.percentage(p)`,
            `.partial_results(n)`, `.SETTLED`, `.PARTIAL_TIMEOUT`, or an object of your own.
        join_state: the state that follows.
        timeout: seconds (or a `timedelta`) for the whole split, from the moment it is entered;
            None for no limit. An error for every strategy but PARTIAL_TIMEOUT.
        bulkhead: how many branches may run at once; None for no limit but the pool's.
        store_partial_results: put what came of it into the store, also of a join that fails:
            `split_result` (the `SplitResult`), `split_results_summary` (one line of text),
            `split_successes_count`, `split_errors_count` and `split_cancelled_count`. The next
            split that does so replaces them.
        collect: the store key that gets the list of the successes' values, in the order of the
            tasks, when the join proceeds.
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
    timeout: float | None
    bulkhead: int | None
    store_partial_results: bool
    collect: str | None
    fail_fast: bool
    error_state: S | None

    def __init__(
        self,
        strategy: JoinStrategy,
        join_state: S,
        *,
        timeout: Duration | None = None,
        bulkhead: int | None = None,
        store_partial_results: bool = False,
        collect: str | None = None,
        fail_fast: bool = False,
        error_state: S | None = None,
    ) -> None:
        _check_strategy(strategy)
        _check_bulkhead(bulkhead)
        if collect is not None and not isinstance(collect, str):
            raise ConfigurationError(
                f"collect is the store key for the successes' values, a str, not {collect!r}"
            )
        set_field = partial(object.__setattr__, self)
        set_field("strategy", strategy)
        set_field("join_state", join_state)
        set_field("timeout", limit(timeout, "a join's timeout"))
        set_field("bulkhead", bulkhead)
        set_field("store_partial_results", store_partial_results)
        set_field("collect", collect)
        set_field("fail_fast", fail_fast)
        set_field("error_state", error_state)
        problem = self.effective.problem_with(total=None, timeout=self.timeout)
        if problem is not None:
            raise ConfigurationError(problem)

    @property
    def effective(self) -> JoinStrategy:
        """The strategy that is asked: `strategy`, or its fail-fast variant."""
        return self.strategy.failing_fast() if self.fail_fast else self.strategy

    def with_timeout(self, timeout: Duration | None) -> JoinConfig[S]:
        """The same with another time limit for the split, in seconds; None for none."""
        return replace(self, timeout=limit(timeout, "a join's timeout"))

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


def _check_strategy(given: object) -> None:
    if isinstance(given, JoinStrategy):
        return
    mend = "such as JoinStrategy.ALL"
    if isinstance(given, type):
        mend = f"make an object of the class: {given.__qualname__}()"
    elif callable(given):
        mend = f"call it: JoinStrategy.{getattr(given, '__name__', '...')}(...)"
    raise ConfigurationError(f"a join needs a JoinStrategy, not {given!r}; {mend}")


def _check_bulkhead(given: object) -> None:
    if given is None or (isinstance(given, int) and not isinstance(given, bool) and given >= 1):
        return
    raise ConfigurationError(
        f"bulkhead is how many branches may run at once, 1 or more, not {given!r}; leave it out "
        "(None) for no limit"
    )
