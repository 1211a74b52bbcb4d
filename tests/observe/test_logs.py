"""What runs leave in the log: levels, texts, attributes, and each traceback once."""

from __future__ import annotations

import gc
import json
import logging
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from enum import Enum, auto
from typing import Any

import pytest

from cano_sync import (
    CancellationToken,
    CanoError,
    ConfigurationError,
    JoinConfig,
    JoinError,
    JoinStrategy,
    RetryExhaustedError,
    TaskConfig,
    TaskExecutionError,
    Workflow,
    WorkflowCancelledError,
    WorkflowTimeoutError,
    abandoned_tasks,
)
from cano_sync.observe import LoggingObserver
from tests.conftest import Eventually


class Order(Enum):
    LOAD = auto()
    ASK = auto()
    SORRY = auto()
    DONE = auto()


class Log(logging.Handler):
    """Keeps the records of one logger."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def lines(self, level: str | None = None) -> list[str]:
        """The texts without the run's id, of one level or all."""
        return [
            record.getMessage().split(": ", 1)[1]
            for record in self.records
            if level in (None, record.levelname)
        ]

    def levels(self) -> list[str]:
        return [record.levelname for record in self.records]

    def tracebacks(self) -> list[str]:
        """What of the records with a traceback is its last line."""
        formatter = logging.Formatter()
        return [
            formatter.formatException(record.exc_info).splitlines()[-1]
            for record in self.records
            if record.exc_info
        ]

    def one(self, start: str) -> logging.LogRecord:
        """The record whose text, after the run's id, begins like this."""
        (record,) = [r for r in self.records if r.getMessage().split(": ", 1)[1].startswith(start)]
        return record


@pytest.fixture
def log() -> Iterator[Log]:
    logger, handler = logging.getLogger("cano_sync.tests"), Log()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield handler
    logger.removeHandler(handler)
    logger.propagate = True


@pytest.fixture
def observer() -> LoggingObserver:
    return LoggingObserver("cano_sync.tests")


def one(
    observer: LoggingObserver,
    work: Callable[..., Any],
    config: TaskConfig | None = None,
    **options: Any,
) -> Workflow[Order]:
    workflow = Workflow[Order]().register(Order.LOAD, work, config, **options)
    return workflow.add_exit_states(Order.DONE, Order.SORRY).with_observer(observer)


def split(
    observer: LoggingObserver,
    *tasks: Any,
    strategy: JoinStrategy = JoinStrategy.ALL,
    **options: Any,
) -> Workflow[Order]:
    join = JoinConfig(strategy, Order.DONE, **options)
    workflow = Workflow[Order]().register_split(Order.ASK, tasks, join)
    return workflow.add_exit_states(Order.DONE, Order.SORRY).with_observer(observer)


def done(store: object) -> Order:
    return Order.DONE


def failing(store: object) -> Order:
    raise ValueError("no such order")


def listening(store: object, cancel: CancellationToken) -> Order:
    cancel.sleep(20)
    return Order.DONE


def without_figures(line: str) -> str:
    words = [
        ("T" if word.replace(".", "").isdigit() and "." in word else word) for word in line.split()
    ]
    return " ".join(words)


# Levels and texts.


def test_a_run_that_ends_well_is_two_lines_of_info(log: Log, observer: LoggingObserver) -> None:
    log.setLevel(logging.INFO)
    one(observer, done).orchestrate(Order.LOAD)
    records = [record for record in log.records if record.levelno >= logging.INFO]
    assert [without_figures(line) for line in log.lines("INFO")] == [
        "started in Order.LOAD",
        "succeeded in Order.DONE after T s",
    ]
    first, last = records
    assert first.run_id == last.run_id
    assert len(first.run_id) == 32
    assert first.getMessage() == f"run {first.run_id[:8]}: started in Order.LOAD"
    assert (last.state, last.outcome) == ("Order.DONE", "succeeded")
    assert 0 <= last.duration < 20


