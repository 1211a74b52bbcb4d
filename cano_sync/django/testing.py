"""For the tests of a Django project: branches that see the test's rows, and leave nothing open."""

from __future__ import annotations

__all__ = ("WorkflowTestMixin",)

import unittest
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.test import TestCase

from ..testing import inline
from .busy import wait_until_idle


class WorkflowTestMixin(unittest.TestCase):
    """To be inherited beside Django's test case, and before it.

    - With `TestCase`, which wraps each test in a transaction: nothing goes to another thread.
      Branches run one after the other on the test's, so they see its rows, and what they write is
      rolled back with it.
    - With `TransactionTestCase` and `LiveServerTestCase`: branches run on threads, as in
      production. A test's end waits for what still runs, abandoned or submitted, so that its
      connections are closed before the tables are emptied, and the test database can be dropped.
      What does not end within `workflow_wait` seconds fails the test.

    >>> from django.test import TestCase
    >>> class OrderTest(WorkflowTestMixin, TestCase):
    ...     def test_an_order_is_saved(self):
    ...         self.client.get("/order?amount=12")
    """

    workflow_wait: float = 10.0
    """Seconds that a `TransactionTestCase` waits at most for what its tests have started."""

    @classmethod
    def setUpClass(cls) -> None:
        """With `TestCase`, `setUpTestData` is within the transaction, too."""
        with _threads_of(cls):
            super().setUpClass()

    def run(self, result: Any = None) -> Any:
        """Run the test, without threads where it has a transaction."""
        self.addCleanup(self._wait_for_branches)  # the first to be added is the last to be called
        with _threads_of(type(self)):
            return super().run(result)

    def _wait_for_branches(self) -> None:
        left = wait_until_idle(self.workflow_wait)
        if left:
            self.fail(
                f"{left} thread{'s' if left > 1 else ''} of workflows still had work "
                f"{self.workflow_wait:g} s after the test: release what it waits for, or cancel it"
            )


def _threads_of(case: Any) -> AbstractContextManager[None]:
    if issubclass(case, TestCase) and case._databases_support_transactions():
        return inline()
    return nullcontext()
