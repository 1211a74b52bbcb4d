"""Law 9: Ctrl-C ends a program promptly, and no thread of ours keeps an interpreter alive."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from textwrap import dedent, indent

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there SIGINT is another thing")

StartScript = Callable[[str], "subprocess.Popen[str]"]

PROMPT = 2.5
"""Seconds that pass for at once, for a whole interpreter on a busy machine; the tasks are deaf
for eight."""

PRELUDE = """
    import atexit, sys, threading, time
    from cano_sync import *

    DEAF = 8
    gate = threading.Event()
    called = threading.Event()
    lock = threading.Lock()
    lock.acquire()

    def say(what):
        sys.stdout.write(what + "\\n")  # at one go: two threads may speak
        sys.stdout.flush()

    def ready():
        # After Ctrl-C the callbacks run in a thread of their own, which no exit waits for.
        atexit.register(called.wait, 10)
        say("ready")

    def one(task, config=None):
        return Workflow().register("A", task, config).add_exit_state("DONE")

    def split(*tasks, **options):
        config = JoinConfig(options.pop("strategy", JoinStrategy.ALL), "DONE", **options)
        return Workflow().register_split("A", tasks, config).add_exit_state("DONE")

    def saying(what):
        return lambda: (say(what), called.set())

    def listening(store, cancel):
        "Deaf, but with a callback: in Python code that Ctrl-C can interrupt on the main thread."
        cancel.on_cancel(saying("cancelled"))
        ready()
        gate.wait(DEAF)
        return "DONE"

    def in_c(store, cancel):
        "In one long call of C code."
        cancel.on_cancel(saying("cancelled"))
        ready()
        lock.acquire(timeout=DEAF)
        return "DONE"

    def swallowing(store, cancel):
        "Catches whatever can be caught."
        cancel.on_cancel(saying("cancelled"))
        ready()
        end = time.monotonic() + DEAF
        while time.monotonic() < end:
            try:
                while time.monotonic() < end:
                    cancel.check()
                    time.sleep(0.01)
            except BaseException:
                time.sleep(0.01)
        return "DONE"
    """


def program(body: str) -> str:
    return dedent(PRELUDE) + "\n" + dedent(body)


def interrupted(process: subprocess.Popen[str]) -> tuple[float, int, list[str], str]:
    """Press Ctrl-C once it is ready; the seconds it took then, its exit, what it said."""
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.05)  # it has said "ready" a moment before it waits; no event could tell when
    pressed = time.monotonic()
    process.send_signal(signal.SIGINT)
    said, complaints = process.communicate(timeout=45)
    return time.monotonic() - pressed, process.returncode, said.split(), complaints


RUNS: dict[str, str] = {
    "a task on the main thread": "one(listening).orchestrate('A')",
    "a task in C code on the main thread": "one(in_c).orchestrate('A')",
    "an error state": """
        (Workflow().register("A", lambda: 1 / 0, error_state="B").register("B", listening)
         .add_exit_state("DONE").orchestrate("A"))
        """,
    "a split": "split(listening).orchestrate('A')",
    "a split of tasks in C code": "split(in_c, lambda: time.sleep(DEAF)).orchestrate('A')",
    "a split of tasks that swallow everything": "split(swallowing).orchestrate('A')",
    "a split with a time limit": "split(listening, timeout=60).orchestrate('A')",
    "a split under a bulkhead": "split(listening, listening, bulkhead=1).orchestrate('A')",
    "a split on an executor of one's own": """
        from concurrent.futures import ThreadPoolExecutor
        executor = ThreadPoolExecutor(2)
        split(patient, lambda: None).with_executor(executor).orchestrate("A")
        """,
    "a run that moved": "one(listening).with_timeout(60).orchestrate('A')",
    "a run that moved, in C code": "one(in_c).with_timeout(60).orchestrate('A')",
    "a run that moved, and swallows all": "one(swallowing).with_timeout(60).orchestrate('A')",
    "a run with a token": "one(listening).orchestrate('A', cancel=CancellationToken())",
    "a split in a run that moved": "split(in_c).with_timeout(60).orchestrate('A')",
    "an attempt with a limit": """
        one(in_c, TaskConfig().with_attempt_timeout(60)).orchestrate("A")
        """,
    "a sleep between two attempts": """
        def failing(store, cancel):
            cancel.on_cancel(saying("cancelled"))
            ready()
            raise ValueError

        one(failing, TaskConfig().with_fixed_retry(5, DEAF)).orchestrate("A")
        """,
    "a sleep of a task's token": """
        def sleeping(store, cancel):
            cancel.on_cancel(saying("cancelled"))
            ready()
            cancel.sleep(DEAF)
            return "DONE"

        one(sleeping).orchestrate("A")
        """,
    "a nested run": "one(lambda: one(listening).orchestrate('A')).orchestrate('A')",
    "a nested split": "one(lambda: split(in_c).orchestrate('A')).orchestrate('A')",
    "a run nested in a branch": "split(lambda: split(in_c).orchestrate('A')).orchestrate('A')",
    "a run nested in a run that moved": """
        inner = one(lambda: split(in_c).with_timeout(60).orchestrate("A"))
        one(lambda: inner.orchestrate("A")).with_timeout(60).orchestrate("A")
        """,
}

PATIENT = """
    def patient(store, cancel):
        "Listens: somebody else's executor waits for its threads at the interpreter's exit."
        cancel.on_cancel(saying("cancelled"))
        ready()
        cancel.sleep(DEAF)
    """


@pytest.mark.parametrize("what", RUNS)
def test_ctrl_c_cancels_the_runs_token_and_ends_the_program(
    what: str, start_script: StartScript
) -> None:
    process = start_script(program(dedent(PATIENT) + dedent(RUNS[what])))
    took, code, said, complaints = interrupted(process)
    assert took < PROMPT
    assert code == -signal.SIGINT, complaints
    assert said == ["cancelled"]
    assert complaints.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize("what", ["a task on the main thread", "a split", "a run that moved"])
def test_it_arrives_at_the_caller_as_the_keyboard_interrupt_that_it_is(
    what: str, start_script: StartScript
) -> None:
    caught = f"""
