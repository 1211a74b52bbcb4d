"""Law 5: nothing leaks out of an abandoned branch, attempt or run."""

from __future__ import annotations

import threading
from collections.abc import Callable
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
    Store,
    TaskConfig,
    Workflow,
)
from cano_sync import task as task_with
from cano_sync._engine import offload as offload_module
from cano_sync._engine import split as split_module
from tests.backends import Plain
from tests.kit import SOON, Boom, Step, single, split

LIMIT = 0.15


# Stores: the library's, and three that users may write.


class Tagged(MemoryStore):
    """A user's own kind of the library's store."""


class Derived(Plain, Store):
    """One that takes the mapping habits from the protocol."""


KINDS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "the library's store": MemoryStore,
    "a store derived from the library's": Tagged,
    "a backend of one's own": Plain,
    "a backend derived from the protocol": Derived,
}
in_any_store = pytest.mark.parametrize("kind", KINDS)


def filled(kind: str = "the library's store") -> Any:
    return KINDS[kind]({"one": 1, "list": [1]})


def contents(store: Any) -> dict[str, Any]:
    """What it holds, with copies of its lists."""
    return {
        key: list(value) if isinstance(value, list) else value
        for key, value in store.snapshot().items()
    }


def delete(store: Any) -> None:
    del store["one"]


def set_item(store: Any) -> None:
    store["one"] = 2


OPERATIONS: dict[str, Callable[[Any], object]] = {
    "get": lambda store: store.get("one"),
    "get a type": lambda store: store.get("one", int),
    "get with a default": lambda store: store.get("none", default=0),
    "put": lambda store: store.put("one", 2),
    "put a new key": lambda store: store.put("new", 2),
    "append": lambda store: store.append("list", 2),
    "append to a new list": lambda store: store.append("new", 2),
    "update": lambda store: store.update("one", lambda value: value + 1),
    "update a new key": lambda store: store.update("new", lambda value: value + 1, default=0),
    "remove": lambda store: store.remove("one"),
    "contains_key": lambda store: store.contains_key("one"),
    "keys": lambda store: store.keys(),
    "clear": lambda store: store.clear(),
    "snapshot": lambda store: store.snapshot(),
    "in": lambda store: "one" in store,
    "len": len,
    "iter": iter,
    "store[key]": lambda store: store["one"],
    "store[key] = value": set_item,
    "del store[key]": delete,
}


class Late:
    """A task that waits, deaf, until it is told to go on; and what its store then said."""

    def __init__(self, operations: dict[str, Callable[[Any], object]] = OPERATIONS) -> None:
        self.operations = operations
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.ended = threading.Event()
        self.raised: dict[str, BaseException | None] = {}

    def __call__(self, store: Any) -> Step:
        self.begun.set()
        try:
            self.go_on.wait(SOON)
            for name, operation in self.operations.items():
                self.raised[name] = None
                try:
                    operation(store)
                except BaseException as error:
                    self.raised[name] = error
        finally:
            self.ended.set()
        return Step.DONE

    def went_on(self) -> dict[str, str]:
        """Let it go on; what each operation raised, by its type's name."""
        self.go_on.set()
        assert self.ended.wait(SOON)
        return {name: type(error).__name__ for name, error in self.raised.items()}

    def wait(self) -> None:
        """As a task beside it: ends once it has begun."""
        assert self.begun.wait(SOON)

    def until_begun(self, run: Callable[[], object]) -> None:
        """Perform runs that fail on time, until one lasted long enough to begin."""
        while not self.begun.is_set():
            with suppress(CanoError):
                run()


@pytest.fixture
def late() -> Any:
    task = Late()
    yield task
    task.go_on.set()


# The ways to be abandoned. Each returns once the run has moved on without the late task.

Leave = Callable[[Late, Any], None]


def failing_beside(late: Late) -> Callable[[], None]:
    def task() -> None:
        late.wait()
        raise Boom

    return task


def joined(strategy: JoinStrategy, **join: Any) -> Leave:
    """A branch that the join did not wait for."""

    def leave(late: Late, store: Any) -> None:
        workflow = split([late, late.wait, late.wait], strategy, **join)
        assert workflow.orchestrate(Step.START, store=store) is Step.DONE

    return leave


def failed(late: Late, store: Any) -> None:
    """A branch of a split that failed fast."""
    workflow = split([late, failing_beside(late)], fail_fast=True)
    with pytest.raises(CanoError):
        workflow.orchestrate(Step.START, store=store)


def timed_out(late: Late, store: Any) -> None:
    """A branch of a split whose time was up."""
    workflow = split([late], timeout=LIMIT)
    late.until_begun(lambda: workflow.orchestrate(Step.START, store=store))


def attempt(late: Late, store: Any) -> None:
    limited = TaskConfig().with_attempt_timeout(LIMIT)
    workflow = single(late, limited)
    late.until_begun(lambda: workflow.orchestrate(Step.START, store=store))


def branchs_attempt(late: Late, store: Any) -> None:
    limited = TaskConfig().with_attempt_timeout(LIMIT)

    @task_with(config=limited)
    def task(store: Any) -> None:
        late(store)

    workflow = split([task])
    late.until_begun(lambda: workflow.orchestrate(Step.START, store=store))


