"""`TaskConfig`: how often a task is tried, and for how long."""

from __future__ import annotations

__all__ = ("TaskConfig",)

from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from .duration import Duration, seconds

if TYPE_CHECKING:  # tenacity is loaded with the first retries, by the room that knows it
    import tenacity


@dataclass(frozen=True)
class TaskConfig:
    """How a task is tried. Immutable; one object may serve any number of tasks.

    Args:
        retry: a `tenacity.Retrying`, whose `stop`, `wait`, `retry` and callbacks are honoured;
            None to run once.
        attempt_timeout: seconds (or a `timedelta`) for each attempt; None for no limit. An
            attempt that takes longer is abandoned and counts as failed.

    Raises:
        ConfigurationError: a setting is impossible.

    >>> TaskConfig.with_fixed_retry(3, delay=0.5).with_attempt_timeout(2).attempt_timeout
    2.0
    """

    retry: tenacity.BaseRetrying | None = None
    attempt_timeout: Duration | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.retry is not None:
            _retry_room().check_retry(self.retry)
        if self.attempt_timeout is not None:
            limit = seconds(self.attempt_timeout, "attempt_timeout")
            object.__setattr__(self, "attempt_timeout", limit)

    @property
    def limit(self) -> float | None:
        """The attempt timeout in seconds."""
        return cast("float | None", self.attempt_timeout)  # __post_init__ has made seconds of it

    @property
    def is_minimal(self) -> bool:
        """Whether the task simply runs, once and without a limit."""
        return self.retry is None and self.attempt_timeout is None

    @classmethod
    def minimal(cls) -> TaskConfig:
        """Runs once, without a time limit: what a task without a config gets."""
        return cls()

    @classmethod
    def with_fixed_retry(cls, retries: int, delay: Duration) -> TaskConfig:
        """Try again up to `retries` times after the first attempt, `delay` seconds apart."""
        return cls(_retry_room().fixed(retries, seconds(delay, "delay")))

    @classmethod
    def with_exponential_retry(
        cls,
        retries: int,
        base_delay: Duration = 0.1,
        multiplier: float = 2.0,
        max_delay: Duration = 30.0,
        jitter: float = 0.1,
    ) -> TaskConfig:
        """Try again up to `retries` times, waiting longer each time.

        Args:
            retries: attempts after the first.
            base_delay: seconds before the second attempt.
            multiplier: how many times longer each delay is than the one before, 1 or more.
            max_delay: seconds that no delay exceeds, before the jitter.
            jitter: the share of the delay, 0 to 1, by which it varies at random up or down,
                so that many clients do not come back all at once.
        """
        base, longest = seconds(base_delay, "base_delay"), seconds(max_delay, "max_delay")
        return cls(_retry_room().exponential(retries, base, multiplier, longest, jitter))

    def with_attempt_timeout(self, timeout: Duration | None) -> TaskConfig:
        """The same with another limit for each attempt, in seconds; None for none."""
        return replace(self, attempt_timeout=timeout)


def _retry_room() -> Any:
    return import_module(".retry", __package__)
