"""The real engine agrees with the model of each strategy, in any order of landing."""

from __future__ import annotations

import functools
import itertools
import math
import queue
import threading
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cano_sync import (
    CancellationToken,
    JoinConfig,
    JoinStrategy,
    MemoryStore,
    Outcome,
    SplitResult,
    Store,
    Verdict,
    Workflow,
)
from tests.kit import SOON, Boom, Watched


class Row:
    """One row of the design's table, in words of its own.

    Attributes:
        strategy: what is given to the join.
        settings: what else is.
        need: how many of a total must succeed.
        hasty: whether the others are cancelled once the end is certain.
    """

    def __init__(
        self,
        strategy: JoinStrategy,
        need: Callable[[int], int],
        *,
        hasty: bool = True,
        **settings: Any,
    ) -> None:
        self.strategy = strategy
        self.need = need
        self.hasty = hasty
        self.settings = settings

    def __repr__(self) -> str:
        return f"{self.strategy!r} {self.settings}"

    def proceeds(self, ends: Sequence[bool]) -> bool | None:
        """Whether it proceeds, where all have ended so."""
        return sum(ends) >= self.need(len(ends))

    def decided_after(self, ends: Sequence[bool]) -> int:
        """After how many landings it is decided."""
        total = len(ends)
        if not self.hasty:
            return total
        return next(
            landed
            for landed in range(total + 1)
            if len(
                {
                    self.proceeds([*ends[:landed], *rest])
                    for rest in itertools.product([True, False], repeat=total - landed)
                }
            )
            == 1
        )


def share(p: Fraction) -> Row:
    return Row(JoinStrategy.percentage(float(p)), lambda total: max(1, math.ceil(p * total)))


rows = st.one_of(
    st.just(Row(JoinStrategy.ALL, lambda total: total, hasty=False)),
    st.just(Row(JoinStrategy.ALL, lambda total: total, fail_fast=True)),
    st.just(Row(JoinStrategy.ANY, lambda total: 1)),
    st.integers(1, 4).map(lambda n: Row(JoinStrategy.quorum(n), lambda total: n)),
    st.integers(1, 4).map(lambda n: Row(JoinStrategy.partial_results(n), lambda total: n)),
    st.fractions(Fraction(1, 100), 1, max_denominator=100).map(share),
    st.just(Row(JoinStrategy.PARTIAL_TIMEOUT, lambda total: 0, hasty=False, timeout=60)),
)
orders = st.integers(0, 5).flatmap(lambda total: st.permutations(range(total)))


class Stage:
    """A split whose branches land one by one, each when the test opens its door."""

    def __init__(self, row: Row, ends: Sequence[bool]) -> None:
        """`ends` says how each branch ends, by its index."""
        self.ends = ends
        self.doors = [threading.Event() for _ in ends]
        self.answers: queue.Queue[Verdict] = queue.Queue()
        self.store = MemoryStore()
        join = JoinConfig(
            Watched(row.strategy, self.answers),
            "JOINED",
            store_partial_results=True,
            error_state="FAILED",
            **row.settings,
        )
        branches = [functools.partial(self.branch, index) for index in range(len(ends))]
        self.run = (
            Workflow[str]()
            # Listed at run time: a quorum that cannot be reached is no mistake then.
            .register_split("SPLIT", lambda: branches, join)
            .add_exit_states("JOINED", "FAILED")
            .submit("SPLIT", store=self.store)
        )
        self.verdict = self.answers.get(timeout=SOON)

    def branch(self, index: int, store: Store, cancel: CancellationToken) -> int:
        with cancel.on_cancel(self.doors[index].set):
            assert self.doors[index].wait(SOON)
        cancel.check()
        if not self.ends[index]:
            raise Boom(str(index))
        return index

    def land(self, index: int) -> None:
        self.doors[index].set()
        self.verdict = self.answers.get(timeout=SOON)


def indices(outcomes: Sequence[Outcome]) -> list[int]:
    return [outcome.index for outcome in outcomes]


@settings(max_examples=60)
@given(row=rows, order=orders, data=st.data())
def test_what_had_landed_at_the_deciding_moment_is_what_came_of_the_split(
    row: Row, order: list[int], data: st.DataObject
) -> None:
    """Successes and errors are what had landed till then; whatever had not is cancelled."""
    total = len(order)
    ends = data.draw(st.lists(st.booleans(), min_size=total, max_size=total))
    in_order = [ends[index] for index in order]
    deciding = row.decided_after(in_order)

    stage = Stage(row, ends)
    for number, index in enumerate(order[:deciding]):
        assert stage.verdict is Verdict.WAIT, f"decided after {number} landings"
        stage.land(index)
    assert stage.verdict is not Verdict.WAIT

    proceeds = row.proceeds([*in_order[:deciding], *[False] * (total - deciding)])
    assert stage.run.result(SOON) == ("JOINED" if proceeds else "FAILED")
    result = stage.store.get("split_result", SplitResult)
    landed = sorted(order[:deciding])
    assert indices(result.successes) == [index for index in landed if ends[index]]
    assert indices(result.errors) == [index for index in landed if not ends[index]]
    assert indices(result.cancelled) == sorted(order[deciding:])
    assert result.values == [index for index in landed if ends[index]]
