"""What moves on the operator's terminal while work goes on, drawn by rich."""

from __future__ import annotations

__all__ = ("NARROWEST", "LiveView", "console_on_stderr", "draw_run", "has_colour", "is_moving")

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

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
    return console.is_terminal and not os.environ.get("NO_COLOR")


class LiveView(AbstractContextManager["LiveView"]):
    """Draws again and again while its `with` block lasts, and once more at its end.

    Args:
        console: where.
        draw: what; called on a thread of the display's own, which rich joins at the end.
    """

    def __init__(self, console: Console, draw: Callable[[], RenderableType]) -> None:
        self._draw = draw
        self._is_over = False
        self._live = Live(
            get_renderable=self.picture,
            console=console,
            refresh_per_second=REFRESH,
            # Somebody else's output goes above the picture; but a stdout that leads elsewhere
            # stays as it is, for results.
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=True,
        )

    def __enter__(self) -> LiveView:
        self._live.start()  # the first picture comes in a moment: there is nothing to see yet
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_over = True
        self._live.stop()

    def picture(self) -> RenderableType:
        """What is drawn now.

        The cursor rests on a line of its own below: the terminal shows the key Ctrl-C there,
        which at the end of a full line would begin another one, that nobody erases.
        """
        return self._draw() if self._is_over else Group(self._draw(), "")


def draw_run(recorder: Recorder, console: Console) -> RenderableType:
    """The timeline of a run up to now, in the latest lines that the terminal has room for."""
    drawn = recorder.timeline(
        width=max(NARROWEST, console.width),
        color=has_colour(console),
        height=max(LOWEST, console.height - 2),
    )
    return Text.from_ansi(drawn, no_wrap=True, overflow="crop")
