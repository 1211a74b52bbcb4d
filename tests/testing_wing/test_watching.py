"""Stores in a simulation: they do what they always do, with switch points, and are watched."""

from __future__ import annotations

import copy
import functools
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from cano_sync import (
    ConfigurationError,
    JoinStrategy,
    KeyNotFoundError,
    MemoryStore,
    Store,
    TaskConfig,
    TypeMismatchError,
    task,
)
from cano_sync.testing import SimulationFailure, outside, simulate, simulate_call
from tests.kit import Step, single, split


class Backend(Store):
    """A user's own, over a store of ours."""

    def __init__(self, initial: dict[str, Any] | None = None) -> None:
        self.inner = MemoryStore(initial)

    def get(self, key: str, type: Any = None, **default: Any) -> Any:
        return self.inner.get(key, type, **default)

    def put(self, key: str, value: Any) -> None:
        self.inner.put(key, value)

    def append(self, key: str, item: Any) -> None:
        self.inner.append(key, item)

    def update(self, key: str, function: Any, *default: Any, **named: Any) -> Any:
        return self.inner.update(key, function, *default, **named)

    def remove(self, key: str) -> None:
        self.inner.remove(key)

    def contains_key(self, key: str) -> bool:
        return self.inner.contains_key(key)

    def keys(self) -> list[str]:
        return self.inner.keys()

    def clear(self) -> None:
        self.inner.clear()

    def snapshot(self) -> dict[str, Any]:
        return self.inner.snapshot()


def all_operations(store: Store) -> list[Any]:
    """Each of them, with what it gives."""
    seen: list[Any] = []

    def note(work: Callable[[], Any]) -> None:
        try:
            seen.append(work())
        except (KeyNotFoundError, TypeMismatchError) as error:
            seen.append((type(error), str(error)))

    note(lambda: store.put("a", 1))
    note(lambda: store.get("a"))
    note(lambda: store.get("a", int))
    note(lambda: store.get("a", str))
    note(lambda: store.get("b"))
    note(lambda: store.get("b", default=5))
    note(lambda: store.get("b", int, default=None))
    note(lambda: store.append("list", 1))
    note(lambda: store.append("list", 2))
    note(lambda: store.append("a", 2))
    note(lambda: store.update("a", lambda a: a + 1))
    note(lambda: store.update("c", lambda c: c + 1))
    note(lambda: store.update("c", lambda c: c + 1, 10))
    note(lambda: store.update("c", lambda c: c + 1, default=10))
    note(lambda: ("a" in store, "z" in store, store.contains_key("c")))
    note(store.keys)
    note(lambda: (len(store), list(store), store["a"]))
    note(lambda: store.__setitem__("d", 4))
    note(lambda: store.__delitem__("d"))
    note(lambda: store.__delitem__("d"))
    note(lambda: store.remove("c"))
    note(lambda: store.remove("c"))
    note(store.snapshot)
    note(store.clear)
    note(store.snapshot)
    return seen


EXPECTED = all_operations(MemoryStore())


@pytest.mark.parametrize("kind", [MemoryStore, Backend])
def test_every_operation_gives_what_it_always_gives(kind: Callable[[], Store]) -> None:
    seen: list[list[Any]] = []
    tasks = [lambda store: seen.append(all_operations(store))]
    assert simulate(split(tasks), Step.START, store=kind).error is None
    assert seen == [EXPECTED]


@pytest.mark.parametrize("kind", [MemoryStore, Backend])
def test_every_operation_passes_in_outside(kind: Callable[[], Store]) -> None:
    def task(store: Store) -> Step:
        with outside():
            assert all_operations(store) == EXPECTED
        return Step.DONE

    run = simulate(single(task), Step.START, store=kind)
    assert run.error is None
    assert run.story == ""


