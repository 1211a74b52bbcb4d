"""Tokens: who cancels whom, when callbacks are called, and that nothing is left behind."""

from __future__ import annotations

import _thread
import functools
import itertools
import linecache
import logging
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import cano_sync
from cano_sync import (
    CancellationToken,
    Cancelled,
    ConfigurationError,
    Registration,
    Workflow,
    WorkflowCancelledError,
)
from cano_sync._base import cancellation, timer, waiting
from cano_sync._base.engine_token import EngineToken
from cano_sync._base.waiting import interruptible_wait
from cano_sync._base.world import world
from tests.kit import SOON, Eventually

PACKAGE = str(Path(cano_sync.__file__).parent)
LONG = 3600.0
TIME_LIMIT = "the token's time limit passed"


@pytest.fixture(autouse=True)
def no_timer_left_behind(eventually: Eventually) -> Iterator[None]:
    """Timers end with their tokens."""
    yield
    eventually(lambda: timers() == 0)


def timers() -> int:
    """How many deadlines of tokens the timer has still to keep."""
    return timer._timer.pending()


def listeners(token: CancellationToken) -> int:
    """How many callbacks and children it holds. There is no public way to ask."""
    return len(token._callbacks) + len(token._children)


# Cancelling.


def test_a_fresh_token_is_not_cancelled() -> None:
    token = CancellationToken()
    assert not token.cancelled
    assert (token.reason, token.deadline, token.remaining()) == (None, None, None)
    token.check()


def test_a_cancelled_token_says_so_and_why() -> None:
    token = CancellationToken()
    token.cancel("the user went away")
    assert token.cancelled
    assert token.reason == "the user went away"


def test_a_reason_need_not_be_given() -> None:
    token = CancellationToken()
    token.cancel()
    assert token.cancelled
    assert token.reason is None


def test_a_second_cancel_does_nothing() -> None:
    token, calls = CancellationToken(), []
    token.on_cancel(lambda: calls.append(1))
    token.cancel("first")
    token.cancel("second")
    assert token.reason == "first"
    assert calls == [1]


def test_another_thread_may_cancel() -> None:
    token = CancellationToken()
    canceller = threading.Thread(target=token.cancel, args=("from elsewhere",))
    canceller.start()
    canceller.join()
    assert token.reason == "from elsewhere"


def test_the_signal_carries_the_reason() -> None:
    token = CancellationToken()
    token.cancel("enough")
    with pytest.raises(Cancelled, match="enough") as caught:
        token.check()
    assert caught.value.reason == "enough"


def test_the_signal_without_a_reason_says_what_it_is() -> None:
    assert str(Cancelled()) == "cancelled"
    assert Cancelled().reason is None


def test_the_repr_says_how_it_stands() -> None:
    assert repr(CancellationToken()) == "<CancellationToken active>"
    assert "s left>" in repr(CancellationToken(LONG))
    token = CancellationToken()
    token.cancel("enough")
    assert repr(token) == "<CancellationToken cancelled, reason='enough'>"


# Deadlines.


@pytest.mark.parametrize("timeout", [LONG, int(LONG), timedelta(seconds=LONG)])
def test_a_time_limit_is_a_deadline_on_the_monotonic_clock(timeout: Any) -> None:
    before = time.monotonic()
    token = CancellationToken(timeout)
    after = time.monotonic()
    assert token.deadline is not None
    assert before + LONG <= token.deadline <= after + LONG
    left = token.remaining()
    assert left is not None
    assert 0 < left <= LONG
    assert not token.cancelled


def test_when_the_time_is_up_the_token_is_cancelled() -> None:
    token = CancellationToken(0)
    assert token.cancelled
    assert token.reason == TIME_LIMIT
    assert token.remaining() == 0
    with pytest.raises(Cancelled, match=TIME_LIMIT):
        token.check()


def test_what_is_left_never_falls_below_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    token = CancellationToken(5)
    now = time.monotonic()
    monkeypatch.setattr(world, "monotonic", lambda: now + 10)
    assert token.remaining() == 0


def test_the_default_is_what_is_left_without_a_limit_and_only_then() -> None:
    assert CancellationToken().remaining(default=5.0) == 5.0
    left = CancellationToken(LONG).remaining(default=5.0)
    assert left is not None
    assert left > 5


def test_a_token_cancelled_before_its_deadline_keeps_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token = CancellationToken(5)
    token.cancel("earlier")
    now = time.monotonic()
    monkeypatch.setattr(world, "monotonic", lambda: now + 10)
    assert token.reason == "earlier"


@pytest.mark.parametrize("timeout", [-1, float("nan"), "soon"])
def test_an_impossible_time_limit_is_refused(timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match="a token's timeout"):
        CancellationToken(timeout)


# Parents and children.


def test_a_parent_cancels_its_children_and_theirs() -> None:
    parent = CancellationToken()
    child = parent.child()
    grandchild = CancellationToken(parent=child)
    parent.cancel("all of you")
    assert child.cancelled
    assert grandchild.cancelled
    assert (child.reason, grandchild.reason) == ("all of you", "all of you")


