"""The report of an auction: the record of its run, in the words of the trade."""

__all__ = ("Report", "in_words")

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from cano_sync import CanoError, JoinError, Store
from cano_sync.observe import Recorder, Span, Status, Visit

from .http import ServiceError
from .openrtb import Bid, BidError

WIDTH = 120  # cells, where there is no terminal to ask


def in_words(error: CanoError) -> str:
    """What has led to the error state, for people. The log has all that the error says."""
    if not isinstance(error, JoinError) or error.result is None:
        return str(error)
    names = [outcome.name for outcome in (*error.result.errors, *error.result.cancelled)]
    return f"{error.state.name}: {', '.join(names)} failed or came too late"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A run of the auction, as people and programs want to read it.

    Attributes:
        recorder: the run, as it was recorded.
        winner: the bid that won, or None.
        verdict: what came of it, in a sentence.
        counters: the exchange's counters.
        response: what the publisher gets.
    """

    recorder: Recorder
    winner: Bid | None
    verdict: str
    counters: dict[str, int]
    response: dict[str, Any]

    @classmethod
    def of(cls, store: Store, recorder: Recorder) -> "Report":
        """The report of a run that has come to an exit state.

        Args:
            store: the run's store.
            recorder: the run, as it was recorded.
        """
        response = store.get("response", dict)
        winner = store.get("winner", Bid) if response.get("seatbid") else None
        if winner is None:
            verdict = f"nothing sold: {store.get('why', str)}"
        else:
            verdict = (
                f"{winner.bidder} wins and pays {winner.price:.2f} USD; its score is "
                f"{winner.score:g}, of {len(store.get('scores', list))} bids in time"
            )
        return cls(
            recorder=recorder,
            winner=winner,
            verdict=verdict,
            counters=dict(store.get("counters", dict, default={})),
            response=response,
        )

    def text(self) -> str:
        """The report for people. Its width is the terminal's; in a file or a pipe it is fixed."""
        record = self.recorder.record
        width = None if sys.stdout.isatty() else WIDTH
        return (
            f"{self.recorder.timeline(width, note=self.note)}\n\n{self.verdict}\n"
            f"total {_ms(record.duration):.1f} ms, final state {record.state.name}"
        )

    def html(self) -> str:
        """The report as a page."""
        return self.recorder.to_html(self.verdict, note=self.note)

    def note(self, visit: Visit, span: Span | None) -> str | None:
        """What a picture of the run says of a line; None for what it says of any run's."""
        if span is None or span.index is None:
            return None
        if span.status is Status.SUCCEEDED:
            describe = _NOTES.get(visit.state.name)
            return None if describe is None else describe(span.value, self.winner)
        if span.status is Status.CANCELLED and visit.join is not None and visit.join.timed_out:
            return "too late"
        return None if span.error is None else _in_short(span.error)

    def data(self) -> dict[str, Any]:
        """The report for programs."""
        record = self.recorder.record
        return {
            "state": record.state.name,
            "total_ms": _ms(record.duration),
            "states": [self._state(visit) for visit in record.visits if not visit.is_exit],
            "winner": self.winner and {**asdict(self.winner), "score": self.winner.score},
            "verdict": self.verdict,
            "counters": self.counters,
            "response": self.response,
        }

    def json(self) -> str:
        """That as JSON."""
        return json.dumps(self.data(), indent=2)

    def _state(self, visit: Visit) -> dict[str, Any]:
        """A state on the way to the exit, with its branches."""
        branches = []
        for span in visit.branches:
            note = self.note(visit, span) or ""
            if span.error is not None:
                cause = span.error.__cause__ or span.error
                note = f"{type(cause).__name__}: {cause}"
            began = visit.began if span.began is None else span.began
            branches.append({**_line(span.name, began, span), "note": note})
        return {**_line(visit.state.name, visit.began, visit), "branches": branches}


def _line(name: str, began: float, part: Visit | Span) -> dict[str, Any]:
    return {
        "name": name,
        "began_ms": _ms(began),
        "took_ms": _ms(part.duration),
        "status": part.status.value,
    }


def _bid_note(bid: Bid | None, winner: Bid | None) -> str:
    if bid is None:
        return "no bid"
    won = winner is not None and winner.bidder == bid.bidder
    return f"bid {bid.price:.2f}, {'won' if won else 'lost'}"


def _score_note(bid: Bid, winner: Bid | None) -> str:
    return f"{bid.price:g} x {bid.factor:g} = {bid.score:g}"


_NOTES: dict[str, Callable[[Any, Bid | None], str]] = {
    "REQUEST_BIDS": _bid_note,
    "SCORE_BIDS": _score_note,
}
"""By state: what there is to say of a branch that has succeeded."""


def _in_short(error: BaseException) -> str | None:
    """Why a service failed, where that can be said in a few words."""
    cause = error.__cause__
    if isinstance(cause, ServiceError | BidError):
        return str(cause)
    return cause.strerror if isinstance(cause, OSError) else None


def _ms(duration: float) -> float:
    return round(duration * 1000, 2)
