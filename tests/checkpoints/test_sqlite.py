"""Runs in an SQLite file: what may happen to the file, to its disk and to its process."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cano_sync import (
    CancellationToken,
    CheckpointError,
    ConfigurationError,
    CorruptCheckpointError,
    MemoryStore,
    RunBusyError,
    RunNotFoundError,
    TaskContext,
    Workflow,
    WorkflowCancelledError,
)
from cano_sync.checkpoints import RunStatus, SQLiteCheckpoints, database
from cano_sync.checkpoints.database import Database
from cano_sync.checkpoints.schema import SCHEMA
from tests.kit import SOON, Eventually, Step

LENGTH = 12


def count(store: MemoryStore, context: TaskContext) -> str:
    """A state of a chain: adds to a list, and goes on to the next."""
    store.append("seen", context.visit)
    store.put("text", "x" * 300)
    visit = context.visit or 0
    return "END" if visit == LENGTH else "COUNT"


def counting(checkpoints: SQLiteCheckpoints, task: Any = count) -> Workflow[Any]:
    """A workflow that visits one state thirteen times."""
    return (
        Workflow()
        .register("COUNT", task)
        .add_exit_state("END")
        .with_checkpoints(checkpoints, name="counting")
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is to be."""
    return tmp_path / "runs.db"


@pytest.fixture
def checkpoints(path: Path) -> Iterator[SQLiteCheckpoints]:
    """A backend, which gives up quickly."""
    with SQLiteCheckpoints(path, patience=0.3) as made:
        yield made


def another(path: Path) -> sqlite3.Connection:
    """Another program's connection to the file."""
    return sqlite3.connect(path, timeout=0, isolation_level=None)


# The file.


def test_the_file_is_made_at_first_use_for_its_owner_alone(path: Path) -> None:
    checkpoints = SQLiteCheckpoints(path)
    assert not path.exists()
    with checkpoints:
        assert checkpoints.runs() == []
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        folder = path.with_name("runs.db-owners")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert len(list(folder.iterdir())) == 1
    assert list(folder.iterdir()) == []
    with another(path) as connection:
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_closed_file_is_opened_again(checkpoints: SQLiteCheckpoints) -> None:
    counting(checkpoints).orchestrate("COUNT", run_id="run")
    checkpoints.close()
    assert checkpoints.run("run").status is RunStatus.DONE
    assert repr(checkpoints).startswith("SQLiteCheckpoints('")


def test_arguments_are_checked_at_once() -> None:
    for wrong in ("", ":memory:", 3, None):
        with pytest.raises(ConfigurationError, match="takes the path of a file"):
            SQLiteCheckpoints(wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="it is 'crash' or 'power'"):
        SQLiteCheckpoints("runs.db", survive="all")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="patience"):
        SQLiteCheckpoints("runs.db", patience=-1)


def test_a_place_where_no_file_can_be_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no folder"):
        SQLiteCheckpoints(tmp_path / "none" / "runs.db").runs()
    with pytest.raises(ConfigurationError, match="is a folder; name a file in it"):
        SQLiteCheckpoints(tmp_path).runs()
    other = tmp_path / "notes.txt"
    other.write_text("no database at all, but a text that is long enough" * 40)
    with pytest.raises(CheckpointError, match="it is no database of checkpoints"):
        SQLiteCheckpoints(other).runs()


