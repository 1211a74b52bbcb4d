"""The hunt for late writers: after the fence has closed, no write may be seen, however it races.

Each hunter leaves thousands of tasks behind while they write as fast as they can, takes a copy of
the store at the first moment after that, and compares it with what the store holds once the last
writer has ended. So that the hunters are known to be able to find their prey, the fence is also
broken, in a plain and in a subtle way.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from cano_sync import (
    CancellationToken,
    Cancelled,
    CanoError,
    JoinConfig,
    JoinStrategy,
    MemoryStore,
    TaskConfig,
    Workflow,
    wait_for_abandoned,
)
from cano_sync._base import fence as fence_module
from cano_sync._engine import offload as offload_module
from cano_sync._engine import split as split_module
from tests.backends import Plain
from tests.kit import SOON, Step

SEED = 20_260
MOST = 10_000_000
"""The most writes of one writer: it never gets there, unless nobody stops it."""


def copy_of(store: Any) -> dict[str, Any]:
    return {
        key: list(value) if isinstance(value, list) else value
        for key, value in store.snapshot().items()
    }


class Hunt:
    """One run with its late writers, and what they could still change."""

    def __init__(self, seed: int, make_store: Callable[[], Any] = MemoryStore) -> None:
        self.random = random.Random(seed)
        self.store = make_store()
        self.over = threading.Event()  # for writers that nobody else stops
        self.at_entry: dict[str, Any] | None = None
        self.refused = 0
        self.writing = threading.Event()

    def writer(self, store: Any) -> Step:
        """Write, in a manner of its own, until it is turned away."""
        manner = self.random.choice(MANNERS)
        try:
            for number in range(MOST):
                manner(store, number)
                self.writing.set()
                if self.over.is_set():
                    break
        except Cancelled:
            self.refused += 1
            raise
        return Step.NEXT

    def winner(self) -> None:
        """Ends at any moment after the first write."""
        self.writing.wait(SOON)
        for _ in range(self.random.randrange(200)):
            pass

    def enter(self, store: Any = None) -> Step:
        """The join state, or what else comes after the writers' time."""
        self.at_entry = copy_of(self.store)
        return Step.DONE

    def finish(self) -> None:
        """After the run: whoever is not stopped yet, stops now."""
        if self.at_entry is None:
            self.enter()
        for _ in range(50):
            pass
        self.over.set()

    @property
    def prey(self) -> bool:
        """Whether somebody wrote after the entry. Asked when all have ended."""
        return copy_of(self.store) != self.at_entry


def put(store: Any, number: int) -> None:
    store.put("put", number)


def append(store: Any, number: int) -> None:
    store.append("append", number)


def update(store: Any, number: int) -> None:
    store.update("update", lambda value: value + 1, default=0)


def put_and_remove(store: Any, number: int) -> None:
    store.put(f"here {number % 3}", number)
    store.remove(f"here {(number + 1) % 3}")


def read_and_write(store: Any, number: int) -> None:
    store["put"] = store.get("put", default=0) + len(store)


MANNERS = (put, append, update, put_and_remove, read_and_write)


# What leaves the writers behind.


def workflow_of(hunt: Hunt, first: Any) -> Workflow[Any]:
    return first.register(Step.NEXT, hunt.enter).add_exit_state(Step.DONE)


def join(hunt: Hunt) -> None:
    config = JoinConfig(JoinStrategy.ANY, Step.NEXT)
    tasks = [hunt.winner, *[hunt.writer] * hunt.random.choice((1, 1, 1, 2))]
    hunt.random.shuffle(tasks)
    workflow = workflow_of(hunt, Workflow().register_split(Step.WORK, tasks, config))
    workflow.orchestrate(Step.WORK, store=hunt.store)


def nested_join(hunt: Hunt) -> None:
    """The writers are branches of a run inside the abandoned branch."""
    inside = JoinConfig(JoinStrategy.ALL, Step.DONE)
    inner = Workflow().register_split(Step.WORK, [hunt.writer] * 2, inside)
    inner = inner.add_exit_state(Step.DONE)

    def branch(store: Any) -> None:
        inner.orchestrate(Step.WORK, store=store)

    config = JoinConfig(JoinStrategy.ANY, Step.NEXT)
    first = Workflow().register_split(Step.WORK, [branch, hunt.winner], config)
    workflow_of(hunt, first).orchestrate(Step.WORK, store=hunt.store)


