"""Simulations: how many runs a second, of a small workflow and of a rich one."""

from __future__ import annotations

__all__ = ("bench_simulation",)

import time
from collections.abc import Callable, Iterator
from enum import Enum, auto
from statistics import median
from typing import Any

from cano_sync import CancellationToken, JoinConfig, JoinStrategy, Store, TaskConfig, Workflow
from cano_sync.testing import Simulation, explore

from .harness import Row, count, measure

SMALL, RICH = 3_000, 500
"""Runs a second that there are to be."""


class _S(Enum):
    START = auto()
    FAN = auto()
    DEAF = auto()
    MENDED = auto()
    DONE = auto()


def bench_simulation(quick: bool) -> Iterator[Row]:
    """Runs a second under `explore`: two branches that count; and retries, waits, a deaf hour."""
    for name, workflow, goal in (("small", _small(), SMALL), ("rich", _rich(), RICH)):
        seeds = goal // 10 if quick else goal
        work = _exploring(workflow, seeds)
        work()
        rates = [seeds / measure(work, time.perf_counter) for _ in range(3 if quick else 7)]
        show = count("runs/s")
        yield Row(
            f"simulation, {name}",
            show(median(rates)),
            show(max(rates)),
            goal=f">= {goal:,} runs/s",
            reached=max(rates) >= goal,
        )


def _exploring(workflow: Workflow[_S], seeds: int) -> Callable[[], object]:
    def test(sim: Simulation) -> None:
        run = sim.run(workflow, _S.START, store={"n": 0})
        assert run.state is _S.DONE

    return explore(seeds)(test)


def _add(store: Store) -> None:
    store.update("n", lambda n: n + 1)


def _small() -> Workflow[_S]:
    join = JoinConfig(JoinStrategy.ALL, _S.DONE)
    return Workflow[_S]().register_split(_S.START, [_add, _add], join).add_exit_state(_S.DONE)


def _rich() -> Workflow[_S]:
    def shaky(store: Store) -> _S:
        if store.update("n", lambda n: n + 1) < 4:
            raise ValueError("not yet")
        return _S.FAN

    def branch(length: int) -> Callable[..., Any]:
        def task(store: Store, cancel: CancellationToken) -> int:
            cancel.sleep(length)
            store.append("done", length)
            return length

        return task

    def deaf() -> _S:
        time.sleep(3600)
        return _S.DONE

    return (
        Workflow[_S]()
        .register(_S.START, shaky, TaskConfig().with_fixed_retry(3, 10))
        .register_split(
            _S.FAN,
            [branch(3 * number) for number in range(10)],
            JoinConfig(JoinStrategy.PARTIAL_TIMEOUT, _S.DEAF, timeout=0.27),
        )
        .register(_S.DEAF, deaf, TaskConfig().with_attempt_timeout(5), error_state=_S.MENDED)
        .register(_S.MENDED, lambda: _S.DONE)
        .add_exit_state(_S.DONE)
        .with_timeout(600)
    )
