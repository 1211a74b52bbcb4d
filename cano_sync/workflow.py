"""`Workflow`: the builder. It describes; a run happens in the engine."""

from __future__ import annotations

__all__ = ("Workflow", "kept_in", "within")

import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Generic, Never, TypeVar, overload

from ._base.cancellation import CancellationToken, check_token
from ._base.durations import Duration, limit
from ._base.lazy import Lazy
from ._base.store import MemoryStore, Store, check_store
from ._base.text import full_name
from ._base.tracebacks import without_engine_frames
from ._base.world import world
from ._engine.machine import Machine
from ._engine.request import Request
from ._engine.run import Run
from ._engine.surroundings import installed_arounds
from ._model.around import AnyAround, Around, around_of
from ._model.config import TaskConfig
from ._model.description import (
    Description,
    SingleState,
    SplitState,
    is_collection,
    single_state,
    split_state,
)
from ._model.executor import check_executor, check_open
from ._model.hooks import Observer, check_observer
from ._model.join import JoinConfig
from ._model.task import Task, TaskResult
from ._model.validation import problems_of, same_names
from .errors import CanoError, ConfigurationError, DiscardedWorkflowWarning

if TYPE_CHECKING:  # a type variable with a default: `Workflow()` has no states yet
    from typing_extensions import TypeVar as TypeVarWithDefault

    from ._model import checkpoint

    S = TypeVarWithDefault("S", default=Never)
else:
    S = TypeVar("S")
    checkpoint = Lazy("._model.checkpoint", __package__)  # for runs that are recorded
T = TypeVar("T")

AnyTask = Callable[..., Any] | Task
AnyTasks = Sequence[AnyTask] | Callable[..., Iterable[AnyTask]]