def test_a_child_leaves_its_parent_and_its_siblings_alone() -> None:
    parent = CancellationToken()
    child, sibling = parent.child(), parent.child()
    child.cancel("only me")
    assert not parent.cancelled
    assert not sibling.cancelled


def test_a_child_cancelled_first_keeps_its_own_reason() -> None:
    parent = CancellationToken()
    child = parent.child()
    child.cancel("mine")
    parent.cancel("yours")
    assert child.reason == "mine"


@pytest.mark.parametrize("with_callback", [False, True])
def test_a_child_takes_over_the_parents_reason_or_want_of_one(with_callback: bool) -> None:
    for reason in ("why", None):
        parent = CancellationToken()
        child = parent.child(timeout=LONG)
        if with_callback:
            child.on_cancel(lambda: None)
        parent.cancel(reason)
        assert child.cancelled
        assert child.reason == reason


def test_a_child_of_a_cancelled_parent_is_cancelled() -> None:
    parent = CancellationToken()
    parent.cancel("too late")
    child = parent.child()
    assert child.cancelled
    assert child.reason == "too late"


def test_a_child_has_the_earlier_of_two_deadlines() -> None:
    parent = CancellationToken(LONG)
    assert parent.deadline is not None
    assert parent.child().deadline == parent.deadline
    assert parent.child(timeout=2 * LONG).deadline == parent.deadline
    earlier = parent.child(timeout=1).deadline
    assert earlier is not None
    assert earlier < parent.deadline
    assert CancellationToken().child().deadline is None


def test_a_childs_deadline_is_nothing_to_its_parent() -> None:
    parent = CancellationToken()
    child = parent.child(timeout=0)
    assert child.cancelled
    assert child.reason == TIME_LIMIT
    assert not parent.cancelled


def test_a_parents_deadline_is_its_childrens() -> None:
    child = CancellationToken(0).child()
    assert child.cancelled
    assert child.reason == TIME_LIMIT


# on_cancel().


def test_a_callback_is_called_in_the_thread_that_cancels_before_the_call_returns() -> None:
    token, threads = CancellationToken(), []
    token.on_cancel(lambda: threads.append(threading.get_ident()))
    canceller = threading.Thread(target=token.cancel)
    canceller.start()
    canceller.join()
    assert threads == [canceller.ident]


def test_callbacks_are_called_in_the_order_of_their_registration() -> None:
    token, calls = CancellationToken(), []
    for number in range(5):
        token.on_cancel(functools.partial(calls.append, number))
    token.cancel()
    assert calls == [0, 1, 2, 3, 4]


def test_the_same_callback_registered_twice_is_called_twice() -> None:
    token, calls = CancellationToken(), []
    callback = functools.partial(calls.append, 1)
    first = token.on_cancel(callback)
    token.on_cancel(callback)
    first.remove()
    token.on_cancel(callback)
    token.cancel()
    assert calls == [1, 1]


def test_in_a_callback_the_token_is_cancelled_and_has_its_reason() -> None:
    token, seen = CancellationToken(), []
    token.on_cancel(lambda: seen.append((token.cancelled, token.reason)))
    token.cancel("enough")
    assert seen == [(True, "enough")]


def test_a_callback_registered_after_the_cancellation_is_called_at_once() -> None:
    token, threads = CancellationToken(), []
    token.cancel()
    token.on_cancel(lambda: threads.append(threading.get_ident()))
    assert threads == [threading.get_ident()]
    assert listeners(token) == 0


def test_a_callback_registered_after_the_parents_cancellation_is_called_at_once() -> None:
    parent, calls = CancellationToken(), []
    child = parent.child()
    parent.cancel()
    child.on_cancel(lambda: calls.append(1))
    assert calls == [1]
    assert listeners(parent) == 0


def test_a_callback_registered_after_the_deadline_is_called(eventually: Eventually) -> None:
    token, calls = CancellationToken(0), []
    token.on_cancel(lambda: calls.append(1))
    eventually(lambda: calls == [1])


def test_a_callback_registered_by_a_callback_is_called_too() -> None:
    token, calls = CancellationToken(), []

    def first() -> None:
        calls.append("first")
        token.on_cancel(lambda: calls.append("second"))

    token.on_cancel(first)
    token.cancel()
    assert calls == ["first", "second"]


def test_a_callback_registered_while_another_thread_cancels_is_called_once() -> None:
    """It comes when the callbacks were already taken, and are being called."""
    token, calls = CancellationToken(), []
    inside, go_on = threading.Event(), threading.Event()
    token.on_cancel(lambda: (inside.set(), go_on.wait(SOON)))
    canceller = threading.Thread(target=token.cancel)
    canceller.start()
    assert inside.wait(SOON)
    token.on_cancel(lambda: calls.append(1))
    assert calls == [1]
    go_on.set()
    canceller.join()
    assert calls == [1]


def test_a_removed_callback_is_not_called() -> None:
    token, calls = CancellationToken(), []
    registration = token.on_cancel(lambda: calls.append("removed"))
    token.on_cancel(lambda: calls.append("kept"))
    registration.remove()
    registration.remove()  # a second time changes nothing
    token.cancel()
    assert calls == ["kept"]


