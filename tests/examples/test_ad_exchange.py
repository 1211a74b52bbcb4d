"""The ad exchange, with services up, down and crazy; and run as a program.

All its times are six times as long as usual here (`--pace 6`), so that the outcomes do not
depend on how busy this machine is. What is checked is how the auction has ended, never a time.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cano_sync.demo.exchange import sell
from cano_sync.demo.options import read_options
from cano_sync.demo.records import Records
from cano_sync.demo.services import BIDDERS, running

PACE = 6.0

AUCTION = "6f1c2f0e-2b7d-4f0a-9c53-8d1f6e0b7a44"  # the id of the request in the package

TO_THE_BIDS = ["START", "GATHER_CONTEXT", "REQUEST_BIDS"]
TO_THE_SCORES = [*TO_THE_BIDS, "SCORE_BIDS"]
SOLD = [*TO_THE_SCORES, "RUN_AUCTION", "TRACK_RESULTS", "BUILD_RESPONSE"]
UNSOLD = [*TO_THE_SCORES, "RUN_AUCTION", "NO_FILL"]

TECHNICAL_ERROR, INVALID_REQUEST, NO_BIDS, BELOW_FLOOR = 1, 2, 500, 501  # reasons: the `nbr`

# Of failures that differ only in their kind, one of each goes with the usual tests.
more = pytest.mark.servers

Report = dict[str, Any]
Auction = Callable[..., Report]


@pytest.fixture(scope="module")
def services() -> Iterator[dict[str, str]]:
    """The URLs of all services, which work as they should; started once for all auctions."""
    with running({}, PACE) as urls:
        yield urls


@pytest.fixture
def auction(services: dict[str, str], tmp_path: Path) -> Auction:
    """`auction(*options)` holds an auction with these options, and returns its report."""

    def hold(*given: str) -> Report:
        options = read_options(["--pace", str(PACE), *given], program="auction")
        broken = [name for name, mode in options.broken.items() if mode != "ok"]
        if "notice" in broken:
            broken += BIDDERS  # to them it is an address that they were started with
        instead = running(options.broken, PACE, names=set(broken), notice_url=services["notice"])
        with Records(tmp_path) as records, instead as urls:
            return json.loads(sell(options, services | urls, records).json())

    return hold


def states(report: Report) -> list[str]:
    return [state["name"] for state in report["states"]]


def statuses(report: Report, state: str) -> dict[str, str]:
    """How the branches of a state have ended."""
    (line,) = [line for line in report["states"] if line["name"] == state]
    return {branch["name"]: branch["status"] for branch in line["branches"]}


def log_of(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "auctions.jsonl").read_text().splitlines()]
    for line in lines:
        assert line.pop("time") > 0
    return lines


def rows_of(folder: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "auctions.sqlite")) as connection:
        return connection.execute("SELECT * FROM sold").fetchall()


# It is sold.


def test_a_sale_is_booked_logged_and_counted(auction: Auction, tmp_path: Path) -> None:
    """In files that are there when the exchange has closed; the next sale is added to them."""
    report = auction()
    assert report["counters"] == {"sold": 1, "sold to steady": 1}
    auction()
    sale = {"event": "sold", "auction": AUCTION, "bidder": "steady", "price": 3.7, "score": 3.515}
    assert log_of(tmp_path) == [sale, sale]
    assert rows_of(tmp_path) == [(AUCTION, "steady", 3.7, 3.515)] * 2


def test_a_floor_that_the_best_bid_meets_exactly_is_met(auction: Auction) -> None:
    assert auction("--floor", "3.7")["winner"]["bidder"] == "steady"


@pytest.mark.parametrize(
    ("mode", "status"),
    [
        ("down", "failed"),
        ("hang", "cancelled"),
        pytest.param("garbage", "failed", marks=more),
        pytest.param("500", "failed", marks=more),
    ],
)
def test_without_the_best_bidder_the_next_one_wins(
    auction: Auction, mode: str, status: str
) -> None:
    report = auction("--break", f"steady={mode}")
    assert states(report) == SOLD
    assert statuses(report, "REQUEST_BIDS")["steady"] == status
    winner = report["winner"]
    assert (winner["bidder"], winner["price"], winner["score"]) == ("brisk", 3.3, 3.3)


def test_the_text_says_why_a_bidder_has_lost(program) -> None:
    broken = ("swift=500", "brisk=garbage", "steady=down")
    options = [option for each in broken for option in ("--break", each)]
    text = program("ad_exchange", "--pace", "6", *options).stdout
    for why in (
        "failed     status 500 Internal Server Error\n",
        "failed     no JSON but b'<html>",
        "failed     Connection refused\n",
        "cancelled  too late\n",
    ):
        assert f" {why}" in text


def test_the_report_can_be_had_as_a_page_too(program, tmp_path: Path) -> None:
    page = tmp_path / "auction.html"
    ended = program("ad_exchange", "--pace", str(PACE), "--floor", "5", "--html", str(page))
    assert (ended.stderr, ended.returncode) == ("", 0)
    # Which bids came in time is for other tests: the page says what the text says.
    (verdict,) = re.findall("<h1>(nothing sold.*?)</h1>", page.read_text(encoding="utf-8"))
    assert verdict in ended.stdout


def test_a_page_that_cannot_be_written_does_not_cost_the_report(program, tmp_path: Path) -> None:
    ended = program("ad_exchange", "--json", "--html", str(tmp_path / "no" / "page.html"))
    assert json.loads(ended.stdout)["state"] == "COMPLETE"
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("ad_exchange.py: the page could not be written: ")


# It is not sold.


def test_a_floor_that_nobody_meets_leaves_it_unsold(auction: Auction, tmp_path: Path) -> None:
    report = auction("--floor", "5")
    assert report["state"] == "COMPLETE"
    assert states(report) == UNSOLD
    assert report["verdict"] == "nothing sold: the best bid is 3.70, the floor 5.00 USD"
    assert report["response"] == {"id": AUCTION, "seatbid": [], "nbr": BELOW_FLOOR}
    assert report["counters"] == {"unsold": 1}
    assert statuses(report, "REQUEST_BIDS")["steady"] == "succeeded"
    assert rows_of(tmp_path) == []


@pytest.mark.parametrize(
    "mode", ["down", pytest.param("garbage", marks=more), pytest.param("500", marks=more)]
)
def test_bidders_that_all_fail_leave_it_unsold(auction: Auction, mode: str) -> None:
    """Who answers with an error has given a sign of life: the run goes on, with no bid."""
    report = auction("--break", f"bidders={mode}")
    assert report["state"] == "COMPLETE"
    assert states(report) == UNSOLD
    assert report["verdict"] == "nothing sold: nobody bids"
    assert report["response"]["nbr"] == NO_BIDS
    assert set(statuses(report, "REQUEST_BIDS").values()) <= {"failed", "cancelled"}
    assert statuses(report, "SCORE_BIDS") == {}


def test_bidders_that_all_hang_are_an_error(auction: Auction, tmp_path: Path) -> None:
    report = auction("--break", "bidders=hang")
    assert report["state"] == "COMPLETE"
    assert states(report) == [*TO_THE_BIDS, "ERROR_TRACKING", "NO_FILL"]
    assert statuses(report, "REQUEST_BIDS") == dict.fromkeys(
        ["swift", "brisk", "steady", "tardy", "glacial"], "cancelled"
    )
    assert report["response"]["nbr"] == TECHNICAL_ERROR


@pytest.mark.parametrize(
    ("broken", "way"),
    [
        ("geo=hang", ["START", "GATHER_CONTEXT"]),
        pytest.param("geo=down", ["START", "GATHER_CONTEXT"], marks=more),
        pytest.param("geo=500", ["START", "GATHER_CONTEXT"], marks=more),
        ("geo=garbage", ["START", "GATHER_CONTEXT"]),
        pytest.param("quality=hang", TO_THE_SCORES, marks=more),
        ("quality=500", TO_THE_SCORES),
        pytest.param("notice=hang", [*TO_THE_SCORES, "RUN_AUCTION", "TRACK_RESULTS"], marks=more),
        ("notice=down", [*TO_THE_SCORES, "RUN_AUCTION", "TRACK_RESULTS"]),
    ],
)
def test_a_service_that_everybody_needs_ends_the_auction_in_time(
    auction: Auction, tmp_path: Path, broken: str, way: list[str]
) -> None:
    """The error is logged and counted, and the publisher gets an answer all the same."""
    report = auction("--break", broken)
    assert report["state"] == "COMPLETE"
    assert states(report) == [*way, "ERROR_TRACKING", "NO_FILL"]
    assert statuses(report, "ERROR_TRACKING") == {
        "log": "succeeded",
        "counters": "succeeded",
    }
    assert report["response"] == {"id": AUCTION, "seatbid": [], "nbr": TECHNICAL_ERROR}
    assert report["winner"] is None
    assert report["counters"]["failed"] == report["counters"][f"failed in {way[-1]}"] == 1
    assert report["verdict"].startswith(f"nothing sold: {way[-1]}: ")
    assert report["verdict"].endswith(" failed or came too late")
    error = log_of(tmp_path)[-1]
    assert (error["event"], error["auction"]) == ("error", AUCTION)
    assert way[-1] in error["error"]


def test_a_database_that_is_locked_ends_the_auction_in_time(
    auction: Auction, tmp_path: Path
) -> None:
    """Somebody else writes to the file all the while: that tracker fails, or is too late."""
    auction("--floor", "5")  # makes the files
    with closing(sqlite3.connect(tmp_path / "auctions.sqlite")) as other:
        other.execute("BEGIN IMMEDIATE")
        report = auction()
        assert states(report)[-3:] == ["TRACK_RESULTS", "ERROR_TRACKING", "NO_FILL"]
        tracked = statuses(report, "TRACK_RESULTS")
        assert tracked.pop("sqlite") in ("failed", "cancelled")
        assert set(tracked.values()) == {"succeeded"}
        other.rollback()
    assert rows_of(tmp_path) == []


# It is not even put up for sale, or the program cannot do what it is asked.


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{imp: 1", "it is not JSON: "),
        (b"[]", "it is not a JSON object: []"),
        (b"[" * 100_000, "maximum recursion depth exceeded"),
        (b'{"id": "1", "site": {}}', "it has no imp, the list of impressions for sale"),
        (b'{"id": 7, "site": {}, "imp": [{"id": "1", "banner": {}}]}', "it has no id"),
    ],
)
def test_a_malformed_request_is_rejected_with_the_reason(
    auction: Auction, tmp_path: Path, content: bytes, why: str
) -> None:
    file = tmp_path / "request.json"
    file.write_bytes(content)
    report = auction("--request", str(file))
    assert report["state"] == "REJECTED"
    assert states(report) == ["START", "INVALID_RESPONSE"]
    assert report["verdict"].startswith(f"nothing sold: the request is rejected: {why}")
    assert report["response"]["nbr"] == INVALID_REQUEST


def test_an_option_that_is_wrong_ends_it_with_one_line(program) -> None:
    """The rest of them: tests/demo/test_options.py."""
    ended = program("ad_exchange", "--request", "no/such/file.json")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == (
        "ad_exchange.py: argument --request: no/such/file.json: No such file or directory\n"
    )


def test_a_folder_that_cannot_be_used_ends_it_with_one_line(program, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    ended = program("ad_exchange", "--records", str(file))
    assert ended.returncode == 1
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("ad_exchange.py: the exchange could not open: ")


# It is interrupted.

INTERRUPTED = """
import signal, sys
from cano_sync.demo import exchange

