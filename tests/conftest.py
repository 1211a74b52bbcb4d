"""Fixtures that all tests share: gates for deaf tasks, and a look at what is abandoned."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from hypothesis import settings

from cano_sync import wait_for_abandoned
from tests.distribution import Grouped
from tests.kit import SOON, Eventually

# The same examples each time; a busy machine is no reason to fail.
settings.register_profile("cano_sync", derandomize=True, deadline=None, database=None)
settings.load_profile("cano_sync")

# What makes coverage follow a child process: a test adds it to the environment of a child that is
# to be measured. Most children are left alone: they fork beside busy threads and die by signals,
# and coverage has locks of its own.
MEASURED: dict[str, str] = {}

# Files that are only checked: pytest must not import them, not even for doctests.
collect_ignore = ["typing/gaps.py", "typing/mistakes.py", "typing/workflow.py"]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Grouped | None:
    """Ours is for `--numprocesses` alone; who names a way of distribution gets that."""
    return Grouped(config, log) if config.getoption("dist") == "load" else None


def pytest_configure(config: pytest.Config) -> None:
    """Set up the environment that processes of tests find."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As in the background of a shell. Children would inherit it, and be deaf to Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    is_worker = hasattr(config, "workerinput")
    # Hundreds of children, and pytest's own, would each compile the library and its tests.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if is_worker or config.getoption("dist") == "no":  # it performs tests, and hands out none
        for name in ("COVERAGE_PROCESS_CONFIG",):
            if name in os.environ:
                MEASURED[name] = os.environ.pop(name)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Import all files of tests, each process of pytest-xdist in another order.

    It is pytest that compiles them, with its assertions, which takes longer than all else that
    precedes the tests; and what one process has compiled, the others need not. A file that cannot
    be imported here is left to pytest, which says why.
    """
    worker = getattr(session.config, "workerinput", None)
    if worker is None or session.config.args != session.config.getini("testpaths"):
        return
    here = Path(__file__).parent
    names = [
        ".".join(file.relative_to(here.parent).with_suffix("").parts)
        for file in sorted(here.rglob("test_*.py"))
    ]
    first = len(names) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    for name in names[first:] + names[:first]:
        with warnings.catch_warnings(), suppress(Exception, pytest.skip.Exception):
            warnings.simplefilter("error")
            import_module(name)


def pytest_collection_finish() -> None:
    """Thousands of tests are there to stay: to look at them costs a collection 0.3 seconds."""
    gc.collect()
    gc.freeze()


def pytest_make_parametrize_id(val: object) -> str | None:
    """A name without an address, so that each process of pytest-xdist collects the same tests."""
    if isinstance(val, FunctionType):
        return val.__qualname__.replace("<locals>.", "")
    return None


def _eventually(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < limit, "what should come true did not"
        time.sleep(0.001)  # the threads that make it true belong to the engine: nobody tells us


@pytest.fixture
def eventually() -> Eventually:
    """`eventually(condition)` waits until the condition holds; fails when it never does."""
    return _eventually


@pytest.fixture(autouse=True)
def nothing_abandoned() -> Iterator[None]:
    """A test must release the tasks that its runs have abandoned."""
    yield
    assert wait_for_abandoned(SOON)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What deaf tasks wait on: `gate.wait(20)`. It opens when the test has ended."""
    event = threading.Event()
    yield event
    event.set()
