"""The engine: what happens once, when a description is run. Read this page first.

**A run.** `Workflow.orchestrate` makes a `Run` (run.py) of a `Machine` (machine.py: the
description, compiled once into a table). The run walks from state to state: a plain task is one
look-up and one call; all else is a `TaskRun` (task_run.py: one task, with its store, token, state,
index and events) or a `Split`. Where nothing can end the wait, the run stays on the caller's
thread. With a time limit or a token of its own, the whole run is *offloaded* (offload.py): it walks
on a thread of a pool, while the caller waits for its end, its deadline or its cancellation.
(`Workflow.submit` is `Run.start`: that, too, takes a thread of a pool, so that a submitted run with
a limit has two, at two depths.)

**A recorded run** has a `Journal` (journal.py), opened on the caller's thread before the run
begins: by a new row, or by a claim of one that is there. The thread that walks writes each
transition, with what has changed in the store (`_base/tracked.py`), after the task and before the
next one, and closes the journal: with the exit, with the run's error, or, after all that is no
failure of the run, by giving it back. What a backend raises passes by error states and retries.
Without checkpoints nothing of this is even imported.

**A retry.** The first attempt runs outside tenacity, and only a failure enters it (retrying.py);
unless tenacity is to be asked about successes, too: by `before=`, or a predicate about results. An
attempt with a time limit is offloaded as a run is.

**A split** (split.py). The run's thread, its *coordinator*, starts one *worker* on a pool and
waits. Each worker starts up to two more, then takes branches until there are none, or a verdict, or
the run is cancelled. What has ended is put on the `Tracker` (tracker.py), which asks the strategy;
the worker whose branch makes the outcome certain closes the fence and wakes the coordinator.

**Nesting** (nesting.py). The process keeps one pool for each depth (pool.py). Work at one depth
only ever waits for work that is deeper, so no pool waits for itself. The depth travels by
`contextvars`, as the current token and the gate do: so not into a plain `threading.Thread` that a
task starts, where a run begins at depth 0 again; nor can the engine know that its caller is on a
thread of the executor that was given to `with_executor`. Each pool has a ceiling of 512 threads,
not counting those with abandoned tasks, which stay when they return: so it may come to have more.

**Where a task is called**, in the order of what it costs:

- `Run._walk`, `step(store)`: a task of a single state that takes nothing but the store.
- `TaskRun.attempt`: any other one, and each attempt of several; on this thread, or offloaded.
- `Split._branch`, `context.run(task.plain, ...)`: a branch that takes nothing but the store.
- `Surroundings._call_within`: where something surrounds tasks, in the place of the three above.
- `listing.list_branches`: the task that lists a split's branches, by a `TaskRun` as well.

**What surrounds them** (surroundings.py). A machine's arounds, with those of the process, are
sorted once. A run has its `Surroundings` on the thread that it is on; where work goes to another
one, `hand_over` asks the arounds, lets them capture, and gives those of the other thread. Each
attempt is called within them; a pool thread's job is, too, until its last branch is about to land.
An abandoned task leaves them with `Cancelled`, whatever it has returned.

**Limits that stay** (staying.py). With `stay=True` a run walks on its caller's thread in spite of a
limit or a token: the timer's thread cancels its token in time, and the loop looks at that. So do
its attempts. `inline()` (nesting.py) has nothing handed over at all, for users' tests.

**A drain** (draining.py) is the end of all runs of the process. Each run is registered while it is
under way, and looks whether there is a drain, which then counts how it ends. It waits for them,
cancels what is left, and reports (report.py) what does not listen: an abandoned job knows what it
is `doing`. Signals that begin one: drain_signals.py.

**Which thread calls what.** Tasks of single states: the thread that walks. Branches, strategies and
the landing of branches: the workers' threads. Callbacks of a cancellation: the thread that cancels;
where a limit ends the wait, or a signal handler has interrupted a wait or a lock that is marked
(see below), a thread of their own. Hooks of observers: the thread on which the thing happens.

**An abandonment.** Python cannot end a thread. So who waits goes on without what outlives its
limit, or the verdict (`Split._leave`, and `leave` in `run_on_pool`). Each step can be done twice,
and where Ctrl-C comes in the middle of one all are done again (`INTERRUPTS` in `_base/waiting.py`):

1. In a split, there is a verdict from now on, if there was none: nothing lands any more.
2. The token is cancelled. Who waits for it is woken at once; users' callbacks get a thread of their
   own. Work that is offloaded has 0.2 ms for its last word, the cause of the error.
3. The gate is closed (`_base/fence.py`): the task reads and writes nothing any more. A write of a
   foreign store that is under way has 5 ms to end. (In a split, this is done before step 2.)
4. Work that has not begun is called off (`Completion.cancel`; a branch is just never taken), and
   that was all. For work that has:
5. `Job.abandon` (jobs.py) puts the job among the abandoned ones, which are counted, and
   `Pool.write_off` does without the thread: it counts neither against the ceiling nor at the
   interpreter's exit. If a job waits for a thread, `Pool.fill` has another one started.
6. Where somebody listens, `RunEvents.abandon` or `TaskEvents.abandon` (events.py) has done step 5,
   and emits `task_cancelled` and `task_abandoned`.
7. The token is cut off its parents, which may outlive it.
8. Later, if the work ever ends, its thread finds in `Job._return` that it was abandoned: the job is
   no longer counted, `Pool.reclaim` takes the thread back, and `task_returned` is emitted.

(`Abandoned`, the exception, is how `run_on_pool` says to its caller that this has happened.)

**Waits**, and what ends each. All but the two of the standard library's are on locks that are taken
and released in C: see `Wakeup` in `_base/waiting.py` for why, and why not on futures.

- The coordinator's, for {decided, cancelled}, and the caller's of offloaded work, for {completed,
  cancelled} (`wait_first`): one of the two, or the deadline.
- A coordinator's for hooks that still hear of branches that have landed: their end, a cancellation
  or the deadline.
- The last word and the foreign write, above: their end, or 0.2 ms and 5 ms.
- `CancellationToken.wait` and `sleep`: a cancellation, or the time. `Registration.remove`: the end
  of the callback, however long that takes. `wait_for_abandoned`: the last return, or the time.
- A pool's idle thread, in its queue: a job, or the end of the pool. `Pool.wait_for_threads`, at the
  exit and in `shutdown`: the end, or the abandonment, of all that they do.
- The timer's thread (`_base/timer.py`), in its `Condition`: the next deadline, or five idle
  seconds.
- `threading.Thread.start`, in `Pool.start`: the new thread runs. No deadline ends this. Of the
  threads that wait for limits, each may start one: for the work that it then waits for.
- A lock of the list below; no deadline ends that either. All are held for a few steps, but a
  store's: for as long as the function of somebody's `update` takes. So what a join writes, like
  anything else, may wait for an update in an abandoned branch (law 1).

**The world** (`_base/world.py`). Time, these waits, threads and chance are asked of one object, in
whose place a simulation (`cano_sync.testing`) puts its own. The loop of a run asks it for nothing.

**Locks**, each held for a few steps, and never while user code runs, a thread starts or somebody
waits, with the two exceptions that are named. Whoever holds one takes no other, but as said here:

- A drain's `_lock`: which runs there are, and how they end. Within it, `jobs._lock`.
- `jobs._lock`: the set of the abandoned jobs, who waits for its end, and what a job calls on its
  return. Within it, a pool's `_lock`.
- A pool's `_lock`: its threads and counts.
- The tracker's `_lock`: what is pending, running, landed and decided.
- `RunEvents.lock`: what has been emitted, in the run and in each of its tasks. Also of
  `_Abandonment`. Hooks are called without it.
- `cancellation._lock`, one for all tokens: who listens to whom, which callbacks there are and how
  far they have come.
- A store's lock, and within it those of the gates of its fences: all gates below one share a lock;
  where there are several, in the order of their identities. An `update`'s function, which is user
  code, runs under the store's lock, and under no gate's.
- The timer's: the heap of its deadlines.
- `lazy._loading`: while a module is imported, which takes its time.
- `Split._locating`: where an error that several branches have raised says that it comes from.
- `surroundings._lock`: the arounds of all runs. `run._id_lock`: that a run has one id.
- `journal._closed`, a condition: the journals that are open; and of each journal, its `_lock`:
  whether a thread walks, and whether it is closed.

At a fork, `lazy._loading` is taken first and then the lock of all tokens; those of the jobs, the
pools, the timer and the arounds are made anew in the child; those of a run, a store and its gates
are as the fork found them. A signal handler may cancel in the middle of any of them, for those that
it could need are re-entrant. Where a thread waits, or holds the lock of the jobs, a pool, the
tokens or the timer, it is *marked* (`interruptible_wait`, a lock of each thread's own): a handler
then leaves the callbacks to another thread, since the frame below may hold what they need. The
locks of trackers, events, stores and gates are not marked: no callback of ours needs them, and one
of a user's that uses the store may come back there on the same thread.
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
