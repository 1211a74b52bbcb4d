"""Where runs are recorded: what a backend of checkpoints does, and what it keeps, as values."""

from __future__ import annotations

__all__ = (
    "Checkpoints",
    "Keeping",
    "Owner",
    "RunRow",
    "RunStatus",
    "StepKind",
    "StepRow",
    "Stored",
    "check_checkpoints",
    "keeping",
)

import json
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

from .._base.cancellation import CancellationToken
from .._base.codec import Types, ValueCodec
from .._base.store import MemoryStore
from ..errors import ConfigurationError
from .outcome import Outcome, SplitResult

Upgrade = Callable[[Any, str, MemoryStore], Any]
"""Called as `(version, name of the state, store) -> state`; may change the store."""


class RunStatus(IntEnum):
    """What has become of a recorded run. The numbers are what databases hold."""

    READY = 0
    """Nobody is at it: it can go on."""
    RUNNING = 1
    """A process has it; whether that one still lives is another question."""
    DONE = 3
    """It has come to an exit state."""
    FAILED = 4
    """It has ended with an error."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self >= RunStatus.DONE


class StepKind(IntEnum):
    """What a recorded step is. The numbers are what databases hold."""

    ENTERED = 0
    """The state was entered."""
    UPGRADED = 3
    """Another version of the workflow has taken the run over, and has put it there."""


class Owner(NamedTuple):
    """A process that has runs, or had.

    Attributes:
        id: of this one start of the process; never used again.
        host: the name of its machine.
        pid: its number there.
        started_at: when it began to use the database, in seconds since the epoch.
        is_alive: whether it still lives.
    """

    id: str
    host: str
    pid: int
    started_at: float
    is_alive: bool


class RunRow(NamedTuple):
    """A run, as it is recorded. Times are seconds since the epoch, for people only.

    Attributes:
        id: the run's id.
        workflow: the name that its workflow was given.
        version: the workflow's version, as JSON.
        shape: a fingerprint of its states and exits.
        status: what has become of it.
        state: the name of the state where it is: that of its latest step.
        seq: the number of that step, from 0.
        token: the fence: who claims the run raises it, and only who knows it can write.
        owner: the process that has it, or None.
        begun: how often this visit of the state was begun again, by a claim without progress.
        initial: the name of its initial state.
        inputs: the digest of what its store held at first.
        error: what it has ended with, as text of the codec; None where it has not failed.
        created_at: when it began.
        changed_at: when it was written last.
        ended_at: when it ended, or None.
    """

    id: str
    workflow: str
    version: str
    shape: str
    status: RunStatus
    state: str
    seq: int
    token: int
    owner: str | None
    begun: int
    initial: str
    inputs: str
    error: str | None
    created_at: float
    changed_at: float
    ended_at: float | None


class StepRow(NamedTuple):
    """A step of a run: the entry of a state, with what the state before it has left behind.

    Attributes:
        seq: its number, from 0, without gaps.
        state: the name of the state.
        entered_at: when, in seconds since the epoch.
        token: the run's, at the time: history tells by it who took the run over.
        kind: what the step is.
        is_full: whether `delta` is the whole store, or only what has changed.
        delta: keys of the store and their values, as a text of JSON; see `journal.py`.
        error: the error that led to this state, as text of the codec, or None.
    """

    seq: int
    state: str
    entered_at: float
    token: int
    kind: StepKind
    is_full: bool
    delta: str
    error: str | None = None


class Stored(NamedTuple):
    """What a backend has of a run, all at one moment.

    Attributes:
        run: the run.
        steps: its steps in order, from the last full one on.
        owner: who has it, or had it, where the run names an owner.
        is_walked_here: whether a thread of this very process is at it.
    """

    run: RunRow
    steps: tuple[StepRow, ...]
    owner: Owner | None
    is_walked_here: bool


class Checkpoints(Protocol):
    """Where runs are recorded. Each call is one whole moment: all of it is written, or nothing.

    A backend is used from any number of threads. It waits out what passes by itself, such as a
    locked file, at most for a patience of its own, and meanwhile listens to `cancel`: then it
    raises `Cancelled`. What it cannot do is a `CheckpointError`.

    What `begin`, `claim`, `end` and `rest` have written is on the disk when they return; what
    `move` has written survives at least the end of the process.
    `cano_sync.checkpoints.testing.CheckpointsContract` is a test class for backends.
    """

    __slots__ = ()

    def begin(self, run: RunRow, step: StepRow, *, cancel: CancellationToken | None) -> bool:
        """Write a new run, as running and this process's own, and its first step.

        Returns:
            False, and nothing is written, where there is a run of this id.
        """
        ...

    def look(
        self, run_id: str, *, cancel: CancellationToken | None, history: bool = False
    ) -> Stored | None:
        """What there is of this run, or None; with all steps where `history` is wanted.

        Raises:
            CorruptCheckpointError: a row is damaged.
        """
        ...

    def claim(
        self,
        run: RunRow,
        *,
        step: StepRow | None = None,
        cancel: CancellationToken | None,
    ) -> RunRow | None:
        """Make a run this process's own that is ready, or whose owner is done for.

        The run's token rises by one, and so does `begun`. This holds only if its row is still as
        it was seen.

        Args:
            run: the row, as it was seen.
            step: a step to write as well, of kind UPGRADED; its token and number are set here,
                and the run gets the version that `run` has.
            cancel: ends the wait.

        Returns:
            The row as it is now; None where another was quicker.
        """
        ...

    def move(
        self, run_id: str, token: int, step: StepRow, *, cancel: CancellationToken | None
    ) -> None:
        """Write the next step, and that the run is there now.

        Raises:
            RunLostError: the run has another token, or is not at the step before.
        """
        ...

    def end(
        self,
        run_id: str,
        token: int,
        status: RunStatus,
        *,
        seq: int,
        step: StepRow | None,
        error: str | None,
        cancel: CancellationToken | None,
    ) -> None:
        """Write that the run has ended.

        Args:
            run_id: the run.
            token: the one that it was claimed with.
            status: how it has ended.
            seq: the number of the latest step, before this one.
            step: the entry of the exit state, where there is one to write.
            error: what it failed with, as text.
            cancel: ends the wait.

        Raises:
            RunLostError: the run has another token, or is not at the step before.
        """
        ...

    def rest(self, run_id: str, token: int) -> None:
        """Give the run back, as ready. Where it is lost, nothing is written, and nothing raised.

        What cannot be written now is written later, by the same process.
        """
        ...


class Keeping(NamedTuple):
    """How the runs of a workflow are recorded: what `with_checkpoints` was given.

    Attributes:
        checkpoints: where.
        name: what the workflow is called there.
        version: the workflow's; 0 where none was given.
        upgrade: what brings a run of another version to this one, or None.
        codec: knows the types of the store's values, but for the states.
        transient: keys that are never written.
        check: whether each step encodes the whole store, to find changes that nobody has seen.
    """

    checkpoints: Checkpoints
    name: str
    version: int | str
    upgrade: Upgrade | None
    codec: ValueCodec
    transient: frozenset[str]
    check: bool

    @property
    def version_text(self) -> str:
        """The version as rows have it."""
        return json.dumps(self.version)


OWN_TYPES = ValueCodec({"cano_sync.Outcome": Outcome, "cano_sync.SplitResult": SplitResult})
"""Knows what the engine itself may put into a store."""

_CALLS = ("begin", "look", "claim", "move", "end", "rest")


def check_checkpoints(checkpoints: Any, where: str) -> None:
    """Refuse what records nothing.

    Raises:
        ConfigurationError: it is no backend of checkpoints.
    """
    missing = [name for name in _CALLS if not callable(getattr(checkpoints, name, None))]
    if isinstance(checkpoints, type):
        raise ConfigurationError(
            f"{where}: {checkpoints.__qualname__} is a class; give an object of it, such as "
            'SQLiteCheckpoints("runs.db")'
        )
    if missing:
        raise ConfigurationError(
            f"{where}: {checkpoints!r} of type {type(checkpoints).__name__} records nothing: it "
            f"has no {', '.join(missing)}; give SQLiteCheckpoints(path), of cano_sync.checkpoints"
        )


def keeping(
    checkpoints: Any,
    name: Any,
    version: Any,
    upgrade: Any,
    types: Types,
    transient: Any,
    check: Any,
) -> Keeping:
    """What `with_checkpoints` was given, checked.

    Raises:
        ConfigurationError: something of it is wrong.
    """
    where = "with_checkpoints()"
    check_checkpoints(checkpoints, where)
    if not isinstance(name, str) or not name:
        raise ConfigurationError(
            f"{where}: name must be a text, not {name!r}; it is what rows are found by, so keep it"
        )
    if isinstance(version, bool) or not isinstance(version, int | str | None):
        raise ConfigurationError(f"{where}: version must be a number or a text, not {version!r}")
    if upgrade is not None and not callable(upgrade):
        raise ConfigurationError(
            f"{where}: upgrade must be a function (version, state_name, store) -> state, not "
            f"{upgrade!r}"
        )
    if isinstance(transient, str) or not isinstance(transient, Iterable):
        raise ConfigurationError(f"{where}: transient must be a list of keys, not {transient!r}")
    if not isinstance(check, bool):
        raise ConfigurationError(f"{where}: check must be True or False, not {check!r}")
    return Keeping(
        checkpoints,
        name,
        0 if version is None else version,
        upgrade,
        OWN_TYPES.with_types(types),
        frozenset(transient),
        check,
    )
