"""What moves on the terminal: the timeline of a run, and a place for the cursor."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console, Group, RenderableType

from cano_sync import Workflow
from cano_sync.cli.live import draw_run, live_view
from cano_sync.observe import Recorder


def console_of(width: int, height: int = 30) -> Console:
    return Console(file=StringIO(), width=width, height=height)


def drawn(picture: RenderableType, console: Console) -> list[str]:
    console.print(Group(picture))  # as a live view does; a bare text would be wrapped
    return console.file.getvalue().splitlines()


@pytest.fixture
def recorder() -> Recorder:
    """Of a run that went round a hundred times."""
    recorder = Recorder()
    rounds = iter(["A"] * 100 + ["END"])
    workflow = Workflow().register("A", lambda: next(rounds)).add_exit_state("END")
    workflow.with_observer(recorder).orchestrate("A")
    return recorder


@pytest.mark.parametrize("size", [(20, 3), (40, 10), (80, 24), (200, 50)])
def test_a_run_is_drawn_in_the_room_that_there_is(recorder: Recorder, size) -> None:
    width, height = size
    console = console_of(width, height)
    lines = drawn(draw_run(recorder, console), console)
    assert len(lines) <= max(4, height - 2)
    assert all(len(line) <= width for line in lines)


def test_the_latest_states_are_seen_and_how_the_run_stands(recorder: Recorder) -> None:
    console = console_of(100, 12)
    lines = drawn(draw_run(recorder, console), console)
    assert any("END" in line and "◆" in line for line in lines)


def test_the_cursor_rests_below_the_picture_until_that_is_the_last_one() -> None:
    """The terminal shows the key Ctrl-C where the cursor is."""
    console = Console(file=StringIO(), width=20, force_terminal=True)
    with live_view(console, lambda: "x" * 20):
        console.print("above")
        assert console.file.getvalue().endswith("above\n" + "x" * 20 + "\n")
        before = len(console.file.getvalue())
    last = console.file.getvalue()[before:]
    assert last.endswith("x" * 20 + "\n\x1b[?25h")  # the cursor is shown again
    assert last.count("x" * 20) == 1
