"""The setting `CANO_SYNC`: what may stand in it, read and checked."""

from __future__ import annotations

__all__ = ("problems", "request_timeout", "workflow_paths")

from collections.abc import Mapping
from typing import Any

from django import conf

from .._base.durations import limit
from ..errors import ConfigurationError

SETTING = "CANO_SYNC"
KEYS = ("REQUEST_TIMEOUT", "WORKFLOWS")


def request_timeout() -> float | None:
    """The seconds that a view has, or None for no limit.

    Raises:
        ConfigurationError: what the setting says is no number of seconds above 0.
    """
    seconds = limit(_value("REQUEST_TIMEOUT"), "CANO_SYNC['REQUEST_TIMEOUT']")
    if seconds == 0:
        raise ConfigurationError(
            "CANO_SYNC['REQUEST_TIMEOUT'] is 0, and no view would have any time; leave it out, or "
            "give more than 0 seconds"
        )
    return seconds


def workflow_paths() -> tuple[str, ...]:
    """The dotted paths of the workflows that the system checks shall look at.

    Raises:
        ConfigurationError: it is no list of text.
    """
    given = _value("WORKFLOWS")
    if given is None:
        return ()
    if isinstance(given, str) or not all(isinstance(path, str) for path in given):
        raise ConfigurationError(
            f"CANO_SYNC['WORKFLOWS'] must be a list of dotted paths such as "
            f"['shop.orders.workflow'], not {given!r}"
        )
    return tuple(given)


def problems() -> list[str]:
    """What is wrong with the setting, a sentence each."""
    try:
        unknown = sorted(set(_options()) - set(KEYS))
    except ConfigurationError as error:
        return [str(error)]
    found = [f"CANO_SYNC has {key!r}; it knows {', '.join(KEYS)}" for key in unknown]
    for read in (request_timeout, workflow_paths):
        try:
            read()
        except ConfigurationError as error:
            found.append(str(error))
    return found


def _options() -> Mapping[str, Any]:
    given = getattr(conf.settings, SETTING, {})
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"the setting CANO_SYNC must be a dict such as {{'REQUEST_TIMEOUT': 10}}, not {given!r}"
        )
    return given


def _value(key: str) -> Any:
    return _options().get(key)