class Workflow(Generic[S]):
    """A finite state machine, described: which task each state has, and where runs end.

    Immutable and safe to share between threads: build it once, at import time, and run it as
    often as you like. Each builder method returns a *new* workflow; one that is dropped without
    being used emits a `DiscardedWorkflowWarning`. For a type checker the first registration
    settles the type of the states; `Workflow[Quote]()` says it beforehand, and checks that one too.

    Args:
        store: the store of its runs; None for a fresh `MemoryStore` in each.

    >>> def greet(store: Store) -> str:
    ...     store.put("greeting", f"Hello, {store.get('name', str)}!")
    ...     return "DONE"
    >>> workflow = Workflow().register("GREET", greet).add_exit_state("DONE")
    >>> store = MemoryStore({"name": "Ada"})
    >>> workflow.orchestrate("GREET", store=store)
    'DONE'
    >>> store.get("greeting")
    'Hello, Ada!'
    """

    __slots__ = ("__weakref__", "_description", "_idle", "_machine")

    def __init__(self, store: Store | None = None) -> None:
        self._idle = False  # whether a builder method made it and nobody has used it yet
        self._machine: Machine | None = None  # compiled by the first run, once validated
        check_store(store)
        self._description = Description({}, {}, store=store)

    def _with(self, description: Description) -> Any:
        self._idle = False
        made = Workflow.__new__(type(self))
        made._description = description
        made._machine = None
        made._idle = True
        return made

    def __del__(self) -> None:
        # An __init__ that raised has left no attributes.
        if getattr(self, "_idle", False) and not sys.is_finalizing():
            warnings.warn(
                "a Workflow was dropped without being used: builder methods return a new "
                "workflow, so write `workflow = workflow.register(...)`",
                DiscardedWorkflowWarning,
                stacklevel=2,
            )

    # Building.

    @overload
    def register(
        self: Workflow[Never],
        state: T,
        task: AnyTask,
        config: TaskConfig | None = None,
        *,
        error_state: T | None = None,
    ) -> Workflow[T]: ...
    @overload
    def register(
        self,
        state: S,
        task: Callable[..., S | TaskResult[S]] | Task,
        config: TaskConfig | None = None,
        *,
        error_state: S | None = None,
    ) -> Workflow[S]: ...
    def register(
        self,
        state: Any,
        task: Any,
        config: TaskConfig | None = None,
        *,
        error_state: Any = None,
    ) -> Any:
        """Give a state its task.

        Args:
            state: the state.
            task: a callable, a `Task` or a `Node`, which returns the next state.
            config: retries and the attempt's time limit; goes before the task's own.
            error_state: where the run goes when the task has failed, instead of raising;
                there the error is `context.error`.

        Raises:
            ConfigurationError: the state is taken or cannot be hashed, or the task cannot be
                called with what there is.
        """
        self._idle = False
        self._description.check_free(state)
        return self._add(
            state, single_state(state, task, config, error_state, self._description.provided)
        )

    @overload
    def register_split(
        self: Workflow[Never], state: T, tasks: AnyTasks, join_config: JoinConfig[T]
    ) -> Workflow[T]: ...
    @overload
    def register_split(
        self, state: S, tasks: AnyTasks, join_config: JoinConfig[S]
    ) -> Workflow[S]: ...
    def register_split(self, state: Any, tasks: Any, join_config: Any) -> Any:
        """Give a state many tasks, which run at once and join.

        Args:
            state: the state.
            tasks: the tasks; or a callable `(store) -> iterable of tasks` that lists them when
                the state is entered. What a task returns is its outcome's value. Its config and
                name are its own, or attached: `task(config=..., name=...)(function)`.
            join_config: the strategy, the state that follows, the time limit and the rest.

        Raises:
            ConfigurationError: as for `register`; or the strategy cannot be met by so many
                tasks.
        """
        self._idle = False
        self._description.check_free(state)
        return self._add(state, split_state(state, tasks, join_config, self._description.provided))

    @overload
    def add_exit_state(self: Workflow[Never], state: T) -> Workflow[T]: ...
    @overload
    def add_exit_state(self, state: S) -> Workflow[S]: ...
    def add_exit_state(self, state: Any) -> Any:
        """Name a state in which runs end. Naming it twice changes nothing."""
        return self._add_exits((state,))

    @overload
    def add_exit_states(self: Workflow[Never], states: Iterable[T], /) -> Workflow[T]: ...
    @overload
    def add_exit_states(self: Workflow[Never], *states: T) -> Workflow[T]: ...
    @overload
    def add_exit_states(self, states: Iterable[S], /) -> Workflow[S]: ...
    @overload
    def add_exit_states(self, *states: S) -> Workflow[S]: ...
    def add_exit_states(self, *states: Any) -> Any:
        """Name several; one iterable of states is accepted too."""
        if len(states) == 1 and is_collection(states[0]):
            states = tuple(states[0])
        return self._add_exits(states)

    def with_timeout(self, timeout: Duration | None, *, stay: bool = False) -> Workflow[S]:
        """Limit each run to so many seconds (or a `timedelta`); None for no limit.

        A run that takes longer raises `WorkflowTimeoutError`; what it was doing is cancelled,
        and abandoned where it does not cooperate. The run's tasks move to a thread of the pool.

        Args:
            timeout: the limit.
            stay: keep the limit on the calling thread instead: for what belongs to that thread, as
                a database transaction does. The time is looked at between states; it ends splits,
                `cancel.sleep()` and each call that takes `cancel.remaining()`. A single task that
                does not listen is waited for, and the error says how long. So is, in such a run,
                an attempt with a time limit.
        """
        self._idle = False
        _check_stay(stay, "with_timeout()")
        length = limit(timeout, "with_timeout()")
        made: Workflow[S] = self._with(self._description._replace(timeout=length, stays=stay))
        return made

    def with_executor(self, executor: Executor | None) -> Workflow[S]:
        """Run the branches of splits on your own executor; None for the process's pool.

        It stays yours: keep it open until the last run has ended, and shut it down yourself. A
        split inside a branch uses the process's pool, so that no executor waits for itself.
        """
        self._idle = False
        check_executor(executor)
        made: Workflow[S] = self._with(self._description._replace(executor=executor))
        return made

    def with_observer(self, observer: Observer) -> Workflow[S]:
        """Emit the events of each run to this observer, too, after those attached before.

        See `cano_sync.observe` for ready-made ones and for what an observer can hear.

        Raises:
            ConfigurationError: it is no observer, hears nothing, or a hook takes too little.
        """
        self._idle = False
        check_observer(observer)
        observers = (*self._description.observers, observer)
        made: Workflow[S] = self._with(self._description._replace(observers=observers))
        return made

    def with_around(
        self,
        around: AnyAround,
        *,
        name: str | None = None,
    ) -> Workflow[S]:
        """Surround each attempt at a task, and the pool threads' jobs, with this, too.

        Args:
            around: an `Around`, or a function `(context) -> context manager`: each attempt is
                made within what it returns. The first that is attached is the outermost.
            name: tasks that are registered afterwards may take a parameter of this name, and get
                what the function's context manager has given; None for none. An `Around` says it
                by its attribute `name`.

        Raises:
            ConfigurationError: it is neither, or does nothing; or the name is taken.

        >>> from contextlib import contextmanager
        >>> @contextmanager
        ... def session(context):
        ...     rows = []
        ...     yield rows
        ...     print("commit", rows)
        >>> def save(store, session):
        ...     session.append("order")
        ...     return "DONE"
        >>> workflow = Workflow().with_around(session, name="session").register("SAVE", save)
        >>> workflow.add_exit_state("DONE").orchestrate("SAVE")
        commit ['order']
        'DONE'
        """
        self._idle = False
        before, added = self._description.arounds, around_of(around, "with_around()", name)
        if added.name in self._description.provided:
            raise ConfigurationError(f"with_around(): the name {added.name!r} is taken already")
        arounds = (*before, added)
        made: Workflow[S] = self._with(self._description._replace(arounds=arounds))
        return made

    def with_checkpoints(
        self,
        checkpoints: checkpoint.Checkpoints,
        *,
        name: str,
        version: int | str | None = None,
        upgrade: Callable[[Any, str, MemoryStore], S] | None = None,
        types: Iterable[Any] | Mapping[str, Any] = (),
        transient: Iterable[str] = (),
        check: bool = False,
    ) -> Workflow[S]:
        """Record each run, so that it can go on in another process: see `cano_sync.checkpoints`.

        Each time that a run comes to a state, that and what has changed in its store are
        recorded before the state's task begins. What the store holds must be of types that can
        be recorded: those of JSON, tuples, sets, bytes, dates, `Decimal`, `UUID`, paths, and
        `types`. A run's store is a `MemoryStore`.

        Args:
            checkpoints: where, such as `SQLiteCheckpoints(path)`.
            name: what the workflow is called there. Keep it: recorded runs are found by it.
            version: a number or a text; None counts as 0. Raise it when recorded runs cannot go
                on as they are: a state is no more, or keys of the store have another meaning.
            upgrade: brings runs of other versions here: `(version, name of the state, store) ->
                state`; it may change the store, and nothing else, for it may be called twice.
                Without it, such a run is a `VersionMismatchError`.
            types: dataclasses, named tuples, enums, classes of attrs, msgspec and pydantic, and a
                `Codec` for anything else; a mapping gives them other names than their own. The
                states' own enum is known.
            transient: keys of the store that are never recorded, such as that of a client.
            check: let each step encode the whole store, and raise a `CheckpointError` where an
                object was changed that the state's task had not fetched: for tests.

        Raises:
            ConfigurationError: an argument is wrong, or two states have one name.
        """
        self._idle = False
        kept = checkpoint.keeping(checkpoints, name, version, upgrade, types, transient, check)
        described = self._description
        problems = list(same_names([*described.states, *described.exits]))
        if problems:
            raise ConfigurationError.of(problems)
        made: Workflow[S] = self._with(described._replace(keeping=kept))
        return made

    # Looking, checking and running.

    @property
    def description(self) -> Description:
        """What it describes, as data that never changes: for what draws or lists workflows."""
        self._idle = False
        return self._description

    def validate(self) -> None:
        """Check the whole description.

        Raises:
            ConfigurationError: its `.problems` are all that were found.
        """
        self._idle = False
        self._compiled()

    def validate_initial_state(self, state: S) -> None:
        """Check that a run can begin in this state.

        Raises:
            ConfigurationError: it has neither a task nor is it an exit.
        """
        self._idle = False
        self._description.check_initial(state)

    def orchestrate(
        self,
        initial_state: S,
        *,
        store: Store | None = None,
        cancel: CancellationToken | None = None,
        stay: bool = False,
        run_id: str | None = None,
    ) -> S:
        """Run from `initial_state` until an exit state, and return that. Blocks.

        Without a workflow timeout and without `cancel`, single states' tasks run on the calling
        thread. Otherwise the run moves to a pool thread, and the call ends within milliseconds
        of its deadline or cancellation, whatever the tasks are doing.

        Args:
            initial_state: where to begin.
            store: the run's store; None for the workflow's, or else a fresh `MemoryStore`.
            cancel: a token that ends the run when it is cancelled.
            stay: keep the run on this thread, though it has a limit or a token: see
                `with_timeout`.
            run_id: the run's id, for a workflow with checkpoints; None for a new one. Where a run
                of this id is recorded, the call goes on with it from its latest state, with the
                recorded values in `store`; where it has ended, it gives its exit state, or
                raises its error. So the same call can be made again after whatever has ended the
                first.

        Raises:
            ConfigurationError: the workflow, or an argument, is wrong.
            WorkflowTimeoutError: the time of `with_timeout` was up.
            WorkflowCancelledError: the token was cancelled.
            JoinError, SplitTimeoutError: a split failed.
            TaskExecutionError: a task failed; the `__cause__` is what it raised.
            CanoError: what a task raised that is one already, as a store's `KeyNotFoundError`,
                passes as it is, with its state and task filled in; see `cano_sync.errors`.
            RunBusyError: another thread, or a process that lives, is at this run.
            CheckpointError: it could not be recorded, or read: see its children. The run stays
                where it was recorded last.
        """
        _check_stay(stay, "orchestrate()")
        return self._run(self._prepare(initial_state, store, cancel, stays=stay, run_id=run_id))

    def resume(
        self,
        run_id: str,
        *,
        store: Store | None = None,
        cancel: CancellationToken | None = None,
        takeover: bool = False,
    ) -> S:
        """Go on with a recorded run from its latest state, until an exit state. Blocks.

        As `orchestrate(initial_state, run_id=...)` does where the run is there.

        Args:
            run_id: its id.
            store: gets the recorded values, in place of all that it holds (but for the transient
                keys); None for a store of its own.
            cancel: a token that interrupts the run when it is cancelled.
            takeover: take the run from a process that lives, but is known to be stuck: from then
                on that one can record nothing of it.

        Raises:
            RunNotFoundError: there is no run of this id.
            RunBusyError: another thread, or a process that lives, is at it.
            VersionMismatchError: it was recorded by another version, and there is no `upgrade`.
            CorruptCheckpointError: what is recorded cannot be read.
            CanoError: as for `orchestrate`; and what it had failed with before.
        """
        if not isinstance(takeover, bool):
            raise ConfigurationError(f"resume(): takeover must be True or False, not {takeover!r}")
        if run_id is None:
            raise ConfigurationError("resume() needs the id of a run, not None")
        return self._run(
            self._prepare(None, store, cancel, run_id=run_id, resumes=True, takeover=takeover)
        )

    def _run(self, run: Run) -> S:
        try:
            state: S = copy_context().run(run.execute) if run.is_observed else run.execute()
        except CanoError as error:
            without_engine_frames(error)
            raise
        return state

    def submit(
        self,
        initial_state: S,
        *,
        store: Store | None = None,
        cancel: CancellationToken | None = None,
        run_id: str | None = None,
    ) -> Future[S]:
        """Run in the background; the future has the exit state, or the error.

        The arguments are checked before it returns. The run stands on its own: to end it with
        the task that submitted it, pass that task's token. `Future.cancel` has no effect on a
        run that has begun; `cancel` has. The interpreter's exit waits for it, after Ctrl-C too,
        unless its token is cancelled: `except KeyboardInterrupt: token.cancel(); raise`.
        """
        return self._prepare(initial_state, store, cancel, run_id=run_id).start()

    def _prepare(
        self,
        initial_state: S | None,
        store: Store | None,
        cancel: CancellationToken | None,
        *,
        stays: bool = False,
        run_id: str | None = None,
        resumes: bool = False,
        takeover: bool = False,
    ) -> Run:
        self._idle = False
        machine = self._machine
        if machine is None or machine.installed is not installed_arounds():
            machine = self._compiled()
        if not resumes:
            self._description.check_initial(initial_state)
        check_store(store)
        check_token(cancel)
        check_open(self._description.executor)
        given = self._description.store if store is None else store
        given = MemoryStore() if given is None else given
        request = None
        if machine.keeping is not None:
            _check_kept(run_id, given)
            request = Request(run_id, has_store=store is not None, takeover=takeover)
        elif run_id is not None:
            raise ConfigurationError(
                f"run_id={run_id!r}: the runs of this workflow are not recorded; describe how by "
                "with_checkpoints(...)"
            )
        else:
            given = world.store(given)
        return Run(machine, initial_state, given, cancel, stays=stays, request=request)

    def _compiled(self) -> Machine:
        # Two threads may both do it, with the same outcome.
        machine, installed = self._machine, installed_arounds()
        if machine is None:
            problems = problems_of(self._description)
            if problems:
                raise ConfigurationError.of(problems)
        if machine is None or machine.installed is not installed:
            machine = self._machine = Machine(self._description, installed)
        return machine

    def _add(self, state: Any, what: SingleState | SplitState) -> Any:
        states = {**self._description.states, state: what}
        return self._with(self._description._replace(states=states))

    def _add_exits(self, states: tuple[Any, ...]) -> Any:
        self._idle = False
        for state in states:
            self._description.check_exit(state)
        exits = {**self._description.exits, **dict.fromkeys(states)}
        return self._with(self._description._replace(exits=exits))

    def __repr__(self) -> str:
        described = self._description
        count = len(described.states)
        return (
            f"<Workflow of {count} state{'' if count == 1 else 's'}, exits: "
            f"{', '.join(map(full_name, described.exits)) or 'none'}>"
        )