def test_states_and_tasks_are_debug(log: Log, observer: LoggingObserver) -> None:
    one(observer, done).orchestrate(Order.LOAD)
    assert [without_figures(line) for line in log.lines("DEBUG")] == [
        "in Order.LOAD",
        "task 'done' of Order.LOAD: starts",
        "task 'done' of Order.LOAD: succeeded after T s",
        "left Order.LOAD after T s for Order.DONE",
        "in Order.DONE",
    ]
    started = log.one("task 'done' of Order.LOAD: starts")
    assert (started.state, started.task, started.index) == ("Order.LOAD", "done", None)
    assert log.one("left").next_state == "Order.DONE"


def test_an_attempt_that_is_made_again_is_a_warning_without_a_traceback(
    log: Log, observer: LoggingObserver
) -> None:
    answers = iter([ConnectionError("refused"), None])

    def flaky(store: object) -> Order:
        if error := next(answers):
            raise error
        return Order.DONE

    one(observer, flaky, TaskConfig().with_fixed_retry(3, delay=0.001)).orchestrate(Order.LOAD)
    assert log.lines("WARNING") == [
        "task 'flaky' of Order.LOAD: failed in attempt 1, the next comes in 0.001 s: "
        "ConnectionError: refused"
    ]
    (warning,) = [record for record in log.records if record.levelname == "WARNING"]
    assert (warning.attempt, warning.delay, warning.exc_info) == (1, 0.001, None)
    assert log.lines("ERROR") == log.tracebacks() == []


def test_exhausted_retries_are_an_error_and_so_is_the_run_but_the_traceback_comes_once(
    log: Log, observer: LoggingObserver
) -> None:
    with pytest.raises(RetryExhaustedError) as caught:
        one(observer, failing, TaskConfig().with_fixed_retry(1, delay=0)).orchestrate(Order.LOAD)
    errors = [without_figures(line) for line in log.lines("ERROR")]
    assert errors[0].startswith("task 'failing' of Order.LOAD: failed after T s: RetryExhausted")
    assert errors[1].startswith("failed in Order.LOAD after T s: RetryExhaustedError: state")
    assert len(errors) == 2
    assert log.tracebacks() == ["ValueError: no such order"]
    assert caught.value.attempts == 2
    assert log.one("task 'failing' of Order.LOAD: failed after").exc_info


def test_a_failure_that_ends_the_run_is_one_error_with_its_traceback(
    log: Log, observer: LoggingObserver
) -> None:
    with pytest.raises(TaskExecutionError):
        one(observer, failing).orchestrate(Order.LOAD)
    (line,) = log.lines("ERROR")
    assert without_figures(line) == (
        "failed in Order.LOAD after T s: TaskExecutionError: state Order.LOAD: "
        "task 'failing' raised ValueError: no such order"
    )
    assert len(log.tracebacks()) == 1
    assert log.one("failed in").outcome == "failed"
    assert log.lines("WARNING") == []


def test_a_failure_that_leads_to_an_error_state_is_a_warning_with_its_traceback(
    log: Log, observer: LoggingObserver
) -> None:
    one(observer, failing, error_state=Order.SORRY).orchestrate(Order.LOAD)
    (line,) = log.lines("WARNING")
    assert without_figures(line).startswith("left Order.LOAD after T s for Order.SORRY: ")
    assert len(log.tracebacks()) == 1
    assert log.lines("ERROR") == []


def test_a_branch_that_fails_is_a_warning_and_a_failed_join_shows_its_traceback_no_more(
    log: Log, observer: LoggingObserver
) -> None:
    with pytest.raises(JoinError):
        split(observer, failing, done, failing).orchestrate(Order.ASK)
    assert [without_figures(line) for line in sorted(log.lines("WARNING"))] == [
        "task 'failing' of Order.ASK, branch 0: failed after T s: TaskExecutionError: state "
        "Order.ASK: task 'failing' raised ValueError: no such order",
        "task 'failing' of Order.ASK, branch 2: failed after T s: TaskExecutionError: state "
        "Order.ASK: task 'failing' raised ValueError: no such order",
    ]
    assert len(log.tracebacks()) == 2
    (error,) = [record for record in log.records if record.levelname == "ERROR"]
    assert error.exc_info is None
    assert "1 of 3 succeeded, 2 failed" in error.getMessage()