def test_a_file_system_without_wal_is_refused(
    path: Path, checkpoints: SQLiteCheckpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Network(sqlite3.Connection):
        """As SQLite is on a network file system."""

        def execute(self, statement: str, *given: Any) -> Any:
            if "journal_mode" in statement:
                statement = "select 'delete'"
            return super().execute(statement, *given)

    real = sqlite3.connect
    monkeypatch.setattr(
        database.sqlite3, "connect", lambda *args, **named: real(*args, **named, factory=Network)
    )
    with pytest.raises(ConfigurationError, match=r"'delete' instead of 'wal'.*mounted at .*local"):
        checkpoints.runs()


def test_two_handles_of_a_process_share_one_file(
    path: Path, checkpoints: SQLiteCheckpoints
) -> None:
    with SQLiteCheckpoints(path.parent / "." / "runs.db") as other:
        counting(checkpoints).orchestrate("COUNT", run_id="run")
        assert counting(other).resume("run") == "END"
        assert len(list(path.with_name("runs.db-owners").iterdir())) == 1


# The schema.


def test_a_newer_schema_is_read_as_long_as_it_says_so(
    path: Path, checkpoints: SQLiteCheckpoints
) -> None:
    counting(checkpoints).orchestrate("COUNT", run_id="run")
    checkpoints.close()
    connection = another(path)
    connection.execute("update meta set value = ? where key = 'schema'", (SCHEMA + 1,))
    assert checkpoints.run("run").status is RunStatus.DONE
    checkpoints.close()
    connection.execute("update meta set value = ? where key = 'min_reader'", (SCHEMA + 1,))
    with pytest.raises(CheckpointError, match=f"has schema {SCHEMA + 1}, for which .* too old"):
        checkpoints.run("run")
    connection.execute("update meta set value = 'x' where key = 'schema'")
    with pytest.raises(CheckpointError, match="the number of its schema is damaged: 'x'"):
        checkpoints.run("run")
    connection.close()


def test_eight_threads_open_a_new_file_at_once(path: Path) -> None:
    barrier, problems = threading.Barrier(8), list[BaseException]()

    def use() -> None:
        own = SQLiteCheckpoints(path)
        own._database = Database(path)  # as another process would have it
        barrier.wait(SOON)
        try:
            assert own.runs() == []
        except BaseException as error:
            problems.append(error)
        finally:
            own.close()

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert problems == []


# What may happen to it.


def test_a_file_that_another_program_locks_is_waited_for(
    path: Path, checkpoints: SQLiteCheckpoints
) -> None:
    checkpoints.runs()
    connection = another(path)
    connection.execute("begin immediate")
    workflow = counting(checkpoints)
    with pytest.raises(CheckpointError, match="is locked; another program has locked it for long"):
        workflow.orchestrate("COUNT", run_id="run")
    connection.execute("commit")
    assert workflow.orchestrate("COUNT", run_id="run") == "END"
    connection.close()


def test_a_lock_that_comes_in_the_middle_leaves_the_run_to_be_gone_on_with(
    path: Path, checkpoints: SQLiteCheckpoints
) -> None:
    checkpoints.runs()
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)

    def lock(store: MemoryStore, context: TaskContext) -> str:
        if context.visit == 3 and not context.redone:
            connection.execute("begin immediate")
        return count(store, context)

    workflow = counting(checkpoints, lock)
    with pytest.raises(CheckpointError, match="locked"):
        workflow.orchestrate("COUNT", run_id="run")
    # It could not even be given back: that is done as soon as it can be.
    assert checkpoints.run("run").status is RunStatus.RUNNING
    connection.execute("rollback")
    store = MemoryStore()
    assert workflow.orchestrate("COUNT", store=store, run_id="run") == "END"
    assert store.get("seen") == list(range(LENGTH + 1))
    connection.close()


def test_a_run_that_could_not_be_given_back_is_given_back_with_the_next_write(
    path: Path, checkpoints: SQLiteCheckpoints
) -> None:
    checkpoints.runs()
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)

    def lock() -> str:
        connection.execute("begin immediate")
        return "END"

    with pytest.raises(CheckpointError, match="locked"):
        counting(checkpoints, lock).orchestrate("COUNT", run_id="run")
    connection.execute("rollback")
    counting(checkpoints).orchestrate("COUNT", run_id="other")
    assert checkpoints.run("run").status is RunStatus.READY
    connection.close()


def test_a_cancellation_is_heard_while_the_file_is_locked(path: Path) -> None:
    with SQLiteCheckpoints(path, patience=SOON) as checkpoints:
        checkpoints.runs()
        connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        locked, token = threading.Event(), CancellationToken()

        def lock() -> str:
            connection.execute("begin immediate")
            locked.set()
            return "END"

        def cancel() -> None:
            assert locked.wait(SOON)
            ended.append(time.monotonic())
            token.cancel("enough")

        ended: list[float] = []
        canceller = threading.Thread(target=cancel)
        canceller.start()
        with pytest.raises(WorkflowCancelledError, match="enough"):
            counting(checkpoints, lock).orchestrate("COUNT", run_id="run", cancel=token)
        assert time.monotonic() - ended[0] < 0.5  # and not the patience; the machine may be busy
        canceller.join(SOON)
        connection.execute("rollback")
        connection.close()


