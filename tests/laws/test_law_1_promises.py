"""Law 1: a blocking call keeps its promises, whatever the tasks are doing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from typing import Any

import pytest

from cano_sync import (
    AttemptTimeoutError,
    CancellationToken,
    CanoError,
    JoinStrategy,
    MemoryStore,
    Node,
    SplitTimeoutError,
    Store,
    Tally,
    Task,
    TaskConfig,
    Verdict,
    Workflow,
    WorkflowCancelledError,
    WorkflowTimeoutError,
    abandoned_tasks,
    wait_for_abandoned,
)
from cano_sync._base import cancellation
from cano_sync._engine import offload as offload_module
from tests.kit import SOON, Boom, Eventually, Step, boom, single, split

AT_ONCE = 0.5
"""Seconds of lateness that pass for none on a busy machine; alone on it, one millisecond."""
LIMIT = 0.1

# Tasks that do not listen until the gate opens.


class Deaf:
    """Says when it has begun, and then waits for the gate, in one of three manners."""

    def __init__(self, gate: threading.Event, manner: str = "blocked") -> None:
        self.gate = gate
        self.begun = threading.Event()
        self.manner = getattr(self, manner)

    def __call__(self, store: Store, cancel: CancellationToken) -> Step:
        self.begun.set()
        self.manner(cancel)
        return Step.DONE

    def blocked(self, cancel: CancellationToken) -> None:
        """As in a C call."""
        self.gate.wait(SOON)

    def swallowing_errors(self, cancel: CancellationToken) -> None:
        while not self.gate.wait(0.005):
            try:
                raise Boom
            except Exception:
                continue

    def swallowing_everything(self, cancel: CancellationToken) -> None:
        while not self.gate.wait(0.005):
            try:
                cancel.check()
            except BaseException:
                continue


class SecondTime(Task):
    """Fails at the first attempt, and is deaf at the second."""

    def __init__(self, deaf: Deaf, config: TaskConfig) -> None:
        self.deaf = deaf
        self.tries = config
        self.failed = False

    def config(self) -> TaskConfig:
        return self.tries

    def run(self, store: Store, cancel: CancellationToken) -> Step:
        if not self.failed:
            self.failed = True
            raise Boom
        return self.deaf(store, cancel)


class DeafNode(Node):
    """Deaf in its first step."""

    def __init__(self, deaf: Deaf) -> None:
        self.deaf = deaf

    def prep(self, store: Store, cancel: CancellationToken) -> Any:
        return self.deaf(store, cancel)

    def exec(self, prepared: Any) -> Any:
        return prepared

    def post(self, store: Store, result: Any) -> Any:
        return result


@pytest.fixture
def deaf(gate: threading.Event) -> Deaf:
    return Deaf(gate)


@pytest.fixture
def elsewhere(gate: threading.Event) -> Iterator[ThreadPoolExecutor]:
    """Threads that call orchestrate while the test looks on."""
    with ThreadPoolExecutor(4) as pool:
        yield pool
        gate.set()


# Workflows, and where in them a task may be deaf.


def nested(workflow: Workflow[Any]) -> Callable[[], Any]:
    """A task that runs it."""
    workflow.validate()  # that is a use: a run whose time is up may not get as far as here
    return lambda: workflow.orchestrate(Step.START)


def after_an_error(deaf: Deaf) -> Workflow[Any]:
    failing = Workflow().register(Step.START, boom, error_state=Step.NEXT)
    return failing.register(Step.NEXT, deaf).add_exit_state(Step.DONE)


def listing(deaf: Deaf) -> Workflow[Any]:
    return split(lambda store, cancel: [deaf(store, cancel)])


RETRIES = TaskConfig().with_fixed_retry(5, delay=0)
LIMITED = TaskConfig().with_attempt_timeout(60)
BOTH = RETRIES.with_attempt_timeout(60)
PLACES: dict[str, Callable[[Deaf], Workflow[Any]]] = {
    "a state": single,
    "a node": lambda deaf: single(DeafNode(deaf)),
    "an attempt": lambda deaf: single(deaf, LIMITED),
    "a later attempt": lambda deaf: single(SecondTime(deaf, RETRIES)),
    "a later attempt with a limit": lambda deaf: single(SecondTime(deaf, BOTH)),
    "an error state": after_an_error,
    "a branch": lambda deaf: split([deaf, boom]),
    "a branch's later attempt": lambda deaf: split([SecondTime(deaf, BOTH)]),
    "the listing of a split": listing,
    "a nested run": lambda deaf: single(nested(single(deaf))),
    "a nested run with a limit": lambda deaf: single(nested(single(deaf).with_timeout(60))),
    "a branch of a branch": lambda deaf: split([nested(split([nested(split([deaf]))]))]),
    "limits in limits": lambda deaf: split(
        [nested(single(nested(split([deaf]).with_timeout(60)), LIMITED).with_timeout(60))]
    ),
}
everywhere = pytest.mark.parametrize("nesting", PLACES)
in_any_manner = pytest.mark.parametrize(
    "manner", ["blocked", "swallowing_errors", "swallowing_everything"]
)


def ended(call: Callable[[], object]) -> float:
    """When the call returned or raised; how it ended is another test's matter."""
    with suppress(CanoError):
        call()
    return time.monotonic()


