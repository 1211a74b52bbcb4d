"""The fence: behind a closed gate nothing is read and nothing is written."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cano_sync import Cancelled, KeyNotFoundError, MemoryStore, Store, TypeMismatchError
from cano_sync._base.fence import Fence, Gate, fence
from tests.kit import SOON


class Foreign(MemoryStore):
    """A backend that the fence knows nothing of, but that works like the one that it knows."""

    password = "not for tasks"


KINDS = pytest.mark.parametrize("kind", [MemoryStore, Foreign])
Kind = Callable[[dict[str, Any]], MemoryStore]

READS: list[tuple[str, Callable[[Store], Any]]] = [
    ("get", lambda store: store.get("n")),
    ("get with a type", lambda store: store.get("n", int)),
    ("get with a default", lambda store: store.get("absent", default=None)),
    ("get an absent key", lambda store: store.get("absent")),
    ("contains_key", lambda store: store.contains_key("n")),
    ("keys", lambda store: store.keys()),
    ("snapshot", lambda store: store.snapshot()),
    ("in", lambda store: "n" in store),
    ("len", lambda store: len(store)),
    ("iter", lambda store: list(store)),
    ("[]", lambda store: store["n"]),
]
WRITES: list[tuple[str, Callable[[Store], Any]]] = [
    ("put", lambda store: store.put("n", 2)),
    ("put a new key", lambda store: store.put("new", 2)),
    ("append", lambda store: store.append("list", 2)),
    ("append to a new key", lambda store: store.append("new", 2)),
    ("append to no list", lambda store: store.append("n", 2)),
    ("update", lambda store: store.update("n", lambda n: n + 1)),
    ("update with a default", lambda store: store.update("new", lambda n: n + 1, default=0)),
    ("remove", lambda store: store.remove("n")),
    ("remove an absent key", lambda store: store.remove("absent")),
    ("clear", lambda store: store.clear()),
    ("[] =", lambda store: store.__setitem__("n", 2)),
    ("del", lambda store: store.__delitem__("n")),
    ("del an absent key", lambda store: store.__delitem__("absent")),
]
OPERATIONS = [*READS, *WRITES]
NAMES = [name for name, _ in OPERATIONS]


def initial() -> dict[str, Any]:
    return {"n": 1, "list": [1]}


def result_of(operation: Callable[[Store], Any], store: Store) -> Any:
    """What it returns, or the kind of error that it raises."""
    try:
        return operation(store)
    except Exception as error:
        return type(error)


@KINDS
@pytest.mark.parametrize(("name", "operation"), OPERATIONS, ids=NAMES)
def test_through_an_open_gate_everything_works_as_without(
    kind: Kind, name: str, operation: Callable[[Store], Any]
) -> None:
    plain, store = MemoryStore(initial()), kind(initial())
    view, _ = fence(store)
    assert result_of(operation, view) == result_of(operation, plain)
    assert store.snapshot() == plain.snapshot()


@KINDS
@pytest.mark.parametrize(("name", "operation"), OPERATIONS, ids=NAMES)
def test_a_closed_gate_raises_the_signal_and_changes_nothing(
    kind: Kind, name: str, operation: Callable[[Store], Any]
) -> None:
    store = kind(initial())
    view, gate = fence(store)
    gate.close()
    with pytest.raises(Cancelled, match="too late"):
        operation(view)
    assert store.snapshot() == initial()


@KINDS
def test_the_store_itself_stays_open(kind: Kind) -> None:
    store = kind(initial())
    _, gate = fence(store)
    gate.close()
    store.put("n", 2)
    assert store.get("n") == 2


@KINDS
@pytest.mark.parametrize(("name", "operation"), OPERATIONS, ids=NAMES)
def test_a_closed_gate_leaves_all_locks_free(
    kind: Kind, name: str, operation: Callable[[Store], Any]
) -> None:
    """Another thread can use the store, and other gates, after a refusal."""
    store = kind(initial())
    outer = Gate()
    first, gate = fence(store, outer)
    second, _ = fence(store, outer)
    gate.close()
    with pytest.raises(Cancelled):
        operation(first)
    done = threading.Thread(target=second.put, args=("from", "another thread"), daemon=True)
    done.start()
    done.join(SOON)
    assert store.get("from") == "another thread"


@KINDS
def test_an_update_whose_run_moved_on_while_the_function_ran_writes_nothing(kind: Kind) -> None:
    store = kind(initial())
    view, gate = fence(store)

    def function(n: int) -> int:
        gate.close()
        return n + 1

    with pytest.raises(Cancelled):
        view.update("n", function)
    assert store.snapshot() == initial()


@KINDS
def test_behind_a_closed_gate_an_update_does_not_call_its_function(kind: Kind) -> None:
    view, gate = fence(kind(initial()))
    gate.close()
    calls: list[Any] = []
    with pytest.raises(Cancelled):
        view.update("n", calls.append)
    assert calls == []


@KINDS
def test_behind_a_closed_gate_an_update_of_an_absent_key_is_cancelled_too(kind: Kind) -> None:
    view, gate = fence(kind(initial()))
    gate.close()
    with pytest.raises(Cancelled):
        view.update("absent", lambda n: n)


# Gates below gates.


@KINDS
@pytest.mark.parametrize("through", ["the outer view", "the store and the outer gate"])
def test_closing_the_outer_gate_closes_the_inner_one(kind: Kind, through: str) -> None:
    store = kind(initial())
    outer_view, outer = fence(store)
    view, _ = fence(outer_view) if through == "the outer view" else fence(store, outer)
    view.put("n", 2)
    outer.close()
    with pytest.raises(Cancelled):
        view.put("n", 3)
    with pytest.raises(Cancelled):
        view.get("n")
    assert store.get("n") == 2


@KINDS
@pytest.mark.parametrize("through", ["the outer view", "the store and the outer gate"])
def test_closing_the_inner_gate_leaves_the_outer_one_open(kind: Kind, through: str) -> None:
    store = kind(initial())
    outer_view, outer = fence(store)
    view, gate = fence(outer_view) if through == "the outer view" else fence(store, outer)
    sibling, _ = fence(outer_view)
    gate.close()
    with pytest.raises(Cancelled):
        view.put("n", 2)
    outer_view.put("n", 3)
    sibling.append("list", 2)
    assert store.snapshot() == {"n": 3, "list": [1, 2]}


@KINDS
def test_a_gate_far_above_closes_all_below(kind: Kind) -> None:
    store: Store = kind(initial())
    view, top = fence(store)
    for _ in range(5):
        view, _ = fence(view)
    view.put("n", 2)
    top.close()
    with pytest.raises(Cancelled):
        view.put("n", 3)
    assert store.get("n") == 2


# What a task can see of the store.


def test_a_fenced_memory_store_is_a_memory_store() -> None:
    view, _ = fence(MemoryStore({"n": 1}))
    assert isinstance(view, MemoryStore)
    assert repr(view) == "MemoryStore({'n': 1})"


def test_a_copy_of_a_fenced_store_is_free_of_the_fence() -> None:
    view, gate = fence(MemoryStore({"n": 1}))
    twin = copy.copy(view)
    gate.close()
    twin.put("n", 2)
    assert twin.get("n") == 2


def test_of_a_foreign_backend_a_task_sees_the_stores_methods_and_nothing_else() -> None:
    view, _ = fence(Foreign({"n": 1}))
    assert isinstance(view, Fence)
    with pytest.raises(AttributeError):
        view.password  # type: ignore[attr-defined]  # noqa: B018


def test_a_foreign_backends_own_default_is_left_to_it() -> None:
    """The fence passes on what it was given, and no stand-in for what it was not."""
    given: list[Any] = []

    class Spy(Foreign):
        def get(self, *args: Any, **named: Any) -> Any:
            given.append((args, named))

        def update(self, key: str, function: Any, *default: Any, **named: Any) -> Any:
            given.append((key, default, named))

    view, _ = fence(Spy())
    view.get("n")
    view.get("n", int, default=None)
    view.update("n", int)
    view.update("n", int, 0)
    view.update("n", int, default=1)
    assert given == [
        (("n", None), {}),
        (("n", int), {"default": None}),
        ("n", (), {}),
        ("n", (0,), {}),
        ("n", (), {"default": 1}),
    ]


def test_what_a_foreign_backend_raises_passes_and_leaves_the_gate_as_it_was() -> None:
    view, gate = fence(Foreign({"n": 1}))
    with pytest.raises(TypeMismatchError):
        view.append("n", 2)
    with pytest.raises(KeyNotFoundError):
        view.update("absent", lambda n: n)
    gate.close(patience=SOON)  # does not wait for a write that is over: the test would time out


# Closing.


def test_a_gate_may_be_closed_twice() -> None:
    view, gate = fence(MemoryStore())
    gate.close()
    gate.close(patience=SOON)
    with pytest.raises(Cancelled):
        gate.check()
    with pytest.raises(Cancelled):
        view.keys()


class Slow(Foreign):
    """A backend whose put() takes until the test lets it through."""

    def __init__(self, initial: dict[str, Any]) -> None:
        super().__init__(initial)
        self.entered = threading.Event()
        self.answer = threading.Event()

    def put(self, key: str, value: Any) -> None:
        self.entered.set()
        assert self.answer.wait(SOON)
        super().put(key, value)


class Write:
    """One put() on a slow backend, under way on a thread of its own."""

    def __init__(self, nested: bool = False) -> None:
        self.store = Slow(initial())
        view, self.gate = fence(self.store)
        if nested:
            view, _ = fence(view)
        self.thread = threading.Thread(target=view.put, args=("n", 2))
        self.thread.start()
        assert self.store.entered.wait(SOON)

    def end(self) -> None:
        self.store.answer.set()
        self.thread.join()


def test_closing_does_not_wait_without_patience() -> None:
    write = Write()
    write.gate.close()
    assert write.thread.is_alive()
    write.end()


def test_closing_gives_up_when_its_patience_is_at_an_end() -> None:
    write = Write()
    write.gate.close(patience=0.01)
    assert write.thread.is_alive()
    write.end()


@pytest.mark.parametrize("nested", [False, True])
def test_closing_waits_for_a_foreign_write_under_way(nested: bool) -> None:
    """When close() returns, the write is done, and none can follow."""
    write = Write(nested)
    seen: list[Any] = []

    def close() -> None:
        write.gate.close(patience=SOON)
        seen.append(write.store.get("n"))

    closer = threading.Thread(target=close)
    closer.start()
    closer.join(0.05)
    assert closer.is_alive()
    write.end()
    closer.join()
    assert seen == [2]


def test_closing_the_outer_gate_waits_for_a_write_through_an_inner_one() -> None:
    """As of a run inside a task that was given the backend itself, not the task's view of it."""
    store, outer = Slow(initial()), Gate()
    view, _ = fence(store, outer)
    writer = threading.Thread(target=view.put, args=("n", 2))
    writer.start()
    assert store.entered.wait(SOON)
    closed = threading.Event()
    closer = threading.Thread(target=lambda: (outer.close(patience=SOON), closed.set()))
    closer.start()
    waited = not closed.wait(0.05)
    store.answer.set()
    writer.join()
    closer.join()
    assert waited


