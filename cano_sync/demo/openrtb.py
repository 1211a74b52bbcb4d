"""What the ad exchange says and understands: bid requests and responses, OpenRTB 2.6-shaped.

Of the standard it uses what one auction of one banner needs, and in US dollars only.
"""

__all__ = (
    "BELOW_FLOOR",
    "INVALID_REQUEST",
    "NO_BIDS",
    "TECHNICAL_ERROR",
    "Bid",
    "BidError",
    "RequestError",
    "bid_response",
    "check_request",
    "enriched",
    "no_bid_response",
    "parse_bid",
    "parse_request",
    "win_notice",
)

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Never

# Why there is no bid in a response (its `nbr`). From 500 on the numbers are an exchange's own.
TECHNICAL_ERROR = 1
INVALID_REQUEST = 2
NO_BIDS = 500
BELOW_FLOOR = 501


class RequestError(ValueError):
    """The bid request is malformed, or asks for what this exchange does not sell."""


class BidError(ValueError):
    """A bidder's answer is no bid response, or one to another question."""


@dataclass(frozen=True, slots=True)
class Bid:
    """One bidder's bid.

    Attributes:
        bidder: the bidder's name.
        price: what it pays, in US dollars for a thousand impressions.
        latency_ms: how fast it says that it answers.
        nurl: the address to notify of a win, with the standard's macros in it.
        raw: the bid object, as it came.
        factor: what the quality service thinks of the bidder; None until it was asked.
    """

    bidder: str
    price: float
    latency_ms: float
    nurl: str
    raw: dict[str, Any]
    factor: float | None = None

    @property
    def score(self) -> float:
        """The price, weighted: the highest one wins. 0 until the bid was scored."""
        return round(self.price * (self.factor or 0.0), 4)


def parse_request(text: bytes) -> dict[str, Any]:
    """The JSON object in what came in.

    Raises:
        RequestError: there is none.
    """
    try:
        request = json.loads(text, parse_constant=_no_number)
    except ValueError as error:  # not JSON, or not even text
        raise RequestError(f"it is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise RequestError(f"it is not a JSON object: {request!r:.40}")
    return request


def check_request(request: dict[str, Any], floor: float | None = None) -> None:
    """Check a bid request, and settle its floor price.

    Args:
        request: the request; its `imp[0].bidfloor` is set if need be.
        floor: goes before the impression's own.

    Raises:
        RequestError: the message says what is wrong.
    """
    if not isinstance(request.get("id"), str) or not request["id"]:
        raise RequestError("it has no id")
    if ("site" in request) == ("app" in request):
        raise RequestError("it must have either a site or an app")
    impression = _only_impression(request.get("imp"))
    if floor is not None:
        impression["bidfloor"] = floor
    if not _is_number(impression.setdefault("bidfloor", 0.0)):
        raise RequestError(f"imp[0].bidfloor is {impression['bidfloor']!r}, not a price")
    for currencies in (request.get("cur", ["USD"]), [impression.get("bidfloorcur", "USD")]):
        if not isinstance(currencies, list) or "USD" not in currencies:
            raise RequestError(f"this exchange trades in USD, not in {currencies!r}")


def _only_impression(impressions: Any) -> dict[str, Any]:
    if not isinstance(impressions, list) or not impressions:
        raise RequestError("it has no imp, the list of impressions for sale")
    if len(impressions) > 1:
        raise RequestError(f"it offers {len(impressions)} impressions; we sell one at a time")
    impression: Any = impressions[0]
    if not isinstance(impression, dict) or not isinstance(impression.get("id"), str):
        raise RequestError("imp[0] has no id")
    if not isinstance(impression.get("banner"), dict):
        raise RequestError("imp[0] has no banner, which is all that this exchange sells")
    return impression


def enriched(request: dict[str, Any], context: Iterable[dict[str, Any]], tmax: int) -> bytes:
    """The request that bidders get: with what the context services know, and our own terms.

    Args:
        request: the publisher's request, which is not changed.
        context: pieces of a request; they fill what it has left open.
        tmax: how many milliseconds the bidders have.
    """
    for piece in context:
        request = _filled(request, piece)
    return json.dumps({**request, "at": 1, "tmax": tmax}).encode()


def _filled(base: dict[str, Any], piece: dict[str, Any]) -> dict[str, Any]:
    result = {**piece, **base}
    for key in base.keys() & piece.keys():
        if isinstance(base[key], dict) and isinstance(piece[key], dict):
            result[key] = _filled(base[key], piece[key])
    return result


def parse_bid(bidder: str, answer: Any, request: dict[str, Any]) -> Bid | None:
    """The bid in a bidder's answer, or None where it says that it does not want to.

    Raises:
        BidError: the answer is not what the standard says.
    """
    if not isinstance(answer, dict) or answer.get("id") != request["id"]:
        raise BidError("the answer is to another request")
    try:
        raw = answer["seatbid"][0]["bid"][0]
        price, impression, nurl = raw["price"], raw["impid"], str(raw.get("nurl", ""))
        latency_ms = answer["ext"]["latency_ms"]
    except (LookupError, TypeError, AttributeError) as error:
        if not answer.get("seatbid"):
            return None
        raise BidError(f"the bid is incomplete: {type(error).__name__}: {error}") from error
    if not _is_number(price) or not _is_number(latency_ms):
        raise BidError(f"price {price!r} or latency {latency_ms!r} ms is not a number from 0")
    if impression != request["imp"][0]["id"] or answer.get("cur", "USD") != "USD":
        raise BidError("the bid is for another impression or in another currency")
    return Bid(bidder, price, latency_ms, nurl, raw)


def win_notice(bid: Bid, auction: str) -> str:
    """The address that notifies the bidder of its win."""
    return bid.nurl.replace("${AUCTION_ID}", auction).replace(
        "${AUCTION_PRICE}", f"{bid.price:.2f}"
    )


def bid_response(request: dict[str, Any], bid: Bid) -> dict[str, Any]:
    """What the publisher gets when the impression was sold."""
    seat = {"seat": bid.bidder, "bid": [bid.raw]}
    return {"id": request["id"], "cur": "USD", "seatbid": [seat]}


def no_bid_response(request: dict[str, Any], reason: int) -> dict[str, Any]:
    """What the publisher gets when it was not, with one of the reasons above."""
    return {"id": request.get("id"), "seatbid": [], "nbr": reason}


def _no_number(name: str) -> Never:
    raise ValueError(f"{name} is not a number")


def _is_number(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and 0 <= value <= sys.float_info.max  # an int may be larger, and NaN is neither
    )
