"""Observers: what a transition costs with nobody, with one and with three who listen."""

from __future__ import annotations

__all__ = ("bench_observers",)

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from cano_sync import Workflow
from cano_sync.observe import Observer, Recorder

from .harness import Row, paired, time_text

LENGTH = 1_000


class Ends(Observer):
    """Hears of whole runs only."""

    def run_finished(self, **_: Any) -> None: ...


class States(Observer):
    """Hears of each state."""

    def state_entered(self, **_: Any) -> None: ...


class Everything(States):
    """Hears of each state and task, from start to end."""

    def state_left(self, **_: Any) -> None: ...

    def task_started(self, **_: Any) -> None: ...

    def task_succeeded(self, **_: Any) -> None: ...


def bench_observers(quick: bool) -> Iterator[Row]:
    """The chain of 1,000 states with observers, against the same chain without any."""
    bare = _chain()
    cases: dict[str, list[Observer]] = {
        "0 observers": [],
        "1 observer, of whole runs": [Ends()],
        "1 observer, of states": [States()],
        "1 observer, of states and tasks": [Everything()],
        "3 observers, of states and tasks": [Everything(), Everything(), Everything()],
        "a Recorder": [Recorder()],
    }
    for name, observers in cases.items():
        watched = bare
        for observer in observers:
            watched = watched.with_observer(observer)
        pairs = paired(
            _running(watched),
            _running(bare),
            pairs=20 if quick else 200,
            clock=time.perf_counter,
            per=LENGTH,
        )
        yield pairs.row(f"transition, {name}", time_text)


def _chain() -> Workflow[str]:
    workflow = Workflow[str]()
    states = [f"S{number}" for number in range(LENGTH + 1)]
    for state, following in pairwise(states):
        workflow = workflow.register(state, _going_to(following))
    return workflow.add_exit_state(states[-1])


def _going_to(following: str) -> Callable[[Any], str]:
    def handler(store: Any) -> str:
        return following

    return handler


def _running(workflow: Workflow[str]) -> Callable[[], object]:
    return lambda: workflow.orchestrate("S0")
