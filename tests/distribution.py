"""Which tests run in the same process when pytest-xdist runs several at once."""

from __future__ import annotations

__all__ = ("Grouped",)

from typing import Any

from xdist.scheduler import LoadScopeScheduling

# Files whose tests run in one process, one after the other, though pytest-xdist runs others beside
# them. (Its own marks for that do nothing with pytest 9.2: issue 1386 of pytest-xdist.)
GROUPS = {
    # They measure how late something is, or are themselves what makes others late.
    "tests/laws/test_law_1_promises.py": "load and lateness",
    "tests/laws/test_law_9_ctrl_c.py": "load and lateness",
    "tests/stress/": "load and lateness",
    # What their tests share is dear to make.
    "tests/cli/test_install.py": "two installations",
    "tests/django_wing/": "Django, and its databases",
    "tests/diagram/test_mermaid.py": "a browser with mermaid",
    "tests/examples/test_a_sale.py": "a sale",
    "tests/observe/recording/test_page.py": "a browser",
    "tests/typing/": "two type checkers",
}


class Grouped(LoadScopeScheduling):
    """Gives tests to processes one by one, but for those of a group."""

    def _split_scope(self, nodeid: str) -> str:
        return next((GROUPS[start] for start in GROUPS if nodeid.startswith(start)), nodeid)

    def _reschedule(self, node: Any) -> None:
        """Give a process work until it has two tests, or knows that no more will come.

        It begins a test when it knows the next one: one that came in the place of a dead one
        would wait for ever with the first.
        """
        if node not in self.registered_collections:
            return  # it came in the place of a dead one, too, and is not ready
        super()._reschedule(node)
        while not node.shutting_down and self._pending_of(self.assigned_work[node]) < 2:
            super()._reschedule(node)

    def remove_node(self, node: Any) -> str | None:
        """Give the others what a process left that has died, but for the test that it died of.

        The inherited method hands on that one, too, which would kill them one after the other,
        and what is done already, which nobody would ever report as done again.
        """
        units = self.assigned_work.pop(node).items()
        left = [(scope, test) for scope, unit in units for test in unit if not unit[test]]
        if not left:
            return None
        _, killer = left.pop(0)
        for scope, test in left:
            self.workqueue.setdefault(scope, {})[test] = False
        for other in self.assigned_work:
            self._reschedule(other)
        return killer
