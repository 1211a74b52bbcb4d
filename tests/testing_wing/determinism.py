"""A program that prints one hash of many simulated runs: their results, schedules and times.

    python determinism.py SEEDS REPEATS

It must print the same on every Python, whatever the seed of its hashes, with and without the
garbage collector: `test_determinism.py` runs it in processes of their own.
"""

from __future__ import annotations

import gc
import hashlib
import random
import sys
import threading
import time
from enum import Enum, auto
from typing import Any

from cano_sync import JoinConfig, JoinStrategy, TaskConfig, Workflow
from cano_sync.testing import SimulationFailure, simulate


class S(Enum):
    """States."""

    FIRST = auto()
    SPLIT = auto()
    LAST = auto()
    MENDED = auto()
    DONE = auto()


def first(store: Any) -> S:
    """Fails at random."""
    if random.random() < 0.5:
        raise ValueError("again")
    store.put("words", sorted({"a", "b", "c"}))
    return S.SPLIT


class Branch:
    """Writes, sleeps, waits."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, store: Any, *, cancel: Any, context: Any) -> str:
        lock = store.update("lock", lambda lock: lock or threading.Lock(), None)
        with lock:
            store.append("log", (self.number, round(time.monotonic(), 6)))
        cancel.sleep(random.uniform(0, 3))
        store.append("log", (self.number, round(time.monotonic(), 6), context.run_id))
        if random.random() < 0.2:
            raise ValueError(self.number)
        return f"{self.number} at {time.time():.6f}"


def last(store: Any) -> S:
    """Is deaf."""
    time.sleep(random.choice([0.1, 100]))
    return S.DONE


WORKFLOW = (
    Workflow()
    .register(S.FIRST, first, TaskConfig().with_exponential_retry(4), error_state=S.MENDED)
    .register_split(
        S.SPLIT,
        [Branch(number) for number in range(4)],
        JoinConfig(JoinStrategy.quorum(2), S.LAST, collect="got", error_state=S.MENDED),
    )
    .register(S.LAST, last, TaskConfig().with_attempt_timeout(5), error_state=S.MENDED)
    .register(S.MENDED, lambda store: S.DONE)
    .add_exit_state(S.DONE)
    .with_timeout(60)
)


def one(seed: int) -> str:
    """What came of one seed, as text."""
    strategy = ("pct", "random")[seed % 2]
    try:
        run = simulate(
            WORKFLOW, S.FIRST, seed=seed, strategy=strategy, cancel_at=2.5 if seed % 3 else None
        )
    except SimulationFailure as failure:
        return repr((failure.schedule, failure.story))
    facts = [(key, value) for key, value in run.store.snapshot().items() if key != "lock"]
    return repr((run.state, str(run.error), facts, run.elapsed, run.schedule, run.story))


def main(seeds: int, repeats: int) -> str:
    """One hash of all; the collector is off in every second repeat."""
    every = [one(seed) for seed in range(seeds)]
    for repeat in range(repeats - 1):
        (gc.enable if repeat % 2 else gc.disable)()
        again = [one(seed) for seed in range(seeds)]
        for seed, (before, after) in enumerate(zip(every, again, strict=True)):
            assert before == after, (seed, before, after)
    gc.enable()
    return hashlib.sha256("\n".join(every).encode()).hexdigest()


if __name__ == "__main__":
    print(main(int(sys.argv[1]), int(sys.argv[2])))
