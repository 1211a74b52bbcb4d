"""Observers under stress: whatever ends a run and when, each start has one end."""

from __future__ import annotations

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from cano_sync import (
    CancellationToken,
    CanoError,
    JoinConfig,
    JoinStrategy,
    Store,
    TaskConfig,
    Workflow,
    task,
    wait_for_abandoned,
)
from cano_sync._model.hooks import Observer
from tests.kit import SOON, Eventually
from tests.observing import Notes

SECONDS = 3.0
THREADS = 8


class Stumbling(Observer):
    """Raises now and then, on all threads, and so is dropped in the middle of many runs."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def task_started(self, **_: Any) -> None:
        if self._random.random() < 0.05:
            raise ValueError("stumbled")


def branch(number: int, random_: random.Random) -> Any:
    """A task that works, fails, listens or retries, for up to 3 ms."""
    how, length = random_.choice(("work", "fail", "listen", "deaf")), random_.random() * 0.003
    config = TaskConfig()
    if random_.random() < 0.3:
        config = TaskConfig().with_fixed_retry(1, 0.0005)
    if random_.random() < 0.2:
        config = config.with_attempt_timeout(0.001)

    @task(config=config, name=f"{how} {number}")
    def run(store: Store, cancel: CancellationToken) -> int:
        if how == "listen":
            cancel.sleep(length)
        else:
            time.sleep(length)  # deaf, for a moment
        if how == "fail":
            raise ValueError(number)
        return number

    return run


def workflow_of(random_: random.Random) -> Workflow[str]:
    tasks = [branch(number, random_) for number in range(random_.randint(1, 5))]
    strategy = random_.choice(
        (JoinStrategy.ALL, JoinStrategy.ANY, JoinStrategy.quorum(1), JoinStrategy.PARTIAL_TIMEOUT)
    )
    limit = random_.choice((0.001, 0.002, 0.05))
    join = JoinConfig(strategy, "ON", timeout=limit, error_state="ON")
    single = branch(99, random_)

    def on(store: Store, cancel: CancellationToken) -> str:
        single(store, cancel)
        return "END"

    return (
        Workflow[str]()
        .register("GO", lambda: "SPLIT")
        .register_split("SPLIT", tasks, join)
        .register("ON", on)
        .add_exit_state("END")
        .with_timeout(random_.choice((None, 0.002, 0.004, 1.0)))
    )


def run_until(end: float, seed: int, notes: Notes) -> int:
    random_ = random.Random(seed)
    runs = 0
    while time.monotonic() < end:
        workflow = workflow_of(random_).with_observer(Stumbling(runs)).with_observer(notes)
        token = CancellationToken(random_.choice((None, 0.001, 0.003)))
        with suppress(CanoError):
            workflow.orchestrate("GO", cancel=token if random_.random() < 0.5 else None)
        runs += 1
    return runs


def counted(notes: Notes, *hooks: str) -> Counter[tuple[Any, ...]]:
    return Counter(
        (facts["run_id"], facts["state"], facts["index"])
        for hook in hooks
        for facts in notes.of(hook)
    )


@pytest.mark.filterwarnings("ignore::cano_sync.DiscardedWorkflowWarning")
def test_each_start_has_one_end_and_each_absence_one_return(eventually: Eventually) -> None:
    notes = Notes()
    end = time.monotonic() + SECONDS
    with ThreadPoolExecutor(THREADS) as callers:
        seeds = range(THREADS)
        runs = sum(callers.map(run_until, [end] * THREADS, seeds, [notes] * THREADS))
    assert wait_for_abandoned(SOON)
    eventually(lambda: len(notes.of("task_abandoned")) == len(notes.of("task_returned")))
    assert runs > 100
    assert len(notes.of("run_started")) == len(notes.of("run_finished")) == runs
    ends = counted(notes, "task_succeeded", "task_failed", "task_cancelled")
    assert counted(notes, "task_started") == ends
    assert set(ends.values()) == {1}
    assert counted(notes, "task_abandoned") == counted(notes, "task_returned")
    entered = Counter(
        (facts["run_id"], facts["state"])
        for facts in notes.of("state_entered")
        if not facts["is_exit"]
    )
    assert entered == Counter((f["run_id"], f["state"]) for f in notes.of("state_left"))
    finished = Counter(type(facts["error"]).__name__ for facts in notes.of("run_finished"))
    assert len(finished) >= 3, finished  # well, out of time, cancelled: all of them were there