def test_a_full_disk_ends_the_call_and_the_run_goes_on_when_there_is_room(
    checkpoints: SQLiteCheckpoints,
) -> None:
    def grow(store: MemoryStore, context: TaskContext) -> str:
        store.put("text", f"{context.visit}" + "x" * 20_000)
        return "END" if context.visit == 20 else "COUNT"

    workflow = counting(checkpoints, grow)
    checkpoints.runs()
    writer = checkpoints._known()._writer
    (pages,) = writer.execute("pragma page_count").fetchone()
    writer.execute(f"pragma max_page_count = {pages + 20}")
    with pytest.raises(CheckpointError, match=r"full.*make room on its disk"):
        workflow.orchestrate("COUNT", run_id="run")
    run = checkpoints.run("run")
    assert run.status is RunStatus.READY and run.problem is None
    assert run.seq == run.steps[-1].seq < 20
    writer.execute("pragma max_page_count = 100000")
    assert workflow.orchestrate("COUNT", run_id="run") == "END"
    assert checkpoints.run("run").seq == 21


def test_a_file_that_cannot_be_written_to_is_named_with_the_mend(path: Path) -> None:
    with SQLiteCheckpoints(path) as checkpoints:
        counting(checkpoints).orchestrate("COUNT", run_id="run")
        connection = checkpoints._known()._writer
        connection.execute("pragma query_only = 1")  # as for root every file is writable
        with pytest.raises(CheckpointError, match=r"readonly.*make the file .* writable"):
            counting(checkpoints).orchestrate("COUNT", run_id="other")


def test_a_file_that_was_deleted_is_noticed_before_an_end_is_reported(
    path: Path, checkpoints: SQLiteCheckpoints
) -> None:
    def delete(store: MemoryStore, context: TaskContext) -> str:
        path.rename(path.with_name("elsewhere.db"))
        return "END"

    with pytest.raises(CheckpointError, match="was deleted or replaced while it was in use"):
        counting(checkpoints, delete).orchestrate("COUNT", run_id="run")


# Power.


def frames_of(wal: bytes) -> Iterator[int]:
    """Where each frame of a WAL ends."""
    (size,) = struct.unpack(">I", wal[8:12])
    end = 32
    while end + 24 + size <= len(wal):
        end += 24 + size
        yield end


def test_a_wal_that_was_cut_off_anywhere_leaves_a_run_that_goes_on(tmp_path: Path) -> None:
    """What a power cut leaves behind where a transition is not synced."""
    source = tmp_path / "source.db"
    with SQLiteCheckpoints(source) as checkpoints:
        effects: list[Any] = []

        def act(store: MemoryStore, context: TaskContext) -> str:
            effects.append((context.key, store.snapshot()))
            return count(store, context)

        checkpoints.runs()
        checkpoints._known()._writer.execute("pragma wal_checkpoint(truncate)")
        counting(checkpoints, act).orchestrate("COUNT", run_id="run")
        base, wal = source.read_bytes(), Path(f"{source}-wal").read_bytes()
        expected = checkpoints.run("run").store
    ends = list(frames_of(wal))
    assert len(ends) > 20
    known, last, seen = dict(effects), -1, set()
    for number, end in enumerate(sorted([32, *ends, *(end - 100 for end in ends)])):
        copy = tmp_path / f"{number}.db"
        copy.write_bytes(base)
        Path(f"{copy}-wal").write_bytes(wal[:end])
        with SQLiteCheckpoints(copy) as checkpoints:
            runs = checkpoints.runs()
            seq = checkpoints.run("run").seq if runs else -1
            assert seq >= last  # what is older is there if what is newer is
            last = seq
            if seq in seen and seq % 5:
                continue  # gone on with already, from there
            seen.add(seq)
            effects.clear()
            store = MemoryStore()
            assert counting(checkpoints, act).orchestrate("COUNT", store=store, run_id="run")
            for key, before in effects:  # the same keys for the same visits, and nothing skipped
                assert known[key] == before
            assert [key for key, _ in effects] == list(known)[max(seq, 0) :] or seq > LENGTH
            assert store.snapshot() == expected
        copy.unlink()
    assert seen == set(range(-1, LENGTH + 2))


