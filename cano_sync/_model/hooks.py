"""What observers can hear of a run, and which of them listens to what."""

from __future__ import annotations

__all__ = (
    "HOOKS",
    "Listeners",
    "Observer",
    "Sorted",
    "check_observer",
    "hooks_of",
    "listeners_of",
    "overridden",
)

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

from ..errors import ConfigurationError
from .join import JoinConfig
from .outcome import Outcome, SplitResult
from .strategy import Verdict


class Observer:
    """Base class of observers: override the hooks that you want to hear.

    Attach one by `workflow.with_observer(observer)`, as many as you like. One object hears all
    runs of its workflows, from several threads at once: keep what you keep by `run_id`, and under
    a lock if it is more than one step.

    All arguments come by name. Take those that you need, and end with `**_`: a hook may get more
    in a later version. Every hook gets `run_id`; durations are seconds.

    - **Events come in order.** `run_started` is first, `run_finished` last. In between come, for
      each state, `state_entered` and `state_left`; for each task that was started exactly one of
      `task_succeeded`, `task_failed` and `task_cancelled`. Only of an abandoned task one
      event may still come after `run_finished`: `task_abandoned`, `task_returned`, or a hook that
      was already on its way there.
    - **Threads.** The run's hooks come on the thread that called `orchestrate` (of `submit`: on a
      thread of the pool), those of states, splits and single tasks on the run's own thread, which
      is the same unless there is a time limit or a token; those of a branch on the branch's
      thread; `task_abandoned` on the thread that abandons it. A hook that blocks holds up that
      thread, and with it the run's promises about time.
    - **Context.** A hook is called in the `contextvars` context of what the event is about: what
      `run_started` sets, all tasks of the run see; what `task_started` or `attempt_started` sets,
      the task sees; nobody outside sees either.
    - **A hook can hurt nobody.** One that raises is logged once (logger `cano_sync`), and its
      observer hears no more of that run.

    >>> from cano_sync import Workflow
    >>> class Path(Observer):
    ...     def state_entered(self, *, state: object, **_: object) -> None:
    ...         print("->", state)
    >>> workflow = Workflow().register("START", lambda: "END").add_exit_state("END")
    >>> workflow.with_observer(Path()).orchestrate("START")
    -> START
    -> END
    'END'
    """

    # Whatever happens.

    def on_event(self, *, event: str, run_id: str, **facts: Any) -> None:
        """Every event, by the name of its hook and with all that this hook is given.

        For observers that forward, record or count. It is called before the hook itself, where
        the observer overrides that one, too.
        """

    # A run.

    def run_started(self, *, run_id: str, state: Any) -> None:
        """A run begins, in this state."""

    def run_cancelled(self, *, run_id: str, state: Any, reason: str | None) -> None:
        """The run was cancelled in this state, or interrupted by Ctrl-C; it finishes next."""

    def run_finished(
        self, *, run_id: str, state: Any, duration: float, error: BaseException | None
    ) -> None:
        """The run is over: in this exit state, or in this state with an error."""

    # A state.

    def state_entered(self, *, run_id: str, state: Any, is_exit: bool) -> None:
        """The machine is in this state now. An exit state is entered, and never left."""

    def state_left(
        self,
        *,
        run_id: str,
        state: Any,
        next_state: Any,
        duration: float,
        error: BaseException | None,
    ) -> None:
        """The machine leaves this state.

        With an `error` and a `next_state` it goes to its error state. Where the run ends here,
        there is no next state (None).
        """

    # A task: that of a state (index None), or a branch of a split.

    def task_started(self, *, run_id: str, state: Any, task: str, index: int | None) -> None:
        """A task begins: a state's (index None), or the branch of this index, from 0.

        What lists the branches of a split is a task of that state, too.
        """

    def task_succeeded(
        self, *, run_id: str, state: Any, task: str, index: int | None, duration: float
    ) -> None:
        """The task returned, after all its attempts."""

    def task_failed(
        self,
        *,
        run_id: str,
        state: Any,
        task: str,
        index: int | None,
        duration: float,
        error: BaseException,
    ) -> None:
        """The task raised, in its last attempt or for good; what it raised is the cause."""

    def task_cancelled(
        self,
        *,
        run_id: str,
        state: Any,
        task: str,
        index: int | None,
        duration: float,
        reason: str | None,
    ) -> None:
        """The task was stopped, or the run goes on without it, which has cancelled its token."""

    def task_abandoned(
        self, *, run_id: str, state: Any, task: str, index: int | None, attempt: int
    ) -> None:
        """The run has gone on while the task (this attempt at it) still has its thread.

        A task that listens to its token comes back soon, see `task_returned`.
        """

    def task_returned(
        self, *, run_id: str, state: Any, task: str, index: int | None, attempt: int, late: float
    ) -> None:
        """An abandoned task has given its thread back, so many seconds later; on that thread."""

    # An attempt: only of tasks that have retries.

    def attempt_started(
        self, *, run_id: str, state: Any, task: str, index: int | None, attempt: int
    ) -> None:
        """An attempt begins, from 1."""

    def attempt_failed(
        self,
        *,
        run_id: str,
        state: Any,
        task: str,
        index: int | None,
        attempt: int,
        duration: float,
        error: BaseException | None,
        delay: float | None,
    ) -> None:
        """The attempt failed, and the next begins in `delay` seconds; None: it was the last.

        There is no `error` where the task returned what its config retries on.
        """

    # A split.

    def split_started(
        self, *, run_id: str, state: Any, tasks: Sequence[str], join: JoinConfig[Any]
    ) -> None:
        """A split begins, with branches of these names, to be joined as `join` says."""

    def branch_landed(self, *, run_id: str, state: Any, outcome: Outcome) -> None:
        """A branch has ended before the join was decided, well or not; on its thread.

        Each comes before `join_decided`; but when the split's time is up, or the run is cancelled,
        a hook that has not returned yet is not waited for, and another one may hear this later.
        """

    def join_decided(
        self,
        *,
        run_id: str,
        state: Any,
        verdict: Verdict,
        result: SplitResult,
        timed_out: bool,
        duration: float,
    ) -> None:
        """The join proceeds or fails, `timed_out` if its deadline has decided it.

        A split that a cancellation ends is never decided.
        """


