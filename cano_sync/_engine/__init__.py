"""The engine: what happens once, when a description is run. Read this page first.

**A run.** `Workflow.orchestrate` makes a `Run` (run.py) of a `Machine` (machine.py: the
description, compiled once into a table). The run walks from state to state: a plain task is one
look-up and one call; all else is a `TaskRun` (task_run.py: one task, with its store, token, state,
index and events) or a `Split`. Where nothing can end the wait, the run stays on the caller's
thread. With a time limit or a token of its own, the whole run is *offloaded* (offload.py): it walks
on a thread of a pool, while the caller waits for its end, its deadline or its cancellation.

**A retry.** The first attempt runs outside tenacity; only a failure enters it (retrying.py). An
attempt with a time limit is offloaded as a run is.

**A split** (split.py). The run's thread, its *coordinator*, starts one *worker* on a pool and
waits. Each worker starts two more, then takes branches until there are none. What has ended is put
on the `Tracker` (tracker.py), which asks the strategy; the worker whose branch makes the outcome
certain closes the fence and wakes the coordinator.

**An abandonment.** Python cannot end a thread. What outlives its limit is cancelled, its store is
closed to it (`_base/fence.py`), and its `Job` (jobs.py) is *abandoned*: the pool writes the thread
off, which then counts neither against the ceiling nor at the interpreter's exit, until the task
returns and the thread is reclaimed. Its events (events.py) say so.

**Nesting** (nesting.py). The process keeps one pool for each depth (pool.py). Work at one depth
only ever waits for work that is deeper, so no pool waits for itself.

**A drain** (draining.py) is the end of all runs of the process. Each run is registered while it is
under way, and looks whether there is a drain, which then counts how it ends. It waits for them,
cancels what is left, and reports (report.py) what does not listen: an abandoned job knows what it
is `doing`. Signals that begin one: drain_signals.py.

**Which thread calls what.** Tasks of single states: the thread that walks. Branches, strategies and
the landing of branches: the workers' threads. Callbacks of a cancellation: the thread that cancels;
where a limit ends the wait, or a signal handler has interrupted one of our waits, a thread of their
own. Hooks of observers: the thread on which the thing happens.

**Locks**, each held for a few steps, and never while user code runs, a thread starts or somebody
waits. From the outermost in: a drain's (which runs there are), then `jobs._lock` (the abandoned
jobs), then a pool's `_lock` (its threads and counts). All others stand alone: the tracker's (what
has landed), the lock of `RunEvents` (what has been emitted), the one lock of all tokens
(`_base/cancellation.py`), and that of a store with its gates: the store's first, then the gate's.
"""

from .drain_signals import is_drain_handler
from .draining import check_not_draining, stop_with_drain
from .jobs import Job
from .nesting import Nesting, inline, is_abandoned
from .offload import WRITE_GRACE
from .pool import DAEMON_THREADS, Pool, occupancy

# What the wings may take from the engine. All else that they need they take from the front door.
__all__ = (
    "DAEMON_THREADS",
    "WRITE_GRACE",
    "Job",
    "Nesting",
    "Pool",
    "check_not_draining",
    "inline",
    "is_abandoned",
    "is_drain_handler",
    "occupancy",
    "stop_with_drain",
)
