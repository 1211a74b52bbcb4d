"""The timeline: what it shows of any run, within its width, with and without colour."""

from __future__ import annotations

import io
import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cano_sync import CanoError, ConfigurationError, JoinStrategy
from cano_sync.observe import Attempt, Record, Recorder, Span, Status, Visit
from cano_sync.observe.recording.page import page
from cano_sync.observe.recording.text import cells
from cano_sync.observe.recording.timeline import timeline
from tests.records import exit_visit, record, span, split_visit, visit

WIDTHS = (40, 63, 64, 80, 120, 200)


def drawn(run: Record, width: int = 100, **how: Any) -> list[str]:
    return timeline(run, width, color=False, **how).splitlines()


def line_of(name: str, lines: list[str]) -> str:
    (line,) = [line for line in lines if line.strip().startswith(name)]
    return line


AUCTION = record(
    visit("START", took=0.001),
    split_visit(
        span("swift", 0, began=0.001, took=0.05),
        span(
            "broken", 1, began=0.001, took=0.02, status=Status.FAILED, error=ValueError("bad bid")
        ),
        span("tardy", 2, began=0.001, took=0.199, status=Status.CANCELLED, late=0.03),
        span("deaf", 3, began=0.001, took=0.199, status=Status.ABANDONED),
        span("idle", 4, began=None, took=0.0, status=Status.NOT_STARTED),
        state="ASK",
        began=0.001,
        took=0.2,
    ),
    exit_visit("DONE", began=0.3),
    took=0.3,
)


# What it shows.


def test_states_stand_in_order_with_their_branches_beneath() -> None:
    names = [line.split()[0] for line in drawn(AUCTION)[1:9]]
    assert names == ["START", "ASK", "swift", "broken", "tardy", "deaf", "idle", "DONE"]


@pytest.mark.parametrize(
    ("name", "mark", "words"),
    [
        ("swift", "✓", ""),
        ("broken", "✗ failed", "ValueError: bad bid"),
        ("tardy", "⊘ cancelled", "returned 30.0 ms later"),
        ("deaf", "▶ abandoned", "its thread has not returned"),
        ("idle", "- not started", ""),
    ],
)
def test_each_status_has_its_mark_and_word_without_any_colour(
    name: str, mark: str, words: str
) -> None:
    line = line_of(name, drawn(AUCTION))
    assert mark in line
    assert words in line


def test_in_a_narrow_picture_marks_stand_alone_and_are_explained() -> None:
    lines = drawn(AUCTION, 40)
    assert "failed" not in line_of("broken", lines)
    legend = " ".join(lines)
    for entry in ("✗ failed", "⊘ cancelled", "▶ abandoned", "- not started"):
        assert entry in legend


def test_bars_lie_along_the_axis_of_time() -> None:
    run = record(visit("A", took=0.4), visit("B", began=0.4, took=0.6), exit_visit(), took=1.0)
    axis, first, second, *_ = drawn(run)
    between = axis.index("│400 ms")
    assert first.index("█") == axis.index("│0")
    assert abs(first.rindex("█") + 1 - between) <= 1
    assert abs(second.index("█") - between) <= 1


def test_attempts_and_the_pauses_between_them_are_seen_in_the_bar() -> None:
    boom = ValueError("boom")
    trials = (
        Attempt(number=1, began=0.0, duration=0.3, status=Status.FAILED, error=boom, delay=0.3),
        Attempt(number=2, began=0.6, duration=0.4, status=Status.SUCCEEDED),
    )
    line = line_of("tried", drawn(record(split_visit(span("tried", 0, attempts=trials)))))
    assert re.search("━+✗·+━+", line)
    assert "2 attempts" in line
    single = visit("ALONE", spans=(span("tried", None, attempts=trials),))
    assert re.search("█+✗·+█+", line_of("ALONE", drawn(record(single))))


def test_an_abandoned_thread_is_drawn_up_to_the_end_of_the_run() -> None:
    line = line_of("deaf", drawn(AUCTION))
    assert re.search("╌+┈+▶", line)
    assert re.search("╌+┈+ ", line_of("tardy", drawn(AUCTION)))


def abandoned(status: Status, late: float | None) -> tuple[Attempt, ...]:
    """Three attempts whose time was up."""
    up = TimeoutError("its time was up")
    return tuple(
        Attempt(
            number=n, began=began, duration=0.2, status=status, error=up, delay=delay, late=late
        )
        for n, began, delay in ((1, 0.0, 0.1), (2, 0.3, 0.1), (3, 0.6, None))
    )