def test_a_removed_callback_is_free_though_its_registration_is_kept() -> None:
    class Close:
        def __call__(self) -> None: ...

    callback = Close()
    kept = weakref.ref(callback)
    registration = CancellationToken().on_cancel(callback)
    del callback
    registration.remove()
    assert kept() is None


def test_removing_after_the_cancellation_changes_nothing() -> None:
    token, calls = CancellationToken(), []
    registration = token.on_cancel(lambda: calls.append(1))
    token.cancel()
    registration.remove()
    assert calls == [1]


def test_a_callback_may_remove_itself() -> None:
    token, calls, registrations = CancellationToken(), [], []

    def callback() -> None:
        calls.append(1)
        registrations[0].remove()

    registrations.append(token.on_cancel(callback))
    token.cancel()
    assert calls == [1]


def test_a_registration_ends_with_its_block() -> None:
    token, calls = CancellationToken(), []
    with token.on_cancel(lambda: calls.append(1)) as registration:
        assert isinstance(registration, Registration)
        assert listeners(token) == 1
    assert listeners(token) == 0
    token.cancel()
    assert calls == []


def test_a_block_that_raises_ends_its_registration_and_passes_the_error_on() -> None:
    token = CancellationToken()
    with pytest.raises(ZeroDivisionError), token.on_cancel(lambda: None):
        raise ZeroDivisionError
    assert listeners(token) == 0


def test_a_callback_that_raises_is_logged_and_the_next_is_called(
    caplog: pytest.LogCaptureFixture,
) -> None:
    token, calls = CancellationToken(), []
    token.on_cancel(lambda: 1 / 0)
    token.on_cancel(lambda: calls.append(1))
    with caplog.at_level(logging.ERROR, "cano_sync"):
        token.cancel()
    assert calls == [1]
    assert len(caplog.records) == 1


def test_a_callback_that_raises_the_signal_does_not_keep_the_next_from_being_called() -> None:
    """A callback that calls check(), or uses a store whose gate is closed."""
    token, calls = CancellationToken(), []
    token.on_cancel(token.check)
    token.on_cancel(lambda: calls.append(1))
    token.cancel()
    assert calls == [1]


def test_what_cannot_be_called_is_refused_when_it_is_registered() -> None:
    callback: Any = "close the socket"
    with pytest.raises(ConfigurationError, match="close the socket"):
        CancellationToken().on_cancel(callback)


def test_callbacks_of_a_child_are_called_when_the_parent_is_cancelled() -> None:
    parent, calls = CancellationToken(), []
    child = parent.child().child()
    child.on_cancel(lambda: calls.append(child.reason))
    parent.cancel("all of you")
    assert calls == ["all of you"]


def test_a_callback_that_comes_after_the_last_was_removed_hears_of_the_parent_again() -> None:
    top, calls = CancellationToken(), []
    child = top.child().child()
    child.on_cancel(lambda: calls.append("removed")).remove()
    child.on_cancel(lambda: calls.append("kept"))
    top.cancel()
    assert calls == ["kept"]


def test_callbacks_of_a_parent_are_not_called_when_a_child_is_cancelled() -> None:
    parent, calls = CancellationToken(), []
    child = parent.child()
    parent.on_cancel(lambda: calls.append("parent"))
    child.on_cancel(lambda: calls.append("child"))
    child.cancel()
    assert calls == ["child"]


@pytest.mark.parametrize("whose", ["its own", "its parent's"])
def test_callbacks_are_called_when_a_deadline_passes(whose: str) -> None:
    called = threading.Event()
    token = (
        CancellationToken(0.02) if whose == "its own" else CancellationToken(0.02).child(timeout=9)
    )
    registration = token.on_cancel(called.set)
    assert called.wait(SOON)
    assert token.reason == TIME_LIMIT
    registration.remove()


def test_a_callback_removed_before_the_deadline_is_not_called_by_it() -> None:
    calls: list[str] = []
    last = threading.Event()
    token = CancellationToken(0.05)
    with token.on_cancel(lambda: calls.append("removed")):
        pass
    token.on_cancel(last.set)
    assert last.wait(SOON)
    assert calls == []


def test_one_timer_serves_all_callbacks_of_a_token() -> None:
    token = CancellationToken(LONG)
    registrations = [token.on_cancel(lambda: None) for _ in range(20)]
    assert timers() == 1
    for registration in registrations:
        registration.remove()


def test_cancelling_by_hand_puts_the_timer_off(eventually: Eventually) -> None:
    token, calls = CancellationToken(LONG), []
    token.on_cancel(lambda: calls.append(1))
    assert timers() == 1
    token.cancel()
    assert calls == [1]
    eventually(lambda: timers() == 0)


def test_a_deadline_beyond_what_a_timer_can_do_is_no_error() -> None:
    token = CancellationToken(1e15)
    with token.on_cancel(lambda: None):
        assert not token.cancelled


# wait() and sleep().


def test_waiting_in_vain_returns_false() -> None:
    assert CancellationToken().wait(0) is False
    assert CancellationToken().wait(0.001) is False
    assert CancellationToken().wait(timedelta(0)) is False


