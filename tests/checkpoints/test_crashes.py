"""Killed at any instruction, a run comes to the same end: see `crashes.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkpoints.scenarios import SCENARIOS

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the harness forks")


def killed(scenario: str, folder: Path, how: str, timeout: float) -> str:
    """What the harness says at its end."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.checkpoints.crashes", scenario, str(folder), how],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_run_that_is_killed_before_many_a_statement_comes_to_the_same_end(
    scenario: str, tmp_path: Path
) -> None:
    said = killed(scenario, tmp_path, "quick", 50)
    kills, problems = (int(word) for word in said.split() if word.isdigit())
    assert problems == 0
    assert kills > 10


@pytest.mark.servers
@pytest.mark.timeout(300)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_run_that_is_killed_around_any_statement_and_again_and_again(
    scenario: str, tmp_path: Path
) -> None:
    assert "0 problems" in killed(scenario, tmp_path, "all", 280)


@pytest.mark.servers
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_run_that_is_killed_at_200_random_times(scenario: str, tmp_path: Path) -> None:
    assert "0 problems" in killed(scenario, tmp_path, "random=200", 580)
