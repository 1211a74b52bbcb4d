"""`TaskConfig`: how often a task is tried, and for how long."""

from __future__ import annotations

__all__ = ("TaskConfig",)

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .._base.durations import Duration, limit, seconds
from .._base.lazy import Lazy

if TYPE_CHECKING:
    import tenacity

    from . import retry as retry_module
else:
    # It brings tenacity along: a third of what importing this library would cost.
    retry_module = Lazy(".retry", __package__)


@dataclass(frozen=True, slots=True, init=False)
class TaskConfig:
    """How a task is tried: once, unless it says otherwise. Immutable.

    One object may serve any number of tasks, on any thread. Its methods make new ones, which keep
    all that was said before.

    Args:
        retry: a `tenacity.Retrying`, whose `stop`, `wait`, `retry` and callbacks are honoured;
            None to run once.
        attempt_timeout: seconds (or a `timedelta`) for each attempt; None for no limit. An
            attempt that takes longer is abandoned and counts as failed.

    Raises:
        ConfigurationError: a setting is impossible.

    >>> TaskConfig().with_fixed_retry(3, delay=0.5).with_attempt_timeout(2).attempt_timeout
    2.0
    """

    retry: tenacity.BaseRetrying | None
    attempt_timeout: float | None

    def __init__(
        self,
        retry: tenacity.BaseRetrying | None = None,
        *,
        attempt_timeout: Duration | None = None,
    ) -> None:
        if retry is not None:
            retry_module.check_retry(retry)
        object.__setattr__(self, "retry", retry)
        object.__setattr__(self, "attempt_timeout", limit(attempt_timeout, "attempt_timeout"))

    @property
    def is_minimal(self) -> bool:
        """Whether the task simply runs, once and without a limit."""
        return self.retry is None and self.attempt_timeout is None

    def with_fixed_retry(self, retries: int, delay: Duration) -> TaskConfig:
        """The same, trying again up to `retries` times after the first attempt.

        Args:
            retries: attempts after the first.
            delay: seconds (or a `timedelta`) between two attempts.

        >>> TaskConfig(attempt_timeout=2).with_fixed_retry(3, 0.5).attempt_timeout
        2.0
        """
        return replace(self, retry=retry_module.fixed(retries, seconds(delay, "delay")))

    def with_exponential_retry(
        self,
        retries: int,
        base_delay: Duration = 0.1,
        multiplier: float = 2.0,
        max_delay: Duration = 30.0,
        jitter: float = 0.1,
    ) -> TaskConfig:
        """The same, trying again up to `retries` times, and waiting longer each time.

        Args:
            retries: attempts after the first.
            base_delay: seconds before the second attempt.
            multiplier: how many times longer each delay is than the one before, 1 or more.
            max_delay: seconds that no delay exceeds, before the jitter.
            jitter: the share of the delay, 0 to 1, by which it varies at random up or down,
                so that many clients do not come back all at once.
        """
        base, longest = seconds(base_delay, "base_delay"), seconds(max_delay, "max_delay")
        retry = retry_module.exponential(retries, base, multiplier, longest, jitter)
        return replace(self, retry=retry)

    def with_attempt_timeout(self, timeout: Duration | None) -> TaskConfig:
        """The same with another limit for each attempt, in seconds; None for none."""
        return replace(self, attempt_timeout=limit(timeout, "attempt_timeout"))