# Deadlines.


@everywhere
def test_a_workflows_deadline_is_kept(nesting: str, deaf: Deaf) -> None:
    workflow = PLACES[nesting](deaf).with_timeout(LIMIT)
    started = time.monotonic()
    with pytest.raises(WorkflowTimeoutError):
        workflow.orchestrate(Step.START)
    assert LIMIT <= time.monotonic() - started < LIMIT + AT_ONCE


@everywhere
def test_a_tokens_deadline_is_kept(nesting: str, deaf: Deaf) -> None:
    workflow = PLACES[nesting](deaf)
    started = time.monotonic()
    with pytest.raises(WorkflowCancelledError):
        workflow.orchestrate(Step.START, cancel=CancellationToken(timeout=LIMIT))
    assert LIMIT <= time.monotonic() - started < LIMIT + AT_ONCE


@in_any_manner
@pytest.mark.parametrize(
    ("strategy", "error"),
    [(JoinStrategy.ALL, SplitTimeoutError), (JoinStrategy.PARTIAL_TIMEOUT, None)],
)
def test_a_splits_deadline_is_kept(
    manner: str, strategy: JoinStrategy, error: type[Exception] | None, gate: threading.Event
) -> None:
    workflow = split([Deaf(gate, manner), lambda: "quick"], strategy, timeout=LIMIT)
    started = time.monotonic()
    if error is None:
        assert workflow.orchestrate(Step.START) is Step.DONE
    else:
        with pytest.raises(error):
            workflow.orchestrate(Step.START)
    assert time.monotonic() - started < LIMIT + AT_ONCE


@in_any_manner
def test_an_attempts_deadline_is_kept(manner: str, gate: threading.Event) -> None:
    workflow = single(Deaf(gate, manner), TaskConfig().with_attempt_timeout(LIMIT))
    started = time.monotonic()
    with pytest.raises(AttemptTimeoutError):
        workflow.orchestrate(Step.START)
    assert time.monotonic() - started < LIMIT + AT_ONCE


@pytest.mark.parametrize(
    ("strategy", "quick"), [(JoinStrategy.ANY, lambda: 1), (JoinStrategy.quorum(2), boom)]
)
def test_a_verdict_does_not_wait_for_deaf_branches(
    strategy: JoinStrategy, quick: Any, deaf: Deaf
) -> None:
    """Neither a good one nor a bad one."""

    def after() -> Any:
        assert deaf.begun.wait(SOON)
        return quick()

    started = time.monotonic()
    ended(lambda: split([deaf, after], strategy).orchestrate(Step.START))
    assert time.monotonic() - started < AT_ONCE
    assert abandoned_tasks() == 1


