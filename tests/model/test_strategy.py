"""The strategies: row by row, and against a model of the table in the design."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cano_sync import ConfigurationError, JoinStrategy, Tally, Verdict

WAIT, PROCEED, FAIL = Verdict.WAIT, Verdict.PROCEED, Verdict.FAIL
ALL, ANY = JoinStrategy.ALL, JoinStrategy.ANY
PARTIAL_TIMEOUT = JoinStrategy.PARTIAL_TIMEOUT
LAST = ALL.failing_fast()


# Row by row: (strategy, total, successes, errors) and the verdict.

TABLE: list[tuple[JoinStrategy, int, int, int, Verdict]] = [
    (ALL, 3, 0, 0, WAIT),
    (ALL, 3, 2, 0, WAIT),
    (ALL, 3, 3, 0, PROCEED),
    (ALL, 3, 0, 1, WAIT),
    (ALL, 3, 1, 1, WAIT),
    (ALL, 3, 2, 1, FAIL),
    (ALL, 3, 0, 3, FAIL),
    (ALL, 0, 0, 0, PROCEED),
    (LAST, 3, 2, 0, WAIT),
    (LAST, 3, 3, 0, PROCEED),
    (LAST, 3, 0, 1, FAIL),
    (LAST, 3, 1, 1, FAIL),
    (LAST, 0, 0, 0, PROCEED),
    (ANY, 3, 0, 0, WAIT),
    (ANY, 3, 1, 0, PROCEED),
    (ANY, 3, 1, 2, PROCEED),
    (ANY, 3, 0, 2, WAIT),
    (ANY, 3, 0, 3, FAIL),
    (ANY, 0, 0, 0, FAIL),
    (JoinStrategy.quorum(2), 4, 1, 0, WAIT),
    (JoinStrategy.quorum(2), 4, 2, 0, PROCEED),
    (JoinStrategy.quorum(2), 4, 2, 2, PROCEED),
    (JoinStrategy.quorum(2), 4, 0, 2, WAIT),
    (JoinStrategy.quorum(2), 4, 0, 3, FAIL),
    (JoinStrategy.quorum(2), 4, 1, 3, FAIL),
    (JoinStrategy.quorum(2), 1, 0, 0, FAIL),
    (JoinStrategy.quorum(1), 0, 0, 0, FAIL),
    (JoinStrategy.partial_results(2), 4, 1, 0, WAIT),
    (JoinStrategy.partial_results(2), 4, 2, 1, PROCEED),
    (JoinStrategy.partial_results(2), 4, 0, 3, FAIL),
    (JoinStrategy.partial_results(1), 0, 0, 0, FAIL),
    (JoinStrategy.percentage(0.5), 4, 1, 0, WAIT),
    (JoinStrategy.percentage(0.5), 4, 2, 0, PROCEED),
    (JoinStrategy.percentage(0.5), 4, 0, 2, WAIT),
    (JoinStrategy.percentage(0.5), 4, 0, 3, FAIL),
    (JoinStrategy.percentage(0.5), 3, 1, 0, WAIT),
    (JoinStrategy.percentage(0.5), 3, 2, 0, PROCEED),
    (JoinStrategy.percentage(0.5), 3, 0, 2, FAIL),
    (JoinStrategy.percentage(1), 3, 2, 0, WAIT),
    (JoinStrategy.percentage(1), 3, 2, 1, FAIL),
    (JoinStrategy.percentage(1e-9), 3, 0, 0, WAIT),
    (JoinStrategy.percentage(1e-9), 3, 1, 0, PROCEED),
    (JoinStrategy.percentage(0.5), 0, 0, 0, FAIL),
    (PARTIAL_TIMEOUT, 3, 0, 0, WAIT),
    (PARTIAL_TIMEOUT, 3, 1, 1, WAIT),
    (PARTIAL_TIMEOUT, 3, 2, 1, PROCEED),
    (PARTIAL_TIMEOUT, 3, 0, 3, PROCEED),
    (PARTIAL_TIMEOUT, 0, 0, 0, PROCEED),
]


@pytest.mark.parametrize(("strategy", "total", "successes", "errors", "verdict"), TABLE)
def test_the_table(
    strategy: JoinStrategy, total: int, successes: int, errors: int, verdict: Verdict
) -> None:
    assert strategy.decide(Tally(total, successes, errors)) is verdict


@pytest.mark.parametrize(
    ("p", "total", "need"),
    [
        (0.07, 100, 7),  # as floats have it, 7.000000000000001
        (0.1, 10, 1),
        (0.3, 10, 3),
        (0.29, 100, 29),
        (0.56, 100, 56),
        (0.55, 100, 55),
        (1 / 3, 3, 1),
        (2 / 3, 3, 2),
        (0.34, 3, 2),
        (0.999, 1000, 999),
        (0.9991, 1000, 1000),
        (1e-300, 1000, 1),
        (1, 7, 7),
        (1.0, 7, 7),
    ],
)
def test_a_percentage_is_rounded_up_from_the_decimal_that_was_written(
    p: float, total: int, need: int
) -> None:
    strategy = JoinStrategy.percentage(p)
    assert strategy.decide(Tally(total, need - 1, 0)) is WAIT
    assert strategy.decide(Tally(total, need, 0)) is PROCEED


# The deadline.


@pytest.mark.parametrize(
    "strategy",
    [
        ALL,
        LAST,
        ANY,
        JoinStrategy.quorum(2),
        JoinStrategy.partial_results(2),
        JoinStrategy.percentage(0.5),
    ],
    ids=repr,
)
def test_at_the_deadline_every_strategy_but_one_fails(strategy: JoinStrategy) -> None:
    for successes, errors in itertools.product(range(3), range(3)):
        assert strategy.at_deadline(Tally(5, successes, errors)) is FAIL


@given(total=st.integers(1, 50), data=st.data())
def test_at_the_deadline_partial_timeout_proceeds_when_anything_has_ended(
    total: int, data: st.DataObject
) -> None:
    successes = data.draw(st.integers(0, total))
    errors = data.draw(st.integers(0, total - successes))
    verdict = PARTIAL_TIMEOUT.at_deadline(Tally(total, successes, errors))
    assert verdict is (PROCEED if successes or errors else FAIL)


# The model. How a split ends is a matter of all its branches, and it is certain once all ways in
# which the others could end lead to the same. That is found out by trying all of them.

Rule = Callable[[Sequence[bool]], bool]
"""Whether a split whose branches have all ended so (True: well) goes on."""


class Model:
    """One row of the design's table.

    Attributes:
        strategy: the strategy that it describes.
        rule: "proceeds when".
        hasty: whether the others are cancelled once it is certain, instead of waited for.
    """

    def __init__(self, strategy: JoinStrategy, rule: Rule, *, hasty: bool) -> None:
        self.strategy = strategy
        self.rule = rule
        self.hasty = hasty

    def __repr__(self) -> str:
        return f"{self.strategy!r}{' in haste' if self.hasty else ''}"

    def verdict(self, ended: Sequence[bool], total: int) -> Verdict:
        """What is certain when so many of them have ended, and how."""
        pending = total - len(ended)
        if pending and not self.hasty:
            return WAIT
        ways = itertools.product([True, False], repeat=pending)
        answers = {self.rule([*ended, *rest]) for rest in ways}
        if len(answers) > 1:
            return WAIT
        return PROCEED if answers.pop() else FAIL


def at_least(n: int) -> Rule:
    return lambda ends: list(ends).count(True) >= n


def share(p: Fraction) -> Rule:
    """ceil(p * total) have succeeded, of the share that is meant: floats are only near to it."""
    return lambda ends: list(ends).count(True) >= math.ceil(p * len(ends)) and any(ends)


shares = st.fractions(Fraction(1, 1000), 1, max_denominator=1000)
models = st.one_of(
    st.just(Model(ALL, all, hasty=False)),
    st.just(Model(LAST, all, hasty=True)),
    st.just(Model(ANY, any, hasty=True)),
    st.integers(1, 9).map(lambda n: Model(JoinStrategy.quorum(n), at_least(n), hasty=True)),
    st.integers(1, 9).map(
        lambda n: Model(JoinStrategy.partial_results(n), at_least(n), hasty=True)
    ),
    shares.map(lambda p: Model(JoinStrategy.percentage(float(p)), share(p), hasty=True)),
    st.just(Model(PARTIAL_TIMEOUT, lambda ends: True, hasty=False)),
)
landings = st.lists(st.booleans(), max_size=7)


def tally(ended: Sequence[bool], total: int) -> Tally:
    well = list(ended).count(True)
    return Tally(total, well, len(ended) - well)


@given(model=models, ends=landings)
def test_the_verdict_comes_at_the_first_moment_that_it_is_certain(
    model: Model, ends: list[bool]
) -> None:
    """After each landing it is exactly what the model says: no earlier, no later, no other."""
    total = len(ends)
    for landed in range(total + 1):
        ended = ends[:landed]
        assert model.strategy.decide(tally(ended, total)) is model.verdict(ended, total), ended


@given(model=models, ends=landings)
def test_a_verdict_never_changes(model: Model, ends: list[bool]) -> None:
    total, before = len(ends), WAIT
    for landed in range(total + 1):
        verdict = model.strategy.decide(tally(ends[:landed], total))
        assert before in (WAIT, verdict)
        before = verdict


@given(model=models, ends=landings)
def test_when_all_have_ended_there_is_a_verdict(model: Model, ends: list[bool]) -> None:
    assert model.strategy.decide(tally(ends, len(ends))) is not WAIT


@given(model=models, ends=landings, data=st.data())
def test_the_order_of_the_landings_is_nothing_to_the_verdict(
    model: Model, ends: list[bool], data: st.DataObject
) -> None:
    """The verdict at the end is the same, in whichever order they came."""

    def end_of(order: list[bool]) -> Verdict:
        verdicts = (
            model.strategy.decide(tally(order[:n], len(order))) for n in range(len(order) + 1)
        )
        return next(verdict for verdict in verdicts if verdict is not WAIT)

    assert end_of(data.draw(st.permutations(ends))) is end_of(ends)


# Impossible strategies.


@pytest.mark.parametrize("n", [0, -1, 1.0, True, "2", None, math.nan])
@pytest.mark.parametrize("name", ["quorum", "partial_results"])
def test_a_number_of_branches_is_whole_and_above_zero(name: str, n: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        getattr(JoinStrategy, name)(n)
    assert f"JoinStrategy.{name}(n)" in str(caught.value)
    assert repr(n) in str(caught.value)


@pytest.mark.parametrize("p", [0, 0.0, -0.5, 1.2, 75, math.nan, math.inf, True, "0.5", None])
def test_a_share_is_above_zero_and_up_to_one(p: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"0\.75 for 75 percent") as caught:
        JoinStrategy.percentage(p)
    assert repr(p) in str(caught.value)


def test_a_quorum_knows_how_many_tasks_it_takes() -> None:
    strategy = JoinStrategy.quorum(3)
    assert strategy.problem_with(total=3, timeout=None) is None
    assert strategy.problem_with(total=None, timeout=None) is None
    problem = strategy.problem_with(total=2, timeout=None)
    assert problem is not None
    assert "JoinStrategy.quorum(3) can never be reached by 2 tasks" in problem
    assert "by 1 task;" in str(strategy.problem_with(total=1, timeout=None))


def test_partial_timeout_needs_a_timeout() -> None:
    assert PARTIAL_TIMEOUT.problem_with(total=3, timeout=0.0) is None
    assert "needs a time limit" in str(PARTIAL_TIMEOUT.problem_with(total=3, timeout=None))


@pytest.mark.parametrize("strategy", [ALL, ANY, JoinStrategy.percentage(0.5)], ids=repr)
def test_the_others_have_no_demands(strategy: JoinStrategy) -> None:
    assert strategy.problem_with(total=1, timeout=None) is None


@pytest.mark.parametrize(
    "strategy",
    [ANY, PARTIAL_TIMEOUT, JoinStrategy.quorum(2), JoinStrategy.percentage(0.5)],
    ids=repr,
)
def test_only_all_can_fail_faster(strategy: JoinStrategy) -> None:
    with pytest.raises(ConfigurationError, match="leave fail_fast out") as caught:
        strategy.failing_fast()
    assert repr(strategy) in str(caught.value)


# What they look like.


@pytest.mark.parametrize(
    ("strategy", "text"),
    [
        (ALL, "JoinStrategy.ALL"),
        (ANY, "JoinStrategy.ANY"),
        (PARTIAL_TIMEOUT, "JoinStrategy.PARTIAL_TIMEOUT"),
        (JoinStrategy.quorum(2), "JoinStrategy.quorum(2)"),
        (JoinStrategy.partial_results(2), "JoinStrategy.partial_results(2)"),
        (JoinStrategy.percentage(0.5), "JoinStrategy.percentage(0.5)"),
    ],
)
def test_a_strategy_is_shown_as_it_is_written(strategy: JoinStrategy, text: str) -> None:
    assert repr(strategy) == text


def test_strategies_that_ask_for_the_same_are_equal() -> None:
    assert JoinStrategy.quorum(2) == JoinStrategy.quorum(2)
    assert JoinStrategy.percentage(0.5) == JoinStrategy.percentage(0.5)
    assert len({JoinStrategy.quorum(2), JoinStrategy.quorum(2)}) == 1
    assert len({JoinStrategy.percentage(0.5), JoinStrategy.percentage(0.5)}) == 1


def test_strategies_that_do_not_are_not() -> None:
    different = [
        ALL,
        ANY,
        PARTIAL_TIMEOUT,
        JoinStrategy.quorum(1),
        JoinStrategy.quorum(2),
        JoinStrategy.partial_results(2),
        JoinStrategy.percentage(0.5),
        JoinStrategy.percentage(1),
    ]
    for one, other in itertools.combinations(different, 2):
        assert one != other


def test_equal_percentages_have_equal_hashes() -> None:
    one, other = JoinStrategy.percentage(1), JoinStrategy.percentage(1.0)
    assert one == other
    assert hash(one) == hash(other)


def test_a_copy_of_a_strategy_decides_like_it() -> None:
    for strategy in (ALL, ANY, PARTIAL_TIMEOUT, JoinStrategy.percentage(0.07)):
        twin = copy.deepcopy(strategy)
        assert twin.decide(Tally(100, 7, 0)) is strategy.decide(Tally(100, 7, 0))


# Tallies, and strategies of one's own.


def test_a_tally_counts_what_has_ended_and_what_has_not() -> None:
    count = Tally(total=5, successes=2, errors=1)
    assert (count.ended, count.pending) == (3, 2)
    assert count == (5, 2, 1)


class Majority(JoinStrategy):
    """A user's own."""

    def decide(self, tally: Tally) -> Verdict:
        if 2 * tally.successes > tally.total:
            return PROCEED
        return FAIL if 2 * tally.errors >= tally.total else WAIT


