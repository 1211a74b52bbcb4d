"""Paired measurements of the engine and its hand-written twin, and the row that a case reports."""

from __future__ import annotations

__all__ = (
    "Bench",
    "Pairs",
    "Row",
    "alternate",
    "at_most",
    "count",
    "measure",
    "paired",
    "percentile",
    "table",
    "time_text",
    "warm_executor",
    "warm_process_pool",
)

import gc
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, wait
from dataclasses import astuple, dataclass
from statistics import median

from cano_sync import JoinConfig, JoinStrategy, Workflow


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table, as text: the child process that measured it hands it on as JSON."""

    case: str
    ours: str
    ours_best: str = "-"
    twin: str = "-"
    twin_best: str = "-"
    ratio: str = "-"
    goal: str = "-"
    reached: bool | None = None


Bench = Callable[[bool], Iterator[Row]]
"""A case: called with whether to be quick, yields its rows."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """What was measured, pair by pair, in one unit."""

    ours: Sequence[float]
    twin: Sequence[float]

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios: what disturbs the machine disturbs both of a pair."""
        return median(ours / twin for ours, twin in zip(self.ours, self.twin, strict=True))

    def row(
        self,
        case: str,
        show: Callable[[float], str],
        goal: str = "-",
        reached: bool | None = None,
    ) -> Row:
        """The line of the table, each figure as `show` writes it."""
        return Row(
            case,
            show(median(self.ours)),
            show(min(self.ours)),
            show(median(self.twin)),
            show(min(self.twin)),
            f"{self.ratio:.2f}",
            goal,
            reached,
        )


def measure(work: Callable[[], object], clock: Callable[[], float]) -> float:
    """What one call costs by `clock`.

    Rubbish of before is swept first. The collector stays on: what a call leaves behind for it
    is a part of what the call costs.
    """
    gc.collect()
    begin = clock()
    work()
    return clock() - begin


def alternate(ours: Callable[[], float], twin: Callable[[], float], pairs: int) -> Pairs:
    """Take a figure of both in turn, `pairs` times.

    Every second pair goes the other way round, so that neither always runs in the other's wake.
    """
    figures: tuple[list[float], list[float]] = ([], [])
    gc.collect()
    gc.freeze()  # the harness and the imported modules: no collection need look at them again
    for number in range(pairs):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            figures[which].append((ours, twin)[which]())
    gc.unfreeze()
    return Pairs(*figures)


def paired(
    ours: Callable[[], object],
    twin: Callable[[], object],
    *,
    pairs: int,
    clock: Callable[[], float],
    per: float = 1,
) -> Pairs:
    """Measure both in turn, after one call of each to warm up.

    Args:
        ours: one call of it is one measurement; so it is for the twin.
        twin: does the same by hand.
        pairs: how many of each.
        clock: `time.perf_counter` for wall time, `time.process_time` for the CPU's.
        per: what to divide each figure by, such as the number of tasks in one call.
    """
    ours()
    twin()
    return alternate(lambda: measure(ours, clock) / per, lambda: measure(twin, clock) / per, pairs)


def warm_executor(pool: Executor, threads: int) -> None:
    """Have so many tasks wait for each other, so that the pool has made its threads."""
    everybody = threading.Barrier(threads)
    wait([pool.submit(everybody.wait) for _ in range(threads)])


def warm_process_pool(threads: int) -> None:
    """The same for the engine's own pool."""
    everybody = threading.Barrier(threads)
    join = JoinConfig(JoinStrategy.ALL, "END")
    tasks = [lambda: everybody.wait()] * threads
    Workflow().register_split("WARM", tasks, join).add_exit_state("END").orchestrate("WARM")


def percentile(values: Iterable[float], share: float) -> float:
    """The value that this share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def at_most(limit: float, ratio: float) -> tuple[str, bool]:
    """The goal of a ratio, as text, and whether it is reached."""
    return f"<= {limit:g}x", ratio <= limit


def time_text(seconds: float) -> str:
    """Seconds, in the unit that suits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if abs(seconds) >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.0f} ns"


def count(unit: str) -> Callable[[float], str]:
    """Write figures as whole numbers of a unit."""
    return lambda value: f"{value:,.0f} {unit}"


def table(rows: Iterable[Row]) -> str:
    """The rows under their heads, in columns."""
    heads = ("case", "ours", "min", "twin", "min", "ratio", "goal", "reached")
    marks = {None: "-", True: "yes", False: "NO"}
    lines: list[Sequence[str]] = [heads]
    lines += [[*astuple(row)[:-1], marks[row.reached]] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
