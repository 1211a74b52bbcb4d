"""Programs for simulations: those with a planted bug, and those that are right.

Each takes a `Simulation` and raises where its run went wrong. What needs another switch, keys that
may be overwritten, or a limit says so by its settings.
"""

from __future__ import annotations

__all__ = ("BUGS", "RIGHT", "SETTINGS", "Program")

import queue
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import sleep as nap  # by its name, as many do
from typing import Any

from cano_sync import (
    Cancelled,
    JoinConfig,
    JoinStrategy,
    MemoryStore,
    TaskConfig,
    TaskExecutionError,
    Workflow,
)
from cano_sync.testing import Simulation
from tests.kit import Step, split

Program = Callable[[Simulation], None]

BUGS: dict[str, Program] = {}
RIGHT: dict[str, Program] = {}
SETTINGS: dict[str, dict[str, Any]] = {}


def bug(**settings: Any) -> Callable[[Program], Program]:
    return _into(BUGS, settings)


def right(**settings: Any) -> Callable[[Program], Program]:
    return _into(RIGHT, settings)


def _into(programs: dict[str, Program], settings: dict[str, Any]) -> Callable[[Program], Program]:
    def put(program: Program) -> Program:
        name = program.__name__
        assert name not in BUGS | RIGHT
        programs[name] = program
        SETTINGS[name] = settings
        return program

    return put


def outcome(sim: Simulation, workflow: Workflow[Any], store: Any = None, **named: Any) -> Any:
    run = sim.run(workflow, Step.START, store=store, **named)
    if run.error is not None:
        raise run.error
    return run.store


# Two who write one thing.


def _add(store: Any) -> None:
    store.put("n", store.get("n") + 1)


@bug()
def lost_update(sim: Simulation) -> None:
    assert outcome(sim, split([_add, _add]), {"n": 0})["n"] == 2


def _add_at_once(store: Any) -> None:
    store.update("n", lambda n: n + 1)


@right()
def an_update_in_one_step(sim: Simulation) -> None:
    assert outcome(sim, split([_add_at_once] * 3), {"n": 0})["n"] == 3


_guard = threading.Lock()


def _add_under_a_lock(store: Any) -> None:
    with _guard:
        store.put("n", store.get("n") + 1)


@right()
def an_update_under_a_lock_of_the_module(sim: Simulation) -> None:
    assert outcome(sim, split([_add_under_a_lock] * 3), {"n": 0})["n"] == 3


def _claim(store: Any, *, context: Any) -> bool:
    if "owner" in store:
        return False
    store.put("owner", context.index)
    return True


@bug()
def check_then_put(sim: Simulation) -> None:
    assert sum(outcome(sim, split([_claim] * 2, collect="won"))["won"]) == 1


def _claim_at_once(store: Any) -> bool:
    mine = object()
    return store.update("owner", lambda owner: mine if owner is None else owner, None) is mine


@right()
def a_check_and_a_put_in_one_step(sim: Simulation) -> None:
    assert sum(outcome(sim, split([_claim_at_once] * 3, collect="won"))["won"]) == 1


def _note(name: str, seconds: float = 0.0) -> Callable[[Any], str]:
    def note(store: Any) -> str:
        time.sleep(seconds)
        store.append("log", name)
        return name

    return note


@bug()
def the_order_of_a_list(sim: Simulation) -> None:
    assert outcome(sim, split([_note("a"), _note("b"), _note("c")]))["log"] == ["a", "b", "c"]


@right()
def the_order_of_what_is_collected(sim: Simulation) -> None:
    tasks = [_note("a", 3), _note("b", 1), _note("c", 2)]
    store = outcome(sim, split(tasks, collect="all"))
    assert store["all"] == ["a", "b", "c"]
    assert sorted(store["log"]) == ["a", "b", "c"]


def _enlist(name: str) -> Callable[[Any], None]:
    return lambda store: store.put("names", [*store.get("names"), name])


@bug()
def a_list_put_back(sim: Simulation) -> None:
    assert len(outcome(sim, split([_enlist("a"), _enlist("b")]), {"names": []})["names"]) == 2


@right()
def a_list_appended_to(sim: Simulation) -> None:
    assert len(outcome(sim, split([_note(name) for name in "abcd"]))["log"]) == 4


def _transfer(source: str, target: str) -> Callable[[Any], None]:
    def transfer(store: Any) -> None:
        left, there = store.get(source), store.get(target)
        store.put(source, left - 10)
        store.put(target, there + 10)

    return transfer


