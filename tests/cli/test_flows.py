"""The table of a scheduler's flows, in terminals of all widths."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from itertools import pairwise

import pytest
from rich.console import Console

from cano_sync import TaskExecutionError, WorkflowCancelledError
from cano_sync.cli.flows import draw_flows
from cano_sync.scheduler import FlowState, FlowStatus

from .conftest import NOW, flow, later


def drawn(flows: Sequence[FlowStatus], width: int, height: int = 30) -> list[str]:
    console = Console(file=StringIO(), width=width, height=height)
    console.print(draw_flows(lambda: flows, console, NOW))
    return console.file.getvalue().splitlines()


def no_route() -> TaskExecutionError:
    error = TaskExecutionError("it failed")
    error.__cause__ = OSError("no route to the till")
    return error


FLOWS = (
    flow(
        "nightly-report",
        schedule="0 8 * * MON in Europe/Zurich",
        runs=12,
        last_start=later(-90_000),
        last_duration=3.2,
        last_result="DONE",
        next_due=later(11_520),
    ),
    flow(
        "ftp", FlowState.BACKING_OFF, runs=5120, failures=3, last_error=no_route(),
        last_outcome="failed", next_due=later(30),
    ),
    flow("sweep", FlowState.RUNNING, schedule="every 0.2 s", skipped=14, next_due=later(0.1)),
)  # fmt: skip


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140, 200])
def test_names_states_and_the_next_time_are_there_in_terminals_of_all_widths(width: int) -> None:
    head, *lines = drawn(FLOWS, width)
    assert {"flow", "state", "next"} <= set(head.split())
    assert [line.split()[0] for line in lines] == ["nightly-report", "ftp", "sweep"]
    assert "idle" in lines[0]
    assert "in 3h 12m" in lines[0]
    assert "backing off" in lines[1]
    assert "running" in lines[2]


def test_the_wider_it_is_the_more_there_is_to_read() -> None:
    heads = [set(drawn(FLOWS, width)[0].split()) for width in (40, 60, 80, 100, 120, 140, 200)]
    assert all(less <= more for less, more in pairwise(heads))
    assert heads[-1] == {
        *("flow", "schedule", "state", "runs", "failed", "skipped", "last", "took"),
        *("next", "at", "result"),
    }


def test_a_wide_terminal_shows_all_that_is_known_of_a_flow() -> None:
    _, report, ftp, sweep = drawn(FLOWS, 200)
    for text in ("0 8 * * MON in Europe/Z", " 12 ", "1d 01h ago", "3.20 s", "DONE", "in 3h 12m"):
        assert text in report
    for text in ("by hand", "5120", " 3 ", "OSError: no route to the till", "in 30 s"):
        assert text in ftp
    for text in ("every 0.2 s", " 14 ", "now"):
        assert text in sweep


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_long_name_leaves_room_for_what_it_is_about(width: int) -> None:
    named = flow("x" * 200, FlowState.BACKING_OFF, next_due=later(11_520), last_error=no_route())
    line = drawn([named], width)[1]
    assert line.startswith("xxxxxxxx")
    assert "backing off" in line
    assert "in 3h 12m" in line


def test_the_next_time_is_relative_and_where_there_is_room_with_its_offset() -> None:
    flows = [flow("soon", next_due=later(11_520)), flow("far", next_due=later(400_000))]
    _, soon, far = drawn(flows, 200)
    assert "in 3h 12m" in soon
    assert "10:00:00+01:00" in soon
    assert "in 4d 15h" in far
    assert "2026-11-29 21:54+01:00" in far


def test_a_run_that_was_cancelled_did_not_fail() -> None:
    error = WorkflowCancelledError("flow 'a': the run was cancelled", reason="it was stopped")
    line = drawn([flow("a", last_error=error, last_outcome="cancelled")], 80)[1]
    assert "cancelled" in line
    assert "Error" not in line


def test_where_not_all_have_a_line_those_that_need_a_look_come_first() -> None:
    flows = [*(flow(f"idle{n}") for n in range(20)), flow("ill", FlowState.TRIPPED)]
    _, first, *_, last = drawn(flows, 80, height=10)
    assert first.startswith("ill")
    assert last.strip() == "and 15 more"


def test_what_would_command_the_terminal_is_shown_and_markup_is_text() -> None:
    error = OSError("\x1b[2Jgone")
    line = drawn([flow("[red]\n\x1b", last_error=error)], 120)[1]
    assert line.startswith("[red]\\n\\x1b")
    assert "OSError: \\x1b[2Jgone" in line
