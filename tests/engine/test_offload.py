"""Work on another thread: how its end, its deadline and a cancellation reach the caller."""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from cano_sync import (
    CancellationToken,
    Cancelled,
    MemoryStore,
    Store,
    abandoned_tasks,
    current_token,
)
from cano_sync._base import waiting as waiting_module
from cano_sync._base.waiting import Completion, Wakeup, wait_first
from cano_sync._engine import offload as offload_module
from cano_sync._engine.jobs import Job
from cano_sync._engine.nesting import Nesting
from cano_sync._engine.offload import Abandoned, run_on_pool
from cano_sync._engine.pool import Pool
from tests.kit import SOON, Boom

COLOUR: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


def do(
    work: Callable[..., Any],
    *,
    store: Store | None = None,
    parent: CancellationToken | None = None,
    limit: float | None = None,
) -> Any:
    parents = () if parent is None else (parent,)
    return run_on_pool(work, MemoryStore() if store is None else store, *parents, limit=limit)


def test_what_the_work_returned_is_returned() -> None:
    assert do(lambda store, token: "value") == "value"
    assert do(lambda store, token: None, limit=60) is None


@pytest.mark.parametrize("kind", [Boom, SystemExit, KeyboardInterrupt, Cancelled])
def test_what_the_work_raised_is_raised(kind: type[BaseException]) -> None:
    error = kind()

    def work(store: Store, token: CancellationToken) -> None:
        raise error

    with pytest.raises(kind) as caught:
        do(work, limit=60)
    assert caught.value is error


def test_the_work_runs_on_another_thread_in_a_copy_of_the_context() -> None:
    def work(store: Store, token: CancellationToken) -> Any:
        seen = (
            COLOUR.get(),
            threading.get_ident(),
            Nesting.current().depth,
            current_token() is token,
        )
        COLOUR.set("changed")
        return seen

    reset = COLOUR.set("red")
    try:
        colour, thread, depth, same = do(work)
        assert (colour, depth, same) == ("red", Nesting.current().depth + 1, True)
        assert thread != threading.get_ident()
        assert COLOUR.get() == "red"
    finally:
        COLOUR.reset(reset)


def test_the_work_writes_to_the_callers_store() -> None:
    store = MemoryStore()
    do(lambda fenced, token: fenced.put("n", 1), store=store)
    assert store.get("n") == 1


def test_its_own_limit_leaves_the_work_behind(gate: threading.Event) -> None:
    with pytest.raises(Abandoned) as caught:
        do(lambda store, token: gate.wait(SOON), limit=0.05)
    assert caught.value.timed_out
    assert caught.value.error is None
    assert abandoned_tasks() == 1


def test_a_cancellation_leaves_the_work_behind(gate: threading.Event) -> None:
    parent = CancellationToken()

    def work(store: Store, token: CancellationToken) -> None:
        parent.cancel("enough")
        gate.wait(SOON)

    with pytest.raises(Abandoned) as caught:
        do(work, parent=parent, limit=60)
    assert not caught.value.timed_out
    assert caught.value.reason == "enough"


def test_the_parents_time_limit_is_a_cancellation(gate: threading.Event) -> None:
    """Its own limit was not the reason."""
    parent = CancellationToken(timeout=0.25)
    with pytest.raises(Abandoned) as caught:
        do(lambda store, token: gate.wait(SOON), parent=parent, limit=60)
    assert not caught.value.timed_out
    assert caught.value.reason == "the token's time limit passed"


def test_its_own_limit_counts_when_it_is_the_earlier_one(gate: threading.Event) -> None:
    parent = CancellationToken(timeout=60)
    with pytest.raises(Abandoned) as caught:
        do(lambda store, token: gate.wait(SOON), parent=parent, limit=0.25)
    assert caught.value.timed_out
    assert not parent.cancelled


def test_work_for_a_cancelled_parent_is_never_begun() -> None:
    parent = CancellationToken()
    parent.cancel("before it began")
    called: list[int] = []
    with pytest.raises(Abandoned) as caught:
        do(lambda store, token: called.append(1), parent=parent, limit=60)
    assert caught.value.reason == "before it began"
    assert not caught.value.timed_out
    assert called == []
    assert abandoned_tasks() == 0


def test_the_store_is_closed_when_the_caller_goes_on(gate: threading.Event) -> None:
    store = MemoryStore()
    raised: queue.Queue[type[BaseException] | None] = queue.Queue()

    def work(fenced: Store, token: CancellationToken) -> None:
        fenced.put("early", True)
        gate.wait(SOON)
        try:
            fenced.put("late", True)
        except BaseException as error:
            raised.put(type(error))
        else:
            raised.put(None)

    with pytest.raises(Abandoned):
        do(work, store=store, limit=0.3)
    gate.set()
    assert raised.get(timeout=SOON) is Cancelled
    assert store.snapshot() == {"early": True}


def test_what_the_work_raised_because_of_it_comes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """If it does so within the grace, which is as long as it takes here."""
    monkeypatch.setattr(offload_module, "LAST_WORD_GRACE", SOON)
    error = Boom("the connection was closed")

    def work(store: Store, token: CancellationToken) -> None:
        token.wait()
        raise error

    with pytest.raises(Abandoned) as caught:
        do(work, limit=0.25)
    assert caught.value.error is error
    assert caught.value.timed_out
    assert abandoned_tasks() == 0


def test_a_result_that_comes_within_the_grace_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offload_module, "LAST_WORD_GRACE", SOON)

    def work(store: Store, token: CancellationToken) -> str:
        cancelled = threading.Event()
        with token.on_cancel(cancelled.set):  # the caller has given it up by then
            cancelled.wait(SOON)
        return "too late"

    with pytest.raises(Abandoned) as caught:
        do(work, limit=0.25)
    assert caught.value.error is None


