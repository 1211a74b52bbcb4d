"""The store: its methods, its mapping habits, and what is atomic about it."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cano_sync import (
    ConfigurationError,
    KeyNotFoundError,
    MemoryStore,
    Store,
    StoreError,
    TypeMismatchError,
)

THREADS = 8
ROUNDS = 300


class DictStore(Store):
    """A user's own backend: the named methods alone, the mapping habits come with `Store`."""

    def __init__(self, initial: dict[str, Any]) -> None:
        self.data = dict(initial)

    def get(self, key: str, type: Any = None, *, default: Any = ...) -> Any:
        if key not in self.data:
            if default is ...:
                raise KeyNotFoundError(f"no {key}")
            return default
        return self.data[key]

    def put(self, key: str, value: Any) -> None:
        self.data[key] = value

    def append(self, key: str, item: Any) -> None:
        self.data.setdefault(key, []).append(item)

    def update(self, key: str, function: Callable[[Any], Any], default: Any = ...) -> Any:
        self.data[key] = function(self.data.get(key, default))
        return self.data[key]

    def remove(self, key: str) -> None:
        self.data.pop(key, None)

    def contains_key(self, key: str) -> bool:
        return key in self.data

    def keys(self) -> list[str]:
        return list(self.data)

    def clear(self) -> None:
        self.data.clear()

    def snapshot(self) -> dict[str, Any]:
        return dict(self.data)