# As in a terminal, even if these tests run in the background of a shell, which ignores Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

def wake(urls):
    print(*urls, flush=True)

look_up = exchange.LookUp.run

def run(self, store, cancel):
    sys.stdout.write("asked\\n")  # in one piece, unlike what print() does
    sys.stdout.flush()
    return look_up(self, store, cancel)

exchange.wake, exchange.LookUp.run = wake, run
a_minute = ["--break", "context=hang", "--pace", "600"]  # if nobody stops it
sys.exit(exchange.main(a_minute, program="auction"))
"""


@pytest.fixture
def in_mid_auction(environment) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """The program, while its context services are asked and do not answer; and their ports."""
    command = [sys.executable, "-c", INTERRUPTED]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            urls = process.stdout.readline().split()
            assert [process.stdout.readline() for _ in range(3)] == ["asked\n"] * 3
            yield process, [int(url.rpartition(":")[2]) for url in urls]
        finally:
            process.kill()


def is_served(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_ctrl_c_ends_it_promptly_and_leaves_no_service_behind(in_mid_auction) -> None:
    process, ports = in_mid_auction
    assert len(ports) == 10
    assert all(map(is_served, ports))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (out, err) == ("", "")
    assert process.returncode == 130
    assert not any(map(is_served, ports))


def test_a_kill_leaves_no_service_behind_either(in_mid_auction, eventually) -> None:
    """Nobody is left to stop them: they see the end of their standard input."""
    process, ports = in_mid_auction
    process.kill()
    process.wait(timeout=20)
    eventually(lambda: not any(map(is_served, ports)))
