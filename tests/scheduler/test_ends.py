"""Every run has its end, whatever hooks, callbacks, clocks and Ctrl-C do about it."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import FrameType
from typing import Any

import pytest

from cano_sync import (
    ConfigurationError,
    JoinConfig,
    JoinError,
    JoinStrategy,
    TaskExecutionError,
    Workflow,
    WorkflowCancelledError,
    abandoned_tasks,
)
from cano_sync.scheduler import Backoff, FlowObserver, Scheduler, SystemClock
from tests.conftest import Eventually
from tests.scheduler.conftest import Fails, Held, one

DONE = one(lambda: "DONE")


class WantsOut(BaseException):
    """As a test framework's, or that of another library of tasks."""


class Raises(FlowObserver):
    """Raises in the hooks of a flow."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def flow_started(self, **_: object) -> None:
        raise self._error

    def flow_backed_off(self, **_: object) -> None:
        raise self._error


def test_one_beside_the_program_runs_until_it_was_stopped(eventually: Eventually) -> None:
    scheduler = Scheduler()
    with scheduler.start_in_background() as background:
        assert background.is_running
        scheduler.stop()
        eventually(lambda: not background.is_running)


def test_whatever_an_observer_raises_the_clock_goes_on(
    caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    scheduler = Scheduler(observers=[Raises(WantsOut())])
    scheduler.every("flow", DONE, "GO", 0.01)
    with scheduler.start_in_background():
        eventually(lambda: scheduler.status("flow").runs >= 2)
    assert "flow_started" in caplog.text


@pytest.mark.parametrize("error", [WantsOut(), KeyboardInterrupt()])
def test_whatever_an_observer_raises_a_run_has_its_end(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = Scheduler(observers=[_only_at_the_end(error)])
    scheduler.manual("flow", one(Fails()), "GO", backoff=Backoff(1))
    with scheduler.start_in_background(), pytest.raises(TaskExecutionError):
        scheduler.trigger("flow").result(20)
    assert caplog.records


def _only_at_the_end(error: BaseException) -> FlowObserver:
    class AtTheEnd(FlowObserver):
        def flow_backed_off(self, **_: object) -> None:
            raise error

    return AtTheEnd()


class Failing(SystemClock):
    """Fails on the threads of flows, as long as the test wants it."""

    is_broken = False

    def monotonic(self) -> float:
        if self.is_broken and threading.current_thread().name.startswith("cano-flow"):
            raise OSError("no clock")
        return super().monotonic()


def test_a_clock_that_fails_at_the_end_of_a_run_does_not_prevent_it(held: Held) -> None:
    clock = Failing()
    scheduler = Scheduler(clock=clock)
    scheduler.manual("flow", one(held), "GO")
    with scheduler.start_in_background():
        future = scheduler.trigger("flow")
        held.wait()
        clock.is_broken = True
        held.release()
        assert future.result(20) == "DONE"
        clock.is_broken = False
        assert scheduler.status("flow").last_result == "DONE"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_clock_that_fails_for_good_leaves_no_future_without_its_end(
    gate: threading.Event,
) -> None:
    class Broken(Failing):
        def wall(self) -> float:
            if self.is_broken:
                raise OSError("no clock")
            return super().wall()

    clock = Broken()
    scheduler = Scheduler(clock=clock)
    scheduler.manual("flow", one(lambda: gate.wait(20) and "DONE"), "GO")
    background = scheduler.start_in_background()
    future = scheduler.trigger("flow")
    clock.is_broken = True
    background._dispatcher._wake()
    with pytest.raises(WorkflowCancelledError):
        future.result(20)
    with pytest.raises(OSError, match="no clock"):
        background.close()


def test_stop_says_so_even_if_the_clock_fails() -> None:
    class Broken(SystemClock):
        def monotonic(self) -> float:
            if threading.current_thread() is threading.main_thread() and self.is_broken:
                raise OSError("no clock")
            return super().monotonic()

        is_broken = False

    clock = Broken()
    scheduler = Scheduler(clock=clock)
    with scheduler.start_in_background() as background:
        clock.is_broken = True
        with pytest.raises(OSError, match="no clock"):
            scheduler.stop(5)
        background._thread.join(20)
        assert not background._thread.is_alive()


# Done-callbacks.


def test_a_callback_that_blocks_is_abandoned_when_the_time_is_up(
    held: Held, gate: threading.Event
) -> None:
    scheduler = Scheduler()
    scheduler.manual("flow", one(held), "GO")
    with scheduler.start_in_background(stop_timeout=0):
        future = scheduler.trigger("flow")
        blocked = threading.Event()
        future.add_done_callback(lambda _: (blocked.set(), gate.wait(20)))
        held.wait()
        held.release()
        assert blocked.wait(20)
    assert not gate.is_set()
    assert abandoned_tasks() == 1


def test_a_callback_may_trigger_another_flow_and_stop_the_scheduler(held: Held) -> None:
    scheduler = Scheduler()
    scheduler.manual("first", one(held), "GO")
    scheduler.manual("second", DONE, "GO")
    second: list[Any] = []

    def go_on(_: object) -> None:
        second.append(scheduler.trigger("second"))
        scheduler.stop()

    with scheduler.start_in_background() as background:
        scheduler.trigger("first").add_done_callback(go_on)
        held.release()
        background._thread.join(20)
    assert second[0].result(0) == "DONE"


def test_close_in_a_flow_is_a_clear_error_and_not_a_deadlock() -> None:
    scheduler = Scheduler()
    scheduler.manual("flow", one(lambda: background.close() or "DONE"), "GO")
    background = scheduler.start_in_background()
    with pytest.raises(ConfigurationError, match=r"call stop\(\)"):
        scheduler.trigger("flow").result(20)
    background.close()


def test_nor_is_it_in_a_branch_of_a_split_or_deeper() -> None:
    def nested() -> None:
        one(lambda: background.close() or "DONE").with_timeout(60).orchestrate("GO")

    branches = [lambda: background.close(), nested]
    workflow = (
        Workflow()
        .register_split("GO", branches, JoinConfig(JoinStrategy.ALL, "DONE"))
        .add_exit_state("DONE")
    )
    scheduler = Scheduler()
    scheduler.manual("flow", workflow, "GO")
    background = scheduler.start_in_background()
    error = scheduler.trigger("flow").exception(20)
    assert isinstance(error, JoinError)
    assert error.result is not None
    assert [str(outcome.error).count("call stop()") for outcome in error.result.errors] == [1, 1]
    background.close()


def test_what_a_flow_has_submitted_stands_on_its_own_and_may_close() -> None:
    submitted: list[Future[str]] = []

    def submit() -> str:
        submitted.append(one(lambda: background.close() or "DONE").submit("GO"))
        return "DONE"

    scheduler = Scheduler()
    scheduler.manual("flow", one(submit), "GO")
    background = scheduler.start_in_background()
    assert scheduler.trigger("flow").result(20) == "DONE"
    assert submitted[0].result(20) == "DONE"
    assert str(scheduler.status("flow").state) == "stopped"


# Ctrl-C in trigger().


class Interrupting:
    """Raises KeyboardInterrupt at the n-th step that the library's code takes on this thread.

    A step is the beginning or the end of a call, where Python looks for signals.
    """

    def __init__(self, number: int, within: Callable[[FrameType], bool]) -> None:
        self.has_struck = False
        self._left = number
        self._within = within

    def __call__(self, frame: FrameType, event: str, argument: object) -> Any:
        if not self._within(frame):
            return None
        if event in ("call", "return"):
            if self._left == 0:
                self.has_struck = True
                sys.settrace(None)
                raise KeyboardInterrupt
            self._left -= 1
        return self

    def __enter__(self) -> Interrupting:
        self._before = sys.gettrace()
        sys.settrace(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> bool:
        sys.settrace(self._before)
        return kind is KeyboardInterrupt


STEPS = {"trigger", "_begin", "start", "_hand_over", "begin", "_emit", "__init__"}


def _of_a_trigger(frame: FrameType) -> bool:
    code = frame.f_code
    return "scheduler" in code.co_filename and code.co_name in STEPS


def test_ctrl_c_in_trigger_loses_no_run_and_begins_none_twice(eventually: Eventually) -> None:
    number = 0
    while True:
        scheduler = Scheduler()
        scheduler.manual("flow", DONE, "GO")
        with scheduler.start_in_background():
            with Interrupting(number, _of_a_trigger) as interrupting:
                scheduler.trigger("flow")
            if not interrupting.has_struck:
                break
            eventually(lambda: str(scheduler.status("flow").state) == "idle")  # noqa: B023
            assert scheduler.trigger("flow").result(20) == "DONE"
        number += 1
    assert number > 10


def test_a_run_is_either_executed_or_dropped(held: Held) -> None:
    """As when Ctrl-C comes after its thread has got it."""
    scheduler = Scheduler()
    scheduler.manual("flow", one(held), "GO")
    begin = scheduler._dispatcher._hand_over

    def interrupted(*given: Any) -> None:
        begin(*given)
        held.wait()
        raise KeyboardInterrupt

    with scheduler.start_in_background():
        scheduler._dispatcher._hand_over = interrupted  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            scheduler.trigger("flow")
        with pytest.raises(ConfigurationError, match="it is running"):
            scheduler.trigger("flow")
        held.release()
    assert scheduler.status("flow").last_result == "DONE"


# A process that was forked while a scheduler runs.

forks = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system has no fork"
)
# Python 3.12 and later warn of it: there are threads.
at_ones_own_risk = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@forks
@at_ones_own_risk
def test_a_forked_process_ends_though_the_threads_of_flows_are_not_there() -> None:
    scheduler = Scheduler()
    scheduler.manual("flow", DONE, "GO")
    with scheduler.start_in_background():
        scheduler.trigger("flow").result(20)
        child = multiprocessing.get_context("fork").Process(target=os.getpid)
        child.start()
        child.join(20)
        ended = child.exitcode
        child.kill()
        child.join()
    assert ended == 0


@forks
@at_ones_own_risk
def test_a_forked_process_cannot_trigger_what_runs_in_its_parent() -> None:
    scheduler = Scheduler()
    scheduler.manual("flow", DONE, "GO")
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def try_it() -> None:
        try:
            scheduler.trigger("flow").result(20)
        except ConfigurationError as error:
            theirs.send(str(error))

    with scheduler.start_in_background():
        scheduler.trigger("flow").result(20)
        child = context.Process(target=try_it)
        child.start()
        assert ours.poll(20)
        assert "was forked" in ours.recv()
        child.join(20)