@pytest.mark.parametrize("timeout", [None, LONG, timedelta(seconds=LONG)])
def test_waiting_for_a_cancelled_token_returns_at_once(timeout: Any) -> None:
    token = CancellationToken()
    token.cancel()
    assert token.wait(timeout) is True


@pytest.mark.parametrize("who", ["it", "its parent"])
def test_a_wait_ends_when_the_token_is_cancelled(who: str, eventually: Eventually) -> None:
    parent = CancellationToken()
    token, ended = parent.child(), []
    waiter = threading.Thread(target=lambda: ended.append(token.wait()))
    waiter.start()
    eventually(lambda: listeners(token) == 1)
    (token if who == "it" else parent).cancel()
    waiter.join(SOON)
    assert ended == [True]


@pytest.mark.parametrize("timeout", [None, LONG])
@pytest.mark.parametrize("inherited", [False, True])
def test_a_wait_ends_at_the_deadline(timeout: float | None, inherited: bool) -> None:
    token = CancellationToken(0.01)
    assert (token.child() if inherited else token).wait(timeout) is True


def test_a_wait_of_another_thread_ends_at_the_deadline_though_it_has_more_time() -> None:
    """The main thread looks up for signals now and then; another one waits in one piece."""
    token, ended = CancellationToken(0.01), []
    waiter = threading.Thread(target=lambda: ended.append(token.wait(LONG)), daemon=True)
    waiter.start()
    waiter.join(SOON)
    assert ended == [True]


def test_many_threads_may_wait_for_one_token(eventually: Eventually) -> None:
    token, ended = CancellationToken(), []
    waiters = [threading.Thread(target=lambda: ended.append(token.wait())) for _ in range(10)]
    for waiter in waiters:
        waiter.start()
    eventually(lambda: listeners(token) == 10)
    token.cancel()
    for waiter in waiters:
        waiter.join(SOON)
    assert ended == [True] * 10


def test_a_wait_starts_no_thread_and_leaves_no_callback(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = CancellationToken()
    token = parent.child(timeout=LONG)

    def refuse(*args: Any) -> None:
        raise AssertionError("a thread was started")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert token.wait(0.001) is False
    assert (listeners(token), listeners(parent)) == (0, 0)


def test_a_wait_needs_no_timer(eventually: Eventually) -> None:
    token = CancellationToken(LONG)
    waiter = threading.Thread(target=token.wait)
    waiter.start()
    eventually(lambda: listeners(token) == 1)
    kept = timers()
    token.cancel()
    waiter.join(SOON)
    assert kept == 0


def test_who_waits_is_woken_before_any_callback_is_called(eventually: Eventually) -> None:
    token, ended = CancellationToken(), threading.Event()
    seen: list[bool] = []
    token.on_cancel(lambda: seen.append(ended.wait(SOON)))
    waiter = threading.Thread(target=lambda: token.wait() and ended.set())
    waiter.start()
    eventually(lambda: listeners(token) == 2)
    token.cancel()
    waiter.join(SOON)
    assert seen == [True]


def test_a_wait_longer_than_a_lock_can_do_is_no_error() -> None:
    timer = threading.Timer(0.02, (token := CancellationToken()).cancel)
    timer.start()
    assert token.wait(1e300) is True
    timer.join()


@pytest.mark.parametrize("method", ["wait", "sleep"])
@pytest.mark.parametrize("timeout", [-1, float("nan"), "long"])
def test_an_impossible_wait_is_refused(method: str, timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"a token's {method}\(\) must be"):
        getattr(CancellationToken(), method)(timeout)


def test_sleeping_undisturbed_returns_after_the_time() -> None:
    before = time.monotonic()
    CancellationToken().sleep(0.02)
    CancellationToken().sleep(timedelta(milliseconds=1))
    assert time.monotonic() - before >= 0.02


def test_sleeping_with_a_cancelled_token_raises_at_once() -> None:
    token = CancellationToken()
    token.cancel("enough")
    with pytest.raises(Cancelled, match="enough"):
        token.sleep(LONG)
    with pytest.raises(Cancelled, match="enough"):
        token.sleep(0)


def test_a_sleep_ends_with_the_signal_when_the_token_is_cancelled(eventually: Eventually) -> None:
    token, raised = CancellationToken(), []

    def sleep() -> None:
        try:
            token.sleep(LONG)
        except Cancelled as signal:
            raised.append(signal.reason)

    sleeper = threading.Thread(target=sleep)
    sleeper.start()
    eventually(lambda: listeners(token) == 1)
    token.cancel("wake up")
    sleeper.join(SOON)
    assert raised == ["wake up"]


def test_a_sleep_beyond_the_deadline_ends_with_the_signal() -> None:
    with pytest.raises(Cancelled, match=TIME_LIMIT):
        CancellationToken(0.01).sleep(LONG)


# Signal handlers.

needs_signals = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="this platform has no interval timers"
)