def within(workflow: Workflow[S], arounds: tuple[Around, ...]) -> Workflow[S]:
    """The workflow with what surrounds all its own arounds (for the wings)."""
    described = workflow.description
    made: Workflow[S] = workflow._with(described._replace(arounds=(*arounds, *described.arounds)))
    return made


def kept_in(workflow: Workflow[S], checkpoints: checkpoint.Checkpoints, name: str) -> Workflow[S]:
    """The workflow with its runs recorded there; by this name, if it has none (for the wings)."""
    described = workflow.description
    if described.keeping is None:
        return workflow.with_checkpoints(checkpoints, name=name)
    kept = described.keeping._replace(checkpoints=checkpoints)
    made: Workflow[S] = workflow._with(described._replace(keeping=kept))
    return made


def _check_kept(run_id: Any, store: Store) -> None:
    if run_id is not None and (not isinstance(run_id, str) or not run_id):
        raise ConfigurationError(f"run_id must be a text, not {run_id!r}")
    if type(store) is not MemoryStore:
        raise ConfigurationError(
            f"a run that is recorded needs a MemoryStore of its own, not {type(store).__name__}: "
            "give MemoryStore(store.snapshot()), or record what matters in its values"
        )


def _check_stay(stay: Any, where: str) -> None:
    if not isinstance(stay, bool):
        raise ConfigurationError(f"{where}: stay must be True or False, not {stay!r}")
