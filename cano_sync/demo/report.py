"""What became of an auction: the record of its run, in the words of the trade."""

__all__ = ("Report", "in_words")

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from cano_sync import CanoError, JoinError, Store
from cano_sync.observe import Record, Recorder, Span, Status, Visit

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
        recorder: what has watched the run.
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
            recorder: what has watched it.
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
        """The same as a page."""
        return self.recorder.to_html(self.verdict, note=self.note)

    def note(self, visit: Visit, span: Span | None) -> str | None:
        """What a picture of the run says of a line; None for what it says of any run's."""
        if span is None or span.index is None:
            return None
        if span.status is Status.SUCCEEDED:
            fate, note = self._told(visit, span)
            return f"{note}, {fate}" if fate in ("won", "lost") else note or fate
        if span.status is Status.CANCELLED and visit.join is not None and visit.join.timed_out:
            return "too late"
        return None if span.error is None else _in_short(span.error)

    def data(self) -> dict[str, Any]:
        """The report for programs."""
        record = self.recorder.record
        return {
            "state": record.state.name,
            "total_ms": _ms(record.duration),
            "states": self._states(record),
            "winner": self.winner and {**asdict(self.winner), "score": self.winner.score},
            "verdict": self.verdict,
            "counters": self.counters,
            "response": self.response,
        }

    def json(self) -> str:
        """That as JSON."""
        return json.dumps(self.data(), indent=2)

    def _states(self, record: Record) -> list[dict[str, Any]]:
        """The states on the way to the exit, each with its branches."""
        states = []
        for visit in record.visits:
            if visit.is_exit:
                continue
            branches = []
            for span in visit.branches:
                began = visit.began if span.began is None else span.began
                told = self._told(visit, span)
                branches.append(_line(span.name, began, span.duration, *told))
            states.append(_line(visit.state.name, visit.began, visit.duration, branches=branches))
        return states

    def _told(self, visit: Visit, span: Span) -> tuple[str, str]:
        """What became of a branch, in a word or two, and in more."""
        if span.status is Status.SUCCEEDED:
            return _TELL.get(visit.state.name, _tell_plainly)(span.value, self.winner)
        if span.error is not None:
            cause = span.error.__cause__ or span.error
            return "failed", f"{type(cause).__name__}: {cause}"
        return "cancelled", "not done when the time was up"


def _tell_bid(bid: Bid | None, winner: Bid | None) -> tuple[str, str]:
    if bid is None:
        return "no bid", ""
    won = winner is not None and winner.bidder == bid.bidder
    return "won" if won else "lost", f"bid {bid.price:.2f}"


def _tell_score(bid: Bid, winner: Bid | None) -> tuple[str, str]:
    return "scored", f"{bid.price:g} x {bid.factor:g} = {bid.score:g}"


def _tell_plainly(value: object, winner: Bid | None) -> tuple[str, str]:
    return "done", ""


_TELL: dict[str, Callable[[Any, Bid | None], tuple[str, str]]] = {
    "REQUEST_BIDS": _tell_bid,
    "SCORE_BIDS": _tell_score,
}


def _in_short(error: BaseException) -> str | None:
    """Why a service failed, where that can be said in a few words."""
    cause = error.__cause__
    if isinstance(cause, ServiceError | BidError):
        return str(cause)
    return cause.strerror if isinstance(cause, OSError) else None


def _line(
    name: str,
    began: float,
    duration: float,
    fate: str = "",
    note: str = "",
    branches: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """A state of the run, or a branch of one."""
    return {
        "name": name,
        "began_ms": _ms(began),
        "took_ms": _ms(duration),
        "fate": fate,
        "note": note,
        "branches": branches or [],
    }


def _ms(duration: float) -> float:
    return round(duration * 1000, 2)
