"""`cano-sync schedule`: flows in the foreground, until a signal stops them."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import pytest

from cano_sync.cli.process_exit import GRACE, SHORT_GRACE, ProcessExit

from .conftest import COMMAND, PATIENCE

NIGHT = """
import os
import time
from pathlib import Path

from cano_sync import CancellationToken, Workflow
from cano_sync.scheduler import Scheduler


def sweep():
    return "SWEPT"


def fail():
    raise OSError("no route to the till")


def count(store, cancel: CancellationToken):
    os.write(2, b"READY\\n")
    while not Path("enough").exists():
        cancel.sleep(0.01)
    return "COUNTED"


def flow(state, work):
    return Workflow().register(state, work).add_exit_states("SWEPT", "COUNTED")


scheduler = Scheduler()
scheduler.every("sweep", flow("SWEEP", sweep), "SWEEP", 0.2)
scheduler.every("fail", flow("FAIL", fail), "FAIL", 0.3)
scheduler.every("count", flow("COUNT", count), "COUNT", 0.1)
workflow = flow("SWEEP", sweep)


def not_listening():
    os.write(2, b"READY\\n")
    time.sleep(60)


deaf = Scheduler()
deaf.every("deaf", flow("SWEEP", not_listening), "SWEEP", 0.1)


ends = Scheduler()
ends.every("last", flow("SWEEP", lambda: ends.stop() or "SWEPT"), "SWEEP", 0.01)


def started():
    scheduler = Scheduler()
    scheduler.start_in_background().close()
    return scheduler
"""


@pytest.fixture
def night(folder):
    (folder / "night.py").write_text(NIGHT)
    return folder


@pytest.fixture
def process(night, environment) -> Iterator[subprocess.Popen[str]]:
    """The schedule with pipes, once its long flow is running."""
    with subprocess.Popen(
        [*COMMAND, "schedule", "night:scheduler"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            said = []
            while not said or "READY" not in said[-1]:
                said.append(process.stderr.readline())
                assert said[-1], said
            yield process
        finally:
            process.kill()


def test_a_signal_lets_the_running_flows_finish(process, night) -> None:
    process.send_signal(signal.SIGTERM)
    said = ""
    while "stopping" not in said:
        said = process.stderr.readline()
        assert said
    assert said == "cano-sync: stopping, by SIGTERM; count may finish\n"
    (night / "enough").touch()
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (0, "")
    assert "flow count: succeeded in 'COUNTED' after " in err


def test_a_second_signal_cancels_them(process) -> None:
    process.send_signal(signal.SIGTERM)
    while "stopping" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert "flow count: cancelled after " in err
    assert "flow count: failed" not in err
    assert err.endswith("cano-sync: cancelled: count\n")


def test_a_deaf_flow_is_named_and_holds_the_process_for_the_grace_only(terminal, night) -> None:
    run = terminal("schedule", "night:deaf", "--grace", "1h")
    run.until("READY")
    run.press("\x03")
    run.until("deaf may finish")
    run.press("\x03")
    run.until("cancelled: deaf; 1 thread still running")
    run.press("\x03")
    assert run.ended()[0] == 130


@pytest.mark.parametrize(
    ("by_signal", "grace", "seconds"),
    [(False, None, GRACE), (True, None, SHORT_GRACE), (True, 5.0, 5.0)],
)
def test_the_grace_is_short_after_a_signal(by_signal, grace, seconds) -> None:
    process_exit = ProcessExit()
    process_exit.done(by_signal=by_signal, grace=grace)
    assert (process_exit.grace, process_exit.is_over) == (seconds, True)


def test_lines_say_what_the_flows_do(process) -> None:
    wanted = [
        "flow sweep: succeeded in 'SWEPT' after ",
        "flow fail: failed after ",
        "flow count: skipped, ",
    ]
    while wanted:
        line = process.stderr.readline()
        assert line
        wanted = [text for text in wanted if text not in line]
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)


def test_on_a_terminal_a_table_moves(terminal, night) -> None:
    run = terminal("schedule", "night:scheduler", size=(140, 30))
    for text in ("skipped", "every 0.2 s", "SWEPT", "no route to the till", "running"):
        run.until(text)
    run.press("\x03")
    run.until("count may finish")
    (night / "enough").touch()
    assert run.ended()[0] == 0


def test_there_is_a_limit_to_the_patience(terminal, night) -> None:
    run = terminal("schedule", "night:scheduler", "--stop-timeout", "50ms")
    run.until("running")
    run.press("\x03")
    assert run.ended()[0] == 1


def test_a_flow_may_stop_its_scheduler(cli, night) -> None:
    done = cli("schedule", "night:ends")
    assert done.exit_code == 0
    assert "cano-sync: stopping, by itself\n" in done.stderr


def test_what_is_no_scheduler_is_reported(cli, night) -> None:
    wrong = cli("schedule", "night:workflow")
    assert wrong.exit_code == 2
    assert wrong.stderr == (
        "cano-sync: night:workflow is a Workflow, neither a scheduler nor a function that makes "
        "one\n"
    )


def test_one_that_was_started_before_is_reported_in_one_line(cli, night) -> None:
    wrong = cli("schedule", "night:started")
    assert wrong.exit_code == 1
    (line,) = wrong.stderr.splitlines()
    assert line.startswith("cano-sync: ")
