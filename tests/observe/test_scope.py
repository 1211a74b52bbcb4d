"""Where a line of log is from, in what tasks log themselves."""

from __future__ import annotations

import logging
import logging.config
import logging.handlers
import queue
import threading
from collections.abc import Iterator
from enum import Enum, auto
from typing import Any

import pytest

from cano_sync import (
    CancellationToken,
    JoinConfig,
    JoinStrategy,
    TaskConfig,
    TaskContext,
    Workflow,
    WorkflowTimeoutError,
)
from cano_sync.observe import LoggingObserver, RunFilter

FORMAT = "%(run_id)s %(state)s %(task)s %(index)s %(attempt)s %(message)s"

log = logging.getLogger("shop")


class Order(Enum):
    LOAD = auto()
    ASK = auto()
    DONE = auto()


class Lines(logging.Handler):
    """Keeps what it would write."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[str] = []
        self.setFormatter(logging.Formatter(FORMAT))
        self.addFilter(RunFilter())

    def emit(self, record: logging.LogRecord) -> None:
        self.all.append(self.format(record))


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler
    log.removeHandler(handler)


observer = LoggingObserver("cano_sync.tests.silent")


def one(work: Any, config: TaskConfig | None = None) -> Workflow[Order]:
    workflow = Workflow[Order]().register(Order.LOAD, work, config).add_exit_state(Order.DONE)
    return workflow.with_observer(observer)


def test_a_line_of_a_task_says_which_it_is(lines: Lines) -> None:
    def work(store: object, context: TaskContext) -> Order:
        log.info(context.run_id)
        return Order.DONE

    one(work).orchestrate(Order.LOAD)
    (line,) = lines.all
    run_id, rest = line.split(" ", 1)
    assert rest == f"Order.LOAD work - 1 {run_id}"


def test_outside_a_run_everything_is_a_dash_before_and_after(lines: Lines) -> None:
    log.info("before")
    one(lambda: Order.DONE).orchestrate(Order.LOAD)
    log.info("after")
    assert lines.all == ["- - - - - before", "- - - - - after"]


def test_a_line_of_a_branch_says_which_on_whatever_thread(lines: Lines) -> None:
    meet = threading.Barrier(2)

    def branch(store: object) -> None:
        meet.wait(20)
        log.info(threading.current_thread().name)
        meet.wait(20)

    join = JoinConfig(JoinStrategy.ALL, Order.DONE)
    workflow = Workflow[Order]().register_split(Order.ASK, [branch, branch], join)
    workflow.add_exit_state(Order.DONE).with_observer(observer).orchestrate(Order.ASK)
    shown = sorted(line.split()[1:5] for line in lines.all)
    assert shown == [["Order.ASK", "branch", "0", "1"], ["Order.ASK", "branch", "1", "1"]]


@pytest.mark.parametrize("limit", [None, 20.0], ids=["without a limit", "on a thread of its own"])
def test_a_line_says_which_attempt_it_is_from(lines: Lines, limit: float | None) -> None:
    def work(store: object, context: TaskContext) -> Order:
        log.info("trying")
        if context.attempt < 3:
            raise ConnectionError
        return Order.DONE

    config = TaskConfig().with_fixed_retry(5, delay=0)
    config = config if limit is None else config.with_attempt_timeout(limit)
    one(work, config).orchestrate(Order.LOAD)
    assert [line.split()[4] for line in lines.all] == ["1", "2", "3"]
    assert {line.split()[0] for line in lines.all} != {"-"}


def test_a_nested_run_gives_the_outer_ones_values_back(lines: Lines) -> None:
    def inner() -> Order:
        log.info("inner")
        return Order.DONE

    nested = one(inner)

    def outer() -> Order:
        log.info("before")
        nested.orchestrate(Order.LOAD)
        log.info("after")
        return Order.DONE

    one(outer).orchestrate(Order.LOAD)
    before, inside, after = [line.split() for line in lines.all]
    assert before[:5] == after[:5]
    assert (before[2], inside[2]) == ("outer", "inner")
    assert before[0] != inside[0]


def test_a_run_with_two_observers_gives_the_same_lines(lines: Lines) -> None:
    def work() -> Order:
        log.info("here")
        return Order.DONE

    one(work).with_observer(LoggingObserver("cano_sync.tests.other")).orchestrate(Order.LOAD)
    log.info("after")
    assert lines.all[0].split()[1:] == ["Order.LOAD", "work", "-", "1", "here"]
    assert lines.all[1] == "- - - - - after"


def test_a_task_that_was_left_behind_still_says_which_it_is(
    lines: Lines, gate: threading.Event
) -> None:
    logged = threading.Event()

    def deaf() -> Order:
        gate.wait(20)
        log.info("late")
        logged.set()
        return Order.DONE

    with pytest.raises(WorkflowTimeoutError):
        one(deaf).with_timeout(0.05).orchestrate(Order.LOAD)
    gate.set()
    assert logged.wait(20)
    assert lines.all[0].split()[1:] == ["Order.LOAD", "deaf", "-", "1", "late"]


def test_between_tasks_only_the_run_is_known(lines: Lines) -> None:
    class Strategy(JoinStrategy):
        def decide(self, tally: Any) -> Any:
            if tally.ended == 0:
                log.info("asked")
            return JoinStrategy.ALL.decide(tally)

    join = JoinConfig(Strategy(), Order.DONE)
    workflow = (
        Workflow[Order]()
        .register(Order.LOAD, lambda: Order.ASK)
        .register_split(Order.ASK, [lambda store: 1], join)
        .add_exit_state(Order.DONE)
        .with_observer(observer)
    )
    workflow.orchestrate(Order.LOAD)
    (line,) = lines.all
    assert line.split()[1:] == ["-", "-", "-", "-", "asked"]
    assert len(line.split()[0]) == 32


def test_what_a_record_brings_along_stays(lines: Lines) -> None:
    def work() -> Order:
        log.info("mine", extra={"state": "of the art"})
        return Order.DONE

    one(work).orchestrate(Order.LOAD)
    assert " of the art work - 1 mine" in lines.all[0]


def test_a_record_about_another_task_does_not_get_this_ones_values(lines: Lines) -> None:
    def work() -> Order:
        log.info("logged", extra={"run_id": "other"})
        return Order.DONE

    one(work).orchestrate(Order.LOAD)
    assert lines.all == ["other - - - - logged"]


def test_a_filter_with_a_name_keeps_the_habit_of_filters(lines: Lines) -> None:
    record = logging.LogRecord("shop.cart", logging.INFO, __file__, 1, "x", None, None)
    assert RunFilter("shop").filter(record)
    assert not RunFilter("bank").filter(record)


def test_an_observers_own_lines_say_what_they_are_about(lines: Lines) -> None:
    """Logged by the thread that abandons a branch, a line is about the branch all the same."""
    own = LoggingObserver("shop")
    log.setLevel(logging.DEBUG)
    begun = threading.Event()

    def loser(store: object, cancel: CancellationToken) -> None:
        begun.set()
        cancel.sleep(20)

    join = JoinConfig(JoinStrategy.ANY, Order.DONE)
    tasks = [loser, lambda store: begun.wait(20)]
    workflow = Workflow[Order]().register_split(Order.ASK, tasks, join).add_exit_state(Order.DONE)
    workflow.with_observer(own).orchestrate(Order.ASK)
    (line,) = [line for line in lines.all if "cancelled after" in line]
    assert line.split()[1:5] == ["Order.ASK", "loser", "0", "-"]


def test_dict_config_can_set_it_up(capsys: pytest.CaptureFixture[str]) -> None:
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"run": {"()": "cano_sync.observe.RunFilter"}},
        "formatters": {"run": {"format": FORMAT}},
        "handlers": {
            "out": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stdout",
                "filters": ["run"],
                "formatter": "run",
            }
        },
        "loggers": {"shop": {"handlers": ["out"], "level": "INFO", "propagate": False}},
    }

    def work() -> Order:
        log.info("here")
        return Order.DONE

    logging.config.dictConfig(config)
    try:
        one(work).orchestrate(Order.LOAD)
    finally:
        log.handlers.clear()
        log.propagate = True
    assert capsys.readouterr().out.split()[1:] == ["Order.LOAD", "work", "-", "1", "here"]


def test_a_queue_handler_takes_the_values_along() -> None:
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    handler = logging.handlers.QueueHandler(records)
    handler.addFilter(RunFilter())
    log.addHandler(handler)
    log.setLevel(logging.INFO)

    def work() -> Order:
        log.info("here")
        return Order.DONE

    try:
        one(work).orchestrate(Order.LOAD)
    finally:
        log.removeHandler(handler)
    assert logging.Formatter(FORMAT).format(records.get()).split()[2] == "work"
