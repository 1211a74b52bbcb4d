"""A limited resource: held by a semaphore, or spared by a bulkhead.

A database bears three queries at once. Two reports of twelve queries each run at the same time.

- A semaphore is the database's own limit: it holds across splits, runs and workflows. A branch
  that has to wait for it keeps its thread meanwhile.
- A bulkhead is the split's limit: the other branches are not even started, and cost no thread.
  Each run has its own, so that two runs may come to twice as many.

    python examples/limited_resources.py
"""

import threading
from collections.abc import Callable
from enum import Enum, auto

from cano_sync import JoinConfig, JoinStrategy, Workflow

LIMIT = 3
QUERIES = 12


class Report(Enum):
    """The states."""

    QUERY = auto()
    DONE = auto()


class Database:
    """Counts how many queries it is busy with, and how many it was at the most."""

    def __init__(self, crowd: int) -> None:
        self.busy = 0
        self.peak = 0
        self._lock = threading.Lock()
        # A query ends when `crowd` of them have met: were the limit lower, they never would.
        self._crowd = threading.Barrier(crowd, timeout=30)

    def query(self) -> None:
        with self._lock:
            self.busy += 1
            self.peak = max(self.peak, self.busy)
        self._crowd.wait()
        with self._lock:
            self.busy -= 1


def two_reports(query: Callable[[], None], bulkhead: int | None = None) -> None:
    workflow = (
        Workflow()
        .register_split(
            Report.QUERY,
            [query] * QUERIES,
            JoinConfig(JoinStrategy.ALL, Report.DONE, bulkhead=bulkhead),
        )
        .add_exit_state(Report.DONE)
    )
    for run in [workflow.submit(Report.QUERY) for _ in range(2)]:
        run.result()


def main() -> None:
    connections = threading.BoundedSemaphore(LIMIT)
    database = Database(crowd=LIMIT)

    def query_in_turn() -> None:
        with connections:
            database.query()

    two_reports(query_in_turn)
    print(f"semaphore of {LIMIT}, two runs: {database.peak} queries at once")

    database = Database(crowd=2 * LIMIT)
    two_reports(database.query, bulkhead=LIMIT)
    print(f"bulkhead of {LIMIT}, two runs: {database.peak} queries at once")


if __name__ == "__main__":
    main()