# Cancellations.


@everywhere
def test_a_cancellation_is_kept(nesting: str, deaf: Deaf, elsewhere: ThreadPoolExecutor) -> None:
    workflow, token = PLACES[nesting](deaf), CancellationToken()
    run = elsewhere.submit(workflow.orchestrate, Step.START, cancel=token)
    assert deaf.begun.wait(SOON)
    cancelled = time.monotonic()
    token.cancel("enough")
    with pytest.raises(WorkflowCancelledError, match="enough"):
        run.result(SOON)
    assert time.monotonic() - cancelled < AT_ONCE
    assert abandoned_tasks() >= 1


@in_any_manner
def test_whatever_a_task_swallows(
    manner: str, gate: threading.Event, elsewhere: ThreadPoolExecutor
) -> None:
    deaf, token = Deaf(gate, manner), CancellationToken()
    run = elsewhere.submit(split([deaf]).orchestrate, Step.START, cancel=token)
    assert deaf.begun.wait(SOON)
    cancelled = time.monotonic()
    token.cancel()
    with pytest.raises(WorkflowCancelledError):
        run.result(SOON)
    assert time.monotonic() - cancelled < AT_ONCE


def test_a_cancellation_far_above_is_kept(deaf: Deaf, elsewhere: ThreadPoolExecutor) -> None:
    """Through tokens that the caller made himself."""
    token = CancellationToken()
    given = token.child().child(timeout=60).child()
    run = elsewhere.submit(single(deaf).orchestrate, Step.START, cancel=given)
    assert deaf.begun.wait(SOON)
    cancelled = time.monotonic()
    token.cancel("from far above")
    with pytest.raises(WorkflowCancelledError, match="from far above"):
        run.result(SOON)
    assert time.monotonic() - cancelled < AT_ONCE


def test_one_cancellation_ends_all_the_runs_on_its_token(
    gate: threading.Event, elsewhere: ThreadPoolExecutor
) -> None:
    token, tasks = CancellationToken(), [Deaf(gate) for _ in range(4)]
    runs = [elsewhere.submit(ended, _on(token, single(task))) for task in tasks]
    assert all(task.begun.wait(SOON) for task in tasks)
    cancelled = time.monotonic()
    token.cancel()
    assert max(run.result(SOON) for run in runs) - cancelled < AT_ONCE


def _on(token: CancellationToken, workflow: Workflow[Any]) -> Callable[[], object]:
    return lambda: workflow.orchestrate(Step.START, cancel=token)


# Whatever the callbacks of a cancellation do.


class Callback(Deaf):
    """Registers a callback, and then is deaf."""

    def __init__(self, gate: threading.Event, make: Callable[[CancellationToken], Any]) -> None:
        super().__init__(gate)
        self.make = make

    def __call__(self, store: Store, cancel: CancellationToken) -> Step:
        cancel.on_cancel(self.make(cancel))
        return super().__call__(store, cancel)


def raising(cancel: CancellationToken) -> Callable[[], None]:
    """Its callback raises `Cancelled`, as a store does that is closed to it."""
    return cancel.check


def failing(cancel: CancellationToken) -> Callable[[], Any]:
    return boom


@pytest.fixture
def slow(gate: threading.Event) -> Callable[[CancellationToken], Any]:
    """Its callback blocks."""
    return lambda cancel: lambda: gate.wait(SOON)


def test_a_slow_callback_does_not_hold_up_a_deadline(gate: threading.Event, slow: Any) -> None:
    started = time.monotonic()
    with pytest.raises(WorkflowTimeoutError):
        single(Callback(gate, slow)).with_timeout(LIMIT).orchestrate(Step.START)
    assert time.monotonic() - started < LIMIT + AT_ONCE


def test_a_slow_callback_does_not_hold_up_a_verdict(gate: threading.Event, slow: Any) -> None:
    loser = Callback(gate, slow)
    started = time.monotonic()
    split([loser, lambda: loser.begun.wait(SOON)], JoinStrategy.ANY).orchestrate(Step.START)
    assert time.monotonic() - started < AT_ONCE


