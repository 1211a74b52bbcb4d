"""Fixtures of the command line's tests: workflows in a folder, a quick runner, real terminals."""

from __future__ import annotations

import fcntl
import inspect
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cano_sync import Workflow
from cano_sync.cli.program import program
from cano_sync.scheduler import FlowState, FlowStatus
from tests.conftest import MEASURED

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0

SHOP = '''
"""Workflows that tests run."""
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Literal

from cano_sync.cli import run as cli_run
from cano_sync import (
    CancellationToken, JoinConfig, JoinStrategy, Store, TaskConfig, Workflow, current_token, task
)

Quote = Enum("Quote", "ASK CHOOSE DONE NO_OFFER")


def ask(price, name, store) -> None:
    return [price, name]


def choose(store) -> Literal[Quote.DONE, Quote.NO_OFFER]:
    store.put("best", min(store.get("offers"), default=None))
    return Quote.DONE if store.get("limit", default=100) > store.get("best")[0] else Quote.NO_OFFER


prices = {"swift": 9.5, "steady": 8.9}
offers = [task(name=name)(partial(ask, price, name)) for name, price in prices.items()]
workflow = (
    Workflow()
    .register_split(Quote.ASK, offers, JoinConfig(JoinStrategy.ALL, Quote.CHOOSE, collect="offers"))
    .register(Quote.CHOOSE, choose)
    .add_exit_states(Quote.DONE, Quote.NO_OFFER)
)
invalid = Workflow().register(Quote.CHOOSE, choose)


def make():
    return workflow


def one(work, **config):
    """A workflow of one task."""
    def step(store, cancel: CancellationToken) -> Literal[Quote.DONE]:
        work(store, cancel)
        return Quote.DONE
    return Workflow().register(Quote.ASK, step, **config).add_exit_state(Quote.DONE)


executor = ThreadPoolExecutor(1)
shut_down = workflow.with_executor(executor)
executor.shutdown()


def fail(store, cancel):
    raise ValueError("no such\\norder")


def sleep(store, cancel):
    ready()
    cancel.sleep(60)


def deaf(store, cancel):
    ready()
    time.sleep(60)


def ready():
    """Tell the test, in one write, that the task is at work."""
    os.write(2, b"READY\\n")


def tidy(store, cancel):
    """Takes its time to clean up."""
    try:
        sleep(store, cancel)
    finally:
        time.sleep(0.2)
        Path("tidied").touch()


def cancel_it(store, cancel):
    current_token().cancel("enough")


def user_thread(store, cancel):
    threading.Thread(target=time.sleep, args=(60,)).start()


def leave(store, cancel):
    sys.exit(7)


failing, sleeping, is_deaf, is_tidy = one(fail), one(sleep), one(deaf), one(tidy)
cancelling, threaded, leaving = one(cancel_it), one(user_thread), one(leave)


def nest(store):
    return one(lambda store, cancel: cancel.sleep(60)).with_timeout(0.01).orchestrate(Quote.ASK)


def nest_and_cancel(store):
    token = CancellationToken()
    token.cancel("enough")
    return sleeping.orchestrate(Quote.ASK, cancel=token)


cancelling_inside = Workflow().register(Quote.CHOOSE, nest_and_cancel).add_exit_state(Quote.DONE)
nesting = Workflow().register(Quote.CHOOSE, nest).add_exit_state(Quote.DONE)


def executor_of_its_own():
    """A branch that is abandoned on an executor of the user's."""
    def straggler(store):
        time.sleep(60)
    return (
        Workflow()
        .register_split(
            Quote.ASK, [straggler, lambda store: 1], JoinConfig(JoinStrategy.ANY, Quote.DONE)
        )
        .add_exit_state(Quote.DONE)
        .with_executor(ThreadPoolExecutor(2))
    )


def branches():
    """Two that listen, and one that is deaf."""
    cli_run.MOMENT = 0.5  # a busy machine may need more than a moment to abandon the deaf one
    def listening(seconds, store, cancel: CancellationToken):
        cancel.sleep(seconds)
    def not_listening(store):
        ready()
        time.sleep(60)
    far, near = partial(listening, 61), partial(listening, 60)
    tasks = [task(name="near")(near), task(name="far")(far), task(name="deaf")(not_listening)]
    return (
        Workflow()
        .register_split(Quote.ASK, tasks, JoinConfig(JoinStrategy.ALL, Quote.DONE))
        .add_exit_state(Quote.DONE)
    )
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, with `shop.py` in it; what is imported from there is forgotten."""
    (tmp_path / "shop.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            for value in vars(sys.modules.pop(name)).values():
                if isinstance(value, Workflow):
                    value.description  # noqa: B018 - it counts as used, and is dropped in silence


Cli = Callable[..., Result]

# click before 8.2 puts both streams together, unless they are kept apart.
APART: dict[str, Any] = (
    {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
)


@pytest.fixture
def cli(folder: Path) -> Cli:
    """`cli("run", "shop:workflow")` does it in this process."""

    def invoke(*arguments: str, input: str | None = None) -> Result:
        return CliRunner(**APART).invoke(program, arguments, input=input, prog_name="cano-sync")

    return invoke


@pytest.fixture
def environment() -> dict[str, str]:
    """That of a child process: it finds the library that is tested, and no settings of ours."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM", "PYTHONUNBUFFERED")
    }
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(filter(None, paths))
    return {**kept, **MEASURED, "PYTHONPATH": path, "TERM": "xterm-256color"}


COMMAND = (sys.executable, "-m", "cano_sync.cli")

# The child makes the terminal its own, so that the key Ctrl-C is a signal to it; and it hears
# that signal even if these tests run in the background of a shell, which ignores it.
ON_A_TERMINAL = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.default_int_handler)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A program on a terminal: what it shows, and the keys that are pressed.

    Args:
        command: the program.
        environment: its environment.
        piped: whether its stdout is a pipe, as in `cano-sync run ... | cat`.
        size: columns and rows.
    """

    def __init__(
        self,
        *command: str,
        environment: dict[str, str],
        piped: bool = False,
        size: tuple[int, int] = (100, 40),
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", ON_A_TERMINAL, *command],
            stdin=slave,
            stdout=subprocess.PIPE if piped else slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)
        self.shown = ""

    def until(self, text: str) -> None:
        """Wait until it has shown this."""
        limit = time.monotonic() + PATIENCE
        while text not in self.shown:
            assert self._read(limit), f"{text!r} did not come; there was {self.shown!r}"

    def _read(self, limit: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, limit - time.monotonic()))
        try:
            data = os.read(self._master, 4096) if ready else b""
        except OSError:  # how Linux says that nobody is left on the other side
            data = b""
        self.shown += data.decode(errors="replace")
        return bool(data)

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def ended(self) -> tuple[int, str]:
        """Its exit code, and what was on stdout where that is a pipe."""
        limit = time.monotonic() + PATIENCE
        while self._read(limit):
            pass
        out = self.process.stdout.read().decode() if self.process.stdout else ""
        return self.process.wait(PATIENCE), out

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        os.close(self._master)


@pytest.fixture
def terminal(folder: Path, environment: dict[str, str]) -> Iterator[Callable[..., Terminal]]:
    """`terminal("run", "shop:workflow", "--live")` begins it on a terminal of its own."""
    opened: list[Terminal] = []

    def begin(
        *arguments: str,
        command: tuple[str, ...] = COMMAND,
        settings: dict[str, str] | None = None,
        **how: object,
    ) -> Terminal:
        one = Terminal(*command, *arguments, environment={**environment, **(settings or {})}, **how)
        opened.append(one)
        return one

    yield begin
    for one in opened:
        one.close()


Child = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def child(folder: Path, environment: dict[str, str]) -> Child:
    """`child("run", "shop:workflow")` runs it as a process, with pipes, to its end."""

    def run(*arguments: str, **how: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env=environment,
            check=False,
            **how,
        )

    return run


# The flows of a scheduler.

NOW = datetime(2026, 11, 25, 5, 48, tzinfo=UTC)
ZONE = timezone(timedelta(hours=1))


def flow(name: str, state: FlowState = FlowState.IDLE, **facts: Any) -> FlowStatus:
    """A flow of which nothing is known but these facts."""
    nothing = dict.fromkeys(("last_start", "last_duration", "last_result", "last_error"))
    counts = {"runs": 0, "failures": 0, "skipped": 0, "next_due": None}
    what = {"schedule": "by hand", "tags": frozenset(), **nothing, **counts, **facts}
    return FlowStatus(id=name, state=state, **what)


def later(seconds: float) -> datetime:
    """So many seconds after `NOW`, in the machine's time zone."""
    return (NOW + timedelta(seconds=seconds)).astimezone(ZONE)
