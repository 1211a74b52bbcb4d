"""Flows in the log: which line at which level, and what its record carries."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from enum import Enum, auto
from typing import Any

import pytest

from cano_sync import ConfigurationError, WorkflowCancelledError, WorkflowError
from cano_sync.observe import LoggingObserver
from cano_sync.scheduler import Backoff, LoggingFlowObserver, Scheduler
from cano_sync.testing import HandClock, start_by_hand
from tests.scheduler.conftest import Fails, Held, one


class Order(Enum):
    DONE = auto()


class Log:
    """The records of a test."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    @property
    def records(self) -> list[Any]:
        return self._caplog.records

    @property
    def lines(self) -> list[str]:
        return [f"{record.levelname} {record.getMessage()}" for record in self.records]


@pytest.fixture
def observer() -> LoggingFlowObserver:
    return LoggingFlowObserver()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Log]:
    """What the library's logger has written, from INFO on."""
    with caplog.at_level(logging.INFO, "cano_sync"):
        yield Log(caplog)


def test_flows_are_logged_under_their_names(log: Log, observer: LoggingFlowObserver) -> None:
    error = ValueError("no")
    observer.flow_started(flow="nightly", lag=0.25)
    observer.flow_finished(
        flow="nightly", state=Order.DONE, duration=0.5, outcome="succeeded", error=None
    )
    observer.flow_skipped(flow="nightly", running_for=3.0)
    observer.flow_backed_off(flow="nightly", failures=2, delay=4.0, error=error)
    observer.flow_tripped(flow="nightly", failures=5, error=error)
    assert log.lines == [
        "INFO flow nightly: started, 0.250 s late",
        "INFO flow nightly: succeeded in Order.DONE after 0.500 s",
        "WARNING flow nightly: skipped, for it has been running for 3.000 s",
        "WARNING flow nightly: has failed 2 times in a row, and backs off for 4.000 s: "
        "ValueError: no",
        "ERROR flow nightly: has failed 5 times in a row, and runs no more until it is reset: "
        "ValueError: no",
    ]
    assert {record.flow for record in log.records} == {"nightly"}
    assert (log.records[0].lag, log.records[1].state, log.records[1].outcome) == (
        0.25,
        "Order.DONE",
        "succeeded",
    )
    assert (log.records[1].duration, log.records[2].duration) == (0.5, 3.0)
    assert (log.records[3].failures, log.records[3].delay, log.records[4].failures) == (2, 4.0, 5)


def test_a_flow_that_is_on_time_and_one_that_fails_once_are_said_plainly(
    log: Log, observer: LoggingFlowObserver
) -> None:
    observer.flow_started(flow="nightly", lag=0.0004)
    observer.flow_backed_off(flow="nightly", failures=1, delay=4.0, error=ValueError("no"))
    observer.flow_tripped(flow="nightly", failures=1, error=ValueError("no"))
    assert log.lines == [
        "INFO flow nightly: started",
        "WARNING flow nightly: has failed once, and backs off for 4.000 s: ValueError: no",
        "ERROR flow nightly: has failed once, and runs no more until it is reset: ValueError: no",
    ]


def test_a_failure_is_an_error_with_a_traceback_if_something_was_raised(
    log: Log, observer: LoggingFlowObserver
) -> None:
    named = WorkflowError("the run came to Order.DONE, which fail_on names")
    facts: dict[str, Any] = {"flow": "nightly", "duration": 0.5, "outcome": "failed"}
    observer.flow_finished(**facts, state=Order.DONE, error=named)
    with pytest.raises(ValueError) as raised:
        raise ValueError("no")
    observer.flow_finished(**facts, state=None, error=raised.value)
    assert log.lines == [
        "ERROR flow nightly: failed after 0.500 s: WorkflowError: the run came to Order.DONE, "
        "which fail_on names",
        "ERROR flow nightly: failed after 0.500 s: ValueError: no",
    ]
    assert [record.outcome for record in log.records] == ["failed", "failed"]
    assert [bool(record.exc_info) for record in log.records] == [False, True]


def test_what_the_scheduler_has_cancelled_is_no_error(log: Log, held: Held) -> None:
    scheduler = Scheduler(observers=[LoggingFlowObserver()])
    scheduler.manual("sync", one(held), "GO")
    with scheduler.start_in_background(stop_timeout=0):
        future = scheduler.trigger("sync")
        held.wait()
    assert isinstance(future.exception(0), WorkflowCancelledError)
    last = log.records[-1]
    assert (last.levelname, last.exc_info, last.outcome) == ("INFO", None, "cancelled")
    assert last.getMessage().startswith("flow sync: cancelled after ")
    assert last.getMessage().endswith(": the scheduler was stopped")
    assert last.reason == "the scheduler was stopped"


def test_a_flow_that_fails_until_it_trips(log: Log, clock: HandClock) -> None:
    scheduler = Scheduler(clock=clock, observers=[LoggingFlowObserver()])
    backoff = Backoff(5, multiplier=4, jitter=0, trip_after=3)
    scheduler.every("sync", one(Fails()), "GO", 10, backoff=backoff)
    with start_by_hand(scheduler) as time:
        time.advance(100)
    a_run = ["INFO", "ERROR"]
    assert [record.levelname for record in log.records] == [
        *a_run, "WARNING", *a_run, "WARNING", *a_run, "ERROR",
    ]  # fmt: skip
    assert all(record.getMessage().startswith("flow sync: ") for record in log.records)


def test_a_traceback_is_logged_once_whoever_of_the_two_logs_it(log: Log, clock: HandClock) -> None:
    runs = LoggingObserver()
    scheduler = Scheduler(clock=clock, observers=[LoggingFlowObserver(beside=runs)])
    scheduler.manual("watched", one(Fails()).with_observer(runs), "GO")
    scheduler.manual("sync", one(Fails()), "GO")
    with start_by_hand(scheduler):
        for id in ("watched", "sync"):
            scheduler.trigger(id).exception(20)
    errors = [record for record in log.records if record.levelname == "ERROR"]
    assert [(record.getMessage()[:4], bool(record.exc_info)) for record in errors] == [
        ("run ", True), ("flow", False), ("flow", True),
    ]  # fmt: skip


def test_it_writes_into_the_logger_that_it_is_given(caplog: pytest.LogCaptureFixture) -> None:
    for given in ("night", logging.getLogger("night")):
        observer = LoggingFlowObserver(given)
        assert repr(observer) == "LoggingFlowObserver('night')"
        with caplog.at_level(logging.INFO, "night"):
            observer.flow_started(flow="sync", lag=0.0)
    assert [record.name for record in caplog.records] == ["night", "night"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"logger": 7}, r"LoggingFlowObserver\(\) takes a logger or its name, not 7"),
        ({"tracebacks": "long"}, "tracebacks='long' is none of"),
        ({"beside": "runs"}, r"LoggingFlowObserver\(beside=...\) takes a LoggingObserver"),
    ],
)
def test_a_wrong_argument_is_refused(arguments: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        LoggingFlowObserver(**arguments)
