"""What surrounds the tasks and the jobs of a run, on the thread that it is on."""

from __future__ import annotations

__all__ = (
    "JobSurroundings",
    "Surroundings",
    "ThreadKind",
    "install_around",
    "installed_arounds",
    "surroundings_of",
)

import logging
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Literal, TypeAlias

from .._base.cancellation import CancellationToken, Cancelled
from .._base.store import Store
from .._base.text import error_text, full_name
from .._model.around import AnyAround, Around, HandOver, around_of, does, name_of, provided_by
from .._model.task import BoundTask, TaskContext
from ..errors import NodeExecutionError, PreparationError, WorkflowError
from .nesting import is_abandoned

_log = logging.getLogger("cano_sync")

ThreadKind: TypeAlias = Literal["caller", "pool"]


class Surroundings:
    """The parts of all arounds of one run, with what they captured. Immutable.

    Attributes:
        thread: "caller" on the thread that called `orchestrate`, "pool" after a hand-over.
        has_tasks: whether anything surrounds tasks.
    """

    __slots__ = ("_captured", "_parts", "has_tasks", "thread")

    def __init__(self, parts: _Parts, thread: ThreadKind, captured: tuple[Any, ...] = ()) -> None:
        self._parts = parts
        self._captured = captured or (None,) * len(parts.tasks)
        self.thread: ThreadKind = thread
        self.has_tasks = bool(parts.tasks)

    @property
    def provided(self) -> tuple[str, ...]:
        """The names by which tasks get what surrounds them."""
        return provided_by(self._parts.tasks)

    def hand_over(self, work: HandOver, *, state: Any, run_id: str | None) -> Surroundings:
        """What surrounds `work` on the other thread; called on the one that hands it over.

        Raises:
            WorkflowError: an around refuses it, or could not capture what it needs.
        """
        parts = self._parts
        try:
            for around in parts.hand_overs:
                around.hand_over(work)
            if self.thread == "pool":  # captured where the run was called, and nowhere else
                return self
            captured = tuple([around.capture() for around in parts.tasks])
        except Exception as error:
            refusal = _refusal(error, work, state, run_id)
            raise refusal from refusal.__cause__
        return Surroundings(parts, "pool", captured) if captured else parts.on_pool

    def ask(self, work: HandOver, *, state: Any, run_id: str | None) -> None:
        """Whether `work` might be handed over, where a test keeps it on its thread.

        Raises:
            WorkflowError: an around refuses it, as it would outside the test.
        """
        try:
            for around in self._parts.hand_overs:
                around.hand_over(work)
        except Exception as error:
            refusal = _refusal(error, work, state, run_id)
            raise refusal from refusal.__cause__

    def call(
        self, task: BoundTask, store: Store, token: CancellationToken, context: TaskContext
    ) -> Any:
        """Call the task within all that surrounds tasks; there is something that does."""
        return self._call_within(0, task, store, token, context, {})

    def _call_within(
        self,
        position: int,
        task: BoundTask,
        store: Store,
        token: CancellationToken,
        context: TaskContext,
        provided: dict[str, Any],
    ) -> Any:
        tasks = self._parts.tasks
        around = tasks[position]
        stage = "entering"
        raised: BaseException | None = None
        result: Any = None
        try:
            with around.task(context, self._captured[position]) as given:
                stage = "running"
                if around.name is not None:
                    provided[around.name] = given
                position += 1
                try:
                    if position < len(tasks):
                        result = self._call_within(position, task, store, token, context, provided)
                    elif task.is_simple:
                        result = task.plain(store)
                    else:
                        result = task.call(store, token, context, provided)
                except BaseException as error:
                    raised = error
                # Its result is dropped when the run has gone on without it: what it did shall be,
                # too. Whoever abandons it between this look and a commit is too late for that.
                if raised is None and is_abandoned(token):
                    raised = Cancelled(token.reason)
                if raised is not None:
                    raise _as_users_know_it(raised)
                stage = "leaving"
        except BaseException as error:
            if raised is not None and raised is not error and error is _as_users_know_it(raised):
                raise raised from error  # the engine's wrapping again
            if stage != "running" and isinstance(error, Exception):
                error.add_note(f"(raised on {stage} {name_of(around)} around task {task.name!r})")
            raise
        else:
            if stage == "leaving":
                return result
            raise _swallowed(raised, around, task, token, context)
        finally:
            del raised  # its traceback holds this frame, which would hold it

    def around_job(self, *, state: Any, run_id: str | None) -> JobSurroundings | None:
        """What surrounds a job on the pool thread that does it, if anything does; for one job."""
        if not self._parts.threads:
            return None
        return JobSurroundings(self._parts.threads, state, run_id)


def _refusal(error: Exception, work: HandOver, state: Any, run_id: str | None) -> WorkflowError:
    """What an around has raised against a hand-over, as an error of this state."""
    if isinstance(error, WorkflowError):
        if run_id is not None:
            error.locate(state=state, task=None, run_id=run_id)
        return error
    refusal = WorkflowError(
        f"state {full_name(state)}: what surrounds it could not hand the {work} over to "
        f"another thread: {error_text(error)}",
        state=state,
        run_id=run_id,
    )
    refusal.__cause__ = error
    return refusal


