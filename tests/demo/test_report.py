"""The ad exchange's report: the record of a run in the words of the trade."""

from __future__ import annotations

import sqlite3
import sys
from typing import Any

import pytest

from cano_sync import (
    CancellationToken,
    CanoError,
    JoinConfig,
    JoinStrategy,
    MemoryStore,
    TaskConfig,
    Workflow,
    task,
)
from cano_sync.demo.exchange import Auction
from cano_sync.demo.http import ServiceError
from cano_sync.demo.openrtb import Bid, BidError
from cano_sync.demo.report import Report, in_words
from cano_sync.observe import Recorder


def bid_of(bidder: str, price: float, factor: float | None = None) -> Bid:
    return Bid(bidder, price, 0, "", {}, factor)


WINNER = bid_of("steady", 3.7, 0.95)


def answering(value: Any, name: str = "branch") -> Any:
    return task(name=name)(lambda: value)


def failing(error: Exception, name: str = "branch", config: TaskConfig | None = None) -> Any:
    def fail() -> None:
        raise error

    return task(name=name, config=config)(fail)


def dawdle(*, cancel: CancellationToken) -> None:
    cancel.sleep(60)


def report_of(state: Auction, *tasks: Any, winner: Bid | None = None) -> Report:
    """The report of a run with a split in this state, sold to the winner if there is one."""
    join = JoinConfig(JoinStrategy.PARTIAL_TIMEOUT, Auction.COMPLETE, timeout=0.2)
    recorder = Recorder()
    workflow = (
        Workflow[Auction]()
        .register_split(state, [*tasks, answering(WINNER, "another")], join)
        .add_exit_state(Auction.COMPLETE)
    )
    store = MemoryStore({"response": {"seatbid": [{}] if winner else []}, "why": "nobody bids"})
    store.put("winner", winner)
    store.put("scores", [winner])
    workflow.with_observer(recorder).orchestrate(state, store=store)
    assert recorder.wait_for_returns(20)
    return Report.of(store, recorder)


def branch_of(report: Report) -> tuple[str, str, str]:
    """Of the first branch: its status and note in the data, and the picture's note."""
    visit = report.recorder.record.visits[0]
    line = report.data()["states"][0]["branches"][0]
    return line["status"], line["note"], report.note(visit, visit.branches[0])


@pytest.mark.parametrize(
    ("state", "value", "note"),
    [
        (Auction.REQUEST_BIDS, bid_of("steady", 3.7), "bid 3.70, won"),
        (Auction.REQUEST_BIDS, bid_of("swift", 2.95), "bid 2.95, lost"),
        (Auction.REQUEST_BIDS, None, "no bid"),
        (Auction.SCORE_BIDS, WINNER, "3.7 x 0.95 = 3.515"),
        (Auction.TRACK_RESULTS, None, None),
    ],
)
def test_a_branch_that_succeeds_is_noted_by_what_it_brings(
    state: Auction, value: Bid | None, note: str | None
) -> None:
    report = report_of(state, answering(value), winner=WINNER)
    assert branch_of(report) == ("succeeded", note or "", note)


@pytest.mark.parametrize(
    ("error", "note"),
    [
        (ServiceError("status 500 Oh No"), "status 500 Oh No"),
        (BidError("the answer is to another request"), "the answer is to another request"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (TimeoutError("timed out"), None),  # the picture says what it says of any error
        (KeyError("factor"), None),
    ],
)
def test_a_branch_that_fails_is_noted_by_why(error: Exception, note: str | None) -> None:
    """Its type is in the data; in the picture, where room is scarce, if nothing else says it."""
    status, noted, drawn = branch_of(report_of(Auction.REQUEST_BIDS, failing(error)))
    assert (status, noted) == ("failed", f"{type(error).__name__}: {error}")
    assert drawn == note


def test_a_branch_that_is_cut_off_is_too_late() -> None:
    branch = branch_of(report_of(Auction.REQUEST_BIDS, dawdle))
    assert branch == ("cancelled", "too late", "too late")


def test_a_branch_that_failed_again_and_again_is_noted_with_its_attempts() -> None:
    again = TaskConfig().with_fixed_retry(1, delay=0)
    tracker = failing(sqlite3.OperationalError("database is locked"), config=again)
    text = report_of(Auction.TRACK_RESULTS, tracker).text()
    assert "2 attempts, OperationalError: database is locked" in text


def test_the_text_ends_with_the_verdict_and_the_total() -> None:
    report = report_of(Auction.REQUEST_BIDS, answering(None))
    *_, verdict, total = report.text().splitlines()
    assert verdict == report.verdict == "nothing sold: nobody bids"
    assert total == f"total {report.data()['total_ms']:.1f} ms, final state COMPLETE"


def test_in_a_file_or_a_pipe_its_width_is_fixed_and_it_has_no_colour(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = report_of(Auction.REQUEST_BIDS, failing(ServiceError("no " * 99)))
    texts = set()
    for columns in ("50", "190"):
        monkeypatch.setenv("COLUMNS", columns)
        texts.add(report.text())
    (text,) = texts
    assert max(map(len, text.splitlines())) == 120
    assert "\x1b" not in text


def test_on_a_terminal_it_is_as_wide_as_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = report_of(Auction.REQUEST_BIDS, failing(ServiceError("no " * 99)))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "90")
    assert max(map(len, report.text().splitlines())) == 90


def test_the_reason_for_the_publisher_names_the_services_that_failed_or_came_too_late() -> None:
    """Of a join that failed; any other error speaks for itself."""
    everybody = JoinConfig(JoinStrategy.ALL, Auction.COMPLETE, timeout=0.2)
    workflow = (
        Workflow[Auction]()
        .register_split(
            Auction.GATHER_CONTEXT,
            [answering({}, "user"), dawdle, failing(ServiceError("no"), "device")],
            everybody,
        )
        .add_exit_state(Auction.COMPLETE)
    )
    with pytest.raises(CanoError) as raised:
        workflow.orchestrate(Auction.GATHER_CONTEXT)
    assert in_words(raised.value) == "GATHER_CONTEXT: device, dawdle failed or came too late"
    assert in_words(CanoError("by itself")) == "by itself"
