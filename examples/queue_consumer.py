"""A loop over a queue: pull a batch, work on all of it at once, settle it, until it is empty.

A message that cannot be worked on is put aside; it stops neither its batch nor the loop.

    python examples/queue_consumer.py
"""

import queue
from collections.abc import Callable
from decimal import Decimal
from enum import Enum, auto
from functools import partial
from typing import Any, Literal

from cano_sync import JoinConfig, JoinStrategy, MemoryStore, SplitResult, Store, Workflow

BATCH = 4
PAYMENTS = ("12.50", "3.20", "99", "7.75", "1.10", "twelve", "40", "0.30", "18", "25.05")

Inbox = queue.SimpleQueue[str]


class Consumer(Enum):
    """The states."""

    PULL = auto()
    BOOK = auto()
    SETTLE = auto()
    EMPTY = auto()


def pull(store: Store) -> Literal[Consumer.BOOK, Consumer.EMPTY]:
    inbox: Inbox = store.get("inbox")
    batch: list[str] = []
    try:
        while len(batch) < BATCH:
            batch.append(inbox.get_nowait())
    except queue.Empty:
        pass  # the last batch may be a short one
    store.put("batch", batch)
    return Consumer.BOOK if batch else Consumer.EMPTY


def tasks_of_batch(store: Store) -> list[Callable[..., Any]]:
    """Called each time that the state is entered: one task for each message."""
    return [partial(book, message) for message in store.get("batch", list)]


def book(message: str, store: Store) -> None:
    amount = Decimal(message)
    store.update("total", lambda total: total + amount, default=Decimal(0))


def settle(store: Store) -> Literal[Consumer.PULL]:
    batch, result = store.get("batch", list), store.get("split_result", SplitResult)
    for outcome in result.errors:
        store.append("dead letters", batch[outcome.index])
    inbox: Inbox = store.get("inbox")
    for outcome in result.cancelled:  # late: somebody may try again
        inbox.put(batch[outcome.index])
    print(f"a batch of {len(batch)}: {len(result.successes)} booked, {len(result.errors)} bad")
    return Consumer.PULL


workflow = (
    Workflow()
    .register(Consumer.PULL, pull)
    .register_split(
        Consumer.BOOK,
        tasks_of_batch,
        # Goes on when all have ended, well or not, and waits 10 s for them at most.
        JoinConfig(
            JoinStrategy.PARTIAL_TIMEOUT, Consumer.SETTLE, timeout=10, store_partial_results=True
        ),
    )
    .register(Consumer.SETTLE, settle)
    .add_exit_state(Consumer.EMPTY)
)


def main() -> None:
    inbox: Inbox = queue.SimpleQueue()
    for message in PAYMENTS:
        inbox.put(message)
    store = MemoryStore({"inbox": inbox})
    workflow.orchestrate(Consumer.PULL, store=store)
    print(f"booked {store.get('total', Decimal)}, put aside {store.get('dead letters', list)}")


if __name__ == "__main__":
    main()