CATCH_ALL = "on_event"
"""The hook for every event."""


def hooks_of(base: type) -> tuple[str, ...]:
    """The names of all hooks for one event each that a base class has: the names of its events."""
    return tuple(name for name in vars(base) if not name.startswith("_") and name != CATCH_ALL)


HOOKS = hooks_of(Observer)
"""The names of all events of a run."""

Hearer = TypeVar("Hearer")

Sorted: TypeAlias = Mapping[str, tuple[tuple[Hearer, Callable[..., object]], ...]]
"""For each event that somebody listens to: the observers, each with the method to call."""
Listeners: TypeAlias = Sorted[Observer]


def overridden(observer: object, base: type = Observer) -> tuple[str, ...]:
    """The hooks of the base class that this observer does something in, the catch-all first."""
    kind = type(observer)
    names = (CATCH_ALL, *hooks_of(base))
    return tuple(name for name in names if getattr(kind, name) is not getattr(base, name))


def listeners_of(observers: Iterable[Hearer], base: type = Observer) -> Sorted[Hearer]:
    """Sort the observers by event, once: one that nobody listens to costs one look-up."""
    listeners: dict[str, tuple[tuple[Hearer, Callable[..., object]], ...]] = {}
    for observer in observers:
        for name in overridden(observer, base):
            for event in hooks_of(base) if name == CATCH_ALL else (name,):
                call = getattr(observer, name)
                call = partial(call, event=event) if name == CATCH_ALL else call
                listeners[event] = (*listeners.get(event, ()), (observer, call))
    return MappingProxyType(listeners)


def check_observer(
    observer: Any, base: type = Observer, *, where: str = "with_observer()", mend: str = ""
) -> None:
    """Refuse what is no observer, hears nothing, or has a hook that takes too little.

    Args:
        observer: what was given.
        base: the class that it has to derive from.
        where: the call that it was given to.
        mend: what mends an object of another class, for another base class than `Observer`.

    Raises:
        ConfigurationError: it is no good.
    """
    name = type(observer).__qualname__
    if isinstance(observer, type):
        name = observer.__qualname__
        raise ConfigurationError(f"{where}: {name} is a class; give an object of it: {name}(...)")
    if not isinstance(observer, base):
        mend = mend or "derive its class from cano_sync.observe.Observer"
        raise ConfigurationError(
            f"{where}: {observer!r} of type {name} is no {base.__name__}; {mend}"
        )
    hooks = overridden(observer, base)
    if not hooks and type(observer) is not base:
        raise ConfigurationError(
            f"{where}: {name} overrides no hook, so it would hear nothing; there are "
            f"{', '.join(hooks_of(base))}"
        )
    for hook in hooks:
        given = inspect.signature(getattr(base(), hook)).parameters
        try:
            inspect.signature(getattr(observer, hook)).bind(**dict.fromkeys(given))
        except TypeError as error:
            raise ConfigurationError(
                f"{where}: {name}.{hook}() does not take what it is given ({error}); it is "
                f"called with {', '.join(given)} by name: take those you need, and end with **_"
            ) from None