def test_a_split_of_one_is_told_in_the_singular(log: Log, observer: LoggingObserver) -> None:
    split(observer, done).orchestrate(Order.ASK)
    assert "Order.ASK splits into 1 branch, joined by JoinStrategy.ALL" in log.lines("DEBUG")


def test_a_split_is_debug(log: Log, observer: LoggingObserver) -> None:
    split(observer, done, done).orchestrate(Order.ASK)
    assert "Order.ASK splits into 2 branches, joined by JoinStrategy.ALL" in log.lines("DEBUG")
    joined = log.one("the join of Order.ASK says proceed")
    assert joined.outcome == "proceed"
    assert joined.levelname == "DEBUG"


def test_a_nested_runs_traceback_is_not_repeated_by_the_outer_run(
    log: Log, observer: LoggingObserver
) -> None:
    inner = one(observer, failing)
    outer = one(observer, lambda: inner.orchestrate(Order.LOAD))
    with pytest.raises(TaskExecutionError):
        outer.orchestrate(Order.LOAD)
    assert len(log.lines("ERROR")) == 2
    assert len(log.tracebacks()) == 1


def test_a_cancelled_run_is_info_with_the_reason(log: Log, observer: LoggingObserver) -> None:
    token = CancellationToken()
    token.cancel("enough")
    with pytest.raises(WorkflowCancelledError):
        one(observer, done).orchestrate(Order.LOAD, cancel=token)
    assert without_figures(log.lines("INFO")[-1]) == "cancelled in Order.LOAD after T s: enough"
    assert log.records[-1].reason == "enough"
    assert set(log.levels()) <= {"INFO", "DEBUG"}


def test_ctrl_c_is_info_without_a_traceback(log: Log, observer: LoggingObserver) -> None:
    def interrupted() -> Order:
        signal.raise_signal(signal.SIGINT)
        return Order.DONE

    with pytest.raises(KeyboardInterrupt):
        one(observer, interrupted).orchestrate(Order.LOAD)
    assert without_figures(log.lines("INFO")[-1]) == (
        "cancelled in Order.LOAD after T s: KeyboardInterrupt"
    )
    assert log.tracebacks() == []


def test_a_run_whose_time_is_up_is_an_error(log: Log, observer: LoggingObserver) -> None:
    with pytest.raises(WorkflowTimeoutError):
        one(observer, listening).with_timeout(0.05).orchestrate(Order.LOAD)
    (error,) = [record for record in log.records if record.levelname == "ERROR"]
    assert error.outcome == "timed_out"
    assert without_figures(error.getMessage().split(": ", 1)[1]).startswith(
        "timed out in Order.LOAD after T s: WorkflowTimeoutError: the workflow's time of"
    )


# Abandoned tasks.


def test_a_loser_that_listens_is_worth_no_warning(
    log: Log, observer: LoggingObserver, eventually: Eventually
) -> None:
    begun = threading.Event()

    def listener(store: object, cancel: CancellationToken) -> None:
        begun.set()
        cancel.sleep(20)

    workflow = split(observer, listener, lambda store: begun.wait(20), strategy=JoinStrategy.ANY)
    workflow.orchestrate(Order.ASK)
    eventually(lambda: abandoned_tasks() == 0)
    assert set(log.levels()) <= {"DEBUG", "INFO"}


def test_a_deaf_task_is_a_warning_when_it_returns_late(
    log: Log, gate: threading.Event, eventually: Eventually
) -> None:
    strict = LoggingObserver("cano_sync.tests", late_after=timedelta(0))

    def deaf() -> Order:
        gate.wait(20)
        return Order.DONE

    with pytest.raises(WorkflowTimeoutError):
        one(strict, deaf).with_timeout(0.05).orchestrate(Order.LOAD)
    assert log.one("task 'deaf' of Order.LOAD: is abandoned").levelname == "DEBUG"
    gate.set()
    eventually(lambda: any(": returned" in line for line in log.lines()))
    late = log.one("task 'deaf' of Order.LOAD: returned")
    assert late.levelname == "WARNING"
    assert late.late > 0


