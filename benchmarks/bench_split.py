"""Splits: what it costs to fan out over trivial tasks and to join."""

from __future__ import annotations

__all__ = ("bench_split",)

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict
from typing import Any

from cano_sync import JoinConfig, JoinStrategy, Workflow

from .harness import Row, at_most, paired, time_text, warm_executor, warm_process_pool

PROCESSES = 5
CEILING = 512  # of the process's pool; the twin's is as large

# Branches, splits in one measurement, and the goal.
SIZES = ((10, 20, 1.3), (100, 5, 1.15), (1_000, 1, 1.15))


def trivial(store: Any) -> int:
    """A task that takes no time."""
    return 1


def bench_split(quick: bool) -> Iterator[Row]:
    """A split of trivial tasks, ALL, against `submit` each, `wait`, `result` each.

    Which of several costs a crowd of threads has is settled once for a process: so it is measured
    in five of them, and the worst is reported.
    """
    processes = 1 if quick else PROCESSES
    command = [sys.executable, "-m", "benchmarks.bench_split", *(["--quick"] if quick else [])]
    rows: dict[str, Row] = {}
    for _ in range(processes):
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        for row in (Row(**json.loads(line)) for line in done.stdout.splitlines()):
            if row.case not in rows or float(row.ratio) > float(rows[row.case].ratio):
                rows[row.case] = row
    yield from rows.values()


def _in_this_process(quick: bool) -> Iterator[Row]:
    with ThreadPoolExecutor(CEILING) as pool:
        warm_executor(pool, CEILING)
        warm_process_pool(CEILING)
        for branches, splits, limit in SIZES:
            yield _size(pool, branches, splits, limit, pairs=20 if quick else 100)


def _size(pool: ThreadPoolExecutor, branches: int, splits: int, limit: float, pairs: int) -> Row:
    join = JoinConfig(JoinStrategy.ALL, "END", collect="values")
    workflow = Workflow().register_split("SPLIT", [trivial] * branches, join).add_exit_state("END")

    def ours() -> None:
        for _ in range(splits):
            workflow.orchestrate("SPLIT")

    def twin() -> None:
        for _ in range(splits):
            store: dict[str, Any] = {}
            futures = [pool.submit(trivial, store) for _ in range(branches)]
            wait(futures)
            store["values"] = [future.result() for future in futures]

    measured = paired(ours, twin, pairs=pairs, clock=time.perf_counter, per=splits)
    return measured.row(f"split of {branches:,}, ALL", time_text, *at_most(limit, measured.ratio))


if __name__ == "__main__":
    for measured_row in _in_this_process("--quick" in sys.argv):
        print(json.dumps(asdict(measured_row)), flush=True)
