"""The table of a scheduler's flows, in terminals of all widths."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

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
        next_due=later(30),
    ),
    flow("sweep", FlowState.RUNNING, schedule="every 0.2 s", skipped=14, next_due=later(0.1)),
)  # fmt: skip

HEADS = {
    40: ["flow", "state", "next"],
    60: ["flow", "state", "runs", "result", "next"],
    80: ["flow", "state", "runs", "failed", "result", "next"],
    100: ["flow", "schedule", "state", "runs", "failed", "skipped", "result", "next"],
    140: [
        *("flow", "schedule", "state", "runs", "failed", "skipped", "last", "took"),
        *("result", "next", "at"),
    ],
}


@pytest.mark.parametrize("width", HEADS)
def test_the_least_important_columns_give_way_and_never_the_names(width: int) -> None:
    head, *lines = drawn(FLOWS, width)
    assert head.split() == HEADS[width]
    assert all(len(line) <= width for line in (head, *lines))
    assert [line.split()[0] for line in lines] == ["nightly-report", "ftp", "sweep"]
    assert "idle" in lines[0]
    assert "in 3h 12m" in lines[0]
    assert "backing off" in lines[1]
    assert "running" in lines[2]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_long_name_keeps_a_quarter_of_the_width(width: int) -> None:
    named = flow("x" * 200, FlowState.BACKING_OFF, next_due=later(11_520), last_error=no_route())
    line = drawn([named], width)[1]
    assert line.count("x") >= max(12, width // 4) - 1  # and an ellipsis
    assert "backing off" in line
    assert "in 3h 12m" in line


def test_the_next_time_is_relative_and_where_there_is_room_with_its_offset() -> None:
    flows = [flow("soon", next_due=later(11_520)), flow("far", next_due=later(400_000))]
    _, soon, far = drawn(flows, 140)
    assert soon.rstrip().endswith("in 3h 12m   10:00:00+01:00")
    assert "in 4d 15h   2026-11-29 21:54+01:00" in far


def test_a_run_that_was_cancelled_did_not_fail() -> None:
    error = WorkflowCancelledError("flow 'a': the run was cancelled", reason="it was stopped")
    line = drawn([flow("a", last_error=error)], 80)[1]
    assert "cancelled" in line
    assert "Error" not in line


def test_where_not_all_have_a_line_those_that_need_a_look_come_first() -> None:
    flows = [*(flow(f"idle{n}") for n in range(20)), flow("ill", FlowState.TRIPPED)]
    _, first, *_, last = drawn(flows, 80, height=10)
    assert first.startswith("ill")
    assert last.strip() == "and 14 more"


def test_a_name_with_a_line_break_is_one_line() -> None:
    assert drawn([flow("a\nb\x1b")], 80)[1].startswith("a\\nb\\x1b")