def test_a_slow_callback_does_not_hold_up_its_own_run(
    gate: threading.Event, slow: Any, elsewhere: ThreadPoolExecutor
) -> None:
    token, task = CancellationToken(), Callback(gate, slow)
    run = elsewhere.submit(ended, _on(token, single(task)))
    assert task.begun.wait(SOON)
    cancelled = time.monotonic()
    elsewhere.submit(token.cancel)
    assert run.result(SOON) - cancelled < AT_ONCE


@pytest.mark.parametrize("whose", ["another run's", "the caller's"])
def test_a_slow_callback_of_others_does_not_hold_up_a_run(
    whose: str, gate: threading.Event, slow: Any, elsewhere: ThreadPoolExecutor
) -> None:
    token, first, task = CancellationToken(), Callback(gate, slow), Deaf(gate)
    if whose == "the caller's":
        token.on_cancel(slow(token))
    else:
        elsewhere.submit(ended, _on(token, single(first)))
        assert first.begun.wait(SOON)
    run = elsewhere.submit(ended, _on(token, single(task)))
    assert task.begun.wait(SOON)
    cancelled = time.monotonic()
    elsewhere.submit(token.cancel)
    wait([run], AT_ONCE)
    gate.set()
    assert run.result(SOON) - cancelled < AT_ONCE


def test_a_slow_callback_does_not_keep_the_cancellation_from_other_tasks(
    gate: threading.Event, slow: Any, elsewhere: ThreadPoolExecutor
) -> None:
    token, first = CancellationToken(), Callback(gate, slow)
    listening: list[CancellationToken] = []
    begun = threading.Event()

    def listens(store: Store, cancel: CancellationToken) -> Step:
        listening.append(cancel)
        begun.set()
        gate.wait(SOON)
        return Step.DONE

    for task, ready in ((first, first.begun), (listens, begun)):
        elsewhere.submit(ended, _on(token, single(task)))
        assert ready.wait(SOON)
    elsewhere.submit(token.cancel)
    limit = time.monotonic() + AT_ONCE
    while time.monotonic() < limit and not listening[0].cancelled:
        gate.wait(0.01)
    assert listening[0].cancelled


@pytest.mark.parametrize(
    "make",
    [
        failing,
        raising,
    ],
)
def test_a_callback_that_raises_does_not_keep_the_cancellation_from_another_run(
    make: Any, gate: threading.Event, elsewhere: ThreadPoolExecutor
) -> None:
    token, first, task = CancellationToken(), Callback(gate, make), Deaf(gate)
    elsewhere.submit(ended, _on(token, single(first)))
    assert first.begun.wait(SOON)
    run = elsewhere.submit(ended, _on(token, single(task)))
    assert task.begun.wait(SOON)
    cancelled = time.monotonic()
    token.cancel()
    wait([run], AT_ONCE)
    gate.set()
    assert run.result(SOON) - cancelled < AT_ONCE


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_callback_that_finds_its_store_closed_does_not_keep_it_from_the_next_branch(
    gate: threading.Event,
) -> None:
    called, registered = threading.Event(), threading.Event()

    def first(store: Store, cancel: CancellationToken) -> None:
        cancel.on_cancel(lambda: store.put("what became of it", "cancelled"))
        registered.set()
        gate.wait(SOON)

    def second(store: Store, cancel: CancellationToken) -> None:
        assert registered.wait(SOON)
        cancel.on_cancel(called.set)
        both.set()
        gate.wait(SOON)

    both = threading.Event()
    split([first, second, lambda: both.wait(SOON)], JoinStrategy.ANY).orchestrate(Step.START)
    assert called.wait(1)