def test_who_is_still_out_when_the_run_ends_is_a_warning(log: Log, gate: threading.Event) -> None:
    strict = LoggingObserver("cano_sync.tests", late_after=0)
    begun = threading.Event()

    def deaf(store: object) -> None:
        begun.set()
        gate.wait(20)

    workflow = split(strict, deaf, lambda store: begun.wait(20), strategy=JoinStrategy.ANY)
    workflow.orchestrate(Order.ASK)
    still = log.one("task 'deaf' of Order.ASK, branch 0: was abandoned")
    assert still.levelname == "WARNING"
    assert (still.state, still.task, still.index, still.attempt) == ("Order.ASK", "deaf", 0, 1)
    gate.set()


def test_a_deaf_task_that_has_returned_when_the_run_ends_is_not(
    log: Log, eventually: Eventually, gate: threading.Event
) -> None:
    strict = LoggingObserver("cano_sync.tests", late_after=0)
    begun = threading.Event()

    def deaf(store: object) -> None:
        begun.set()
        gate.wait(20)

    def wait_for_it() -> Order:
        gate.set()
        eventually(lambda: any(": returned" in line for line in log.lines()))
        return Order.DONE

    join = JoinConfig(JoinStrategy.ANY, Order.LOAD)
    workflow = (
        Workflow[Order]()
        .register_split(Order.ASK, [deaf, lambda store: begun.wait(20)], join)
        .register(Order.LOAD, wait_for_it)
        .add_exit_state(Order.DONE)
        .with_observer(strict)
    )
    workflow.orchestrate(Order.ASK)
    assert not [line for line in log.lines() if "has not returned" in line]


# Tracebacks.


def formatted(record: logging.LogRecord) -> str:
    assert record.exc_info
    return logging.Formatter().formatException(record.exc_info)


def test_a_traceback_has_the_users_exception_and_the_frames_of_the_users_code(
    log: Log, observer: LoggingObserver
) -> None:
    with pytest.raises(TaskExecutionError) as caught:
        one(observer, failing).orchestrate(Order.LOAD)
    record = log.one("failed in")
    assert record.exc_info
    assert record.exc_info[:2] == (ValueError, caught.value.__cause__)
    assert [frame.name for frame in traceback.extract_tb(record.exc_info[2])] == ["failing"]
    assert "_engine" not in formatted(record)


def test_the_exception_itself_keeps_its_chain_and_begins_with_the_users_frames(
    log: Log, observer: LoggingObserver
) -> None:
    with pytest.raises(TaskExecutionError) as caught:
        one(observer, failing).orchestrate(Order.LOAD)
    text = "".join(traceback.format_exception(caught.value))
    assert "_engine" not in text
    assert "in failing" in text
    assert "TaskExecutionError" in text


def test_a_short_traceback_keeps_frames_of_other_libraries(
    log: Log, observer: LoggingObserver
) -> None:
    with pytest.raises(TaskExecutionError):
        one(observer, lambda: json.loads("{")).orchestrate(Order.LOAD)
    assert "json/decoder.py" in formatted(log.one("failed in")).replace("\\", "/")


def test_the_frames_of_runs_nested_in_each_other_stand_in_a_row(
    log: Log, observer: LoggingObserver
) -> None:
    inner = Workflow[Order]().register(Order.LOAD, failing).add_exit_state(Order.DONE)

    def calling(store: object) -> Order:
        return inner.orchestrate(Order.LOAD)

    with pytest.raises(TaskExecutionError):
        one(observer, calling).orchestrate(Order.LOAD)
    (record,) = [record for record in log.records if record.exc_info]
    assert record.exc_info
    names = [frame.name for frame in traceback.extract_tb(record.exc_info[2])]
    assert names == ["calling", "failing"]


def test_what_no_user_code_has_raised_is_a_line_without_a_traceback(
    log: Log, observer: LoggingObserver
) -> None:
    with pytest.raises(WorkflowTimeoutError):
        one(observer, listening).with_timeout(0.05).orchestrate(Order.LOAD)
    assert log.one("timed out in").exc_info is None


