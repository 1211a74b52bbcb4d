"""What happened in a run, line by line."""

from __future__ import annotations

__all__ = ("story_of",)

from .stage import START
from .watching import Event

LONGEST = 60
"""Lines that a story shows; of a longer one, the last ones."""


def story_of(events: list[Event]) -> str:
    """The events, with the time where it passes, and notes at the end of a line."""
    if not events:
        return ""
    lines = []
    width = max(len(event.who) for event in events)
    at = START
    for event in events:
        if event.at > at:
            lines.append(f"{'':{width}}  ... {round(event.at - START, 6):g} s")
            at = event.at
        note = f"   ← {event.note}" if event.note else ""
        lines.append(f"{event.who:{width}}  {event.what}{note}")
    if len(lines) > LONGEST:
        lines = [f"({len(lines) - LONGEST} lines before)", *lines[-LONGEST:]]
    return "\n".join(lines)
