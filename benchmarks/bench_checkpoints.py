"""Checkpoints: what a recorded transition costs, and how long a long run takes to be resumed."""

from __future__ import annotations

__all__ = ("bench_checkpoints",)

import json
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator
from enum import Enum
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any

from cano_sync import MemoryStore, Store, TaskContext, Workflow
from cano_sync.checkpoints import SQLiteCheckpoints

from .harness import Row, alternate, at_most, measure, time_text

LENGTH = 500
RESUMED = 10_000
MOST_SMALL, MOST_LARGE, MOST_RESUME = 60e-6, 100e-6, 50e-3  # seconds
GOAL = 1.3

# About 1 kB of JSON, as an order may have it.
ORDER = {
    "sku": "A-17",
    "customer": {"name": "Ada Lovelace", "city": "Zurich", "vip": True},
    "lines": [
        {"number": number, "sku": f"B-{number:04}", "amount": 3, "price": 12.5}
        for number in range(17)
    ],
}


def bench_checkpoints(quick: bool) -> Iterator[Row]:
    """A recorded transition against sqlite3 by hand, with the same two statements."""
    with TemporaryDirectory() as folder:
        yield from _transitions(Path(folder), quick)
        yield _resume(Path(folder), quick)


def _transitions(folder: Path, quick: bool) -> Iterator[Row]:
    pairs = 6 if quick else 40
    with SQLiteCheckpoints(folder / "ours.db") as checkpoints:
        twin = Twin(folder / "twin.db")
        cases: tuple[tuple[str, Callable[[int], Any], float], ...] = (
            ("a number", lambda number: number, MOST_SMALL),
            ("1 kB", lambda number: {**ORDER, "number": number}, MOST_LARGE),
        )
        for what, value, most in cases:
            workflow, first = _chain(checkpoints, value)

            def ours(workflow: Workflow[Any] = workflow, first: Any = first) -> float:
                return measure(lambda: workflow.orchestrate(first), time.perf_counter) / LENGTH

            def by_hand(value: Callable[[int], Any] = value) -> float:
                return twin.walk(value) / LENGTH

            ours()
            by_hand()
            measured = alternate(ours, by_hand, pairs)
            goal, reached = at_most(GOAL, measured.ratio)
            mean = fmean(measured.ours)
            if most is MOST_LARGE:  # its twin encodes by JSON's own encoder, in C
                goal, reached = f"< {time_text(most)}", mean < most
            else:
                goal, reached = f"{goal}, < {time_text(most)}", reached and mean < most
            yield measured.row(f"transition, {what} changed", time_text, goal, reached)
        twin.close()


def _chain(
    checkpoints: SQLiteCheckpoints, value: Callable[[int], Any]
) -> tuple[Workflow[Any], Any]:
    chain = Enum("chain", [f"S{number}" for number in range(LENGTH + 1)])  # type: ignore[misc]
    states: list[Any] = list(chain)
    workflow: Workflow[Any] = Workflow()
    for number, (state, following) in enumerate(pairwise(states)):
        workflow = workflow.register(state, _putting(value(number), following))
    workflow = workflow.add_exit_state(states[-1])
    return workflow.with_checkpoints(checkpoints, name="chain"), states[0]


def _putting(value: Any, following: Any) -> Callable[[Store], Any]:
    def task(store: Store) -> Any:
        store.put("value", value)
        return following

    return task


class Twin:
    """The same by hand: what somebody writes who knows SQLite."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        execute = self.connection.execute
        execute("pragma journal_mode = wal")
        execute("pragma synchronous = normal")
        execute(
            "create table run (id text primary key not null, state text, seq integer, "
            "token integer, status integer, begun integer, changed_at real)"
        )
        execute(
            "create table step (run text, seq integer, state text, entered_at real, "
            "token integer, kind integer, is_full integer, delta text, error text, crc integer, "
            "primary key (run, seq))"
        )
        self.runs = 0

    def walk(self, value: Callable[[int], Any]) -> float:
        """So many transitions of a new run; how many seconds they take."""
        self.runs += 1
        run = f"run{self.runs:024}"
        cursor = self.connection.cursor()
        cursor.execute("insert into run values (?, 'S0', 0, 1, 1, 0, 0.0)", (run,))
        values = [value(number) for number in range(LENGTH)]
        store: dict[str, Any] = {}

        def walk() -> None:
            for number in range(LENGTH):
                store["value"] = values[number]
                now, state = time.time(), f"S{number + 1}"
                delta = json.dumps({"value": store["value"]})
                crc = zlib.crc32(f"{run}|{number}|{state}|{now}|{delta}".encode())
                cursor.execute("begin immediate")
                cursor.execute(
                    "update run set state = ?, seq = ?, begun = 0, changed_at = ? "
                    "where id = ? and token = ? and seq = ? and status = 1",
                    (state, number + 1, now, run, 1, number),
                )
                if cursor.rowcount != 1:
                    raise RuntimeError("lost")
                cursor.execute(
                    "insert into step values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (run, number + 1, state, now, 1, 0, 0, delta, None, crc),
                )
                cursor.execute("commit")

        return measure(walk, time.perf_counter)

    def close(self) -> None:
        """Close the file."""
        self.connection.close()


def _resume(folder: Path, quick: bool) -> Row:
    """How long it takes until the task runs again, of a run with so many steps."""
    began = 0.0
    took: list[float] = []

    def count(store: Store, context: TaskContext) -> str:
        if context.visit == RESUMED:
            took.append(time.perf_counter() - began)
            raise KeyboardInterrupt  # the run stays where it is
        store.update("n", lambda n: n + 1, default=0)
        return "COUNT"

    path = folder / "long.db"
    for _ in range(3 if quick else 10):
        with SQLiteCheckpoints(path) as checkpoints:
            workflow = Workflow().register("COUNT", count).add_exit_state("END")
            workflow = workflow.with_checkpoints(checkpoints, name="long")
            checkpoints.runs()  # the file is open
            began = time.perf_counter()
            try:
                workflow.orchestrate("COUNT", store=MemoryStore(), run_id="long")
            except KeyboardInterrupt:
                continue
    resumed = took[1:]
    return Row(
        f"resume of {RESUMED:,} steps",
        time_text(median(resumed)),
        time_text(min(resumed)),
        goal=f"< {time_text(MOST_RESUME)}",
        reached=median(resumed) < MOST_RESUME,
    )
