"""Ctrl-C while the command is still being loaded: it ends quietly, and nothing of it is lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

# Python loads this when it starts. It presses Ctrl-C when a certain module is looked for.
PRESSES_CTRL_C = """
import os, signal, sys

class Presses:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["WHILE_LOADING"]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Presses())
# Even if these tests run in the background of a shell, which ignores Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
"""

SCRIPT = "from cano_sync_command import main; main()"  # what an installer makes of it

Loading = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def loading(folder, environment) -> Loading:
    """`loading("click")` runs the console script, interrupted while that module is looked for."""
    (folder / "start").mkdir()
    (folder / "start" / "sitecustomize.py").write_text(PRESSES_CTRL_C)
    path = f"{folder / 'start'}:{environment['PYTHONPATH']}"

    def run(module: str, script: str = SCRIPT) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", script, "graph", "shop:workflow"],
            capture_output=True,
            text=True,
            env={**environment, "PYTHONPATH": path, "WHILE_LOADING": module},
            timeout=20,
            check=False,
        )

    return run


def test_what_is_not_interrupted_runs(loading: Loading) -> None:
    done = loading("no.such.module")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("flowchart")


@pytest.mark.parametrize(
    "module",
    [
        "cano_sync",
        "cano_sync.errors",
        "cano_sync._engine.machine",
        "cano_sync.cli",
        "click",
        "cano_sync.cli.program",
        "rich.console",
        "shop",  # the user's own
    ],
)
def test_ctrl_c_while_it_is_loading_is_quiet(loading: Loading, module: str) -> None:
    ended = loading(module)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_ctrl_c_is_not_swallowed_by_what_is_loading(loading: Loading, folder) -> None:
    """An exception would be: what is raised in a finalizer goes nowhere."""
    (folder / "start" / "click.py").write_text(
        "class Swallows:\n"
        "    def __del__(self):\n"
        "        __import__('pressed')\n"
        "Swallows()\n"
        "raise SystemExit('it went on')\n"
    )
    ended = loading("pressed")
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_a_process_that_ignores_ctrl_c_goes_on(loading: Loading) -> None:
    """As under `nohup`."""
    ignoring = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    done = loading("cano_sync.cli", ignoring + SCRIPT)
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_the_command_line_leaves_signals_alone(loading: Loading) -> None:
    """And with them Ctrl-C, in a program that imports it for a purpose of its own."""
    importing = (
        "import signal\n"
        "changed = []\n"
        "signal.signal = lambda *what: changed.append(what)\n"
        "import cano_sync.cli, cano_sync_command\n"
        "print(changed)"
    )
    assert loading("nothing", importing).stdout == "[]\n"
