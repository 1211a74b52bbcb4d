"""Map-reduce over real files: which modules does Python's standard library import most?

The tasks are listed when the split is entered: one for each source file, some hundreds of them.

    python examples/map_reduce.py
"""

import ast
import sysconfig
from collections import Counter
from collections.abc import Iterator
from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from cano_sync import JoinConfig, JoinStrategy, MemoryStore, Store, Workflow

NOT_THE_LIBRARY = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3"}


class Count(Enum):
    """The states."""

    FIND = auto()
    MAP = auto()
    REDUCE = auto()
    DONE = auto()


class Source(NamedTuple):
    """What one file comes to."""

    lines: int
    imports: set[str]


def find(store: Store) -> Literal[Count.MAP]:
    root = store.get("root", Path)
    files = (path for path in root.rglob("*.py") if path.is_file())
    store.put(
        "files",
        [path for path in files if NOT_THE_LIBRARY.isdisjoint(path.relative_to(root).parts)],
    )
    return Count.MAP


def one_task_a_file(store: Store) -> list[partial[Source]]:
    return [partial(read, path) for path in store.get("files", list)]


def read(path: Path) -> Source:
    """A task that needs nothing from the store does not ask for it."""
    text = path.read_bytes()
    return Source(text.count(b"\n"), set(imported_by(ast.parse(text))))


def imported_by(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def reduce(store: Store) -> Literal[Count.DONE]:
    sources: list[Source] = store.get("sources", list)
    store.put("lines", sum(source.lines for source in sources))
    store.put("importers", Counter(name for source in sources for name in source.imports))
    return Count.DONE


workflow = (
    Workflow()
    .register(Count.FIND, find)
    .register_split(
        Count.MAP,
        one_task_a_file,
        JoinConfig(JoinStrategy.ALL, Count.REDUCE, bulkhead=8, collect="sources"),
    )
    .register(Count.REDUCE, reduce)
    .add_exit_state(Count.DONE)
)


def main() -> None:
    store = MemoryStore({"root": Path(sysconfig.get_path("stdlib"))})
    workflow.orchestrate(Count.FIND, store=store)
    print(f"{store.get('lines', int):,} lines in {len(store.get('sources', list))} files")
    for name, count in store.get("importers", Counter).most_common(3):
        print(f"{count:6} files import {name}")


if __name__ == "__main__":
    main()
