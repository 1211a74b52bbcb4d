"""What the ad exchange reads and says: bid requests, and bids."""

from __future__ import annotations

import copy
import json
from importlib import resources
from typing import Any

import pytest

from cano_sync.demo import openrtb

# Bid requests.


@pytest.fixture
def proper() -> dict[str, Any]:
    return openrtb.parse_request(
        resources.files("cano_sync.demo").joinpath("bid_request.json").read_bytes()
    )


def test_the_request_in_the_package_is_a_proper_one(proper: dict[str, Any]) -> None:
    openrtb.check_request(proper)
    assert proper["imp"][0]["bidfloor"] == 1.5


def test_a_floor_from_outside_goes_before_the_requests_own(proper: dict[str, Any]) -> None:
    openrtb.check_request(proper, 5)
    assert proper["imp"][0]["bidfloor"] == 5


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe{",
        b"{",
        b"null",
        b"3",
        b'"text"',
        b'{"id": NaN}',
        b'{"id": Infinity}',
    ],
)
def test_what_is_no_json_object_is_no_request(text: bytes) -> None:
    with pytest.raises(openrtb.RequestError, match="it is not"):
        openrtb.parse_request(text)


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        (["id"], None, "no id"),
        (["id"], "", "no id"),
        (["site"], ..., "either a site or an app"),
        (["app"], {}, "either a site or an app"),
        (["imp"], ..., "no imp"),
        (["imp"], [], "no imp"),
        (["imp"], "banner", "no imp"),
        (["imp"], [None], r"imp\[0\] has no id"),
        (["imp"], [{"id": "1"}, {"id": "2"}], "offers 2 impressions"),
        (["imp", 0, "id"], 1, r"imp\[0\] has no id"),
        (["imp", 0, "banner"], ..., "no banner"),
        (["imp", 0, "banner"], [], "no banner"),
        (["imp", 0, "bidfloor"], "1.5", "'1.5', not a price"),
        (["imp", 0, "bidfloor"], -1, "-1, not a price"),
        (["imp", 0, "bidfloor"], True, "True, not a price"),
        (["imp", 0, "bidfloor"], 10**400, "not a price"),
        (["imp", 0, "bidfloorcur"], "EUR", r"not in \['EUR'\]"),
        (["cur"], ["EUR"], r"not in \['EUR'\]"),
        (["cur"], "EUR", "not in 'EUR'"),
    ],
)
def test_an_error_says_which_one_thing_is_wrong_with_a_request(
    proper: dict[str, Any], path: list[Any], value: Any, why: str
) -> None:
    where = proper
    for step in path[:-1]:
        where = where[step]
    if value is ...:
        del where[path[-1]]
    else:
        where[path[-1]] = value
    with pytest.raises(openrtb.RequestError, match=why):
        openrtb.check_request(proper)


def test_context_fills_what_the_publisher_has_left_open(proper: dict[str, Any]) -> None:
    """It overwrites nothing, and the publisher's request stays as it is."""
    before = copy.deepcopy(proper)
    pieces = [{"device": {"make": "Fairphone", "ip": "203.0.113.9"}}, {"user": {"yob": 1990}}]
    asked = json.loads(openrtb.enriched(proper, pieces, tmax=200))
    assert asked["device"]["make"] == "Fairphone"
    assert asked["device"]["ip"] == before["device"]["ip"]
    assert asked["user"] == {**before["user"], "yob": 1990}
    assert (asked["at"], asked["tmax"]) == (1, 200)
    assert proper == before


# Bids.


def answer(**changes: Any) -> dict[str, Any]:
    bid = {"impid": "1", "price": 2.0, "nurl": "http://b/win?price=${AUCTION_PRICE}", **changes}
    return {"id": "a", "seatbid": [{"bid": [bid]}], "ext": {"latency_ms": 45}}


ASKED = {"id": "a", "imp": [{"id": "1"}]}


def test_a_bid_is_read_from_an_answer() -> None:
    bid = openrtb.parse_bid("swift", answer(), ASKED)
    assert (bid.bidder, bid.price, bid.latency_ms, bid.score) == ("swift", 2.0, 45, 0.0)
    assert openrtb.win_notice(bid, "a") == "http://b/win?price=2.00"


@pytest.mark.parametrize("seats", [{"seatbid": []}, {}, {"seatbid": None}])
def test_a_bidder_may_decline(seats: dict[str, Any]) -> None:
    assert openrtb.parse_bid("swift", {"id": "a", **seats}, ASKED) is None


@pytest.mark.parametrize(
    "crazy",
    [
        None,
        [],
        "bid",
        {"id": "another"},
        {"id": "a", "seatbid": 3},
        {"id": "a", "seatbid": [{}]},
        {"id": "a", "seatbid": [{"bid": []}]},
        answer(price="2.0"),
        answer(price=-2.0),
        answer(price=float("nan")),
        answer(price=float("inf")),
        answer(price=True),
        answer(price=10**400),
        answer(impid="2"),
        {**answer(), "cur": "EUR"},
        {**answer(), "ext": None},
        {**answer(), "ext": {"latency_ms": None}},
    ],
)
def test_an_answer_that_is_crazy_is_no_bid(crazy: Any) -> None:
    with pytest.raises(openrtb.BidError):
        openrtb.parse_bid("swift", crazy, ASKED)