try:
{indent(dedent(RUNS[what]), "    ")}
except Exception as error:
    print("an error:", error)
except KeyboardInterrupt:
    say("caught")
    sys.exit(3)
"""
    process = start_script(program(caught))
    took, code, said, complaints = interrupted(process)
    assert took < PROMPT
    assert code == 3, complaints
    assert sorted(said) == ["cancelled", "caught"]


def test_no_error_state_catches_it(start_script: StartScript) -> None:
    process = start_script(
        program(
            """
            (Workflow().register("A", listening, error_state="B").register("B", saying("mended"))
             .add_exit_state("DONE").orchestrate("A"))
            """
        )
    )
    _, code, said, complaints = interrupted(process)
    assert code == -signal.SIGINT, complaints
    assert said == ["cancelled"]


def test_no_retry_catches_it(start_script: StartScript) -> None:
    body = "one(listening, TaskConfig().with_fixed_retry(5, 0)).orchestrate('A')"
    _, code, said, complaints = interrupted(start_script(program(body)))
    assert code == -signal.SIGINT, complaints
    assert said == ["cancelled"]


def test_after_it_the_program_may_go_on_and_run_more(start_script: StartScript) -> None:
    process = start_script(
        program(
            """
            try:
                split(in_c, lambda: gate.wait(DEAF)).with_timeout(60).orchestrate("A")
            except KeyboardInterrupt:
                pass
            while abandoned_tasks() < 2:
                time.sleep(0.001)
            say(split(lambda: None, lambda: None).with_timeout(60).orchestrate("A"))
            """
        )
    )
    took, code, said, complaints = interrupted(process)
    assert took < PROMPT
    assert code == 0, complaints
    assert sorted(said) == ["DONE", "cancelled"]


# The interpreter's exit.

EXITS: dict[str, str] = {
    "idle threads of a split": "split(*[lambda: time.sleep(0.01)] * 20).orchestrate('A')",
    "an idle thread of a run that moved": "one(lambda: 'DONE').with_timeout(60).orchestrate('A')",
    "idle threads of nested runs": """
        inner = split(lambda: None, lambda: None)
        split(*[lambda: inner.orchestrate("A")] * 4).with_timeout(60).orchestrate("A")
        """,
    "a deaf branch": "split(in_c, lambda: None, strategy=JoinStrategy.ANY).orchestrate('A')",
    "a deaf branch behind a deadline": """
        partial = JoinStrategy.PARTIAL_TIMEOUT
        split(in_c, lambda: None, strategy=partial, timeout=0.2).orchestrate("A")
        """,
    "a deaf run": """
        try:
            one(in_c).with_timeout(0.2).orchestrate("A")
        except WorkflowTimeoutError:
            pass
        """,
    "a deaf attempt": """
        try:
            one(swallowing, TaskConfig().with_attempt_timeout(0.2)).orchestrate("A")
        except AttemptTimeoutError:
            pass
        """,
    "a deaf task far below": """
        try:
            split(lambda: split(lambda: one(in_c).with_timeout(60).orchestrate("A"))
                  .orchestrate("A"), timeout=0.2).orchestrate("A")
        except SplitTimeoutError:
            pass
        """,
    "a token with a time limit and a callback": """
        CancellationToken(timeout=DEAF).on_cancel(saying("never"))
        """,
}
SIGNED_OFF = """
print("end", flush=True)
"""


def time_to_exit(process: subprocess.Popen[str]) -> tuple[float, str, str]:
    """Seconds from the last line of the program to the end of the process."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("end"):
            break
    ended = time.monotonic()
    rest, complaints = process.communicate(timeout=45)
    return time.monotonic() - ended, said + rest, complaints


