"""The README: its first workflow does what it says, its commands and its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from enum import Enum
from pathlib import Path

import pytest

from cano_sync import Workflow
from cano_sync.scheduler import Scheduler

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_first_workflow_prints_what_is_shown() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", blocks("python")[0]],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
        cwd=ROOT,
    )
    assert ended.stdout == blocks("text")[0]


def test_all_code_is_python() -> None:
    for block in blocks("python"):
        compile(block, "README.md", "exec")


def test_every_command_begins_with_an_environment_of_its_own() -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(commands) == 2
    assert all(command.startswith("python3 -m venv .venv && ") for command in commands)


def test_every_link_to_a_file_leads_to_one() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_every_example_is_in_the_table() -> None:
    for file in (ROOT / "examples").glob("*.py"):
        assert f"(examples/{file.name})" in TEXT, file.name


def test_a_run_is_seen_as_the_readme_says() -> None:
    """The observers of the second part, attached to the workflow of the first."""
    observing = next(block for block in blocks("python") if "Recorder()" in block)
    own = next(block for block in blocks("python") if "class Path(Observer)" in block)
    end = "workflow.with_observer(Path()).orchestrate(Quote.ASK)"
    program = "\n".join((blocks("python")[0], observing, own, end))
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
        cwd=ROOT,
    )
    for line in ("  ask ", "-> ASK", "-> DONE"):
        assert line in ended.stdout
    assert re.search("cancelled|abandoned", ended.stdout)  # the latter where the machine is busy


def flows(block: str) -> dict[str, object]:
    """A workflow and its states for each flow of a timetable in the README."""
    names: dict[str, object] = {}
    for name in re.findall(r'scheduler\.\w+\("\w+", (\w+), ', block):
        states = Enum(name.capitalize(), "START DONE")  # type: ignore[misc]
        workflow = Workflow().register(states.START, lambda done=states.DONE: done)
        names |= {name: workflow.add_exit_state(states.DONE), name.capitalize(): states}
    return names


def test_the_timetable_of_the_readme_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its flows are added as they stand there; it is not started."""
    (block,) = (block for block in blocks("python") if "scheduler.cron(" in block)
    names = flows(block)
    monkeypatch.setattr(Scheduler, "start", lambda self: None)
    exec(block, names)
    scheduler = names["scheduler"]
    assert isinstance(scheduler, Scheduler)
    assert [status.schedule for status in scheduler.list()] == [
        "every 10 min",
        "cron 0 9 * * MON in Europe/Zurich",
        "every Sunday at 03:00",
        "by hand",
    ]


def test_a_timetable_is_tested_as_the_readme_says() -> None:
    (block,) = (block for block in blocks("python") if "HandClock" in block)
    assert "assert" in block
    exec(block, flows(block))
