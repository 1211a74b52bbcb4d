"""Growth: whether a branch costs more the more branches its split has."""

from __future__ import annotations

__all__ = ("bench_growth",)

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from cano_sync import JoinConfig, JoinStrategy, Workflow

from .harness import Pairs, Row, at_most, paired, time_text, warm_executor

FEW, MANY = 200, 4_000
MOMENT = 0.0001  # seconds between two landings
THREADS = 64  # for either size, so that only the number of branches differs


class Relay:
    """Tasks that end one after another: each waits for its baton, runs, and hands on the next.

    It runs asleep, a moment in which a coordinator that was woken by the one before can work:
    if it goes over all the branches whenever it wakes, it shows its n² here.
    """

    def __init__(self, runners: int) -> None:
        self._batons = [threading.Lock() for _ in range(runners + 1)]
        for baton in self._batons:
            baton.acquire()
        self.tasks = [self._runner(number) for number in range(runners)]

    def start(self) -> None:
        """Hand over the first baton."""
        self._batons[0].release()

    def finish(self) -> None:
        """Take the last one, so that the batons can go round again."""
        self._batons[-1].acquire()

    def _runner(self, number: int) -> Callable[[], None]:
        mine, following = self._batons[number], self._batons[number + 1]

        def run() -> None:
            mine.acquire()
            time.sleep(MOMENT)
            following.release()

        return run


def bench_growth(quick: bool) -> Iterator[Row]:
    """CPU a task of splits whose tasks end one after another: 4,000 branches against 200."""
    with ThreadPoolExecutor(THREADS) as pool:
        warm_executor(pool, THREADS)
        many, few = _split(pool, MANY), _split(pool, FEW)
        grown = _grown(many, few, MANY, FEW, pairs=2 if quick else 7)
        yield grown.row(
            f"growth, {MANY:,} : {FEW} branches, CPU a task",
            time_text,
            *at_most(1.2, grown.ratio),
        )
        # What the measure shows of a coordinator that waits on all of its branches. A quarter of
        # the branches will do: it is dear.
        some = MANY // 4
        naive = _grown(_naive(pool, some), _naive(pool, FEW), some, FEW, pairs=1 if quick else 2)
        yield naive.row(f"(the same of a naive loop, {some:,} : {FEW})", time_text)


def _grown(
    large: Callable[[], None], small: Callable[[], None], many: int, few: int, pairs: int
) -> Pairs:
    rounds = many // few

    def repeated() -> None:
        for _ in range(rounds):
            small()

    return paired(large, repeated, pairs=pairs, clock=time.process_time, per=many)


def _split(pool: ThreadPoolExecutor, branches: int) -> Callable[[], None]:
    relay = Relay(branches)
    join = JoinConfig(JoinStrategy.ALL, "END")
    workflow = (
        Workflow()
        .register("START", lambda store: _start(relay))
        .register_split("SPLIT", relay.tasks, join)
        .add_exit_state("END")
        .with_executor(pool)
    )

    def perform() -> None:
        workflow.orchestrate("START")
        relay.finish()

    return perform


def _start(relay: Relay) -> str:
    relay.start()
    return "SPLIT"


def _naive(pool: ThreadPoolExecutor, branches: int) -> Callable[[], None]:
    relay = Relay(branches)

    def perform() -> None:
        relay.start()
        pending: set[Future[Any]] = {pool.submit(task) for task in relay.tasks}
        while pending:
            _, pending = wait(pending, return_when=FIRST_COMPLETED)
        relay.finish()

    return perform
