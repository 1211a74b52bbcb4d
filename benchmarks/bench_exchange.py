"""The ad exchange: CPU a run, one run alone, and how many runs a second one process holds."""

from __future__ import annotations

__all__ = ("bench_alone", "bench_exchange", "bench_load")

import gc
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

from .exchange import Phase, asleep, by_hand, by_hand_stopping, cooperative, workflow_of
from .harness import Pairs, Row, alternate, at_most, count, paired, percentile, time_text

CEILING = 512  # of the process's pool; the twin's is as large
RATE = 100  # runs a second, for the CPU
PATIENCE = 0.330  # seconds that 99 of 100 runs may take under load
ALONE_LIMIT = 0.303  # seconds that a run alone may take, median

Run = Callable[[], Phase]


@dataclass(frozen=True, slots=True)
class Ride:
    """What came of a few seconds at one rate: CPU seconds a run, seconds each run took."""

    cpu: float
    took: list[float]

    @property
    def p99(self) -> float:
        """What 99 of 100 runs did not exceed; a run that found no winner took for ever."""
        return percentile(self.took, 0.99)


class Driver:
    """Starts runs on a grid, whether or not the earlier ones have ended: an open loop."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def ride(self, run: Run, rate: float, seconds: float) -> Ride:
        """Start `rate` runs a second for so many seconds, and wait for all of them."""
        time.sleep(0.1)  # until the late bidders of the ride before have come home
        gc.collect()
        cpu, begin = time.process_time(), time.perf_counter()
        ends: list[Future[float]] = []
        for number in range(round(rate * seconds)):
            due = begin + number / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            ends.append(self._pool.submit(_time, run, due))
        took = [end.result() for end in ends]
        time.sleep(0.2)  # the late bidders are a part of what a run costs
        return Ride((time.process_time() - cpu) / len(took), took)


def _time(run: Run, due: float) -> float:
    """From when the run was due, so that a driver that falls behind hides nothing."""
    return time.perf_counter() - due if run() is Phase.COMPLETE else math.inf


def bench_exchange(quick: bool) -> Iterator[Row]:
    """100 runs a second, CPU a run, against the same phases by `wait(timeout)`."""
    seconds, pairs = (0.5, 1) if quick else (2.0, 5)
    with ThreadPoolExecutor(CEILING) as pool, ThreadPoolExecutor(CEILING) as starters:
        driver = Driver(starters)

        def measured(ours: Run, twin: Run) -> Pairs:
            driver.ride(ours, RATE, 0.3)
            driver.ride(twin, RATE, 0.3)
            return alternate(
                lambda: driver.ride(ours, RATE, seconds).cpu,
                lambda: driver.ride(twin, RATE, seconds).cpu,
                pairs,
            )

        workflow = workflow_of(asleep)
        cost = measured(lambda: workflow.orchestrate(Phase.START), lambda: by_hand(pool))
        yield cost.row(f"exchange, {RATE} runs/s, CPU a run", time_text, *at_most(1.0, cost.ratio))
        heeding = workflow_of(cooperative)
        cost = measured(lambda: heeding.orchestrate(Phase.START), lambda: by_hand_stopping(pool))
        yield cost.row("(the same, bidders that can be stopped)", time_text)


def bench_alone(quick: bool) -> Iterator[Row]:
    """One run of the exchange alone, wall time: 300 ms of it are sleeping."""
    workflow = workflow_of(asleep)
    with ThreadPoolExecutor(CEILING) as pool:
        wall = paired(
            lambda: workflow.orchestrate(Phase.START),
            lambda: by_hand(pool),
            pairs=3 if quick else 25,
            clock=time.perf_counter,
        )
    limit = time_text(ALONE_LIMIT)
    yield wall.row(
        "exchange, one run alone, wall", time_text, f"<= {limit}", median(wall.ours) <= ALONE_LIMIT
    )


def bench_load(quick: bool) -> Iterator[Row]:
    """Runs of the exchange that one process holds a second, 99 of 100 within 330 ms."""
    seconds = 0.5 if quick else 1.5
    workflow = workflow_of(asleep)
    with ThreadPoolExecutor(CEILING) as pool, ThreadPoolExecutor(CEILING) as starters:
        driver = Driver(starters)
        sides: tuple[Run, Run] = (
            lambda: workflow.orchestrate(Phase.START),
            lambda: by_hand(pool),
        )
        for side in sides:
            driver.ride(side, 100, 0.5)
        ours, twin = (Climb(driver, side, seconds) for side in sides)
        while ours.climbs or twin.climbs:  # in turn, so that a noisy minute meets both
            ours.step()
            twin.step()
    runs = count("runs/s")
    yield Row(
        "exchange, load held with p99 < 330 ms",
        runs(ours.held),
        "-",
        runs(twin.held),
        "-",
        f"{ours.held / max(1, twin.held):.2f}",
        ">= 1x",
        ours.held >= twin.held,
    )


class Climb:
    """The search for the highest rate that is held: up by great steps, then by halved ones."""

    def __init__(self, driver: Driver, run: Run, seconds: float) -> None:
        self._driver = driver
        self._run = run
        self._seconds = seconds
        self.held = 0.0
        self._failed = math.inf
        self._next = 100.0

    @property
    def climbs(self) -> bool:
        """Whether the held rate and the first that failed are still far apart."""
        return self._failed > 1.05 * self.held

    def step(self) -> None:
        """Try one rate; it has failed when it fails twice."""
        if not self.climbs:
            return
        tries = (self._driver.ride(self._run, self._next, self._seconds) for _ in range(2))
        if any(ride.p99 < PATIENCE for ride in tries):
            self.held = self._next
        else:
            self._failed = self._next
        top = self._failed if math.isfinite(self._failed) else 1.5**2 * self._next
        self._next = math.sqrt(max(self.held, 1.0) * top)
