"""Both backends against a plain dict: whatever processes do to each other, in whatever order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cano_sync import RunLostError
from cano_sync.checkpoints import Checkpoints, MemoryCheckpoints, RunStatus, SQLiteCheckpoints
from cano_sync.checkpoints.database import Database
from cano_sync.checkpoints.testing import CheckpointsContract

IDS = st.sampled_from(["a", "b"])
PROCESSES = st.integers(0, 1)
MAKES = CheckpointsContract()


class Process:
    """Stands for a process lock: one process cannot have two of them."""

    host, started_at = "here", 0.0

    def __init__(self, alive: set[str]) -> None:
        self.id, self.pid, self.alive = os.urandom(16).hex(), os.getpid(), alive
        alive.add(self.id)

    def is_alive(self, owner: str) -> bool:
        return owner in self.alive

    @contextmanager
    def alone(self, what: str) -> Iterator[bool]:
        yield True

    def close(self) -> None:
        self.alive.discard(self.id)


class Machine(RuleBasedStateMachine):
    """Two processes at two runs; the model says what has to be there."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / "runs.db"
        self.alive: set[str] = set()
        self.opened: list[Database] = []
        # Of each run: status, seq, token, begun, the process that has it, its steps.
        self.model: dict[str, dict[str, Any]] = {}
        # What each process believes to have: of each run the token and the step.
        self.believed: list[dict[str, tuple[int, int]]] = [{}, {}]

    @initialize()
    def start(self) -> None:
        """Both processes begin."""
        self.sqlite: list[Any] = [self.new_sqlite(), self.new_sqlite()]
        first = MemoryCheckpoints()
        second = MemoryCheckpoints.__new__(MemoryCheckpoints)
        second._become(first._memory)
        self.memory: list[Any] = [first, second]

    def new_sqlite(self) -> SQLiteCheckpoints:
        """As a process has it that has just begun."""
        made = SQLiteCheckpoints(self.path)
        database = made._database = Database(self.path)
        self.opened.append(database)
        database.open(30, None)
        database.process.close()
        database._process = Process(self.alive)  # type: ignore[assignment]
        return made

    def both(self, process: int) -> tuple[Checkpoints, Checkpoints]:
        """The backends, as this process has them."""
        return self.sqlite[process], self.memory[process]

    def is_free(self, run: dict[str, Any]) -> bool:
        """Whether nobody who lives has it."""
        return run["status"] is RunStatus.READY or run["owner"] is None

    def writes(self, process: int, run_id: str) -> bool:
        """Whether the fence has to let this process through, by what it believes."""
        run = self.model[run_id]
        return run["status"] is RunStatus.RUNNING and self.believed[process][run_id] == (
            run["token"],
            run["seq"],
        )

    @rule(process=PROCESSES, run_id=IDS)
    def begin(self, process: int, run_id: str) -> None:
        is_new = run_id not in self.model
        for backend in self.both(process):
            assert MAKES.begin(backend, run_id) == is_new
        if is_new:
            self.model[run_id] = {
                "status": RunStatus.RUNNING,
                "seq": 0,
                "token": 1,
                "begun": 0,
                "owner": process,
                "steps": [(0, "A", 1)],
            }
            self.believed[process][run_id] = (1, 0)

    @rule(process=PROCESSES, run_id=IDS, state=st.sampled_from("BC"))
    def move(self, process: int, run_id: str, state: str) -> None:
        """Also of one that was taken over, or is out of date: a zombie."""
        if run_id not in self.believed[process]:
            return
        token, seq = self.believed[process][run_id]
        may = self.writes(process, run_id)
        for backend in self.both(process):
            step = MAKES.step(seq + 1, state, token)
            assert may == was_let_through(partial(backend.move, run_id, token, step, cancel=None))
        if may:
            run = self.model[run_id]
            run.update(seq=seq + 1, begun=0)
            run["steps"].append((seq + 1, state, token))
            self.believed[process][run_id] = (token, seq + 1)
        else:
            del self.believed[process][run_id]

    @rule(process=PROCESSES, run_id=IDS, is_well=st.booleans())
    def end(self, process: int, run_id: str, is_well: bool) -> None:
        if run_id not in self.believed[process]:
            return
        token, seq = self.believed[process][run_id]
        may = self.writes(process, run_id)
        status = RunStatus.DONE if is_well else RunStatus.FAILED
        for backend in self.both(process):
            step = MAKES.step(seq + 1, "Z", token) if is_well else None
            error = None if is_well else '"it broke"'

            def act(backend: Any = backend, step: Any = step, error: Any = error) -> None:
                backend.end(run_id, token, status, seq=seq, step=step, error=error, cancel=None)

            assert may == was_let_through(act)
        del self.believed[process][run_id]
        if may:
            run = self.model[run_id]
            run.update(status=status, owner=None)
            if is_well:
                run["seq"] = seq + 1
                run["steps"].append((seq + 1, "Z", token))

    @rule(process=PROCESSES, run_id=IDS)
    def rest(self, process: int, run_id: str) -> None:
        if run_id not in self.believed[process]:
            return
        token, _ = self.believed[process].pop(run_id)
        for backend in self.both(process):
            backend.rest(run_id, token)
        run = self.model[run_id]
        if run["token"] == token and run["status"] is RunStatus.RUNNING:
            run.update(status=RunStatus.READY, owner=None)

    @rule(process=PROCESSES, run_id=IDS, takeover=st.booleans())
    def claim(self, process: int, run_id: str, takeover: bool) -> None:
        run = self.model.get(run_id)
        if run is None or run["status"].has_ended or not (takeover or self.is_free(run)):
            return
        for backend in self.both(process):
            seen = backend.look(run_id, cancel=None)
            assert seen is not None
            assert backend.claim(seen.run, cancel=None) is not None
            assert backend.claim(seen.run, cancel=None) is None
        run.update(
            status=RunStatus.RUNNING, token=run["token"] + 1, begun=run["begun"] + 1, owner=process
        )
        self.believed[process][run_id] = (run["token"], run["seq"])

    @rule(process=PROCESSES)
    def crash(self, process: int) -> None:
        """The process is killed, and begins anew."""
        self.sqlite[process]._known().process.close()
        self.sqlite[process] = self.new_sqlite()
        self.memory[process] = self.memory[process].after_crash()
        self.believed[process].clear()
        for run in self.model.values():
            if run["owner"] == process:
                run["owner"] = None

    @invariant()
    def what_is_there_is_what_has_to_be(self) -> None:
        if not hasattr(self, "sqlite"):
            return
        for process in (0, 1):
            for backend in self.both(process):
                for run_id in ("a", "b"):
                    stored = backend.look(run_id, cancel=None, history=True)
                    run = self.model.get(run_id)
                    assert (stored is None) == (run is None)
                    if stored is None or run is None:
                        continue
                    row = stored.run
                    assert (row.status, row.seq, row.token, row.begun) == tuple(
                        run[name] for name in ("status", "seq", "token", "begun")
                    )
                    steps = [(step.seq, step.state, step.token) for step in stored.steps]
                    assert steps == run["steps"]
                    is_alive = stored.owner is not None and stored.owner.is_alive
                    assert is_alive == (run["owner"] is not None)

    def teardown(self) -> None:
        for database in self.opened:
            with suppress(Exception):
                database.close()
        self.folder.cleanup()


def was_let_through(act: Any) -> bool:
    """Whether the fence has let it through."""
    try:
        act()
    except RunLostError:
        return False
    return True


TestModel = Machine.TestCase
TestModel.settings = settings(max_examples=40, stateful_step_count=40)
