"""Lateness of wide splits in cold processes: alone, and beside two busy ones."""

from __future__ import annotations

__all__ = ("bench_wide",)

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from statistics import median

from cano_sync import CancellationToken, CanoError, JoinConfig, JoinStrategy
from cano_sync import Workflow as Flow

from .harness import Row, time_text

LIMIT = 0.1  # seconds
SIZES = (5, 100, 500)
ENDS = ("split limit", "workflow limit, at depth 2", "cancel", "any")
TYPICAL, WORST, OTHERS = 0.010, 0.050, 0.100  # seconds


def bench_wide(quick: bool) -> Iterator[Row]:
    """Each sample in an interpreter of its own, whose pools have no thread yet."""
    samples = 1 if quick else 5
    for busy in (0, 2):
        with _busy_processes(busy):
            for size in SIZES:
                for end in ENDS:
                    yield _row(end, size, busy, samples)


def _row(end: str, size: int, busy: int, samples: int) -> Row:
    measured = [_in_child(end, size) for _ in range(samples)]
    late = [sample[0] for sample in measured]
    other = max(sample[1] for sample in measured)
    return Row(
        f"{end}, {size} cold branches{', beside two busy processes' if busy else ''}",
        time_text(median(late)),
        time_text(min(late)),
        goal=(
            f"median <= 10 ms, worst <= 50 ms (was {time_text(max(late))}), another executor "
            f"<= 100 ms (was {time_text(other)})"
        ),
        reached=median(late) <= TYPICAL and max(late) <= WORST and other <= OTHERS,
    )


@contextmanager
def _busy_processes(count: int) -> Iterator[None]:
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _in_child(end: str, size: int) -> tuple[float, float]:
    command = [sys.executable, "-m", "benchmarks.bench_wide", end, str(size)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    late, other = json.loads(done.stdout)
    return late, other


def _sample(end: str, size: int) -> None:
    """Print how late the run has ended, and the longest that another executor took, in seconds."""
    release, stop = threading.Event(), threading.Event()
    waits: list[float] = []

    def look() -> None:
        with ThreadPoolExecutor(4) as other:
            while not stop.is_set():
                began = time.perf_counter()
                other.submit(int).result()
                waits.append(time.perf_counter() - began)
                stop.wait(0.002)

    def deaf() -> None:
        release.wait(60)

    def winner() -> None:
        """It has won at once."""

    tasks = [winner if end == "any" else deaf, *[deaf] * (size - 1)]
    strategy = JoinStrategy.ANY if end == "any" else JoinStrategy.ALL
    join = JoinConfig(strategy, "END", timeout=LIMIT if end == "split limit" else None)
    workflow = Flow[str]().register_split("WIDE", tasks, join).add_exit_state("END")
    if end.startswith("workflow"):
        workflow = workflow.with_timeout(LIMIT)
    token, cancelled_at = None, [0.0]
    if end == "cancel":
        token = CancellationToken()

        def cancel() -> None:
            time.sleep(LIMIT)
            cancelled_at[0] = time.perf_counter()
            token.cancel()

        threading.Thread(target=cancel).start()
    workflow.validate()
    looking = threading.Thread(target=look)
    looking.start()
    began = time.perf_counter()
    with suppress(CanoError):
        workflow.orchestrate("WIDE", cancel=token)
    ended = time.perf_counter()
    due = {"cancel": cancelled_at[0], "any": began}.get(end, began + LIMIT)
    stop.wait(0.2)
    stop.set()
    looking.join()
    print(json.dumps([ended - due, max(waits)]), flush=True)
    release.set()
    os._exit(0)  # hundreds of threads are still starting: nobody waits for them


if __name__ == "__main__":
    _sample(sys.argv[1], int(sys.argv[2]))
