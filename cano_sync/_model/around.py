"""What surrounds tasks and the threads that they run on: `Around`, and how one is checked."""

from __future__ import annotations

__all__ = (
    "AnyAround",
    "Around",
    "HandOver",
    "around_of",
    "arounds_of",
    "does",
    "name_of",
    "provided_by",
)

import inspect
import keyword
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, TypeAlias

from ..errors import ConfigurationError
from .signature import display_name
from .task import TaskContext

HandOver: TypeAlias = Literal["run", "split", "attempt", "submit"]
"""What goes to another thread: a whole run (it has a time limit or a token), the branches of a
split, an attempt with a time limit, or a run that was submitted."""

Factory: TypeAlias = Callable[[TaskContext], AbstractContextManager[Any]]

AnyAround: TypeAlias = "Around | Factory"

_NOTHING: AbstractContextManager[Any] = nullcontext()


class Around:
    """Base class of what surrounds tasks and threads: override the parts that you need.

    A database session for each task, a framework's context, connections that must not stay open
    on an idle thread. Attach one to a workflow (`Workflow.with_around`), to a scheduler
    (`Scheduler(around=[...])`), or to all runs of the process (`install_around`). Those of the
    process lie outside those of a scheduler, and these outside the workflow's; among these the
    first that was attached is the outermost. A part that nobody overrides costs nothing.

    One object serves all runs and threads at once: keep nothing of a run on `self`.

    Attributes:
        name: the name of the parameter by which tasks get what entering `task()` has given; None
            where they get nothing. Set it in the class, or before the object is attached.

    >>> from contextlib import contextmanager
    >>> from cano_sync import Workflow
    >>> class Language(Around):
    ...     def capture(self):
    ...         return "de"  # what the thread that hands over works with
    ...     @contextmanager
    ...     def task(self, context, captured):
    ...         print(f"{context.thread}: in {captured or 'the language of this thread'}")
    ...         yield
    >>> workflow = Workflow().register("GREET", lambda: "DONE").add_exit_state("DONE")
    >>> workflow.with_around(Language()).orchestrate("GREET")
    caller: in the language of this thread
    'DONE'
    >>> workflow.with_around(Language()).with_timeout(5).orchestrate("GREET")
    pool: in de
    'DONE'
    """

    name: str | None = None

    def hand_over(self, work: HandOver) -> None:
        """Called on the thread that hands work over to another one, before `capture`.

        What it raises refuses the hand-over: the run ends with a `WorkflowError` from it (if it is
        one, it passes as it is), and no error state is entered. Where a test keeps all on its
        thread (`cano_sync.testing.inline`), it is called before a run and an attempt that would
        have left that of the test, so that the test fails as well.

        Args:
            work: what would go to another thread.
        """

    def capture(self) -> Any:
        """What the other thread needs; called on the thread that hands work over.

        Once for a split, for a run that moves to another thread, and for an attempt that does. Of
        a run that has moved, what was captured then is all that its splits and attempts get: the
        thread that they are handed over from has nothing of its own.
        """

    def task(self, context: TaskContext, captured: Any) -> AbstractContextManager[Any]:
        """A context manager around each attempt at a task, and around the listing of branches.

        It is entered and left on the thread, and in the `contextvars` context, of the task.

        - What entering raises is the attempt's failure, as if the task had raised it, and so is
          what leaving raises after a success: a commit that fails must fail the task.
        - When the task has raised, `__exit__` gets the user's exception (of a node, not the
          engine's wrapping of it). To swallow it is a `WorkflowError`: there is no result.
        - When the run has gone on without the task, it is left with `Cancelled` as the exception,
          *even if the task has returned a value*: a transaction that comes too late rolls back.

        Args:
            context: as the task itself gets it. `context.thread` is "caller" on the thread that
                called `orchestrate`, else "pool".
            captured: what `capture` returned; None on the thread that called `orchestrate`, where
                nothing was handed over.
        """
        return _NOTHING

    def thread(self) -> AbstractContextManager[Any]:
        """A context manager around a pool thread's job, from its beginning until it is idle again.

        A job is one worker of a split, which may run many branches, or a run or an attempt that
        was handed over. What entering raises ends the run with a `WorkflowError`; what leaving
        raises is logged, for what came of the job is known by then. The last worker to end leaves
        it before its branch counts, so that nothing is left when the join is decided.
        """
        return _NOTHING


class _Factory(Around):
    """A plain function `(context) -> context manager`, as an `Around`."""

    def __init__(self, factory: Factory, name: str | None) -> None:
        self.factory = factory
        self.name = name

    def task(self, context: TaskContext, captured: Any) -> AbstractContextManager[Any]:
        return self.factory(context)


def does(around: Around, part: str) -> bool:
    """Whether it overrides this part."""
    return getattr(type(around), part) is not getattr(Around, part)


def name_of(around: Around) -> str:
    """How errors call it."""
    if isinstance(around, _Factory):
        return display_name(around.factory)
    return display_name(type(around))


def around_of(given: Any, where: str, name: Any = None) -> Around:
    """What was given as an `Around`, checked; a factory is made into one.

    Args:
        given: an `Around`, or a function `(context) -> context manager`.
        where: the call that it was given to.
        name: the name by which tasks get what a factory's context manager gives.

    Raises:
        ConfigurationError: it is neither, or does nothing.
    """
    if isinstance(given, type):
        name = given.__qualname__
        raise ConfigurationError(f"{where}: {name} is a class; give an object of it: {name}(...)")
    if isinstance(given, Around):
        if name is not None:
            raise ConfigurationError(
                f"{where}: name={name!r} is for a function; an Around says its own by the "
                "attribute `name`"
            )
        _check_name(given.name, where)
        if not any(does(given, part) for part in ("hand_over", "capture", "task", "thread")):
            raise ConfigurationError(
                f"{where}: {type(given).__qualname__} overrides none of hand_over(), capture(), "
                "task() and thread(), so it would do nothing"
            )
        return given
    if not callable(given):
        raise ConfigurationError(
            f"{where} takes an Around, or a function (context) -> context manager, not {given!r}"
        )
    if inspect.isgeneratorfunction(given):
        raise ConfigurationError(
            f"{where}: {display_name(given)} is a generator function; decorate it with "
            "@contextlib.contextmanager"
        )
    try:
        inspect.signature(given).bind(object())
    except TypeError as error:
        raise ConfigurationError(
            f"{where}: {display_name(given)} cannot be called with the context alone ({error}); "
            "it takes the TaskContext and returns a context manager"
        ) from None
    except ValueError:  # a builtin whose signature nobody knows
        pass
    _check_name(name, where)
    factory: Any = given
    return _Factory(factory, name)


def arounds_of(given: Any, where: str) -> tuple[Around, ...]:
    """A list of them, each checked as by `around_of`."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise ConfigurationError(f"{where} takes a list of arounds, not {given!r}")
    return tuple(around_of(each, where) for each in given)


def _check_name(name: Any, where: str) -> None:
    if name is None:
        return
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise ConfigurationError(f"{where}: name={name!r} is no name that a parameter can have")
    if name in ("store", "cancel", "context"):
        raise ConfigurationError(f"{where}: the name {name!r} is the engine's own; take another")


def provided_by(arounds: Iterable[Around]) -> tuple[str, ...]:
    """The names by which tasks get what these arounds give."""
    return tuple(around.name for around in arounds if around.name is not None)
