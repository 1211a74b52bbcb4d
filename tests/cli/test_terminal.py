"""On a real terminal: what moves, what has colours, and what the key Ctrl-C does."""

from __future__ import annotations

import json
import re
import signal

import pytest

CTRL_C = "\x03"
SHOW_CURSOR, HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"
COLOUR = re.compile(r"\x1b\[[\d;]*3[1-6]m")


def test_the_machine_is_seen_moving(terminal) -> None:
    run = terminal("run", "shop:branches", "--live")
    run.until("deaf")
    run.until("running")
    run.press(CTRL_C)
    code, _ = run.ended()
    assert code == 130
    assert HIDE_CURSOR in run.shown
    assert run.shown.rindex(SHOW_CURSOR) > run.shown.rindex(HIDE_CURSOR)
    assert "ASK" in run.shown
    assert "abandoned" in run.shown  # the last picture


def test_what_moves_leaves_stdout_alone(terminal) -> None:
    run = terminal("run", "shop:workflow", "--live", "--timeline", piped=True)
    assert run.ended() == (0, "DONE\n")
    assert "steady" in run.shown


def test_there_are_colours(terminal) -> None:
    run = terminal("run", "shop:workflow", "--live", "--timeline")
    assert run.ended()[0] == 0
    assert COLOUR.search(run.shown)


def test_there_are_none_where_none_are_wanted(terminal) -> None:
    run = terminal("run", "shop:workflow", "--live", "--timeline", settings={"NO_COLOR": "1"})
    assert run.ended()[0] == 0
    assert "steady" in run.shown
    assert not COLOUR.search(run.shown)


def test_a_terminal_that_cannot_move_gets_lines(terminal) -> None:
    run = terminal("run", "shop:workflow", "--live", settings={"TERM": "dumb"})
    assert run.ended()[0] == 0
    assert "task 'steady'" in run.shown
    assert "\x1b" not in run.shown


# Ctrl-C.


def test_ctrl_c_cancels_and_says_what(terminal) -> None:
    """Who is deaf does not hold it up, and is named."""
    run = terminal("run", "shop:branches")
    run.until("READY")
    run.press(CTRL_C)
    code, _ = run.ended()
    assert code == 130
    last = run.shown.splitlines()[-1]
    assert re.search(
        r"cano-sync: cancelled in Quote.ASK after \S+ s, by Ctrl-C; cancelled: near, far; "
        r"abandoned, still running: deaf$",
        last,
    )
    assert "Traceback" not in run.shown


def test_ctrl_c_is_reported_as_json_too(terminal) -> None:
    run = terminal("run", "shop:branches", "--format", "json", piped=True)
    run.until("READY")
    run.press(CTRL_C)
    code, out = run.ended()
    report = json.loads(out)
    assert (code, report["outcome"], report["reason"]) == (130, "cancelled", "Ctrl-C")
    assert (report["state"], report["cancelled"]) == ("ASK", ["near", "far"])
    assert report["abandoned"] == ["deaf"]


def test_a_second_ctrl_c_does_not_wait_for_the_grace(terminal) -> None:
    run = terminal("run", "shop:is_deaf", "--grace", "1h")
    run.until("READY")
    run.press(CTRL_C)
    run.until("still running: step")
    run.press(CTRL_C)
    assert run.ended()[0] == 130


def test_an_explicit_grace_holds_after_ctrl_c_too(terminal, folder) -> None:
    run = terminal("run", "shop:is_tidy", "--grace", "10s")
    run.until("READY")
    run.press(CTRL_C)
    assert run.ended()[0] == 130
    assert (folder / "tidied").exists()


def test_sigterm_does_the_same_with_143(terminal) -> None:
    run = terminal("run", "shop:is_deaf", "--live")
    run.until("ASK")
    run.process.send_signal(signal.SIGTERM)
    code, _ = run.ended()
    assert code == 143
    assert "by SIGTERM" in run.shown


def test_ctrl_c_during_the_import_of_the_users_module_is_quiet(terminal, folder) -> None:
    (folder / "slow.py").write_text(
        "import os, time\nos.write(2, b'READY')\ntime.sleep(60)\nworkflow = None\n"
    )
    run = terminal("run", "slow:workflow")
    run.until("READY")
    run.press(CTRL_C)
    assert run.ended()[0] == 130
    assert "Traceback" not in run.shown


# Completion, in a real shell.


@pytest.fixture
def bash(terminal, folder, environment):
    """An interactive bash with the completion script loaded, and `cano-sync` on its path."""
    import shutil
    import sys

    program = shutil.which("bash")
    if program is None:
        pytest.skip("there is no bash here")
    (folder / "night.py").write_text(
        "from cano_sync.scheduler import Scheduler\nfrom shop import workflow\n"
        "every_night = Scheduler()\n"
        "def nightly() -> Scheduler: raise OSError('it was called')\n"
        "def not_one(): raise OSError('it was called')\n"
    )
    script = folder / "bin" / "cano-sync"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m cano_sync.cli "$@"\n')
    script.chmod(0o755)
    shell = terminal(
        command=(program, "--norc", "--noprofile", "-i"),
        settings={"PATH": f"{script.parent}:{environment['PATH']}", "PS1": "$ "},
    )
    shell.until("$ ")
    shell.press('eval "$(cano-sync completion bash)"; echo LOAD""ED\r')
    shell.until("LOADED")
    yield shell
    shell.press("\x15exit\r")
    shell.ended()


@pytest.mark.parametrize(
    ("typed", "becomes"),
    [
        ("cano-sync val\t", "cano-sync validate "),
        ("cano-sync run --timel\t", "--timeline "),
        ("cano-sync run shop:workflow --start CH\t", "--start CHOOSE "),
        ("cano-sync run shop:workflow --start=CH\t", "--start=CHOOSE "),
        ("cano-sync run shop:workflow --fail-on NO\t", "--fail-on NO_OFFER "),
        ("cano-sync run shop:workf\t", "shop:workflow "),
        ("cano-sync run shop:mak\t", "shop:make "),
        ("cano-sync schedule night:ev\t", "night:every_night "),
        ("cano-sync schedule night:n\t", "night:nightly "),
        ("cano-sync run shop.py\t", "shop.py"),
        ("cano-sync graph shop:workflow --format me\t", "--format mermaid "),
    ],
)
def test_the_tab_key_completes(bash, typed: str, becomes: str) -> None:
    bash.shown = ""
    bash.press(typed)
    bash.until(becomes)
