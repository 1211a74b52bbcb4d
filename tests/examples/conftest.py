"""Fixtures of the examples' tests: an example run as the program that it is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

# Some tests import an example, as its own siblings do.
sys.path.insert(0, str(EXAMPLES))

Program = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """An example finds the library that is tested, installed or not."""
    paths = [str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


@pytest.fixture(scope="session")
def program(environment: dict[str, str]) -> Program:
    """`program("linear", *arguments)` runs an example to its end. A warning is an error there.

    What is given by name is added to its environment.
    """

    def run(name: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        file = EXAMPLES / f"{name}.py"
        if not file.exists():  # a project
            file = EXAMPLES / name / f"{name}.py"
        return subprocess.run(
            [sys.executable, "-W", "error", str(file), *arguments],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=50,
            env={**environment, **variables},
        )

    return run