def test_an_error_that_comes_with_the_cancellation_is_a_consequence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both were there when the caller woke."""
    parent = CancellationToken()
    real = offload_module.wait_first

    def late_waking(first: Wakeup, second: Wakeup, deadline: float | None) -> None:
        real(first, Wakeup(), deadline)

    monkeypatch.setattr(offload_module, "wait_first", late_waking)

    def work(store: Store, token: CancellationToken) -> None:
        parent.cancel("enough")
        raise Boom

    with pytest.raises(Abandoned) as caught:
        do(work, parent=parent)
    assert caught.value.reason == "enough"
    assert isinstance(caught.value.error, Boom)


def test_a_callback_that_blocks_does_not_hold_up_the_caller(gate: threading.Event) -> None:
    """Law 1: the caller goes on whatever a task's callback does."""
    called = threading.Event()

    def callback() -> None:
        called.set()
        gate.wait(SOON)

    def work(store: Store, token: CancellationToken) -> None:
        with token.on_cancel(callback):
            gate.wait(SOON)

    with pytest.raises(Abandoned):
        do(work, limit=0.3)
    assert not gate.is_set()
    assert called.wait(SOON)


@pytest.fixture
def busy_pool(monkeypatch: pytest.MonkeyPatch, gate: threading.Event) -> Pool:
    """In place of the process's pools: one whose only thread is taken."""
    pool = Pool(1)
    pool.submit(gate.wait, SOON)
    monkeypatch.setattr(offload_module, "process_pool", lambda depth: pool)
    return pool


def test_work_that_found_no_thread_is_taken_back(busy_pool: Pool, gate: threading.Event) -> None:
    called: list[int] = []
    with pytest.raises(Abandoned) as caught:
        do(lambda store, token: called.append(1), limit=0.05)
    assert caught.value.timed_out
    assert abandoned_tasks() == 0
    gate.set()
    busy_pool.shutdown()
    assert called == []


def test_work_whose_thread_comes_too_late_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool took it out of its queue just before the caller went on."""

    class Late:
        def start(self, job: Job) -> None:
            self.job = job
            future = job._future
            assert future is not None
            future.set_running_or_notify_cancel()
            monkeypatch.setattr(Completion, "set_running_or_notify_cancel", lambda self: True)

    late, called = Late(), list[int]()
    monkeypatch.setattr(offload_module, "process_pool", lambda depth: late)
    with pytest.raises(Abandoned):
        do(lambda store, token: called.append(1), limit=0.05)
    assert abandoned_tasks() == 0
    late.job.run()
    assert late.job._future is not None
    assert isinstance(late.job._future.exception(), Cancelled)
    assert called == []


def test_ctrl_c_in_the_wait_cancels_the_work_and_closes_its_store(
    monkeypatch: pytest.MonkeyPatch, gate: threading.Event
) -> None:
    began = threading.Event()
    reasons: queue.Queue[str | None] = queue.Queue()
    raised: queue.Queue[type[BaseException]] = queue.Queue()

    def interrupted(*args: object) -> None:
        assert began.wait(SOON)
        raise KeyboardInterrupt

    monkeypatch.setattr(offload_module, "wait_first", interrupted)

    def work(store: Store, token: CancellationToken) -> None:
        began.set()
        token.wait()
        reasons.put(token.reason)
        gate.wait(SOON)
        try:
            store.put("late", True)
        except Cancelled as signal:
            raised.put(type(signal))

    with pytest.raises(KeyboardInterrupt):
        do(work)
    assert reasons.get(timeout=SOON) == "interrupted"
    gate.set()
    assert raised.get(timeout=SOON) is Cancelled


def test_a_parent_that_lives_on_keeps_nothing_of_the_work(gate: threading.Event) -> None:
    """A token may serve thousands of runs."""
    parent = CancellationToken()
    do(lambda store, token: None, parent=parent)
    with pytest.raises(Abandoned):
        do(lambda store, token: gate.wait(SOON), parent=parent, limit=0.05)
    assert parent._callbacks == {}


# wait_first().


def done() -> Wakeup:
    wakeup = Wakeup()
    wakeup.set()
    return wakeup


@pytest.mark.parametrize("which", [0, 1])
def test_the_first_of_two_ends_the_wait(which: int) -> None:
    pair = [Wakeup(), Wakeup()]
    threading.Timer(0.01, pair[which].set).start()
    wait_first(pair[0], pair[1], None)
    assert pair[which].done()
    assert not pair[1 - which].done()


def test_what_is_done_already_is_not_waited_for() -> None:
    wait_first(done(), Wakeup(), None)
    wait_first(Wakeup(), done(), time.monotonic() - 1)


def test_the_deadline_ends_the_wait_and_not_earlier() -> None:
    deadline = time.monotonic() + 0.05
    wait_first(Wakeup(), Wakeup(), deadline)
    assert time.monotonic() >= deadline


def test_a_deadline_in_a_million_years_is_waited_for_like_any_other() -> None:
    """It is more than a lock of the platform can wait in one go."""
    wakeup = Wakeup()
    threading.Timer(0.01, wakeup.set).start()
    wait_first(wakeup, Wakeup(), time.monotonic() + 3e13)
    assert wakeup.done()


def test_a_wait_longer_than_the_platforms_limit_goes_on_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rounds: list[float | None] = []

    def short(left: float | None) -> float:
        rounds.append(left)
        return 0.001

    monkeypatch.setattr(waiting_module, "wait_slice", short)
    deadline = time.monotonic() + 0.02
    wait_first(Wakeup(), Wakeup(), deadline)
    assert time.monotonic() >= deadline
    assert len(rounds) > 1
