"""What the app puts around all tasks and pool threads of the process."""

from __future__ import annotations

__all__ = ("DjangoAround", "install", "uninstall")

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from .. import Around, TaskContext, WorkflowError, install_around
from .._model.around import HandOver
from .guard import InlineBranch, JobOnThread, TaskOnThread, current_home
from .home import Home
from .transactions import Holder, open_transactions

_NOTHING: AbstractContextManager[None] = nullcontext()

_WHY: dict[str, str] = {
    "run": "the run has a time limit or a token, and so would move to another thread",
    "attempt": "the attempt has a time limit, and so would be made on another thread",
}
"""What may not be handed over within a transaction."""


class DjangoAround(Around):
    """Closes what pool threads have opened, guards it meanwhile, and carries the language there.

    One object, which is installed for the whole process.
    """

    def __init__(self) -> None:
        self._handing = threading.local()  # .work: between `hand_over` and `capture`, which follows

    def hand_over(self, work: HandOver) -> None:
        """Refuse what would leave a transaction behind that it belongs to."""
        self._handing.work = work
        if work not in _WHY:
            return
        held = [alias for alias, who in open_transactions().items() if who is Holder.VIEW]
        if held:
            names = ", ".join(map(repr, held))
            raise WorkflowError(
                f"this thread holds a transaction open on database {names} (ATOMIC_REQUESTS, or "
                f"transaction.atomic()), but {_WHY[work]}, where what is written would not be "
                "rolled back with it; keep it on this thread: .with_timeout(seconds, stay=True), "
                "or .orchestrate(..., stay=True)"
            )

    def capture(self) -> Home:
        """The language of this thread, and so on, and its open transactions."""
        return Home.here(self._handing.work, current_home())

    def task(self, context: TaskContext, captured: Home | None) -> AbstractContextManager[Any]:
        """On a pool thread: at home in another place."""
        if context.thread == "caller" or captured is None:
            return _NOTHING if context.index is None else self._inline(context)
        return TaskOnThread(context, captured)

    def _inline(self, context: TaskContext) -> AbstractContextManager[Any]:
        """A branch without a thread of its own, as in a test: it sees what it will not later."""
        home = Home.here("attempt")  # not as a split: its callbacks of on_commit are the view's
        held = [alias for alias, holder in home.open.items() if holder is Holder.VIEW]
        return InlineBranch(context, home, held) if held else _NOTHING

    def thread(self) -> AbstractContextManager[Any]:
        """Around a pool thread's job."""
        return JobOnThread()


# It is a process that the app is installed in: Django makes a new object of the app, and calls its
# `ready` again, whenever a test overrides INSTALLED_APPS. The lock guards the function.
_lock = threading.Lock()
_remove: Callable[[], None] | None = None


def install() -> None:
    """Surround all runs of the process. A second call does nothing."""
    global _remove
    with _lock:
        if _remove is None:
            _remove = install_around(DjangoAround())


def uninstall() -> None:
    """Take it out again, for tests."""
    global _remove
    with _lock:
        if _remove is not None:
            _remove()
            _remove = None