def test_a_story_has_every_operation() -> None:
    def task(store: Store) -> Step:
        all_operations(store)
        return Step.DONE

    story = simulate(single(task), Step.START).story
    for line in (
        "put a = 1", "get a → 1", "get b: there is none", "append to list: 2", "update a: 2",
        "z? no", "a? yes", "keys", "remove c", "snapshot", "clear",
    ):  # fmt: skip
        assert f"  {line}\n" in f"{story}\n", line


def test_a_store_is_copied_and_pickled_as_a_plain_one() -> None:
    def task(store: Store) -> Step:
        for twin in (copy.copy(store), pickle.loads(pickle.dumps(store))):
            assert type(twin) is MemoryStore
            assert twin["n"] == 1
        assert repr(store) == "MemoryStore({'n': 1})"
        return Step.DONE

    assert simulate(single(task), Step.START, store={"n": 1}).error is None


def test_what_an_update_calls_may_take_its_time_and_holds_up_the_others() -> None:
    def slow(n: int) -> int:
        time.sleep(10)
        return n + 1

    tasks = [lambda store: store.update("n", slow)] * 3
    for seed in range(20):
        run = simulate(split(tasks), Step.START, store={"n": 0}, seed=seed)
        assert (run.store["n"], run.elapsed) == (3, 30)


def test_what_cannot_be_copied_is_to_be_made() -> None:
    with pytest.raises(ConfigurationError, match="give a function that makes it"):
        simulate(single(lambda: Step.DONE), Step.START, store={"lock": threading.Lock()})


# Who is accused, and who is not.


class Awkward:
    """It cannot be compared, nor shown, nor pickled."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("no")

    def __hash__(self) -> int:
        return 1

    def __repr__(self) -> str:
        raise ValueError("no")

    def __reduce__(self) -> Any:
        raise TypeError("no")


def put(value: Any) -> Callable[[Store], None]:
    return lambda store: store.put("key", value)


def test_equal_values_do_not_conflict() -> None:
    simulate(split([put(1), put(1)]), Step.START)


def test_values_that_cannot_be_compared_do_not_conflict() -> None:
    assert "key = <Awkward>" in simulate(split([put(Awkward())] * 2), Step.START).story


def test_long_values_are_cut_in_a_story() -> None:
    story = simulate(split([put("x" * 500)]), Step.START).story
    assert story.endswith("...")
    assert len(story) < 100


def test_what_was_removed_in_between_is_no_conflict() -> None:
    tasks = [put(1), lambda store: (store.remove("key"), store.put("key", 2))]
    simulate(split(tasks), Step.START, schedule="")


def test_branches_of_two_splits_do_not_conflict() -> None:
    inner = split([put(1)])
    tasks = [lambda store: inner.orchestrate(Step.START, store=store)]
    simulate(split([*tasks]), Step.START)
    with pytest.raises(SimulationFailure, match="conflicting writes"):
        simulate(split([*tasks, put(2)]), Step.START)


def test_a_retry_may_put_again_what_its_branch_has_put() -> None:
    def try_thrice(store: Store, *, context: Any) -> None:
        store.put("key", context.attempt)
        if context.attempt < 3:
            raise ValueError("again")

    attempts = task(config=TaskConfig().with_fixed_retry(3, 1))(try_thrice)
    assert simulate(split([attempts]), Step.START).store["key"] == 3


def test_what_cannot_be_pickled_is_compared_by_how_it_is_shown() -> None:
    def slow(store: Store) -> None:
        items = store.get("items")
        time.sleep(2)
        items.append(lambda: None)

    tasks = [slow, lambda: time.sleep(1)]
    with pytest.raises(SimulationFailure, match="changed behind the fence"):
        simulate(
            split(tasks, JoinStrategy.ANY), Step.START, store=lambda: {"items": [threading.Lock()]}
        )


def test_what_is_no_more_in_the_store_may_be_changed() -> None:
    def slow(store: Store) -> None:
        items = store.get("items")
        time.sleep(2)
        items.append(1)

    def quick(store: Store) -> None:
        time.sleep(1)
        store.put("items", [])

    simulate(split([slow, quick], JoinStrategy.ANY), Step.START, store={"items": []})


# What users' code has had since before the run.

_condition = threading.Condition()
_again = threading.RLock()


class Shop:
    """Has a lock, and methods that use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.sold = 0

    def sell(self, store: Store) -> None:
        with self._lock, _again:
            sold = self.sold
            store.append("log", 1)
            self.sold = sold + 1