def workflow_timeout(late: Late, store: Any) -> None:
    workflow = single(late).with_timeout(LIMIT)
    late.until_begun(lambda: workflow.orchestrate(Step.START, store=store))


def workflow_timeout_in_a_split(late: Late, store: Any) -> None:
    workflow = split([late]).with_timeout(LIMIT)
    late.until_begun(lambda: workflow.orchestrate(Step.START, store=store))


def cancelled(how: Callable[[Late], Workflow[Any]]) -> Leave:
    def leave(late: Late, store: Any) -> None:
        token = CancellationToken()
        run = how(late).submit(Step.START, store=store, cancel=token)
        late.wait()
        token.cancel()
        assert isinstance(run.exception(SOON), CanoError)

    return leave


def nested(how: Callable[[Late], Workflow[Any]]) -> Leave:
    """Deep in a run inside a branch that the join did not wait for; the store is handed on."""

    def leave(late: Late, store: Any) -> None:
        inner = how(late)

        def branch(store: Any) -> None:
            inner.orchestrate(Step.START, store=store)

        split([branch, late.wait], JoinStrategy.ANY).orchestrate(Step.START, store=store)

    return leave


def nested_beside(how: Callable[[Late], Workflow[Any]]) -> Leave:
    """The same, but the inner run has this store and the outer one another."""

    def leave(late: Late, store: Any) -> None:
        inner = how(late)

        def branch() -> None:
            inner.orchestrate(Step.START, store=store)

        split([branch, late.wait], JoinStrategy.ANY).orchestrate(Step.START)

    return leave


def submitted(late: Late, store: Any) -> None:
    """In a run that a branch has submitted with its own store, and not waited for."""

    def branch(store: Any) -> None:
        single(late).submit(Step.START, store=store)
        late.wait()

    split([branch]).orchestrate(Step.START, store=store)


def own_thread(late: Late, store: Any) -> None:
    """In a thread that a branch has started; the branch itself has ended well."""

    def branch(store: Any) -> None:
        threading.Thread(target=late, args=[store]).start()

    split([branch]).orchestrate(Step.START, store=store)
    late.wait()


WAYS: dict[str, Leave] = {
    "ANY": joined(JoinStrategy.ANY),
    "a quorum": joined(JoinStrategy.quorum(2)),
    "a percentage": joined(JoinStrategy.percentage(0.5)),
    "partial results": joined(JoinStrategy.partial_results(1)),
    "PARTIAL_TIMEOUT": joined(JoinStrategy.PARTIAL_TIMEOUT, timeout=0.3),
    "a bulkhead": joined(JoinStrategy.ANY, bulkhead=2),
    "a failed join": failed,
    "a split's timeout": timed_out,
    "an attempt's timeout": attempt,
    "the timeout of a branch's attempt": branchs_attempt,
    "the workflow's timeout": workflow_timeout,
    "the workflow's timeout during a split": workflow_timeout_in_a_split,
    "a cancellation": cancelled(single),
    "a cancellation during a split": cancelled(lambda late: split([late])),
    "a nested run": nested(single),
    "a nested run that moved": nested(lambda late: single(late).with_timeout(60)),
    "a nested split": nested(lambda late: split([late])),
    "a nested run on a store of its own": nested_beside(single),
    "a nested run that moved, on a store of its own": nested_beside(
        lambda late: single(late).with_timeout(60)
    ),
    "a nested split on a store of its own": nested_beside(lambda late: split([late])),
    "a run that a branch submitted": submitted,
    "a thread that a branch started": own_thread,
}
in_any_way = pytest.mark.parametrize("way", WAYS)


@in_any_store
@in_any_way
def test_after_the_verdict_every_operation_raises_cancelled_and_changes_nothing(
    way: str, kind: str, late: Late
) -> None:
    store = filled(kind)
    WAYS[way](late, store)
    before = contents(store)
    assert late.went_on() == dict.fromkeys(OPERATIONS, "Cancelled")
    assert contents(store) == before == {"one": 1, "list": [1]}


@in_any_store
def test_before_the_verdict_every_operation_works(kind: str) -> None:
    def everything(store: Any) -> None:
        for name, operation in OPERATIONS.items():
            store.put("one", 1)
            store.put("list", [1])
            store.remove("new")
            try:
                operation(store)
            except BaseException as error:
                raise AssertionError(name) from error

    store = filled(kind)
    assert split([everything]).with_timeout(60).orchestrate(Step.START, store=store) is Step.DONE


@in_any_store
def test_what_was_written_in_time_is_there_and_the_run_writes_on(kind: str, late: Late) -> None:
    """The fence stands behind the branches, not before the join state."""
    seen: list[dict[str, Any]] = []

    def early(store: Any) -> None:
        late.wait()
        store.append("list", 2)

    def after(store: Any) -> Step:
        seen.append(contents(store))
        store.put("after", True)
        return Step.DONE

    join = JoinConfig(JoinStrategy.ANY, Step.NEXT)
    workflow = (
        Workflow()
        .register_split(Step.START, [late, early], join)
        .register(Step.NEXT, after)
        .add_exit_state(Step.DONE)
    )
    store = filled(kind)
    workflow.orchestrate(Step.START, store=store)
    late.went_on()
    assert seen == [{"one": 1, "list": [1, 2]}]
    assert contents(store) == {"one": 1, "list": [1, 2], "after": True}


