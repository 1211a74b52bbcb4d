"""SIGTERM and Ctrl-C, in interpreters of their own; and what happens at an interpreter's exit."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from textwrap import dedent

import pytest

from cano_sync.scheduler import Scheduler
from cano_sync.scheduler.signals import handling_signals
from tests.scheduler.conftest import one

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there signals are another thing")

PROMPT = 5.0
"""Seconds that pass for at once, for a whole interpreter on a busy machine; the deaf tasks are so
for thirty."""

PRELUDE = """
    import atexit, os, signal, sys, threading, time
    from cano_sync import *
    from cano_sync.scheduler import *

    def say(what):
        sys.stdout.write(what + "\\n")
        sys.stdout.flush()

    def one(task):
        return Workflow().register("GO", task).add_exit_state("DONE")

    def graceful(store, cancel):
        "It does not listen, and needs a moment more."
        say("ready")
        time.sleep(0.5)
        say("done")
        return "DONE"

    def deaf(store):
        say("ready")
        end = time.monotonic() + 30
        while time.monotonic() < end:
            time.sleep(0.1)
        say("done")
        return "DONE"

    def listening(store, cancel):
        say("ready")
        cancel.sleep(30)
        say("done")
        return "DONE"

    def at_once(task, **options):
        scheduler.every("flow", one(task), "GO", 0.01, **options)

    scheduler = Scheduler()
