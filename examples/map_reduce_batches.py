"""Map-reduce on two levels: batches of files are flows of a scheduler, triggered by hand.

Each batch fans out over its files and reduces them to counts; a last flow reduces the batches.
(See map_reduce.py for one level.) The files are the source of Python's standard library.

    python examples/map_reduce_batches.py
"""

import ast
import sysconfig
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import wait
from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from cano_sync import JoinConfig, JoinStrategy, MemoryStore, Store, Workflow
from cano_sync.scheduler import Manual, Scheduler

NOT_THE_LIBRARY = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3"}
BATCHES = 8


class Batch(Enum):
    """The states of a batch."""

    MAP = auto()
    REDUCE = auto()
    DONE = auto()


class Total(Enum):
    """The states of the last step."""

    REDUCE = auto()
    DONE = auto()


class Counts(NamedTuple):
    """What one file comes to, or a batch, or all."""

    files: int
    lines: int
    importers: Counter[str]


def added(parts: list[Counts]) -> Counts:
    importers: Counter[str] = Counter()
    for part in parts:
        importers.update(part.importers)
    return Counts(sum(p.files for p in parts), sum(p.lines for p in parts), importers)


def one_task_a_file(store: Store) -> list[partial[Counts]]:
    return [partial(read, path) for path in store.get("files", list)]


def read(path: Path) -> Counts:
    text = path.read_bytes()
    return Counts(1, text.count(b"\n"), Counter(set(imported_by(ast.parse(text)))))


def imported_by(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def reduce_files(store: Store) -> Literal[Batch.DONE]:
    store.put("counts", added(store.get("files_counted", list)))
    return Batch.DONE


def reduce_batches(store: Store) -> Literal[Total.DONE]:
    batches: list[Store] = store.get("batches", list)
    store.put("counts", added([batch.get("counts", Counts) for batch in batches]))
    return Total.DONE


batch_workflow = (
    Workflow()
    .register_split(
        Batch.MAP,
        one_task_a_file,
        JoinConfig(JoinStrategy.ALL, Batch.REDUCE, bulkhead=4, collect="files_counted"),
    )
    .register(Batch.REDUCE, reduce_files)
    .add_exit_state(Batch.DONE)
)
total_workflow = Workflow().register(Total.REDUCE, reduce_batches).add_exit_state(Total.DONE)


def library(root: Path) -> list[Path]:
    files = (path for path in sorted(root.rglob("*.py")) if path.is_file())
    return [path for path in files if NOT_THE_LIBRARY.isdisjoint(path.relative_to(root).parts)]


def main() -> None:
    files = library(Path(sysconfig.get_path("stdlib")))
    stores = {f"batch {n}": MemoryStore({"files": files[n::BATCHES]}) for n in range(BATCHES)}
    total = MemoryStore({"batches": list(stores.values())})

    scheduler = Scheduler()
    for id, store in stores.items():
        scheduler.add(id, batch_workflow, Batch.MAP, Manual(), store=store)
    scheduler.add("total", total_workflow, Total.REDUCE, Manual(), store=total)
    with scheduler.start_in_background():
        wait([scheduler.trigger(id) for id in stores])
        scheduler.trigger("total").result()

    counts = total.get("counts", Counts)
    print(f"{counts.lines:,} lines in {counts.files} files, in {BATCHES} batches")
    for name, count in counts.importers.most_common(3):
        print(f"{count:6} files import {name}")


if __name__ == "__main__":
    main()
