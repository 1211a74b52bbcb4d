"""An executor that has no threads: work is done where it is submitted."""

from __future__ import annotations

__all__ = ("InlineExecutor",)

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

T = TypeVar("T")


class InlineExecutor(Executor):
    """Does at once, on the thread that submits it, what it is given.

    `workflow.with_executor(InlineExecutor())` runs the branches of splits one after the other, in
    their order, on the run's thread: a test sees them in its own database transaction, and a
    debugger stops in them. A join that is decided early leaves the rest not started; a time limit
    is looked at between branches, and by what asks `cancel`. Safe from any thread.

    >>> InlineExecutor().submit(pow, 2, 10).result()
    1024
    """

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Call `fn` with these arguments; the future that comes back is done."""
        future: Future[T] = Future()
        try:
            result = fn(*args, **kwargs)
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(result)
        return future
