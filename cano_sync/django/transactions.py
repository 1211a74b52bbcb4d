"""What a thread that hands work over has open, and the commit callbacks that wait for it."""

from __future__ import annotations

__all__ = ("Deferred", "Holder", "open_transactions")

import threading
from collections.abc import Callable
from enum import Enum
from typing import Any

from django.db import connections


class Holder(Enum):
    """Who holds a transaction open."""

    VIEW = "the code that started it"
    TEST = "the test (TestCase)"


def open_transactions() -> dict[str, Holder]:
    """The databases on which this thread has a transaction open, and for whom.

    That in which Django's `TestCase` wraps each test is the test's: in production it is not there.
    """
    found = {}
    for connection in connections.all(initialized_only=True):
        if connection.connection is None:
            continue
        if connection.in_atomic_block:
            blocks = connection.atomic_blocks
            is_tests = bool(blocks) and all(block._from_testcase for block in blocks)
            found[connection.alias] = Holder.TEST if is_tests else Holder.VIEW
        elif not connection.autocommit:  # by set_autocommit(False)
            found[connection.alias] = Holder.VIEW
    return found


class Deferred:
    """Callbacks of `on_commit` in branches, until the transaction around the split is committed.

    When that is rolled back, Django drops `run`, and nobody has them any more. The lock guards
    the list.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._callbacks: list[tuple[Callable[[], object], bool]] = []
        connection.on_commit(self.run)

    def add(self, callback: Callable[[], object], robust: bool) -> None:
        """Call it later, if ever; on a branch's thread."""
        with self._lock:
            self._callbacks.append((callback, robust))

    def run(self) -> None:
        """Call them, after the commit, on the thread that has committed."""
        with self._lock:
            callbacks, self._callbacks = self._callbacks, []
        for callback, robust in callbacks:
            self._connection.on_commit(callback, robust=robust)
