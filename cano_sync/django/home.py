"""What a task on a pool thread knows of the thread where its work was handed over."""

from __future__ import annotations

__all__ = ("Home",)

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from django.db import connections

from .._base.text import full_name
from .._model.around import HandOver
from .ambience import Ambience
from .transactions import Deferred, Holder, open_transactions

_OWN = "on a connection of its own"


@dataclass(frozen=True, slots=True)
class Home:
    """That thread, as it was then.

    Attributes:
        work: what was handed over.
        ambience: its language and so on.
        open: the databases on which it had a transaction open.
        deferred: for those where branches' callbacks of `on_commit` wait for that one's commit.
        thread: its identity: of an executor without threads it is the task's, too.
    """

    work: HandOver
    ambience: Ambience
    open: Mapping[str, Holder]
    deferred: Mapping[str, Deferred]
    thread: int

    @staticmethod
    def here(work: HandOver, outer: Home | None = None) -> Home:
        """This thread.

        Args:
            work: what is handed over from it.
            outer: where the task was handed over that does so, if it is on a pool thread itself:
                what is open there stands beside its branches, too.
        """
        found = open_transactions()
        deferred: dict[str, Deferred] = {}
        if outer is not None:
            deferred.update(outer.deferred if work != "submit" else {})
            for alias in found:
                deferred.pop(alias, None)
            found = {**outer.open, **found}
        if work == "split":  # which that thread waits for: what is submitted goes its own way
            for alias, holder in found.items():
                connection = connections[alias]
                if holder is Holder.VIEW and connection.in_atomic_block:
                    deferred[alias] = Deferred(connection)
        return Home(work, Ambience.here(), found, deferred, threading.get_ident())

    def warning(self, alias: str, state: object) -> str:
        """What is to be said when a task queries a database with an open transaction."""
        where, holder = f"state {full_name(state)}", self.open[alias]
        if holder is Holder.TEST:
            return (
                f"{where}: a task queries database {alias!r} {_OWN}, while {holder.value} holds a "
                "transaction open there: it does not see the test's rows, and what it writes "
                "survives the test; let the test's class inherit from "
                "cano_sync.django.testing.WorkflowTestMixin as well"
            )
        if self.work == "submit":
            return (
                f"{where}: a run that was submitted within a transaction queries database "
                f"{alias!r} {_OWN}: it may not see what that has written, and goes on though that "
                "is rolled back; start it by cano_sync.django.submit_on_commit()"
            )
        return (
            f"{where}: a branch queries database {alias!r} {_OWN}, while {holder.value} holds a "
            "transaction open there: it does not see what that has written, what it writes stays "
            "when that is rolled back, and it may wait for ever for a row that that has locked; "
            "read before the split, write in states of their own, or take the view out of the "
            "transaction by @transaction.non_atomic_requests"
        )
