"""Nothing that a workflow says commands the terminal: escape sequences are shown, not sent."""

from __future__ import annotations

import subprocess

import pytest

# What clears a screen, in its two spellings; and what turns the direction of writing.
EVIL = r"\x1b[2J\x9b2J\u202e"

SAYS_IT = f'''
import logging
import sys
from enum import Enum

from cano_sync import CancellationToken, JoinConfig, JoinStrategy, Workflow, current_token, task

EVIL = "{EVIL}"


def workflow_of(work):
    return Workflow().register("ASK" + EVIL, work).add_exit_state("DONE" + EVIL)


def end(store):
    logging.getLogger("orders").warning("log " + EVIL)
    store.put("text" + EVIL, "value " + EVIL)
    store.put("list", ["item " + EVIL])
    return "DONE" + EVIL


def fail():
    raise ValueError("no such order " + EVIL)


def cancel_it(store, cancel: CancellationToken):
    current_token().cancel("reason " + EVIL)
    cancel.sleep(60)


def leave():
    sys.exit("farewell " + EVIL)


@task(name="branch " + EVIL)
def slow(store, cancel: CancellationToken):
    cancel.sleep(60)


ending, failing, cancelling, leaving = map(workflow_of, (end, fail, cancel_it, leave))
splitting = (
    Workflow()
    .register_split("SPLIT" + EVIL, [slow], JoinConfig(JoinStrategy.ALL, "DONE"))
    .add_exit_state("DONE")
)
Quote = Enum("Quote", {{"ASK" + EVIL: 1, "GONE" + EVIL: 2}})
ask, gone = Quote
invalid = Workflow().register(ask, fail, error_state=gone)
'''


@pytest.fixture(autouse=True)
def evil(folder) -> None:
    (folder / "evil.py").write_text(SAYS_IT)
    (folder / "broken.py").write_text(f'raise OSError("{EVIL}")\n')


def shown(result) -> str:
    """All that was written; it must not have in it what a terminal obeys."""
    text = result.stdout + result.stderr
    assert [char for char in text if not char.isprintable() and char != "\n"] == []
    return text


SAFE = r"\x1b[2J\x9b2J\u202e"


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("run", "evil:ending"), [f"DONE{SAFE}\n"]),
        (("run", "evil:ending", "--show", "list"), [r'list: ["item \u001b[2J\x9b2J']),
        (("run", "evil:failing"), [f"ValueError: no such order {SAFE}\n", f"'ASK{SAFE}'"]),
        (("run", "evil:failing", "--traceback"), ["raise ValueError", "\nValueError: no such or"]),
        (("run", "evil:failing", "--timeline"), [f"ASK{SAFE}", f"no such order {SAFE}"]),
        (("run", "evil:failing", "--live"), [f"no such order {SAFE}"]),
        (("run", "evil:cancelling"), [f"by reason {SAFE}"]),
        (("run", "evil:splitting", "--timeout", "0.5"), [f"; cancelled: branch {SAFE}\n"]),
        (("run", "evil:ending", "--start", "ASKED"), ["there is no state 'ASKED'"]),
        (("run", "broken"), [f"\nOSError: {SAFE}\n"]),
        (("validate", "evil:invalid"), [f"Quote.GONE{SAFE}"]),
        (("graph", "evil:ending"), []),
        (("graph", "evil:invalid"), []),
        (("graph", "evil:ending", "--format", "dot"), []),
    ],
)
def test_it_is_shown_as_it_would_be_typed(cli, arguments: tuple[str, ...], wanted) -> None:
    text = shown(cli(*arguments))
    for each in wanted:
        assert each in text


def test_a_text_of_the_store_is_one_line_and_its_key_too(cli) -> None:
    done = cli("run", "evil:ending", "--show", "text\x1b[2J\x9b2J\u202e")
    assert f"text{SAFE}: value {SAFE}\n" in shown(done)


def test_as_json_it_is_what_it_was(cli) -> None:
    """A program that reads it gets the text back."""
    done = cli("run", "evil:failing", "--format", "json")
    assert r"no such order \u001b[2J" in shown(done)


@pytest.mark.parametrize("option", ["-v", "-vv"])
def test_the_log_shows_it_too(child, option: str) -> None:
    text = shown(child("run", "evil:ending", option))
    assert f"log {SAFE}" in text
    assert f"DONE{SAFE}" in text


def test_a_farewell_is_lines_of_text(child) -> None:
    ended: subprocess.CompletedProcess[str] = child("run", "evil:leaving")
    assert (ended.returncode, shown(ended)) == (1, f"farewell {SAFE}\n")
