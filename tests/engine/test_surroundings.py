"""What surrounds tasks and pool threads: when it is entered and left, with what, and who pays."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from typing import Any

import pytest

from cano_sync import (
    Around,
    ConfigurationError,
    JoinConfig,
    JoinError,
    JoinStrategy,
    MemoryStore,
    Node,
    NodeExecutionError,
    RetryExhaustedError,
    TaskConfig,
    TaskContext,
    TaskExecutionError,
    Workflow,
    WorkflowError,
    install_around,
)
from tests.kit import SOON, Boom, Step, boom, done, nothing, single, split

Events = list[tuple[Any, ...]]


class Spy(Around):
    """Notes what is called, on which thread."""

    def __init__(self, events: Events, name: str = "spy") -> None:
        self.events = events
        self.label = name

    def note(self, what: str, *more: Any) -> None:
        self.events.append((self.label, what, *more))

    def hand_over(self, work: str) -> None:
        self.note("hand over", work)

    def capture(self) -> Any:
        self.note("capture")
        return threading.get_ident()

    @contextmanager
    def task(self, context: TaskContext, captured: Any) -> Iterator[None]:
        self.note("enter", context.thread, context.index)
        try:
            yield
        except BaseException as error:
            self.note("leave", type(error))
            raise
        self.note("leave", None)

    @contextmanager
    def thread(self) -> Iterator[None]:
        self.note("thread begins")
        yield
        self.note("thread is idle")


@pytest.fixture
def events() -> Events:
    return []


# Around tasks.


def test_a_task_on_the_callers_thread_is_surrounded_there(events: Events) -> None:
    single(done).with_around(Spy(events)).orchestrate(Step.START)

    assert events == [("spy", "enter", "caller", None), ("spy", "leave", None)]


def test_the_first_that_is_attached_is_the_outermost(events: Events) -> None:
    workflow = single(done).with_around(Spy(events, "outer")).with_around(Spy(events, "inner"))

    workflow.orchestrate(Step.START)

    assert [event[:2] for event in events] == [
        ("outer", "enter"),
        ("inner", "enter"),
        ("inner", "leave"),
        ("outer", "leave"),
    ]


def test_a_run_with_a_limit_is_handed_over_and_captured_once(events: Events) -> None:
    workflow = (
        Workflow()
        .register(Step.START, lambda: Step.WORK)
        .register_split(
            Step.WORK, [nothing] * 2, JoinConfig(JoinStrategy.ALL, Step.DONE, bulkhead=1)
        )
        .add_exit_state(Step.DONE)
        .with_around(Spy(events))
        .with_timeout(SOON)
    )

    workflow.orchestrate(Step.START)

    assert [event[1:3] for event in events] == [
        ("hand over", "run"),
        ("capture",),
        ("thread begins",),
        ("enter", "pool"),
        ("leave", None),
        ("hand over", "split"),
        ("thread begins",),
        ("enter", "pool"),
        ("leave", None),
        ("enter", "pool"),
        ("leave", None),
        ("thread is idle",),
        ("thread is idle",),
    ]


def test_what_was_captured_on_the_callers_thread_reaches_each_task_on_another() -> None:
    seen: list[Any] = []

    class Home(Around):
        def capture(self) -> Any:
            return threading.get_ident()

        def task(self, context: TaskContext, captured: Any) -> AbstractContextManager[Any]:
            seen.append(captured)
            return nullcontext()

    for workflow in (
        split([nothing] * 3),
        split([nothing] * 3).with_timeout(SOON),
        single(done, TaskConfig(attempt_timeout=SOON)),
    ):
        workflow.with_around(Home()).orchestrate(Step.START)
    single(done).with_around(Home()).submit(Step.START).result(SOON)

    assert set(seen) == {threading.get_ident()}
    assert len(seen) == 3 + 3 + 1 + 1


def test_a_split_captures_what_a_task_before_it_has_changed() -> None:
    language = threading.local()
    seen = []

    class Language(Around):
        def capture(self) -> Any:
            return language.now

        def task(self, context: TaskContext, captured: Any) -> AbstractContextManager[Any]:
            seen.append(captured)
            return nullcontext()

    def speak() -> Step:
        language.now = "de"
        return Step.WORK

    language.now = "en"
    workflow = (
        Workflow()
        .register(Step.START, speak)
        .register_split(Step.WORK, [nothing], JoinConfig(JoinStrategy.ALL, Step.DONE))
        .add_exit_state(Step.DONE)
    )
    workflow.with_around(Language()).orchestrate(Step.START)

    assert seen == [None, "de"]


def test_the_context_says_which_thread_it_is_also_without_arounds() -> None:
    seen = []

    def note(context: TaskContext) -> Step:
        seen.append(context.thread)
        return Step.DONE

    task = lambda store, context: note(context)  # noqa: E731
    single(task).orchestrate(Step.START)
    single(task).with_timeout(SOON).orchestrate(Step.START)
    single(task, TaskConfig(attempt_timeout=SOON)).orchestrate(Step.START)
    split([task]).orchestrate(Step.START)

    assert seen == ["caller", "pool", "pool", "pool"]


def test_a_run_in_a_branch_is_called_from_the_branchs_thread(events: Events) -> None:
    inner = single(done).with_around(Spy(events, "inner"))

    split([lambda store: inner.orchestrate(Step.START)]).orchestrate(Step.START)

    assert events == [("inner", "enter", "caller", None), ("inner", "leave", None)]


def test_it_is_entered_on_the_thread_and_in_the_context_of_the_task() -> None:
    inside: ContextVar[str] = ContextVar("inside", default="nothing")
    seen = []

    @contextmanager
    def setting(context: TaskContext) -> Iterator[None]:
        thread = threading.get_ident()
        inside.set(f"branch {context.index}")
        yield
        assert threading.get_ident() == thread

    split([lambda store: seen.append(inside.get())] * 2, bulkhead=1).with_around(
        setting
    ).orchestrate(Step.START)

    assert seen == ["branch 0", "branch 1"]
    assert inside.get() == "nothing"


def test_each_attempt_is_surrounded(events: Events) -> None:
    attempts = iter([Boom(), Boom(), None])

    def fail_twice() -> Step:
        error = next(attempts)
        if error:
            raise error
        return Step.DONE

    workflow = single(fail_twice, TaskConfig().with_fixed_retry(3, delay=0))
    workflow.with_around(Spy(events)).orchestrate(Step.START)

    assert [event[2] for event in events if event[1] == "leave"] == [Boom, Boom, None]


def test_listing_the_branches_counts_as_a_task_and_so_does_its_generator(events: Events) -> None:
    def listing(store: Any) -> Iterator[Callable[..., Any]]:
        events.append(("listing",))
        yield nothing

    split(listing).with_around(Spy(events)).orchestrate(Step.START)

    assert [event[:2] for event in events][:3] == [
        ("spy", "enter"),
        ("listing",),
        ("spy", "leave"),
    ]


# What goes wrong.


def around_that(enter: Callable[[], Any] = nothing, leave: Callable[[], Any] = nothing) -> Any:
    @contextmanager
    def around(context: TaskContext) -> Iterator[None]:
        enter()
        yield
        leave()

    return around


def test_what_entering_raises_is_the_tasks_failure() -> None:
    called: list[str] = []
    workflow = single(lambda: called.append("task")).with_around(around_that(enter=boom))

    with pytest.raises(TaskExecutionError) as caught:
        workflow.orchestrate(Step.START)

    assert isinstance(caught.value.__cause__, Boom)
    assert "on entering around around task" in caught.value.__cause__.__notes__[0]
    assert called == []


def test_what_leaving_raises_after_a_success_is_the_tasks_failure() -> None:
    with pytest.raises(TaskExecutionError) as caught:
        single(done).with_around(around_that(leave=boom)).orchestrate(Step.START)

    assert isinstance(caught.value.__cause__, Boom)
    assert "on leaving around" in caught.value.__cause__.__notes__[0]


@pytest.mark.parametrize("when", ["enter", "leave"])
def test_it_is_retried_as_any_failure(when: str) -> None:
    times: list[int] = []

    def fail_once() -> None:
        times.append(1)
        if len(times) == 1:
            raise Boom

    workflow = single(done, TaskConfig().with_fixed_retry(1, delay=0))

    assert workflow.with_around(around_that(**{when: fail_once})).orchestrate(Step.START)
    assert len(times) == 2


def test_it_leads_to_the_error_state_as_any_failure() -> None:
    workflow = (
        Workflow()
        .register(Step.START, done, error_state=Step.MENDED)
        .add_exit_states(Step.DONE, Step.MENDED)
        .with_around(around_that(leave=boom))
    )

    assert workflow.orchestrate(Step.START) is Step.MENDED


def test_the_manager_gets_the_users_exception_and_not_the_nodes_wrapping_of_it(
    events: Events,
) -> None:
    class Failing(Node):
        def exec(self, prepared: Any) -> Any:
            raise Boom("it broke")

        def post(self, store: Any, result: Any) -> Step:
            return Step.DONE

    with pytest.raises(NodeExecutionError) as caught:
        single(Failing()).with_around(Spy(events, "outer")).with_around(Spy(events)).orchestrate(
            Step.START
        )

    assert [event[2] for event in events if event[1] == "leave"] == [Boom, Boom]
    assert isinstance(caught.value.__cause__, Boom)


def test_one_that_raises_another_exception_replaces_the_tasks() -> None:
    class Other(Exception):
        pass

    @contextmanager
    def translating(context: TaskContext) -> Iterator[None]:
        try:
            yield
        except Boom as error:
            raise Other from error

    with pytest.raises(TaskExecutionError) as caught:
        single(boom).with_around(translating).orchestrate(Step.START)

    assert isinstance(caught.value.__cause__, Other)
    assert isinstance(caught.value.__cause__.__cause__, Boom)


@contextmanager
def swallowing(context: TaskContext) -> Iterator[None]:
    with suppress(Exception):
        yield


def test_one_that_swallows_the_tasks_exception_is_a_mistake_that_says_so() -> None:
    workflow = (
        Workflow()
        .register(Step.START, boom, error_state=Step.MENDED)
        .add_exit_states(Step.DONE, Step.MENDED)
        .with_around(swallowing)
    )

    with pytest.raises(WorkflowError, match="swallowing around task 'boom' swallowed Boom") as got:
        workflow.orchestrate(Step.START)

    assert isinstance(got.value.__cause__, Boom)
    assert got.value.state is Step.START


def test_a_branch_whose_exception_was_swallowed_has_failed() -> None:
    with pytest.raises(JoinError) as caught:
        split([boom]).with_around(swallowing).orchestrate(Step.START)

    [outcome] = caught.value.result.errors
    assert isinstance(outcome.error, WorkflowError)
    assert "swallowed Boom" in str(outcome.error)


def test_what_is_no_context_manager_fails_the_task() -> None:
    with pytest.raises(TaskExecutionError, match="context manager"):
        single(done).with_around(lambda context: 7).orchestrate(Step.START)  # type: ignore[arg-type,return-value]


def test_the_last_of_several_attempts_says_what_entering_raised() -> None:
    workflow = single(done, TaskConfig().with_fixed_retry(1, delay=0))

    with pytest.raises(RetryExhaustedError, match="the last one raised Boom"):
        workflow.with_around(around_that(enter=boom)).orchestrate(Step.START)


# Handing over.


class Refusing(Around):
    def __init__(self, *works: str, error: Exception | None = None) -> None:
        self.works = works
        self.error = error or WorkflowError("not from here; use stay=True")

    def hand_over(self, work: str) -> None:
        if work in self.works:
            raise self.error


@pytest.mark.parametrize(
    ("work", "workflow"),
    [
        ("run", single(done).with_timeout(SOON)),
        ("split", split([nothing])),
        ("attempt", single(done, TaskConfig(attempt_timeout=SOON))),
    ],
)
def test_a_hand_over_can_be_refused(work: str, workflow: Workflow[Any]) -> None:
    with pytest.raises(WorkflowError, match="use stay=True") as caught:
        workflow.with_around(Refusing(work)).orchestrate(Step.START)

    assert caught.value.state is Step.START
    assert caught.value.run_id is not None
    others = {"run", "split", "attempt", "submit"} - {work}
    assert workflow.with_around(Refusing(*others)).orchestrate(Step.START) is Step.DONE


def test_a_refused_submit_is_raised_by_submit_itself() -> None:
    with pytest.raises(WorkflowError, match="use stay=True"):
        single(done).with_around(Refusing("submit")).submit(Step.START)


def test_a_refused_split_leads_to_no_error_state() -> None:
    workflow = (
        Workflow()
        .register_split(
            Step.START,
            [nothing],
            JoinConfig(JoinStrategy.ALL, Step.DONE, error_state=Step.MENDED),
        )
        .add_exit_states(Step.DONE, Step.MENDED)
    )

    with pytest.raises(WorkflowError, match="could not hand the split over") as caught:
        workflow.with_around(Refusing("split", error=Boom())).orchestrate(Step.START)

    assert isinstance(caught.value.__cause__, Boom)


# Around threads.


def test_nothing_is_left_on_the_pools_threads_once_all_branches_have_landed() -> None:
    here = threading.Lock()
    inside = 0

    class Connected(Around):
        @contextmanager
        def thread(self) -> Iterator[None]:
            nonlocal inside
            with here:
                inside += 1
            yield
            with here:
                inside -= 1

    barrier = threading.Barrier(8)
    workflow = split([lambda store: barrier.wait(SOON)] * 8).with_around(Connected())
    for _ in range(50):
        workflow.orchestrate(Step.START)
        assert inside == 0


def test_a_worker_serves_many_branches_in_one_job(events: Events) -> None:
    split([nothing] * 20, bulkhead=1).with_around(Spy(events)).orchestrate(Step.START)

    assert [event[1] for event in events].count("thread begins") == 1
    assert [event[1] for event in events].count("enter") == 20


def test_what_leaving_a_thread_raises_is_logged_and_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(Around):
        @contextmanager
        def thread(self) -> Iterator[None]:
            yield
            raise Boom

    for workflow in (split([nothing]), single(done).with_timeout(SOON)):
        assert workflow.with_around(Failing()).orchestrate(Step.START) is Step.DONE
        [record] = caplog.records
        assert record.exc_info is not None
        assert record.exc_info[0] is Boom
        caplog.clear()


@pytest.mark.parametrize(
    "workflow",
    [split([nothing] * 3), single(done).with_timeout(SOON)],
    ids=["a split", "a run"],
)
def test_what_entering_a_thread_raises_ends_the_run(workflow: Workflow[Any]) -> None:
    left = []

    class First(Around):
        @contextmanager
        def thread(self) -> Iterator[None]:
            try:
                yield
            finally:
                left.append(1)

    class Failing(Around):
        def thread(self) -> AbstractContextManager[None]:
            raise Boom("no connection")

    with pytest.raises(WorkflowError, match=r"entering Failing .* Boom: no connection") as caught:
        workflow.with_around(First()).with_around(Failing()).orchestrate(Step.START)

    assert isinstance(caught.value.__cause__, Boom)
    assert left


# By name.


@contextmanager
def numbered(context: TaskContext) -> Iterator[int]:
    yield context.index or 0


def test_tasks_get_by_name_what_it_gives() -> None:
    seen: list[Any] = []

    class Both(Node):
        def prep(self, store: Any, number: int) -> int:
            return number

        def exec(self, prepared: int, *, number: int) -> tuple[int, int]:
            return prepared, number

        def post(self, store: Any, result: Any) -> Step:
            seen.append(result)
            return Step.WORK

    workflow = (
        Workflow()
        .with_around(numbered, name="number")
        .register(Step.START, Both())
        .register_split(
            Step.WORK,
            lambda store: [lambda store, number, cancel: number] * 3,
            JoinConfig(JoinStrategy.ALL, Step.DONE, collect="numbers"),
        )
        .add_exit_state(Step.DONE)
    )
    store = MemoryStore()
    workflow.orchestrate(Step.START, store=store)

    assert seen == [(0, 0)]
    assert store.get("numbers") == [0, 1, 2]


def test_a_name_that_nothing_provides_says_how_to_provide_it() -> None:
    with pytest.raises(ConfigurationError, match=r"with_around\(\.\.\., name='session'\)"):
        Workflow().register(Step.START, lambda store, session: Step.DONE)


@pytest.mark.parametrize("name", ["store", "cancel", "context", "not a name", "class", 7])
def test_a_name_that_no_parameter_can_have_is_refused(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="name"):
        Workflow().with_around(numbered, name=name)


def test_a_name_is_taken_once() -> None:
    workflow = Workflow().with_around(numbered, name="number")

    with pytest.raises(ConfigurationError, match="'number' is taken"):
        workflow.with_around(numbered, name="number")


def test_an_around_says_its_own_name(events: Events) -> None:
    with pytest.raises(ConfigurationError, match="by the attribute `name`"):
        Workflow().with_around(Spy(events), name="spy")


# What is no around.


class Idle(Around):
    pass


def generator(context: TaskContext) -> Iterator[None]:
    yield


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (Spy, "is a class"),
        (Idle(), "would do nothing"),
        (7, "takes an Around"),
        (generator, "contextlib.contextmanager"),
        (lambda: nullcontext(), "cannot be called with the context alone"),
    ],
)
def test_what_is_no_around_is_refused(given: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        Workflow().with_around(given)
    with pytest.raises(ConfigurationError, match=why):
        install_around(given)


# Of the whole process.


def test_one_that_is_installed_surrounds_all_runs_until_it_is_removed(events: Events) -> None:
    workflow = single(done).with_around(Spy(events, "the workflow's"))
    workflow.orchestrate(Step.START)
    remove = install_around(Spy(events, "the process's"))
    try:
        workflow.orchestrate(Step.START)
    finally:
        remove()
        remove()
    workflow.orchestrate(Step.START)

    assert [event[0] for event in events if event[1] == "enter"] == [
        "the workflow's",
        "the process's",
        "the workflow's",
        "the workflow's",
    ]