@pytest.fixture
def on_alarm() -> Iterator[Callable[[Callable[[], None], float], None]]:
    """`on_alarm(action, delay)`: call it from a signal handler on this thread, once."""
    before = signal.getsignal(signal.SIGALRM)

    def arrange(action: Callable[[], None], delay: float) -> None:
        signal.signal(signal.SIGALRM, lambda number, frame: action())
        signal.setitimer(signal.ITIMER_REAL, delay)

    yield arrange
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@needs_signals
@pytest.mark.parametrize("whose", ["it", "its parent"])
def test_a_signal_handler_may_cancel_what_its_own_thread_waits_for(
    on_alarm: Any, whose: str
) -> None:
    parent = CancellationToken()
    token = parent.child()
    on_alarm((token if whose == "it" else parent).cancel, 0.02)
    assert token.wait(SOON) is True


@needs_signals
def test_a_signal_handler_may_cancel_while_its_own_thread_sleeps(on_alarm: Any) -> None:
    token = CancellationToken()
    on_alarm(lambda: token.cancel("by a signal"), 0.02)
    with pytest.raises(Cancelled, match="by a signal"):
        token.sleep(SOON)


@needs_signals
@pytest.mark.parametrize("limit", [None, LONG])
def test_a_signal_handler_may_cancel_a_run_that_its_thread_waits_for(
    on_alarm: Any, limit: float | None
) -> None:
    """Its callbacks too are called, though the thread below holds the locks of its wait."""
    token, called = CancellationToken(), threading.Event()
    token.on_cancel(called.set)
    workflow = (
        Workflow[str]()
        .register("SLEEP", lambda store, cancel: cancel.sleep(SOON))
        .add_exit_state("END")
        .with_timeout(limit)
    )
    on_alarm(lambda: token.cancel("by a signal"), 0.05)
    with pytest.raises(WorkflowCancelledError, match="by a signal") as caught:
        workflow.orchestrate("SLEEP", cancel=token)
    assert caught.value.reason == "by a signal"
    assert called.wait(SOON)


Kin = Callable[[CancellationToken], CancellationToken]
"""From the token that is cancelled to the one that hears of it."""


def alone(top: CancellationToken) -> CancellationToken:
    return top


def grandchild(top: CancellationToken) -> CancellationToken:
    return top.child().child()


def with_a_limit(top: CancellationToken) -> CancellationToken:
    return top.child(timeout=LONG)


FAMILY = pytest.mark.parametrize("kin", [alone, grandchild, with_a_limit])


