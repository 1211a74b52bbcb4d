"""`cano-sync schedule`: flows in the foreground, until a signal stops them."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import pytest

from cano_sync import WorkflowCancelledError
from cano_sync.cli.leave import GRACE, SHORT_GRACE, Leave
from cano_sync.cli.timetable import news
from cano_sync.scheduler import FlowState

from .conftest import COMMAND, NOW, PATIENCE, flow, later

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
    assert "cano-sync: count: COUNTED after " in err


def test_a_second_signal_cancels_them(process) -> None:
    process.send_signal(signal.SIGTERM)
    while "stopping" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert "count: cancelled after " in err
    assert "count: failed" not in err
    assert err.endswith("cano-sync: cancelled: count\n")


def test_who_does_not_listen_is_told_and_holds_the_process_for_the_grace_only(
    terminal, night
) -> None:
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
    leave = Leave()
    leave.done(by_signal=by_signal, grace=grace)
    assert (leave.grace, leave.is_over) == (seconds, True)


def test_lines_tell_what_becomes_of_the_flows(process) -> None:
    wanted = [
        "sweep: SWEPT after ",
        "fail: failed after ",
        "count: skipped, for it is still running",
    ]
    while wanted:
        line = process.stderr.readline()
        assert line
        wanted = [text for text in wanted if f"cano-sync: {text}" not in line]
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


def test_what_is_no_scheduler_is_told(cli, night) -> None:
    wrong = cli("schedule", "night:workflow")
    assert wrong.exit_code == 2
    assert wrong.stderr == (
        "cano-sync: night:workflow is a Workflow, neither a scheduler nor a function that makes "
        "one\n"
    )


def test_one_that_was_started_before_is_told_in_one_line(cli, night) -> None:
    wrong = cli("schedule", "night:started")
    assert wrong.exit_code == 1
    (line,) = wrong.stderr.splitlines()
    assert line.startswith("cano-sync: ")


# Lines that tell what has changed.


def test_who_backs_off_is_said_for_how_long_each_time_it_fails() -> None:
    once = flow("ftp", FlowState.BACKING_OFF, failures=1, next_due=later(30))
    again = flow("ftp", FlowState.BACKING_OFF, failures=2, next_due=later(60))
    assert list(news([flow("ftp")], [once], NOW)) == [
        "ftp: backing off, the next run comes in 30 s"
    ]
    assert list(news([once], [again], NOW)) == ["ftp: backing off, the next run comes in 1m 00s"]
    assert list(news([again], [again], NOW)) == []


def test_what_the_scheduler_cancelled_did_not_fail_and_what_a_task_did_has() -> None:
    error = WorkflowCancelledError("the run was cancelled", reason="the scheduler was stopped")
    ended = flow("a", last_duration=1.5, last_error=error)
    assert list(news([flow("a")], [ended], NOW)) == [
        "a: cancelled after 1.500 s: the scheduler was stopped"
    ]
    error = WorkflowCancelledError("enough", run_id="r")
    ended = flow("a", last_duration=1.5, last_error=error)
    (line,) = news([flow("a")], [ended], NOW)
    assert line.startswith("a: failed after 1.500 s: ")


@pytest.mark.parametrize(("skipped", "times"), [(1, "1 time"), (2, "2 times")])
def test_times_are_counted_in_good_english(skipped: int, times: str) -> None:
    (line,) = news([flow("a")], [flow("a", skipped=skipped)], NOW)
    assert line == f"a: skipped, for it is still running ({times} in all)"