def test_two_may_close_and_wait_at_once() -> None:
    write = Write()
    closers = [threading.Thread(target=write.gate.close, args=(SOON,)) for _ in range(2)]
    for closer in closers:
        closer.start()
    write.end()
    for closer in closers:
        closer.join(SOON)
        assert not closer.is_alive()


def test_a_closed_gate_refuses_a_write_while_another_is_under_way() -> None:
    write = Write()
    write.gate.close()
    view = Fence(write.store, write.gate)
    with pytest.raises(Cancelled):
        view.remove("n")
    write.end()


@pytest.mark.parametrize("what", ["to close", "to begin a foreign write"])
def test_to_close_and_to_begin_a_write_exclude_each_other(what: str) -> None:
    """Both hold the lock of all gates above: a write begins before the closing, or is refused."""
    outer = Gate()
    view, gate = fence(Foreign(), outer)
    done = threading.Event()

    def act() -> None:
        gate.close() if what == "to close" else view.put("n", 1)
        done.set()

    thread = threading.Thread(target=act, daemon=True)
    with outer._lock:
        thread.start()
        assert not done.wait(0.05)
    assert done.wait(SOON)
    thread.join(SOON)


def test_a_write_that_waits_for_the_stores_lock_looks_at_the_gate_after_that() -> None:
    """Who is kept waiting by others is turned away, if the gate was closed meanwhile."""
    store = MemoryStore(initial())
    view, gate = fence(store)
    ended: list[Any] = []

    def write() -> None:
        try:
            ended.append(view.put("n", 2))
        except Cancelled as signal:
            ended.append(signal)

    thread = threading.Thread(target=write, daemon=True)
    with store._lock:
        thread.start()
        thread.join(0.05)
        assert not ended
        gate.close()
    thread.join(SOON)
    assert isinstance(ended[0], Cancelled)
    assert store.snapshot() == initial()


