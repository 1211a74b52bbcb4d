"""What the live view knows of a run, and what is drawn of it."""

from __future__ import annotations

import threading
from io import StringIO

import pytest
from rich.console import Console

from cano_sync import JoinConfig, JoinStrategy, TaskConfig, Workflow, task
from cano_sync.cli.views import draw_run
from cano_sync.cli.watch import KEPT, Watch


def drawn(watch: Watch, **how: object) -> str:
    console = Console(file=StringIO(), width=100, height=30, force_terminal=False, **how)
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
    assert [task.fate for visit in visits for task in visit.tasks.values()] == ["done", "done"]


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
    eventually(lambda: "5 running, 50 done" in drawn(watch))
    picture = drawn(watch)
    for n in range(5):
        assert f"slow {n}" in picture
    assert "more" in picture
    gate.set()
    assert run.result(20) == "END"


def test_a_terminal_without_unicode_gets_ascii(watch: Watch) -> None:
    workflow = Workflow().register("A", lambda: "B").add_exit_state("B")
    workflow.with_observer(watch).orchestrate("A")
    assert "✔" in drawn(watch)

    class Ascii(StringIO):
        encoding = "ascii"

    console = Console(file=Ascii(), width=100, height=30)
    console.print(draw_run(watch, console))
    assert console.file.getvalue().isascii()
