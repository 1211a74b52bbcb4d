"""For your own tests: workflows without threads, and under threads that obey.

`inline()` keeps all runs of a block on the thread of the test, so that branches see its database
transaction, its monkeypatches and its debugger:

>>> from cano_sync import JoinConfig, JoinStrategy, MemoryStore, Workflow
>>> import threading
>>> def where(store):
...     return threading.current_thread().name
>>> workflow = (
...     Workflow()
...     .register_split("ASK", [where] * 2, JoinConfig(JoinStrategy.ALL, "DONE", collect="names"))
...     .add_exit_state("DONE")
...     .with_timeout(5)
... )
>>> store = MemoryStore()
>>> with inline():
...     workflow.orchestrate("ASK", store=store)
'DONE'
>>> store.get("names") == [threading.current_thread().name] * 2
True

`start_by_hand()` runs a scheduler while the test moves its `HandClock`: a week in no time.

`simulate()` runs a workflow on threads that take turns as a seed says, and on a virtual clock;
`explore()` makes a test of it that is run under hundreds of seeds, and shows the first bad one:

>>> from cano_sync.testing import explore
>>> def add(store):
...     store.put("n", store.get("n") + 1)
>>> counter = Workflow().register_split("ADD", [add] * 2, JoinConfig(JoinStrategy.ALL, "DONE"))
>>> counter = counter.add_exit_state("DONE")
>>> @explore(seeds=100)
... def test_counter(sim):
...     assert sim.run(counter, "ADD", store={"n": 0}).store["n"] == 2
>>> try:
...     test_counter()
... except AssertionError as failure:
...     print(failure.story)
add[0]  get n → 0
add[1]  get n → 0
add[1]  put n = 1
add[0]  put n = 1   ← lost: add[1]'s write was overwritten unread
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .._base.inline import InlineExecutor
from .._engine import inline
from ..scheduler.clock import HandClock
from ..scheduler.handles import ByHand
from ..scheduler.scheduler import start_by_hand

if TYPE_CHECKING:
    from .simulation.errors import (
        ExplorationCutWarning,
        ScheduleWarning,
        SimulationError,
        SimulationFailure,
    )
    from .simulation.explore import Exploration, Simulation, explore
    from .simulation.faults import InjectedFault
    from .simulation.session import outside
    from .simulation.simulate import SimulatedRun, simulate, simulate_call

__all__ = (
    "ByHand",
    "Exploration",
    "ExplorationCutWarning",
    "HandClock",
    "InjectedFault",
    "InlineExecutor",
    "ScheduleWarning",
    "SimulatedRun",
    "Simulation",
    "SimulationError",
    "SimulationFailure",
    "explore",
    "inline",
    "outside",
    "simulate",
    "simulate_call",
    "start_by_hand",
)

# Loaded when first asked for: what keeps a test's database in one transaction need not wait for it.
_SIMULATION = {
    "Exploration": ".simulation.explore",
    "ExplorationCutWarning": ".simulation.errors",
    "InjectedFault": ".simulation.faults",
    "ScheduleWarning": ".simulation.errors",
    "SimulatedRun": ".simulation.simulate",
    "Simulation": ".simulation.explore",
    "SimulationError": ".simulation.errors",
    "SimulationFailure": ".simulation.errors",
    "explore": ".simulation.explore",
    "outside": ".simulation.session",
    "simulate": ".simulation.simulate",
    "simulate_call": ".simulation.simulate",
}


def __getattr__(name: str) -> Any:
    """Load the simulation when one of its names is first asked for."""
    if name not in _SIMULATION:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_SIMULATION[name], __name__), name)
    return value
