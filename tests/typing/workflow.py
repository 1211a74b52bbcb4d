"""A user's workflow, as its types are seen from outside: checked by mypy and pyright, never run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta
from enum import Enum, auto
from functools import partial
from typing import Any, Literal, assert_type

import schedule
import tenacity

from cano_sync import (
    AbandonedRun,
    Around,
    AttemptTimeoutError,
    CancellationToken,
    Cancelled,
    CanoError,
    CheckpointError,
    ConfigurationError,
    CorruptCheckpointError,
    DeafTask,
    DiscardedWorkflowWarning,
    DrainingError,
    DrainReport,
    JoinConfig,
    JoinError,
    JoinStrategy,
    KeyNotFoundError,
    MemoryStore,
    Node,
    NodeExecutionError,
    Outcome,
    PreparationError,
    RecordedError,
    Registration,
    RetryExhaustedError,
    RunBusyError,
    RunLostError,
    RunNotFoundError,
    SplitResult,
    SplitTimeoutError,
    Store,
    StoreError,
    Tally,
    Task,
    TaskConfig,
    TaskContext,
    TaskExecutionError,
    TaskResult,
    TypeMismatchError,
    Verdict,
    VersionMismatchError,
    Workflow,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowTimeoutError,
    abandoned_tasks,
    current_token,
    drain,
    drain_on_signals,
    draining,
    install_around,
    task,
    wait_for_abandoned,
)
from cano_sync.checkpoints import (
    Checkpoints,
    Codec,
    MemoryCheckpoints,
    RunRecord,
    RunStatus,
    SQLiteCheckpoints,
)
from cano_sync.observe import Observer
from cano_sync.scheduler import (
    At,
    Backoff,
    Cron,
    Every,
    FlowObserver,
    FlowOptions,
    FlowState,
    FlowStatus,
    Manual,
    Scheduler,
    Timetable,
)
from cano_sync.testing import HandClock, InlineExecutor, inline, start_by_hand


class Quote(Enum):
    LOAD = auto()
    ASK = auto()
    CHOOSE = auto()
    MEND = auto()
    DONE = auto()
    NO_OFFER = auto()


# The store.


def stored(store: Store) -> None:
    assert_type(store.get("order", dict), dict[Any, Any])
    assert_type(store.get("name", str), str)
    assert_type(store.get("name", str, default=None), str | None)
    assert_type(store.get("name", str, default=0), str | int)
    anything: str = store.get("anything")
    or_else: int = store.get("anything", default=0)
    store.put("name", anything)
    store.append("offers", or_else)
    count: int = store.update("count", increased, default=0)
    store.update("count", lambda number: number + count)
    store.remove("name")
    assert_type(store.contains_key("name"), bool)
    assert_type(store.keys(), list[str])
    assert_type(store.snapshot(), dict[str, Any])
    assert_type("name" in store, bool)
    assert_type(len(store), int)
    assert_type(iter(store), Iterator[str])
    assert_type(list(store), list[str])
    store["name"] = store["other"]
    del store["name"]
    store.clear()


def increased(number: int) -> int:
    return number + 1


class OwnStore(Store):
    """One's own backend; the mapping habits come from the protocol."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}

    def get(self, key: str, type: Any = None, *, default: Any = None) -> Any:
        return self.data.get(key, default)

    def put(self, key: str, value: Any) -> None:
        self.data[key] = value

    def append(self, key: str, item: Any) -> None:
        self.data.setdefault(key, []).append(item)

    def update(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
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


stored(MemoryStore())
stored(MemoryStore({"name": "Ada"}))
stored(OwnStore())


# Tasks of every form.


def load(store: Store) -> Literal[Quote.ASK]:
    store.put("order", {"sku": "A-17"})
    return Quote.ASK


def choose(store: Store) -> Literal[Quote.DONE, Quote.NO_OFFER]:
    return Quote.DONE if store.get("offers", list) else Quote.NO_OFFER


def no_parameters() -> Quote:
    return Quote.DONE


def mend(store: Store, cancel: CancellationToken, context: TaskContext) -> Quote:
    assert_type(context.run_id, str)
    assert_type(context.index, int | None)
    assert_type(context.attempt, int)
    assert_type(context.error, CanoError | None)
    return Quote.DONE if context.error is None else Quote.NO_OFFER


def as_a_result() -> TaskResult[Quote]:
    return TaskResult((Quote.DONE,))


def with_url(url: str, store: Store) -> Quote:
    store.put("url", url)
    return Quote.DONE


@task(config=TaskConfig().with_fixed_retry(2, delay=timedelta(seconds=1)), name="ask politely")
def decorated(store: Store) -> Literal[Quote.DONE]:
    return Quote.DONE


assert_type(decorated(MemoryStore()), Literal[Quote.DONE])


class AskSupplier:
    """A callable object."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, store: Store, cancel: CancellationToken) -> dict[str, object]:
        assert_type(cancel.remaining(), float | None)
        assert_type(cancel.remaining(default=5.0), float)
        return {"url": self.url}

    def method(self, store: Store) -> Quote:
        return Quote.DONE


class Greet(Task):
    name = "greet"

    def config(self) -> TaskConfig:
        return TaskConfig().with_attempt_timeout(2)

    def run(self, store: Store, cancel: CancellationToken) -> Quote:
        cancel.check()
        return Quote.DONE


class Double(Node):
    def prep(self, store: Store) -> int:
        return store.get("n", int)

    def exec(self, prepared: int, context: TaskContext) -> int:
        return prepared * context.attempt

    def post(self, store: Store, result: int) -> Literal[Quote.DONE]:
        store.put("n", result)
        return Quote.DONE


def suppliers(store: Store) -> Iterable[AskSupplier]:
    urls: list[str] = store.get("urls")
    for url in urls:
        yield AskSupplier(url)


# Configs.

assert_type(TaskConfig(), TaskConfig)
assert_type(TaskConfig().with_exponential_retry(5, base_delay=0.1, jitter=0), TaskConfig)
assert_type(TaskConfig(tenacity.Retrying(stop=tenacity.stop_after_attempt(3))), TaskConfig)
config = TaskConfig().with_fixed_retry(3, 0.5).with_attempt_timeout(timedelta(seconds=2))

join = JoinConfig(JoinStrategy.PARTIAL_TIMEOUT, Quote.CHOOSE, timeout=0.2, collect="offers")
assert_type(join, JoinConfig[Quote])
assert_type(join.with_timeout(timedelta(seconds=1)), JoinConfig[Quote])
assert_type(join.with_bulkhead(4).with_store_partial_results(), JoinConfig[Quote])
assert_type(join.with_join_state(Quote.DONE).with_error_state(Quote.MEND), JoinConfig[Quote])
assert_type(
    JoinConfig(
        JoinStrategy.ALL,
        Quote.CHOOSE,
        timeout=timedelta(seconds=1),
        bulkhead=2,
        store_partial_results=True,
        fail_fast=True,
        error_state=Quote.MEND,
    ),
    JoinConfig[Quote],
)


class Majority(JoinStrategy):
    """A strategy of one's own."""

    def decide(self, tally: Tally) -> Verdict:
        if 2 * tally.successes > tally.total:
            return Verdict.PROCEED
        return Verdict.WAIT if tally.pending else Verdict.FAIL

    def at_deadline(self, tally: Tally) -> Verdict:
        return Verdict.PROCEED if tally.ended else Verdict.FAIL


STRATEGIES: Sequence[JoinStrategy] = [
    JoinStrategy.ALL,
    JoinStrategy.ANY,
    JoinStrategy.PARTIAL_TIMEOUT,
    JoinStrategy.quorum(2),
    JoinStrategy.percentage(0.5),
    JoinStrategy.partial_results(1),
    Majority(),
]


# Workflows.

workflow = (
    Workflow()
    .register(Quote.LOAD, load, config, error_state=Quote.MEND)
    .register_split(Quote.ASK, [AskSupplier("one"), AskSupplier("two")], join)
    .register(Quote.CHOOSE, choose)
    .register(Quote.MEND, mend)
    .add_exit_state(Quote.DONE)
    .add_exit_states(Quote.NO_OFFER)
)
assert_type(workflow, Workflow[Quote])
assert_type(workflow.with_timeout(1), Workflow[Quote])
assert_type(workflow.with_timeout(timedelta(seconds=1)).with_timeout(None), Workflow[Quote])
assert_type(workflow.with_executor(ThreadPoolExecutor(4)).with_executor(None), Workflow[Quote])
assert_type(workflow.add_exit_states([Quote.DONE, Quote.NO_OFFER]), Workflow[Quote])
assert_type(workflow.orchestrate(Quote.LOAD), Quote)
assert_type(workflow.submit(Quote.LOAD, store=OwnStore()), Future[Quote])
assert_type(workflow.submit(Quote.LOAD).result(1.0), Quote)
workflow.validate()
workflow.validate_initial_state(Quote.LOAD)

every_form = (
    Workflow(MemoryStore())
    .register(Quote.LOAD, no_parameters)
    .register(Quote.ASK, partial(with_url, "https://example.org"))
    .register(Quote.CHOOSE, AskSupplier("one").method)
    .register(Quote.MEND, decorated)
)
assert_type(every_form, Workflow[Quote])
assert_type(every_form.register(Quote.DONE, as_a_result), Workflow[Quote])
assert_type(every_form.register(Quote.DONE, Greet()), Workflow[Quote])
assert_type(every_form.register(Quote.DONE, Double(), error_state=None), Workflow[Quote])
assert_type(every_form.register_split(Quote.DONE, suppliers, join), Workflow[Quote])
assert_type(
    every_form.register_split(Quote.DONE, (load, Greet(), Double(), partial(len, "x")), join),
    Workflow[Quote],
)

begun_with_a_split = Workflow().register_split(Quote.ASK, suppliers, join)
assert_type(begun_with_a_split, Workflow[Quote])
assert_type(Workflow().add_exit_state(Quote.DONE), Workflow[Quote])
assert_type(Workflow().add_exit_states(Quote.DONE, Quote.NO_OFFER), Workflow[Quote])
assert_type(Workflow().with_timeout(1).register(Quote.LOAD, load), Workflow[Quote])

by_name = Workflow().register("GREET", lambda: "DONE").add_exit_state("DONE")
assert_type(by_name, Workflow[str])
assert_type(by_name.orchestrate("GREET"), str)


def run(described: Workflow[Quote], urls: list[str]) -> Quote:
    """A helper of a user's that takes a workflow."""
    return described.orchestrate(Quote.LOAD, store=MemoryStore({"urls": urls}))


run(workflow, [])


# Tokens.

token = CancellationToken(timeout=timedelta(seconds=5), parent=CancellationToken())
assert_type(token.cancelled, bool)
assert_type(token.reason, str | None)
assert_type(token.deadline, float | None)
assert_type(token.wait(1), bool)
assert_type(token.wait(), bool)
assert_type(token.child(timeout=1), CancellationToken)
assert_type(current_token(), CancellationToken)
assert_type(abandoned_tasks(), int)
assert_type(wait_for_abandoned(), bool)
assert_type(wait_for_abandoned(timedelta(seconds=1)), bool)
with token.on_cancel(lambda: print("closing the socket")) as registration:
    assert_type(registration, Registration)
registration.remove()
token.sleep(timedelta(milliseconds=1))
token.cancel()
token.cancel("the user went away")


# What comes of it.


def outcomes(result: SplitResult) -> Sequence[Outcome]:
    for outcome in result.successes:
        assert_type(outcome.index, int)
        assert_type(outcome.name, str)
        assert_type(outcome.error, CanoError | None)
        assert_type(outcome.started_at, float | None)
        assert_type(outcome.duration, float)
    assert_type(result.total, int)
    assert_type(result.values, list[Any])
    assert_type(result.summary, str)
    return [*result.errors, *result.cancelled]


def careful() -> Quote | None:
    try:
        return workflow.orchestrate(Quote.LOAD, cancel=token)
    except ConfigurationError as error:
        assert_type(error.problems, tuple[str, ...])
    except SplitTimeoutError as error:
        late: TimeoutError = error
        print(late)
    except JoinError as error:
        assert_type(error.result, SplitResult | None)
    except WorkflowTimeoutError as error:
        late = error
    except WorkflowError as error:
        print(error)
    except WorkflowCancelledError as error:
        assert_type(error.reason, str | None)
    except RetryExhaustedError as error:
        assert_type(error.attempts, int)
    except AttemptTimeoutError as error:
        late = error
    except (TaskExecutionError, NodeExecutionError, PreparationError) as error:
        assert_type(error.task, str | None)
        assert_type(error.run_id, str | None)
    except KeyNotFoundError as error:
        absent: KeyError = error
        print(absent)
    except TypeMismatchError as error:
        other: TypeError = error
        print(other)
    except StoreError as error:
        known: CanoError = error
        print(known.state)
    except Cancelled as signal:
        assert_type(signal.reason, str | None)
        raise
    return None


# Observers: the hooks that one wants, with what one needs of what they get.


class Slow(Observer):
    def __init__(self) -> None:
        self.states: dict[Any, float] = {}

    def state_left(self, *, state: Any, duration: float, **_: Any) -> None:
        self.states[state] = duration

    def branch_landed(self, *, outcome: Outcome, **_: Any) -> None:
        assert_type(outcome.name, str)


watched = workflow.with_observer(Slow())
assert_type(watched, Workflow[Quote])
assert_type(watched.description.observers, tuple[Observer, ...])

warnings.simplefilter("error", DiscardedWorkflowWarning)


# A scheduler: flows of any states, and what it says of them.


class Ticket(Enum):
    OPEN = 1
    CLOSED = 2


def close(store: Store) -> Ticket:
    return Ticket.CLOSED


tickets = Workflow[Ticket]().register(Ticket.OPEN, close).add_exit_state(Ticket.CLOSED)


class Ends(FlowObserver):
    def flow_finished(self, *, flow: str, outcome: str, **_: object) -> None:
        print(flow, outcome)


scheduler = Scheduler(clock=HandClock(), observers=[Ends()])
scheduler.add_observer(Ends())
scheduler.add("added", workflow, Quote.LOAD, Every(minutes=5), jitter=3, fail_on=Quote.NO_OFFER)
timetables: list[Timetable] = [Every(timedelta(days=1)), Cron("0 9 * * *", tz="UTC"), Manual()]
for number, timetable in enumerate(timetables):
    scheduler.add(f"flow {number}", tickets, Ticket.OPEN, timetable)
scheduler.add("at", workflow, Quote.LOAD, At(schedule.every().day.at("09:00")))
scheduler.update_workflows(lambda workflow: workflow.with_observer(Slow()))
scheduler.every("quotes", workflow, Quote.LOAD, timedelta(minutes=5), store=MemoryStore)
scheduler.every_hours("tickets", tickets, Ticket.OPEN, 1, store=lambda: MemoryStore({"a": 1}))
scheduler.cron("daily", tickets, Ticket.OPEN, "0 9 * * MON", tz="Europe/Zurich", catch_up=True)
scheduler.manual("by hand", workflow, Quote.LOAD, jitter=3, backoff=Backoff(10, trip_after=5))
scheduler.manual("fails", workflow, Quote.LOAD, fail_on=Quote.NO_OFFER)
scheduler.manual("fails, too", tickets, Ticket.OPEN, fail_on=list(Ticket))
options: FlowOptions = {"catch_up": True}
scheduler.every("with options", workflow, Quote.LOAD, 10, **options)
own_options: FlowOptions[Quote] = {"fail_on": (Quote.DONE, Quote.NO_OFFER)}
scheduler.every("with its own", workflow, Quote.LOAD, 10, **own_options)
with scheduler.start_in_background(stop_timeout=5):
    scheduler.trigger("by hand").result()
    assert_type(scheduler.status("quotes").next_due, datetime | None)
    assert_type(scheduler.status("quotes").state, FlowState)
    assert_type(scheduler.status("quotes").last_outcome, str | None)
    assert_type(scheduler.list(), tuple[FlowStatus, ...])
with start_by_hand(Scheduler(clock=HandClock())) as hand:
    assert_type(hand.run_pending(), float | None)


# The end of a process.

assert_type(drain_on_signals(grace=5), Callable[[], None])
assert_type(draining(), bool)
report = drain(grace=timedelta(seconds=5))
assert_type(report, DrainReport)
assert_type(report.abandoned, tuple[AbandonedRun, ...])
assert_type(report.abandoned[0].tasks, tuple[DeafTask, ...])
try:
    workflow.orchestrate(Quote.LOAD)
except DrainingError as refused:
    assert_type(refused.run_id, str | None)


# What surrounds tasks and threads, limits that stay, and runs without threads.


class Session(Around):
    name = "session"

    def capture(self) -> str:
        return "de"

    def task(self, context: TaskContext, captured: str | None) -> AbstractContextManager[int]:
        assert_type(context.thread, Literal["caller", "pool"])
        return nullcontext(7)


@contextmanager
def transaction(context: TaskContext) -> Generator[None, None, None]:
    yield


surrounded = workflow.with_around(Session()).with_around(transaction, name="transaction")
assert_type(surrounded, Workflow[Quote])
assert_type(install_around(transaction), Callable[[], None])
Scheduler(around=[Session(), transaction])
surrounded.with_timeout(5, stay=True).orchestrate(Quote.LOAD, cancel=current_token(), stay=True)
with inline():
    surrounded.with_executor(InlineExecutor()).orchestrate(Quote.LOAD)


def upgrade(version: Any, state_name: str, store: MemoryStore) -> Quote:
    return Quote.LOAD


# A run that is recorded.


checkpoints = SQLiteCheckpoints("runs.db", survive="power", patience=timedelta(seconds=5))
backends: list[Checkpoints] = [checkpoints, MemoryCheckpoints(), MemoryCheckpoints().after_crash()]
kept = workflow.with_checkpoints(
    checkpoints,
    name="quotes",
    version=2,
    upgrade=upgrade,
    types=[Codec(complex, str, complex)],
    transient=["client"],
)
assert_type(kept, Workflow[Quote])
assert_type(kept.orchestrate(Quote.LOAD, run_id="q-1"), Quote)
assert_type(kept.resume("q-1", store=MemoryStore(), cancel=token, takeover=True), Quote)
assert_type(kept.submit(Quote.LOAD, run_id="q-1"), Future[Quote])
assert_type(checkpoints.runs(status=RunStatus.DONE, state=Quote.DONE, limit=3), list[RunRecord])
assert_type(checkpoints.run("q-1").store, dict[str, Any])


def going_on() -> Quote | None:
    try:
        return kept.resume("q-1")
    except RunNotFoundError as error:
        absent: KeyError = error
        print(absent)
    except RunBusyError as error:
        print(error.owner)
    except VersionMismatchError as error:
        print(error.recorded, error.offered)
    except CorruptCheckpointError as error:
        wrong: ValueError = error
        print(wrong)
    except RunLostError:
        raise
    except CheckpointError as error:
        assert_type(error.run_id, str | None)
    except TaskExecutionError as error:
        if isinstance(error.__cause__, RecordedError):
            assert_type(error.__cause__.kind, str)
    return None


def charging(store: Store, context: TaskContext) -> Literal[Quote.DONE]:
    assert_type(context.key, str | None)
    assert_type(context.visit, int | None)
    return Quote.DONE