@bug()
def money_made_by_two_transfers(sim: Simulation) -> None:
    tasks = [_transfer("a", "b"), _transfer("b", "c")]
    store = outcome(sim, split(tasks), {"a": 100, "b": 100, "c": 100})
    assert store["a"] + store["b"] + store["c"] == 300


def _move(accounts: dict[str, int], source: str, target: str) -> dict[str, int]:
    return {**accounts, source: accounts[source] - 10, target: accounts[target] + 10}


@right()
def transfers_in_one_step(sim: Simulation) -> None:
    store = outcome(sim, split([_Transfer(*pair) for pair in ("ab", "bc")]), {"all": _accounts()})
    assert sum(store["all"].values()) == 300


def _accounts() -> dict[str, int]:
    return dict.fromkeys("abc", 100)


class _Transfer:
    def __init__(self, source: str, target: str) -> None:
        self.source, self.target = source, target

    def __call__(self, store: Any) -> None:
        store.update("all", lambda all: _move(all, self.source, self.target))


def _put_name(name: str) -> Callable[[Any], None]:
    return lambda store: store.put("last", name)


@bug()
def whoever_comes_last(sim: Simulation) -> None:
    assert outcome(sim, split([_put_name("a"), _put_name("b")]))["last"] == "b"


@right(last_write_wins=["last"])
def whoever_comes_last_is_meant(sim: Simulation) -> None:
    assert outcome(sim, split([_put_name("a"), _put_name("b")]))["last"] in ("a", "b")


def _flag(store: Any) -> None:
    if not store.get("seen", default=False):
        store.put("seen", True)


@right()
def a_flag_that_all_set(sim: Simulation) -> None:
    assert outcome(sim, split([_flag] * 3))["seen"]


@right()
def a_key_for_each(sim: Simulation) -> None:
    tasks = [lambda store, *, context: store.put(f"part-{context.index}", context.index)] * 4
    assert sum(value for _, value in outcome(sim, split(tasks)).snapshot().items()) == 6


# Seats, caches, winners.


def _book(store: Any, name: str) -> bool:
    if store.get("seat") is not None:
        return False
    time.sleep(0.01)  # the payment
    store.put("seat", name)
    return True


@bug()
def a_seat_booked_twice(sim: Simulation) -> None:
    tasks = [lambda store: _book(store, "Ada"), lambda store: _book(store, "Bob")]
    assert sum(outcome(sim, split(tasks, collect="booked"), {"seat": None})["booked"]) == 1


@bug()
def a_cache_filled_twice(sim: Simulation) -> None:
    computed = []

    def look(store: Any) -> int:
        if not store.contains_key("answer"):
            computed.append(1)
            store.put("answer", 42)
        return store.get("answer")

    outcome(sim, split([look] * 3))
    assert len(computed) == 1


@right()
def a_cache_filled_once(sim: Simulation) -> None:
    computed = []

    def compute(known: Any) -> int:
        if known is None:
            computed.append(1)
        return 42

    outcome(sim, split([lambda store: store.update("answer", compute, None)] * 3))
    assert len(computed) == 1


def _race(name: str) -> Callable[[Any], str]:
    def race(store: Any) -> str:
        store.put("winner", name)
        return name

    return race


@bug(last_write_wins=["winner"])
def a_winner_that_is_not_the_one(sim: Simulation) -> None:
    store = outcome(sim, split([_race("a"), _race("b")], JoinStrategy.ANY, collect="first"))
    assert store["first"] == [store["winner"]]


@right()
def a_winner_by_what_it_returns(sim: Simulation) -> None:
    tasks = [lambda: "a", lambda: "b"]
    store = outcome(sim, split(tasks, JoinStrategy.ANY, collect="first"))
    assert store["first"] in (["a"], ["b"])


# Who waits for whom.


@bug()
def a_missing_join(sim: Simulation) -> None:
    inner = split([lambda store: store.put("part", 1)])

    def begin(store: Any) -> Step:
        inner.submit(Step.START, store=store)
        return Step.NEXT

    def use(store: Any) -> Step:
        store.get("part")
        return Step.DONE

    workflow = Workflow().register(Step.START, begin).register(Step.NEXT, use)
    outcome(sim, workflow.add_exit_state(Step.DONE))


@right()
def a_join_that_is_there(sim: Simulation) -> None:
    inner = split([lambda store: store.put("part", 1)])

    def begin(store: Any) -> Step:
        inner.submit(Step.START, store=store).result()
        return Step.NEXT

    def use(store: Any) -> Step:
        store.get("part")
        return Step.DONE

    workflow = Workflow().register(Step.START, begin).register(Step.NEXT, use)
    outcome(sim, workflow.add_exit_state(Step.DONE))


