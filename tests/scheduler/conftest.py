"""Fixtures of the scheduler's tests: a clock that is moved by hand, and flows that do little."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from cano_sync import CancellationToken, Workflow
from cano_sync.scheduler import FlowObserver, Scheduler, Timetable
from cano_sync.testing import HandClock
from tests.observing import Notes

START = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)  # a Wednesday

Task = Callable[..., Any]


def one(task: Task) -> Workflow[Any]:
    """A workflow with one task, from "GO" to "DONE"."""
    return Workflow().register("GO", task).add_exit_state("DONE")


def after(timetable: Timetable, moment: float, start: float = 0.0, seed: int = 1) -> float:
    """The moment after this one, which there is."""
    due = timetable.after(moment, start, Random(seed))
    assert due is not None and due > moment
    return due


class FlowNotes(FlowObserver):
    """Notes all events of flows, with `thread`: the name of the one that each came on.

    `runs` is an observer for a workflow, which notes in the same list.
    """

    def __init__(self) -> None:
        self.runs = Notes()
        self.all = self.runs.all
        self.names, self.of, self.one = self.runs.names, self.runs.of, self.runs.one

    def on_event(self, *, event: str, flow: str, **facts: Any) -> None:
        thread = threading.current_thread().name
        self.all.append((event, {"flow": flow, **facts, "thread": thread}))


class Journal:
    """A task that notes at which time of day it ran, as seconds after the start."""

    def __init__(self, clock: HandClock) -> None:
        self.times: list[float] = []
        self._clock = clock

    def __call__(self) -> str:
        self.times.append(round(self._clock.wall() - START.timestamp(), 6))
        return "DONE"


class Held:
    """A task that goes on when it is let go: by `release`, or at its cancellation."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self._release = threading.Semaphore(0)

    def __call__(self, store: Any, cancel: CancellationToken) -> str:
        self.began.release()
        with cancel.on_cancel(self._release.release):
            assert self._release.acquire(timeout=20)
        cancel.check()
        return "DONE"

    def wait(self) -> None:
        """Until it has begun once more."""
        assert self.began.acquire(timeout=20)

    def release(self) -> None:
        """Let one run go on."""
        self._release.release()


class Fails:
    """A task that fails as long as the test wants it."""

    def __init__(self) -> None:
        self.is_broken = True

    def __call__(self) -> str:
        if self.is_broken:
            raise OSError("the disk is full")
        return "DONE"


@pytest.fixture
def clock() -> HandClock:
    """It shows 8 o'clock, UTC, on 25 November 2026."""
    return HandClock(START)


@pytest.fixture
def scheduler(clock: HandClock) -> Scheduler:
    """A scheduler that lives by that clock."""
    return Scheduler(clock=clock)


@pytest.fixture
def journal(clock: HandClock) -> Journal:
    return Journal(clock)


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
def zurich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The local time is that of Zurich."""
    if not hasattr(time, "tzset"):
        pytest.skip("the local time zone cannot be set here")
    monkeypatch.setitem(os.environ, "TZ", "Europe/Zurich")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
