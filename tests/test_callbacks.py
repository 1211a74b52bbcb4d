"""Calling callbacks: here, or elsewhere where this thread sits in a wait."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from cano_sync.callbacks import call_elsewhere, call_here, interruptible_wait

SOON = 20.0


class Caller:
    """A callback that notes the thread that it is called in."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.threads: list[int] = []

    def __call__(self) -> None:
        self.threads.append(threading.get_ident())
        self.called.set()


def test_callbacks_are_called_here_in_their_order() -> None:
    calls: list[object] = []
    call_here([lambda: calls.append(1), lambda: calls.append(threading.get_ident())])
    assert calls == [1, threading.get_ident()]


def test_callbacks_are_called_elsewhere_in_their_order_in_one_thread() -> None:
    first, second = Caller(), Caller()
    call_elsewhere([first, second])
    assert second.called.wait(SOON)
    assert first.threads == second.threads != [threading.get_ident()]


def test_in_a_wait_that_a_signal_may_interrupt_they_are_called_elsewhere() -> None:
    caller = Caller()
    with interruptible_wait():
        call_here([caller])
        assert caller.called.wait(SOON)
    assert caller.threads != [threading.get_ident()]


def test_after_the_wait_they_are_called_here_again() -> None:
    caller = Caller()
    with interruptible_wait():
        pass
    call_here([caller])
    assert caller.threads == [threading.get_ident()]


def test_a_wait_that_raised_is_over_too() -> None:
    with pytest.raises(KeyboardInterrupt), interruptible_wait():
        raise KeyboardInterrupt
    caller = Caller()
    call_here([caller])
    assert caller.threads == [threading.get_ident()]


def test_the_end_of_an_inner_wait_does_not_end_the_outer_one() -> None:
    caller = Caller()
    with interruptible_wait():
        with interruptible_wait():
            pass
        call_here([caller])
        assert caller.called.wait(SOON)
    assert caller.threads != [threading.get_ident()]


def test_one_threads_wait_is_nothing_to_another_thread() -> None:
    caller = Caller()
    other = threading.Thread(target=call_here, args=([caller],))
    with interruptible_wait():
        other.start()
        other.join()
    assert caller.threads == [other.ident]


@pytest.mark.parametrize("call", [call_here, call_elsewhere])
def test_a_callback_that_raises_is_logged_and_the_others_are_called(
    call: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise ValueError("no socket")

    caller = Caller()
    with caplog.at_level(logging.ERROR, "cano_sync"):
        call([broken, caller])
        assert caller.called.wait(SOON)
    (record,) = caplog.records
    assert "on_cancel" in record.getMessage()
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "no socket"