def test_where_power_cuts_are_survived_each_transition_is_synced_and_several_share_one(
    path: Path,
) -> None:
    with SQLiteCheckpoints(path, survive="power") as checkpoints:
        counting(checkpoints).orchestrate("COUNT", run_id="run")
        alone = checkpoints._known().syncs
        assert alone == LENGTH + 2
        threads = [
            threading.Thread(
                target=lambda name=str(number): counting(checkpoints).orchestrate(
                    "COUNT", run_id=name
                )
            )
            for number in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SOON)
        assert len(checkpoints.runs(status=RunStatus.DONE)) == 9
        assert 0 < checkpoints._known().syncs - alone <= 8 * (LENGTH + 2)


def test_a_wal_that_cannot_be_synced_is_an_error_and_is_not_tried_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SQLiteCheckpoints(path, survive="power") as checkpoints:
        checkpoints.runs()
        calls: list[int] = []

        def broken(self: Database) -> None:
            calls.append(1)
            if len(calls) == 3:
                raise OSError(5, "Input/output error")

        monkeypatch.setattr(Database, "_sync_wal", broken)
        with pytest.raises(CheckpointError, match=r"WAL could not be synced.*look at the disk"):
            counting(checkpoints).orchestrate("COUNT", run_id="run")
        assert len(calls) == 3
        assert checkpoints.run("run").status is RunStatus.READY
        assert counting(checkpoints).orchestrate("COUNT", run_id="run") == "END"


def test_without_that_only_claims_and_ends_are_synced(
    path: Path, checkpoints: SQLiteCheckpoints
) -> None:
    counting(checkpoints).orchestrate("COUNT", run_id="run")
    assert checkpoints._known().syncs == 1


def test_the_wal_is_copied_into_the_file_by_a_thread_that_ends(
    path: Path, checkpoints: SQLiteCheckpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "CHECKPOINT_PAGES", 20)
    monkeypatch.setattr(database, "MANY_FRAMES", 1)
    checkpoints.runs()
    before = path.stat().st_size
    counting(checkpoints).orchestrate("COUNT", run_id="run")
    thread = checkpoints._known()._checkpointing
    assert thread is not None
    thread.join(SOON)
    assert path.stat().st_size > before


# Rows.


COLUMNS = {
    "run": ("workflow", "version", "status", "state", "seq", "token", "initial", "created_at"),
    "step": ("seq", "state", "entered_at", "token", "kind", "is_full", "delta", "error", "crc"),
}


@pytest.mark.parametrize(
    ("table", "column"), [(table, column) for table, names in COLUMNS.items() for column in names]
)
def test_a_damaged_row_is_an_error_of_its_run_alone(
    table: str, column: str, path: Path, checkpoints: SQLiteCheckpoints
) -> None:
    workflow = counting(checkpoints)
    for name in ("sound", "bad"):
        workflow.orchestrate("COUNT", run_id=name)
    connection = another(path)
    key = "id" if table == "run" else "run"
    newest = f" and seq = {LENGTH}" if table == "step" else ""
    for value in (b"\xff\xfe", "§", -7):
        connection.execute("begin")
        connection.execute(f"update {table} set {column} = ? where {key} = 'bad'{newest}", (value,))
        if column in ("status", "token"):  # of a run that has not ended
            connection.execute("update run set error = null where id = 'bad'")
        connection.execute("commit")
        try:
            said = workflow.resume("bad")
            assert column in ("version", "initial") or table == "run", (value, said)
        except (CorruptCheckpointError, ConfigurationError) as error:
            assert "'bad'" in str(error), error
        assert workflow.resume("sound") == "END"
        assert {run.id for run in checkpoints.runs()} == {"sound", "bad"}
        assert checkpoints.run("sound").problem is None
        checkpoints.run("bad")  # as far as it can be read
    connection.close()


