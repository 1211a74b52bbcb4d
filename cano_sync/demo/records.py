"""The books of the ad exchange: a database of what was sold, a log of JSON lines, and counters."""

__all__ = ("Records", "count", "count_error", "count_sale")

import json
import sqlite3
import time
from collections import Counter
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from types import TracebackType

from cano_sync import CancellationToken, Store, TaskConfig, TaskContext, task

from .openrtb import Bid


def interrupt(connection: sqlite3.Connection) -> None:
    """Stop a query that another thread may be waiting for."""
    with suppress(sqlite3.ProgrammingError):  # it has ended, and is closed
        connection.interrupt()


class Records:
    """A folder with a database and a log, open for a `with` block. Its methods are tasks.

    Args:
        folder: where the files are, or shall be.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.database = folder / "auctions.sqlite"
        self.log = folder / "auctions.jsonl"
        # This connection writes nothing more. It is there so that no other one is the last to
        # close, which would have to tidy up the write-ahead log while an auction waits.
        self._keeper = sqlite3.connect(self.database, check_same_thread=False)
        self._keeper.execute("PRAGMA journal_mode = WAL")
        self._keeper.execute(
            "CREATE TABLE IF NOT EXISTS sold (auction TEXT, bidder TEXT, price REAL, score REAL)"
        )
        self._lines = self.log.open("ab", buffering=0)  # a line is one write: whole, or not there

    def __enter__(self) -> "Records":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lines.close()
        self._keeper.close()

    @task(name="sqlite", config=TaskConfig().with_fixed_retry(2, delay=0.005))
    def write_row(self, store: Store, cancel: CancellationToken) -> None:
        """Book the sale. A query is stopped as a socket is: by a callback of the token."""
        bid = store.get("winner", Bid)
        row = (store.get("request", dict)["id"], bid.bidder, bid.price, bid.score)
        patience = cancel.remaining(default=1.0) or 0.0
        with closing(sqlite3.connect(self.database, timeout=patience)) as connection:
            connection.execute("PRAGMA synchronous = NORMAL")  # the log is safe without a sync
            with cancel.on_cancel(partial(interrupt, connection)), connection:
                connection.execute("INSERT INTO sold VALUES (?, ?, ?, ?)", row)

    @task(name="log")
    def write_sale(self, store: Store) -> None:
        """Log the sale."""
        bid = store.get("winner", Bid)
        self._write(store, "sold", bidder=bid.bidder, price=bid.price, score=bid.score)

    @task(name="log")
    def write_error(self, store: Store, context: TaskContext) -> None:
        """Log what has led to the error state that this is a task of."""
        self._write(store, "error", error=str(context.error))

    def _write(self, store: Store, event: str, **details: str | float) -> None:
        auction = store.get("request", dict)["id"]
        line = {"time": time.time(), "event": event, "auction": auction, **details}
        self._lines.write(json.dumps(line).encode() + b"\n")


@task(name="counters")
def count_sale(store: Store) -> None:
    count(store, "sold", f"sold to {store.get('winner', Bid).bidder}")


@task(name="counters")
def count_error(store: Store, context: TaskContext) -> None:
    assert context.error is not None
    count(store, "failed", f"failed in {context.error.state.name}")


def count(store: Store, *names: str) -> None:
    """Count one more of each; with `update`, because several tasks may do it at once."""
    store.update("counters", lambda counters: counters + Counter(names), default=Counter())