def test_attempts_that_are_abandoned_differ_from_those_that_listened() -> None:
    deaf = span(
        "deaf", 0, took=0.8, status=Status.FAILED, attempts=abandoned(Status.ABANDONED, None)
    )
    heard = span(
        "heard", 1, took=0.8, status=Status.FAILED, attempts=abandoned(Status.FAILED, 0.001)
    )
    lines = drawn(record(split_visit(deaf, heard)), 120)
    assert re.search("━+▶┈+━+▶┈+━+▶┈+▶", line_of("deaf", lines))
    assert "3 attempts, 3 threads not returned" in line_of("deaf", lines)
    assert re.search("━+✗·+━+✗·+━+✗ ", line_of("heard", lines))
    assert "3 attempts " in line_of("heard", lines) + " "


def test_attempts_whose_threads_returned_late_show_for_how_long_they_were_abandoned() -> None:
    tardy = span("tardy", 0, took=0.8, status=Status.FAILED, attempts=abandoned(Status.FAILED, 0.1))
    line = line_of("tardy", drawn(record(split_visit(tardy)), 120))
    assert re.search("━+✗┈+━+✗┈+━+✗┈+ ", line)
    assert "3 attempts, 3 threads returned up to 100 ms later" in line


def test_a_single_task_says_the_same_of_its_attempts() -> None:
    (one, *_) = abandoned(Status.ABANDONED, None)
    alone = span("deaf", None, took=0.2, status=Status.FAILED, attempts=(one,))
    line = line_of(
        "ALONE", drawn(record(visit("ALONE", spans=(alone,), status=Status.FAILED)), 120)
    )
    assert re.search("█+▶", line)
    assert "1 thread not returned" in line


def test_a_single_state_whose_task_still_runs_says_so() -> None:
    left = span("stuck", None, status=Status.ABANDONED)
    run = record(visit("STUCK", status=Status.FAILED, spans=(left,)), status=Status.FAILED)
    assert "▶ abandoned" in line_of("STUCK", drawn(run))


def test_a_split_says_how_many_succeeded_and_how_it_was_joined() -> None:
    assert "1 of 5, ALL, 1 failed" in line_of("ASK", drawn(AUCTION, 140))


def test_a_failed_state_says_why_and_where_the_run_went() -> None:
    lost = visit("LOSE", status=Status.FAILED, error=ValueError("why"), next_state="MEND")
    assert "ValueError: why, on to MEND" in line_of("LOSE", drawn(record(lost)))


def test_a_slow_list_of_branches_is_shown_and_a_quick_one_is_not() -> None:
    slow, quick = span("slow", None, took=0.5), span("quick", None, took=0.001)
    assert any("slow lists the branches" in line for line in drawn(record(split_visit(slow))))
    assert not any("quick" in line for line in drawn(record(split_visit(quick))))


def test_the_caller_may_say_something_else_of_each_line() -> None:
    def note(visit: Visit, span: Span | None) -> str | None:
        return None if span is None else f"no {span.index}\nof {visit.state}"

    lines = drawn(AUCTION, 120, note=note)
    assert "no 1\\nof ASK" in line_of("broken", lines)
    assert "1 of 5" in line_of("ASK", lines)


@pytest.mark.parametrize("draw", [timeline, page])
def test_what_cannot_say_anything_of_a_line_is_refused(draw: Any) -> None:
    for run in (AUCTION, Record()):
        with pytest.raises(ConfigurationError, match="note='x' is not callable"):
            draw(run, note="x")
    with pytest.raises(ConfigurationError, match=r"returned 7 of type int for state START"):
        draw(AUCTION, note=lambda visit, span: 7)


@pytest.mark.parametrize(
    ("status", "more", "words"),
    [
        (Status.SUCCEEDED, {}, ["succeeded in A after 1.00 s"]),
        (Status.RUNNING, {}, ["running in A after 1.00 s"]),
        (
            Status.FAILED,
            {"error": CanoError("it\nbroke")},
            ["failed in A", "CanoError: it\\nbroke"],
        ),
        (Status.CANCELLED, {"reason": "enough"}, ["cancelled in A", "enough"]),
        (Status.TIMED_OUT, {"error": CanoError("late")}, ["timed out in A", "CanoError: late"]),
    ],
)
def test_the_last_lines_say_what_came_of_the_run(
    status: Status, more: Any, words: list[str]
) -> None:
    text = "\n".join(drawn(record(visit("A", status=status), status=status, **more)))
    for word in words:
        assert word in text