@given(ends=landings.filter(bool))
def test_the_model_holds_for_a_strategy_of_ones_own_too(ends: list[bool]) -> None:
    total = len(ends)
    model = Model(Majority(), lambda ends: 2 * list(ends).count(True) > len(ends), hasty=True)
    for landed in range(total + 1):
        ended = ends[:landed]
        assert model.strategy.decide(tally(ended, total)) is model.verdict(ended, total)


def test_a_strategy_of_ones_own_begins_with_the_usual_answers() -> None:
    strategy = Majority()
    assert strategy.at_deadline(Tally(5, 2, 0)) is FAIL
    assert strategy.problem_with(total=None, timeout=None) is None
    with pytest.raises(ConfigurationError, match="fail_fast"):
        strategy.failing_fast()


def test_a_strategy_of_ones_own_must_decide() -> None:
    class Undecided(JoinStrategy):
        pass

    kind: Any = Undecided
    with pytest.raises(TypeError, match="decide"):
        kind()


@pytest.mark.parametrize("protocol", range(4, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("strategy", [ALL, ANY, PARTIAL_TIMEOUT], ids=repr)
def test_a_copy_of_a_strategy_without_numbers_is_that_strategy(
    strategy: JoinStrategy, protocol: int
) -> None:
    assert pickle.loads(pickle.dumps(strategy, protocol)) is strategy
    assert copy.deepcopy(strategy) is strategy


@pytest.mark.parametrize(
    "strategy", [JoinStrategy.quorum(2), JoinStrategy.percentage(0.5)], ids=repr
)
def test_a_copy_of_a_strategy_with_a_number_is_equal(strategy: JoinStrategy) -> None:
    assert pickle.loads(pickle.dumps(strategy)) == strategy


@pytest.mark.parametrize("errors", [0, 1, 2, 3])
def test_settled_proceeds_when_all_have_ended_well_or_not(errors: int) -> None:
    settled = JoinStrategy.SETTLED
    for ended in range(3):
        assert settled.decide(Tally(3, ended, 0)) is Verdict.WAIT
        assert settled.decide(Tally(3, 0, ended)) is Verdict.WAIT
    assert settled.decide(Tally(3, 3 - errors, errors)) is Verdict.PROCEED
    assert settled.at_deadline(Tally(3, 1, 1)) is Verdict.FAIL


def test_settled_over_an_empty_list_proceeds_at_once_and_needs_no_time_limit() -> None:
    assert JoinStrategy.SETTLED.decide(Tally(0, 0, 0)) is Verdict.PROCEED
    assert JoinStrategy.SETTLED.problem_with(total=5, timeout=None) is None
    assert pickle.loads(pickle.dumps(JoinStrategy.SETTLED)) is JoinStrategy.SETTLED
