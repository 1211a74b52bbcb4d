"""The texts of pictures: names, durations and errors, each on one line, and the width of these."""

from __future__ import annotations

__all__ = (
    "cells",
    "clip",
    "dropped_text",
    "duration_text",
    "error_line",
    "name_of",
    "pad",
    "plural",
    "safe_repr",
    "tick_text",
    "ticks",
)

import unicodedata
from reprlib import Repr

from ..._base.text import error_text, one_line, state_name


def name_of(state: object) -> str:
    """A state as pictures name it: on one line, and never empty.

    >>> name_of(""), name_of(7), name_of("two\\nlines")
    ("''", '7', 'two\\\\nlines')
    """
    return one_line(state_name(state)) or "''"


def error_line(error: BaseException) -> str:
    """An error by its type and text, on one line; never an error itself.

    >>> error_line(ValueError("no\\nway")), error_line(KeyError())
    ('ValueError: no\\\\nway', 'KeyError')
    """
    return one_line(error_text(error))


def cells(text: str) -> int:
    """How many cells of a terminal a line of text takes.

    >>> cells("abc"), cells("日本"), cells("e\\u0301")
    (3, 4, 1)
    """
    if text.isascii():
        return len(text)
    return sum(map(_width, text))


def _width(char: str) -> int:
    if unicodedata.east_asian_width(char) in "WF":
        return 2
    return 0 if unicodedata.category(char) in ("Mn", "Me", "Cf") else 1


def clip(text: str, width: int) -> str:
    """The text in at most so many cells, with an ellipsis where something is missing.

    >>> clip("a long name", 6), clip("日本語", 4), clip("fits", 4)
    ('a lon…', '日…', 'fits')
    """
    if cells(text) <= width:
        return text
    kept, room = "", width - 1
    for char in text:
        room -= _width(char)
        if room < 0:
            break
        kept += char
    return kept + "…" if width > 0 else ""


def pad(text: str, width: int) -> str:
    """The text in exactly so many cells."""
    text = clip(text, width)
    return text + " " * (width - cells(text))


def plural(count: int, noun: str, ending: str = "s") -> str:
    """A count and its noun.

    >>> plural(1, "attempt"), plural(1200, "branch", "es")
    ('1 attempt', '1,200 branches')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}{ending}"


def dropped_text(count: int) -> str:
    """How many events were forgotten.

    >>> dropped_text(1), dropped_text(1200)
    ('first event was dropped', 'first 1,200 events were dropped')
    """
    return "first event was dropped" if count == 1 else f"first {count:,} events were dropped"


_REPR = Repr()
_REPR.maxlevel = 4
_REPR.maxlist = _REPR.maxtuple = _REPR.maxset = _REPR.maxfrozenset = _REPR.maxdict = 12
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = 240


def safe_repr(value: object) -> str:
    """The value's repr, cut short where it is long; never an error.

    >>> safe_repr([1, "a"]), len(safe_repr("x" * 10_000))
    ("[1, 'a']", 240)
    """
    try:
        return _REPR.repr(value)
    except Exception as error:
        return f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"


_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def _unit(seconds: float) -> tuple[float, str]:
    """The greatest unit that a short duration makes a whole one of."""
    return next((pair for pair in _UNITS if seconds >= 0.9995 * pair[0]), _UNITS[-1])


_LONG = ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s"))


def duration_text(seconds: float) -> str:
    """A duration in three digits, or in two units from a minute on; 8 characters at most.

    >>> [duration_text(s) for s in (0, 0.0000102, 0.0521, 0.308, 12.34, 75, 10_920, 200_000)]
    ['0 s', '10.2 µs', '52.1 ms', '308 ms', '12.3 s', '1m 15s', '3h 02m', '2d 08h']
    """
    if seconds <= 0:
        return "0 s"
    for size, big, part, small in _LONG:
        if seconds >= size - part / 2:
            parts = round(seconds / part)
            return f"{parts * part // size}{big} {parts * part % size // part:02}{small}"
    scale, unit = _unit(seconds)
    count = seconds / scale
    digits = 0 if count >= 99.95 else 1 if count >= 9.995 else 2
    return f"{count:.{digits}f} {unit}"


_STEPS = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


def ticks(total: float, most: int) -> list[float]:
    """Round moments along an axis that begins at 0: at most so many, and always the 0.

    >>> ticks(0.308, 4), ticks(10_000, 5)
    ([0.0, 0.1, 0.2, 0.3], [0.0, 3600.0, 7200.0])
    """
    if total <= 0:
        return [0.0]
    fine = (digit * 10.0**power for power in range(-9, 2) for digit in (1, 2, 5))
    days = (86400.0 * digit * 10**power for power in range(9) for digit in (1, 2, 5))
    steps = (*(step for step in fine if step <= 20), 30.0, *map(float, _STEPS), *days)
    for step in steps:
        count = int(total / step * (1 + 1e-9)) + 1  # a quotient is rounded: 1.9 / 0.1 is 18.99...
        if count <= most:
            return [round(number * step, 9) for number in range(count)]
    return [0.0]


def tick_text(moment: float) -> str:
    """A round moment as an axis shows it.

    >>> [tick_text(at) for at in (0, 0.05, 0.00002, 1.5, 90, 7200, 172_800)]
    ['0', '50 ms', '20 µs', '1.5 s', '1m 30s', '2h', '2d']
    """
    if moment <= 0:
        return "0"
    for size, big, part, small in _LONG:
        if moment >= size:
            rest = round(moment % size / part)
            return f"{moment // size:.0f}{big}" + (f" {rest:02}{small}" if rest else "")
    scale, unit = _unit(moment)
    return f"{moment / scale:.6g} {unit}"
