"""Law 6: the caller's context travels into every task, and a task's changes stay its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from cano_sync import (
    CancellationToken,
    Cancelled,
    MemoryStore,
    Node,
    Store,
    TaskConfig,
    Workflow,
    WorkflowCancelledError,
    current_token,
)
from tests.kit import SOON, Boom, Step, boom, single, split

request: ContextVar[str] = ContextVar("request", default="nobody's")


@contextmanager
def handling(name: str) -> Iterator[None]:
    """As a web framework does around a view."""
    token = request.set(name)
    try:
        yield
    finally:
        request.reset(token)


def nested(inner: Workflow[Any]) -> Callable[[], Any]:
    return lambda: inner.orchestrate(Step.START)


class Steps(Node):
    """Does the work in one of its three steps."""

    def __init__(self, which: str, work: Callable[[], object]) -> None:
        self.which = which
        self.work = work

    def _step(self, name: str) -> None:
        if name == self.which:
            self.work()

    def prep(self, store: Store) -> None:
        self._step("prep")

    def exec(self, prepared: Any) -> None:
        self._step("exec")

    def post(self, store: Store, result: Any) -> Step:
        self._step("post")
        return Step.DONE


def second_attempt(work: Callable[[], object]) -> Callable[[], Step]:
    failures = iter([True])

    def task() -> Step:
        if next(failures, False):
            raise Boom
        work()
        return Step.DONE

    return task


def done(work: Callable[[], object]) -> Callable[[], Step]:
    def task() -> Step:
        work()
        return Step.DONE

    return task


def error_state(work: Callable[[], object]) -> Workflow[Any]:
    failing = Workflow().register(Step.START, boom, error_state=Step.NEXT)
    return failing.register(Step.NEXT, done(work)).add_exit_state(Step.DONE)


def listing(work: Callable[[], object]) -> Workflow[Any]:
    def tasks() -> Iterator[Any]:
        work()
        yield lambda: None

    return split(tasks)


LIMITED = TaskConfig().with_attempt_timeout(60)
RETRIES = TaskConfig().with_fixed_retry(2, delay=0)
Work = Callable[[], object]
PLACES: dict[str, Callable[[Work], Workflow[Any]]] = {
    "a state": lambda work: single(done(work)),
    "a node's prep": lambda work: single(Steps("prep", work)),
    "a node's exec": lambda work: single(Steps("exec", work)),
    "a node's post": lambda work: single(Steps("post", work)),
    "an attempt with a limit": lambda work: single(done(work), LIMITED),
    "a second attempt": lambda work: single(second_attempt(work), RETRIES),
    "a second attempt with a limit": lambda work: single(
        second_attempt(work), RETRIES.with_attempt_timeout(60)
    ),
    "an error state": error_state,
    "the listing of a split": listing,
    "a branch": lambda work: split([lambda: None, work]),
    "a branch under a bulkhead": lambda work: split([lambda: None, work], bulkhead=1),
    "a nested run": lambda work: single(nested(single(done(work)))),
    "a nested run that moved": lambda work: single(nested(single(done(work)).with_timeout(60))),
    "a run in a branch": lambda work: split([nested(split([work]))]),
    "a run in an attempt in a branch": lambda work: split(
        [nested(single(nested(split([work]).with_timeout(60)), LIMITED))]
    ),
}
everywhere = pytest.mark.parametrize("nesting", PLACES)


def here(workflow: Workflow[Any]) -> None:
    workflow.orchestrate(Step.START)


def moved(workflow: Workflow[Any]) -> None:
    workflow.with_timeout(60).orchestrate(Step.START)


def with_token(workflow: Workflow[Any]) -> None:
    workflow.orchestrate(Step.START, cancel=CancellationToken())


def submitted(workflow: Workflow[Any]) -> None:
    workflow.submit(Step.START).result(SOON)


def own_executor(workflow: Workflow[Any]) -> None:
    with ThreadPoolExecutor(2) as executor:
        workflow.with_executor(executor).orchestrate(Step.START)


RUNS = (here, moved, with_token, submitted, own_executor)
anyhow = pytest.mark.parametrize("run", RUNS, ids=[run.__name__ for run in RUNS])


@anyhow
@everywhere
def test_the_callers_context_is_there(nesting: str, run: Callable[[Workflow[Any]], None]) -> None:
    seen: list[str] = []
    workflow = PLACES[nesting](lambda: seen.append(request.get()))
    with handling("mine"):
        run(workflow)
    assert seen == ["mine"]


@anyhow
@everywhere
def test_a_tasks_change_does_not_reach_the_caller(
    nesting: str, run: Callable[[Workflow[Any]], None]
) -> None:
    workflow = PLACES[nesting](lambda: request.set("changed"))
    with handling("mine"):
        run(workflow)
        assert request.get() == "mine"


def test_two_callers_of_one_workflow_each_have_their_own() -> None:
    meeting = threading.Barrier(2)

    def branch(store: Store) -> None:
        meeting.wait(SOON)
        store.append("seen", request.get())

    workflow = split([branch])

    def view(name: str) -> Any:
        with handling(name):
            store = MemoryStore()
            workflow.orchestrate(Step.START, store=store)
            return store.get("seen")

    with ThreadPoolExecutor(2) as callers:
        assert list(callers.map(view, ["first", "second"])) == [["first"], ["second"]]


@pytest.mark.parametrize("bulkhead", [None, 1])
def test_a_branchs_change_does_not_reach_another_branch(bulkhead: int | None) -> None:
    """Not even one that comes after it on the same thread."""
    seen: list[str] = []

    def branch() -> None:
        seen.append(request.get())
        request.set("changed")

    with handling("mine"):
        split([branch] * 20, bulkhead=bulkhead).orchestrate(Step.START)
    assert seen == ["mine"] * 20


def test_a_thread_of_the_pool_keeps_nothing_for_the_next_run() -> None:
    seen: list[str] = []
    workflow = split([lambda: seen.append(request.get())])
    for name in ("first", "second"):
        with handling(name):
            workflow.orchestrate(Step.START)
    workflow.orchestrate(Step.START)
    assert seen == ["first", "second", "nobody's"]


def test_a_submitted_run_has_the_context_of_the_moment_of_its_submission(
    gate: threading.Event,
) -> None:
    seen: list[str] = []

    def task() -> Step:
        gate.wait(SOON)
        seen.append(request.get())
        return Step.DONE

    with handling("mine"):
        run = single(task).submit(Step.START)
    gate.set()
    run.result(SOON)
    assert seen == ["mine"]


# The token of the task.


def far_below(depth: int = 20) -> CancellationToken:
    """A library's code that nobody passes a token to."""
    return current_token() if depth == 0 else far_below(depth - 1)


