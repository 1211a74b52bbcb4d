"""Calling callbacks: here, nowait, or elsewhere where this thread sits in a wait."""

from __future__ import annotations

import _thread
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cano_sync import Cancelled
from cano_sync._base.waiting import call_callbacks, interruptible_wait
from tests.kit import SOON

HERE = threading.get_ident


class Caller:
    """A callback that notes the thread that it is called in."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.threads: list[int] = []

    def __call__(self) -> None:
        self.threads.append(HERE())
        self.called.set()


def test_bells_ring_before_callbacks_are_called_each_in_their_order() -> None:
    calls: list[int] = []
    note = [lambda number=number: calls.append(number) for number in range(4)]
    call_callbacks(note[:2], note[2:])
    assert calls == [0, 1, 2, 3]


def test_all_are_called_here() -> None:
    wakeup, callback = Caller(), Caller()
    call_callbacks([wakeup], [callback])
    assert wakeup.threads == callback.threads == [HERE()]


def test_apart_the_bells_ring_here_and_the_callbacks_get_one_thread() -> None:
    wakeup, first, second = Caller(), Caller(), Caller()
    call_callbacks([wakeup], [first, second], nowait=True)
    assert wakeup.threads == [HERE()]
    assert second.called.wait(SOON)
    assert first.threads == second.threads != [HERE()]


def test_apart_nobody_waits_for_the_callbacks(gate: threading.Event) -> None:
    call_callbacks([], [lambda: gate.wait(SOON)], nowait=True)
    assert not gate.is_set()


def refuse(*args: Any) -> int:
    raise RuntimeError("can't start new thread")


def test_apart_no_thread_is_started_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_thread, "start_new_thread", lambda *args: pytest.fail("started"))
    call_callbacks([lambda: None], [], nowait=True)


def test_where_no_thread_can_be_had_they_are_called_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    callback = Caller()
    call_callbacks([], [callback], nowait=True)
    assert callback.threads == [HERE()]


# In a wait that a signal handler may interrupt.


def test_in_a_wait_all_are_called_elsewhere_bells_first() -> None:
    wakeup, callback = Caller(), Caller()
    ranks: list[bool] = []
    with interruptible_wait():
        call_callbacks([wakeup], [lambda: ranks.append(wakeup.called.is_set()), callback])
        assert callback.called.wait(SOON)
    assert wakeup.threads == callback.threads != [HERE()]
    assert ranks == [True]


def test_after_the_wait_they_are_called_here_again() -> None:
    callback = Caller()
    with interruptible_wait():
        pass
    call_callbacks([], [callback])
    assert callback.threads == [HERE()]


def test_a_wait_that_raised_is_over_too() -> None:
    with pytest.raises(KeyboardInterrupt), interruptible_wait():
        raise KeyboardInterrupt
    callback = Caller()
    call_callbacks([], [callback])
    assert callback.threads == [HERE()]


def test_the_end_of_an_inner_wait_does_not_end_the_outer_one() -> None:
    callback = Caller()
    with interruptible_wait():
        with interruptible_wait():
            pass
        call_callbacks([], [callback])
        assert callback.called.wait(SOON)
    assert callback.threads != [HERE()]


def test_one_threads_wait_is_nothing_to_another_thread() -> None:
    callback = Caller()
    other = threading.Thread(target=call_callbacks, args=([], [callback]))
    with interruptible_wait():
        other.start()
        other.join()
    assert callback.threads == [other.ident]


INTERRUPTED = """
import signal, threading
from cano_sync._base.waiting import call_callbacks, interruptible_wait

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
threads = []
call_callbacks([], [lambda: threads.append(threading.current_thread())])
assert threads == [threading.main_thread()], threads
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that interrupts")
def test_ctrl_c_at_whatever_moment_leaves_no_mark_behind() -> None:
    """Two thousand times, a few microseconds after the wait began: at its exit, too."""
    subprocess.run([sys.executable, "-c", INTERRUPTED], check=True, timeout=50)


# What they raise.


def raising(error: BaseException) -> Callable[[], None]:
    def callback() -> None:
        raise error

    return callback


@pytest.mark.parametrize("error", [ValueError("no socket"), Cancelled("no socket")])
@pytest.mark.parametrize("as_bell", [False, True])
@pytest.mark.parametrize("nowait", [False, True])
def test_one_that_raises_is_logged_and_the_others_are_called(
    error: BaseException, as_bell: bool, nowait: bool, caplog: pytest.LogCaptureFixture
) -> None:
    last = Caller()
    broken = [raising(error)]
    with caplog.at_level(logging.ERROR, "cano_sync"):
        call_callbacks(
            broken if as_bell else [], [last] if as_bell else [*broken, last], nowait=nowait
        )
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
        call_callbacks([], [raising(kind()), last])
    assert last.threads == [HERE()]


def test_what_wants_out_of_the_program_while_a_bell_rings_does_not_lose_the_callbacks() -> None:
    """A Ctrl-C that arrives in the middle of a cancellation."""
    last = Caller()
    with pytest.raises(KeyboardInterrupt):
        call_callbacks([raising(KeyboardInterrupt())], [last])
    assert last.threads == [HERE()]
