"""Who decides which actor goes on: by priorities, at random, all ways in turn, or as before."""

from __future__ import annotations

__all__ = (
    "NOBODY",
    "AllSchedules",
    "Pct",
    "RandomWalk",
    "Replay",
    "read_schedule",
    "write_schedule",
)

import re
from itertools import groupby
from random import Random

from ...errors import ConfigurationError
from .stage import Actor

NOBODY = -1
"""In the place of an actor's number: whoever has run goes on."""
PCT_DEPTH = 3
"""A bug of this depth takes so many events in one order: with 3, two changes of priority."""
PCT_LENGTHS = (1.0, 8.0)
"""How many decisions a run is taken to have, as powers of 2: a seed draws from this range."""


class RandomWalk:
    """Anybody, each time."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def born(self, actor: Actor) -> None:
        """Nothing to note."""

    def choose(self, ready: list[Actor], current: Actor | None) -> Actor:
        """One of them, all as likely."""
        return ready[int(self._random.random() * len(ready))]


class Pct:
    """Priorities at random, which change at a few decisions: probabilistic concurrency testing.

    It finds what needs few events in a certain order more often than a random walk does, for that
    must go the right way each time (Burckhardt et al., ASPLOS 2010).
    """

    def __init__(self, random: Random, depth: int = PCT_DEPTH) -> None:
        low, high = PCT_LENGTHS
        length = 2.0 ** (low + (high - low) * random.random())
        self._random = random
        self._changes = {int(random.random() * length) for _ in range(depth - 1)}
        self._count = 0
        self._lowest = 0.0
        self._priorities: dict[int, float] = {}

    def born(self, actor: Actor) -> None:
        """It has a priority from the beginning."""
        self._priorities[actor.number] = self._random.random()

    def choose(self, ready: list[Actor], current: Actor | None) -> Actor:
        """The one of the highest priority, which may have changed just now."""
        priorities = self._priorities
        chosen = max(ready, key=lambda actor: priorities[actor.number])
        if self._count in self._changes:
            self._lowest -= 1.0
            priorities[chosen.number] = self._lowest
            chosen = max(ready, key=lambda actor: priorities[actor.number])
        self._count += 1
        return chosen


class Replay:
    """As it was; from where that ends or no longer fits, whoever has run goes on.

    Args:
        numbers: the numbers of those who are chosen; `NOBODY` where whoever has run goes on.

    Attributes:
        choices: of each decision, the numbers of those that there were besides.
    """

    def __init__(self, numbers: list[int]) -> None:
        self._numbers = numbers
        self._count = 0
        self._misfit: int | None = None
        self.choices: list[list[int]] = []

    @property
    def misfit(self) -> int | None:
        """After a run: the number of the first decision that did not fit, from 1; None if all did.

        One that nobody asked for does not fit either.
        """
        if self._misfit is None and self._count < len(self._numbers):
            return self._count + 1
        return self._misfit

    def born(self, actor: Actor) -> None:
        """Nothing to note."""

    def choose(self, ready: list[Actor], current: Actor | None) -> Actor:
        """Who was chosen then, if it can go on."""
        default = current or ready[0]
        position, self._count = self._count, self._count + 1
        self.choices.append([actor.number for actor in ready if actor is not default])
        if position >= len(self._numbers) or self._numbers[position] == NOBODY:
            return default
        wanted = self._numbers[position]
        for actor in ready:
            if actor.number == wanted:
                return actor
        if self._misfit is None:
            self._misfit = position + 1
        return default


class AllSchedules:
    """All schedules there are, one a run, by depth-first search.

    Attributes:
        is_complete: whether all were tried.
    """

    def __init__(self) -> None:
        self._path: list[list[int]] = []  # of each decision: which way, and how many there are
        self._depth = 0
        self.is_complete = False

    def born(self, actor: Actor) -> None:
        """Nothing to note."""

    def choose(self, ready: list[Actor], current: Actor | None) -> Actor:
        """The next way that was not gone yet, at the last decision that has one."""
        depth, self._depth = self._depth, self._depth + 1
        if depth == len(self._path):
            self._path.append([0, len(ready)])
        way = min(self._path[depth][0], len(ready) - 1)
        first = current or ready[0]
        if way == 0:
            return first
        return [actor for actor in ready if actor is not first][way - 1]

    def next_run(self) -> bool:
        """Prepare for the next run; False if all schedules were tried."""
        path = self._path
        del path[self._depth :]
        self._depth = 0
        while path and path[-1][0] + 1 >= path[-1][1]:
            path.pop()
        if not path:
            self.is_complete = True
            return False
        path[-1][0] += 1
        return True


def write_schedule(decisions: list[int], defaults: list[int]) -> str:
    """The decisions as a short string; those at the end that nobody need take are left out."""
    end = len(decisions)
    while end and decisions[end - 1] == defaults[end - 1]:
        end -= 1
    words = []
    for number, group in groupby(decisions[:end]):
        count = len(list(group))
        words.append(f"{number}x{count}" if count > 2 else " ".join([str(number)] * count))
    return " ".join(words)


def read_schedule(text: str) -> list[int]:
    """The decisions that a string stands for.

    Raises:
        ConfigurationError: it is no schedule.
    """
    numbers: list[int] = []
    for word in text.split():
        match = re.fullmatch(r"(\d+)(?:x(\d+))?", word)
        if match is None:
            raise ConfigurationError(
                f"schedule={text!r}: {word!r} is no decision; give what a failure or "
                "`run.schedule` has shown, such as '0 1x3 2'"
            )
        numbers += [int(match[1])] * int(match[2] or 1)
    return numbers
