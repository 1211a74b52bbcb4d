"""`simulate`: one run under a schedule, a clock that jumps, and checks that are always on."""

from __future__ import annotations

import queue
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from typing import Any

import pytest

from cano_sync import (
    ConfigurationError,
    JoinStrategy,
    MemoryStore,
    Store,
    TaskConfig,
    Workflow,
    WorkflowCancelledError,
)
from cano_sync.testing import (
    ScheduleWarning,
    SimulationError,
    SimulationFailure,
    outside,
    simulate,
    simulate_call,
)
from cano_sync.testing.simulation import patches
from tests.kit import SOON, Boom, Step, boom, single, split

START = 1_000.0


def add(store: Any) -> None:
    store.put("n", store.get("n") + 1)


ADDING = split([add, add])
LOST = "1 1 2"
"""A schedule under which one of the two is lost."""


def test_a_seed_chooses_the_schedule() -> None:
    schedules = {simulate(single(lambda store: Step.DONE), Step.START, seed=3).schedule}
    for seed in range(20):
        try:
            schedules.add(simulate(ADDING, Step.START, store={"n": 0}, seed=seed).schedule)
        except SimulationFailure as failure:
            schedules.add(failure.schedule)
    assert len(schedules) > 3


def test_a_failed_check_tells_what_happened_and_how_to_see_it_again() -> None:
    with pytest.raises(SimulationFailure) as caught:
        simulate(ADDING, Step.START, store={"n": 0}, schedule=LOST)
    assert caught.value.story == (
        "add[0]  get n → 0\n"
        "add[1]  get n → 0\n"
        "add[1]  put n = 1\n"
        "add[0]  put n = 1   ← lost: add[1]'s write was overwritten unread"
    )
    message = str(caught.value)
    assert message.startswith("lost update: add[0] put 'n' by what it had read before add[1]")
    assert "store.update()" in message
    assert message.endswith(f"to see it again:  seed=0, schedule={LOST!r}")
    assert caught.value.schedule == LOST


def test_a_run_says_what_came_of_it() -> None:
    run = simulate(ADDING, Step.START, store={"n": 0}, schedule="")
    assert (run.state, run.error, run.store["n"]) == (Step.DONE, None, 2)
    assert run.schedule == ""
    assert run.steps > 4
    assert "add[1]  put n = 2" in run.story


def test_an_error_of_the_run_is_its_result_too() -> None:
    run = simulate(single(boom), Step.START)
    assert run.state is None
    assert isinstance(run.error.__cause__, Boom)


# Time.


def test_time_costs_nothing() -> None:
    def wait(store: Store, cancel: Any) -> Step:
        time.sleep(3600)
        cancel.sleep(60)
        assert not cancel.wait(1)
        return Step.DONE

    began = time.monotonic()
    assert simulate(single(wait), Step.START).elapsed == 3661
    assert time.monotonic() - began < SOON


def test_all_clocks_show_virtual_time_and_begin_where_it_is_said() -> None:
    now = datetime(2027, 3, 1, 9, tzinfo=UTC)

    def look(store: Store) -> Step:
        time.sleep(2.5)
        store.put("clocks", (time.monotonic(), time.perf_counter(), time.time(), time.time_ns()))
        return Step.DONE

    run = simulate(single(look), Step.START, now=now)
    at = now.timestamp() + 2.5
    assert run.store["clocks"] == (START + 2.5, START + 2.5, at, round(at * 10**9))


def test_a_limit_is_kept_to_the_microsecond() -> None:
    def deaf() -> Step:
        time.sleep(100)
        return Step.DONE

    workflow = single(deaf, TaskConfig().with_attempt_timeout(5))
    assert simulate(workflow, Step.START).elapsed == pytest.approx(5, abs=0.006)


def test_a_run_can_be_cancelled_at_a_virtual_moment() -> None:
    def nap(store: Store, cancel: Any) -> Step:
        cancel.sleep(60)
        return Step.DONE

    run = simulate(single(nap), Step.START, cancel_at=2.5)
    assert isinstance(run.error, WorkflowCancelledError)
    assert run.elapsed == 2.5


# What users' code calls.


