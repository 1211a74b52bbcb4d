"""Around: what it costs to surround tasks and pool threads with something that does nothing."""

from __future__ import annotations

__all__ = ("bench_around",)

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import Any

from cano_sync import Around, JoinConfig, JoinStrategy, TaskContext, Workflow

from .harness import Row, at_most, paired, time_text, warm_process_pool

LENGTH = 1_000
GOAL = 1.05


class Nothing:
    """A context manager that does nothing, in as few steps as Python code can."""

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


class Tasks(Around):
    """Around each attempt."""

    def task(self, context: TaskContext, captured: Any) -> AbstractContextManager[Any]:
        return Nothing()


class Threads(Around):
    """Around each pool thread's job."""

    def thread(self) -> AbstractContextManager[Any]:
        return Nothing()


def trivial(store: Any) -> int:
    """A branch that takes no time."""
    return 1


def small(store: Any) -> int:
    """A branch that works for about 100 µs: less than any query takes."""
    return sum(range(4_000))


def bench_around(quick: bool) -> Iterator[Row]:
    """Runs with one trivial Around, against the same runs without."""
    warm_process_pool(64)
    chain = _chain()
    around_chain = chain.with_around(Tasks())
    yield paired(
        lambda: around_chain.orchestrate(0),
        lambda: chain.orchestrate(0),
        pairs=20 if quick else 200,
        clock=time.perf_counter,
        per=LENGTH,
    ).row("a transition, each task surrounded", time_text)
    cases: tuple[tuple[str, int, Callable[[Any], int], Around, float | None], ...] = (
        ("10 trivial branches, threads surrounded", 10, trivial, Threads(), GOAL),
        # The whole of what 2 µs more are beside a branch that takes none: without a goal.
        ("10 trivial branches, tasks surrounded", 10, trivial, Tasks(), None),
        ("10 branches of 0.1 ms, tasks surrounded", 10, small, Tasks(), GOAL),
        ("10 branches of 0.1 ms, threads surrounded", 10, small, Threads(), GOAL),
        ("100 branches of 0.1 ms, tasks surrounded", 100, small, Tasks(), GOAL),
    )
    for case, branches, task, around, limit in cases:
        join = JoinConfig(JoinStrategy.ALL, "END", collect="values")
        bare = Workflow().register_split("SPLIT", [task] * branches, join).add_exit_state("END")
        measured = paired(
            _running(bare.with_around(around), 200 // branches),
            _running(bare, 200 // branches),
            pairs=20 if quick else 150,
            clock=time.perf_counter,
            per=200 // branches,
        )
        goal = ("-", None) if limit is None else at_most(limit, measured.ratio)
        yield measured.row(case, time_text, *goal)


def _running(workflow: Workflow[str], times: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(times):
            workflow.orchestrate("SPLIT")

    return run


def _chain() -> Workflow[int]:
    workflow: Workflow[int] = Workflow()
    for state, following in pairwise(range(LENGTH + 1)):
        workflow = workflow.register(state, lambda store, following=following: following)
    return workflow.add_exit_state(LENGTH)
