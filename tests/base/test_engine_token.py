"""The engine's own tokens: linked for their life, with a wakeup, and with up to two masters."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from cano_sync import CancellationToken
from cano_sync._base import timer
from cano_sync._base.engine_token import EngineToken
from cano_sync._base.waiting import Wakeup
from tests.kit import SOON, Eventually

LONG = 3600.0


def listeners(token: CancellationToken) -> int:
    """How many callbacks and children it holds. There is no public way to ask."""
    return len(token._callbacks) + len(token._children)


def timers() -> int:
    """How many deadlines of tokens the timer has still to keep."""
    return timer._timer.pending()


def wakeup(callback: Callable[[], object]) -> Wakeup:
    """A wakeup that calls this when it is done."""
    made = Wakeup()
    made.add_callback(callback)
    return made


def far() -> float:
    return time.monotonic() + LONG


def test_it_hears_of_its_parent_at_once() -> None:
    parent, calls = CancellationToken(), []
    token = EngineToken(parent)
    token.on_cancel(lambda: calls.append(token.reason))
    parent.cancel("all of you")
    assert token.cancel_called
    assert token.cancelled
    assert calls == ["all of you"]


def test_without_parents_it_is_an_ordinary_token() -> None:
    token = EngineToken()
    assert not token.cancelled
    assert (token.deadline, token.reason) == (None, None)
    token.cancel("enough")
    assert (token.cancel_called, token.reason) == (True, "enough")


def test_below_a_cancelled_parent_it_is_cancelled_and_woken_from_the_start() -> None:
    parent, woken = CancellationToken(), []
    parent.cancel("too late")
    token = EngineToken(parent, wakeup=wakeup(lambda: woken.append(1)))
    assert token.cancel_called
    assert token.reason == "too late"
    assert woken == [1]
    assert listeners(parent) == 0


def test_a_deadline_cancels_but_is_no_call_of_cancel() -> None:
    """The coordinator waits for it, and tells it apart from a cancellation."""
    token = EngineToken(deadline=time.monotonic() - 1)
    assert token.cancelled
    assert not token.cancel_called
    woken: list[int] = []
    below = EngineToken(CancellationToken(0), wakeup=wakeup(lambda: woken.append(1)))
    assert below.cancelled
    assert not below.cancel_called
    assert woken == []


@pytest.mark.parametrize("own", [None, 1, 3])
def test_the_earliest_of_all_deadlines_counts(own: int | None) -> None:
    first, second = CancellationToken(2 * LONG), CancellationToken(LONG)
    now = time.monotonic()
    deadline = None if own is None else now + own * LONG / 2
    token = EngineToken(first, second, deadline=deadline)
    assert token.deadline == (deadline if own == 1 else second.deadline)


def test_the_wakeup_comes_before_any_callback_is_called() -> None:
    calls: list[str] = []
    parent = CancellationToken()
    token = EngineToken(parent, wakeup=wakeup(lambda: calls.append("wakeup")))
    parent.on_cancel(lambda: calls.append("parent's callback"))
    token.on_cancel(lambda: calls.append("callback"))
    deep = token.child()
    deep.on_cancel(lambda: calls.append("child's callback"))
    inner = EngineToken(deep, wakeup=wakeup(lambda: calls.append("inner wakeup")))
    parent.cancel()
    assert inner.cancel_called
    assert sorted(calls[:2]) == ["inner wakeup", "wakeup"]
    assert sorted(calls[2:]) == ["callback", "child's callback", "parent's callback"]


def test_the_flags_below_are_set_before_any_callback_is_called() -> None:
    parent = CancellationToken()
    seen: list[bool] = []
    parent.on_cancel(lambda: seen.append(token.cancel_called))
    token = EngineToken(parent)
    parent.cancel()
    assert seen == [True]


def test_a_token_below_it_hears_of_the_end_of_one_above() -> None:
    top, calls = CancellationToken(), []
    child = EngineToken(top).child()
    child.on_cancel(lambda: calls.append(child.reason))
    top.cancel("enough")
    assert calls == ["enough"]


def test_the_wakeup_comes_once() -> None:
    parent, woken = CancellationToken(), []
    token = EngineToken(parent, wakeup=wakeup(lambda: woken.append(1)))
    token.cancel()
    parent.cancel()
    assert woken == [1]


@pytest.mark.parametrize("first", [0, 1])
def test_either_of_two_parents_cancels_it(first: int) -> None:
    parents = [CancellationToken(), CancellationToken()]
    token = EngineToken(*parents)
    parents[first].cancel(f"master {first}")
    assert token.cancel_called
    assert token.reason == f"master {first}"
    assert [listeners(parent) for parent in parents] == [0, 0]
    parents[1 - first].cancel("too late")
    assert token.reason == f"master {first}"


def test_it_may_be_below_the_same_token_twice_over() -> None:
    top, calls = CancellationToken(), []
    token = EngineToken(top.child(), top)
    token.on_cancel(functools.partial(calls.append, 1))
    top.cancel()
    assert calls == [1]
    assert listeners(top) == 0


def test_released_it_leaves_nothing_behind_and_hears_nothing_more() -> None:
    top = CancellationToken()
    parent = top.child()
    calls: list[Any] = []
    token = EngineToken(parent, wakeup=wakeup(functools.partial(calls.append, "wakeup")))
    token.on_cancel(functools.partial(calls.append, "callback"))
    assert (listeners(top), listeners(parent)) == (1, 1)
    token.release()
    assert (listeners(top), listeners(parent)) == (0, 0)
    top.cancel()
    assert not token.cancelled
    assert calls == []


def test_released_it_is_not_linked_again_by_a_token_below_it() -> None:
    """A late branch may register a callback after the split has ended."""
    parent = CancellationToken()
    token = EngineToken(parent)
    child = token.child()
    token.release()
    child.on_cancel(lambda: None)
    assert listeners(parent) == 0


def test_releasing_twice_or_after_the_cancellation_changes_nothing() -> None:
    parent = CancellationToken()
    token = EngineToken(parent)
    token.cancel("enough")
    token.release()
    token.release()
    assert token.reason == "enough"
    assert listeners(parent) == 0


def test_released_it_wakes_nobody() -> None:
    woken: list[int] = []
    token = EngineToken(wakeup=wakeup(lambda: woken.append(1)))
    token.release()
    token.cancel()
    assert woken == []


def test_it_stays_linked_when_its_last_callback_goes() -> None:
    parent = CancellationToken()
    token = EngineToken(parent)
    with token.on_cancel(lambda: None):
        pass
    parent.cancel("all of you")
    assert token.cancel_called
    assert token.reason == "all of you"


def test_one_that_is_released_leaves_the_others_at_their_parent() -> None:
    parent = CancellationToken()
    first, second = EngineToken(parent), EngineToken(parent)
    first.release()
    parent.cancel()
    assert not first.cancelled
    assert second.cancel_called


def test_no_timer_runs_for_it() -> None:
    """Its coordinator waits for its deadline."""
    token = EngineToken(deadline=far())
    with token.on_cancel(lambda: None):
        assert timers() == 0


def test_releasing_it_ends_the_timer_of_a_parent_that_ran_on_for_it_alone(
    eventually: Eventually,
) -> None:
    parent = CancellationToken(LONG)
    registration = parent.on_cancel(lambda: None)
    token = EngineToken(parent)
    registration.remove()
    assert timers() == 1
    token.release()
    eventually(lambda: timers() == 0)


def test_a_timer_for_a_token_below_it_ends_with_that_token() -> None:
    calls: list[int] = []
    token = EngineToken(deadline=far())
    child = token.child()
    child.on_cancel(lambda: calls.append(1))
    token.cancel_nowait("over time")
    assert child.cancelled
    assert child.reason == "over time"


def test_cancelled_apart_it_wakes_here_and_does_not_wait_for_the_callbacks(
    gate: threading.Event,
) -> None:
    woken: list[int] = []
    called = threading.Event()
    token = EngineToken(wakeup=wakeup(lambda: woken.append(threading.get_ident())))
    token.on_cancel(lambda: (gate.wait(SOON), called.set()))
    token.cancel_nowait("over time")  # it would not return if it called them here
    assert woken == [threading.get_ident()]
    assert (token.cancel_called, token.reason) == (True, "over time")
    assert not called.is_set()
    gate.set()
    assert called.wait(SOON)


def test_ten_thousand_of_them_leave_nothing_at_a_long_lived_parent() -> None:
    parent = CancellationToken(LONG)
    for _ in range(10_000):
        token = EngineToken(parent, wakeup=wakeup(lambda: None))
        token.on_cancel(lambda: None)
        token.release()
    assert listeners(parent) == 0
