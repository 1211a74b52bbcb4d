"""How threads wait and are woken: slices, wakeups, and what a signal handler does meanwhile."""

from __future__ import annotations

import _thread
import logging
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import pytest

from cano_sync import Cancelled
from cano_sync._base.cancellation import _Cancellation
from cano_sync._base.engine_token import EngineToken
from cano_sync._base.waiting import (
    SIGNAL_CHECK,
    Completion,
    Wakeup,
    interruptible_wait,
    is_waiting,
    on_new_thread,
    wait_first,
    wait_slice,
)

SOON = 20.0
HERE = threading.get_ident


class Caller:
    """A callback that notes the thread that it is called in."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.threads: list[int] = []

    def __call__(self) -> None:
        self.threads.append(HERE())
        self.called.set()


def token_with(*callbacks: Callable[[], object]) -> EngineToken:
    token = EngineToken()
    for callback in callbacks:
        token.on_cancel(callback)
    return token


# Waiting.


def test_the_main_thread_looks_for_signals_now_and_then() -> None:
    assert wait_slice(None) == wait_slice(1e9) == SIGNAL_CHECK
    assert wait_slice(0.25) == 0.25
    assert wait_slice(-1.0) == 0.0


def test_another_thread_waits_in_one_piece() -> None:
    slices: list[float] = []
    thread = threading.Thread(target=lambda: slices.extend((wait_slice(None), wait_slice(1e30))))
    thread.start()
    thread.join()
    assert slices == [threading.TIMEOUT_MAX] * 2


@pytest.mark.parametrize("which", [0, 1])
def test_either_of_two_ends_the_wait(which: int) -> None:
    pair = (Wakeup(), Wakeup())
    threading.Thread(target=pair[which].set).start()
    wait_first(*pair, deadline=None)
    assert [wakeup.done() for wakeup in pair] == [which == 0, which == 1]


def test_the_deadline_ends_the_wait() -> None:
    end = time.monotonic() + 0.02
    wait_first(Wakeup(), Wakeup(), end)
    assert time.monotonic() >= end


def test_waking_twice_is_waking_once() -> None:
    wakeup = Wakeup()
    wakeup.set()
    wakeup.set()
    assert wakeup.done()


# In a wait that a signal handler may interrupt.


def test_in_a_wait_all_is_done_elsewhere_wakeups_first() -> None:
    woken: list[int] = []
    callback = Caller()
    wakeup = Wakeup()
    wakeup.add_callback(lambda: woken.append(HERE()))
    ranks: list[bool] = []
    token = EngineToken(wakeup=wakeup)
    token.on_cancel(lambda: ranks.append(wakeup.done()))
    token.on_cancel(callback)
    with interruptible_wait():
        token.cancel()
        assert callback.called.wait(SOON)
    assert woken == callback.threads != [HERE()]
    assert ranks == [True]


def test_after_the_wait_they_are_called_here_again() -> None:
    callback = Caller()
    with interruptible_wait():
        pass
    token_with(callback).cancel()
    assert callback.threads == [HERE()]


def test_a_wait_that_raised_is_over_too() -> None:
    with pytest.raises(KeyboardInterrupt), interruptible_wait():
        raise KeyboardInterrupt
    assert not is_waiting()


def test_the_end_of_an_inner_wait_does_not_end_the_outer_one() -> None:
    callback = Caller()
    with interruptible_wait():
        with interruptible_wait():
            pass
        token_with(callback).cancel()
        assert callback.called.wait(SOON)
    assert callback.threads != [HERE()]


def test_one_threads_wait_is_nothing_to_another_thread() -> None:
    callback = Caller()
    other = threading.Thread(target=token_with(callback).cancel)
    with interruptible_wait():
        other.start()
        other.join()
    assert callback.threads == [other.ident]


INTERRUPTED = """
import signal, threading
from cano_sync._base.waiting import interruptible_wait, is_waiting

def interrupt(*_):
    raise KeyboardInterrupt

woken = threading.Lock()
signal.signal(signal.SIGALRM, interrupt)
for number in range(2000):
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + number % 40))
        for _ in range(1000):
            with interruptible_wait():
                woken.acquire(False)
    except KeyboardInterrupt:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
assert not is_waiting()
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that interrupts")
def test_ctrl_c_at_whatever_moment_leaves_no_mark_behind() -> None:
    """Two thousand times, a few microseconds after the wait began: at its exit, too."""
    subprocess.run([sys.executable, "-c", INTERRUPTED], check=True, timeout=50)


# Calling the callbacks of a cancellation.


def test_those_of_nowait_get_one_thread_of_their_own() -> None:
    first, second = Caller(), Caller()
    token_with(first, second).cancel_nowait("enough")
    assert second.called.wait(SOON)
    assert first.threads == second.threads != [HERE()]


def test_nowait_waits_for_nobody(gate: threading.Event) -> None:
    token_with(lambda: gate.wait(SOON)).cancel_nowait("enough")
    assert not gate.is_set()


def refuse(*args: Any) -> int:
    raise RuntimeError("can't start new thread")


def test_no_thread_is_started_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_thread, "start_new_thread", lambda *args: pytest.fail("started"))
    wakeup = Wakeup()
    EngineToken(wakeup=wakeup).cancel_nowait("enough")
    assert wakeup.done()


