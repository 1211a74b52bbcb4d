"""The end of the process: the right code, and nobody holds it longer than the grace."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import COMMAND

# What is abandoned here sleeps for a minute: that a child ends within its 20 s says it all.


def test_a_deaf_thread_holds_the_process_no_longer_than_the_grace(child) -> None:
    ended = child("run", "shop:is_deaf", "--timeout", "0.1", "--grace", "0.2", "--format", "json")
    assert ended.returncode == 124
    report = json.loads(ended.stdout)
    assert (report["cancelled"], report["abandoned"]) == ([], ["step"])
    assert ended.stderr.endswith("; abandoned, still running: step\n")


def test_the_grace_is_how_long_the_process_waits_for_abandoned_tasks(child) -> None:
    began = time.monotonic()
    assert child("run", "shop:is_deaf", "--timeout", "0.1", "--grace", "1s").returncode == 124
    assert time.monotonic() - began >= 1


def test_a_task_that_listens_can_clean_up_in_the_grace(child, folder) -> None:
    assert child("run", "shop:is_tidy", "--timeout", "0.1").returncode == 124
    assert (folder / "tidied").exists()


def test_a_thread_of_the_users_own_holds_it_no_longer_either(child) -> None:
    ended = child("run", "shop:threaded", "--grace", "0.2")
    assert (ended.returncode, ended.stdout) == (0, "DONE\n")


def test_nor_does_an_executor_of_the_users_own(child) -> None:
    ended = child("run", "shop:executor_of_its_own", "--grace", "0.2")
    assert (ended.returncode, ended.stdout) == (0, "DONE\n")


def test_what_was_registered_with_atexit_is_called(child, folder) -> None:
    (folder / "last.py").write_text(
        "import atexit\nfrom shop import workflow\natexit.register(print, 'the last word')\n"
    )
    ended = child("run", "last:workflow")
    assert (ended.returncode, ended.stdout) == (0, "DONE\nthe last word\n")


def test_a_task_that_ends_the_program_does_so_with_its_code(child) -> None:
    ended = child("run", "shop:leaving")
    assert (ended.returncode, ended.stdout) == (7, "")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("run", "shop:workflow"), 141),  # as a shell says it of SIGPIPE
        (("graph", "shop:workflow"), 141),
        (("demo", "--help"), 141),
        (("--help",), 1),  # click's own way
    ],
)
def test_a_reader_that_has_gone_is_no_reason_to_complain(
    folder, environment, arguments: tuple[str, ...], code: int
) -> None:
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    process.stdout.close()  # before it has written anything
    with process:
        assert process.stderr.read() == b""
    assert process.returncode == code


def test_where_nobody_reads_the_warnings_there_is_the_result(folder, environment) -> None:
    with subprocess.Popen(
        [*COMMAND, "run", "shop:workflow", "--live", "--show", "nothing"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as process:
        process.stderr.close()
        assert process.stdout.read() == b"DONE\n"
    assert process.returncode == 0


@pytest.mark.parametrize("command", ["run", "graph"])
def test_a_full_disk_is_one_line_and_the_code_1(folder, environment, command: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no disk here that is always full")
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [*COMMAND, command, "shop:workflow"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            timeout=20,
            check=False,
        )
    (line,) = ended.stderr.splitlines()
    assert ended.returncode == 1
    assert line.startswith("cano-sync: OSError: ")


def test_what_the_terminal_cannot_encode_is_escaped(folder, environment) -> None:
    ended = subprocess.run(
        [*COMMAND, "run", "shop:workflow", "--store", "name=Zoë", "--show", "name"],
        capture_output=True,
        env={**environment, "PYTHONIOENCODING": "ascii"},
        timeout=20,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, b"DONE\nname: Zo\\xeb\n")


def test_the_module_can_be_run_and_shows_its_version(child) -> None:
    ended = child("--version")
    assert ended.returncode == 0
    assert ended.stdout.startswith("cano-sync ")


def test_without_the_extra_one_line_says_how_to_get_it(folder, environment) -> None:
    script = (
        "import sys; sys.modules['click'] = None\nfrom cano_sync.cli import main; sys.exit(main())"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=environment,
        timeout=20,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "cano-sync: the command line needs click: pip install 'cano_sync[cli]'\n"
    )


# Ctrl-C where nothing runs.

AFTER = """
import os, signal, sys
from cano_sync.cli import program as room

main = room.program.main

def and_ctrl_c(**given):
    try:
        main(**given)
    finally:
        os.kill(os.getpid(), signal.SIGINT)

room.program.main = and_ctrl_c
sys.argv = ["cano-sync", *sys.argv[1:]]
signal.signal(signal.SIGINT, signal.default_int_handler)
room.main()
"""


@pytest.mark.parametrize("target", ["shop:workflow", "impatient:workflow"])
def test_ctrl_c_between_the_command_and_the_end_is_quiet(folder, environment, target: str) -> None:
    """In the second case it is the second one."""
    (folder / "impatient.py").write_text(
        "import os, signal\nfrom shop import workflow\nos.kill(os.getpid(), signal.SIGINT)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", AFTER, "graph", target],
        capture_output=True,
        text=True,
        env=environment,
        timeout=20,
    )
    assert (ended.returncode, ended.stderr) == (130, "")
