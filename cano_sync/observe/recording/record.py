"""What became of one run, as data that never changes."""

from __future__ import annotations

__all__ = ("Attempt", "JoinRecord", "Record", "Span", "Visit")

from dataclasses import dataclass
from typing import Any

from ..._model.join import JoinConfig
from ..._model.strategy import Verdict
from ..status import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt at a task that has retries.

    Attributes:
        number: from 1.
        began: when, in seconds from the start of the run.
        duration: how many seconds it took.
        status: what became of it.
        error: what it raised; None where it did not, or returned what its config retries on.
        delay: how many seconds later the next was to begin; None where there was to be none.
        late: how many seconds after it was abandoned its thread returned; None if it was not
            abandoned, or has not returned.
    """

    number: int
    began: float
    duration: float
    status: Status
    error: BaseException | None = None
    delay: float | None = None
    late: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A task: that of a state, a branch of a split, or what lists the branches.

    Attributes:
        name: the task's name.
        index: the branch's place in its split, from 0; None for the other two.
        began: when, in seconds from the start of the run; None if it never did.
        duration: how many seconds it took; of an abandoned one, until it was abandoned.
        status: what became of it.
        error: what it failed with.
        reason: why it was cancelled, where that is known.
        value: what a branch returned that succeeded before the join was decided.
        attempts: its attempts; empty where no retries are configured, unless its one attempt was
            abandoned.
        late: how many seconds after it was abandoned its thread returned.
    """

    name: str
    index: int | None
    began: float | None
    duration: float
    status: Status
    error: BaseException | None = None
    reason: str | None = None
    value: Any = None
    attempts: tuple[Attempt, ...] = ()
    late: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRecord:
    """How a split was joined.

    Attributes:
        config: its configuration.
        verdict: what its strategy said; None while it runs, and if a cancellation has ended it.
        timed_out: whether its deadline has decided it.
        duration: seconds from the start of the split to the verdict; None without one.
    """

    config: JoinConfig[Any]
    verdict: Verdict | None = None
    timed_out: bool = False
    duration: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """The machine was in a state once.

    Attributes:
        state: the state.
        began: when it was entered, in seconds from the start of the run.
        duration: for how many seconds; 0 in an exit state.
        status: how it was left.
        is_exit: whether it is an exit state.
        next_state: where the machine went from here, or None.
        error: what led to the error state, or ended the run.
        spans: the tasks that ran here, branches in the order of their tasks.
        join: how the split was joined; None for a state with one task.
    """

    state: Any
    began: float
    duration: float
    status: Status
    is_exit: bool = False
    next_state: Any = None
    error: BaseException | None = None
    spans: tuple[Span, ...] = ()
    join: JoinRecord | None = None

    @property
    def branches(self) -> tuple[Span, ...]:
        """The branches of the split, those that were never started included."""
        return tuple(span for span in self.spans if span.index is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What became of one run, up to the moment when the record was asked for.

    Attributes:
        run_id: the run's id; None if there was no run yet.
        state: the exit state, or where the run is or ended.
        status: what became of the run.
        started_at: when it began, in seconds since the epoch.
        duration: how many seconds it took, or has been going on.
        error: what it ended with.
        reason: why it was cancelled, where that is known.
        visits: the states on its way, in order.
        forgotten: how many of its first events were dropped, to keep the memory within bounds.
    """

    run_id: str | None = None
    state: Any = None
    status: Status = Status.NOT_STARTED
    started_at: float = 0.0
    duration: float = 0.0
    error: BaseException | None = None
    reason: str | None = None
    visits: tuple[Visit, ...] = ()
    forgotten: int = 0