def test_chance_follows_from_the_seed_and_is_put_back() -> None:
    def draw(store: Store) -> Step:
        store.put("drawn", random.random())
        return Step.DONE

    random.seed(5)
    expected = random.random()
    random.seed(5)
    drawn = [simulate(single(draw), Step.START, seed=seed).store["drawn"] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert random.random() == expected


def test_locks_conditions_events_and_queues_wait_in_virtual_time() -> None:
    def use() -> list[object]:
        lock, condition, event = threading.Lock(), threading.Condition(), threading.Event()
        semaphore, items = threading.BoundedSemaphore(1), queue.PriorityQueue[int](1)
        simple: queue.SimpleQueue[int] = queue.SimpleQueue()
        lock.acquire()
        semaphore.acquire()
        seen: list[object] = [lock.acquire(timeout=1), semaphore.acquire(timeout=2)]
        with condition:
            seen.append(condition.wait(4))
        seen.append(event.wait(8))
        for waiting in (items, simple):
            with pytest.raises(queue.Empty):
                waiting.get(timeout=16)
        threading.Timer(64, event.set).start()
        seen.append(event.wait())
        return seen

    run = simulate_call(use)
    assert run.error is None
    assert run.result == [False, False, False, False, True]
    assert run.elapsed == 1 + 2 + 4 + 8 + 16 + 16 + 64


def test_what_was_made_before_the_run_waits_in_virtual_time_too() -> None:
    event, items = threading.Event(), queue.Queue[int]()

    def use() -> bool:
        threading.Timer(60, lambda: items.put(1)).start()
        items.get()
        return event.wait(60)

    run = simulate_call(use)
    assert (run.result, run.elapsed, run.error) == (False, 120, None)


def test_threads_executors_and_futures_of_users_are_simulated() -> None:
    def task(seconds: int) -> int:
        time.sleep(seconds)
        return seconds

    def use() -> tuple[list[int], bool]:
        with ThreadPoolExecutor(3) as pool:
            futures = [pool.submit(task, seconds) for seconds in (30, 10, 20)]
            order = [future.result() for future in as_completed(futures)]
        thread = threading.Thread(target=task, args=(100,))
        thread.start()
        thread.join(1)
        alive = thread.is_alive()
        thread.join()
        return order, alive

    run = simulate_call(use)
    assert (run.result, run.elapsed, run.error) == (([10, 20, 30], True), 130, None)


def test_a_lock_may_be_held_over_a_switch_point_whatever_it_was_made() -> None:
    again = threading.RLock()

    class Counter:
        def __init__(self) -> None:
            self._lock = threading.Lock()

        def __call__(self, store: Any) -> None:
            with self._lock, again, again:
                add(store)

    counter = Counter()
    for seed in range(60):
        run = simulate(split([counter] * 3), Step.START, store={"n": 0}, seed=seed)
        assert run.store["n"] == 3
    assert type(counter._lock) is type(threading.Lock())


def test_nothing_stays_replaced_after_an_exception_in_the_middle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = {key: key[0].__dict__[key[1]] for key in patches._PATCHES}

    def broken(*args: Any) -> Any:
        raise Boom("in the middle")

    monkeypatch.setattr(MemoryStore, "__init__", broken)
    with pytest.raises(Boom):
        simulate(ADDING, Step.START, store={"n": 0})
    monkeypatch.undo()
    for kind in (SystemExit, KeyboardInterrupt, Boom):

        def leave(kind: type[BaseException] = kind) -> None:
            raise kind("in the middle")

        assert isinstance(simulate(single(leave), Step.START).error, BaseException)
        with pytest.raises(SimulationFailure):
            simulate(ADDING, Step.START, store={"n": 0}, schedule=LOST)
    assert {key: key[0].__dict__[key[1]] for key in patches._PATCHES} == before
    assert ADDING.orchestrate(Step.START, store=MemoryStore({"n": 0})) is Step.DONE


def test_ctrl_c_ends_a_simulation() -> None:
    """It comes to the test's thread, which waits while the actors run."""

    def busy(store: Store) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        while True:
            time.sleep(1)

    with pytest.raises(KeyboardInterrupt):
        simulate(split([busy, busy]), Step.START, steps=10**9, limit=10**9)
    assert simulate(ADDING, Step.START, store={"n": 0}, schedule="").store["n"] == 2


def test_other_threads_live_in_the_real_world_meanwhile() -> None:
    asked, answered = threading.Event(), threading.Event()
    seen: list[Any] = []

    def real() -> None:
        asked.wait(SOON)
        store = MemoryStore({"n": 0})
        workflow = split([lambda store: store.update("n", lambda n: n + 1)] * 2).with_timeout(SOON)
        workflow.orchestrate(Step.START, store=store)
        seen.append((store["n"], time.monotonic() > START + 600))
        answered.set()

    thread = threading.Thread(target=real)
    thread.start()

    def ask() -> Step:
        with outside():
            asked.set()
            assert answered.wait(SOON)
        return Step.DONE

    virtual = simulate(single(ask), Step.START)
    thread.join(SOON)
    assert virtual.error is None
    assert seen[0][0] == 2


# The checks that are always on.


def failure_of(workflow: Workflow[Any], **options: Any) -> str:
    with pytest.raises(SimulationFailure) as caught:
        simulate(workflow, Step.START, **options)
    return str(caught.value)


def test_a_deadlock_names_who_waits_for_what_and_where() -> None:
    def stuck(store: Store, cancel: Any) -> None:
        cancel.wait()

    def swallows(store: Store) -> None:
        try:
            threading.Event().wait()
        except BaseException:
            raise ValueError("nobody shall see this") from None

    message = failure_of(split([stuck, swallows]))
    assert message.startswith("deadlock: nobody can go on:")
    assert "stuck[0] waits for" in message
    assert "swallows[1] waits for a condition, an event or a queue at test_simulate.py:" in message
    assert "in `swallows`" in message
    assert "ValueError" not in message


def test_a_run_without_an_end_is_ended() -> None:
    def poll(store: Store) -> None:
        while not store.get("done"):
            time.sleep(60)

    options = {"store": {"done": False}, "limit": 3600}
    assert "takes more than 3600 virtual seconds" in failure_of(split([poll]), **options)
    assert "no end after 50 steps" in failure_of(split([poll]), **options, steps=50)


def test_threads_that_are_left_behind_are_named() -> None:
    def forgets(store: Store) -> Step:
        threading.Thread(target=threading.Event().wait, name="heartbeat", daemon=True).start()
        return Step.DONE

    message = failure_of(single(forgets))
    assert "threads are left behind" in message
    assert "heartbeat waits for" in message


def test_a_loser_that_ends_in_its_time_is_not_left_behind() -> None:
    tasks = [lambda: time.sleep(3600), lambda: time.sleep(1)]
    run = simulate(split(tasks, JoinStrategy.ANY), Step.START)
    assert run.elapsed == 1


def test_keys_that_several_may_put_are_said() -> None:
    tasks = [lambda store: store.put("last", 1), lambda store: store.put("last", 2)]
    assert "last_write_wins=['last']" in failure_of(split(tasks))
    simulate(split(tasks), Step.START, last_write_wins=["last"])


# What blocks outside.


def test_what_blocks_outside_is_named_with_its_place_and_the_cure() -> None:
    release: Future[None] = Future()
    lock: Any = release._condition  # nobody sees it from the task: it is not lent another
    taken = threading.Event()
    ended = threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            ended.wait(SOON)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait(SOON)

    def fetch(store: Store) -> None:
        release.done()

    try:
        with pytest.raises(SimulationError) as caught:
            simulate(split([fetch, add]), Step.START, store={"n": 0}, patience=0.1)
    finally:
        ended.set()
        thread.join(SOON)
    message = str(caught.value)
    assert "fetch[0] blocks outside the simulation at test_simulate.py:" in message
    assert "in `fetch`" in message
    assert "outside()" in message
    assert time.sleep is patches._real[time, "sleep"]


def test_a_real_call_passes_in_outside() -> None:
    def fetch(store: Store) -> Step:
        before = time.monotonic()
        with outside():
            time.sleep(0.01)
            real = time.monotonic()
        store.put("times", (before, real, time.monotonic()))
        return Step.DONE

    run = simulate(single(fetch), Step.START, patience=0.005)
    before, real, after = run.store["times"]
    assert before == after == START
    assert real != before


def test_outside_a_simulation_it_does_nothing() -> None:
    with outside():
        assert time.monotonic() != START


# Replaying.


def test_a_schedule_that_no_longer_fits_says_after_which_step() -> None:
    with pytest.warns(ScheduleWarning, match="no longer fits after step 2"):
        simulate(ADDING, Step.START, store={"n": 0}, schedule="1 1 7")
    with pytest.warns(ScheduleWarning, match="no longer fits after step 0"):
        simulate(split([add]), Step.START, store={"n": 0}, schedule=LOST)


def test_a_schedule_survives_an_edit_that_changes_no_switch_point() -> None:
    def add_otherwise(store: Any) -> None:
        before = store.get("n")
        store.put("n", sum([before, 1]))

    with pytest.raises(SimulationFailure, match="lost update"):
        simulate(split([add_otherwise] * 2), Step.START, store={"n": 0}, schedule=LOST)


# Mistakes.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed= is a whole number from 0, not -1"),
        ({"seed": True}, "not True"),
        ({"strategy": "all"}, "'all' is for explore()"),
        ({"schedule": "1 two"}, "'two' is no decision"),
        ({"switch": "opcode"}, "switch= is 'store' or 'line', not 'opcode'"),
        ({"last_write_wins": "n"}, "is a list of keys, not 'n'"),
        ({"limit": "long"}, "limit"),
    ],
    ids=repr,
)
def test_a_wrong_argument_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        simulate(ADDING, Step.START, **options)
    assert message in str(caught.value)