@bug()
def two_locks_in_two_orders(sim: Simulation) -> None:
    first, second = threading.Lock(), threading.Lock()

    def one(store: Any) -> None:
        with first, second:
            store.append("log", 1)

    def two(store: Any) -> None:
        with second, first:
            store.append("log", 2)

    outcome(sim, split([one, two]))


@right()
def two_locks_in_one_order(sim: Simulation) -> None:
    first, second = threading.Lock(), threading.RLock()

    def one(store: Any) -> None:
        with first, second, second:
            store.append("log", 1)

    assert len(outcome(sim, split([one] * 3))["log"]) == 3


@bug()
def a_lost_wake_up(sim: Simulation) -> None:
    ready = threading.Event()

    def wait(store: Any) -> None:
        if not store.get("ready"):
            ready.clear()
            ready.wait()

    def tell(store: Any) -> None:
        store.put("ready", True)
        ready.set()

    outcome(sim, split([wait, tell]), {"ready": False})


@bug()
def a_notification_before_the_wait(sim: Simulation) -> None:
    changed = threading.Condition()

    def wait(store: Any) -> None:
        with changed:
            changed.wait()

    def tell(store: Any) -> None:
        with changed:
            changed.notify()

    outcome(sim, split([wait, tell]))


@right()
def a_condition_with_its_test(sim: Simulation) -> None:
    changed = threading.Condition()
    items: list[int] = []

    def wait(store: Any) -> int:
        with changed:
            changed.wait_for(lambda: items)
            return items.pop()

    def tell(store: Any) -> None:
        store.put("told", True)
        with changed:
            items.append(7)
            changed.notify()

    outcome(sim, split([wait, tell], collect="got"))


@bug()
def a_semaphore_taken_twice(sim: Simulation) -> None:
    slots = threading.Semaphore(2)

    def two_slots(store: Any) -> None:
        with slots:
            store.append("log", 1)
            with slots:
                store.append("log", 2)

    outcome(sim, split([two_slots, two_slots]))


@right()
def a_semaphore_taken_once(sim: Simulation) -> None:
    slots, inside, most = threading.Semaphore(2), [0], [0]

    def one_slot(store: Any) -> None:
        with slots:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            store.append("log", 1)
            inside[0] -= 1

    outcome(sim, split([one_slot] * 4))
    assert most[0] <= 2


@bug()
def a_barrier_for_more_than_may_come(sim: Simulation) -> None:
    together = threading.Barrier(3)
    outcome(sim, split([lambda store: together.wait()] * 3, bulkhead=2))


@right()
def a_barrier_for_all(sim: Simulation) -> None:
    together = threading.Barrier(3)
    outcome(sim, split([lambda store: together.wait()] * 3))


@bug()
def a_queue_that_nobody_closes(sim: Simulation) -> None:
    orders: queue.Queue[Any] = queue.Queue()
    sim.fail("produce", share=0.2)

    def produce(store: Any) -> None:
        orders.put(1)
        orders.put(None)

    def consume(store: Any) -> None:
        while orders.get() is not None:
            store.append("done", 1)

    outcome(sim, split([produce, consume]))


@right()
def a_queue_with_an_end(sim: Simulation) -> None:
    orders: queue.Queue[Any] = queue.Queue(maxsize=1)

    def produce(store: Any) -> None:
        for order in (1, 2, 3, None):
            orders.put(order)

    def consume(store: Any) -> None:
        while (order := orders.get(timeout=60)) is not None:
            store.append("done", order)

    assert outcome(sim, split([produce, consume]))["done"] == [1, 2, 3]


@bug()
def starved_by_a_turn_that_never_comes(sim: Simulation) -> None:
    def mine(me: int) -> Callable[[Any], None]:
        def task(store: Any) -> None:
            store.put("turn", me)
            while store.get("turn") != me:
                time.sleep(60)

        return task

    outcome(sim, split([mine(0), mine(1)]))


SETTINGS["starved_by_a_turn_that_never_comes"] = {
    "last_write_wins": ["turn"],
    "time_limit": 3600,
}


# Time.


@bug()
def a_wait_that_is_too_short(sim: Simulation) -> None:
    found = threading.Event()

    def search(store: Any) -> None:
        time.sleep(random.uniform(0, 1.2))
        store.put("found", 1)
        found.set()

    def use(store: Any) -> int:
        found.wait(1)
        return store.get("found")

    outcome(sim, split([search, use]))


