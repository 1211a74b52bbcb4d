"""Retries, said as tenacity objects. Loaded with the first retries that somebody configures."""

from __future__ import annotations

__all__ = ("check_retry", "exponential", "fixed")

import inspect
import math
import random

import tenacity

from ..errors import ConfigurationError


def check_retry(retry: object) -> None:
    """Refuse what is no synchronous tenacity object.

    Raises:
        ConfigurationError: it is something else.
    """
    if not isinstance(retry, tenacity.BaseRetrying) or inspect.iscoroutinefunction(
        type(retry).__call__
    ):
        raise ConfigurationError(
            f"retry must be a tenacity.Retrying(...) object, not {retry!r}; for a number of "
            "retries use TaskConfig().with_fixed_retry(retries, delay)"
        )


def fixed(retries: int, delay: float) -> tenacity.Retrying | None:
    """So many attempts after the first, `delay` seconds apart; None for none."""
    return _retrying(retries, tenacity.wait_fixed(delay))


def exponential(
    retries: int, base: float, multiplier: float, longest: float, jitter: float
) -> tenacity.Retrying | None:
    """So many attempts after the first, with growing delays in seconds; None for none."""
    factor, spread = _number("multiplier", multiplier), _number("jitter", jitter)
    if factor < 1:
        raise ConfigurationError(f"multiplier must be 1 or more, not {multiplier!r}")
    if not 0 <= spread <= 1:
        raise ConfigurationError(f"jitter is a share from 0 to 1, not {jitter!r}")
    # tenacity adds the same jitter in seconds to every delay; ours is a share of it.
    return _retrying(retries, _WaitExponential(base, factor, longest, spread))


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
            delay = self._longest if self._base else 0.0
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
