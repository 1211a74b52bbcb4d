"""`FlowObserver`: what can be heard of a scheduler's flows, and who listens to what."""

from __future__ import annotations

__all__ = ("FlowObserver", "check_flow_observer")

from typing import Any

from .._model.hooks import Observer, check_observer


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


def check_flow_observer(observer: Any, where: str) -> None:
    """Refuse what is no observer of flows, hears nothing, or has a hook that takes too little.

    Raises:
        ConfigurationError: it is no good.
    """
    mend = "derive its class from cano_sync.scheduler.FlowObserver"
    if isinstance(observer, Observer):
        mend = (
            "it hears runs, and is attached to their workflow by with_observer(); flows are "
            "heard by a FlowObserver, such as LoggingFlowObserver()"
        )
    check_observer(observer, FlowObserver, where=where, mend=mend)
