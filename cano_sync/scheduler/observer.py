"""`FlowObserver`: what can be heard of a scheduler's flows, and who listens to what."""

from __future__ import annotations

__all__ = ("FLOW_HOOKS", "FlowListeners", "FlowObserver", "check_flow_observer", "flow_listeners")

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeAlias

from .._model.hooks import Observer
from ..errors import ConfigurationError


class FlowObserver:
    """Base class of observers of flows: override the hooks that you want to hear.

    Give it to the scheduler: `Scheduler(observers=[observer])`. One object hears all flows, from
    several threads at once. What happens within a run, its states and tasks, is heard by the
    observers that are attached to its workflow (`cano_sync.observe.Observer`).

    All arguments come by name. Take those that you need, and end with `**_`: a hook may be given
    more in a later version. Every hook gets `flow`, the flow's id; durations are seconds.

    - **Order.** Each `flow_started` is followed by one `flow_finished` of the same flow, and that
      by `flow_backed_off` or `flow_tripped`, if the failure leads to it. When the future of
      `Scheduler.trigger` is done, all of them have been called.
    - **Threads.** `flow_started` and `flow_skipped` come on the scheduler's own thread (or on that
      of `trigger`), which is held up by a hook that blocks; the others on the run's thread, and
      where the scheduler abandons a run, on its own.
    - **A hook can hurt nobody.** What it raises is logged (logger `cano_sync`).

    >>> from cano_sync import Workflow
    >>> from cano_sync.scheduler import Scheduler
    >>> class Ends(FlowObserver):
    ...     def flow_finished(self, *, flow: str, outcome: str, **_: object) -> None:
    ...         print(flow, outcome)
    >>> workflow = Workflow().register("SWEEP", lambda: "DONE").add_exit_state("DONE")
    >>> scheduler = Scheduler(observers=[Ends()])
    >>> scheduler.manual("sweep", workflow, "SWEEP")
    >>> with scheduler.start_in_background():
    ...     _ = scheduler.trigger("sweep").result()
    sweep succeeded
    """

    # Whatever happens.

    def on_event(self, *, event: str, flow: str, **facts: Any) -> None:
        """Every event, by the name of its hook and with all that this hook is given.

        For observers that forward or count. It is called before the hook itself, where the
        observer overrides that one, too.
        """

    # One event each.

    def flow_started(self, *, flow: str, lag: float) -> None:
        """A flow begins a run, so many seconds after it was due (0 when triggered by hand)."""

    def flow_skipped(self, *, flow: str, running_for: float) -> None:
        """A flow was due and is still running, since so many seconds: this time is left out."""

    def flow_finished(
        self, *, flow: str, state: Any, duration: float, outcome: str, error: BaseException | None
    ) -> None:
        """A run of a flow is over, once for each that has started.

        It has come to this exit `state`, or to none (None) with what it raised as the `error`. The
        `outcome` is "succeeded", "failed" or "cancelled". A state that the flow's `fail_on` names
        comes with an error, too: a `WorkflowError`. Cancelled is only what the scheduler itself has
        cancelled, with a `WorkflowCancelledError`. That is emitted at once, though an abandoned
        task may keep its thread for longer; the observers of that workflow hear `run_finished`
        when the thread returns.
        """

    def flow_backed_off(
        self, *, flow: str, failures: int, delay: float, error: BaseException
    ) -> None:
        """A flow has failed so many times in a row, and waits this long before the next run."""

    def flow_tripped(self, *, flow: str, failures: int, error: BaseException) -> None:
        """A flow has failed too often in a row: it runs no more until it is reset."""


_CATCH_ALL = "on_event"
FLOW_HOOKS = tuple(name for name in vars(FlowObserver) if name.startswith("flow_"))
"""The names of all hooks, which are the names of all events."""

FlowListeners: TypeAlias = Mapping[str, tuple[tuple[FlowObserver, Callable[..., object]], ...]]
"""For each event that somebody listens to: the observers, each with the method to call."""


def _overridden(observer: FlowObserver) -> list[str]:
    """The hooks that this observer does something in, the catch-all first."""
    kind = type(observer)
    return [
        name
        for name in (_CATCH_ALL, *FLOW_HOOKS)
        if getattr(kind, name) is not getattr(FlowObserver, name)
    ]


def flow_listeners(observers: Iterable[FlowObserver]) -> FlowListeners:
    """Sort the observers by event, once: one that nobody listens to costs one look-up."""
    listeners: dict[str, list[tuple[FlowObserver, Callable[..., object]]]] = {}
    for observer in observers:
        for name in _overridden(observer):
            for event in FLOW_HOOKS if name == _CATCH_ALL else (name,):
                call = getattr(observer, name)
                call = partial(call, event=event) if name == _CATCH_ALL else call
                listeners.setdefault(event, []).append((observer, call))
    return {event: tuple(pairs) for event, pairs in listeners.items()}


def check_flow_observer(observer: Any, where: str) -> None:
    """An observer that hears something, and whose hooks take all that they are given.

    Raises:
        ConfigurationError: it is not.
    """
    name = type(observer).__qualname__
    if isinstance(observer, type):
        name = observer.__qualname__
        raise ConfigurationError(f"{where}: {name} is a class; give an object of it: {name}(...)")
    if not isinstance(observer, FlowObserver):
        mend = "derive its class from cano_sync.scheduler.FlowObserver"
        if isinstance(observer, Observer):
            mend = (
                "it hears runs, and is attached to their workflow by with_observer(); flows are "
                "heard by a FlowObserver, such as LoggingFlowObserver()"
            )
        raise ConfigurationError(f"{where}: {name} is no FlowObserver; {mend}")
    hooks = _overridden(observer)
    if not hooks and type(observer) is not FlowObserver:
        raise ConfigurationError(
            f"{where}: {name} overrides no hook, so it would hear nothing; there are "
            f"{', '.join(FLOW_HOOKS)}"
        )
    for hook in hooks:
        given = inspect.signature(getattr(FlowObserver(), hook)).parameters
        try:
            inspect.signature(getattr(observer, hook)).bind(**dict.fromkeys(given))
        except TypeError as error:
            raise ConfigurationError(
                f"{where}: {name}.{hook}() does not take what it is given ({error}); it is "
                f"called with {', '.join(given)} by name: take those you need, and end with **_"
            ) from None
