"""Calling callbacks: here, or elsewhere where this thread sits in a wait."""

from __future__ import annotations

import logging
import threading

import pytest

from cano_sync.callbacks import announce, interruptible_wait

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
    announce((), [lambda: calls.append(1), lambda: calls.append(threading.get_ident())])
    assert calls == [1, threading.get_ident()]


def test_callbacks_are_called_elsewhere_in_their_order_in_one_thread() -> None:
    first, second = Caller(), Caller()
    announce((), [first, second], apart=True)
    assert second.called.wait(SOON)
    assert first.threads == second.threads != [threading.get_ident()]


def test_in_a_wait_that_a_signal_may_interrupt_they_are_called_elsewhere() -> None:
    caller = Caller()
    with interruptible_wait:
        announce((), [caller])
        assert caller.called.wait(SOON)
    assert caller.threads != [threading.get_ident()]


def test_after_the_wait_they_are_called_here_again() -> None:
    caller = Caller()
    with interruptible_wait:
        pass
    announce((), [caller])
    assert caller.threads == [threading.get_ident()]


def test_a_wait_that_raised_is_over_too() -> None:
    with pytest.raises(KeyboardInterrupt), interruptible_wait:
        raise KeyboardInterrupt
    caller = Caller()
    announce((), [caller])
    assert caller.threads == [threading.get_ident()]


def test_the_end_of_an_inner_wait_does_not_end_the_outer_one() -> None:
    caller = Caller()
    with interruptible_wait:
        with interruptible_wait:
            pass
        announce((), [caller])
        assert caller.called.wait(SOON)
    assert caller.threads != [threading.get_ident()]


def test_one_threads_wait_is_nothing_to_another_thread() -> None:
    caller = Caller()
    other = threading.Thread(target=announce, args=((), [caller]))
    with interruptible_wait:
        other.start()
        other.join()
    assert caller.threads == [other.ident]


@pytest.mark.parametrize("apart", [False, True])
def test_a_callback_that_raises_is_logged_and_the_others_are_called(
    apart: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise ValueError("no socket")

    caller = Caller()
    with caplog.at_level(logging.ERROR, "cano_sync"):
        announce((), [broken, caller], apart=apart)
        assert caller.called.wait(SOON)
    (record,) = caplog.records
    assert "on_cancel" in record.getMessage()
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "no socket"


def test_bells_are_rung_before_any_callback_is_called() -> None:
    calls: list[str] = []
    announce([lambda: calls.append("bell")], [lambda: calls.append("callback")])
    assert calls == ["bell", "callback"]


def test_bells_are_rung_here_where_the_callbacks_are_called_apart() -> None:
    bell, caller = Caller(), Caller()
    announce([bell], [caller], apart=True)
    assert bell.threads == [threading.get_ident()]
    assert caller.called.wait(SOON)
    assert caller.threads != bell.threads


@pytest.mark.parametrize("leaving", [KeyboardInterrupt, SystemExit])
def test_what_wants_out_of_the_program_gets_out_once_all_are_called(
    leaving: type[BaseException],
) -> None:
    def out() -> None:
        raise leaving

    caller = Caller()
    with pytest.raises(leaving):
        announce((), [out, caller])
    assert caller.called.is_set()


def test_without_a_thread_to_be_had_they_are_called_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather late than never."""

    def no_more(*job: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("_thread.start_new_thread", no_more)
    caller = Caller()
    announce((), [caller], apart=True)
    assert caller.threads == [threading.get_ident()]
