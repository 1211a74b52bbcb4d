"""One sale of the ad exchange, held by the program; these tests look at its report."""

from __future__ import annotations

import json

import pytest

from tests.examples.test_ad_exchange import AUCTION, PACE, SOLD, Report, states, statuses


@pytest.fixture(scope="module")
def sale(program, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report of the program without options, for the tests that only look at it."""
    folder = tmp_path_factory.mktemp("sale")
    ended = program("ad_exchange", "--json", "--pace", str(PACE), "--records", str(folder))
    assert (ended.stderr, ended.returncode) == ("", 0)
    return json.loads(ended.stdout)


def test_the_winner_scores_highest_of_those_in_time(sale: Report) -> None:
    assert sale["state"] == "COMPLETE"
    assert states(sale) == SOLD
    winner = sale["winner"]
    assert (winner["bidder"], winner["price"], winner["score"]) == ("steady", 3.70, 3.515)
    assert sale["verdict"] == (
        "steady wins and pays 3.70 USD; its score is 3.515, of 3 bids in time"
    )
    assert statuses(sale, "REQUEST_BIDS") == {
        "swift": "succeeded",
        "brisk": "succeeded",
        "steady": "succeeded",
        "tardy": "cancelled",
        "glacial": "cancelled",
    }


def test_every_branch_of_a_sale_is_reported(sale: Report) -> None:
    assert statuses(sale, "GATHER_CONTEXT") == dict.fromkeys(["user", "geo", "device"], "succeeded")
    assert statuses(sale, "SCORE_BIDS") == dict.fromkeys(["swift", "brisk", "steady"], "succeeded")
    assert statuses(sale, "TRACK_RESULTS") == dict.fromkeys(
        ["sqlite", "log", "counters", "notice"], "succeeded"
    )


def test_the_run_waits_for_its_services_and_no_longer(sale: Report) -> None:
    """50 ms for context, 200 for bids, 10 for scores, 40 to track: all times six."""
    assert sale["total_ms"] >= 6 * 300


def test_the_publisher_gets_the_winners_advertisement(sale: Report) -> None:
    response = sale["response"]
    (seat,) = response["seatbid"]
    (bid,) = seat["bid"]
    assert (response["id"], response["cur"], seat["seat"]) == (AUCTION, "USD", "steady")
    assert (bid["price"], bid["impid"]) == (3.7, "1")
    assert "steady.example" in bid["adm"]