def at_once(work: Callable[[int], None]) -> None:
    """Run `work(number)` on several threads that begin together."""
    ready = threading.Barrier(THREADS)

    def run(number: int) -> None:
        ready.wait(20)
        work(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# get().


def test_get_hands_out_the_object_itself() -> None:
    order = {"sku": "A-17"}
    store = MemoryStore()
    store.put("order", order)
    assert store.get("order") is order
    assert store.get("order", dict) is order


def test_an_absent_key_is_a_key_error_that_names_it() -> None:
    with pytest.raises(KeyNotFoundError, match=r"no store key 'order'; put\(\) it first"):
        MemoryStore().get("order")
    with pytest.raises(KeyError):
        MemoryStore().get("order", dict)


@pytest.mark.parametrize("default", [None, 0, [], "x"])
def test_an_absent_key_is_the_default_itself_where_there_is_one(default: Any) -> None:
    """Unchecked: None may stand for "no number"."""
    store = MemoryStore()
    assert store.get("order", default=default) is default
    assert store.get("order", int, default=default) is default
    assert not store.contains_key("order")


def test_a_default_does_not_hide_a_value() -> None:
    store = MemoryStore({"none": None, "zero": 0})
    assert store.get("none", default="x") is None
    assert store.get("zero", default="x") == 0


def test_none_is_a_value_like_any_other() -> None:
    store = MemoryStore()
    store.put("answer", None)
    assert store.get("answer") is None
    assert store.contains_key("answer")
    assert "answer" in store
    assert store.keys() == ["answer"]
    with pytest.raises(TypeMismatchError, match="holds a NoneType"):
        store.get("answer", str)


def test_a_value_of_another_type_is_a_type_error_that_names_key_value_and_types() -> None:
    store = MemoryStore({"count": 1})
    with pytest.raises(TypeMismatchError) as caught:
        store.get("count", str)
    assert str(caught.value) == "store key 'count' holds an int (1), not a str"
    assert isinstance(caught.value, TypeError)


def test_a_default_does_not_excuse_a_value_of_another_type() -> None:
    with pytest.raises(TypeMismatchError):
        MemoryStore({"count": 1}).get("count", str, default="none")


def test_a_long_value_is_quoted_in_short() -> None:
    with pytest.raises(TypeMismatchError) as caught:
        MemoryStore({"text": "x" * 1000}).get("text", int)
    assert len(str(caught.value)) < 150
    assert "..." in str(caught.value)


def test_a_subclass_passes_the_check_and_so_does_what_isinstance_takes_besides() -> None:
    store = MemoryStore({"yes": True, "n": 3})
    assert store.get("yes", int) is True
    either: Any = (str, int)
    union: Any = int | str
    assert store.get("n", either) == 3
    assert store.get("n", union) == 3
    with pytest.raises(TypeMismatchError, match="not"):
        store.get("n", (str, bytes))  # type: ignore[call-overload]


def test_a_type_that_cannot_be_checked_says_so_with_the_mend() -> None:
    offers: Any = list[int]
    with pytest.raises(StoreError, match=r"list instead of list\[int\]") as caught:
        MemoryStore({"offers": [1]}).get("offers", offers)
    assert type(caught.value) is StoreError
    assert isinstance(caught.value.__cause__, TypeError)


def test_an_absent_key_is_not_checked() -> None:
    offers: Any = list[int]
    assert MemoryStore().get("offers", offers, default=None) is None


# put(), remove(), clear() and the looks at everything.


def test_put_replaces() -> None:
    store = MemoryStore({"n": 1})
    store.put("n", "two")
    assert store.snapshot() == {"n": "two"}


def test_remove_is_silent_when_the_key_is_absent() -> None:
    store = MemoryStore({"a": 1, "b": 2})
    store.remove("a")
    store.remove("a")
    assert store.snapshot() == {"b": 2}


def test_clear_removes_everything() -> None:
    store = MemoryStore({"a": 1, "b": 2})
    store.clear()
    assert store.snapshot() == {}


def test_keys_come_in_the_order_in_which_they_came_in() -> None:
    store = MemoryStore({"b": 1})
    store.put("a", 2)
    store.put("b", 3)
    assert store.keys() == ["b", "a"]


def test_keys_are_those_of_this_moment() -> None:
    store = MemoryStore({"a": 1})
    keys = store.keys()
    store.put("b", 2)
    assert keys == ["a"]


def test_a_snapshot_is_a_shallow_copy() -> None:
    store = MemoryStore({"list": [1]})
    snapshot = store.snapshot()
    snapshot["other"] = 2
    assert store.keys() == ["list"]
    assert snapshot["list"] is store.get("list")


def test_what_it_begins_with_is_copied_one_level_deep() -> None:
    initial = {"list": [1]}
    store = MemoryStore(initial)
    initial["other"] = [2]
    assert store.keys() == ["list"]
    assert store.get("list") is initial["list"]


# append().


def test_append_begins_a_list_and_extends_it_in_place() -> None:
    store = MemoryStore()
    store.append("offers", 3)
    offers = store.get("offers", list)
    store.append("offers", [4])
    assert offers == [3, [4]]
    assert store.get("offers") is offers


@pytest.mark.parametrize("value", [None, (1, 2), "text", {"a": 1}])
def test_append_to_something_else_is_refused_and_changes_nothing(value: Any) -> None:
    store = MemoryStore({"offers": value})
    with pytest.raises(TypeMismatchError, match=r"'offers' holds a .*, not a list"):
        store.append("offers", 3)
    assert store.get("offers") is value


def test_no_append_is_lost() -> None:
    store = MemoryStore()

    def work(number: int) -> None:
        for turn in range(ROUNDS):
            store.append("items", (number, turn))

    at_once(work)
    items = store.get("items", list)
    assert len(items) == len(set(items)) == THREADS * ROUNDS


# update().


def test_update_replaces_the_value_and_returns_the_new_one() -> None:
    store = MemoryStore({"n": 1})
    assert store.update("n", lambda n: n + 1) == 2
    assert store.get("n") == 2


def test_update_begins_with_the_default_where_the_key_is_absent() -> None:
    store = MemoryStore()
    assert store.update("n", lambda n: n + 1, default=10) == 11
    assert store.update("n", lambda n: n + 1, default=10) == 12


def test_none_is_a_default_like_any_other() -> None:
    store = MemoryStore()
    assert store.update("n", lambda n: [n], default=None) == [None]


def test_update_without_a_value_or_a_default_is_a_key_error_and_calls_nothing() -> None:
    store, calls = MemoryStore(), []
    with pytest.raises(KeyNotFoundError, match="no store key 'n'"):
        store.update("n", calls.append)
    assert calls == []
    assert not store.contains_key("n")


def test_a_value_of_none_is_updated_and_not_the_default() -> None:
    assert MemoryStore({"n": None}).update("n", lambda n: n is None, default=1) is True


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_an_update_whose_function_raises_changes_nothing(kind: type[BaseException]) -> None:
    def fail(value: Any) -> Any:
        raise kind

    store = MemoryStore({"n": 1})
    with pytest.raises(kind):
        store.update("n", fail)
    with pytest.raises(kind):
        store.update("absent", fail, default=0)
    assert store.snapshot() == {"n": 1}
    store.put("n", 2)  # the lock is free again, for this thread ...
    at_once(lambda number: store.put("n", number))  # ... and for others


def test_no_update_is_lost() -> None:
    store = MemoryStore()

    def slowly(n: int) -> int:
        for _ in range(20):  # long enough that a thread without the lock would slip in
            n = n + 0
        return n + 1

    def work(number: int) -> None:
        for _ in range(ROUNDS):
            store.update("n", slowly, default=0)

    at_once(work)
    assert store.get("n") == THREADS * ROUNDS


def test_others_wait_while_an_update_is_under_way() -> None:
    """Nobody can see, or change, the value between the look and the write."""
    store, inside, go_on = MemoryStore({"n": 1}), threading.Event(), threading.Event()
    seen: list[Any] = []

    def function(n: int) -> int:
        inside.set()
        assert go_on.wait(20)
        return n + 1

    def read() -> None:
        seen.append(("begun",))
        seen.append(store.get("n"))

    updater = threading.Thread(target=store.update, args=("n", function))
    updater.start()
    assert inside.wait(20)
    reader = threading.Thread(target=read)
    reader.start()
    reader.join(0.05)
    assert reader.is_alive()
    assert seen == [("begun",)]
    go_on.set()
    updater.join()
    reader.join()
    assert seen == [("begun",), 2]


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.put("n", "from inside"),
        lambda store: store.remove("n"),
        lambda store: store.clear(),
        lambda store: store.update("n", lambda n: n + 100),
    ],
    ids=["put", "remove", "clear", "update"],
)
def test_a_function_that_changes_its_own_key_is_told_not_to(change: Any) -> None:
    """It does not dead-lock, and no write is lost in silence."""
    store = MemoryStore({"n": 1})

    def function(n: int) -> int:
        change(store)
        return n + 1

    with pytest.raises(StoreError, match=r"update\('n'\) changed that key itself"):
        store.update("n", function)


