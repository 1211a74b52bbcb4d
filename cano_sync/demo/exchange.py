"""A real-time ad auction: ten services asked over HTTP, and a winner after 300 milliseconds.

    python -m cano_sync.demo

A page is being loaded, and the exchange has a moment to sell the space for an advertisement on
it. The run is a machine of these states:

    START             is the bid request a proper one?
    GATHER_CONTEXT    100 ms for three services that know the user, the place and the device
    REQUEST_BIDS      200 ms for five bidders; a late one is cut off
    SCORE_BIDS        50 ms for the quality service, asked about each bid that came
    RUN_AUCTION       the highest score above the floor price wins
    TRACK_RESULTS     100 ms to book the sale, log it, count it and notify the winner
    BUILD_RESPONSE    the publisher gets the advertisement: COMPLETE

and where it goes when that does not work out:

    the request is malformed            START, INVALID_RESPONSE, and the exit REJECTED
    a bidder is down, late or crazy     it loses; the auction goes on with the others
    nobody bids, or above the floor     RUN_AUCTION, NO_FILL, and the exit COMPLETE
    no bidder gives any sign of life    REQUEST_BIDS, ERROR_TRACKING, NO_FILL, COMPLETE
    another service fails or is late    its state, ERROR_TRACKING, NO_FILL, COMPLETE

ERROR_TRACKING has 50 ms to log and to count the error. NO_FILL is a proper answer, too: the
publisher learns that nothing was sold and why (`nbr`), and that in time. What could not be tracked
is not sold either: the log then has an error line for that auction. Try it:

    python -m cano_sync.demo --floor 5
    python -m cano_sync.demo --break steady=down --break brisk=garbage
    python -m cano_sync.demo --break geo=hang
    python -m cano_sync.demo --break bidders=500
    python -m cano_sync.demo --html auction.html
    python -m cano_sync.demo --help
"""

__all__ = ("Auction", "ad_exchange", "hold_auction", "main", "sell")

import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from enum import Enum, auto
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from cano_sync import (
    CancellationToken,
    JoinConfig,
    JoinStrategy,
    MemoryStore,
    Store,
    Task,
    TaskContext,
    Workflow,
    task,
)
from cano_sync.observe import Recorder

from . import openrtb
from .http import ask, fetch, wake
from .openrtb import Bid
from .options import Options, read_options
from .records import Records, count, count_error, count_sale
from .report import Report, in_words
from .services import BIDDERS, CONTEXT, running


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


def validate_request(store: Store) -> Literal[Auction.GATHER_CONTEXT]:
    """What it raises is the reason to reject the request: see `error_state` below."""
    request = openrtb.parse_request(store.get("raw_request", bytes))
    store.put("request", request)
    openrtb.check_request(request, store.get("floor", default=None))
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
        return openrtb.parse_bid(self.name, answer, store.get("request", dict))


def ask_bidders(store: Store, urls: Mapping[str, str], tmax: float) -> list[AskBidder]:
    """The tasks of REQUEST_BIDS: the same question for all, with the context in it."""
    context = store.get("context", list)
    question = openrtb.enriched(store.get("request", dict), context, tmax=round(tmax * 1000))
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
    return [ScoreBid(bid, url) for bid in store.get("bids", list) if bid is not None]


def choose_winner(store: Store) -> Literal[Auction.TRACK_RESULTS, Auction.NO_FILL]:
    bids, floor = store.get("scores", list), store.get("request", dict)["imp"][0]["bidfloor"]
    if not bids:
        refuse(store, openrtb.NO_BIDS, "nobody bids")
        return Auction.NO_FILL
    eligible = [bid for bid in bids if bid.price >= floor]
    if not eligible:
        best = max(bid.price for bid in bids)
        why = f"the best bid is {best:.2f}, the floor {floor:.2f} USD"
        refuse(store, openrtb.BELOW_FLOOR, why)
        return Auction.NO_FILL
    store.put("winner", max(eligible, key=lambda bid: bid.score))
    return Auction.TRACK_RESULTS


@task(name="notice")
def notify_winner(store: Store, cancel: CancellationToken) -> None:
    """Call the winner's notice URL."""
    url = openrtb.win_notice(store.get("winner", Bid), store.get("request", dict)["id"])
    if url:
        fetch(url, cancel)


def build_response(store: Store) -> Literal[Auction.COMPLETE]:
    request, winner = store.get("request", dict), store.get("winner", Bid)
    store.put("response", openrtb.bid_response(request, winner))
    return Auction.COMPLETE


def reject(store: Store, context: TaskContext) -> Literal[Auction.REJECTED]:
    assert context.error is not None  # an error is the only way to come here
    refuse(store, openrtb.INVALID_REQUEST, f"the request is rejected: {context.error.__cause__}")
    count(store, "rejected")
    return Auction.REJECTED