def test_a_failed_join_whose_branches_were_not_logged_shows_their_errors(
    log: Log, observer: LoggingObserver
) -> None:
    logging.getLogger("cano_sync.tests").setLevel(logging.ERROR)
    for tasks in ([failing, failing], [failing, done]):
        with pytest.raises(JoinError):
            split(observer, *tasks).orchestrate(Order.ASK)
    both, single = log.records
    assert formatted(both).count("ValueError: no such order") == 2
    assert "TaskExecutionError" not in formatted(both)
    assert formatted(single).endswith("ValueError: no such order")
    assert "Group" not in formatted(single)


def test_full_tracebacks_show_the_engine_and_all_errors_on_the_way(log: Log) -> None:
    with pytest.raises(TaskExecutionError) as caught:
        one(LoggingObserver("cano_sync.tests", tracebacks="full"), failing).orchestrate(Order.LOAD)
    assert "_engine" in formatted(log.one("failed in"))
    assert log.tracebacks() == [f"cano_sync.errors.TaskExecutionError: {caught.value}"]


def test_tracebacks_can_be_left_out(log: Log) -> None:
    with pytest.raises(TaskExecutionError):
        one(LoggingObserver("cano_sync.tests", tracebacks="none"), failing).orchestrate(Order.LOAD)
    assert log.tracebacks() == []


# What is asked of it, and what is left of it.


def test_a_logger_or_its_name_and_nothing_else_is_taken() -> None:
    logger = logging.getLogger("cano_sync.tests")
    assert repr(LoggingObserver(logger)) == "LoggingObserver('cano_sync.tests')"
    with pytest.raises(ConfigurationError, match=r"a logger or its name, not 7; give logging.get"):
        LoggingObserver(7)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="late_after must be a finite number"):
        LoggingObserver(late_after=-1)
    with pytest.raises(ConfigurationError, match="tracebacks='long' is none of 'short', 'full'"):
        LoggingObserver(tracebacks="long")  # type: ignore[arg-type]


def test_no_attribute_collides_with_those_of_a_record(log: Log, observer: LoggingObserver) -> None:
    """`Logger.log` refuses them; a hook that raised would have ended the run's log."""
    with pytest.raises(CanoError):
        one(observer, failing, TaskConfig().with_fixed_retry(1, delay=0)).orchestrate(Order.LOAD)
    assert log.lines()[-1].startswith("failed in Order.LOAD")


def test_nothing_is_kept_of_runs_that_have_ended(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("cano_sync.tests.forgetful")
    monkeypatch.setattr(logger, "propagate", False)  # pytest keeps records, and so tracebacks
    logger.addHandler(logging.NullHandler())
    observer = LoggingObserver(logger)

    def deaf() -> Order:
        gate.wait(20)
        return Order.DONE

    for _ in range(3):
        with pytest.raises(CanoError):
            one(observer, failing, TaskConfig().with_fixed_retry(1, delay=0)).orchestrate(
                Order.LOAD
            )
    with pytest.raises(WorkflowTimeoutError):
        one(observer, deaf).with_timeout(0.05).orchestrate(Order.LOAD)
    assert len(observer._abandoned) == 0
    gc.collect()
    assert len(observer._tracebacks._logged) == 0
    gate.set()


def test_one_observer_tells_parallel_runs_apart(log: Log, observer: LoggingObserver) -> None:
    workflow = split(observer, done, failing, strategy=JoinStrategy.ANY)
    with ThreadPoolExecutor(8) as callers:
        list(callers.map(lambda _: workflow.orchestrate(Order.ASK), range(50)))
    runs: dict[str, list[str]] = {}
    for record in log.records:
        runs.setdefault(record.run_id, []).append(record.getMessage().split(": ", 1)[1])
    assert len(runs) == 50
    for lines in runs.values():
        assert lines[0] == "started in Order.ASK"
        assert sum(line.startswith("succeeded in Order.DONE") for line in lines) == 1
