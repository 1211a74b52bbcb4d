"""`TaskConfig`: how often a task is tried, and for how long; retries said as tenacity objects."""

from __future__ import annotations

__all__ = ("TaskConfig",)

import inspect
import math
import random
from dataclasses import dataclass, field, replace

import tenacity

from .duration import Duration, seconds
from .errors import ConfigurationError


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
        retry = self.retry
        if retry is not None and (
            not isinstance(retry, tenacity.BaseRetrying)
            or inspect.iscoroutinefunction(type(retry).__call__)
        ):
            raise ConfigurationError(
                f"retry must be a tenacity.Retrying(...) object, not {retry!r}; for a number of "
                "retries use TaskConfig.with_fixed_retry(retries, delay)"
            )
        if self.attempt_timeout is not None:
            limit = seconds(self.attempt_timeout, "attempt_timeout")
            object.__setattr__(self, "attempt_timeout", limit)

    @property
    def limit(self) -> float | None:
        """The attempt timeout in seconds."""
        timeout = self.attempt_timeout
        return None if timeout is None else seconds(timeout, "attempt_timeout")

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
        wait = tenacity.wait_fixed(seconds(delay, "delay"))
        return cls(_retrying(retries, wait))

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
        factor, spread = _number("multiplier", multiplier), _number("jitter", jitter)
        if factor < 1:
            raise ConfigurationError(f"multiplier must be 1 or more, not {multiplier!r}")
        if not 0 <= spread <= 1:
            raise ConfigurationError(f"jitter is a share from 0 to 1, not {jitter!r}")
        # tenacity adds the same jitter in seconds to every delay; ours is a share of it.
        wait = _WaitExponential(base, factor, longest, spread)
        return cls(_retrying(retries, wait))

    def with_attempt_timeout(self, timeout: Duration | None) -> TaskConfig:
        """The same with another limit for each attempt, in seconds; None for none."""
        return replace(self, attempt_timeout=timeout)


class _WaitExponential(tenacity.wait.wait_base):
    """base * factor ** n, capped, and varied at random by a share of itself."""

    def __init__(self, base: float, factor: float, longest: float, spread: float) -> None:
        self._base = base
        self._factor = factor
        self._longest = longest
        self._spread = spread

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        try:
            delay = self._base * self._factor ** (retry_state.attempt_number - 1)
        except OverflowError:
            delay = self._longest
        delay = min(delay, self._longest)
        return delay * (1 + self._spread * random.uniform(-1, 1))


def _retrying(retries: int, wait: tenacity.wait.wait_base) -> tenacity.Retrying | None:
    if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
        raise ConfigurationError(
            f"retries is how often to try again, a whole number from 0, not {retries!r}"
        )
    if retries == 0:
        return None
    return tenacity.Retrying(stop=tenacity.stop_after_attempt(retries + 1), wait=wait)


def _number(what: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigurationError(f"{what} must be a finite number, not {value!r}")
    return value