@anyhow
def test_the_current_token_far_below_is_the_one_that_the_task_takes(
    run: Callable[[Workflow[Any]], None],
) -> None:
    same: list[bool] = []

    def branch(store: Store, cancel: CancellationToken) -> Step:
        same.append(far_below() is cancel)
        return Step.DONE

    for workflow in (single(branch), single(branch, LIMITED), split([branch, branch])):
        run(workflow)
    assert same == [True] * 4


@everywhere
def test_the_current_token_hears_of_the_runs_cancellation(nesting: str) -> None:
    begun, listeners = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        try:
            far_below().sleep(SOON)
        except Cancelled:
            listeners.set()
            raise

    token = CancellationToken()
    run = PLACES[nesting](work).submit(Step.START, cancel=token)
    assert begun.wait(SOON)
    token.cancel()
    assert isinstance(run.exception(SOON), WorkflowCancelledError)
    assert listeners.wait(SOON)


@anyhow
def test_after_a_run_the_callers_current_token_is_what_it_was(
    run: Callable[[Workflow[Any]], None],
) -> None:
    kept: list[tuple[CancellationToken, CancellationToken]] = []
    inner = single(done(lambda: None))

    def task(store: Store, cancel: CancellationToken) -> Step:
        run(inner)
        kept.append((cancel, current_token()))
        return Step.DONE

    single(task).orchestrate(Step.START)
    assert kept[0][0] is kept[0][1]
    assert not current_token().cancelled


def test_outside_a_run_nobody_cancels_the_current_token() -> None:
    token = CancellationToken()
    single(done(lambda: None)).orchestrate(Step.START, cancel=token)
    token.cancel()
    assert not far_below().cancelled