def track_error(
    store: Store, context: TaskContext, records: Records
) -> list[Callable[[Store, TaskContext], None]]:
    """The tasks of ERROR_TRACKING. They get the error, as this does, by their `context`."""
    assert context.error is not None
    refuse(store, openrtb.TECHNICAL_ERROR, in_words(context.error))
    return [records.write_error, count_error]


def leave_unsold(store: Store) -> Literal[Auction.COMPLETE]:
    """The response is there already: each way to this state has called `refuse`."""
    count(store, "unsold")
    return Auction.COMPLETE


def refuse(store: Store, reason: int, why: str) -> None:
    """Settle that nothing is sold: the publisher's response, and why in words."""
    request = store.get("request", dict, default={})  # it may not have been one at all
    store.put("response", openrtb.no_bid_response(request, reason))
    store.put("why", why)


def ad_exchange(urls: Mapping[str, str], records: Records, pace: float = 1.0) -> Workflow[Auction]:
    """The machine. All time limits, in seconds, are multiplied by `pace`."""
    join = partial(JoinConfig[Auction], error_state=Auction.ERROR_TRACKING)
    all_of, in_time = JoinStrategy.ALL, JoinStrategy.PARTIAL_TIMEOUT
    return (
        Workflow[Auction]()
        .register(Auction.START, validate_request, error_state=Auction.INVALID_RESPONSE)
        .register_split(
            Auction.GATHER_CONTEXT,
            [LookUp(name, urls[name]) for name in CONTEXT],
            join(all_of, Auction.REQUEST_BIDS, timeout=0.1 * pace, collect="context"),
        )
        .register_split(
            Auction.REQUEST_BIDS,
            partial(ask_bidders, urls=urls, tmax=0.2 * pace),
            join(in_time, Auction.SCORE_BIDS, timeout=0.2 * pace, collect="bids"),
        )
        .register_split(
            Auction.SCORE_BIDS,
            partial(score_bids, url=urls["quality"]),
            join(all_of, Auction.RUN_AUCTION, timeout=0.05 * pace, collect="scores"),
        )
        .register(Auction.RUN_AUCTION, choose_winner)
        .register_split(
            Auction.TRACK_RESULTS,
            [records.write_row, records.write_sale, count_sale, notify_winner],
            join(all_of, Auction.BUILD_RESPONSE, timeout=0.1 * pace),
        )
        .register(Auction.BUILD_RESPONSE, build_response)
        .register(Auction.INVALID_RESPONSE, reject)
        .register_split(
            Auction.ERROR_TRACKING,
            partial(track_error, records=records),
            # An error that cannot be tracked either must not keep the publisher waiting.
            join(all_of, Auction.NO_FILL, timeout=0.05 * pace, error_state=Auction.NO_FILL),
        )
        .register(Auction.NO_FILL, leave_unsold)
        .add_exit_states(Auction.COMPLETE, Auction.REJECTED)
    )


def hold_auction(options: Options) -> Report:
    """Start the services, sell the impression, and stop them."""
    with ExitStack() as stack:
        folder = options.records or Path(stack.enter_context(TemporaryDirectory()))
        records = stack.enter_context(Records(folder))
        urls = stack.enter_context(running(options.broken, options.pace))
        return sell(options, urls, records)


def sell(options: Options, urls: Mapping[str, str], records: Records) -> Report:
    """Sell the impression, with services that are running."""
    recorder = Recorder()
    workflow = ad_exchange(urls, records, options.pace).with_observer(recorder)
    workflow.validate()
    wake(urls.values())  # the first call of a kind is slow, and a real exchange has made many
    store = MemoryStore({"raw_request": options.request, "floor": options.floor})
    workflow.orchestrate(Auction.START, store=store)
    recorder.wait_for_returns(1.0)  # late bidders hang up at once, and are not abandoned
    return Report.of(store, recorder)


def main(arguments: Sequence[str] | None = None, *, program: str) -> int:
    """Read the command line, hold the auction and print the report; return the exit code.

    Args:
        arguments: the command line; None for that of the process.
        program: how messages name the program.
    """
    try:
        options = read_options(arguments, program=program)
        report = hold_auction(options)
    except KeyboardInterrupt:
        return 130  # as the shell says it
    except (OSError, sqlite3.Error) as error:
        print(f"{program}: the exchange could not open: {error}", file=sys.stderr)
        return 1
    print(report.json() if options.json else report.text())
    try:
        if options.html is not None:
            options.html.write_text(report.html(), encoding="utf-8")
    except OSError as error:
        print(f"{program}: the page could not be written: {error}", file=sys.stderr)
        return 1
    return 0
