"""What a flow is added with, checked before anything happens."""

from __future__ import annotations

__all__ = (
    "FlowOptions",
    "Options",
    "check_flow",
    "check_interval",
    "check_means",
    "options_of",
    "shown",
)

import math
from collections.abc import Callable, Iterable
from random import Random
from typing import Any, TypeAlias, TypedDict

from ..arguments import check_observer, check_run
from ..duration import Duration, seconds
from ..errors import ConfigurationError
from ..hooks import Observer
from ..store import Store
from ..value import Value
from ..workflow import Workflow
from .backoff import Backoff
from .timetable import SHORTEST

StoreFactory: TypeAlias = Callable[[], Store]


class FlowOptions(TypedDict, total=False):
    """What every call that adds a flow takes by name."""

    store: Store | StoreFactory | None
    """The store of all its runs; or what makes one, called for each run on the run's own thread;
    None for the workflow's, or else a fresh `MemoryStore` in each."""
    catch_up: bool
    """Whether times that were missed are made up for, one after the other. By default they are
    not: however many passed while the flow was still running, it runs at the next one; and
    however many while the clock stood still, it runs once."""
    jitter: Duration | None
    """Seconds (or a `timedelta`) up to which each run begins later, at random, so that not all
    begin at once. The times themselves stay where they are."""
    backoff: Backoff | None
    """How it waits longer after failures; None for not at all."""


class Options(Value):
    """The same, made ready."""

    __slots__ = ("store", "catch_up", "jitter", "backoff")  # noqa: RUF023

    store: Callable[[], Store | None]
    catch_up: bool
    jitter: float
    backoff: Backoff | None

    def __init__(
        self,
        store: Store | StoreFactory | None = None,
        catch_up: bool = False,
        jitter: Duration | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        if not isinstance(catch_up, bool):
            raise ConfigurationError(f"catch_up is True or False, not {catch_up!r}")
        if backoff is not None and not isinstance(backoff, Backoff):
            raise ConfigurationError(
                f"backoff must be a Backoff, not {backoff!r}; such as Backoff(10, trip_after=5)"
            )
        spread = 0.0 if jitter is None else seconds(jitter, "jitter")
        self._fill(_factory(store), catch_up, spread, backoff)


def options_of(given: FlowOptions, interval: float | None = None) -> Options:
    """Check what was given by name, for a flow with this interval, if it has one."""
    known = set(FlowOptions.__annotations__)
    unknown = sorted(set(given) - known)
    if unknown:
        raise TypeError(
            f"a flow has no option {', '.join(unknown)}; there are {', '.join(sorted(known))}"
        )
    options = Options(**given)
    if interval is not None and options.jitter >= interval:
        raise ConfigurationError(
            f"a jitter of {options.jitter:g} s must be less than the interval of {interval:g} s, "
            "or runs would pass each other"
        )
    return options


def _factory(store: Any) -> Callable[[], Store | None]:
    if store is None:
        return lambda: None
    if isinstance(store, type) or (callable(store) and not hasattr(store, "get")):
        return lambda: _made_by(store)
    check_run(store, None)
    given: Any = store  # for some type checkers it is still what can be called
    return lambda: given


def _made_by(factory: Callable[[], Any]) -> Store:
    made = factory()
    if made is None:
        raise ConfigurationError(
            f"the store factory {factory!r} returned None: did it forget to return the store?"
        )
    check_run(made, None)
    store: Store = made
    return store


def check_flow(id: Any, workflow: Any, initial_state: Any) -> None:
    """An id, and a workflow that can begin in that state."""
    if not isinstance(id, str) or not id.strip():
        raise ConfigurationError(f"a flow's id must be a str that is not empty, not {id!r}")
    if not isinstance(workflow, Workflow):
        raise ConfigurationError(
            f"flow {id!r}: {workflow!r} of type {type(workflow).__name__} is no Workflow"
        )
    try:
        workflow.validate()
        workflow.validate_initial_state(initial_state)
    except ConfigurationError as error:
        error.args = (f"flow {id!r}: {error}",)
        raise


def check_interval(number: Any, call: str, unit: float) -> float:
    """So many units, above 0, in seconds."""
    good = isinstance(number, int | float) and not isinstance(number, bool)
    try:
        length = float(number) * unit if good else math.nan
    except OverflowError:  # an int beyond all floats
        length = math.inf
    if not (length > 0 and math.isfinite(length)):
        raise ConfigurationError(f"{call} takes a number above 0, not {number!r}")
    if length < SHORTEST:
        raise ConfigurationError(f"{call}: {length:g} s is less than the shortest, a microsecond")
    return length


def check_means(clock: Any, observers: Any, random: Any) -> tuple[Observer, ...]:
    """What a scheduler itself is made with; returns the observers, which may be a generator's."""
    missing = [name for name in ("wall", "monotonic", "wait") if not hasattr(clock, name)]
    if isinstance(clock, type) or (clock is not None and missing):
        raise ConfigurationError(
            f"Scheduler(clock=...) takes an object with wall(), monotonic() and wait(), not "
            f"{clock!r}; such as HandClock()"
        )
    if random is not None and not isinstance(random, Random):
        raise ConfigurationError(
            f"Scheduler(random=...) takes a random.Random, not {random!r}; such as Random(7)"
        )
    if isinstance(observers, Observer) or not isinstance(observers, Iterable):
        raise ConfigurationError(f"Scheduler(observers=...) takes a list, not {observers!r}")
    listed = tuple(observers)
    for observer in listed:
        check_observer(observer, "Scheduler(observers=...)")
    return listed


def shown(ids: Iterable[str]) -> str:
    """Ids as messages list them: not all of a thousand."""
    known = sorted(ids)
    text = ", ".join(map(repr, known[:10])) or "none"
    return f"{text} and {len(known) - 10} more" if len(known) > 10 else text
