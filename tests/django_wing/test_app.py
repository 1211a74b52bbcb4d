"""The app itself, and its command, as a project of its own has them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.test import override_settings

from cano_sync._engine.surroundings import installed_arounds
from cano_sync.django.around import DjangoAround
from tests.conftest import MEASURED

ROOT = Path(__file__).parents[2]


def installed() -> int:
    return sum(isinstance(around, DjangoAround) for around in installed_arounds())


def test_it_is_installed_once_however_often_django_makes_the_app() -> None:
    assert installed() == 1
    apps.get_app_config("cano_sync").ready()
    with override_settings(INSTALLED_APPS=["cano_sync.django"]):
        assert installed() == 1
    assert apps.get_app_config("cano_sync").name == "cano_sync.django"


def test_in_code_the_command_says_what_to_call() -> None:
    with pytest.raises(CommandError, match=r"workflow\.orchestrate\(\)"):
        call_command("cano")


def test_without_django_it_says_what_to_install() -> None:
    script = "import sys; sys.modules['django'] = None; import cano_sync.django"
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, **MEASURED},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert ended.returncode == 1
    assert "needs Django 5.2 or later: pip install 'cano_sync[django]'" in ended.stderr


SETTINGS = """
SECRET_KEY = "x"
INSTALLED_APPS = ["cano_sync.django"]
DATABASES = {}
"""

FLOWS = """
from django import conf
from cano_sync import JoinConfig, JoinStrategy, Workflow

def name(store):
    conf.settings.INSTALLED_APPS
    return "END"

workflow = (
    Workflow()
    .register_split("ASK", [lambda: None] * 3, JoinConfig(JoinStrategy.ALL, "NAME"))
    .register("NAME", name)
    .add_exit_state("END")
)
"""

MANAGE = """
import os, sys
from django.core.management import execute_from_command_line
if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nowhere")
    execute_from_command_line(sys.argv)
"""


def test_manage_py_hands_all_to_the_command_line(tmp_path: Path) -> None:
    """Django's own options may stand anywhere; a project may be without a database."""
    for name, text in (("site_settings", SETTINGS), ("flows", FLOWS), ("manage", MANAGE)):
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")

    def manage(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", "cano", *arguments],
            cwd=tmp_path,
            env={**os.environ, **MEASURED, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=50,
        )

    ended = manage("run", "flows:workflow", "--settings=site_settings", "--start", "ASK")
    assert (ended.returncode, ended.stdout) == (0, "END\n"), ended.stderr
    ended = manage("--settings", "site_settings", "run", "--help")
    assert "Usage: manage.py cano run" in ended.stdout
