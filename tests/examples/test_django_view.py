"""The Django project's own tests, as its users run them; test_programs.py runs its program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.django_wing.servers import needs_postgres

PROJECT = Path(__file__).parents[2] / "examples" / "django_view"


def manage(environment: dict[str, str], *arguments: str) -> str:
    """What a command of the project says."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "manage.py", *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        cwd=PROJECT,
        env=environment,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


def test_its_own_tests_pass_on_sqlite(environment: dict[str, str]) -> None:
    """And nothing is left for the system checks to say."""
    said = manage(environment, "test", "--noinput")
    assert "System check identified no issues (1 silenced)" in said
    assert "\nOK\n" in said


@needs_postgres
@pytest.mark.servers
def test_its_own_tests_pass_on_postgresql_and_its_test_database_is_dropped(
    environment: dict[str, str],
) -> None:
    where = {"PGDATABASE": f"cano_example_{os.getpid()}", "PGHOST": "127.0.0.1", "PGUSER": "root"}
    said = manage({**environment, **where}, "test", "--noinput")
    assert "\nOK\n" in said
    assert "being accessed by other users" not in said
