"""`cano-sync run`: from what is typed to what is printed, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def test_the_exit_state_and_the_keys_asked_for_are_the_output(cli) -> None:
    done = cli("run", "shop:workflow", "--show", "best", "--show", "offers")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == (
        'DONE\nbest: [8.9, "steady"]\noffers: [[9.5, "swift"], [8.9, "steady"]]\n'
    )


def test_as_json_it_is_one_object(cli) -> None:
    done = cli("run", "shop:workflow", "--show", "best", "--format", "json")
    report = json.loads(done.stdout)
    assert report.pop("seconds") >= 0
    assert len(report.pop("run_id")) == 32
    assert report == {"outcome": "succeeded", "state": "DONE", "store": {"best": [8.9, "steady"]}}


def test_values_go_into_the_store_as_json_or_as_text(cli) -> None:
    arguments = ("--store", "limit=5", "--store", "name=Ada", "--show", "limit", "--show", "name")
    done = cli("run", "shop:workflow", *arguments)
    assert done.stdout == "NO_OFFER\nlimit: 5\nname: Ada\n"


def test_a_json_file_fills_the_store_and_single_values_go_before(cli, folder: Path) -> None:
    (folder / "order.json").write_text('{"limit": 5, "sku": "A-17"}')
    arguments = ("--json", "order.json", "--store", "limit=50", "--show", "sku")
    assert cli("run", "shop:workflow", *arguments).stdout == "DONE\nsku: A-17\n"


def test_a_dash_reads_the_standard_input(cli) -> None:
    done = cli("run", "shop:workflow", "--json", "-", input='{"limit": 5}')
    assert done.stdout == "NO_OFFER\n"


def test_the_workflows_own_store_is_used(cli, folder: Path) -> None:
    (folder / "own.py").write_text(
        "from cano_sync import MemoryStore, Workflow\n"
        "store = MemoryStore({'a': 1})\n"
        "workflow = Workflow(store).register('GO', lambda: 'END').add_exit_state('END')\n"
    )
    done = cli("run", "own:workflow", "--store", "b=2", "--show", "a", "--show", "b")
    assert done.stdout == "END\na: 1\nb: 2\n"


def test_a_key_that_is_not_there_is_reported_and_changes_nothing(cli) -> None:
    done = cli("run", "shop:workflow", "--show", "bets")
    assert (done.exit_code, done.stdout) == (0, "DONE\n")
    assert done.stderr == "cano-sync: the store has no 'bets' at the end; did you mean 'best'?\n"


@pytest.mark.parametrize("start", ["CHOOSE", "Quote.CHOOSE"])
def test_it_can_begin_elsewhere(cli, start: str) -> None:
    done = cli("run", "shop:workflow", "--start", start, "--store", "offers=[[1, 2]]")
    assert (done.exit_code, done.stdout) == (0, "DONE\n")


def test_an_exit_state_may_count_as_a_failure(cli) -> None:
    arguments = ("run", "shop:workflow", "--store", "limit=5", "--fail-on", "NO_OFFER")
    done = cli(*arguments)
    assert (done.exit_code, done.stdout) == (3, "NO_OFFER\n")
    assert cli("run", "shop:workflow", "--fail-on", "NO_OFFER").exit_code == 0


# It does not come to an exit state.


def test_a_failure_is_one_line_and_the_code_1(cli) -> None:
    failed = cli("run", "shop:failing")
    assert (failed.exit_code, failed.stdout) == (1, "")
    (line,) = failed.stderr.splitlines()
    assert line.startswith("cano-sync: failed after 0.0")
    assert line.endswith("state Quote.ASK: task 'step' raised ValueError: no such\\norder")


def test_a_failure_as_json_has_the_error_and_what_was_asked_for(cli) -> None:
    failed = cli("run", "shop:failing", "--format", "json", "--store", "a=1", "--show", "a")
    report = json.loads(failed.stdout)
    assert (report["outcome"], report["state"], report["store"]) == ("failed", "ASK", {"a": 1})
    assert report["error"]["type"] == "TaskExecutionError"
    assert report["error"]["task"] == "step"
    assert report["error"]["cause"] == "ValueError: no such\norder"


def test_where_in_the_code_is_shown_on_demand_and_of_the_users_code_only(cli) -> None:
    failed = cli("run", "shop:failing", "--traceback")
    assert 'raise ValueError("no such' in failed.stderr
    assert "cano_sync/_engine" not in failed.stderr


def test_a_time_limit_ends_it_with_124(cli) -> None:
    late = cli("run", "shop:sleeping", "--timeout", "50ms", "--format", "json")
    assert late.exit_code == 124
    report = json.loads(late.stdout)
    assert (report["outcome"], report["state"], report["cancelled"]) == (
        "timed_out",
        "ASK",
        ["step"],
    )
    assert "timed out after 0.0" in late.stderr


def test_a_cancellation_from_inside_is_not_a_signal(cli) -> None:
    done = cli("run", "shop:cancelling", "--format", "json")
    assert done.exit_code == 4
    report = json.loads(done.stdout)
    assert (report["outcome"], report["reason"]) == ("cancelled", "enough")


def test_the_time_limit_of_a_run_inside_a_task_is_that_tasks_failure(cli) -> None:
    failed = cli("run", "shop:nesting", "--format", "json")
    report = json.loads(failed.stdout)
    assert (failed.exit_code, report["outcome"], report["state"]) == (1, "failed", "CHOOSE")


def test_the_cancellation_of_a_run_inside_a_task_is_that_tasks_failure(cli) -> None:
    failed = cli("run", "shop:cancelling_inside", "--format", "json")
    report = json.loads(failed.stdout)
    assert (failed.exit_code, report["outcome"], report["reason"]) == (1, "failed", None)
    assert ", by " not in failed.stderr


def test_an_invalid_workflow_is_not_run_and_all_its_problems_are_shown(cli) -> None:
    report = cli("run", "shop:invalid")
    assert (report.exit_code, report.stdout) == (1, "")
    assert len(report.stderr.splitlines()) == 3
    assert all(line.startswith("cano-sync: shop:invalid: ") for line in report.stderr.splitlines())


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("shop:worflow",), 2, "shop:worflow: the module 'shop' has no 'worflow'; did you mean"),
        (("shop:workflow", "--start", "ASKED"), 2, "there is no state 'ASKED'"),
        (("shop:workflow", "--timeout", "soon"), 2, "Invalid value for '--timeout': 'soon' is no"),
        (("broken:workflow",), 1, "broken could not be imported: OSError: no database"),
    ],
)
def test_with_json_a_run_that_cannot_begin_is_an_object_too(
    cli, folder: Path, arguments: tuple[str, ...], code: int, problem: str
) -> None:
    (folder / "broken.py").write_text("raise OSError('no database')\n")
    wrong = cli("run", *arguments, "--format", "json")
    report = json.loads(wrong.stdout)
    assert (wrong.exit_code, report["outcome"], len(report["problems"])) == (code, "not_started", 1)
    assert report["problems"][0].startswith(problem)
    assert wrong.stderr


def test_with_json_all_problems_of_an_invalid_workflow_are_in_one_object(cli) -> None:
    wrong = cli("run", "shop:invalid", "--format=json")
    report = json.loads(wrong.stdout)
    assert (wrong.exit_code, report["outcome"]) == (1, "not_started")
    assert (report["target"], len(report["problems"])) == ("shop:invalid", 3)


def test_a_run_whose_executor_is_shut_down_has_not_started(cli) -> None:
    wrong = cli("run", "shop:shut_down", "--format=json")
    report = json.loads(wrong.stdout)
    assert (wrong.exit_code, report["outcome"]) == (1, "not_started")
    assert (report["state"], report["run_id"], report["reason"]) == ("ASK", None, None)
    assert wrong.stderr.startswith("cano-sync: not started in Quote.ASK after 0.")


# Wrong usage.


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--store", "limit"), "'limit' is not like key=value"),
        (("--store", "=3"), "'=3' is not like key=value"),
        (("--timeout", "soon"), "'soon' is no duration; write 5s, 200ms, 2m, 1h30m, or seconds"),
        (("--grace", "-1"), "'-1' is no duration"),
        (("--json", "no.json"), "no.json: No such file or directory"),
        (("--json", "shop.py"), "shop.py is not JSON: "),
        (("--start", "ASKED"), "there is no state 'ASKED'; there are ASK, CHOOSE, DONE, NO_OFFER"),
        (("--fail-on", "ASK"), "there is no exit state 'ASK'; there are DONE, NO_OFFER"),
        (("--html", "no/page.html"), "--html: no/page.html cannot be written: no folder no"),
        (("--html", "."), "--html: . is a folder"),
    ],
)
def test_what_is_wrong_is_reported_and_nothing_runs(
    cli, arguments: tuple[str, ...], why: str
) -> None:
    wrong = cli("run", "shop:workflow", *arguments)
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert why in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_json_that_is_no_object_is_called_what_it_is(cli) -> None:
    wrong = cli("run", "shop:workflow", "--json", "-", input="[1]")
    assert wrong.exit_code == 2
    assert "the standard input must hold a JSON object, keys and values, not a list" in wrong.stderr


def test_where_two_states_may_be_the_first_they_are_listed(cli, folder: Path) -> None:
    (folder / "two.py").write_text(
        "from cano_sync import Workflow\n"
        "go = lambda: 'END'\n"
        "workflow = Workflow().register('A', go).register('B', go).add_exit_state('END')\n"
    )
    wrong = cli("run", "two:workflow")
    assert wrong.exit_code == 2
    assert wrong.stderr == "cano-sync: say where to begin, by --start: A, B\n"


# What can be seen.


def test_the_timeline_is_drawn_on_stderr(cli) -> None:
    done = cli("run", "shop:workflow", "--timeline")
    assert done.stdout == "DONE\n"
    assert "ASK" in done.stderr
    assert "steady" in done.stderr
    assert "\x1b" not in done.stderr


def test_the_page_is_written_for_a_run_that_fails_too(cli, folder: Path) -> None:
    assert cli("run", "shop:failing", "--html", "page.html").exit_code == 1
    assert "ASK" in (folder / "page.html").read_text()


def test_where_nothing_can_move_lines_say_what_happens(cli) -> None:
    done = cli("run", "shop:workflow", "--live")
    assert done.stdout == "DONE\n"
    wanted = ["splits into 2 branches", "'swift'", "'steady'", "in Quote.CHOOSE", "in Quote.DONE"]
    for text in wanted:
        assert text in done.stderr


def test_an_own_log_does_not_hear_of_these_lines(cli, folder: Path) -> None:
    (folder / "own.py").write_text(
        "import logging, sys\nfrom shop import workflow\n"
        "logging.basicConfig(level='DEBUG', stream=sys.stdout)\n"
    )
    assert cli("run", "own:workflow", "--live").stdout == "DONE\n"
