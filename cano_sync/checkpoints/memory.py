"""`MemoryCheckpoints`: runs recorded in this process, for tests and notebooks."""

from __future__ import annotations

__all__ = ("MemoryCheckpoints",)

import os
import threading
import time
from typing import Any

from .._base.cancellation import CancellationToken
from .._base.text import state_name
from .._model.checkpoint import Owner, RunRow, RunStatus, StepRow, Stored
from ..errors import RunLostError, RunNotFoundError
from .history import RunRecord, record_of


class _Memory:
    """What all handles of one memory share. The lock guards all of it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.runs: dict[str, RunRow] = {}
        self.steps: dict[str, list[StepRow]] = {}
        self.alive: set[str] = set()


class MemoryCheckpoints:
    """Records runs in memory: all that a file does, but for surviving the process.

    Safe from any thread.

    >>> from cano_sync import MemoryStore, Workflow
    >>> checkpoints = MemoryCheckpoints()
    >>> workflow = (
    ...     Workflow()
    ...     .register("LOAD", lambda store: store.put("rows", 3) or "DONE")
    ...     .add_exit_state("DONE")
    ...     .with_checkpoints(checkpoints, name="report")
    ... )
    >>> workflow.orchestrate("LOAD", run_id="monday")
    'DONE'
    >>> checkpoints.run("monday").store
    {'rows': 3}
    """

    def __init__(self) -> None:
        self._become(_Memory())

    def _become(self, memory: _Memory) -> None:
        self._memory = memory
        self._id = os.urandom(16).hex()
        self._started_at = time.time()
        self._held: dict[str, int] = {}
        with memory.lock:
            memory.alive.add(self._id)

    def after_crash(self) -> MemoryCheckpoints:
        """The same memory as another process finds it when this one has been killed.

        For tests. Runs that were under way here have a dead owner, and who is still at one of
        them writes nothing any more.
        """
        with self._memory.lock:
            self._memory.alive.discard(self._id)
        made = MemoryCheckpoints.__new__(MemoryCheckpoints)
        made._become(self._memory)
        return made

    # For the engine: what a backend does.

    def begin(self, run: RunRow, step: StepRow, *, cancel: CancellationToken | None) -> bool:
        """See `Checkpoints`."""
        memory = self._memory
        with memory.lock:
            self._check_alive(run.id)
            if run.id in memory.runs:
                return False
            memory.runs[run.id] = run._replace(owner=self._id)
            memory.steps[run.id] = [step]
            self._held[run.id] = run.token
            return True

    def look(
        self, run_id: str, *, cancel: CancellationToken | None, history: bool = False
    ) -> Stored | None:
        """See `Checkpoints`."""
        memory = self._memory
        with memory.lock:
            run = memory.runs.get(run_id)
            if run is None:
                return None
            steps = memory.steps[run_id]
            first = 0
            if not history:
                first = max(number for number, step in enumerate(steps) if step.is_full)
            return Stored(run, tuple(steps[first:]), self._owner(run), run_id in self._held)

    def _owner(self, run: RunRow) -> Owner | None:
        if run.owner is None:
            return None
        is_alive = run.owner in self._memory.alive
        if run.owner == self._id:
            is_alive = self._held.get(run.id) == run.token
        return Owner(run.owner, "memory", os.getpid(), self._started_at, is_alive)

    def claim(
        self,
        run: RunRow,
        *,
        step: StepRow | None = None,
        cancel: CancellationToken | None,
    ) -> RunRow | None:
        """See `Checkpoints`."""
        memory = self._memory
        with memory.lock:
            self._check_alive(run.id)
            there = memory.runs.get(run.id)
            if there is None or (there.token, there.seq, there.status) != (
                run.token,
                run.seq,
                run.status,
            ):
                return None
            claimed = run._replace(
                token=run.token + 1,
                owner=self._id,
                status=RunStatus.RUNNING,
                begun=run.begun + 1,
                changed_at=time.time(),
            )
            if step is not None:
                step = step._replace(seq=run.seq + 1, token=claimed.token)
                claimed = claimed._replace(seq=step.seq, state=step.state)
                memory.steps[run.id].append(step)
            memory.runs[run.id] = claimed
            self._held[run.id] = claimed.token
            return claimed

    def move(
        self, run_id: str, token: int, step: StepRow, *, cancel: CancellationToken | None
    ) -> None:
        """See `Checkpoints`."""
        memory = self._memory
        with memory.lock:
            run = self._mine(run_id, token, step.seq - 1)
            memory.steps[run_id].append(step)
            memory.runs[run_id] = run._replace(
                state=step.state, seq=step.seq, begun=0, changed_at=step.entered_at
            )

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
        """See `Checkpoints`."""
        memory, now = self._memory, time.time()
        with memory.lock:
            run = self._mine(run_id, token, seq)
            run = run._replace(status=status, owner=None, error=error, changed_at=now, ended_at=now)
            if step is not None:
                memory.steps[run_id].append(step)
                run = run._replace(state=step.state, seq=step.seq)
            memory.runs[run_id] = run
            self._held.pop(run_id, None)

    def rest(self, run_id: str, token: int) -> None:
        """See `Checkpoints`."""
        memory = self._memory
        with memory.lock:
            if self._held.get(run_id) == token:
                del self._held[run_id]
            run = memory.runs.get(run_id)
            if run is None or run.token != token or run.status is not RunStatus.RUNNING:
                return
            if self._id in memory.alive:
                memory.runs[run_id] = run._replace(status=RunStatus.READY, owner=None)

    def _mine(self, run_id: str, token: int, seq: int) -> RunRow:
        """The run's row, if the fence lets through who has this token, and is at this step."""
        self._check_alive(run_id)
        run = self._memory.runs.get(run_id)
        if run is None:
            why = "its row is gone"
        elif run.token != token:
            why = f"it has token {run.token} by now, and had {token}"
        elif run.seq != seq or run.status is not RunStatus.RUNNING:
            why = f"it is {run.status.name} at step {run.seq}, and was to be at {seq}"
        else:
            return run
        if self._held.get(run_id) == token:
            del self._held[run_id]
        raise _lost(run_id, why)

    def _check_alive(self, run_id: str) -> None:
        if self._id not in self._memory.alive:
            raise _lost(run_id, "after_crash() was called: this process counts as killed")

    # For people.

    def run(self, run_id: str) -> RunRecord:
        """What is recorded of a run, with its steps; see `SQLiteCheckpoints.run`."""
        stored = self.look(run_id, cancel=None, history=True)
        if stored is None:
            raise RunNotFoundError(f"there is no run {run_id!r} in this memory", run_id=run_id)
        return record_of(stored.run, stored.owner, stored.steps)

    def runs(
        self,
        *,
        workflow: str | None = None,
        status: RunStatus | None = None,
        state: Any = None,
        since: float | None = None,
        until: float | None = None,
        after: tuple[float, str] | None = None,
        limit: int = 100,
    ) -> list[RunRecord]:
        """The recorded runs, the newest first; see `SQLiteCheckpoints.runs`."""
        name = None if state is None else state_name(state)
        with self._memory.lock:
            chosen = [
                record_of(run, self._owner(run))
                for run in self._memory.runs.values()
                if (workflow is None or run.workflow == workflow)
                and (status is None or run.status == status)
                and (name is None or run.state == name)
                and (since is None or run.created_at >= since)
                and (until is None or run.created_at < until)
                and (after is None or (run.created_at, run.id) < after)
            ]
        chosen.sort(key=lambda record: (record.created_at, record.id), reverse=True)
        return chosen[:limit]


def _lost(run_id: str, why: str) -> RunLostError:
    return RunLostError(
        f"run {run_id!r} was taken over: {why}; nothing more of it is recorded here", run_id=run_id
    )