@bug()
def paid_twice_for_a_retry_that_was_only_slow(sim: Simulation) -> None:
    payments = []

    def pay(store: Any) -> Step:
        payments.append("10 EUR")
        nap(random.uniform(0, 1.5))
        return Step.DONE

    config = TaskConfig().with_attempt_timeout(1).with_fixed_retry(2, 0.1)
    workflow = Workflow().register(Step.START, pay, config).add_exit_state(Step.DONE)
    sim.run(workflow, Step.START)
    assert len(payments) == 1


@right()
def paid_once_by_a_key(sim: Simulation) -> None:
    payments: dict[str, str] = {}

    def pay(store: Any, *, context: Any) -> Step:
        payments.setdefault(context.run_id, "10 EUR")
        nap(random.uniform(0, 1.5))
        return Step.DONE

    config = TaskConfig().with_attempt_timeout(1).with_fixed_retry(2, 0.1)
    workflow = Workflow().register(Step.START, pay, config).add_exit_state(Step.DONE)
    sim.run(workflow, Step.START)
    assert len(payments) == 1


@bug()
def undone_before_it_was_done(sim: Simulation) -> None:
    room = {"booked": False}

    def book(store: Any) -> None:
        time.sleep(random.uniform(0, 2))
        room["booked"] = True

    def fail(store: Any) -> None:
        time.sleep(1)
        raise ValueError("no flight")

    def undo(store: Any) -> Step:
        room["booked"] = False
        return Step.DONE

    workflow = split([book, fail], error_state=Step.MENDED, fail_fast=True)
    outcome(sim, workflow.register(Step.MENDED, undo))
    assert not room["booked"]


@right()
def undone_after_all_have_ended(sim: Simulation) -> None:
    room = {"booked": False}

    def book(store: Any) -> None:
        time.sleep(random.uniform(0, 2))
        room["booked"] = True

    def fail(store: Any) -> None:
        time.sleep(1)
        raise ValueError("no flight")

    def undo(store: Any) -> Step:
        room["booked"] = False
        return Step.DONE

    workflow = split([book, fail], error_state=Step.MENDED)
    outcome(sim, workflow.register(Step.MENDED, undo))
    assert not room["booked"]


@bug()
def changed_in_place_behind_the_fence(sim: Simulation) -> None:
    def slow(store: Any) -> None:
        lines = store.get("lines")
        time.sleep(random.uniform(0, 2))
        lines.append("late")

    def quick(store: Any) -> None:
        time.sleep(1)

    outcome(sim, split([slow, quick], JoinStrategy.ANY), {"lines": []})


@right()
def written_late_by_the_store(sim: Simulation) -> None:
    def slow(store: Any) -> None:
        store.get("lines")
        time.sleep(random.uniform(0, 2))
        store.append("lines", "late")

    def quick(store: Any) -> None:
        time.sleep(1)

    outcome(sim, split([slow, quick], JoinStrategy.ANY), {"lines": []})


@bug()
def half_done_when_cancelled(sim: Simulation) -> None:
    def move(store: Any) -> Step:
        store.put("a", store.get("a") - 10)
        time.sleep(0.5)
        store.put("b", store.get("b") + 10)
        time.sleep(0.5)
        return Step.DONE

    workflow = Workflow().register(Step.START, move).add_exit_state(Step.DONE)
    run = sim.run(workflow, Step.START, store={"a": 100, "b": 100}, cancel_at=sim.random_time(0, 2))
    assert run.store["a"] + run.store["b"] == 200


@bug()
def a_duration_by_the_time_of_day(sim: Simulation) -> None:
    sim.jump_clock(sim.choose(-3600, 0, 3600), at=0.5)

    def measure(store: Any) -> Step:
        began = time.time()
        time.sleep(1)
        store.put("took", time.time() - began)
        return Step.DONE

    workflow = Workflow().register(Step.START, measure).add_exit_state(Step.DONE)
    assert 0.9 < outcome(sim, workflow)["took"] < 1.1


@right()
def a_duration_by_the_monotonic_clock(sim: Simulation) -> None:
    sim.jump_clock(sim.choose(-3600, 0, 3600), at=0.5)

    def measure(store: Any) -> Step:
        began = time.monotonic()
        time.sleep(1)
        store.put("took", time.monotonic() - began)
        return Step.DONE

    workflow = Workflow().register(Step.START, measure).add_exit_state(Step.DONE)
    assert 0.9 < outcome(sim, workflow)["took"] < 1.1


@bug()
def a_write_that_fails_between_two(sim: Simulation) -> None:
    sim.fail_write(sim.choose(1, 2, 3, 99))

    def move(store: Any) -> Step:
        try:
            store.put("a", 90)
            store.put("b", 110)
        except Exception:
            store.put("failed", True)
        return Step.DONE

    workflow = Workflow().register(Step.START, move).add_exit_state(Step.DONE)
    store = outcome(sim, workflow, {"a": 100, "b": 100})
    assert store["a"] + store["b"] == 200


