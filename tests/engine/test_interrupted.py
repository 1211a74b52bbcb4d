"""Ctrl-C at a chosen step of the engine's own work, and signal handlers in the middle of a lock."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cano_sync import (
    CancellationToken,
    JoinConfig,
    JoinStrategy,
    Store,
    Workflow,
    abandoned_tasks,
    wait_for_abandoned,
)
from cano_sync._base.engine_token import EngineToken
from cano_sync._base.fence import Gate
from cano_sync._engine import pool as pool_module
from cano_sync._engine.jobs import Job
from cano_sync._engine.pool import Pool, process_pool
from cano_sync._engine.tracker import Tracker
from cano_sync._model.hooks import Observer
from cano_sync._model.task import bind
from tests.kit import SOON, Eventually, nothing
from tests.observing import Notes

MAIN = threading.main_thread()
BRIEF = 2.0
"""Seconds after which a test gives up on what would never come."""


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has Ctrl-C come just before or after a method's first call on the main thread."""

    def arrange(owner: type, name: str, *, after: bool, times: int = 1) -> None:
        real, left = getattr(owner, name), [None] * times

        def interrupted(*args: Any, **named: Any) -> Any:
            is_now = threading.current_thread() is MAIN and bool(left)
            if is_now:
                left.pop()
            if is_now and not after:
                raise KeyboardInterrupt
            result = real(*args, **named)
            if is_now:
                raise KeyboardInterrupt
            return result

        monkeypatch.setattr(owner, name, interrupted)

    return arrange


# In the middle of an abandonment.

STEPS = pytest.mark.parametrize(
    ("owner", "name"),
    [(Gate, "close"), (EngineToken, "cancel_nowait"), (Job, "abandon"), (Pool, "write_off")],
)
AFTER = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])


class Deaf:
    """A task that sees that it is cancelled, and goes on until the gate opens."""

    def __init__(self, gate: threading.Event) -> None:
        self.gate = gate
        self.began = threading.Event()
        self.reasons: queue.Queue[str | None] = queue.Queue()

    def __call__(self, store: Store, cancel: CancellationToken) -> str:
        self.began.set()
        cancel.wait()
        self.reasons.put(cancel.reason)
        self.gate.wait(SOON)
        return "DONE"


def any_of(deaf: Deaf) -> Workflow[Any]:
    """A split that is decided while the deaf branch runs."""
    join = JoinConfig(JoinStrategy.ANY, "DONE")
    branches = [lambda: deaf.began.wait(SOON), deaf]
    return Workflow().register_split("A", branches, join).add_exit_state("DONE")


def limited(deaf: Deaf) -> Workflow[Any]:
    return Workflow().register("A", deaf).add_exit_state("DONE").with_timeout(0.05)


@pytest.mark.parametrize("is_observed", [False, True], ids=["unobserved", "observed"])
@pytest.mark.parametrize("workflow_of", [any_of, limited])
@STEPS
@AFTER
def test_ctrl_c_in_an_abandonment_leaves_nobody_uncancelled_and_uncounted(
    owner: type,
    name: str,
    after: bool,
    workflow_of: Callable[[Deaf], Workflow[Any]],
    is_observed: bool,
    interrupt: Callable[..., None],
    gate: threading.Event,
) -> None:
    assert wait_for_abandoned(SOON)
    deaf, notes, pool = Deaf(gate), Notes(), process_pool(1)
    written_off = pool._written_off
    workflow = workflow_of(deaf)
    if is_observed:
        workflow = workflow.with_observer(notes)
    interrupt(owner, name, after=after)
    with pytest.raises(KeyboardInterrupt):
        workflow.orchestrate("A")
    assert deaf.reasons.get(timeout=BRIEF) is not None
    assert abandoned_tasks() == 1
    assert pool._written_off == written_off + 1
    gate.set()
    assert wait_for_abandoned(SOON)
    assert pool._written_off == written_off
    if is_observed:
        assert notes.names("task_cancelled") == ["task_cancelled"]
        assert len(notes.names("task_abandoned")) <= 1


def test_ctrl_c_again_and_again_in_hooks_leaves_no_branch_behind(gate: threading.Event) -> None:
    """More often than anything is begun again."""
    count = 25
    began = threading.Barrier(count + 1)

    class Impatient(Observer):
        def task_cancelled(self, **_: object) -> None:
            raise KeyboardInterrupt

    def deaf() -> None:
        began.wait(SOON)
        gate.wait(SOON)

    join = JoinConfig(JoinStrategy.ANY, "DONE")
    branches = [lambda: began.wait(SOON), *[deaf] * count]
    workflow = Workflow().register_split("A", branches, join).add_exit_state("DONE")
    with pytest.raises(KeyboardInterrupt):
        workflow.with_observer(Impatient()).orchestrate("A")
    assert abandoned_tasks() == count
    gate.set()
    assert wait_for_abandoned(SOON)