def test_who_leaves_a_token_takes_nobody_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forced interleaving: one registers while another, the last so far, takes his leave."""

    class Hook:
        """The tokens' lock; lets the other thread in each time that this one lets go of it."""

        def __init__(self, lock: Any) -> None:
            self.lock = lock
            self.me = threading.get_ident()
            self.armed = False

        def __enter__(self) -> None:
            self.lock.acquire()

        def __exit__(self, *error: object) -> None:
            self.lock.release()
            if self.armed and threading.get_ident() == self.me:
                self.armed = False
                comer = threading.Thread(target=lambda: token.on_cancel(called.set))
                comer.start()
                comer.join(SOON)

    root, called = CancellationToken(), threading.Event()
    token = root.child()
    first = token.on_cancel(lambda: None)
    hook = Hook(cancellation._lock)
    monkeypatch.setattr(cancellation, "_lock", hook)
    hook.armed = True
    first.remove()
    root.cancel()
    assert token.cancelled
    assert called.is_set()


def test_a_value_that_blocks_when_it_is_dropped_does_not_hold_up_a_deadline(
    gate: threading.Event,
) -> None:
    class Connection:
        def __del__(self) -> None:
            begun.set()
            gate.wait(2)

    def task(store: Store) -> Step:
        store.put("connection", Connection())
        store.put("connection", None)
        return Step.DONE

    begun, started = threading.Event(), time.monotonic()
    with pytest.raises(WorkflowTimeoutError):
        single(task).with_timeout(LIMIT).orchestrate(Step.START, store=MemoryStore())
    assert begun.wait(SOON)
    assert time.monotonic() - started < LIMIT + AT_ONCE


