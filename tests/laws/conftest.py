"""Scripts of the laws' tests: interpreters of their own, for signals, forks and exits."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

import cano_sync

ROOT = Path(cano_sync.__file__).parent.parent

StartScript = Callable[[str], "subprocess.Popen[str]"]
RunScript = Callable[[str], str]


@pytest.fixture
def start_script() -> Iterator[StartScript]:
    """`start_script(source)` starts it; what still runs when the test has ended is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(source: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-c", dedent(source)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def run_script(start_script: StartScript) -> RunScript:
    """`run_script(source)` runs it to its end, which must be a good one; returns what it said."""

    def run(source: str) -> str:
        process = start_script(source)
        said, complaints = process.communicate(timeout=45)
        assert process.returncode == 0, complaints
        return said

    return run