@bug()
def a_task_that_will_not_be_cancelled(sim: Simulation) -> None:
    def stubborn(store: Any, *, cancel: Any) -> None:
        while True:
            try:
                cancel.sleep(10)
            except BaseException:
                time.sleep(10)

    outcome(sim, split([stubborn, lambda: time.sleep(1)], JoinStrategy.ANY))


SETTINGS["a_task_that_will_not_be_cancelled"] = {"time_limit": 3600, "steps": 2_000}


@bug(switch="line")
def a_plain_attribute(sim: Simulation) -> None:
    class Counter:
        n = 0

    counter = Counter()

    def add() -> None:
        n = counter.n
        counter.n = n + 1

    outcome(sim, split([add, add]))
    assert counter.n == 2


@right(switch="line")
def a_plain_attribute_under_a_lock(sim: Simulation) -> None:
    class Counter:
        n = 0

    counter, lock = Counter(), threading.Lock()

    def add() -> None:
        with lock:
            n = counter.n
            counter.n = n + 1

    outcome(sim, split([add, add]))
    assert counter.n == 2


# Larger ones that are right.


@right()
def retries_limits_and_a_deaf_hour(sim: Simulation) -> None:
    def shaky(store: Any) -> Step:
        if store.update("tries", lambda n: n + 1, 0) < 3:
            raise ValueError("not yet")
        return Step.WORK

    def branch(number: int) -> Callable[..., int]:
        def task(store: Any, *, cancel: Any) -> int:
            cancel.sleep(number)
            store.append("done", number)
            return number

        return task

    def deaf(store: Any) -> Step:
        nap(3600)
        store.put("too late", True)
        return Step.DONE

    workflow = (
        Workflow()
        .register(Step.START, shaky, TaskConfig().with_fixed_retry(3, 10))
        .register_split(
            Step.WORK,
            [branch(n) for n in range(10)],
            JoinConfig(JoinStrategy.PARTIAL_TIMEOUT, Step.NEXT, timeout=5.5),
        )
        .register(Step.NEXT, deaf, TaskConfig().with_attempt_timeout(5), error_state=Step.MENDED)
        .register(Step.MENDED, lambda: Step.DONE)
        .add_exit_state(Step.DONE)
        .with_timeout(600)
    )
    run = sim.run(workflow, Step.START)
    assert run.state is Step.DONE
    assert sorted(run.store["done"]) == [0, 1, 2, 3, 4, 5]
    assert "too late" not in run.store


@right()
def runs_within_runs(sim: Simulation) -> None:
    inner = split([_add_at_once] * 3, bulkhead=2)

    def outer(store: Any) -> None:
        inner.orchestrate(Step.START, store=store)

    assert outcome(sim, split([outer] * 3, bulkhead=2), {"n": 0})["n"] == 9


@right()
def an_executor_of_its_own(sim: Simulation) -> None:
    def task(store: Any) -> Step:
        with ThreadPoolExecutor(2) as pool:
            store.put("all", list(pool.map(lambda n: n * 2, range(5))))
        return Step.DONE

    workflow = Workflow().register(Step.START, task).add_exit_state(Step.DONE)
    assert outcome(sim, workflow)["all"] == [0, 2, 4, 6, 8]


@right()
def cancelled_at_any_moment(sim: Simulation) -> None:
    def half(store: Any, *, cancel: Any) -> None:
        store.update("n", lambda n: n + 1)
        try:
            cancel.sleep(1)
        except Cancelled:
            raise
        store.update("n", lambda n: n - 1)

    run = sim.run(split([half] * 3), Step.START, store={"n": 0}, cancel_at=sim.random_time(0, 1.5))
    assert (run.error is None) == (run.store["n"] == 0) or run.store["n"] >= 0


@right()
def a_failure_that_is_handled(sim: Simulation) -> None:
    sim.fail("shaky", share=0.5, error=ValueError("made to"))

    def shaky(store: Any) -> int:
        return 1

    run = sim.run(split([shaky] * 4, JoinStrategy.SETTLED, collect="ok"), Step.START)
    assert 0 <= len(run.store["ok"]) <= 4


@right()
def a_task_that_fails(sim: Simulation) -> None:
    def fail(store: Any) -> Step:
        raise ValueError("no")

    workflow = Workflow(MemoryStore()).register(Step.START, fail).add_exit_state(Step.DONE)
    assert isinstance(sim.run(workflow, Step.START).error, TaskExecutionError)
