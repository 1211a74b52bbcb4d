"""What the live view knows of a run, and what is drawn of it."""

from __future__ import annotations

import threading
from io import StringIO

import pytest
from rich.console import Console

from cano_sync import (
    CancellationToken,
    JoinConfig,
    JoinStrategy,
    TaskConfig,
    Workflow,
    WorkflowCancelledError,
    task,
)
from cano_sync.cli import views
from cano_sync.cli.views import draw_run
from cano_sync.cli.watch import KEPT, Watch
from cano_sync.observe import Status as Fate
from cano_sync.observe.recording import timeline


def drawn(watch: Watch, width: int = 100) -> str:
    console = Console(file=StringIO(), width=width, height=30, force_terminal=False)
    console.print(draw_run(watch, console))
    return console.file.getvalue()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def watch(told: list[str]) -> Watch:
    return Watch(lambda line: told.append(line.split(" s  ", 1)[1]))


def test_it_knows_the_states_and_their_tasks(watch: Watch) -> None:
    workflow = Workflow().register("A", lambda: "B").register("B", lambda: "C").add_exit_state("C")
    workflow.with_observer(watch).orchestrate("A")
    visits, entered = watch.visits()
    assert ([visit.state for visit in visits], entered) == (["A", "B", "C"], 3)
    fates = [task.fate for visit in visits for task in visit.tasks.values()]
    assert fates == [Fate.SUCCEEDED, Fate.SUCCEEDED]


def test_a_failed_attempt_and_a_failed_task_say_why(watch: Watch, told: list[str]) -> None:
    def load() -> str:
        raise ValueError("no such\norder")

    workflow = (
        Workflow()
        .register("LOAD", load, TaskConfig.with_fixed_retry(1, 0), error_state="SORRY")
        .register("SORRY", lambda: "END")
        .add_exit_state("END")
    )
    workflow.with_observer(watch).orchestrate("LOAD")
    assert told[1:3] == [
        "  load: attempt 1 failed, again in 0 s: ValueError: no such order",
        "  load: attempt 2 failed: ValueError: no such order",
    ]
    assert any(line.startswith("LOAD failed, on to SORRY: ") for line in told)


@pytest.mark.parametrize("hooks", [["cancelled", "abandoned"], ["abandoned", "cancelled"]])
def test_who_was_left_behind_is_said_to_run_until_it_is_back(watch: Watch, hooks) -> None:
    """Whichever is told first: the two come from different threads."""
    here = {"run_id": "r", "state": "A", "task": "load", "index": None}
    watch.state_entered(run_id="r", state="A", is_exit=False)
    watch.task_started(**here)
    more = {"cancelled": {"duration": 0.1, "reason": None}, "abandoned": {"attempt": 1}}
    for hook in hooks:
        getattr(watch, f"task_{hook}")(**here, **more[hook])
    assert watch.stopped() == (["load"], ["load"])
    watch.task_returned(**here, attempt=1, late=0.2)
    assert watch.stopped() == (["load"], [])


def test_a_run_that_goes_round_for_days_does_not_fill_the_memory(watch: Watch) -> None:
    rounds = iter(["A"] * 1000 + ["END"])
    workflow = Workflow().register("A", lambda: next(rounds)).add_exit_state("END")
    workflow.with_observer(watch).orchestrate("A")
    visits, entered = watch.visits()
    assert (len(visits), entered) == (KEPT, 1002)
    assert "994 states before" in drawn(watch)


def test_a_picture_shows_who_runs_first_where_not_all_have_room(
    watch: Watch, gate, eventually
) -> None:
    """And what became of the others, as a tally."""
    here = threading.Barrier(6)

    def slow(store) -> None:
        here.wait(20)
        gate.wait(20)

    tasks = [task(name=f"quick {n}")(lambda store: None) for n in range(50)]
    tasks += [task(name=f"slow {n}")(lambda store: slow(store)) for n in range(5)]
    workflow = (
        Workflow()
        .register_split("ASK", tasks, JoinConfig(JoinStrategy.ALL, "END"))
        .add_exit_state("END")
    )
    run = workflow.with_observer(watch).submit("ASK")
    here.wait(20)
    eventually(lambda: "5 running, 50 succeeded" in drawn(watch))
    picture = drawn(watch)
    for n in range(5):
        assert f"slow {n}" in picture
    assert "more" in picture
    gate.set()
    assert run.result(20) == "END"


def test_a_terminal_without_unicode_gets_ascii(watch: Watch) -> None:
    workflow = Workflow().register("A", lambda: "B").add_exit_state("B")
    workflow.with_observer(watch).orchestrate("A")
    assert "✓" in drawn(watch)

    class Ascii(StringIO):
        encoding = "ascii"

    console = Console(file=Ascii(), width=100, height=30)
    console.print(draw_run(watch, console))
    assert console.file.getvalue().isascii()


# What the last picture says.


def test_the_exit_state_does_not_run(watch: Watch) -> None:
    workflow = Workflow().register("A", lambda: "B").add_exit_state("B")
    workflow.with_observer(watch).orchestrate("A")
    assert drawn(watch).splitlines()[-1].rstrip() == "✓ B"


def test_branches_that_had_no_turn_are_counted(watch: Watch, told: list[str]) -> None:
    """All that there are add up to all branches."""
    tasks = [task(name=f"b{n}")(lambda store: None) for n in range(40)]
    join = JoinConfig(JoinStrategy.percentage(0.7), "END", bulkhead=1)
    workflow = Workflow().register_split("ASK", tasks, join).add_exit_state("END")
    workflow.with_observer(watch).orchestrate("ASK")
    assert "40 branches: 28 succeeded, 12 not started" in drawn(watch)
    assert "  12 not started" in told


def test_a_state_that_was_cancelled_did_not_fail(watch: Watch, told: list[str]) -> None:
    def stop(store: object, cancel: CancellationToken) -> str:
        token.cancel("enough")
        cancel.sleep(20)
        return "END"

    token = CancellationToken()
    workflow = Workflow().register("A", stop).add_exit_state("END").with_observer(watch)
    with pytest.raises(WorkflowCancelledError):
        workflow.orchestrate("A", cancel=token)
    assert [visit.fate for visit in watch.visits()[0]] == [Fate.CANCELLED]
    assert drawn(watch).startswith("⊘ A")
    assert "failed" not in drawn(watch)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140])
def test_names_keep_their_room_in_a_narrow_terminal(watch: Watch, width: int) -> None:
    tasks = [task(name=f"price of {n}")(lambda store: None) for n in range(40)]
    join = JoinConfig(JoinStrategy.percentage(0.7), "END", bulkhead=1)
    workflow = Workflow().register_split("ASK_EVERYBODY", tasks, join).add_exit_state("END")
    workflow.with_observer(watch).orchestrate("ASK_EVERYBODY")
    first = drawn(watch, width).splitlines()[0]
    assert first.startswith("✓ ASK_EVERYBODY")
    assert len(first) <= width
    words, marks = "28 succeeded, 12 not started", "✓ 28  - 12"
    assert (words if width > 40 else marks) in first


def test_the_marks_are_those_of_the_timeline_in_ascii_too() -> None:
    plain = {fate: mark.translate(timeline._PLAIN) for fate, mark in timeline.MARKS.items()}
    assert plain == views._PLAIN_MARKS
