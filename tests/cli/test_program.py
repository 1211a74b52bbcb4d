"""The other commands: validate, graph, demo, completion, and their help."""

from __future__ import annotations

import shutil
import subprocess

import pytest


def test_a_valid_workflow_is_said_to_be_one(cli) -> None:
    done = cli("validate", "shop:workflow")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "shop:workflow is valid: 2 states, 2 exits\n"
    assert cli("validate", "shop:sleeping").stdout == "shop:sleeping is valid: 1 state, 1 exit\n"


def test_every_problem_is_a_line(cli) -> None:
    done = cli("validate", "shop:invalid")
    assert (done.exit_code, done.stderr) == (1, "")
    assert [line.split(": ", 1)[0] for line in done.stdout.splitlines()] == ["shop:invalid"] * 3


@pytest.mark.parametrize(("layout", "beginning"), [("mermaid", "flowchart"), ("dot", "digraph")])
def test_a_diagram_is_printed_as_text(cli, layout: str, beginning: str) -> None:
    drawn = cli("graph", "shop:workflow", "--format", layout)
    assert drawn.exit_code == 0
    assert drawn.stdout.startswith(beginning)
    assert "CHOOSE" in drawn.stdout


def test_one_that_is_not_valid_is_drawn_too(cli) -> None:
    assert cli("graph", "shop:invalid").exit_code == 0


def test_graphviz_draws_it(cli) -> None:
    if shutil.which("dot") is None:
        pytest.skip("Graphviz is not installed")
    drawn = cli("graph", "shop:workflow", "--format", "svg")
    assert (drawn.exit_code, drawn.stderr) == (0, "")
    assert "<svg" in drawn.stdout
    assert "CHOOSE" in drawn.stdout


def test_without_graphviz_one_line_says_so(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    wrong = cli("graph", "shop:workflow", "--format", "svg")
    assert (wrong.exit_code, wrong.stdout) == (1, "")
    (line,) = wrong.stderr.splitlines()
    assert "whose program `dot` is not on the PATH" in line


def test_what_graphviz_complains_of_is_passed_on(cli, folder, monkeypatch) -> None:
    dot = folder / "dot"
    dot.write_text("#!/bin/sh\necho 'out of ink' >&2\nexit 3\n")
    dot.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    wrong = cli("graph", "shop:workflow", "--format", "svg")
    assert wrong.exit_code == 1
    assert wrong.stderr == "cano-sync: Graphviz could not draw it (status 3): out of ink\n"


def test_the_demo_takes_its_options(child) -> None:
    done = child("demo", "--pace", "6", "--floor", "5")
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing sold: the best bid is 3.70, the floor 5.00 USD\n" in done.stdout


def test_the_demo_has_its_own_help_and_its_own_mistakes(child) -> None:
    assert child("demo", "--help").stdout.startswith("usage: cano-sync demo ")
    wrong = child("demo", "--speed", "9")
    assert wrong.returncode == 2
    assert wrong.stderr == "cano-sync demo: unrecognized arguments: --speed 9\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_completion_script(child, shell: str) -> None:
    """The shell itself, where there is one, finds no fault with it."""
    done = child("completion", shell)
    assert done.returncode == 0
    assert "_CANO_SYNC_COMPLETE" in done.stdout
    program = shutil.which(shell)
    if program is not None:
        subprocess.run([program, "-n"], input=done.stdout, text=True, check=True, timeout=20)


def test_states_of_a_workflow_that_cannot_be_loaded_are_none(environment, folder) -> None:
    """A completion says nothing else than what completes."""
    (folder / "broken.py").write_text("print('noise')\nraise OSError\n")
    asked = {
        "_CANO_SYNC_COMPLETE": "zsh_complete",
        "COMP_WORDS": "cano-sync run broken:workflow --start ",
        "COMP_CWORD": "4",
    }
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "cano_sync.cli"],
        env={**environment, **asked},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")


@pytest.mark.parametrize("command", ["run", "validate", "graph", "schedule", "completion"])
def test_every_command_explains_itself(cli, command: str) -> None:
    assert cli(command, "--help").stdout.startswith(f"Usage: cano-sync {command} [OPTIONS] ")