def test_to_close_and_to_end_a_foreign_write_exclude_each_other() -> None:
    """Else a closing could look, and wait for the end of a write that has just ended."""
    write = Write()
    with write.gate._lock:
        write.store.answer.set()
        write.thread.join(0.05)
        assert write.thread.is_alive()
    write.thread.join(SOON)
    assert not write.thread.is_alive()


@KINDS
def test_no_write_follows_the_closing_of_the_gate(kind: Kind) -> None:
    """Writers race the closing: what is there when close() returns is there for good."""
    for _ in range(100):
        store = kind({"n": 0})
        view, gate = fence(store)
        writing = threading.Barrier(4)

        def write(
            view: Store = view, begin: Callable[[], int] = lambda w=writing: w.wait(SOON)
        ) -> None:
            begin()
            with contextlib.suppress(Cancelled):
                while True:
                    view.update("n", lambda n: n + 1)

        writers = [threading.Thread(target=write) for _ in range(3)]
        for writer in writers:
            writer.start()
        writing.wait(SOON)
        gate.close(patience=SOON)
        then = store.get("n")
        for writer in writers:
            writer.join()
        assert store.get("n") == then


# A store that is behind a fence already.


@KINDS
@pytest.mark.parametrize("closed", ["that of the store", "that of the task", "its own"])
@pytest.mark.parametrize(
    "where", ["enclosing", "beside", "beside, below one", "of another run", "twice of another run"]
)
def test_behind_two_fences_each_gate_ends_the_writes(kind: Kind, closed: str, where: str) -> None:
    """A nested run that is given the store of another task than the one that it is in."""
    store, top = kind(initial()), Gate()
    outer = Gate(top)  # of the task that the run is in
    before = {"enclosing": top, "beside": None, "beside, below one": top}.get(where)
    if where == "enclosing":
        given, first = fence(store, None)
        outer = Gate(first)
    else:
        given, first = fence(store, before)
    if where == "twice of another run":
        given, _ = fence(given, Gate())
    view, own = fence(given, outer)
    view.put("n", 2)
    gates = {"that of the store": first, "that of the task": outer, "its own": own}
    gates[closed].close()
    with pytest.raises(Cancelled):
        view.put("n", 3)
    assert store.get("n") == 2


def test_below_two_fences_nothing_is_held_afterwards() -> None:
    """Neither by a write nor by one that is turned away."""
    store, outer = MemoryStore(initial()), Gate()
    given, first = fence(store)
    view, _ = fence(given, outer)
    for close in (lambda: None, outer.close):
        close()
        with contextlib.suppress(Cancelled):
            view.put("n", 2)
        for lock in (store._lock, first._lock, outer._lock):
            assert free(lock)


def free(lock: Any) -> bool:
    """Whether another thread could take it."""
    taken: list[bool] = []

    def take() -> None:
        taken.append(lock.acquire(False))
        if taken[0]:
            lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return taken[0]
