"""The roster: the flows of a scheduler, and when each is due next."""

from __future__ import annotations

__all__ = ("Roster",)

from bisect import bisect
from collections.abc import Iterable
from difflib import get_close_matches
from random import Random
from typing import Any

from ..errors import ConfigurationError
from .agenda import Agenda
from .clock import Alarm, Moment
from .flow import Flow
from .status import FlowStatus


class Roster:
    """Passive: the dispatcher's lock guards it, and all its flows."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self._flows: dict[str, Flow] = {}
        self._agenda: Agenda[Flow] = Agenda()
        self._has_begun = False

    def begin(self, now: Moment) -> None:
        """The scheduler starts: from now on flows are due."""
        self._has_begun = True
        for flow in self._flows.values():
            flow.begin(now)
            self.arm(flow, now)

    def add(self, flow: Flow, now: Moment) -> bool:
        """Take on a flow; returns what `arm` does."""
        if flow.id in self._flows:
            raise ConfigurationError(
                f"there is a flow {flow.id!r} already; give this one an id of its own, or remove() "
                "the other"
            )
        self._flows[flow.id] = flow
        if self._has_begun:
            flow.begin(now)
        return self.arm(flow, now)

    def remove(self, id: str) -> None:
        """Drop a flow; it is due no more."""
        flow = self.find(id)
        del self._flows[id]
        flow.is_removed = True
        self._disarm(flow)

    def find(self, id: str) -> Flow:
        """The flow of this id."""
        flow = self._flows.get(id)
        if flow is None:
            raise ConfigurationError(f"there is no flow {id!r}; {_instead(id, self._flows)}")
        return flow

    def statuses(self, now: Moment, *, is_stopped: bool) -> tuple[FlowStatus, ...]:
        """How all of them are, in the order in which they came."""
        return tuple([flow.status(now, is_stopped=is_stopped) for flow in self._flows.values()])

    # When they are due.

    def arm(self, flow: Flow, now: Moment) -> bool:
        """Enter the flow's next time anew; returns whether it is the first of all on its clock."""
        self._disarm(flow)
        if not self._has_begun or flow.is_removed:
            return False
        at = flow.next_time(now, self.random)
        if at is None:
            return False
        flow.entry, is_first = self._agenda.put(at, flow, on_wall_clock=flow.on_wall_clock)
        return is_first

    def _disarm(self, flow: Flow) -> None:
        if flow.entry is not None:
            self._agenda.drop(flow.entry, on_wall_clock=flow.on_wall_clock)
            flow.entry = None

    def take(self, now: Moment) -> tuple[Flow, float] | None:
        """A flow that is due, the longest overdue first, and for how long; then it is not any more.

        The caller enters its next time: `arm`.
        """
        entry = self._agenda.take(now)
        if entry is None:
            return None
        flow = entry.what
        flow.entry = None
        return flow, (now.wall if flow.on_wall_clock else now.monotonic) - entry.at

    @property
    def alarm(self) -> Alarm:
        """When the next is due."""
        return self._agenda.alarm


NEAR = 100
"""Ids before and after a wrong one with which it is compared: that takes time, under the lock."""


def _instead(id: Any, ids: Iterable[str]) -> str:
    """What else might have been meant. Messages do not list all of a thousand."""
    known = sorted(ids)
    if isinstance(id, str):
        place = bisect(known, id)
        alike = get_close_matches(id, known[max(0, place - NEAR) : place + NEAR], n=3)
        if alike:
            return f"did you mean {' or '.join(map(repr, alike))}?"
    text = ", ".join(map(repr, known[:10])) or "none"
    return f"there are {text}" + (f" and {len(known) - 10} more" if len(known) > 10 else "")