def split_timeout(hunt: Hunt) -> None:
    config = JoinConfig(
        JoinStrategy.ALL, Step.DONE, timeout=hunt.random.uniform(0, 0.001), error_state=Step.NEXT
    )
    first = Workflow().register_split(Step.WORK, [hunt.writer] * 2, config)
    with suppress(CanoError):  # how a run ends is another test's matter, here and below
        workflow_of(hunt, first).orchestrate(Step.WORK, store=hunt.store)


def attempt_timeout(hunt: Hunt) -> None:
    config = TaskConfig().with_attempt_timeout(hunt.random.uniform(0, 0.001))
    first = Workflow().register(Step.WORK, hunt.writer, config, error_state=Step.NEXT)
    with suppress(CanoError):
        workflow_of(hunt, first).orchestrate(Step.WORK, store=hunt.store)


def workflow_timeout(hunt: Hunt) -> None:
    workflow = workflow_of(hunt, Workflow().register(Step.WORK, hunt.writer))
    workflow = workflow.with_timeout(hunt.random.uniform(0, 0.001))
    with suppress(CanoError):
        workflow.orchestrate(Step.WORK, store=hunt.store)


def cancellation(hunt: Hunt) -> None:
    token = CancellationToken()
    run = workflow_of(hunt, Workflow().register(Step.WORK, hunt.writer)).submit(
        Step.WORK, store=hunt.store, cancel=token
    )
    hunt.winner()
    token.cancel()
    run.exception(SOON)


def hunts(
    leave: Callable[[Hunt], None], count: int, make_store: Callable[[], Any] = MemoryStore
) -> tuple[int, int]:
    """So many runs, two at a time: how many writers were refused, how many stores changed."""

    def one(seed: int) -> Hunt:
        hunt = Hunt(seed, make_store)
        try:
            leave(hunt)
        finally:
            hunt.finish()
        return hunt

    refused = prey = 0
    with ThreadPoolExecutor(2) as callers:
        for begin in range(0, count, 100):
            batch = list(callers.map(one, range(SEED + begin, SEED + min(begin + 100, count))))
            assert wait_for_abandoned(SOON), "a writer is not turned away"
            refused += sum(hunt.refused for hunt in batch)
            prey += sum(hunt.prey for hunt in batch)
    return refused, prey


@pytest.fixture(autouse=True)
def nervous() -> Iterator[None]:
    """Threads take turns a hundred times more often, so that everything interleaves."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(before)


# The hunt.

HUNTS: dict[str, tuple[Callable[[Hunt], None], int]] = {
    "a join": (join, 1000),
    "a join around a nested run": (nested_join, 400),
    "a split's timeout": (split_timeout, 400),
    "an attempt's timeout": (attempt_timeout, 400),
    "the workflow's timeout": (workflow_timeout, 400),
    "a cancellation": (cancellation, 400),
}


# Others have one of their kind among these, and are simulated (tests/laws/test_simulated_laws.py).
USUAL = {"a join", "the workflow's timeout", "a cancellation"}


@pytest.mark.parametrize(
    "what",
    [each if each in USUAL else pytest.param(each, marks=pytest.mark.servers) for each in HUNTS],
)
def test_no_write_is_seen_after(what: str) -> None:
    leave, count = HUNTS[what]
    refused, prey = hunts(leave, count)
    assert prey == 0
    assert refused > count / 4  # they were there, and wrote until the last moment


def test_no_write_of_a_users_backend_is_seen_after_a_join(monkeypatch: pytest.MonkeyPatch) -> None:
    """The join waits a moment for a write under way; here that moment is as long as it takes."""
    monkeypatch.setattr(split_module, "WRITE_GRACE", SOON)
    monkeypatch.setattr(offload_module, "WRITE_GRACE", SOON)
    refused, prey = hunts(join, 400, Plain)
    assert prey == 0
    assert refused > 100


# The hunters can find their prey.


def no_check(gate: Any) -> None:
    """A gate that lets everybody pass."""


def no_lock(guard: Any) -> None:
    """A guard that looks at the gate first and takes the lock after that."""
    guard._gate.check()
    guard._lock.acquire()


def only_the_lock(guard: Any, *error: object) -> None:
    guard._lock.release()


@pytest.mark.parametrize("what", HUNTS)
def test_without_the_fence_the_hunters_find_writes(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fence_module.Gate, "check", no_check)
    leave, _ = HUNTS[what]
    _, prey = hunts(leave, 100)
    assert prey > 0


def test_with_a_look_before_the_lock_the_hunters_find_writes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fence_module._Guard, "__enter__", no_lock)
    monkeypatch.setattr(fence_module._Guard, "__exit__", only_the_lock)
    found = 0
    for _ in range(20):
        _, prey = hunts(join, 500)
        found += prey
        if found:
            break
    assert found > 0