def test_a_missing_step_is_found(path: Path, checkpoints: SQLiteCheckpoints) -> None:
    workflow = counting(checkpoints)
    connection = another(path)
    for number, seq in enumerate((0, 5, LENGTH + 1)):
        workflow.orchestrate("COUNT", run_id=f"run{number}")
        connection.execute("delete from step where run = ? and seq = ?", (f"run{number}", seq))
        with pytest.raises(CorruptCheckpointError, match=f"run 'run{number}' is damaged"):
            workflow.resume(f"run{number}")
        assert "is damaged" in (checkpoints.run(f"run{number}").problem or "")
    connection.close()


# Listing.


def test_runs_are_listed_newest_first_and_by_pages(checkpoints: SQLiteCheckpoints) -> None:
    workflow = counting(checkpoints)
    for number in range(5):
        workflow.orchestrate("COUNT", run_id=str(number))
    listed = checkpoints.runs()
    assert [run.id for run in listed] == ["4", "3", "2", "1", "0"]
    assert listed[0].steps == () and listed[0].workflow == "counting"
    page = checkpoints.runs(limit=2)
    rest = checkpoints.runs(after=(page[-1].created_at, page[-1].id))
    assert [run.id for run in rest] == ["2", "1", "0"]
    assert checkpoints.runs(status=RunStatus.FAILED) == []
    assert len(checkpoints.runs(status=RunStatus.DONE, state="END", workflow="counting")) == 5
    assert checkpoints.runs(workflow="other") == checkpoints.runs(state="COUNT") == []
    middle = listed[2].created_at
    assert [run.id for run in checkpoints.runs(since=middle)] == ["4", "3", "2"]
    assert [run.id for run in checkpoints.runs(until=middle)] == ["1", "0"]
    with pytest.raises(RunNotFoundError, match="no run 'x' in"):
        checkpoints.run("x")


def test_states_that_are_members_of_an_enum_are_found_by_themselves(
    checkpoints: SQLiteCheckpoints,
) -> None:
    workflow = Workflow().register(Step.START, lambda: Step.DONE).add_exit_state(Step.DONE)
    workflow.with_checkpoints(checkpoints, name="x").orchestrate(Step.START, run_id="run")
    assert [run.id for run in checkpoints.runs(state=Step.DONE)] == ["run"]


# Processes.


def test_of_two_that_begin_one_id_at_once_one_has_it(
    checkpoints: SQLiteCheckpoints, gate: threading.Event, eventually: Eventually
) -> None:
    calls: list[int] = []

    def slow() -> str:
        calls.append(1)
        gate.wait(SOON)
        return "END"

    workflow = counting(checkpoints, slow)
    futures = [workflow.submit("COUNT", run_id="run") for _ in range(4)]
    eventually(lambda: sum(future.done() for future in futures) == 3)
    errors = [future for future in futures if future.done()]
    assert all(isinstance(future.exception(), RunBusyError) for future in errors)
    gate.set()
    assert sorted(str(future.result(SOON)) for future in futures if future not in errors) == ["END"]
    assert calls == [1]


PROGRAM = """
import os, sys, time
from cano_sync import Workflow
from cano_sync.checkpoints import SQLiteCheckpoints

def work(store, context):
    print(context.token, flush=True)
    if context.token == 1:
        sys.stdin.readline()
    return "END"

workflow = (
    Workflow().register("COUNT", work, error_state="BAD").register("BAD", lambda: print("bad"))
    .add_exit_state("END").with_checkpoints(SQLiteCheckpoints(sys.argv[1]), name="counting")
)
try:
    print(workflow.orchestrate("COUNT", run_id="run"), flush=True)
except Exception as error:
    print(type(error).__name__, flush=True)
"""


def program(path: Path) -> subprocess.Popen[str]:
    """Another process that is at the run when this returns."""
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout is not None and child.stdout.readline() == "1\n"
    return child


def test_a_run_of_a_process_that_was_killed_goes_on_at_once(
    path: Path, checkpoints: SQLiteCheckpoints
) -> None:
    child = program(path)
    with pytest.raises(RunBusyError, match=f"process {child.pid} on ") as raised:
        counting(checkpoints).resume("run")
    assert raised.value.owner.is_alive
    child.kill()
    child.communicate()
    assert counting(checkpoints, lambda: "END").resume("run") == "END"
    assert [step.token for step in checkpoints.run("run").steps] == [1, 2]


