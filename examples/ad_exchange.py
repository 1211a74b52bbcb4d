"""A real-time ad auction: ten services asked over HTTP, and a winner after 300 milliseconds.

    python examples/ad_exchange.py

A page is being loaded, and the exchange has a moment to sell the space for an advertisement on
it. The run is a machine of these states:

    START             is the bid request a proper one?
    GATHER_CONTEXT    100 ms for three services that know the user, the place and the device
    REQUEST_BIDS      200 ms for five bidders; who is late is cut off
    SCORE_BIDS        50 ms for the quality service, asked about each bid that came
    RUN_AUCTION       the highest score above the floor price wins
    TRACK_RESULTS     100 ms to book the sale, log it, count it and tell the winner
    BUILD_RESPONSE    the publisher gets the advertisement: COMPLETE

and where it goes when that does not work out:

    the request is malformed            START, INVALID_RESPONSE, and the exit REJECTED
    a bidder is down, late or crazy     it loses; the auction goes on with the others
    nobody bids, or above the floor     RUN_AUCTION, NO_FILL, and the exit COMPLETE
    no bidder gives any sign of life    REQUEST_BIDS, ERROR_TRACKING, NO_FILL, COMPLETE
    another service fails or is late    its state, ERROR_TRACKING, NO_FILL, COMPLETE

NO_FILL is a proper answer, too: the publisher learns that nothing was sold and why (`nbr`), and
that in time. What could not be booked is not sold either. Try it:

    python examples/ad_exchange.py --floor 5
    python examples/ad_exchange.py --break steady=down --break brisk=garbage
    python examples/ad_exchange.py --break geo=hang
    python examples/ad_exchange.py --break bidders=500
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum, auto
from pathlib import Path
from typing import Any, Literal

from ad_exchange_http import ask, fetch
from ad_exchange_openrtb import (
    BELOW_FLOOR,
    INVALID_REQUEST,
    NO_BIDS,
    Bid,
    bid_response,
    check_request,
    enriched,
    parse_bid,
    parse_request,
    win_notice,
)
from ad_exchange_report import keep_split, timed
from ad_exchange_services import BIDDERS

from cano_sync import (
    CancellationToken,
    Store,
    Task,
    TaskContext,
    task,
)

REQUEST = Path(__file__).parent / "data" / "bid_request.json"


class Auction(Enum):
    """The states."""

    START = auto()
    GATHER_CONTEXT = auto()
    REQUEST_BIDS = auto()
    SCORE_BIDS = auto()
    RUN_AUCTION = auto()
    TRACK_RESULTS = auto()
    BUILD_RESPONSE = auto()
    INVALID_RESPONSE = auto()
    ERROR_TRACKING = auto()
    NO_FILL = auto()
    COMPLETE = auto()
    REJECTED = auto()


@timed(Auction.START)
def validate_request(store: Store) -> Literal[Auction.GATHER_CONTEXT]:
    """What it raises is the reason to reject the request: see `error_state` below."""
    request = parse_request(store.get("raw_request", bytes))
    store.put("request", request)
    check_request(request, store.get("floor", default=None))
    return Auction.GATHER_CONTEXT


class LookUp(Task):
    """Ask a context service; its answer is a piece of a bid request."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self.url = url

    def run(self, store: Store, cancel: CancellationToken) -> Any:
        return ask(self.url, store.get("request", dict), cancel)


class AskBidder(Task):
    """Ask a bidder for its bid; None if it does not want to."""

    def __init__(self, name: str, url: str, question: bytes) -> None:
        self.name = name
        self.url = url
        self.question = question

    def run(self, store: Store, cancel: CancellationToken) -> Bid | None:
        answer = ask(self.url, self.question, cancel)
        return parse_bid(self.name, answer, store.get("request", dict))


def ask_bidders(store: Store, urls: Mapping[str, str], tmax: float) -> list[AskBidder]:
    """The tasks of REQUEST_BIDS: the same question for all, with the context in it."""
    keep_split(store, Auction.GATHER_CONTEXT)
    context = store.get("context", list)
    question = enriched(store.get("request", dict), context, tmax=round(tmax * 1000))
    return [AskBidder(name, urls[name], question) for name in BIDDERS]


class ScoreBid(Task):
    """Ask the quality service what a bidder is worth; the bid comes back with its score."""

    def __init__(self, bid: Bid, url: str) -> None:
        self.name = bid.bidder
        self.bid = bid
        self.url = url

    def run(self, store: Store, cancel: CancellationToken) -> Bid:
        bid = self.bid
        answer = ask(self.url, {"bidder": bid.bidder, "latency_ms": bid.latency_ms}, cancel)
        return replace(bid, factor=float(answer["factor"]))


def score_bids(store: Store, url: str) -> list[ScoreBid]:
    """The tasks of SCORE_BIDS: one for each bid that came."""
    keep_split(store, Auction.REQUEST_BIDS)
    return [ScoreBid(bid, url) for bid in store.get("bids", list) if bid is not None]


@timed(Auction.RUN_AUCTION)
def choose_winner(store: Store) -> Literal[Auction.TRACK_RESULTS, Auction.NO_FILL]:
    keep_split(store, Auction.SCORE_BIDS)
    bids, floor = store.get("scores", list), store.get("request", dict)["imp"][0]["bidfloor"]
    best = max(bids, key=lambda bid: bid.price, default=None)
    if best is None:
        refuse(store, NO_BIDS, "nobody bids")
        return Auction.NO_FILL
    if best.price < floor:
        refuse(store, BELOW_FLOOR, f"the best bid is {best.price:.2f}, the floor {floor:.2f} USD")
        return Auction.NO_FILL
    eligible = [bid for bid in bids if bid.price >= floor]
    store.put("winner", max(eligible, key=lambda bid: bid.score))
    return Auction.TRACK_RESULTS


@task(name="counters")
def count_sale(store: Store) -> None:
    count(store, "auctions", "sold", f"won by {store.get('winner', Bid).bidder}")


@task(name="notice")
def tell_winner(store: Store, cancel: CancellationToken) -> None:
    """Call the winner's notice URL."""
    fetch(win_notice(store.get("winner", Bid), store.get("request", dict)["id"]), cancel)


@timed(Auction.BUILD_RESPONSE)
def build_response(store: Store) -> Literal[Auction.COMPLETE]:
    keep_split(store, Auction.TRACK_RESULTS)
    store.put("response", bid_response(store.get("request", dict), store.get("winner", Bid)))
    return Auction.COMPLETE


@timed(Auction.INVALID_RESPONSE)
def reject(store: Store, context: TaskContext) -> Literal[Auction.REJECTED]:
    assert context.error is not None  # an error is the only way to come here
    why = context.error.__cause__
    refuse(store, INVALID_REQUEST, f"the request is rejected: {why}")
    return Auction.REJECTED