@pytest.mark.parametrize("what", EXITS)
def test_an_interpreter_exits_at_once_beside(what: str, start_script: StartScript) -> None:
    process = start_script(program(dedent(EXITS[what]) + SIGNED_OFF))
    took, said, complaints = time_to_exit(process)
    assert process.returncode == 0, complaints
    assert took < PROMPT, said
    assert complaints == ""


@pytest.mark.parametrize("what", ["idle threads of a split", "a deaf branch", "a deaf run"])
def test_and_also_when_the_main_thread_raises(what: str, start_script: StartScript) -> None:
    process = start_script(program(dedent(EXITS[what]) + SIGNED_OFF + "1 / 0\n"))
    took, said, complaints = time_to_exit(process)
    assert process.returncode == 1
    assert took < PROMPT, said
    assert complaints.rstrip().endswith("ZeroDivisionError: division by zero")


def test_an_interpreter_waits_for_a_run_that_was_submitted(start_script: StartScript) -> None:
    """It was not abandoned: it is somebody's work."""
    process = start_script(
        program(
            """
            exiting = threading.Event()
            threading._register_atexit(exiting.set)  # called before the engine's own

            def work():
                exiting.wait(DEAF)
                print("worked", flush=True)
                return "DONE"

            one(work).submit("A")
            """
        )
    )
    said, complaints = process.communicate(timeout=45)
    assert process.returncode == 0, complaints
    assert said == "worked\n"


# Ctrl-C in the middle of the engine's own steps.

AIMED = """
import faulthandler, random, signal, sys, time
from cano_sync import *
from cano_sync._base.waiting import is_waiting
from cano_sync._engine.pool import occupancy

seed, kind = int(sys.argv[1]), sys.argv[2]
faulthandler.dump_traceback_later(30, exit=True)  # a hang is shown, thread by thread
some = random.Random(seed)
listening = [lambda: None, *[lambda store, cancel: cancel.wait(5)] * 2]
done = Workflow().register("A", lambda: "DONE").add_exit_state("DONE")
any_of = (Workflow().register_split("A", listening, JoinConfig(JoinStrategy.ANY, "DONE"))
          .add_exit_state("DONE"))
workflow = {
    "a run that moved": done.with_timeout(60),
    "a split": any_of,
    "a split in a run that moved": any_of.with_timeout(60),
}[kind]

def interrupt(*_):
    raise KeyboardInterrupt

def spin():
    "Until it comes, unless a finalizer has swallowed it."
    late = time.monotonic() + 0.01
    while time.monotonic() < late:
        pass

signal.signal(signal.SIGALRM, interrupt)
end = time.monotonic() + 1
inside = 0
while time.monotonic() < end:
    is_inside = False
    try:
        signal.setitimer(signal.ITIMER_REAL, some.uniform(1e-6, 250e-6))
        is_inside = True
        workflow.orchestrate("A")
        is_inside = False
        spin()
    except KeyboardInterrupt:
        inside += is_inside
    signal.setitimer(signal.ITIMER_REAL, 0)
assert not is_waiting()
assert workflow.orchestrate("A") == "DONE"
assert wait_for_abandoned(10)
late = time.monotonic() + 10
while occupancy()[0] or occupancy()[2]:
    assert time.monotonic() < late, occupancy()
    time.sleep(0.001)
print(inside)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that interrupts")
@pytest.mark.parametrize("kind", ["a run that moved", "a split", "a split in a run that moved"])
def test_ctrl_c_in_the_first_moments_hangs_nothing_and_loses_no_thread(kind: str) -> None:
    """Hundreds of times, in the first 250 microseconds: where locks are taken, threads started."""
    done = subprocess.run(
        [sys.executable, "-c", AIMED, "1", kind],
        capture_output=True,
        text=True,
        timeout=45,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50  # so many came inside