"""


class Child:
    """A program that says by lines on its standard output how far it is."""

    def __init__(self, body: str) -> None:
        code = dedent(PRELUDE) + dedent(body)
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def until(self, line: str) -> None:
        said = self.line()
        if said != line:
            self.process.kill()
            assert said == line, self.process.communicate()[1]

    def press(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, list[str], str, float]:
        """Exit status, what it said since, its complaints, and the seconds it took."""
        began = time.monotonic()
        said, complaints = self.process.communicate(timeout=45)
        return self.process.returncode, said.split(), complaints, time.monotonic() - began


@pytest.fixture
def child() -> Iterator[type[Child]]:
    children: list[Child] = []

    class Kept(Child):
        def __init__(self, body: str) -> None:
            super().__init__(body)
            children.append(self)

    yield Kept
    for each in children:
        each.process.kill()
        each.process.communicate()


both = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


@both
def test_the_first_signal_lets_what_runs_end(number: signal.Signals, child: type[Child]) -> None:
    program = child("at_once(graceful); scheduler.start(); say(str(scheduler.status('flow').runs))")
    program.until("ready")
    program.press(number)
    assert program.end()[:3] == (0, ["done", "1"], "")


@both
@pytest.mark.parametrize("task", ["listening", "deaf"])
def test_the_second_cancels_what_runs(
    task: str, number: signal.Signals, child: type[Child]
) -> None:
    program = child(f"""
        at_once({task})
        def pressed():
            while scheduler.status("flow").runs == 0 or not scheduler._dispatcher._is_stopping:
                time.sleep(0.001)
            say("stopping")
        threading.Thread(target=pressed, daemon=True).start()
        scheduler.start()
        say(type(scheduler.status("flow").last_error).__name__)
        if {task} is listening:
            wait_for_abandoned(10)  # on a busy machine it may take longer than it gets
        say(str(abandoned_tasks()))
        """)
    program.until("ready")
    program.press(number)
    program.until("stopping")
    program.press(number)
    status, said, complaints, took = program.end()
    assert (status, said, complaints) == (
        0,
        ["WorkflowCancelledError", "1" if task == "deaf" else "0"],
        "",
    )
    assert took < PROMPT


@both
def test_a_limit_cancels_without_a_second_signal(
    number: signal.Signals, child: type[Child]
) -> None:
    program = child("at_once(deaf); scheduler.start(stop_timeout=0.05); say('stopped')")
    program.until("ready")
    program.press(number)
    status, said, complaints, took = program.end()
    assert (status, said, complaints) == (0, ["stopped"], "")
    assert took < PROMPT


def test_a_handler_of_ones_own_may_stop_it_wherever_it_interrupts(child: type[Child]) -> None:
    """It comes thousands of times, in the midst of turns and of waits: no lock is taken."""
    program = child("""
        calls = 0
        def handler(number, frame):
            global calls
            calls += 1
            if calls == 2000:
                scheduler.stop()
            elif calls < 2000:
                scheduler._dispatcher._mailbox.put(None)  # what stop() does
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
        for number in range(50):
            scheduler.every(f"flow {number}", one(lambda: "DONE"), "GO", 0.005)
        scheduler.start()
        signal.setitimer(signal.ITIMER_REAL, 0)
        say("stopped" if calls >= 2000 else "too early")
        """)
    assert program.end()[:3] == (0, ["stopped"], "")


@both
def test_a_signal_before_anything_is_due_ends_it(
    number: signal.Signals, child: type[Child]
) -> None:
    program = child("""
        scheduler.every_hours("flow", one(graceful), "GO", 1)
        threading.Timer(0.1, say, ["ready"]).start()
        scheduler.start()
        """)
    program.until("ready")
    program.press(number)
    status, said, complaints, took = program.end()
    assert (status, said, complaints) == (0, [], "")
    assert took < PROMPT


def test_ctrl_c_in_the_block_of_a_background_scheduler_stops_it_and_goes_on(
    child: type[Child],
) -> None:
    program = child("""
        at_once(graceful)
        try:
            with scheduler.start_in_background():
                say("inside")
                time.sleep(30)
        except KeyboardInterrupt:
            say("interrupted")
        """)
    assert {program.line(), program.line()} == {"inside", "ready"}
    program.press(signal.SIGINT)
    assert program.end()[:3] == (0, ["done", "interrupted"], "")


def test_a_second_ctrl_c_while_it_stops_cancels_what_runs(child: type[Child]) -> None:
    program = child("""
        at_once(deaf)
        try:
            with scheduler.start_in_background():
                try:
                    say("inside")
                    time.sleep(30)
                finally:
                    threading.Timer(0.2, say, ["leaving"]).start()
        except KeyboardInterrupt:
            say("interrupted")
        """)
    assert {program.line(), program.line()} == {"inside", "ready"}
    program.press(signal.SIGINT)
    program.until("leaving")
    program.press(signal.SIGINT)
    status, said, complaints, took = program.end()
    assert (status, said, complaints) == (0, ["interrupted"], "")
    assert took < PROMPT


def test_a_program_that_ends_without_stopping_it_waits_for_what_runs_alone(
    child: type[Child],
) -> None:
    program = child("""
        began = threading.Event()
        def first(store, cancel):
            began.set()
            return graceful(store, cancel)
        at_once(first)
        scheduler.every("often", one(lambda: "DONE"), "GO", 0.001)
        background = scheduler.start_in_background()
        began.wait(20)
        """)
    program.until("ready")
    assert program.end()[:3] == (0, ["done"], "")


def test_importing_it_and_running_it_in_the_background_installs_no_handler(
    child: type[Child],
) -> None:
    program = child("""
        import importlib, pkgutil
        import cano_sync.scheduler
        def handlers():
            return [signal.getsignal(number) for number in signal.valid_signals()]
        before = handlers()
        for module in pkgutil.iter_modules(cano_sync.scheduler.__path__):
            importlib.import_module(f"cano_sync.scheduler.{module.name}")
        with scheduler.start_in_background():
            during = handlers()
        defaults = [signal.SIG_DFL, signal.default_int_handler]
        kept = [signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)]
        say("none" if before == during == handlers() and kept == defaults else "some")
        """)
    assert program.end()[:3] == (0, ["none"], "")


def test_they_are_handled_while_it_runs_on_the_main_thread() -> None:
    seen: list[object] = []
    scheduler = Scheduler()

    def look() -> str:
        seen.extend(signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT))
        scheduler.stop()
        return "DONE"

    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    scheduler.every("flow", one(look), "GO", 0.001)
    scheduler.start()
    assert all(handler not in before for handler in seen)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_the_previous_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    scheduler = Scheduler()
    scheduler.stop()
    scheduler.start()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with handling_signals(lambda *_: None):
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_on_another_thread_no_signal_is_handled() -> None:
    seen: list[object] = []

    def look() -> None:
        with handling_signals(lambda *_: None):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]
