"""`-v`: a log on stderr, for a module that has set up none."""

from __future__ import annotations

import re

import pytest

TALK = """
import logging

from cano_sync import Workflow
from cano_sync.observe import LoggingObserver
from cano_sync.scheduler import LoggingFlowObserver, Scheduler

log = logging.getLogger("shop.talk")


def talk():
    log.info("hello")
    return "END"


workflow = Workflow().register("TALK", talk).add_exit_state("END")
watched = workflow.with_observer(LoggingObserver())


def stop():
    night.stop()
    return talk()


def made(work, **options):
    scheduler = Scheduler(**options)
    scheduler.every("talk", work, "TALK", 0.05)
    return scheduler


stopping = Workflow().register("TALK", stop).add_exit_state("END")
"""


@pytest.fixture
def talk(folder) -> None:
    (folder / "talk.py").write_text(TALK)


def test_without_it_there_is_no_log(child, talk) -> None:
    assert child("run", "talk:workflow").stderr == ""


@pytest.mark.parametrize("target", ["talk:workflow", "talk:watched"])
def test_once_logs_runs_and_what_tasks_log_and_of_which_run(child, talk, target) -> None:
    done = child("run", target, "-v")
    assert done.stdout == "END\n"
    started, hello, finished = done.stderr.splitlines()
    assert "INFO" in started
    assert "started in 'TALK'" in started
    assert "talk] shop.talk: hello" in hello
    run_id = hello.split("[")[1].split()[0]
    assert f"[{run_id} -] cano_sync: run {run_id}" in finished
    assert "succeeded in 'END'" in finished


@pytest.mark.parametrize("option", ["-vv", "-vvv"])
def test_twice_logs_states_and_tasks_too(child, talk, option: str) -> None:
    log = child("run", "talk:workflow", option).stderr
    assert "DEBUG" in log
    assert "task 'talk' of 'TALK': succeeded" in log


def test_a_log_that_the_module_has_set_up_is_used_as_it_is(child, talk, folder) -> None:
    (folder / "own.py").write_text(
        "import logging, sys\nfrom talk import workflow\n"
        "logging.basicConfig(stream=sys.stdout, format='mine: %(message)s')\n"
    )
    done = child("run", "own:workflow", "--verbose")
    assert done.stderr == ""
    first, last, result = done.stdout.splitlines()
    assert first.startswith("mine: run ")
    assert last.startswith("mine: run ")
    assert result == "END"


@pytest.mark.parametrize(
    "made",
    [
        "stopping",
        "stopping.with_observer(LoggingObserver())",
        "stopping, observers=[LoggingFlowObserver()]",
    ],
)
def test_the_runs_of_flows_are_logged_once(child, talk, folder, made: str) -> None:
    """Even if the flow's workflow or the scheduler has such an observer already."""
    with (folder / "talk.py").open("a") as file:
        file.write(f"night = made({made})\n")
    done = child("schedule", "talk:night", "-v")
    assert done.returncode == 0
    # Nor a second time as the lines that come where nothing can move.
    assert len(re.findall("flow talk: started", done.stderr)) == 1
    for line in ("flow talk: started", r"run \w+: started", r"run \w+: succeeded"):
        assert len(re.findall(f"cano_sync: {line}", done.stderr)) == 1, done.stderr
    assert done.stderr.count("shop.talk: hello") == 1


def test_lines_go_above_a_live_view(terminal, talk) -> None:
    run = terminal("run", "talk:workflow", "--live", "-v")
    assert run.ended()[0] == 0
    assert run.shown.index("shop.talk: hello") < run.shown.rindex("◆")
