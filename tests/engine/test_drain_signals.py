"""SIGTERM and Ctrl-C drain a process and end it in time, whatever its main thread is doing."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

import cano_sync
from cano_sync import ConfigurationError, drain_on_signals
from cano_sync._engine.drain_signals import is_drain_handler

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")

ROOT = Path(cano_sync.__file__).parents[1]
AT_MOST = 0.2
"""Seconds after the grace when the process has ended."""
MARGIN = 1.5
"""What a crowded machine may add to that."""

BEGINNING = """
import atexit, hashlib, logging, os, signal, sys, threading, time
from cano_sync import *

logging.basicConfig(level=logging.INFO, format="%(message)s")
atexit.register(print, "atexit", flush=True)

def deaf(store=None):  # in C, and without Python's own lock
    print("begun", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 1 << 30)

def of(task):
    return Workflow().register("A", task).add_exit_state("B")
"""


@dataclass
class Ended:
    """How a script ended."""

    code: int
    seconds: float  # from the signal on
    said: list[str]
    complaints: str


class Script:
    """A script in an interpreter of its own, which says "begun" when it wants its signal."""

    def __init__(self, source: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", BEGINNING + dedent(source)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        if said != "begun\n":
            self.process.kill()
            pytest.fail(f"the script said {said!r}: {self.process.communicate()[1]}")

    def end(self, *signals: signal.Signals, pause: float = 0.1) -> Ended:
        """Send it the signals, and wait for its end."""
        for number in signals[:-1]:
            self.process.send_signal(number)
            time.sleep(pause)  # two signals at once would be one
        began = time.monotonic()
        self.process.send_signal(signals[-1])
        said, complaints = self.process.communicate(timeout=20)
        took = time.monotonic() - began
        return Ended(self.process.returncode, took, said.split(), complaints)


EndScript = Callable[..., Ended]


@pytest.fixture
def scripts() -> Iterator[list[Script]]:
    """What is still running of these when the test has ended is killed."""
    started: list[Script] = []
    yield started
    for script in started:
        script.process.kill()
        script.process.communicate()


@pytest.fixture
def end_script(scripts: list[Script]) -> EndScript:
    """`end_script(source, *signals)` runs it until it is begun, and ends it by signals."""

    def end(source: str, *signals: signal.Signals) -> Ended:
        scripts.append(Script(source))
        return scripts[-1].end(*signals)

    return end


DEAF = {
    "a run on the main thread": "of(deaf).orchestrate('A')",
    "a run on a pool thread": "of(deaf).with_timeout(60).orchestrate('A')",
    "a submitted run": "of(deaf).submit('A'); time.sleep(60)",
    "the main thread, outside of runs": "deaf()",
    "a thread of the user's": "threading.Thread(target=deaf).start(); time.sleep(60)",
}


@pytest.mark.parametrize("what", DEAF)
def test_it_ends_in_time_though_something_is_deaf(what: str, end_script: EndScript) -> None:
    ended = end_script(f"drain_on_signals(0.2)\n{DEAF[what]}", signal.SIGTERM)
    assert ended.code == 128 + signal.SIGTERM
    assert ended.seconds < 0.2 + AT_MOST + MARGIN
    if "run" in what.split():
        assert ended.seconds >= 0.2  # its grace


@pytest.mark.parametrize("what", DEAF)
def test_the_functions_of_atexit_are_called_though_something_is_deaf(
    what: str, end_script: EndScript
) -> None:
    """With more than 0.2 s for it: on a crowded machine those may be over before."""
    source = f"""
    from cano_sync._engine import drain_signals
    drain_signals.END = 10.0
    drain_on_signals(0.2)
    {DEAF[what]}
    """
    ended = end_script(source, signal.SIGTERM)
    assert ended.said == ["atexit"]
    if "run" in what.split():
        assert "1 abandoned" in ended.complaints
        assert "task 'deaf' has been running for" in ended.complaints


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_waits_is_left_at_once(number: signal.Signals, end_script: EndScript) -> None:
    ended = end_script("drain_on_signals(30); print('begun', flush=True); time.sleep(60)", number)
    assert ended.code == 128 + number
    assert ended.seconds < 5
    assert ended.said == ["atexit"]
    assert f"{number.name}: drained in" in ended.complaints


def test_a_run_finishes_and_the_next_one_is_refused(end_script: EndScript) -> None:
    """What nobody catches ends the process as the signal does, and without a traceback."""
    source = """
    drain_on_signals(30)
    def work(store):
        print("begun", flush=True)
        while not draining():
            time.sleep(0.01)
        return "B"
    print(of(work).orchestrate("A"), flush=True)
    of(work).orchestrate("A")
    """
    ended = end_script(source, signal.SIGTERM)
    assert ended.code == 128 + signal.SIGTERM
    assert ended.said == ["B", "atexit"]
    assert "1 finished" in ended.complaints
    assert "Traceback" not in ended.complaints


def test_another_error_is_shown(end_script: EndScript) -> None:
    source = """
    drain_on_signals(30)
    def work(store):
        print("begun", flush=True)
        while not draining():
            time.sleep(0.01)
        raise ValueError("it broke")
    of(work).orchestrate("A")
    """
    ended = end_script(source, signal.SIGTERM)
    assert ended.code == 128 + signal.SIGTERM
    assert "ValueError: it broke" in ended.complaints


def test_a_program_that_comes_to_its_own_end_has_its_own_exit_code(end_script: EndScript) -> None:
    """The runs of other threads have their grace all the same."""
    source = """
    drain_on_signals(30)
    def work(store):
        print("begun", flush=True)
        while not draining():
            time.sleep(0.01)
        time.sleep(0.1)
        print("worked", flush=True)
        return "B"
    threading.Thread(target=of(work).orchestrate, args=["A"], daemon=True).start()
    while not draining():
        time.sleep(0.01)
    sys.exit(7)
    """
    ended = end_script(source, signal.SIGTERM)
    assert ended.code == 7
    assert ended.said == ["worked", "atexit"]


def test_a_second_signal_cancels_at_once(end_script: EndScript) -> None:
    source = """
    drain_on_signals(60)
    def work(store, cancel):
        print("begun", flush=True)
        cancel.sleep(60)
    try:
        of(work).orchestrate("A")
    except WorkflowCancelledError as error:
        os.write(1, f"{error.reason}\\n".encode())
        raise
    """
    ended = end_script(source, signal.SIGTERM, signal.SIGINT)
    assert ended.code == 128 + signal.SIGTERM
    assert ended.seconds < AT_MOST + MARGIN
    assert ended.said == ["the", "process", "is", "ending", "atexit"]
    assert "Traceback" not in ended.complaints


def test_a_second_signal_is_heard_in_a_call_that_does_not_return(end_script: EndScript) -> None:
    ended = end_script(
        "drain_on_signals(60); of(deaf).orchestrate('A')", signal.SIGTERM, signal.SIGTERM
    )
    assert ended.code == 128 + signal.SIGTERM
    assert ended.seconds < AT_MOST + MARGIN


def test_a_function_of_atexit_that_hangs_is_given_up(end_script: EndScript) -> None:
    source = """
    drain_on_signals(0.1)
    atexit.register(deaf)
    print("begun", flush=True)
    time.sleep(60)
    """
    ended = end_script(source, signal.SIGTERM)
    assert ended.code == 128 + signal.SIGTERM
    assert ended.seconds < 0.1 + AT_MOST + MARGIN


def test_who_swallows_the_exit_is_ended_all_the_same(end_script: EndScript) -> None:
    source = """
    drain_on_signals(0.1)
    print("begun", flush=True)
    while True:
        try:
            time.sleep(60)
        except BaseException:
            print("swallowed", flush=True)
    """
    ended = end_script(source, signal.SIGTERM)
    assert ended.code == 128 + signal.SIGTERM
    assert ended.said == ["swallowed", "atexit"]
    assert ended.seconds < 0.1 + AT_MOST + MARGIN


def test_a_handler_that_was_there_is_called_too(end_script: EndScript) -> None:
    source = """
    signal.signal(signal.SIGTERM, lambda number, frame: print("mine", draining(), flush=True))
    drain_on_signals(5)
    def work(store):
        print("begun", flush=True)
        while not draining():
            time.sleep(0.01)
        return "B"
    of(work).orchestrate("A")
    """
    ended = end_script(source, signal.SIGTERM)
    assert ended.code in (0, 128 + signal.SIGTERM)
    assert ended.said[0] == "mine"
    assert ended.said.count("mine") == 1


def test_what_is_ignored_stays_so(end_script: EndScript) -> None:
    source = """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    drain_on_signals(5)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    print("begun", flush=True)
    time.sleep(60)
    """
    ended = end_script(source, signal.SIGINT, signal.SIGTERM)
    assert ended.code == 128 + signal.SIGTERM


def test_a_scheduler_on_the_main_thread_leaves_the_signals_to_it(end_script: EndScript) -> None:
    source = """
    from cano_sync.scheduler import Scheduler
    drain_on_signals(0.2)
    scheduler = Scheduler()
    scheduler.every_seconds("deaf", of(deaf), "A", 60)
    threading.Timer(0.1, lambda: scheduler.trigger("deaf")).start()
    scheduler.start()
    print("stopped", flush=True)
    time.sleep(60)
    """
    ended = end_script(source, signal.SIGTERM)
    assert ended.code == 128 + signal.SIGTERM
    assert ended.seconds < 0.2 + AT_MOST + MARGIN
    assert "1 abandoned" in ended.complaints
    assert ended.said[-1] == "atexit"


def test_a_forked_child_hears_its_own_signals(end_script: EndScript) -> None:
    """Nothing of a drain in the parent is in the child, and the child's are not the parent's."""
    source = """
    drain_on_signals(5)
    atexit.unregister(print)
    child = os.fork()
    if child == 0:
        signal.raise_signal(signal.SIGTERM)
        time.sleep(60)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 143
    assert not draining()
    child = os.fork()
    if child == 0:
        drain_on_signals(5)
        signal.raise_signal(signal.SIGINT)
        time.sleep(60)
    print("begun", flush=True)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130
    time.sleep(60)
    """
    ended = end_script(source, signal.SIGTERM)
    assert ended.code == 128 + signal.SIGTERM, ended.complaints


# Calling it, here.


def test_it_can_be_taken_back() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    fd = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(fd)
    uninstall = drain_on_signals(5)
    assert is_drain_handler(signal.getsignal(signal.SIGTERM))
    with pytest.raises(ConfigurationError, match="is in effect already"):
        drain_on_signals(5)
    uninstall()
    uninstall()
    assert {number: signal.getsignal(number) for number in before} == before
    assert not is_drain_handler(before[signal.SIGTERM])
    now = signal.set_wakeup_fd(fd)
    assert now == fd


def test_what_another_has_put_in_its_place_stays() -> None:
    uninstall = drain_on_signals(5)
    previous = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert is_drain_handler(previous)
        uninstall()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_it_is_called_on_the_main_thread() -> None:
    errors: list[BaseException] = []

    def call() -> None:
        try:
            drain_on_signals()
        except ConfigurationError as error:
            errors.append(error)

    thread = threading.Thread(target=call, name="mine")
    thread.start()
    thread.join()
    assert "must be called on the main thread" in str(errors[0])
    assert "'mine'" in str(errors[0])


def test_its_grace_is_a_duration() -> None:
    with pytest.raises(ConfigurationError, match=r"drain_on_signals\(\)'s grace must be"):
        drain_on_signals(-1)


@pytest.mark.servers
@pytest.mark.timeout(120)
def test_it_ends_in_time_fifty_times_of_fifty(scripts: list[Script]) -> None:
    """Deaf tasks on the main thread and on the pool, and listening ones that end well."""
    source = """
    drain_on_signals(0.3)
    listening = of(lambda store, cancel: cancel.sleep(60))
    threading.Thread(target=listening.orchestrate, args=["A"], daemon=True).start()
    of(lambda: time.sleep(60)).submit("A")
    of(deaf).orchestrate("A")
    """
    took = []
    for _ in range(50):
        scripts.append(Script(source))
        ended = scripts[-1].end(signal.SIGTERM)
        assert ended.code == 128 + signal.SIGTERM, ended.complaints
        took.append(ended.seconds - 0.3)
    print(f"seconds after the grace: median {sorted(took)[25]:.3f}, the worst {sorted(took)[-4:]}")
    assert sorted(took)[-3] < AT_MOST + MARGIN
