"""What is typed after an option, read: durations, `key=value`, files of JSON."""

from __future__ import annotations

__all__ = ("read_duration", "read_json", "read_pair")

import json
import re
import sys
from pathlib import Path
from typing import Any, Never

import click

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ms|s|m|h)")

# What these raise is shown by click, with the option that it is about.


def read_duration(text: str) -> float:
    """Seconds, from `5s`, `200ms`, `2m`, `1h`, `1h30m`, or a plain number of seconds.

    >>> read_duration("200ms"), read_duration("1h30m"), read_duration("2.5")
    (0.2, 5400.0, 2.5)
    """
    compact = text.replace(" ", "")
    try:
        seconds = float(compact) if re.fullmatch(r"\d+\.?\d*|\.\d+", compact) else None
        if seconds is None and re.fullmatch(f"(?:{_PART.pattern})+", compact):
            parts = _PART.findall(compact)
            seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
        if seconds is not None and seconds < float("inf"):
            return seconds
    except OverflowError:
        pass
    raise click.BadParameter(f"{text!r} is no duration; write 5s, 200ms, 2m, 1h30m, or seconds")


def read_pair(text: str) -> tuple[str, Any]:
    """A key and its value: as JSON where it is JSON, else as the text that it is.

    >>> read_pair("amount=3"), read_pair("name=Ada"), read_pair('sku="3"')
    (('amount', 3), ('name', 'Ada'), ('sku', '3'))
    """
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise click.BadParameter(f"{text!r} is not like key=value")
    try:
        return key, json.loads(value, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return key, value


def read_json(path: str) -> dict[str, Any]:
    """The JSON object in a file, or in the standard input where that is `-`."""
    name = "the standard input" if path == "-" else path
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8-sig")
        found = json.loads(text, parse_constant=_no_json)
    except OSError as error:
        raise click.BadParameter(f"{name}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{name} is not JSON: {error}") from error
    if not isinstance(found, dict):
        kind = type(found).__name__
        raise click.BadParameter(f"{name} must hold a JSON object, keys and values, not a {kind}")
    return found


def _no_json(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")
