"""What moves on the operator's terminal while work goes on, drawn by rich."""

from __future__ import annotations

__all__ = ("NARROWEST", "console_on_stderr", "draw_run", "has_colour", "is_moving", "live_view")

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from ..observe import Recorder

REFRESH = 12  # times a second

NARROWEST, LOWEST = 40, 4
"""What a timeline needs: cells, and lines."""


def console_on_stderr() -> Console:
    """The terminal of the operator. NO_COLOR is honoured, as rich does it."""
    return Console(stderr=True, highlight=False)


def is_moving(console: Console) -> bool:
    """Whether something can move there."""
    return console.is_terminal and not console.is_dumb_terminal


def has_colour(console: Console) -> bool:
    """Whether to write colours there."""
    return console.is_terminal and not console.no_color


@contextmanager
def live_view(console: Console, draw: Callable[[], RenderableType]) -> Iterator[None]:
    """Draw again and again during the block, and once more at its end.

    Args:
        console: where.
        draw: what; called on a thread of the display's own, which rich joins at the end.
    """
    is_over = False

    def picture() -> RenderableType:
        # The cursor rests on a line of its own below: the terminal shows the key Ctrl-C there,
        # which at the end of a full line would begin another one, that nobody erases.
        return draw() if is_over else Group(draw(), "")

    with Live(
        get_renderable=picture,
        console=console,
        refresh_per_second=REFRESH,
        # Somebody else's output goes above the picture; but a stdout that leads elsewhere stays
        # as it is, for results.
        redirect_stdout=sys.stdout.isatty(),
        redirect_stderr=True,
    ):
        try:
            yield
        finally:
            is_over = True


def draw_run(recorder: Recorder, console: Console) -> RenderableType:
    """The timeline of a run up to now, in the latest lines that the terminal has room for."""
    drawn = recorder.timeline(
        width=max(NARROWEST, console.width),
        color=has_colour(console),
        height=max(LOWEST, console.height - 2),
    )
    return Text.from_ansi(drawn, no_wrap=True, overflow="crop")
