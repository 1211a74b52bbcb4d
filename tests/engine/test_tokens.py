"""The engine's own tokens."""

from __future__ import annotations

import threading
import time

from cano_sync import CancellationToken
from cano_sync._engine.tokens import EngineToken

SOON = 20.0
LONG = 3600.0


def test_an_engines_token_hears_of_its_parent_at_once() -> None:
    parent, calls = CancellationToken(), []
    token = EngineToken(parent, deadline=time.monotonic() + LONG)
    token.on_cancel(lambda: calls.append(token.reason))
    parent.cancel("all of you")
    assert token.cancelled
    assert calls == ["all of you"]


def test_an_engines_token_below_a_cancelled_one_is_cancelled_from_the_start() -> None:
    parent = CancellationToken()
    parent.cancel("too late")
    token = EngineToken(parent)
    assert token.cancelled
    assert token.reason == "too late"
    assert len(parent._children) == 0


def test_an_engines_token_without_a_parent_is_an_ordinary_one() -> None:
    token = EngineToken()
    assert not token.cancelled
    token.cancel("enough")
    assert token.reason == "enough"


def test_a_released_token_leaves_nothing_at_its_parent_and_hears_nothing_more() -> None:
    parent, calls = CancellationToken(), []
    token = EngineToken(parent)
    token.on_cancel(lambda: calls.append(1))
    assert len(parent._children) == 1
    token.release()
    assert len(parent._children) == 0
    parent.cancel()
    assert not token.cancelled
    assert calls == []


def test_an_engines_token_stays_linked_when_its_last_callback_goes() -> None:
    parent = CancellationToken()
    token = EngineToken(parent)
    with token.on_cancel(lambda: None):
        pass
    parent.cancel("all of you")
    assert token.cancelled
    assert token.reason == "all of you"


def test_no_timer_runs_for_an_engines_token() -> None:
    """The engine waits for its deadline itself."""
    before = threading.active_count()
    token = EngineToken(deadline=time.monotonic() + LONG)
    with token.on_cancel(lambda: None):
        assert threading.active_count() == before
    assert token.deadline is not None


def test_cancelled_by_the_engine_its_callbacks_are_called_elsewhere() -> None:
    token = EngineToken()
    called = threading.Event()
    go_on = threading.Event()
    token.on_cancel(lambda: (go_on.wait(SOON), called.set()))
    token.cancel_apart("over time")  # it would never return if it called them here
    assert token.cancelled
    assert token.reason == "over time"
    assert not called.is_set()
    go_on.set()
    assert called.wait(SOON)


def test_the_bell_is_rung_before_any_callback_is_called() -> None:
    parent = CancellationToken()
    calls: list[str] = []
    parent.on_cancel(lambda: calls.append("callback"))
    token = EngineToken(parent, bell=lambda: calls.append("bell"))
    token.on_cancel(lambda: calls.append("callback"))
    parent.cancel()
    assert calls == ["bell", "callback", "callback"]


def test_the_flags_below_are_set_before_any_callback_is_called() -> None:
    parent = CancellationToken()
    seen: list[bool] = []
    parent.on_cancel(lambda: seen.append(token.is_told))
    token = EngineToken(parent)
    parent.cancel()
    assert seen == [True]


def test_a_deadline_is_no_news_and_rings_no_bell() -> None:
    """Whoever waits for it knows what it means: a timeout, or a cancellation."""
    rung: list[int] = []
    parent = CancellationToken(timeout=0)
    token = EngineToken(parent, bell=lambda: rung.append(1))
    assert parent.cancelled
    assert token.cancelled
    assert not token.is_told
    assert rung == []


def test_with_two_parents_either_cancels_it_and_the_earlier_deadline_counts() -> None:
    for which in (0, 1):
        parents = CancellationToken(timeout=LONG), CancellationToken(timeout=2 * LONG)
        token = EngineToken(*parents)
        assert token.deadline == parents[0].deadline
        parents[which].cancel("enough")
        assert token.is_told
        assert token.reason == "enough"


def test_a_token_below_the_engines_hears_of_its_parents_end() -> None:
    root = CancellationToken()
    token = EngineToken(root)
    calls: list[str | None] = []
    child = token.child()
    child.on_cancel(lambda: calls.append(child.reason))
    root.cancel("enough")
    assert calls == ["enough"]
