"""Fixtures that all tests share: gates for deaf tasks, and a look at who is left behind."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from types import FunctionType

import pytest
from hypothesis import settings

from cano_sync import abandoned_tasks
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


def pytest_configure(config: pytest.Config) -> None:
    """Take coverage's variables from the environment of the processes that perform tests."""
    hands_out_tests = config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput")
    if not hands_out_tests:  # else its workers are children that are to be measured
        for name in ("COVERAGE_PROCESS_CONFIG",):
            if name in os.environ:
                MEASURED[name] = os.environ.pop(name)


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
def nobody_left_behind() -> Iterator[None]:
    """A test must release the tasks that its runs have abandoned."""
    yield
    _eventually(lambda: abandoned_tasks() == 0)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What deaf tasks wait on: `gate.wait(20)`. It opens when the test has ended."""
    event = threading.Event()
    yield event
    event.set()