def test_a_process_that_was_stopped_keeps_its_run_until_it_is_taken_over(
    path: Path, checkpoints: SQLiteCheckpoints
) -> None:
    child = program(path)
    os.kill(child.pid, signal.SIGSTOP)
    workflow = counting(checkpoints, lambda: "END")
    with pytest.raises(RunBusyError):
        workflow.resume("run")
    assert workflow.resume("run", takeover=True) == "END"
    before = checkpoints.run("run")
    os.kill(child.pid, signal.SIGCONT)
    said, _ = child.communicate("go on\n", timeout=SOON)
    assert said == "RunLostError\n"  # neither an end, nor an error state
    assert checkpoints.run("run") == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_is_a_process_of_its_own_and_leaves_the_parent_s_alone(
    path: Path,
) -> None:
    script = f"""
import os
from cano_sync import RunBusyError, Workflow
from cano_sync.checkpoints import SQLiteCheckpoints
checkpoints = SQLiteCheckpoints({str(path)!r})

def work(context):
    return "END"

def fork():
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            assert inner.orchestrate("A", run_id="child") == "END"
            owners = [run.owner for run in checkpoints.runs(workflow="outer")]
            assert owners[0].is_alive and owners[0].pid == os.getppid()
            try:
                outer.resume("parent")
            except RunBusyError:
                code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    return "END"

inner = Workflow().register("A", lambda: "END").add_exit_state("END")
inner = inner.with_checkpoints(checkpoints, name="inner")
outer = Workflow().register("A", fork).add_exit_state("END")
outer = outer.with_checkpoints(checkpoints, name="outer")
print(outer.orchestrate("A", run_id="parent"))
print(sorted(run.id + " " + run.status.name for run in checkpoints.runs()))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=50,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == "END\n['child DONE', 'parent DONE']\n", done.stderr


def test_an_owner_that_nobody_knows_is_dead_and_a_wrong_id_opens_no_file(
    path: Path, checkpoints: SQLiteCheckpoints
) -> None:
    checkpoints.runs()
    process = checkpoints._known().process
    assert process.is_alive(process.id)
    assert not process.is_alive("0" * 32)
    secret = path.with_name("secret")
    secret.write_text("kept")
    assert not process.is_alive("../secret")
    assert secret.read_text() == "kept"


def test_copies_are_made_by_sqlite_itself(path: Path, checkpoints: SQLiteCheckpoints) -> None:
    counting(checkpoints).orchestrate("COUNT", run_id="run")
    copy = path.with_name("copy.db")
    connection = another(path)
    connection.execute("vacuum into ?", (str(copy),))
    connection.close()
    with SQLiteCheckpoints(copy) as other:
        assert counting(other).resume("run") == "END"
    shutil.rmtree(path.with_name("copy.db-owners"))


def test_a_run_whose_begin_was_interrupted_on_its_way_to_the_disk_is_given_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SQLiteCheckpoints(path, survive="power") as checkpoints:
        checkpoints.runs()
        real = Database._sync

        def interrupted(*given: Any) -> None:
            raise KeyboardInterrupt

        for run_id, token in (("run", 1), ("run", 2)):
            monkeypatch.setattr(Database, "_sync", interrupted)
            with pytest.raises(KeyboardInterrupt):
                counting(checkpoints).orchestrate("COUNT", run_id=run_id)
            monkeypatch.setattr(Database, "_sync", real)
            run = checkpoints.run("run")
            assert (run.status, run.token) == (RunStatus.READY, token)
        assert counting(checkpoints).orchestrate("COUNT", run_id="run") == "END"


def test_an_id_that_could_not_be_begun_is_nobody_else_s_loss(
    path: Path, checkpoints: SQLiteCheckpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = program(path)
    with pytest.raises(RunBusyError):
        counting(checkpoints).orchestrate("COUNT", run_id="run")
    database_ = checkpoints._known()
    database_.owed["run"] = 1  # as after a begin of the same id that was interrupted
    counting(checkpoints).orchestrate("COUNT", run_id="other")
    assert database_.owed == {}
    assert checkpoints.run("run").status is RunStatus.RUNNING
    said, _ = child.communicate("go on\n", timeout=SOON)
    assert said == "END\n"