@in_any_store
def test_the_next_attempt_writes_and_the_abandoned_one_does_not(kind: str, late: Late) -> None:
    def task(store: Any) -> Step:
        if not late.begun.is_set():
            return late(store)
        store.append("list", "the second attempt's")
        return Step.DONE

    retries = TaskConfig().with_fixed_retry(20, delay=0).with_attempt_timeout(0.2)
    store = filled(kind)
    single(task, retries).orchestrate(Step.START, store=store)
    assert set(late.went_on().values()) == {"Cancelled"}
    assert contents(store) == {"one": 1, "list": [1, "the second attempt's"]}


# An update() whose function is running when the fence closes.


class Updating(Late):
    """Is told to go on while the function of its update() runs."""

    def __init__(self, key: str) -> None:
        super().__init__({"update": lambda store: store.update(key, self.slowly, default=0)})

    def __call__(self, store: Any) -> Step:
        for name, operation in self.operations.items():
            self.raised[name] = None
            try:
                operation(store)
            except BaseException as error:
                self.raised[name] = error
        self.ended.set()
        return Step.DONE

    def slowly(self, value: Any) -> Any:
        self.begun.set()
        self.go_on.wait(SOON)
        return value + 1


@pytest.mark.parametrize("key", ["one", "new"])
@in_any_store
@pytest.mark.parametrize("way", ["ANY", "an attempt's timeout", "the workflow's timeout"])
def test_an_update_that_was_under_way_changes_nothing(way: str, kind: str, key: str) -> None:
    store, late = filled(kind), Updating(key)
    WAYS[way](late, store)
    assert late.went_on() == {"update": "Cancelled"}
    assert contents(store) == {"one": 1, "list": [1]}


# A write that a backend was busy with when the fence closed.


class Slow(Plain):
    """A backend whose put() takes its time: until `go_on`."""

    def __init__(self) -> None:
        super().__init__({})
        self.writing = threading.Event()
        self.go_on = threading.Event()

    def put(self, key: str, value: Any) -> None:
        if key == "slow":
            self.writing.set()
            self.go_on.wait(SOON)
        super().put(key, value)


def put_slowly(store: Any) -> Step:
    store.put("slow", True)
    return Step.DONE


@pytest.mark.parametrize(
    "how",
    [
        "a branch",
        "a nested run",
        "a nested run that moved",
    ],
)
def test_the_join_waits_a_moment_for_a_write_that_a_backend_is_busy_with(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the join state finds it. (It is five milliseconds; here we have patience.)"""
    monkeypatch.setattr(split_module, "WRITE_GRACE", SOON)
    monkeypatch.setattr(offload_module, "WRITE_GRACE", SOON)
    store, seen = Slow(), []
    branch = put_slowly
    if how != "a branch":
        inner = single(put_slowly).with_timeout(60 if "moved" in how else None)

        def branch() -> object:
            return inner.orchestrate(Step.START, store=store)

    def quick() -> None:
        assert store.writing.wait(SOON)

    def after() -> Step:
        seen.append(store.contains_key("slow"))
        return Step.DONE

    join = JoinConfig(JoinStrategy.ANY, Step.NEXT)
    workflow = (
        Workflow()
        .register_split(Step.START, [branch, quick], join)
        .register(Step.NEXT, after)
        .add_exit_state(Step.DONE)
    )
    opener = threading.Thread(target=lambda: store.writing.wait(SOON) and open_later(store))
    opener.start()
    workflow.orchestrate(Step.START, store=store)
    opener.join()
    assert seen == [True]


def open_later(store: Slow) -> None:
    """A moment in which the join state is entered, if nothing holds it."""
    threading.Event().wait(0.1)
    store.go_on.set()


# Swallowing.


def test_a_broad_except_cannot_swallow_it(gate: threading.Event) -> None:
    begun, ended = threading.Event(), threading.Event()
    tries = 0

    def stubborn(store: Store) -> None:
        nonlocal tries
        begun.set()
        try:
            gate.wait(SOON)
            while tries < 1000:
                tries += 1
                try:
                    store.append("list", tries)
                except Exception:
                    continue
        finally:
            ended.set()

    store = filled()
    split([stubborn, lambda: begun.wait(SOON)], JoinStrategy.ANY).orchestrate(
        Step.START, store=store
    )
    gate.set()
    assert ended.wait(SOON)
    assert tries == 1
    assert contents(store) == {"one": 1, "list": [1]}


def test_what_is_raised_says_that_the_run_has_moved_on(late: Late) -> None:
    WAYS["ANY"](late, filled())
    late.went_on()
    raised = late.raised["put"]
    assert isinstance(raised, Cancelled)
    assert "the run has moved on" in str(raised)