# What is too long.


def test_of_a_thousand_branches_those_that_failed_and_the_slowest_are_shown() -> None:
    spans = [span(f"b{index}", index, took=0.001 * index) for index in range(1000)]
    for index in (3, 500):
        spans[index] = span("bad", index, status=Status.FAILED, error=ValueError())
    lines = drawn(record(split_visit(*spans)), 120)
    assert len(lines) < 25
    assert sum("✗ failed" in line for line in lines) == 2
    assert line_of("b999", lines)
    assert "995 more succeeded" in line_of("…", lines)
    assert "0 s to 996 ms each" in line_of("…", lines)


def test_of_a_long_loop_the_beginning_the_end_and_failures_are_shown() -> None:
    visits = [visit("AB"[at % 2], began=at, status=Status.SUCCEEDED) for at in range(800)]
    visits[400] = visit("BAD", began=400, status=Status.FAILED, error=ValueError())
    lines = drawn(record(*visits, exit_visit(began=800), took=800), 120)
    assert len(lines) < 50
    assert line_of("BAD", lines)
    assert next(line for line in lines if "more visits" in line).endswith("A 190, B 190")


# Within the width.

NAMES = [
    "",
    "two\nlines",
    "日本語のとても長い名前です",
    "👍🏽👩‍👩‍👧",
    "[red]x[/red]",
    "\x1b[31m",
    "x" * 300,
]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("took", [0.0, 1e-5, 0.308, 75.0, 10_800.0, 1e6])
def test_no_line_is_wider_than_asked_for(width: int, took: float) -> None:
    spans = [span(name, index, took=took) for index, name in enumerate(NAMES)]
    spans.append(span("failed", 9, took=took, status=Status.FAILED, error=ValueError("x" * 500)))
    run = record(split_visit(*spans, state=NAMES[2], took=took), took=took)
    lines = drawn(run, width)
    assert max(map(cells, lines)) <= width
    # Bars begin in the same column, after names of any kind.
    starts = {cells(line[: line.index("━")]) for line in lines if "━" in line}
    assert len(starts) == 1


@given(
    st.lists(
        st.tuples(st.text(max_size=8), st.floats(0, 50), st.floats(0, 50), st.sampled_from(Status)),
        max_size=60,
    ),
    st.integers(40, 200),
)
def test_any_run_fits_into_any_width(parts: list[Any], width: int) -> None:
    visits = [
        split_visit(
            span(
                name,
                0,
                began=None if status is Status.NOT_STARTED else began,
                took=took,
                status=status,
            ),
            state=name,
            began=began,
        )
        for name, began, took, status in parts
    ]
    assert max(map(cells, drawn(record(*visits, took=40.0), width))) <= width


@pytest.mark.parametrize("width", [39, 0, -1, 80.0, True, "wide"])
def test_a_width_that_nothing_fits_into_is_refused(width: Any) -> None:
    with pytest.raises(ConfigurationError, match="40 or more"):
        timeline(AUCTION, width)


def test_without_a_width_it_takes_the_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "57")
    widest = max(map(cells, timeline(AUCTION).splitlines()))
    assert 50 < widest <= 57


# Drawn again and again, in so many lines.


def loop_of(visits: int) -> list[Visit]:
    return [visit(f"S{at}", began=float(at)) for at in range(visits)]


def test_with_a_height_the_latest_states_are_shown_and_how_many_came_before() -> None:
    running = visit("NOW", began=30.0, status=Status.RUNNING)
    run = record(*loop_of(30), running, took=31.0, status=Status.RUNNING)
    lines = drawn(run, 80, height=6)
    assert len(lines) == 6
    assert [line.split()[0] for line in lines[1:]] == ["…", "S28", "S29", "NOW", "running"]
    assert "28 earlier visits" in lines[1]
    assert "… running" in lines[4]
    assert "32 earlier visits" in drawn(run, 80, height=6, earlier=4)[1]


def test_a_run_that_fits_its_height_is_shown_whole() -> None:
    lines = drawn(AUCTION, height=40)
    assert [line.split()[0] for line in lines] == [
        *("│0", "START", "ASK", "swift", "broken", "tardy", "deaf", "idle", "DONE", "succeeded")
    ]


