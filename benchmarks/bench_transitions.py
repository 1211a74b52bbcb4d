"""Transitions: what the loop from state to state costs."""

from __future__ import annotations

__all__ = ("bench_transitions",)

import time
from collections.abc import Callable, Iterator
from enum import Enum
from itertools import pairwise
from statistics import median
from typing import Any

from cano_sync import Workflow

from .harness import Row, at_most, paired, time_text

LENGTH = 1_000
MOST = 1e-6  # seconds a transition


def bench_transitions(quick: bool) -> Iterator[Row]:
    """A chain of 1,000 distinct enum states against a `while` loop over a dict of callables."""
    chain = Enum("chain", [f"S{number}" for number in range(LENGTH + 1)])  # type: ignore[misc]
    states: list[Any] = list(chain)
    start, end = states[0], states[-1]
    handlers = {state: _going_to(following) for state, following in pairwise(states)}
    workflow: Workflow[Any] = Workflow()
    for state, handler in handlers.items():
        workflow = workflow.register(state, handler)
    workflow = workflow.add_exit_state(end)

    def by_hand() -> None:
        store: dict[str, Any] = {}
        state = start
        while state is not end:
            state = handlers[state](store)

    pairs = paired(
        lambda: workflow.orchestrate(start),
        by_hand,
        pairs=50 if quick else 500,
        clock=time.perf_counter,
        per=LENGTH,
    )
    goal, reached = at_most(1.5, pairs.ratio)
    yield pairs.row(
        "transition, chain of 1,000",
        time_text,
        f"{goal}, < 1 us",
        reached and median(pairs.ours) < MOST,
    )


def _going_to(following: Any) -> Callable[[Any], Any]:
    def handler(store: Any) -> Any:
        return following

    return handler
