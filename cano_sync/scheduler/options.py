"""What a flow is added with, checked before anything happens."""

from __future__ import annotations

__all__ = ("FlowOptions", "Settings", "check_flow", "settings_of")

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypedDict, TypeVar

from .._base.durations import Duration, seconds
from .._base.store import Store, check_store
from .._base.text import full_name
from .._model.description import is_collection
from ..errors import ConfigurationError
from ..workflow import Workflow
from .backoff import Backoff
from .timetable import Timetable

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


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of a flow, checked and made ready.

    Attributes:
        store: makes the store of a run, on the run's thread; None for the workflow's own.
        jitter: seconds; 0 for none.
        fail_on: the exit states that count as a failure, each with how messages name it.
    """

    store: Callable[[], Store | None]
    catch_up: bool
    jitter: float
    backoff: Backoff | None
    fail_on: dict[Any, str]


def settings_of(
    id: str, given: FlowOptions[Any], workflow: Workflow[Any], timetable: Timetable
) -> Settings:
    """Check what was given by name.

    Raises:
        ConfigurationError: an option makes no sense.
        TypeError: there is no such option.
    """
    known = set(FlowOptions.__annotations__)
    unknown = sorted(set(given) - known)
    if unknown:
        raise TypeError(
            f"a flow has no option {', '.join(unknown)}; there are {', '.join(sorted(known))}"
        )
    catch_up, backoff = given.get("catch_up", False), given.get("backoff")
    if not isinstance(catch_up, bool):
        raise ConfigurationError(f"catch_up is True or False, not {catch_up!r}")
    if backoff is not None and not isinstance(backoff, Backoff):
        raise ConfigurationError(
            f"backoff must be a Backoff, not {backoff!r}; such as Backoff(10, trip_after=5)"
        )
    spread = given.get("jitter")
    jitter = 0.0 if spread is None else seconds(spread, "jitter")
    if timetable.interval is not None and jitter >= timetable.interval:
        raise ConfigurationError(
            f"a jitter of {jitter:g} s must be less than the interval of {timetable.interval:g} s, "
            "or runs would pass each other"
        )
    fail_on = _failures(id, given.get("fail_on"), list(workflow.description.exits))
    return Settings(_factory(given.get("store")), catch_up, jitter, backoff, fail_on)


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
    check_store(store)
    given: Any = store  # for some type checkers it is still what can be called
    return lambda: given


def _made_by(factory: Callable[[], Any]) -> Store:
    made = factory()
    if made is None:
        raise ConfigurationError(
            f"the store factory {factory!r} returned None: did it forget to return the store?"
        )
    check_store(made)
    store: Store = made
    return store


def check_flow(id: Any, workflow: Any, initial_state: Any, timetable: Any) -> None:
    """An id, a workflow that can begin in that state, and a timetable.

    Raises:
        ConfigurationError: one of them is something else.
    """
    if not isinstance(id, str) or not id.strip():
        raise ConfigurationError(f"a flow's id must be a str that is not empty, not {id!r}")
    if not isinstance(workflow, Workflow):
        raise ConfigurationError(
            f"flow {id!r}: {workflow!r} of type {type(workflow).__name__} is no Workflow"
        )
    if not isinstance(timetable, Timetable):
        raise ConfigurationError(
            f"flow {id!r}: {timetable!r} of type {type(timetable).__name__} is no timetable; give "
            "Every(minutes=10), Cron('0 9 * * MON'), At(schedule.every().day.at('09:00')) or "
            "Manual()"
        )
    try:
        workflow.validate()
        workflow.validate_initial_state(initial_state)
    except ConfigurationError as error:
        error.args = (f"flow {id!r}: {error}",)
        raise
