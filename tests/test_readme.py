"""The README: its first workflow does what it says, its commands and its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

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
