"""A store that notes what may have changed in it, and deltas as text."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from cano_sync import Cancelled, CorruptCheckpointError, KeyNotFoundError, MemoryStore
from cano_sync._base.delta import REMOVED, changes_in, fold, text_of
from cano_sync._base.fence import fence
from cano_sync._base.tracked import TrackedStore

INITIAL = {"number": 1, "text": "a", "list": [1], "tuple": (1,)}


@pytest.mark.parametrize(
    ("act", "values", "gone"),
    [
        (lambda store: store.get("number"), [], []),
        (lambda store: store.get("text", str), [], []),
        (lambda store: store.get("none", default=None), [], []),
        (lambda store: store.get("list"), ["list"], []),
        (lambda store: store["tuple"], ["tuple"], []),
        (lambda store: store.put("number", 2), ["number"], []),
        (lambda store: store.append("list", 2), ["list"], []),
        (lambda store: store.update("number", lambda n: n + 1), ["number"], []),
        (lambda store: store.remove("text"), [], ["text"]),
        (lambda store: store.__delitem__("text"), [], ["text"]),
        (lambda store: store.remove("none"), [], ["none"]),
        (lambda store: store.snapshot(), ["number", "text", "list", "tuple"], []),
        (lambda store: store.clear(), [], ["list", "number", "text", "tuple"]),
        (lambda store: (store.get("list"), store.remove("text")), ["list"], ["text"]),
        (lambda store: store.keys() + [*store], [], []),
    ],
)
def test_it_notes_what_is_written_and_what_can_be_changed_in_place(
    act: Callable[[Any], Any], values: list[str], gone: list[str]
) -> None:
    base = MemoryStore(INITIAL)
    store = TrackedStore(base)
    act(store)
    noted, missing = store.take()
    assert (list(noted), missing) == (values, gone)
    assert store.take() == ({}, [])
    assert base.snapshot() == store.snapshot()


def test_a_fenced_view_notes_into_the_same_store_and_writes_nothing_once_it_is_closed() -> None:
    store = TrackedStore(MemoryStore(INITIAL))
    fenced, gate = fence(store)
    assert isinstance(fenced, TrackedStore)
    fenced.put("number", 2)
    assert store.take() == ({"number": 2}, [])
    gate.close()
    with pytest.raises(Cancelled):
        fenced.put("number", 3)
    assert store.take() == ({"number": 2}, [])  # looked at in vain: it has not changed


def test_a_key_that_is_not_there_is_as_in_any_store() -> None:
    store = TrackedStore(MemoryStore())
    with pytest.raises(KeyNotFoundError):
        store.get("none")
    with pytest.raises(KeyNotFoundError):
        del store["none"]


def test_it_is_copied_as_a_plain_store() -> None:
    twin = pickle.loads(pickle.dumps(TrackedStore(MemoryStore(INITIAL))))
    assert type(twin) is MemoryStore
    assert twin.snapshot() == INITIAL


def test_deltas_fold_in_their_order() -> None:
    deltas = [
        text_of({"a": "1", "b": "[2]", "c": "null"}),
        text_of({"a": REMOVED, 'q"': "3"}),
        text_of({"b": "4", "c": REMOVED}),
    ]
    assert fold(deltas) == {"b": 4, 'q"': 3}
    assert changes_in(deltas[1]) == ({'q"': 3}, ["a"])
    assert fold([]) == {}


@pytest.mark.parametrize("wrong", ["", "[1]", "3", '{"a":', "[" * 100_000])
def test_what_is_no_delta_is_corrupt(wrong: str) -> None:
    with pytest.raises(CorruptCheckpointError, match="it cannot be read"):
        changes_in(wrong)