def test_where_no_thread_can_be_had_they_are_called_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    assert not on_new_thread(print)
    callback = Caller()
    token_with(callback).cancel_nowait("enough")
    assert callback.threads == [HERE()]


def raising(error: BaseException) -> Callable[[], None]:
    def callback() -> None:
        raise error

    return callback


@pytest.mark.parametrize("error", [ValueError("no socket"), Cancelled("no socket")])
@pytest.mark.parametrize("nowait", [False, True])
def test_one_that_raises_is_logged_and_the_others_are_called(
    error: BaseException, nowait: bool, caplog: pytest.LogCaptureFixture
) -> None:
    last = Caller()
    token = token_with(raising(error), last)
    with caplog.at_level(logging.ERROR, "cano_sync"):
        if nowait:
            token.cancel_nowait("enough")
        else:
            token.cancel()
        assert last.called.wait(SOON)
    (record,) = caplog.records
    assert "on_cancel" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is error


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_wants_out_of_the_program_gets_out_once_the_others_were_called(
    kind: type[BaseException],
) -> None:
    last = Caller()
    with pytest.raises(kind):
        token_with(raising(kind()), last).cancel()
    assert last.threads == [HERE()]


def test_what_wants_out_of_the_program_gets_out_of_a_wakeup_too() -> None:
    """Such as Ctrl-C that comes while a wait of a token's is woken."""
    token, last = EngineToken(), Caller()
    token._add(raising(KeyboardInterrupt()), is_wakeup=True)
    token._add(last, is_wakeup=True)
    with pytest.raises(KeyboardInterrupt):
        token.cancel()
    assert last.threads == [HERE()]


def test_two_threads_that_wake_the_same_leave_nobody_unwoken() -> None:
    """So it is where Ctrl-C comes again, just after a handler's cancellation got its thread."""
    both = threading.Barrier(2)

    class Met(Wakeup):
        """Set by two threads at one moment."""

        def set(self) -> None:
            super().set()
            both.wait(SOON)

    first, last = Wakeup(), Met()
    cancellation = _Cancellation()
    cancellation._wakeups = [first, last]
    other = threading.Thread(target=cancellation._wake_and_call)
    other.start()
    cancellation._wake_and_call()
    other.join(SOON)
    assert first.done()
    assert last.done()


# Wakeups and completions.


def test_a_callback_that_comes_too_late_is_called_at_once() -> None:
    wakeup, callback = Wakeup(), Caller()
    wakeup.set()
    wakeup.add_callback(callback)
    assert callback.threads == [HERE()]


def test_both_may_be_set_while_somebody_waits_for_either() -> None:
    pair = (Wakeup(), Wakeup())
    pair[0].add_callback(pair[1].set)
    threading.Thread(target=pair[0].set).start()
    wait_first(*pair, deadline=None)
    pair[1].set()
    assert all(wakeup.done() for wakeup in pair)


def test_a_job_that_was_cancelled_does_not_begin() -> None:
    completion = Completion[int]()
    assert completion.cancel()
    assert completion.done()
    assert not completion.set_running_or_notify_cancel()
    with pytest.raises(CancelledError):
        completion.result()


def test_a_job_that_has_begun_is_not_cancelled() -> None:
    completion = Completion[int]()
    assert completion.set_running_or_notify_cancel()
    assert not completion.cancel()
    assert not completion.done()
    completion.set_result(3)
    assert completion.done()
    assert (completion.result(), completion.exception()) == (3, None)


def test_an_error_of_a_job_keeps_no_completion_alive() -> None:
    completion, error, kept = Completion[int](), ValueError("no"), Caller()
    completion.add_callback(kept)
    completion.set_exception(error)
    with pytest.raises(ValueError, match="no"):
        completion.result()
    gone = weakref.ref(kept)
    del completion, kept
    assert gone() is None


# Ctrl-C in the middle of cancel().

IN_CANCEL = """
import signal
from cano_sync import CancellationToken
from cano_sync._base.engine_token import EngineToken
from cano_sync._base.waiting import Wakeup

def interrupt(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
hits = 0
for number in range(2000):
    parent, wakeups, calls = CancellationToken(), [], []
    for which in range(10):
        wakeups.append(Wakeup())
        token = EngineToken(parent, wakeup=wakeups[-1])
        token.child().on_cancel(lambda which=which: calls.append(which))
    is_inside = False
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + number % 120))
        is_inside = True
        parent.cancel("enough")
        is_inside = False
        while True:  # it came too late: here it does no harm
            pass
    except KeyboardInterrupt:
        hits += is_inside
    signal.setitimer(signal.ITIMER_REAL, 0)
    if parent.cancelled:
        assert all(wakeup.done() for wakeup in wakeups), number
        # One callback at most is not seen: that in which it came, before its own first step.
        assert len(set(calls)) == len(calls) >= 9, (number, calls)
    else:
        assert not calls, number
print(hits)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that interrupts")
def test_ctrl_c_inside_cancel_leaves_nobody_unwoken_and_no_callback_uncalled() -> None:
    """Two thousand times, some microseconds after the cancellation began."""
    done = subprocess.run(
        [sys.executable, "-c", IN_CANCEL], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200  # so many came inside
