"""The six join strategies side by side: what each makes of the same five branches.

Five mirrors are asked for a file. They answer one after the other, Oslo with an error, and Vienna
takes all the time that it is given: until the deadline, where there is one.

    python examples/strategies.py
"""

import threading
from collections.abc import Callable
from enum import Enum, auto
from functools import partial

from cano_sync import (
    CancellationToken,
    JoinConfig,
    JoinStrategy,
    MemoryStore,
    SplitResult,
    Store,
    Tally,
    Verdict,
    Workflow,
)

MIRRORS = ("Bern", "Oslo", "Riga", "Rome", "Vienna")


class Download(Enum):
    """The states."""

    ASK = auto()
    PROCEED = auto()
    FAIL = auto()


class InTurn(JoinStrategy):
    """Answers as another strategy does, and tells the next mirror that it is its turn.

    It stands in for the time that real mirrors take, so that the order is the same every time.
    """

    def __init__(self, asked: JoinStrategy) -> None:
        self.asked = asked
        self.turns = [threading.Event() for _ in MIRRORS]

    def decide(self, tally: Tally) -> Verdict:
        verdict = self.asked.decide(tally)
        if verdict is Verdict.WAIT:
            self.turns[tally.ended].set()
        return verdict

    def at_deadline(self, tally: Tally) -> Verdict:
        return self.asked.at_deadline(tally)


def ask(mirror: str, turn: threading.Event, store: Store, cancel: CancellationToken) -> str:
    with cancel.on_cancel(turn.set):  # whoever is cancelled need not wait for its turn
        turn.wait()
    cancel.check()
    if mirror == "Oslo":
        raise ConnectionError("Oslo is down")
    if mirror == "Vienna" and cancel.deadline is not None:
        cancel.sleep(60)
    return f"the file, from {mirror}"


def compare(strategy: JoinStrategy, timeout: float | None = None) -> tuple[Download, SplitResult]:
    """One run: where it went, and what came of the branches."""
    in_turn = InTurn(strategy)
    tasks: list[Callable[..., str]] = [
        partial(ask, mirror, turn) for mirror, turn in zip(MIRRORS, in_turn.turns, strict=True)
    ]
    join = JoinConfig(in_turn, Download.PROCEED, timeout=timeout, error_state=Download.FAIL)
    workflow = (
        Workflow()
        .register_split(Download.ASK, tasks, join.with_store_partial_results())
        .add_exit_states(Download.PROCEED, Download.FAIL)
    )
    store = MemoryStore()
    final = workflow.orchestrate(Download.ASK, store=store)
    return final, store.get("split_result", SplitResult)


def main() -> None:
    print(f"{'':20}", *(f"{mirror:<7}" for mirror in MIRRORS))
    for strategy in (
        JoinStrategy.ALL,
        JoinStrategy.ANY,
        JoinStrategy.quorum(2),
        JoinStrategy.percentage(0.8),
        JoinStrategy.partial_results(3),
        JoinStrategy.PARTIAL_TIMEOUT,
    ):
        timeout = 0.5 if strategy is JoinStrategy.PARTIAL_TIMEOUT else None
        final, result = compare(strategy, timeout)
        came = dict.fromkeys(range(len(MIRRORS)), "-")  # cancelled, unless it ended
        came |= {outcome.index: "ok" for outcome in result.successes}
        came |= {outcome.index: "error" for outcome in result.errors}
        when = "at the deadline" if timeout else f"after {result.total - len(result.cancelled)}"
        name = repr(strategy).removeprefix("JoinStrategy.")
        print(f"{name:<20}", *(f"{word:<7}" for word in came.values()), f"{final.name} {when}")


if __name__ == "__main__":
    main()