def test_a_deadline_is_kept_though_no_thread_can_be_started(
    deaf: Deaf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the callbacks: the run itself has its thread."""

    def no_more(*job: object) -> int:
        raise RuntimeError("can't start new thread")

    workflow = single(Callback(deaf.gate, failing)).with_timeout(LIMIT)
    monkeypatch.setattr("_thread.start_new_thread", no_more)
    with pytest.raises(WorkflowTimeoutError):
        workflow.orchestrate(Step.START)


# What comes after a cancellation is a consequence, not events.


class Closed(Exception):
    """What a connection raises that was closed because of a cancellation."""


def closed(store: Store, cancel: CancellationToken) -> Step:
    cancel.wait()
    raise Closed


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancelled task is given the time to say how it ended."""
    monkeypatch.setattr(offload_module, "LAST_WORD_GRACE", SOON)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("config", [None, RETRIES, BOTH], ids=["once", "retries", "limits"])
def test_an_error_after_the_deadline_is_the_timeouts_cause(config: TaskConfig | None) -> None:
    workflow = Workflow().register(Step.START, closed, config, error_state=Step.NEXT)
    workflow = workflow.add_exit_states(Step.NEXT, Step.DONE).with_timeout(LIMIT)
    with pytest.raises(WorkflowTimeoutError) as caught:
        workflow.orchestrate(Step.START)
    assert isinstance(caught.value.__cause__, Closed)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("config", [None, RETRIES, BOTH], ids=["once", "retries", "limits"])
def test_an_error_after_the_cancellation_is_its_cause(config: TaskConfig | None) -> None:
    def cancels(store: Store, cancel: CancellationToken) -> Step:
        token.cancel("enough")
        return closed(store, cancel)

    token = CancellationToken()
    workflow = Workflow().register(Step.START, cancels, config, error_state=Step.NEXT)
    workflow = workflow.add_exit_states(Step.NEXT, Step.DONE)
    with pytest.raises(WorkflowCancelledError, match="enough") as caught:
        workflow.orchestrate(Step.START, cancel=token)
    assert isinstance(caught.value.__cause__, Closed)


@pytest.mark.usefixtures("patient")
def test_an_error_after_the_attempts_deadline_is_its_cause() -> None:
    config = TaskConfig().with_attempt_timeout(LIMIT)
    with pytest.raises(AttemptTimeoutError) as caught:
        single(closed, config).orchestrate(Step.START)
    assert isinstance(caught.value.__cause__, Closed)


def test_a_branch_that_fails_after_the_cancellation_is_no_failed_branch() -> None:
    token = CancellationToken()

    def cancels() -> None:
        token.cancel("enough")
        raise Closed

    with pytest.raises(WorkflowCancelledError, match="enough"):
        split([cancels, closed], fail_fast=True).orchestrate(Step.START, cancel=token)


# The abandoned are counted.


def test_abandoned_tasks_counts_up_and_down(eventually: Eventually) -> None:
    """One by one as they return, whichever way they were left."""
    gates = [threading.Event() for _ in range(4)]
    try:
        losers = [Deaf(gates[0]), Deaf(gates[1])]
        split(
            [*losers, lambda: all(loser.begun.wait(SOON) for loser in losers)], JoinStrategy.ANY
        ).orchestrate(Step.START)
        assert abandoned_tasks() == 2
        # Long enough for a thread to begin on a busy machine: else there is nothing to abandon.
        limit = TaskConfig().with_attempt_timeout(5 * LIMIT)
        ended(lambda: single(Deaf(gates[2]), limit).orchestrate(Step.START))
        assert abandoned_tasks() == 3
        ended(lambda: single(Deaf(gates[3])).with_timeout(5 * LIMIT).orchestrate(Step.START))
        for left, gate in ((4, None), (3, gates[2]), (2, gates[0]), (1, gates[3]), (0, gates[1])):
            if gate is not None:
                gate.set()
            eventually(lambda left=left: abandoned_tasks() == left)
    finally:
        for gate in gates:
            gate.set()


def test_a_task_that_listens_is_not_abandoned_for_long() -> None:
    ended(lambda: split([closed] * 3).with_timeout(LIMIT).orchestrate(Step.START))
    assert wait_for_abandoned(SOON)


# An update() whose function does not return: it runs under the store's lock.


class Updating:
    """A task inside the function of an update, until the gate opens."""

    def __init__(self, gate: threading.Event) -> None:
        self.gate = gate
        self.begun = threading.Event()

    def __call__(self, store: Store) -> Step:
        store.update("n", self.slow, default=0)
        return Step.DONE

    def slow(self, number: int) -> int:
        self.begun.set()
        self.gate.wait(SOON)
        return number + 1


@pytest.mark.parametrize("what", ["run", "split in a run", "attempt", "split"])
def test_a_deadline_is_kept_beside_an_update_that_does_not_return(
    what: str, gate: threading.Event
) -> None:
    """The engine itself asks nothing of the store when the time is up."""
    task = Updating(gate)
    workflow = {
        "run": lambda: single(task).with_timeout(LIMIT),
        "split in a run": lambda: split([task], collect="values").with_timeout(LIMIT),
        "attempt": lambda: single(task, TaskConfig().with_attempt_timeout(LIMIT)),
        "split": lambda: split([task], collect="values", timeout=LIMIT),
    }[what]()
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        workflow.orchestrate(Step.START)
    assert time.monotonic() - started < LIMIT + AT_ONCE
    assert not gate.is_set()


def test_what_a_join_writes_waits_for_an_update_of_an_abandoned_branch(
    gate: threading.Event,
) -> None:
    """As everybody who wants the store does; and the update then writes nothing."""
    task, store, decided = Updating(gate), MemoryStore(), threading.Event()

    class Decided(JoinStrategy):
        def decide(self, tally: Tally) -> Verdict:
            verdict = JoinStrategy.ANY.decide(tally)
            if verdict is Verdict.PROCEED:
                decided.set()
            return verdict

    workflow = split([lambda: task.begun.wait(SOON), task], Decided(), collect="values")
    run = workflow.submit(Step.START, store=store)
    assert decided.wait(SOON)
    with pytest.raises(FutureTimeoutError):
        run.result(0.1)
    gate.set()
    assert run.result(SOON) is Step.DONE
    assert wait_for_abandoned(SOON)
    assert store.snapshot() == {"values": [True]}
