"""The Flask project's own tests, on SQLite and on PostgreSQL; test_programs.py runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgres import fresh_database, needs_postgres, sqlalchemy_url

# They take their time; the program itself is run by test_programs.py with all others.
pytestmark = pytest.mark.servers

PROJECT = Path(__file__).parents[2] / "examples" / "flask_view"


def own_tests(environment: dict[str, str]) -> str:
    """What they say at the end."""
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "."],
        capture_output=True,
        text=True,
        timeout=50,
        cwd=PROJECT,
        env={name: value for name, value in environment.items() if "PYTEST" not in name},
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def test_its_own_tests_pass_on_sqlite(environment: dict[str, str]) -> None:
    assert " passed" in own_tests({**environment, "DATABASE_URL": ""})


@needs_postgres
def test_its_own_tests_pass_on_postgresql(environment: dict[str, str]) -> None:
    with fresh_database() as name:
        assert " passed" in own_tests({**environment, "DATABASE_URL": sqlalchemy_url(name)})


@needs_postgres
def test_it_prints_the_same_on_postgresql(program) -> None:
    recorded = (PROJECT.parent / "flask_view.out.txt").read_text(encoding="utf-8")
    with fresh_database() as name:
        ended = program("flask_view", DATABASE_URL=sqlalchemy_url(name))
    assert (ended.stdout, ended.stderr) == (recorded, "")