def test_a_function_may_look_at_the_store() -> None:
    store = MemoryStore({"n": 1, "step": 5})
    assert store.update("n", lambda n: n + store.get("step", int)) == 6


# The mapping habits.


@pytest.mark.parametrize("kind", [MemoryStore, DictStore])
def test_the_mapping_habits(kind: Callable[[dict[str, Any]], Store]) -> None:
    """Of the store that comes along, and of a backend that derives from `Store`."""
    store = kind({"a": 1})
    assert store["a"] == 1
    store["b"] = None
    assert len(store) == 2
    assert list(store) == ["a", "b"]
    assert "b" in store
    assert "c" not in store
    assert 7 not in store
    assert [] not in store
    del store["a"]
    assert store.snapshot() == {"b": None}
    assert dict(store.snapshot()) == {key: store[key] for key in store}


@pytest.mark.parametrize("kind", [MemoryStore, DictStore])
def test_the_mapping_habits_raise_a_key_error(kind: Callable[[dict[str, Any]], Store]) -> None:
    store = kind({})
    with pytest.raises(KeyNotFoundError):
        store["a"]
    with pytest.raises(KeyNotFoundError, match="'a'"):
        del store["a"]


def test_a_store_may_be_changed_while_it_is_iterated_over() -> None:
    store = MemoryStore({"a": 1, "b": 2})
    for key in store:
        store.put(key + key, 0)
    assert store.keys() == ["a", "b", "aa", "bb"]


def test_only_one_of_many_can_delete_a_key() -> None:
    store, losers = MemoryStore(), []

    def work(number: int) -> None:
        for turn in range(ROUNDS):
            store.put(str(turn), 0)
        barrier.wait(20)
        for turn in range(ROUNDS):
            try:
                del store[str(turn)]
            except KeyNotFoundError:
                losers.append(turn)

    barrier = threading.Barrier(THREADS)
    at_once(work)
    assert len(losers) == (THREADS - 1) * ROUNDS


# Copies.


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda store: pickle.loads(pickle.dumps(store))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_copy_holds_the_same_and_lives_its_own_life(duplicate: Any) -> None:
    store = MemoryStore({"a": [1]})
    twin = duplicate(store)
    assert type(twin) is MemoryStore
    assert twin.snapshot() == {"a": [1]}
    twin.put("b", 2)
    assert store.keys() == ["a"]
    store.update("a", lambda a: [*a, 2])
    assert twin.get("a") == [1]


def test_a_shallow_copy_shares_its_values_and_a_deep_one_does_not() -> None:
    store = MemoryStore({"a": [1]})
    assert copy.copy(store).get("a") is store.get("a")
    assert copy.deepcopy(store).get("a") is not store.get("a")


class Named(MemoryStore):
    """A user's own, with nothing new to hold."""


def test_a_copy_of_a_subclass_is_one_too() -> None:
    store = Named({"a": 1})
    assert type(copy.copy(store)) is Named
    assert type(pickle.loads(pickle.dumps(store))) is Named


def test_the_repr_shows_what_it_holds() -> None:
    assert repr(MemoryStore({"a": [1]})) == "MemoryStore({'a': [1]})"


@pytest.mark.parametrize("initial", [5, "text", ["key"], MemoryStore()])
def test_a_store_begins_with_a_mapping(initial: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"MemoryStore\(\) begins with a mapping"):
        MemoryStore(initial)
