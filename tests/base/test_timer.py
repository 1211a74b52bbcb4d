"""One thread for all deadlines that nobody waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from cano_sync._base import timer as timer_module
from cano_sync._base.timer import TimerEntry, _Timer
from tests.kit import SOON

LONG = 3600.0


class Threads:
    """Starts the timer's thread as one that can be joined, and that coverage sees."""

    def __init__(self) -> None:
        self.started: list[threading.Thread] = []

    def __call__(self, function: Callable[[], object]) -> bool:
        thread = threading.Thread(target=function, daemon=True)
        self.started.append(thread)
        thread.start()
        return True

    def join(self) -> None:
        for thread in self.started:
            thread.join(SOON)
            assert not thread.is_alive()


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Threads:
    threads = Threads()
    monkeypatch.setattr(timer_module, "on_new_thread", threads)
    monkeypatch.setattr(timer_module, "IDLE", 0.05)
    return threads


def entry(seconds: float, action: Callable[[], object]) -> TimerEntry:
    return TimerEntry(time.monotonic() + seconds, action)


def test_actions_come_in_the_order_of_their_deadlines_on_one_thread(threads: Threads) -> None:
    timer, calls, all_called = _Timer(), list[str](), threading.Event()
    timer.add(entry(0.09, all_called.set))
    timer.add(entry(0.06, lambda: calls.append("late")))
    timer.add(entry(0.03, lambda: calls.append("early")))  # earlier than what is waited for
    timer.add(entry(0.0, lambda: calls.append("at once")))
    assert all_called.wait(SOON)
    assert calls == ["at once", "early", "late"]
    assert len(threads.started) == 1


def test_the_thread_ends_when_there_is_nothing_to_do_and_begins_again(threads: Threads) -> None:
    timer = _Timer()
    for number in (1, 2):
        called = threading.Event()
        timer.add(entry(0.0, called.set))
        assert called.wait(SOON)
        threads.join()
        assert len(threads.started) == number


def test_what_was_cancelled_is_not_called(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    timer, calls, called = _Timer(), list[int](), threading.Event()
    monkeypatch.setattr(timer_module, "_timer", timer)
    first = entry(0.02, lambda: calls.append(1))
    timer.add(first)
    timer.add(entry(0.04, called.set))
    first.cancel()
    first.cancel()
    assert called.wait(SOON)
    assert calls == []
    assert timer.pending() == 0


def test_one_that_is_cancelled_before_it_is_scheduled_leaves_nothing(threads: Threads) -> None:
    cancelled = entry(LONG, lambda: None)
    cancelled.cancel()
    timer_module.schedule(cancelled)
    assert threads.started == []


def test_cancelled_entries_do_not_pile_up(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand requests, each with a deadline of an hour that it does not need."""
    timer = _Timer()
    monkeypatch.setattr(timer_module, "_timer", timer)
    timer._is_running = True  # nobody takes anything out meanwhile
    for _ in range(1_000):
        passing = entry(LONG, lambda: None)
        timer.add(passing)
        passing.cancel()
    assert len(timer._heap) < 3 * timer_module.CROWD
    assert timer.pending() == 0


def test_where_there_was_no_thread_the_next_entry_tries_again(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    timer, both = _Timer(), threading.Barrier(3)
    with monkeypatch.context() as patch:
        patch.setattr(timer_module, "on_new_thread", lambda function: False)
        timer.add(entry(0.0, lambda: threads(both.wait)))
    timer.add(entry(0.0, lambda: threads(both.wait)))
    both.wait(SOON)


def test_a_forked_child_has_deadlines_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    parents = _Timer()
    parents._is_running = True
    parents.add(entry(LONG, lambda: None))
    monkeypatch.setattr(timer_module, "_timer", parents)
    timer_module._restart()
    assert timer_module._timer is not parents
    assert timer_module._timer.pending() == 0


def test_an_action_that_raises_is_logged_and_the_others_are_still_called(
    threads: Threads, caplog: pytest.LogCaptureFixture
) -> None:
    def leave() -> None:
        raise SystemExit(3)

    timer, called = _Timer(), threading.Event()
    timer.add(entry(0.0, leave))
    timer.add(entry(0.02, called.set))
    assert called.wait(SOON)
    assert "SystemExit" in caplog.text


def test_ctrl_c_before_the_thread_has_begun_leaves_the_next_entry_to_start_it(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(function: Callable[[], object]) -> bool:
        raise KeyboardInterrupt

    timer, called = _Timer(), threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(timer_module, "on_new_thread", interrupt)
        with pytest.raises(KeyboardInterrupt):
            timer.add(entry(LONG, lambda: None))
    timer.add(entry(0.0, called.set))
    assert called.wait(SOON)


def test_of_two_threads_that_were_started_one_goes_home(threads: Threads) -> None:
    timer = _Timer()
    timer.add(entry(LONG, lambda: None))
    waiting = threads.started[0]
    while not timer._is_running:
        waiting.join(0.001)
    threads(timer._run)
    threads.started[1].join(SOON)
    assert not threads.started[1].is_alive()
    assert waiting.is_alive()
