"""Memory: whether runs leave anything behind, however they end."""

from __future__ import annotations

__all__ = ("bench_memory",)

import gc
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from cano_sync import (
    CancellationToken,
    CanoError,
    JoinConfig,
    JoinStrategy,
    TaskConfig,
    Workflow,
    abandoned_tasks,
)

from .harness import Row, count

FEW, MANY = 100, 10_000
# What is not growth: 10,000 runs that lost one small object each would be 10 times this.
BLOCKS = 1_000
SWELL = 2**20  # bytes of the resident set, which breathes with the allocator's arenas

Kind = Callable[[], object]
Flow = Workflow[str]


def bench_memory(quick: bool) -> Iterator[Row]:
    """After 10,000 runs that end well, fail, time out and are cancelled, against after 100."""
    kinds = _kinds()
    many = 1_000 if quick else MANY
    _perform(kinds, FEW)
    blocks, resident = _settled()
    _perform(kinds, many - FEW)
    more_blocks, more_resident = _settled()
    case = f"memory after {many:,} runs : {FEW}"
    yield _row(f"{case}, blocks", more_blocks, blocks, count("blocks"), BLOCKS, "< 1,000 more")
    yield _row(
        f"{case}, resident", more_resident / 2**20, resident / 2**20, _mebibytes, 1, "< 1 MiB more"
    )


def _row(
    case: str, after: float, before: float, show: Callable[[float], str], most: float, goal: str
) -> Row:
    return Row(
        case,
        show(after),
        twin=show(before),
        ratio=f"{after / before:.3f}",
        goal=goal,
        reached=after - before < most,
    )


def _mebibytes(value: float) -> str:
    return f"{value:.1f} MiB"


def _perform(kinds: list[Kind], runs: int) -> None:
    for kind in islice(cycle(kinds), runs):
        try:
            kind()
        except CanoError:
            continue  # as it should be: some fail, some are cancelled


def _settled() -> tuple[int, int]:
    """Blocks of the interpreter's allocator, and bytes of resident memory, once all is quiet."""
    while abandoned_tasks():
        time.sleep(0.01)
    time.sleep(0.1)  # the threads that were cancelled come home
    for _ in range(3):
        gc.collect()
    return sys.getallocatedblocks(), _resident()


def _resident() -> int:
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # the peak must do


# The kinds of run.


def _kinds() -> list[Kind]:
    """Every way in which a run can begin and end."""
    long_lived = CancellationToken()
    split, quick_token = _splits(), CancellationToken
    single = Flow().register("A", _to("B")).register("B", _to("END")).add_exit_state("END")
    failing = Flow().register("A", _raising).add_exit_state("END")
    routed = Flow().register("A", _raising, error_state="END").add_exit_state("END")
    retried = (
        Flow().register("A", _raising, TaskConfig().with_fixed_retry(1, 0)).add_exit_state("END")
    )
    sleeping = Flow().register("A", _sleeping).add_exit_state("END")
    limited = single.with_timeout(60)
    hurried = sleeping.with_timeout(0.001)
    return [
        lambda: single.orchestrate("A"),
        lambda: limited.orchestrate("A"),
        lambda: single.orchestrate("A", cancel=long_lived),
        lambda: single.submit("A").result(),
        lambda: failing.orchestrate("A"),
        lambda: routed.orchestrate("A"),
        lambda: retried.orchestrate("A"),
        lambda: hurried.orchestrate("A"),
        lambda: sleeping.orchestrate("A", cancel=quick_token(0.001)),
        lambda: sleeping.orchestrate("A", cancel=long_lived.child(0.001)),
        _leave_a_deaf_task,
        *split,
    ]


def _splits() -> list[Kind]:
    all_of, any_of = JoinStrategy.ALL, JoinStrategy.ANY
    tasks = [_to("x")] * 4
    good = _split(tasks, JoinConfig(all_of, "END", collect="values"))
    many = _split(lambda store: tasks, JoinConfig(all_of, "END", bulkhead=2))
    failing = _split([*tasks, _raising], JoinConfig(all_of, "END", store_partial_results=True))
    first = _split([_to("x"), _sleeping, _sleeping], JoinConfig(any_of, "END"))
    late = _split(
        [_to("x"), _sleeping], JoinConfig(JoinStrategy.PARTIAL_TIMEOUT, "END", timeout=0.001)
    )
    limited = good.with_timeout(60)
    flows = (good, many, failing, first, late, limited)
    return [partial(flow.orchestrate, "A") for flow in flows]


def _split(tasks: Any, join: JoinConfig[str]) -> Flow:
    return Flow().register_split("A", tasks, join).add_exit_state("END")


def _to(state: str) -> Callable[[Any], str]:
    def task(store: Any) -> str:
        store.put("big", bytearray(1_000))
        return state

    return task


def _raising(store: Any) -> str:
    raise ValueError("as it should")


def _sleeping(store: Any, cancel: CancellationToken) -> str:
    cancel.sleep(60)
    return "END"


def _leave_a_deaf_task() -> None:
    release = threading.Event()

    def deaf(store: Any) -> str:
        release.wait(60)
        return "END"

    try:
        _split([_to("x"), deaf], JoinConfig(JoinStrategy.ANY, "END")).orchestrate("A")
    finally:
        release.set()
