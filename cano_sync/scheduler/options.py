"""What a flow is added with, checked before anything happens."""

from __future__ import annotations

__all__ = (
    "FlowOptions",
    "Options",
    "check_flow",
    "check_means",
    "interval_of",
    "options_of",
    "units_of",
)

import math
from collections.abc import Callable, Iterable
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypedDict, TypeVar

from .._base.durations import Duration, seconds
from .._base.store import Store
from .._base.text import full_name
from .._base.value import Value
from .._model.arguments import check_observer, check_run, is_collection
from .._model.hooks import Observer
from ..errors import ConfigurationError
from ..workflow import Workflow
from .backoff import Backoff
from .timetable import SHORTEST

if TYPE_CHECKING:  # a type variable with a default: `FlowOptions` alone is that of any states
    from typing_extensions import TypeVar as TypeVarWithDefault

    S = TypeVarWithDefault("S", default=Any)
else:
    S = TypeVar("S")

StoreFactory: TypeAlias = Callable[[], Store]


class FlowOptions(TypedDict, Generic[S], total=False):
    """What every call that adds a flow takes by name. All may be left out.

    - `store`: the store of all its runs; or what makes one, called for each run on the run's own
      thread. Default: the workflow's store, or else a fresh `MemoryStore` in each run.
    - `catch_up`: True if times that were missed are made up for, one after the other. Default:
      False. However many passed while the flow was still running, it runs at the next one; and
      however many while the clock stood still, it runs once.
    - `jitter`: seconds (or a `timedelta`; not a share, as that of a `Backoff`) up to which each
      run begins later, at random, so that not all begin at once. The times themselves stay where
      they are. Less than the flow's interval. Default: None, for no such delay.
    - `backoff`: a `Backoff`, how it waits longer after failures, and trips. Default: None: it runs
      at all its times, however often it fails.
    - `fail_on`: an exit state, or several, that count as a failure: for the failures in a row, and
      so for the backoff, for `flow_finished`, and for the status. The future of `trigger` has the
      state nevertheless. Default: None; only a run that raises an error has failed.

    >>> from cano_sync import Workflow
    >>> from cano_sync.scheduler import Scheduler
    >>> workflow = Workflow().register("LOAD", lambda: "NO_DATA").add_exit_states("DONE", "NO_DATA")
    >>> options: FlowOptions[str] = {"jitter": 20, "fail_on": "NO_DATA"}
    >>> scheduler = Scheduler()
    >>> scheduler.every_minutes("load", workflow, "LOAD", 5, **options)
    >>> with scheduler.start_in_background():
    ...     scheduler.trigger("load").result()
    'NO_DATA'
    >>> print(scheduler.status("load").last_error)
    the run came to 'NO_DATA', which fail_on names
    """

    store: Store | StoreFactory | None
    catch_up: bool
    jitter: Duration | None
    backoff: Backoff | None
    fail_on: S | Iterable[S] | None


class Options(Value):
    """The same, made ready."""

    __slots__ = ("store", "catch_up", "jitter", "backoff", "fail_on")  # noqa: RUF023

    store: Callable[[], Store | None]
    catch_up: bool
    jitter: float
    backoff: Backoff | None
    fail_on: dict[Any, str]  # each with how messages name it

    def __init__(
        self,
        store: Store | StoreFactory | None = None,
        catch_up: bool = False,
        jitter: Duration | None = None,
        backoff: Backoff | None = None,
        fail_on: dict[Any, str] | None = None,
    ) -> None:
        if not isinstance(catch_up, bool):
            raise ConfigurationError(f"catch_up is True or False, not {catch_up!r}")
        if backoff is not None and not isinstance(backoff, Backoff):
            raise ConfigurationError(
                f"backoff must be a Backoff, not {backoff!r}; such as Backoff(10, trip_after=5)"
            )
        spread = 0.0 if jitter is None else seconds(jitter, "jitter")
        self._fill(_factory(store), catch_up, spread, backoff, fail_on or {})


def options_of(
    id: str, given: FlowOptions[Any], exits: Iterable[Any], interval: float | None
) -> Options:
    """Check what was given by name.

    Args:
        id: of the flow.
        given: the options.
        exits: of its workflow.
        interval: of its timetable, if that has one.
    """
    known = set(FlowOptions.__annotations__)
    unknown = sorted(set(given) - known)
    if unknown:
        raise TypeError(
            f"a flow has no option {', '.join(unknown)}; there are {', '.join(sorted(known))}"
        )
    rest: Any = {name: value for name, value in given.items() if name != "fail_on"}
    options = Options(**rest, fail_on=_failures(id, given.get("fail_on"), list(exits)))
    if interval is not None and options.jitter >= interval:
        raise ConfigurationError(
            f"a jitter of {options.jitter:g} s must be less than the interval of {interval:g} s, "
            "or runs would pass each other"
        )
    return options


def _failures(id: str, fail_on: Any, exits: list[Any]) -> dict[Any, str]:
    """One exit state, which may be a tuple, or several."""
    if fail_on is None:
        return {}
    several = fail_on not in exits and is_collection(fail_on)
    states = list(fail_on) if several else [fail_on]
    wrong = [state for state in states if state not in exits]
    if wrong:
        raise ConfigurationError(
            f"flow {id!r}: fail_on names {', '.join(map(full_name, wrong))}, where no run ends; it "
            "takes one or several of the workflow's exit states: "
            f"{', '.join(map(full_name, exits))}"
        )
    return {state: full_name(state) for state in states}


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


def interval_of(given: Any) -> float:
    """An interval above 0, in seconds."""
    number = given.total_seconds() if isinstance(given, timedelta) else given
    takes = f"every() takes an interval above 0, in seconds or as a timedelta, not {given!r}"
    return _above_0(number, 1.0, "every()", takes)


def units_of(number: Any, call: str, unit: float) -> float:
    """So many units, above 0, in seconds."""
    takes = f"{call} takes a number above 0, not {number!r}"
    if isinstance(number, timedelta):
        takes += "; every() takes a timedelta"
    return _above_0(number, unit, call, takes)


def _above_0(number: Any, unit: float, call: str, takes: str) -> float:
    good = isinstance(number, int | float) and not isinstance(number, bool)
    try:
        length = float(number) * unit if good else math.nan
    except OverflowError:  # an int beyond all floats
        length = math.inf
    if not (length > 0 and math.isfinite(length)):
        raise ConfigurationError(takes)
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
