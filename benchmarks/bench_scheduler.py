"""The scheduler: a thousand flows that are due at once, and a busy day in seconds."""

from __future__ import annotations

__all__ = ("bench_scheduler",)

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from cano_sync import Workflow
from cano_sync.scheduler import FlowObserver, Scheduler
from cano_sync.testing import HandClock, start_by_hand

from .harness import Row, count, percentile, time_text

FLOWS = 1000
DAY = 86_400.0  # seconds

PROMPT = 0.5
"""The lag that a flow due with a thousand others may have, in seconds: it is run once a second."""


def bench_scheduler(quick: bool) -> Iterator[Row]:
    """The lag and the CPU of 1,000 flows due in the same second; 24 simulated hours."""
    yield from _same_second(2 if quick else 10)
    yield _day(DAY / 12 if quick else DAY)


class _Lags(FlowObserver):
    def __init__(self) -> None:
        self.all: list[float] = []  # append() is atomic

    def flow_started(self, *, flow: str, lag: float) -> None:
        self.all.append(lag)


class _Begins:
    """A task that notes when it begins."""

    def __init__(self) -> None:
        self.all: list[float] = []

    def __call__(self) -> str:
        self.all.append(time.monotonic())
        return "END"


def _workflow(task: object) -> Workflow[str]:
    return Workflow[str]().register("GO", task).add_exit_state("END")  # type: ignore[arg-type]


def _same_second(seconds: int) -> Iterator[Row]:
    """All are due each second, at the same moment. A task's own beginning is what counts."""
    lags, begins = _Lags(), _Begins()
    scheduler = Scheduler(observers=[lags])
    workflow = _workflow(begins)
    for number in range(FLOWS):
        scheduler.every_seconds(f"flow {number}", workflow, "GO", 1)
    cpu = time.process_time()
    start = time.monotonic()  # before the grid begins, or a run on time would seem late by 0.99 s
    with scheduler.start_in_background():
        threading.Event().wait(seconds + 0.5)
    cpu = time.process_time() - cpu
    runs = len(begins.all)
    late = [(moment - start) % 1.0 for moment in begins.all]
    skipped = sum(status.skipped for status in scheduler.list())
    worst = percentile(late, 0.99)
    yield Row(
        f"{FLOWS:,} flows due at once, lag of the 99th percentile",
        time_text(worst),
        time_text(percentile(late, 0.5)),
        goal=f"< {time_text(PROMPT)}, none skipped (were {skipped})",
        reached=worst < PROMPT and not skipped and runs >= FLOWS * seconds,
    )
    yield Row("... lag of the hand-over alone", time_text(percentile(lags.all, 0.99)))
    yield Row("... CPU for each run", time_text(cpu / runs))


def _day(duration: float) -> Row:
    """Flows each second, minute, quarter of an hour, and by cron: some 100,000 runs a day."""
    clock = HandClock(datetime(2026, 11, 25, tzinfo=UTC))
    scheduler = Scheduler(clock=clock)
    workflow = _workflow(lambda: "END")
    for number in range(10):
        scheduler.every_seconds(f"quick {number}", workflow, "GO", 30 + number)
    for number in range(40):
        scheduler.every_minutes(f"minutely {number}", workflow, "GO", 1)
        scheduler.cron(f"cron {number}", workflow, "GO", f"{number} * * * *", tz="UTC")
    for number in range(500):
        scheduler.every_minutes(f"quarterly {number}", workflow, "GO", 15, jitter=300)
    began = time.perf_counter()
    with start_by_hand(scheduler) as hand:
        hand.advance(duration)
    took = time.perf_counter() - began
    runs = sum(status.runs for status in scheduler.list())
    return Row(
        f"{duration / 3600:g} simulated hours, {runs:,} runs of {len(scheduler.list())} flows",
        time_text(took),
        count("runs/s")(runs / took),
        goal="< 60 s",
        reached=took < 60,
    )
