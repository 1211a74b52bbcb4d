"""The types as users see them: what is right passes strict checkers, what is wrong does not."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import copy

import pytest

import cano_sync

HERE = Path(__file__).parent
ROOT = Path(cano_sync.__file__).parent.parent
FILES = ("workflow.py", "mistakes.py", "gaps.py")

MARK = re.compile(r"  # error: (?P<codes>.+)$")
SAID = re.compile(r"^(?P<file>[^:]+):(?P<line>\d+): error: .*\[(?P<code>[\w-]+)\]$")

Found = dict[str, dict[int, list[str]]]
"""File, line, and the codes of what was found there."""


def marked(file: str) -> dict[int, list[str]]:
    """The lines that must be complained about, and mypy's codes for them."""
    lines = (HERE / file).read_text(encoding="utf-8").splitlines()
    marks = {number: MARK.search(line) for number, line in enumerate(lines, 1)}
    return {number: mark["codes"].split(", ") for number, mark in marks.items() if mark}


def need(checker: str) -> None:
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed: it comes with the extra 'check'")


@pytest.fixture(scope="module")
def by_mypy(tmp_path_factory: pytest.TempPathFactory) -> Found:
    need("mypy")
    place = tmp_path_factory.mktemp("mypy")
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--warn-unreachable", "--config-file="),
            *("--no-error-summary", "--hide-error-context", "--no-pretty", "--cache-dir"),
            *(str(place / "cache"), *FILES),
        ],
        capture_output=True,
        text=True,
        cwd=_with_files(place),
        env=_environment(),
        check=False,
    )
    assert ended.returncode in (0, 1), ended.stdout + ended.stderr
    found: Found = {file: {} for file in FILES}
    for line in ended.stdout.splitlines():
        said = SAID.match(line)
        assert said or ": note: " in line, line
        if said:
            found[said["file"]].setdefault(int(said["line"]), []).append(said["code"])
    return found


@pytest.fixture(scope="module")
def by_pyright(tmp_path_factory: pytest.TempPathFactory) -> Found:
    need("pyright")
    place = tmp_path_factory.mktemp("pyright")
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT)]}
    (place / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson"],
        capture_output=True,
        text=True,
        cwd=_with_files(place),
        env=_environment(),
        check=False,
    )
    if not ended.stdout.lstrip().startswith("{"):  # it is written in JavaScript
        pytest.skip(f"pyright needs Node.js and found none: {ended.stderr[-200:]}")
    found: Found = {file: {} for file in FILES}
    for said in json.loads(ended.stdout)["generalDiagnostics"]:
        if said["severity"] == "error":
            line = said["range"]["start"]["line"] + 1
            found[Path(said["file"]).name].setdefault(line, []).append(said.get("rule", ""))
    return found


def _with_files(place: Path) -> Path:
    """Away from the house and its settings, as a user's own project is."""
    for file in FILES:
        copy(HERE / file, place)
    return place


def _environment() -> dict[str, str]:
    return {**os.environ, "MYPYPATH": str(ROOT), "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}


def test_a_users_workflow_passes_mypy_strict(by_mypy: Found) -> None:
    assert by_mypy["workflow.py"] == {}


def test_a_users_workflow_passes_pyright_strict(by_pyright: Found) -> None:
    assert by_pyright["workflow.py"] == {}


def test_mypy_catches_each_mistake_and_nothing_else(by_mypy: Found) -> None:
    assert by_mypy["mistakes.py"] == marked("mistakes.py")


def test_pyright_catches_each_mistake_and_nothing_else(by_pyright: Found) -> None:
    assert sorted(by_pyright["mistakes.py"]) == sorted(marked("mistakes.py"))


def test_nothing_is_left_for_mypy(by_mypy: Found) -> None:
    assert by_mypy["gaps.py"] == marked("gaps.py")


def test_nothing_is_left_for_pyright(by_pyright: Found) -> None:
    assert sorted(by_pyright["gaps.py"]) == sorted(marked("gaps.py"))


def test_every_public_name_is_used_by_the_users_workflow() -> None:
    source = (HERE / "workflow.py").read_text(encoding="utf-8")
    imported, used = source.split("\nclass Quote", 1)
    for name in cano_sync.__all__:
        assert f"    {name},\n" in imported
        assert re.search(rf"\b{name}\b", used), name