class JobSurroundings:
    """The context managers of one job, on the pool thread that does it."""

    __slots__ = ("_arounds", "_entered", "_run_id", "_state")

    def __init__(self, arounds: tuple[Around, ...], state: Any, run_id: str | None) -> None:
        self._arounds = arounds
        self._entered: list[AbstractContextManager[Any]] = []
        self._state = state
        self._run_id = run_id

    @property
    def is_entered(self) -> bool:
        """Whether they were entered and not left."""
        return bool(self._entered)

    def enter(self) -> None:
        """Enter them.

        Raises:
            WorkflowError: one of them has raised; those before it were left.
        """
        for around in self._arounds:
            try:
                manager = around.thread()
                manager.__enter__()
                self._entered.append(manager)
            except Exception as error:
                self.leave()
                raise WorkflowError(
                    f"state {full_name(self._state)}: entering {name_of(around)} around a pool "
                    f"thread's job failed: {error_text(error)}",
                    state=self._state,
                    run_id=self._run_id,
                ) from error

    def leave(self) -> None:
        """Leave them; the second time there is nothing to do. What they raise is logged."""
        while self._entered:
            try:
                self._entered.pop().__exit__(None, None, None)
            except BaseException:  # Cancelled among them
                _log.exception("what surrounds a pool thread's job raised when it was left")

    def __enter__(self) -> None:
        self.enter()

    def __exit__(self, *error: object) -> None:
        self.leave()


class _Parts:
    """The arounds of one machine, sorted by what they do."""

    __slots__ = ("hand_overs", "on_caller", "on_pool", "tasks", "threads")

    def __init__(self, arounds: tuple[Around, ...]) -> None:
        self.hand_overs = tuple(each for each in arounds if does(each, "hand_over"))
        self.tasks = tuple(each for each in arounds if does(each, "task"))
        self.threads = tuple(each for each in arounds if does(each, "thread"))
        self.on_caller = Surroundings(self, "caller")
        self.on_pool = Surroundings(self, "pool")


_NONE = _Parts(())


def surroundings_of(arounds: Iterable[Around]) -> Surroundings:
    """What surrounds a run with these arounds, the outermost first, where it is called."""
    given = tuple(arounds)
    return (_Parts(given) if given else _NONE).on_caller


def _swallowed(
    raised: BaseException | None,
    around: Around,
    task: BoundTask,
    token: CancellationToken,
    context: TaskContext,
) -> BaseException:
    """What to raise where a context manager has swallowed what was raised in it."""
    assert raised is not None
    if token.cancelled or not isinstance(raised, Exception):
        return raised
    error = WorkflowError(
        f"state {full_name(context.state)}: {name_of(around)} around task {task.name!r} "
        f"swallowed {error_text(_as_users_know_it(raised))}, and so there is no result; let it "
        "pass, and give the state an error_state, or catch it in the task",
        state=context.state,
        task=task.name,
        run_id=context.run_id,
    )
    error.__cause__ = raised
    return error


def _as_users_know_it(error: BaseException) -> BaseException:
    """A context manager is written for the user's exceptions, not for a node's wrapping of them."""
    if isinstance(error, NodeExecutionError | PreparationError) and error.__cause__ is not None:
        return error.__cause__
    return error


# The arounds of all runs of the process, the first that was installed being the outermost. The
# lock guards the replacing of the tuple; who reads it takes it as it is.
_lock = threading.Lock()
_installed: tuple[Around, ...] = ()


def install_around(around: AnyAround) -> Callable[[], None]:
    """Surround the tasks of *all* runs of this process, from the next run on.

    For what must not be forgotten in any workflow: a framework's wing calls it once, when the
    process begins. Safe from any thread.

    Args:
        around: an `Around`, or a function `(context) -> context manager`.

    Returns:
        A function that takes it out again: runs that begin afterwards are without it.

    Raises:
        ConfigurationError: it is neither, or does nothing.

    >>> from contextlib import contextmanager
    >>> from cano_sync import Workflow
    >>> @contextmanager
    ... def announced(context):
    ...     print("before", context.state)
    ...     yield
    >>> remove = install_around(announced)
    >>> workflow = Workflow().register("GREET", lambda: "DONE").add_exit_state("DONE")
    >>> workflow.orchestrate("GREET")
    before GREET
    'DONE'
    >>> remove()
    """
    global _installed
    added = around_of(around, "install_around()")
    with _lock:
        _installed = (*_installed, added)

    def remove() -> None:
        global _installed
        with _lock:
            _installed = tuple(each for each in _installed if each is not added)

    return remove


def installed_arounds() -> tuple[Around, ...]:
    """The arounds of all runs; the same object as long as none is installed or removed."""
    return _installed


def _renew_lock() -> None:
    """In a forked child: a thread that is not here may have held it."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
