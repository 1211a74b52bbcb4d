"""Colours for a terminal, by the package rich (the extra `cli`)."""

from __future__ import annotations

__all__ = ("painted",)

from collections.abc import Iterable, Sequence

from rich.color import ColorSystem
from rich.style import Style

_STYLES = {
    "state": Style(bold=True),
    "state succeeded": Style(color="blue"),
    "state exit": Style(color="green", bold=True),
    "succeeded": Style(color="green"),
    "failed": Style(color="red", bold=True),
    "timed_out": Style(color="red", bold=True),
    "cancelled": Style(color="yellow"),
    "abandoned": Style(color="magenta", bold=True),
    "running": Style(color="cyan"),
    "attempt_abandoned": Style(color="magenta", bold=True),
    "wait": Style(color="yellow", dim=True),
    "late": Style(color="magenta"),
    "several": Style(color="blue"),
    "not_started": Style(dim=True),
    "axis": Style(dim=True),
    "note": Style(dim=True),
    "dim": Style(dim=True),
}


def painted(lines: Iterable[Sequence[tuple[str, str]]]) -> str:
    """The lines with a terminal's escape sequences, of the 16 colours that each theme has."""
    return "\n".join("".join(_paint(text, what) for text, what in line) for line in lines)


def _paint(text: str, what: str) -> str:
    style = _STYLES.get(what) or _STYLES.get(what.removeprefix("state "))
    if style is None or not text.strip():
        return text
    return style.render(text, color_system=ColorSystem.STANDARD)