class Interrupted:
    """Calls `action` once, where the traced call reaches its `step`-th line: as a signal would.

    Python runs a signal handler between two instructions of whatever its thread executes, with
    the locks that it holds then.
    """

    def __init__(self, step: int, action: Callable[[], None]) -> None:
        self.left = step
        self.action = action

    def __enter__(self) -> Interrupted:
        self.before = sys.gettrace()
        sys.settrace(self.trace)
        return self

    def __exit__(self, *error: object) -> None:
        sys.settrace(self.before)

    def trace(self, frame: Any, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                self.action()
        return self.trace


def interruptions(
    call: Callable[[CancellationToken, Callable[[], None]], object], *, kin: Kin
) -> Iterator[tuple[CancellationToken, list[int]]]:
    """The call, interrupted by a cancellation after its first line, its second line, and so on."""
    for step in itertools.count(1):
        top = CancellationToken()
        token = kin(top)
        calls: list[int] = []
        with Interrupted(step, functools.partial(top.cancel, "by a signal")) as interrupted:
            call(token, functools.partial(calls.append, 1))
        if interrupted.left > 0:
            assert step > 5  # there were some lines to interrupt it at
            top.cancel()
            return
        yield token, calls


@FAMILY
def test_a_cancellation_in_the_middle_of_on_cancel_calls_the_callback_once(
    kin: Kin, eventually: Eventually
) -> None:
    """From a signal handler on the same thread, at each line of the call in turn.

    It is called on another thread where the lock was held.
    """
    for token, calls in interruptions(CancellationToken.on_cancel, kin=kin):
        assert token.cancelled
        eventually(lambda calls=calls: calls == [1])
        assert listeners(token) == 0


@FAMILY
def test_a_cancellation_in_the_middle_of_remove_calls_the_callback_at_most_once(
    kin: Kin,
) -> None:
    def register_and_remove(token: CancellationToken, callback: Callable[[], None]) -> None:
        token.on_cancel(callback).remove()

    for token, calls in interruptions(register_and_remove, kin=kin):
        assert token.cancelled
        assert calls in ([], [1])
        assert listeners(token) == 0


@FAMILY
def test_a_cancellation_in_the_middle_of_wait_ends_it(
    kin: Kin, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[bool] = []
    for token, _ in interruptions(lambda token, callback: ended.append(token.wait(0.01)), kin=kin):
        assert token.cancelled
        assert listeners(token) == 0
    assert ended.count(True) > 5
    assert caplog.records == []  # what wakes the wait is ready before anybody may call it


def test_a_cancellation_in_the_middle_of_a_cancellation_calls_the_callbacks_once(
    eventually: Eventually,
) -> None:
    def register_and_cancel(token: CancellationToken, callback: Callable[[], None]) -> None:
        token.on_cancel(callback)
        token.cancel("by hand")

    for token, calls in interruptions(register_and_cancel, kin=alone):
        eventually(lambda calls=calls: calls == [1])
        assert token.reason in ("by hand", "by a signal")


def in_on_cancel(token: CancellationToken) -> None:
    token.on_cancel(lambda: None)


def in_remove(token: CancellationToken) -> None:
    token.on_cancel(lambda: None).remove()


def in_a_late_on_cancel(token: CancellationToken) -> None:
    token.cancel()
    token.on_cancel(lambda: None)


def in_a_late_remove(token: CancellationToken) -> None:
    registration = token.on_cancel(lambda: None)
    token.cancel()
    registration.remove()


def in_cancel(token: CancellationToken) -> None:
    token.on_cancel(lambda: None)
    token.cancel()


def in_wait(token: CancellationToken) -> None:
    token.wait(0)


def in_an_engine_token(token: CancellationToken) -> None:
    EngineToken(token).release()


@pytest.mark.parametrize(
    "call",
    [
        in_on_cancel,
        in_a_late_on_cancel,
        in_remove,
        in_a_late_remove,
        in_cancel,
        in_wait,
        in_an_engine_token,
    ],
)
def test_what_a_signal_handler_cancels_is_called_without_the_lock_of_the_frame_below(
    call: Callable[[CancellationToken], None],
) -> None:
    """At each line of the call in turn, the lock may be held by the interrupted frame."""
    for step in itertools.count(1):
        token, other = CancellationToken(), CancellationToken()
        held: list[bool] = []
        called = threading.Event()
        other.on_cancel(
            lambda held=held, called=called: (
                held.append(cancellation._lock._is_owned()),  # type: ignore[attr-defined]
                called.set(),
            )
        )
        with Interrupted(step, other.cancel) as interrupted:
            call(token)
        token.cancel()
        if interrupted.left > 0:
            assert step > 5
            other.cancel()
            return
        assert called.wait(SOON)
        assert held == [False]


def test_a_cancellation_that_ctrl_c_interrupts_comes_to_its_end() -> None:
    """At each line in turn: the callbacks are called once, and whoever removes one goes on."""
    interrupts = 0

    def interrupt() -> None:
        nonlocal interrupts
        frame = sys._getframe(2)  # the one that is traced
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
        if not line.strip().startswith("with "):  # Python takes and releases a lock in one step
            interrupts += 1
            raise KeyboardInterrupt

    for step in itertools.count(1):
        token, calls, before = CancellationToken(), [], interrupts
        first = token.on_cancel(functools.partial(calls.append, "first"))
        token.on_cancel(functools.partial(calls.append, "second"))
        with Interrupted(step, interrupt) as interrupted, suppress(KeyboardInterrupt):
            token.cancel()
        if interrupted.left > 0:
            break
        assert token.cancelled or interrupts > before
        assert calls == (["first", "second"] if token.cancelled else [])
        remover = threading.Thread(target=first.remove, daemon=True)
        remover.start()
        remover.join(SOON)
        assert not remover.is_alive()
    assert interrupts > 5


def test_a_wait_that_a_signal_handler_interrupts_starts_no_thread_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_thread, "start_new_thread", lambda *args: pytest.fail("started"))
    with interruptible_wait():
        CancellationToken().cancel()


# Forced interleavings: another thread comes at each line of a call in turn.


def meetings(
    arrange: Callable[[], tuple[Callable[[], object], Callable[[], object], Callable[[], None]]],
) -> None:
    """Arrange what is called, what another thread does meanwhile, and what holds afterwards."""
    for step in itertools.count(1):
        call, meanwhile, check = arrange()
        other = threading.Thread(target=meanwhile)

        def come(other: threading.Thread = other) -> None:
            other.start()
            other.join(0.02)  # it may have to wait for a lock that this thread holds

        with Interrupted(step, come) as interrupted:
            call()
        if interrupted.left > 0:
            assert step > 5
            meanwhile()
            return
        other.join(SOON)
        assert not other.is_alive()
        check()


def test_the_reason_stays_what_it_was_when_a_second_cancellation_had_returned() -> None:
    def arrange() -> Any:
        token = CancellationToken()
        seen: list[str | None] = []

        def check() -> None:
            assert [token.reason] == seen

        return (
            functools.partial(token.cancel, "first"),
            lambda: (token.cancel("second"), seen.append(token.reason)),
            check,
        )

    meetings(arrange)


@pytest.mark.parametrize("at_its_turn", [False, True])
def test_once_remove_has_returned_a_callback_is_not_running(at_its_turn: bool) -> None:
    """Whether the other thread is just beginning to cancel, or has come as far as the callback."""

    def arrange() -> Any:
        token, removed = CancellationToken(), threading.Event()
        calls: list[str] = []

        def callback() -> None:
            calls.append("began")
            removed.wait(0.03)  # longer than the other thread is waited for
            calls.append("ended")

        def remove() -> None:
            registration.remove()
            calls.append("removed")
            removed.set()

        def check() -> None:
            assert calls in (["removed"], ["began", "ended", "removed"])

        registration = token.on_cancel(callback)
        return remove, registration._call if at_its_turn else token.cancel, check

    meetings(arrange)


def removes_its_callback(child: CancellationToken) -> Callable[[], object]:
    return child.on_cancel(lambda: None).remove


def registers_too_late(child: CancellationToken) -> Callable[[], object]:
    return functools.partial(child.child(timeout=0).on_cancel, lambda: None)


@pytest.mark.parametrize("leaver", [removes_its_callback, registers_too_late])
def test_who_leaves_last_does_not_cut_off_one_who_just_comes(
    leaver: Callable[[CancellationToken], Callable[[], object]],
) -> None:
    def arrange() -> Any:
        top, calls = CancellationToken(), []
        middle = top.child()

        def check() -> None:
            top.cancel()
            assert calls == [1]

        leaves = leaver(middle)
        return leaves, lambda: middle.on_cancel(lambda: calls.append(1)), check

    meetings(arrange)


# Many threads.


class Race:
    """Some threads that begin together."""

    def __init__(self, *works: Callable[[], object]) -> None:
        self.line = threading.Barrier(len(works))
        self.threads = [threading.Thread(target=self.run, args=(work,)) for work in works]
        for thread in self.threads:
            thread.start()
        for thread in self.threads:
            thread.join(SOON)
            assert not thread.is_alive()

    def run(self, work: Callable[[], object]) -> None:
        self.line.wait(SOON)
        work()


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty")
@FAMILY
def test_each_callback_is_called_exactly_once_when_threads_race(kin: Kin) -> None:
    """Two cancel while four register: before, meanwhile and afterwards."""
    for _ in range(60):
        top = CancellationToken()
        token = kin(top)
        calls: list[int] = []

        def register(
            first: int, token: CancellationToken = token, calls: list[int] = calls
        ) -> None:
            for number in range(first, first + 10):
                token.on_cancel(functools.partial(calls.append, number))

        Race(
            top.cancel,
            token.cancel,
            *(functools.partial(register, first) for first in range(0, 40, 10)),
        )
        assert sorted(calls) == list(range(40))
        assert (listeners(token), listeners(top)) == (0, 0)


@pytest.mark.usefixtures("hasty")
def test_a_callback_is_removed_or_called_when_threads_race() -> None:
    for _ in range(60):
        token = CancellationToken()
        calls: list[int] = []
        registrations = [token.on_cancel(functools.partial(calls.append, n)) for n in range(20)]
        Race(
            token.cancel,
            lambda registrations=registrations: [item.remove() for item in registrations],
            lambda registrations=registrations: [item.remove() for item in registrations[::-1]],
        )
        assert len(calls) == len(set(calls))
        assert listeners(token) == 0


@pytest.mark.usefixtures("hasty")
def test_only_one_of_many_reasons_counts_when_threads_race() -> None:
    for _ in range(60):
        token = CancellationToken()
        seen: list[str | None] = []
        token.on_cancel(lambda token=token, seen=seen: seen.append(token.reason))
        Race(*(functools.partial(token.cancel, str(number)) for number in range(4)))
        assert seen == [token.reason]


def test_nobody_sees_a_cancelled_token_that_has_not_its_reason_yet() -> None:
    """A forced interleaving: another thread looks after each line of cancel()."""
    for step in itertools.count(1):
        token, seen = CancellationToken(), []
        looker = threading.Thread(
            target=lambda token=token, seen=seen: seen.append((token.cancelled, token.reason))
        )

        def look(looker: threading.Thread = looker) -> None:
            looker.start()
            looker.join(0.1)  # it may have to wait for a lock that this thread holds

        with Interrupted(step, look) as interrupted:
            token.cancel("enough")
        if interrupted.left > 0:
            return
        looker.join(SOON)
        assert seen in ([(False, None)], [(True, "enough")])


# Nothing is left behind.


def test_children_of_a_long_lived_token_leave_nothing_behind() -> None:
    parent = CancellationToken()
    calls: list[int] = []
    before = set(threading.enumerate())
    for _ in range(10_000):
        child = parent.child()
        with child.on_cancel(functools.partial(calls.append, 1)):
            pass
        child.on_cancel(functools.partial(calls.append, 2)).remove()
    assert listeners(parent) == 0
    assert set(threading.enumerate()) <= before
    parent.cancel()
    assert calls == []


def test_children_that_were_cancelled_leave_nothing_behind() -> None:
    parent, calls = CancellationToken(), []
    for _ in range(10_000):
        child = parent.child()
        child.on_cancel(functools.partial(calls.append, 1))
        child.cancel()
    assert listeners(parent) == 0
    parent.cancel()
    assert len(calls) == 10_000


def test_children_with_a_time_limit_leave_no_thread_behind(eventually: Eventually) -> None:
    parent = CancellationToken(LONG)
    for _ in range(200):
        with parent.child(timeout=LONG).on_cancel(lambda: None):
            assert timers() >= 1
    assert listeners(parent) == 0
    eventually(lambda: timers() == 0)


def test_a_parent_does_not_know_children_without_a_callback() -> None:
    parent = CancellationToken()
    children = [parent.child() for _ in range(10)]
    assert listeners(parent) == 0
    parent.cancel()
    assert all(child.cancelled for child in children)


def test_a_wait_in_slices_lasts_its_whole_time_and_hears_of_a_cancellation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on the main thread, where it looks up for signals now and then."""
    rounds: list[float | None] = []

    def short(left: float | None) -> float:
        rounds.append(left)
        return 0.001

    monkeypatch.setattr(cancellation, "wait_slice", short)
    began = time.monotonic()
    assert not CancellationToken().wait(0.02)
    assert time.monotonic() - began >= 0.02
    assert len(rounds) > 1
    token = CancellationToken()
    timer = threading.Timer(0.01, token.cancel)
    timer.start()
    assert token.wait()
    timer.join()


def test_a_signal_handler_cancels_while_another_thread_leaves_a_token_below(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A forced interleaving: the handler's thread is at the parent, the other one at the child."""
    parent = CancellationToken()
    registration = parent.child().on_cancel(lambda: None)
    other = threading.Thread(target=registration.remove, daemon=True)
    real = CancellationToken._link

    def link(token: CancellationToken) -> None:  # called with the lock held
        if token is parent and not other.ident:
            other.start()
            other.join(0.05)  # it has to wait
            signal.raise_signal(signal.SIGUSR1)
        real(token)

    monkeypatch.setattr(CancellationToken, "_link", link)
    before = signal.signal(signal.SIGUSR1, lambda number, frame: parent.cancel("by a signal"))
    try:
        parent.on_cancel(lambda: None)
    finally:
        signal.signal(signal.SIGUSR1, before)
    other.join(SOON)
    assert not other.is_alive()
    assert parent.reason == "by a signal"


# remove() and a callback that is just running.


def test_remove_waits_in_slices_and_looks_up_for_signals_in_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token, running, goes_on = CancellationToken(), threading.Event(), threading.Event()
    registration = token.on_cancel(lambda: (running.set(), goes_on.wait(SOON)))
    rounds: list[float | None] = []

    def short(left: float | None) -> float:
        rounds.append(left)
        if len(rounds) == 3:
            goes_on.set()
        return 0.001

    canceller = threading.Thread(target=token.cancel)
    canceller.start()
    assert running.wait(SOON)
    monkeypatch.setattr(waiting, "wait_slice", short)
    registration.remove()
    assert len(rounds) >= 3
    canceller.join(SOON)


def test_who_finds_a_callback_running_on_another_thread_leaves_it_alone() -> None:
    """Where Ctrl-C makes a cancellation begin again, two threads may come to one callback."""
    token, running, goes_on = CancellationToken(), threading.Event(), threading.Event()
    ended: list[str] = []
    registration = token.on_cancel(
        lambda: (running.set(), goes_on.wait(SOON), ended.append("callback"))
    )
    canceller = threading.Thread(target=token.cancel)
    canceller.start()
    assert running.wait(SOON)
    cancellation._Cancellation(callbacks=(registration,)).run()
    remover = threading.Thread(target=lambda: (registration.remove(), ended.append("removed")))
    remover.start()
    remover.join(0.05)
    goes_on.set()
    remover.join(SOON)
    canceller.join(SOON)
    assert ended == ["callback", "removed"]


def test_remove_waits_for_a_callback_that_another_thread_is_just_calling() -> None:
    token, running, goes_on = CancellationToken(), threading.Event(), threading.Event()
    ended: list[str] = []

    def callback() -> None:
        running.set()
        assert goes_on.wait(SOON)
        ended.append("callback")

    registration = token.on_cancel(callback)
    canceller = threading.Thread(target=token.cancel)
    canceller.start()
    assert running.wait(SOON)
    remover = threading.Thread(target=lambda: (registration.remove(), ended.append("removed")))
    remover.start()
    remover.join(0.05)
    assert ended == []
    goes_on.set()
    remover.join(SOON)
    canceller.join(SOON)
    assert ended == ["callback", "removed"]


def test_a_callback_whose_turn_has_not_come_is_taken_back_by_another() -> None:
    token = CancellationToken()
    calls: list[str] = []
    token.on_cancel(lambda: second.remove())
    second = token.on_cancel(lambda: calls.append("second"))
    token.cancel()
    assert calls == []


def test_a_thousand_deadlines_with_callbacks_share_one_thread() -> None:
    before = threading.active_count()
    tokens = [CancellationToken(LONG) for _ in range(1_000)]
    registrations = [token.on_cancel(lambda: None) for token in tokens]
    assert threading.active_count() <= before
    assert timers() == 1_000
    for registration in registrations:
        registration.remove()
    assert timers() == 0


def test_a_callback_that_blocks_at_its_deadline_holds_up_no_other() -> None:
    gate, called = threading.Event(), threading.Event()
    CancellationToken(0.02).on_cancel(lambda: gate.wait(SOON))
    CancellationToken(0.03).on_cancel(called.set)
    assert called.wait(SOON)
    gate.set()