@pytest.mark.parametrize(
    "how", ["method", "partial", "closure", "default", "condition", "callable"]
)
def test_a_lock_is_found_wherever_a_task_sees_it(how: str) -> None:
    shop, lock, counts = Shop(), threading.Lock(), [0]

    def count(store: Store) -> None:
        before = counts[0]
        store.append("log", 1)
        counts[0] = before + 1

    def in_closure(store: Store) -> None:
        with lock:
            count(store)

    def by_argument(shop: Shop, store: Store) -> None:
        shop.sell(store)

    def by_default(store: Store, shop: Shop = shop) -> None:
        shop.sell(store)

    def in_condition(store: Store) -> None:
        with _condition:
            count(store)
            _condition.notify_all()

    class Seller:
        def __init__(self) -> None:
            self.shop = shop

        def __call__(self, store: Store) -> None:
            self.shop.sell(store)

    tasks: dict[str, Any] = {
        "method": shop.sell,
        "partial": functools.partial(by_argument, shop),
        "closure": in_closure,
        "default": lambda store: by_default(store),
        "condition": in_condition,
        "callable": Seller(),
    }
    before = (shop._lock, _condition, _again)
    for seed in range(20):
        shop.sold, counts[0] = 0, 0
        simulate(split([tasks[how]] * 3), Step.START, seed=seed, patience=0.5)
        assert 3 in (shop.sold, counts[0])
    assert (shop._lock, _condition, _again) == before


def test_locks_of_a_run_are_locks_afterwards() -> None:
    made: list[Any] = []
    simulate_call(lambda: made.extend([threading.Lock(), threading.RLock(), threading.Event()]))
    lock, again, event = made
    with lock:
        assert lock.locked()
        assert not lock.acquire(blocking=False)
        assert not lock.acquire(timeout=0.001)
    with again, again:
        assert repr(again).startswith("<lock test_watching.py:")
    event.set()
    assert event.wait(1)
    with pytest.raises(RuntimeError):
        lock.release()
    with pytest.raises(RuntimeError):
        again.release()


def test_a_lock_that_is_released_by_nobody_who_has_it_is_refused_in_a_run_too() -> None:
    def wrong() -> None:
        with pytest.raises(RuntimeError):
            threading.Lock().release()
        with pytest.raises(RuntimeError):
            threading.RLock().release()
        with pytest.raises(ValueError, match="non-negative"):
            time.sleep(-1)
        with pytest.raises(RuntimeError, match="join current thread"):
            threading.current_thread().join()
        lock = threading.Lock()
        lock.acquire()
        assert not lock.acquire(blocking=False)
        time.sleep(0)

    run = simulate_call(lambda: _on_a_thread(wrong))
    assert run.error is None
    assert run.result == []


def _on_a_thread(work: Callable[[], None]) -> list[BaseException]:
    raised: list[BaseException] = []

    def target() -> None:
        try:
            work()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    return raised


def test_a_thread_that_the_system_does_not_have_is_waited_for_by_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*args: Any, **named: Any) -> None:
        raise RuntimeError("can't start new thread")

    def start() -> None:
        for name in ("_start_new_thread", "_start_joinable_thread"):
            monkeypatch.setattr(threading, name, refuse, raising=False)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            threading.Thread(target=int).start()

    simulate_call(lambda: None)  # so that there is a thread for the caller
    run = simulate_call(start)
    assert run.error is None


def test_what_a_thread_of_a_run_raises_is_reported_as_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_value))

    def fail() -> None:
        raise ValueError("in a thread")

    def live() -> None:
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()

    simulate_call(live)
    assert [str(error) for error in reported] == ["in a thread"]
