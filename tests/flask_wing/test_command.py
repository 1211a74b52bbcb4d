"""`flask cano`: the command line, within the app's context."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SHOP = """
from enum import Enum

from flask import Flask, current_app
from flask.globals import app_ctx

from cano_sync import JoinConfig, JoinStrategy, Workflow
from cano_sync.flask import Cano

app = Flask("shop")
Cano(app)

Count = Enum("Count", "ASK SHOW DONE")


def ask(store):
    return current_app.name, app_ctx._get_current_object()


def show(store):
    (first, one), (second, two) = store.get("seen")
    store.put("apps", [current_app.name, first, second, one is not two])
    return Count.DONE


workflow = (
    Workflow()
    .register_split(
        Count.ASK, [ask, ask], JoinConfig(JoinStrategy.ALL, Count.SHOW, collect="seen")
    )
    .register(Count.SHOW, show)
    .add_exit_state(Count.DONE)
)
"""


@pytest.fixture
def flask(tmp_path: Path):
    """`flask("cano", ...)` runs the command."""
    (tmp_path / "shop.py").write_text(SHOP)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flask", "--app", "shop", *arguments],
            capture_output=True,
            text=True,
            timeout=50,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        )

    return run


def test_a_workflow_is_run_in_the_apps_context(flask) -> None:
    ended = flask("cano", "run", "shop:workflow", "--timeout", "30s", "--show", "apps")
    assert ended.stderr == ""
    assert ended.returncode == 0
    assert ended.stdout.splitlines()[0] == "DONE"
    assert '["shop", "shop", "shop", true]' in ended.stdout


@pytest.mark.parametrize(
    ("wing", "package", "message"),
    [
        ("flask", "flask", "cano_sync.flask needs Flask: pip install 'cano_sync[flask]'"),
        (
            "sqlalchemy",
            "sqlalchemy.orm",
            "cano_sync.sqlalchemy needs SQLAlchemy: pip install 'cano_sync[sqlalchemy]'",
        ),
    ],
)
def test_what_is_missing_is_said(wing: str, package: str, message: str) -> None:
    script = (
        f"import sys; sys.modules[{package!r}] = None\n"
        f"try: import cano_sync.{wing}\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=50, cwd=ROOT
    )
    assert done.stdout == f"{message}\n"


def test_its_help_and_its_errors_are_those_of_the_command(flask) -> None:
    helped = flask("cano", "run", "--help")
    assert helped.stdout.startswith("Usage: flask cano run [OPTIONS] MODULE:WORKFLOW")
    wrong = flask("cano", "run", "shop:nothing")
    assert wrong.returncode == 2
    assert "nothing" in wrong.stderr
