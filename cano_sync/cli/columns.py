"""How wide the columns of a table are, where not all have the room that they want."""

from __future__ import annotations

__all__ = ("GAP", "Want", "widths")

from collections.abc import Iterable
from typing import NamedTuple

GAP = 2
"""Cells between two columns."""


class Want(NamedTuple):
    """What a column asks for, in cells.

    Attributes:
        least: below it the column says nothing any more, and is left out.
        best: all of its texts.
    """

    least: int
    best: int


def widths(wants: Iterable[Want], room: int) -> list[int]:
    """The width of each column, 0 for one that is left out.

    The most important columns come first: the last ones are left out where there is no room for
    the least that each needs, and the first one gets what is left over before the second does. The
    very first is never left out.

    >>> widths([Want(12, 30), Want(7, 7), Want(10, 40)], 80)
    [30, 7, 39]
    >>> widths([Want(12, 30), Want(7, 7), Want(10, 40)], 40)
    [19, 7, 10]
    >>> widths([Want(12, 30), Want(7, 7), Want(10, 40)], 24), widths([Want(12, 30)], 8)
    ([15, 7, 0], [8])
    """
    wants = list(wants)
    left = room
    found: list[int] = []
    for want in wants:
        least = min(want.least, want.best)
        gap = GAP if found else 0
        if found and left < least + gap:
            break
        found.append(min(least, room))
        left -= found[-1] + gap
    for number, want in enumerate(wants[: len(found)]):
        more = max(0, min(left, want.best - found[number]))
        found[number] += more
        left -= more
    return [*found, *[0] * (len(wants) - len(found))]
