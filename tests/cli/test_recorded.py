"""Recorded runs from a terminal: `run --checkpoints`, `resume`, `runs` and `show`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cano_sync.checkpoints import SQLiteCheckpoints
from cano_sync.cli.recorded import show_text

NIGHTLY = '''
"""A batch in three states; it waits in the second one until there is a file."""
import time
from enum import Enum
from pathlib import Path
from typing import Literal

from cano_sync import Workflow
from cano_sync.checkpoints import SQLiteCheckpoints

Night = Enum("Night", "LOAD WORK SEND DONE BAD")


def load(store) -> Literal[Night.WORK]:
    store.put("rows", list(range(store.get("count", int, default=3))))
    store.put("scratch", "x")
    return Night.WORK


def work(store, cancel, context) -> Literal[Night.SEND]:
    if context.redone == 0:
        Path("started").touch()
        while not Path("go").exists():
            cancel.sleep(0.005)
    if store.get("rows") == []:
        raise ValueError("nothing to do")
    store.remove("scratch")
    store.put("sum", sum(store.get("rows")))
    return Night.SEND


def send(store) -> Literal[Night.DONE]:
    return Night.DONE


workflow = (
    Workflow()
    .register(Night.LOAD, load)
    .register(Night.WORK, work)
    .register(Night.SEND, send)
    .add_exit_states(Night.DONE)
)
kept = workflow.with_checkpoints(SQLiteCheckpoints("own.db"), name="nightly", version=2)
'''
ROOT = Path(__file__).parents[2]
RUN = ("run", "nightly:workflow", "--checkpoints", "runs.db", "--id", "monday")


@pytest.fixture(autouse=True)
def nightly(folder: Path) -> None:
    """The module that is run."""
    (folder / "nightly.py").write_text(NIGHTLY)


def test_the_same_command_begins_a_run_goes_on_with_it_and_gives_its_end(
    cli: Any, folder: Path
) -> None:
    interrupted = cli(*RUN, "--timeout", "50ms")
    assert interrupted.exit_code == 124
    assert interrupted.stderr.splitlines()[-1] == (
        "cano-sync: run monday is recorded: go on with it by resume, or by the same command"
    )
    (folder / "go").touch()  # on a busy machine it may not have come so far that it waits no more
    for _ in range(2):
        done = cli(*RUN, "--show", "sum")
        assert (done.exit_code, done.stdout, done.stderr) == (0, "DONE\nsum: 3\n", "")
    again = cli(*RUN, "--format", "json")
    assert json.loads(again.stdout)["run_id"] == "monday"


def test_a_run_that_was_killed_is_resumed(cli: Any, folder: Path, eventually: Any) -> None:
    child = subprocess.Popen([sys.executable, "-m", "cano_sync.cli", *RUN], cwd=folder, env=_env())
    eventually((folder / "started").exists)
    busy = cli("resume", "nightly:workflow", "monday", "--checkpoints", "runs.db")
    assert busy.exit_code == 1
    assert f"run 'monday' is under way: process {child.pid} on" in busy.stderr
    assert "is recorded: go on" not in busy.stderr
    listed = cli("runs", "--checkpoints", "runs.db").stdout
    assert f"running, process {child.pid} on" in listed
    child.send_signal(signal.SIGKILL)
    child.wait(20)
    listed = cli("runs", "--checkpoints", "runs.db").stdout
    assert "has died" in listed
    arguments = ("--checkpoints", "runs.db", "--show", "sum")
    done = cli("resume", "nightly:workflow", "monday", *arguments)
    assert (done.exit_code, done.stdout) == (0, "DONE\nsum: 3\n")
    shown = cli("show", "monday", "--checkpoints", "runs.db")
    assert shown.exit_code == 0
    lines = [re.sub(r" {2,}", "  ", line) for line in shown.stdout.splitlines()]
    lines = [re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", line) for line in lines]
    lines = [re.sub(r"  [\d.]+ (µs|us|ms|s)(?=  |$)", "  TOOK", line) for line in lines]
    assert lines == [
        "monday: done, in DONE",
        "workflow nightly:workflow, version 0; began TIME, ended TIME",
        "it was taken up 2 times",
        "step  state  entered  for  with",
        "0  LOAD  TIME  TOOK",
        "1  WORK  TIME  TOOK  begun again by another call, rows=[0, 1, 2], scratch='x'",
        "2  SEND  TIME  TOOK  sum=3, no scratch",
        "3  DONE  TIME",
    ]


def _env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_a_run_that_has_failed_raises_its_error_again(cli: Any, folder: Path) -> None:
    (folder / "go").touch()
    first = cli(*RUN, "--store", "count=0")
    again = cli(*RUN, "--store", "count=0")
    assert first.exit_code == again.exit_code == 1
    for failed in (first, again):
        assert "failed after" in failed.stderr and "nothing to do" in failed.stderr
    assert (
        "failed with TaskExecutionError" in cli("show", "monday", "--checkpoints", "runs.db").stdout
    )
    other = cli(*RUN, "--store", "count=1")
    assert other.exit_code == 1 and "has begun with other values" in other.stderr


def test_a_workflow_that_says_where_it_is_recorded_needs_no_option(cli: Any, folder: Path) -> None:
    (folder / "go").touch()
    done = cli("run", "nightly:kept", "--id", "monday")
    assert (done.exit_code, done.stdout) == (0, "DONE\n")
    assert cli("resume", "nightly:kept", "monday").stdout == "DONE\n"
    data = json.loads(cli("show", "monday", "--checkpoints", "own.db", "--format", "json").stdout)
    assert (data["workflow"], data["version"], data["status"]) == ("nightly", 2, "done")
    assert data["steps"][1]["changes"] == {"rows": [0, 1, 2], "scratch": "x"}
    elsewhere = cli("run", "nightly:kept", "--id", "monday", "--checkpoints", "other.db")
    assert elsewhere.stdout == "DONE\n"
    assert "nightly" in cli("runs", "--checkpoints", "other.db").stdout


def test_runs_are_listed_and_chosen(cli: Any, folder: Path) -> None:
    (folder / "go").touch()
    for name in ("monday", "tuesday"):
        cli("run", "nightly:workflow", "--checkpoints", "runs.db", "--id", name)
    lines = cli("runs", "--checkpoints", "runs.db").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["id", "tuesday", "monday"]
    assert lines[1].split()[1:4] == ["nightly:workflow", "DONE", "4"]
    for chosen in (("--status", "failed"), ("--state", "WORK"), ("--workflow", "other")):
        assert len(cli("runs", "--checkpoints", "runs.db", *chosen).stdout.splitlines()) == 1
    data = json.loads(cli("runs", "--checkpoints", "runs.db", "--format", "json").stdout)
    assert [run["id"] for run in data] == ["tuesday", "monday"]
    assert len(cli("runs", "--checkpoints", "runs.db", "--limit", "1").stdout.splitlines()) == 2


def test_a_recorded_run_is_drawn_as_a_page(cli: Any, folder: Path) -> None:
    (folder / "go").touch()
    cli(*RUN)
    arguments = ("show", "monday", "--checkpoints", "runs.db", "--html")
    assert cli(*arguments, "page.html").exit_code == 0
    page = (folder / "page.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    for text in ("LOAD", "WORK", "SEND", "DONE", "nightly:workflow monday: done"):
        assert text in page
    refused = cli(*arguments, "none/page.html")
    assert refused.exit_code == 1 and "cannot be written" in refused.stderr


def test_what_is_not_there_is_said_and_no_file_is_made(cli: Any, folder: Path) -> None:
    for command in (
        ("runs", "--checkpoints", "none.db"),
        ("show", "monday", "--checkpoints", "none.db"),
        ("resume", "nightly:workflow", "monday", "--checkpoints", "none.db"),
    ):
        refused = cli(*command)
        assert (refused.exit_code, refused.stderr) == (
            2,
            "cano-sync: --checkpoints: there is no file none.db\n",
        )
    assert not (folder / "none.db").exists()
    for command in (("run", "nightly:workflow", "--id", "x"), ("resume", "nightly:workflow", "x")):
        refused = cli(*command)
        assert refused.exit_code == 2 and "give --checkpoints FILE" in refused.stderr
    (folder / "go").touch()
    cli(*RUN)
    missing = cli("show", "tuesday", "--checkpoints", "runs.db")
    assert missing.exit_code == 1 and "there is no run 'tuesday'" in missing.stderr
    missing = cli("resume", "nightly:workflow", "tuesday", "--checkpoints", "runs.db")
    assert missing.exit_code == 1 and "there is no run 'tuesday'" in missing.stderr


def test_a_damaged_run_is_shown_as_far_as_it_can_be_read(cli: Any, folder: Path) -> None:
    (folder / "go").touch()
    cli(*RUN)
    with SQLiteCheckpoints(folder / "runs.db") as checkpoints:
        writer = checkpoints._open()._writer
        writer.execute("update step set delta = '{' where seq = 2")
        text = show_text(checkpoints.run("monday"), "text")
    assert "damaged: step 2 of run 'monday' is damaged" in text
    assert "rows=[0, 1, 2]" in text