def test_the_axis_of_the_latest_states_begins_with_the_first_of_them() -> None:
    axis, _, first, *_ = drawn(record(*loop_of(100), took=100.0), 80, height=8)
    assert axis.index("│1m 35s") == first.index("█")
    assert "│+" in axis


def test_of_a_running_split_the_branches_that_run_come_first() -> None:
    spans = [span(f"b{index}", index) for index in range(1000)]
    for index in range(100, 104):
        spans[index] = span(f"b{index}", index, status=Status.RUNNING)
    spans[7] = span("deaf", 7, status=Status.ABANDONED)
    ask = split_visit(*spans, status=Status.RUNNING)
    lines = drawn(record(*loop_of(9), ask, status=Status.RUNNING), 100, height=16)
    assert len(lines) <= 16
    assert sum("… running" in line for line in lines) == 5  # the state's, and four branches
    assert "▶ abandoned" in line_of("deaf", lines)
    assert any("more succeeded" in line for line in lines)


def test_branches_of_a_former_state_give_way_to_the_states_after_it() -> None:
    run = record(split_visit(*(span(f"b{at}", at) for at in range(9))), *loop_of(3), took=9.0)
    names = [line.split()[0] for line in drawn(run, 80, height=6)]
    assert names[1:] == ["SPLIT", "S0", "S1", "S2", "succeeded"]


@pytest.mark.parametrize("height", [4, 5, 9, 30])
@pytest.mark.parametrize("width", [40, 100])
def test_no_picture_is_higher_than_asked_for(height: int, width: int) -> None:
    wide = split_visit(*(span(f"b{at}", at, status=Status.FAILED) for at in range(50)))
    why = {"status": Status.FAILED, "error": ValueError("why")}
    for visits in ([], [wide], loop_of(50), [*loop_of(5), wide, *loop_of(5), wide]):
        lines = drawn(record(*visits, took=50.0, **why), width, height=height)
        assert len(lines) <= height
        assert max(map(cells, lines)) <= width


@pytest.mark.parametrize("height", [3, 0, -1, 8.0, True, "low"])
def test_a_height_that_nothing_fits_into_is_refused(height: Any) -> None:
    with pytest.raises(ConfigurationError, match="4 or more"):
        timeline(AUCTION, 80, height=height)
    with pytest.raises(ConfigurationError, match="4 or more"):
        Recorder().timeline(80, height=height)


# Outputs.


class Output(io.StringIO):
    def __init__(self, *, terminal: bool = False, encoding: str | None = None) -> None:
        super().__init__()
        self._terminal = terminal
        self._encoding = encoding

    @property
    def encoding(self) -> Any:
        return self._encoding

    def isatty(self) -> bool:
        return self._terminal


ESCAPE = "\x1b["


def test_it_has_colours_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", Output(terminal=True))
    painted = timeline(AUCTION, 100)
    assert ESCAPE in painted
    assert timeline(AUCTION, 100, color=False) == re.sub(
        " +$", "", re.sub(r"\x1b\[[0-9;]*m", "", painted), flags=re.MULTILINE
    )
    monkeypatch.setattr(sys, "stdout", Output(terminal=False))
    assert ESCAPE not in timeline(AUCTION, 100)
    assert ESCAPE in timeline(AUCTION, 100, color=True)


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_that_wants_no_colours_gets_none(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setattr(sys, "stdout", Output(terminal=True))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(name, value)
    assert ESCAPE not in timeline(AUCTION, 100)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_an_output_that_knows_few_signs_gets_those_that_it_knows(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setattr(sys, "stdout", Output(encoding=encoding))
    run = record(*AUCTION.visits, visit("日本", began=0.25, took=0.05), took=0.3)
    lines = drawn(run, 80)
    "\n".join(lines).encode(encoding)
    assert max(map(len, lines)) <= 80
    assert "x failed" in line_of("broken", lines)
    assert re.search(r"~+\.+>", line_of("deaf", lines))


def test_it_is_drawn_where_there_is_no_output_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert "swift" in timeline(AUCTION, 80)


def test_a_strategy_of_ones_own_is_named_by_its_repr() -> None:
    class Mine(type(JoinStrategy.ALL)):  # type: ignore[misc]
        def __repr__(self) -> str:
            return "Mine\n!"

    lines = drawn(record(split_visit(span(), strategy=Mine())), 140)
    assert "1 of 1, Mine\\n!" in line_of("SPLIT", lines)