# While a pool's thread is started.


@pytest.mark.parametrize(
    ("owner", "name", "after"),
    [
        (Pool, "_launch", False),
        (threading.Thread, "start", False),
        (threading.Thread, "start", True),
        (Pool, "_launch", True),
    ],
)
def test_ctrl_c_while_a_thread_is_started_costs_the_pool_no_place(
    owner: type, name: str, after: bool, interrupt: Callable[..., None], eventually: Eventually
) -> None:
    pool = Pool(1)
    interrupt(owner, name, after=after)
    with pytest.raises(KeyboardInterrupt):
        pool.submit(print, end="")
    assert pool.submit(lambda: "served").result(BRIEF) == "served"
    eventually(lambda: pool.occupancy() == (0, 1, 0))
    assert len(pool._made) == 1
    pool.shutdown()


def test_a_thread_that_was_made_and_never_started_holds_up_no_exit() -> None:
    """Ctrl-C came between the two, and again where that is put right."""
    pool = Pool(1)
    with pool._lock:
        pool._expect(pool._new_thread())
    pool.shutdown()


def test_the_exit_waits_for_a_thread_that_another_one_is_about_to_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has work already, which was promised to be done."""
    pool, order = Pool(1), list[str]()
    made, go = threading.Event(), threading.Event()
    start = threading.Thread.start

    def late_start(thread: threading.Thread) -> None:
        if isinstance(thread, pool_module._PoolThread):
            made.set()
            assert go.wait(SOON)
        start(thread)

    def exiting() -> None:
        pool.shutdown(wait=True)
        order.append("exit")

    monkeypatch.setattr(threading.Thread, "start", late_start)
    submitting = threading.Thread(target=pool.submit, args=(order.append, "work"))
    submitting.start()
    assert made.wait(SOON)
    waiting = threading.Thread(target=exiting)
    waiting.start()
    waiting.join(0.1)
    go.set()
    waiting.join(SOON)
    submitting.join(SOON)
    assert order == ["work", "exit"]


def test_a_pool_that_could_not_be_filled_for_want_of_memory_is_filled_later(
    monkeypatch: pytest.MonkeyPatch,
    gate: threading.Event,
    caplog: pytest.LogCaptureFixture,
    eventually: Eventually,
) -> None:
    pool, began, failed = Pool(1), threading.Event(), threading.Event()
    start = threading.Thread.start

    def no_memory(thread: threading.Thread) -> None:
        if not failed.is_set():
            failed.set()
            raise MemoryError
        start(thread)

    def deaf(job: Job) -> None:
        began.set()
        gate.wait(SOON)

    job = Job(pool, deaf)
    pool.start(job)
    assert began.wait(SOON)
    waiting = pool.submit(lambda: "served")
    monkeypatch.setattr(threading.Thread, "start", no_memory)
    job.abandon()
    assert failed.wait(SOON)
    eventually(lambda: not pool._is_filling)
    pool.fill()
    assert waiting.result(BRIEF) == "served"
    gate.set()
    pool.shutdown()
    assert "could not start a thread" in caplog.text


# A signal handler in the middle of a lock.


class Signalled:
    """A lock in which a signal comes once, just after it was taken."""

    def __init__(self, lock: Any, number: int) -> None:
        self.lock = lock
        self.number: int | None = number

    def __enter__(self) -> None:
        self.lock.acquire()
        number, self.number = self.number, None
        if number is not None:
            signal.raise_signal(number)

    def __exit__(self, *error: object) -> None:
        self.lock.release()


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs a signal of one's own")
def test_a_handler_may_cancel_the_futures_of_a_users_executor_at_any_time() -> None:
    """That ends workers of a split, whose run may just be counting them."""
    tracker = Tracker(
        [bind(nothing)], JoinStrategy.ALL, Gate(), state="A", run_id="run", events=None
    )
    lost: list[bool] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: lost.append(tracker.lose_worker()))
    try:
        tracker._lock = Signalled(tracker._lock, signal.SIGUSR1)
        tracker.expect_worker()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert lost == [False]
    assert tracker._alive == 0
