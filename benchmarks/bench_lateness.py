"""Lateness: how long after its end was due a run returns, while its tasks are deaf."""

from __future__ import annotations

__all__ = ("bench_lateness",)

import threading
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

from cano_sync import (
    CancellationToken,
    JoinConfig,
    JoinStrategy,
    SplitTimeoutError,
    WorkflowCancelledError,
    WorkflowTimeoutError,
)
from cano_sync import Workflow as Flow

from .harness import Row, time_text

LIMIT = 0.02  # seconds that a run gets
BRANCHES = 5
TYPICAL, WORST = 1e-3, 10e-3  # seconds

Sample = Callable[[threading.Event], float]


def bench_lateness(quick: bool) -> Iterator[Row]:
    """After a workflow timeout, a split timeout and a cancel, with tasks that hear nothing."""
    samples = 10 if quick else 200
    yield _row("workflow timeout", _after_workflow_timeout, samples)
    yield _row("split timeout", _after_split_timeout, samples)
    yield _row("cancel, in a single state", _after_cancel, samples)
    yield _row("cancel, in a split", _after_cancel_in_split, samples)


def _row(what: str, sample: Sample, samples: int) -> Row:
    late = []
    for _ in range(samples):
        release = threading.Event()
        try:
            late.append(sample(release))
        finally:
            release.set()  # the abandoned tasks go home
    return Row(
        f"lateness after a {what}",
        time_text(median(late)),
        time_text(min(late)),
        goal=f"median < 1 ms, worst < 10 ms (was {time_text(max(late))})",
        reached=median(late) < TYPICAL and max(late) < WORST,
    )


def _deaf(release: threading.Event) -> Callable[[Any], str]:
    def task(store: Any) -> str:
        release.wait(60)
        return "END"

    return task


def _single(release: threading.Event) -> Flow[str]:
    return Flow[str]().register("DEAF", _deaf(release)).add_exit_state("END")


def _split(release: threading.Event, limit: float | None) -> Flow[str]:
    join = JoinConfig(JoinStrategy.ALL, "END", timeout=limit)
    tasks = [_deaf(release)] * BRANCHES
    return Flow[str]().register_split("DEAF", tasks, join).add_exit_state("END")


def _after_workflow_timeout(release: threading.Event) -> float:
    return _after_limit(_single(release).with_timeout(LIMIT), WorkflowTimeoutError)


def _after_split_timeout(release: threading.Event) -> float:
    return _after_limit(_split(release, LIMIT), SplitTimeoutError)


def _after_limit(workflow: Flow[str], expected: type[Exception]) -> float:
    workflow.validate()
    begin = time.perf_counter()
    try:
        workflow.orchestrate("DEAF")
    except expected:
        return time.perf_counter() - begin - LIMIT
    raise AssertionError("the run must not end well")


def _after_cancel(release: threading.Event) -> float:
    return _after_token(_single(release))


def _after_cancel_in_split(release: threading.Event) -> float:
    return _after_token(_split(release, None))


def _after_token(workflow: Flow[str]) -> float:
    workflow.validate()
    token, cancelled_at = CancellationToken(), []

    def cancel() -> None:
        time.sleep(LIMIT)
        cancelled_at.append(time.perf_counter())
        token.cancel()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    try:
        workflow.orchestrate("DEAF", cancel=token)
    except WorkflowCancelledError:
        ended = time.perf_counter()
        canceller.join()
        return ended - cancelled_at[0]
    raise AssertionError("the run must not end well")