def test_a_second_simulation_at_once_is_refused() -> None:
    def second() -> Any:
        return simulate(ADDING, Step.START, store={"n": 0})

    run = simulate_call(second)
    assert isinstance(run.error, SimulationError)
    assert "there can be one at a time" in str(run.error)


# Switching at lines.


def test_races_on_plain_objects_are_seen_at_lines() -> None:
    class Counter:
        n = 0

    def count(seed: int, switch: str) -> int:
        counter = Counter()

        def add_plainly() -> None:
            n = counter.n
            counter.n = n + 1

        simulate(split([add_plainly] * 2), Step.START, seed=seed, switch=switch, strategy="random")
        return counter.n

    assert {count(seed, "store") for seed in range(50)} == {2}
    assert {count(seed, "line") for seed in range(50)} == {1, 2}


Made = Callable[[], Any]


@pytest.mark.parametrize(
    "given",
    [{"n": 0}, lambda: {"n": 0}, lambda: MemoryStore({"n": 0})],
    ids=["a dict", "a function that makes one", "a function that makes a store"],
)
def test_a_store_can_be_given_in_several_ways(given: Any) -> None:
    assert simulate(ADDING, Step.START, store=given, schedule="").store["n"] == 2


def test_what_a_store_holds_at_first_is_copied() -> None:
    given: dict[str, list[int]] = {"items": []}
    workflow = single(lambda store: store.append("items", 1) or Step.DONE)
    assert simulate(workflow, Step.START, store=given).store["items"] == [1]
    assert given == {"items": []}


def test_a_backend_of_users_has_switch_points_too() -> None:
    class Backend(Store):
        def __init__(self) -> None:
            self.data: dict[str, Any] = {"n": 0}

        def get(self, key: str, type: Any = None, **default: Any) -> Any:
            return self.data[key]

        def put(self, key: str, value: Any) -> None:
            self.data[key] = value

        def append(self, key: str, item: Any) -> None: ...

        def update(self, key: str, function: Any, default: Any = ...) -> Any: ...

        def remove(self, key: str) -> None: ...

        def contains_key(self, key: str) -> bool:
            return key in self.data

        def keys(self) -> list[str]:
            return list(self.data)

        def clear(self) -> None: ...

        def snapshot(self) -> dict[str, Any]:
            return dict(self.data)

    results = set()
    for seed in range(40):
        backend = Backend()
        simulate(ADDING, Step.START, store=backend, seed=seed)
        results.add(backend.data["n"])
    assert results == {1, 2}
