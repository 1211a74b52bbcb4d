"""What became of an auction, as people and programs want to read it."""

__all__ = ("Line", "Report", "in_words")

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from cano_sync import CanoError, JoinError, Store
from cano_sync.observe import Fate, Record, Span, Visit

from .openrtb import Bid

Tell: TypeAlias = Callable[[Any, Bid | None], tuple[str, str]]
"""Says what a branch's value means, given the bid that won."""


def in_words(error: CanoError) -> str:
    """What has led to the error state, for people. The log has all that the error says."""
    if not isinstance(error, JoinError) or error.result is None:
        return str(error)
    names = [outcome.name for outcome in (*error.result.errors, *error.result.cancelled)]
    return f"{error.state.name}: {', '.join(names)} failed or came too late"


@dataclass(frozen=True, slots=True)
class Line:
    """A state of the run, or a branch of one.

    Attributes:
        name: the state's, or that of the branch's task.
        began_ms: how many milliseconds after the start of the run.
        took_ms: and for how many.
        fate: what became of it, in a word or two.
        note: and in more.
        branches: the branches of a split.
    """

    name: str
    began_ms: float
    took_ms: float
    fate: str = ""
    note: str = ""
    branches: tuple["Line", ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """A run of the auction, as people and programs want to read it.

    Attributes:
        state: the exit state.
        total_ms: from the start to the exit state.
        states: the states on the way, in order, with their branches.
        winner: the bid that won, or None.
        verdict: what came of it, in a sentence.
        counters: the exchange's counters.
        response: what the publisher gets.
    """

    state: str
    total_ms: float
    states: tuple[Line, ...]
    winner: Bid | None
    verdict: str
    counters: dict[str, int]
    response: dict[str, Any]

    @classmethod
    def of(cls, record: Record, store: Store) -> "Report":
        """The report of a run that has ended, by its record and its store."""
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
            record.state.name,
            _ms(record.duration),
            tuple(_line(visit, winner) for visit in record.visits if not visit.is_exit),
            winner,
            verdict,
            dict(store.get("counters", dict, default={})),
            response,
        )

    def data(self) -> dict[str, Any]:
        """The same for programs."""
        data = asdict(self)
        if self.winner is not None:
            data["winner"]["score"] = self.winner.score
        return data

    def json(self) -> str:
        """That as JSON."""
        return json.dumps(self.data(), indent=2)

    def text(self) -> str:
        """The same for people: states and branches along one axis of time."""
        scale = COLUMNS / max(self.total_ms, 0.1)
        lines = [_axis(self.total_ms, scale)]
        for state in self.states:
            lines += _drawn(state, scale)
        lines += ["", self.verdict, f"total {self.total_ms:.1f} ms, final state {self.state}"]
        return "\n".join(lines)


def _line(visit: Visit, winner: Bid | None) -> Line:
    """A state, with its branches."""
    tell = _TELL.get(visit.state.name, _tell_plainly)
    branches = []
    for span in visit.branches:
        fate, note = _told(span, winner, tell)
        began = visit.began if span.began is None else span.began
        branches.append(Line(span.name, _ms(began), _ms(span.duration), fate, note))
    return Line(visit.state.name, _ms(visit.began), _ms(visit.duration), branches=tuple(branches))


def _told(span: Span, winner: Bid | None, tell: Tell) -> tuple[str, str]:
    """What became of a branch: a word or two, and more."""
    if span.error is not None:
        cause = span.error.__cause__ or span.error
        return "failed", f"{type(cause).__name__}: {cause}"
    if span.fate is Fate.SUCCEEDED:
        return tell(span.value, winner)
    return "cancelled", "not done when the time was up"


def _tell_bid(bid: Bid | None, winner: Bid | None) -> tuple[str, str]:
    if bid is None:
        return "no bid", ""
    won = winner is not None and winner.bidder == bid.bidder
    return "won" if won else "lost", f"bid {bid.price:.2f}"


def _tell_score(bid: Bid, winner: Bid | None) -> tuple[str, str]:
    return "scored", f"{bid.price:.2f} x {bid.factor:g} = {bid.score:g}"


def _tell_plainly(value: object, winner: Bid | None) -> tuple[str, str]:
    return "done", ""


_TELL: dict[str, Tell] = {
    "REQUEST_BIDS": _tell_bid,
    "SCORE_BIDS": _tell_score,
}


def _ms(duration: float) -> float:
    return round(max(0.0, duration) * 1000, 2)


COLUMNS = 50  # of the time line


def _axis(total_ms: float, scale: float) -> str:
    """The head: where 0 is, and each round number of milliseconds."""
    step = next((step for step in (50, 100, 200, 500) if total_ms <= 5 * step), 1000)
    axis = ""
    for mark in range(0, int(total_ms) + 1, step):
        axis = axis.ljust(round(mark * scale)) + f"|{mark}"
    return f"{'':<18}{axis:<{COLUMNS + 4}}   ms"


def _drawn(line: Line, scale: float, *, branch: bool = False) -> Iterator[str]:
    """A line and those of its branches."""
    name = f"  {line.name}" if branch else line.name
    mark = "=" if not branch else _MARKS.get(line.fate, "-")
    begin = min(int(line.began_ms * scale), COLUMNS - 1)
    bar = mark * max(1, min(round(line.took_ms * scale), COLUMNS - begin))
    text = f"{name:<18}{' ' * begin + bar:<{COLUMNS}}{line.took_ms:>9.1f}  {line.fate:<10}"
    yield f"{text}{line.note}".rstrip()
    for each in line.branches:
        yield from _drawn(each, scale, branch=True)


_MARKS = {"won": "#", "cancelled": ".", "failed": "x"}
