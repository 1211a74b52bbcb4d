"""`Workflow`: the builder, the forms of task it takes, and how its runs are started."""

from __future__ import annotations

import contextvars
import functools
import gc
import inspect
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest

from cano_sync import (
    CancellationToken,
    ConfigurationError,
    DiscardedWorkflowWarning,
    JoinConfig,
    JoinError,
    JoinStrategy,
    MemoryStore,
    Node,
    RetryExhaustedError,
    Store,
    Task,
    TaskConfig,
    TaskContext,
    TaskExecutionError,
    Workflow,
    WorkflowCancelledError,
    WorkflowTimeoutError,
    task,
)
from tests.kit import SOON, Boom, Step, boom, done, single, split

# The builder.

BUILDER_CALLS: dict[str, Callable[[Workflow[Any]], Workflow[Any]]] = {
    "register": lambda base: base.register(Step.WORK, done),
    "register_split": lambda base: base.register_split(
        Step.WORK, [done], JoinConfig(JoinStrategy.ALL, Step.DONE)
    ),
    "add_exit_state": lambda base: base.add_exit_state(Step.MENDED),
    "add_exit_states": lambda base: base.add_exit_states(Step.MENDED),
    "with_timeout": lambda base: base.with_timeout(1),
    "with_executor": lambda base: base.with_executor(None),
}


@pytest.mark.parametrize("call", BUILDER_CALLS.values(), ids=BUILDER_CALLS)
def test_a_builder_method_returns_a_new_workflow(
    call: Callable[[Workflow[Any]], Workflow[Any]],
) -> None:
    base = single(done)
    before = repr(base)
    made = call(base)
    assert made is not base
    assert type(made) is Workflow
    assert repr(base) == before
    assert base.orchestrate(Step.START) is Step.DONE
    assert made.orchestrate(Step.START) is Step.DONE


def test_what_is_registered_on_a_copy_is_unknown_to_the_original() -> None:
    base = Workflow().add_exit_states(Step.DONE, Step.MENDED)
    one = base.register(Step.START, lambda: Step.DONE)
    other = base.register(Step.START, lambda: Step.MENDED)
    assert one.orchestrate(Step.START) is Step.DONE
    assert other.orchestrate(Step.START) is Step.MENDED
    with pytest.raises(ConfigurationError, match="no state has a task"):
        base.validate()


def test_a_workflow_that_has_run_can_still_be_extended() -> None:
    base = single(done)
    assert base.orchestrate(Step.START) is Step.DONE
    extended = base.register(Step.WORK, lambda: Step.START)
    assert extended.orchestrate(Step.WORK) is Step.DONE
    with pytest.raises(ConfigurationError, match=r"cannot begin in Step\.WORK"):
        base.orchestrate(Step.WORK)


def test_a_run_that_is_to_begin_in_the_name_of_a_state_is_told_the_state() -> None:
    workflow = Workflow[Any]().register(Step.START, lambda: Step.DONE).add_exit_state(Step.DONE)
    with pytest.raises(ConfigurationError, match=r"'START', .* the state Step\.START: give the"):
        workflow.orchestrate("START")


def test_a_list_of_tasks_that_changes_later_changes_nothing() -> None:
    tasks: list[Any] = [lambda: 1]
    store = MemoryStore()
    workflow = (
        Workflow()
        .register_split(Step.START, tasks, JoinConfig(JoinStrategy.ALL, Step.DONE, collect="all"))
        .add_exit_state(Step.DONE)
    )
    tasks.append(boom)
    workflow.orchestrate(Step.START, store=store)
    assert store.get("all") == [1]


def test_the_repr_counts_the_states_and_names_the_exits() -> None:
    assert repr(Workflow()) == "<Workflow of 0 states, exits: none>"
    workflow = single(done).add_exit_state("elsewhere")
    assert repr(workflow) == "<Workflow of 1 state, exits: Step.DONE, 'elsewhere'>"
    workflow.validate()


@pytest.mark.parametrize(
    "exits",
    [(["A", "B"],), (("A", "B"),), ({"A", "B"},), (iter("AB"),), ("A", "B"), ({"A": 1, "B": 2},)],
    ids=["list", "tuple", "set", "iterator", "several", "dict"],
)
def test_add_exit_states_takes_states_or_one_iterable_of_them(exits: tuple[Any, ...]) -> None:
    workflow = Workflow().register("START", lambda: "A").add_exit_states(*exits)
    assert workflow.orchestrate("START") == "A"
    assert workflow.orchestrate("B") == "B"


def test_add_exit_states_takes_a_whole_enum() -> None:
    workflow = Workflow().register("START", done).add_exit_states(Step)
    assert [workflow.orchestrate(step) for step in Step] == list(Step)
    assert workflow.orchestrate("START") is Step.DONE


def test_one_string_is_one_exit_and_not_its_letters() -> None:
    workflow = Workflow().register("START", lambda: "DONE").add_exit_states("DONE")
    assert workflow.orchestrate("START") == "DONE"
    with pytest.raises(ConfigurationError):
        workflow.validate_initial_state("D")


def test_one_member_of_a_string_enum_is_one_exit() -> None:
    class Text(StrEnum):
        GO = "go"
        END = "end"

    workflow = Workflow().register(Text.GO, lambda: Text.END).add_exit_states(Text.END)
    assert workflow.orchestrate(Text.GO) is Text.END


def test_naming_an_exit_twice_changes_nothing() -> None:
    workflow = single(done).add_exit_state(Step.DONE).add_exit_states(Step.DONE, Step.DONE)
    assert repr(workflow) == "<Workflow of 1 state, exits: Step.DONE>"
    workflow.validate()


# Workflows that were lost.


def current() -> int:
    """The line of the caller."""
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return frame.f_back.f_lineno


@pytest.mark.parametrize("call", BUILDER_CALLS.values(), ids=BUILDER_CALLS)
def test_a_dropped_workflow_warns(call: Callable[[Workflow[Any]], Workflow[Any]]) -> None:
    base = single(done)
    with pytest.warns(DiscardedWorkflowWarning, match=r"workflow = workflow\.register"):
        call(base)


def test_the_warning_points_at_the_line_that_lost_it() -> None:
    workflow: Workflow[Any] = Workflow()
    with pytest.warns(DiscardedWorkflowWarning) as caught:
        workflow.register(Step.START, done); line = current()  # fmt: skip  # noqa: E702
    assert [(warning.filename, warning.lineno) for warning in caught] == [(__file__, line)]


def test_the_warning_points_at_the_line_that_overwrote_it() -> None:
    workflow: Any = Workflow().register(Step.START, done)
    with pytest.warns(DiscardedWorkflowWarning) as caught:
        workflow = None; line = current()  # fmt: skip  # noqa: E702
    assert workflow is None
    assert [(warning.filename, warning.lineno) for warning in caught] == [(__file__, line)]


def test_each_lost_workflow_of_a_chain_warns_once() -> None:
    """The last one is lost; those before it were used to make the next."""
    with pytest.warns(DiscardedWorkflowWarning) as caught:
        Workflow().register(Step.START, done).add_exit_state(Step.DONE).with_timeout(1)
    assert len(caught) == 1


USES: dict[str, Callable[[Workflow[Any]], object]] = {
    "orchestrate": lambda workflow: workflow.orchestrate(Step.START),
    "submit": lambda workflow: workflow.submit(Step.START).result(SOON),
    "validate": lambda workflow: workflow.validate(),
    "validate_initial_state": lambda workflow: workflow.validate_initial_state(Step.START),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_workflow_that_was_used_is_dropped_in_silence(
    use: Callable[[Workflow[Any]], object], recwarn: pytest.WarningsRecorder
) -> None:
    use(single(done))
    gc.collect()
    assert not recwarn.list


def test_an_empty_workflow_is_dropped_in_silence(recwarn: pytest.WarningsRecorder) -> None:
    Workflow()
    gc.collect()
    assert not recwarn.list


MISTAKES: dict[str, Callable[[Workflow[Any]], object]] = {
    "register": lambda base: base.register(Step.START, done),
    "register a non-task": lambda base: base.register(Step.WORK, 7),
    "register_split": lambda base: base.register_split(Step.WORK, [done], JoinStrategy.ALL),
    "add_exit_state": lambda base: base.add_exit_state(Step.START),
    "add_exit_states": lambda base: base.add_exit_states(None),
    "with_executor": lambda base: base.with_executor("pool"),  # type: ignore[arg-type]
    "orchestrate": lambda base: base.orchestrate(Step.MENDED),
    "submit": lambda base: base.submit(Step.MENDED),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_call_that_raises_loses_nothing(
    mistake: Callable[[Workflow[Any]], object], recwarn: pytest.WarningsRecorder
) -> None:
    """The error says what is wrong; a warning about the workflow before it would mislead."""
    with pytest.raises(ConfigurationError) as caught:
        mistake(single(done))
    del caught
    gc.collect()
    assert not recwarn.list


def test_a_bad_timeout_loses_nothing_either(recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(ConfigurationError) as caught:
        single(done).with_timeout(-1)
    del caught
    gc.collect()
    assert not recwarn.list


def test_an_init_that_raised_is_dropped_in_silence(recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(ConfigurationError, match="is not a store"):
        Workflow(store=object())  # type: ignore[call-overload]
    gc.collect()
    assert not recwarn.list


def test_an_unused_workflow_of_a_module_is_silent_at_the_interpreters_exit() -> None:
    script = (
        "from cano_sync import Workflow\nworkflow = Workflow().register('A', print)\nprint('end')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-W", "always", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent.parent,
    )
    assert (ended.stdout, ended.stderr) == ("end\n", "")


# Stores.


def test_each_run_gets_a_fresh_store_of_its_own() -> None:
    seen: list[Store] = []

    def start(store: Store) -> Step:
        assert len(store) == 0
        store.put("n", 1)
        seen.append(store)
        return Step.DONE

    workflow = single(start)
    workflow.orchestrate(Step.START)
    workflow.orchestrate(Step.START)
    assert isinstance(seen[0], MemoryStore)
    assert seen[0] is not seen[1]


def test_the_default_store_is_shared_by_the_runs() -> None:
    default = MemoryStore({"n": 0})

    def count(store: Store) -> Step:
        store.update("n", lambda n: n + 1)
        return Step.DONE

    workflow = Workflow(default).register(Step.START, count).add_exit_state(Step.DONE)
    for _ in range(3):
        workflow.orchestrate(Step.START)
    assert default.get("n") == 3


def test_the_store_of_a_run_goes_before_the_default() -> None:
    default, own = MemoryStore(), MemoryStore()

    def mark(store: Store) -> Step:
        store.put("mark", True)
        return Step.DONE

    workflow = Workflow(default).register(Step.START, mark).add_exit_state(Step.DONE)
    workflow.orchestrate(Step.START, store=own)
    assert (len(default), len(own)) == (0, 1)
    workflow.submit(Step.START, store=own).result(SOON)
    assert (len(default), len(own)) == (0, 1)


def test_an_empty_store_is_still_the_store_that_was_given() -> None:
    """An empty store is falsy, as an empty dict is."""
    default, own = MemoryStore({"n": 1}), MemoryStore()
    seen: list[Store] = []

    def look(store: Store) -> Step:
        seen.append(store)
        return Step.DONE

    workflow = Workflow(default).register(Step.START, look).add_exit_state(Step.DONE)
    workflow.orchestrate(Step.START, store=own)
    assert seen == [own]


# Forms of task. Each is called with a store that has an "in", and puts what it got under "got".


class Recipe(Task):
    def run(self, store: Store, context: TaskContext) -> Step:
        store.put("got", ("Recipe", context.attempt))
        return Step.DONE


class Triple(Node):
    def prep(self, store: Store, cancel: CancellationToken) -> int:
        assert not cancel.cancelled
        return store.get("in", int)

    def exec(self, prepared: int) -> int:
        return 3 * prepared

    def post(self, store: Store, result: int, context: TaskContext) -> Step:
        store.put("got", (context.state, result))
        return Step.DONE


class Service:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __call__(self, store: Store) -> Step:
        store.put("got", self.factor * store.get("in", int))
        return Step.DONE

    def method(self, store: Store, *, cancel: CancellationToken) -> Step:
        store.put("got", (self.factor, isinstance(cancel, CancellationToken)))
        return Step.DONE

    @classmethod
    def of_the_class(cls, store: Store) -> Step:
        store.put("got", cls.__name__)
        return Step.DONE

    @staticmethod
    def static(store: Store) -> Step:
        store.put("got", "static")
        return Step.DONE


def plain(store: Store) -> Step:
    store.put("got", "plain")
    return Step.DONE


def named_otherwise(anything: Store) -> Step:
    anything.put("got", "otherwise")
    return Step.DONE


def with_all(store: Store, cancel: CancellationToken, context: TaskContext) -> Step:
    store.put("got", (cancel.cancelled, context.state, context.index, context.error))
    return Step.DONE


def swapped(store: Store, context: TaskContext, cancel: CancellationToken) -> Step:
    store.put("got", (isinstance(cancel, CancellationToken), isinstance(context, TaskContext)))
    return Step.DONE


def with_defaults(store: Store, factor: int = 5) -> Step:
    store.put("got", factor)
    return Step.DONE


def with_stars(*args: Any, **kwargs: Any) -> Step:
    args[0].put("got", (len(args), kwargs))
    return Step.DONE


def with_extra(store: Store, url: str, *, retries: int) -> Step:
    store.put("got", (url, retries))
    return Step.DONE


def url_first(url: str, store: Store) -> Step:
    store.put("got", url)
    return Step.DONE


@task(name="decorated")
def decorated(store: Store) -> Step:
    store.put("got", "decorated")
    return Step.DONE


@functools.wraps(with_all)
def wrapping(*args: Any, **kwargs: Any) -> Any:
    return with_all(*args, **kwargs)


FORMS: dict[str, tuple[Any, Any]] = {
    "a function": (plain, "plain"),
    "its parameter has another name": (named_otherwise, "otherwise"),
    "cancel and context by name": (with_all, (False, Step.START, None, None)),
    "cancel and context in another order": (swapped, (True, True)),
    "a parameter with a default": (with_defaults, 5),
    "star arguments": (with_stars, (1, {})),
    "a lambda": (lambda store: store.put("got", "lambda") or Step.DONE, "lambda"),
    "a partial": (functools.partial(with_extra, url="u", retries=2), ("u", 2)),
    "a partial by position": (functools.partial(url_first, "u"), "u"),
    "a bound method": (Service(2).method, (2, True)),
    "a class method": (Service.of_the_class, "Service"),
    "a static method": (Service.static, "static"),
    "a callable object": (Service(4), 8),
    "a Task": (Recipe(), ("Recipe", 1)),
    "a Node": (Triple(), (Step.START, 6)),
    "a decorated function": (decorated, "decorated"),
    "a wrapped function": (wrapping, (False, Step.START, None, None)),
}


@pytest.mark.parametrize(("form", "got"), FORMS.values(), ids=FORMS)
def test_a_single_states_task_may_be(form: Any, got: Any) -> None:
    store = MemoryStore({"in": 2})
    assert single(form).orchestrate(Step.START, store=store) is Step.DONE
    assert store.get("got") == got


@pytest.mark.parametrize("form", [pair[0] for pair in FORMS.values()], ids=FORMS)
def test_a_branch_may_be(form: Any) -> None:
    store = MemoryStore({"in": 2})
    split([form], collect="values").orchestrate(Step.START, store=store)
    assert store.get("values") == [Step.DONE]
    assert "got" in store


def test_a_task_may_do_without_any_parameter() -> None:
    assert single(done).orchestrate(Step.START) is Step.DONE
    assert single(lambda *, cancel: Step.DONE).orchestrate(Step.START) is Step.DONE


def test_a_builtin_method_may_be_a_task() -> None:
    states = iter([Step.DONE])
    assert single(states.__next__).orchestrate(Step.START) is Step.DONE


NAMES: dict[str, tuple[Any, str]] = {
    "a function": (boom, "boom"),
    "a partial": (functools.partial(functools.partial(boom)), "boom"),
    "a name that was given": (task(name="load it")(lambda: boom()), "load it"),
    "a local function": (lambda: boom(), "<lambda>"),
}


@pytest.mark.parametrize(("form", "name"), NAMES.values(), ids=NAMES)
def test_errors_call_the_task_by_its_name(form: Any, name: str) -> None:
    with pytest.raises(TaskExecutionError) as caught:
        single(form).orchestrate(Step.START)
    assert caught.value.task == name
    assert f"task {name!r}" in str(caught.value)


def test_errors_call_an_object_by_its_class_or_by_its_name() -> None:
    class Broken(Task):
        def run(self) -> Any:
            raise Boom

    class Named(Broken):
        name = "call the bank"

    class Caller:
        def __call__(self) -> Any:
            raise Boom

    for broken, name in (
        (Broken(), "Broken"),
        (Named(), "call the bank"),
        (Caller(), "Caller"),
    ):
        with pytest.raises(TaskExecutionError) as caught:
            single(broken).orchestrate(Step.START)
        assert caught.value.task == name


def test_a_config_given_to_register_goes_before_the_tasks_own() -> None:
    attempts: list[int] = []

    @task(config=TaskConfig().with_fixed_retry(5, delay=0))
    def stubborn(context: TaskContext) -> Step:
        raise Boom

    def count(store: Store, context: TaskContext) -> Step:
        attempts.append(context.attempt)
        raise Boom

    with pytest.raises(RetryExhaustedError) as caught:
        single(task(config=TaskConfig().with_fixed_retry(5, delay=0))(count)).orchestrate(
            Step.START
        )
    assert caught.value.attempts == 6
    attempts.clear()
    with pytest.raises(TaskExecutionError):
        single(count, TaskConfig()).orchestrate(Step.START)
    assert attempts == [1]


def test_a_tasks_own_config_counts_where_none_is_given() -> None:
    class Stubborn(Task):
        def config(self) -> TaskConfig:
            return TaskConfig().with_fixed_retry(2, delay=0)

        def run(self) -> Any:
            raise Boom

    with pytest.raises(RetryExhaustedError) as caught:
        single(Stubborn()).orchestrate(Step.START)
    assert caught.value.attempts == 3


# validate().


def test_validate_lists_every_problem_at_once() -> None:
    def start() -> Literal["nowhere"]:
        return "nowhere"

    workflow = (
        Workflow()
        .register("A", start, error_state="lost")
        .register_split("B", [done], JoinConfig(JoinStrategy.ALL, "gone", error_state="away"))
    )
    with pytest.raises(ConfigurationError) as caught:
        workflow.validate()
    problems = caught.value.problems
    assert len(problems) == 5
    for problem, word in zip(problems, ("exit", "nowhere", "lost", "gone", "away"), strict=True):
        assert word in problem
        assert problem in str(caught.value)
    assert str(caught.value).startswith("5 problems in this workflow:\n  1. ")


def test_one_problem_is_the_whole_message() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Workflow().register("A", done).validate()
    assert caught.value.problems == (str(caught.value),)


def test_orchestrate_and_submit_validate_first() -> None:
    called: list[int] = []
    workflow = Workflow().register("A", lambda: called.append(1), error_state="lost")
    with pytest.raises(ConfigurationError, match="2 problems"):
        workflow.orchestrate("A")
    with pytest.raises(ConfigurationError, match="2 problems"):
        workflow.submit("A")
    assert called == []


def test_the_initial_state_is_checked() -> None:
    workflow = single(done)
    workflow.validate_initial_state(Step.START)
    workflow.validate_initial_state(Step.DONE)
    for call in (workflow.validate_initial_state, workflow.orchestrate, workflow.submit):
        with pytest.raises(ConfigurationError) as caught:
            call(Step.WORK)
        assert caught.value.state is Step.WORK
        for word in ("Step.WORK", "Step.START", "Step.DONE"):
            assert word in str(caught.value)


def test_validate_initial_state_looks_only_at_that_state() -> None:
    """The rest of the workflow may still be unfinished."""
    workflow = Workflow().register(Step.START, done)
    workflow.validate_initial_state(Step.START)
    with pytest.raises(ConfigurationError):
        workflow.validate()


# submit().


def test_submit_runs_in_the_background(gate: threading.Event) -> None:
    threads: list[threading.Thread] = []

    def start() -> Step:
        threads.append(threading.current_thread())
        gate.wait(SOON)
        return Step.DONE

    future = single(start).submit(Step.START)
    assert isinstance(future, Future)
    assert not future.done()
    gate.set()
    assert future.result(SOON) is Step.DONE
    assert threads[0] is not threading.current_thread()


def test_a_submitted_runs_error_is_the_futures() -> None:
    error = single(boom).submit(Step.START).exception(SOON)
    assert isinstance(error, TaskExecutionError)
    assert isinstance(error.__cause__, Boom)


def test_submit_checks_its_arguments_before_it_returns() -> None:
    workflow = single(done)
    with pytest.raises(ConfigurationError, match="not a store"):
        workflow.submit(Step.START, store={})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="CancellationToken"):
        workflow.submit(Step.START, cancel=threading.Event())  # type: ignore[arg-type]


def test_a_submitted_run_is_ended_by_its_token(gate: threading.Event) -> None:
    token, started = CancellationToken(), threading.Event()

    def start() -> Any:
        started.set()
        gate.wait(SOON)

    future = single(start).submit(Step.START, cancel=token)
    assert started.wait(SOON)
    token.cancel("the user went away")
    error = future.exception(SOON)
    assert isinstance(error, WorkflowCancelledError)
    assert error.reason == "the user went away"
    assert error.state is Step.START


def test_a_submitted_run_obeys_the_workflows_timeout(gate: threading.Event) -> None:
    future = single(lambda: gate.wait(SOON)).with_timeout(0.05).submit(Step.START)
    assert isinstance(future.exception(SOON), WorkflowTimeoutError)


def test_a_submitted_run_outlives_the_task_that_submitted_it() -> None:
    """Neither the cancellation nor the closed store of the outer run reach it."""
    proceed, token = threading.Event(), CancellationToken()
    inner_store = MemoryStore()
    inner_runs: list[Future[Any]] = []

    def inner_task(store: Store, cancel: CancellationToken) -> Step:
        assert proceed.wait(SOON)
        cancel.check()
        store.put("late", True)
        return Step.DONE

    def outer_task(store: Store, cancel: CancellationToken) -> Step:
        inner_runs.append(single(inner_task).submit(Step.START, store=inner_store))
        token.cancel()
        cancel.check()
        return Step.DONE

    with pytest.raises(WorkflowCancelledError):
        single(outer_task).orchestrate(Step.START, cancel=token)
    proceed.set()
    assert inner_runs[0].result(SOON) is Step.DONE
    assert inner_store.get("late") is True


def test_a_run_submitted_with_the_tasks_own_token_ends_with_it(gate: threading.Event) -> None:
    token, started = CancellationToken(), threading.Event()
    inner_runs: list[Future[Any]] = []

    def inner_task() -> Any:
        started.set()
        gate.wait(SOON)

    def outer_task(store: Store, cancel: CancellationToken) -> Step:
        inner_runs.append(single(inner_task).submit(Step.START, cancel=cancel))
        assert started.wait(SOON)
        token.cancel("all of it")
        cancel.check()
        return Step.DONE

    with pytest.raises(WorkflowCancelledError):
        single(outer_task).orchestrate(Step.START, cancel=token)
    error = inner_runs[0].exception(SOON)
    assert isinstance(error, WorkflowCancelledError)
    assert error.reason == "all of it"


REQUEST: contextvars.ContextVar[str] = contextvars.ContextVar("request")


@pytest.mark.parametrize("how", ["current", "timeout", "submit", "branch"])
def test_every_task_runs_in_a_copy_of_the_callers_context(how: str) -> None:
    seen: list[str] = []

    def look() -> Step:
        seen.append(REQUEST.get())
        REQUEST.set("changed by a task")
        return Step.DONE

    reset = REQUEST.set("mine")
    try:
        if how == "submit":
            single(look).submit(Step.START).result(SOON)
        else:
            workflow = split([look]) if how == "branch" else single(look)
            limit = 60 if how == "timeout" else None
            workflow.with_timeout(limit).orchestrate(Step.START)
        assert seen == ["mine"]
        assert REQUEST.get() == "mine"
    finally:
        REQUEST.reset(reset)


# with_timeout().


def test_a_run_within_its_time_returns() -> None:
    assert single(done).with_timeout(timedelta(minutes=1)).orchestrate(Step.START) is Step.DONE


@pytest.mark.parametrize("limit", [0.05, timedelta(milliseconds=50)])
def test_a_run_over_its_time_raises_though_its_task_is_deaf(
    limit: float | timedelta, gate: threading.Event
) -> None:
    with pytest.raises(WorkflowTimeoutError) as caught:
        single(lambda: gate.wait(SOON)).with_timeout(limit).orchestrate(Step.START)
    error = caught.value
    assert isinstance(error, TimeoutError)
    assert error.state is Step.START
    assert error.run_id
    assert str(error) == "the workflow's time of 0.05 s was up in state Step.START"


@pytest.mark.parametrize("inside", ["task", "branch"])
def test_a_workflow_timeout_of_zero_is_a_timeout(inside: str, gate: threading.Event) -> None:
    deaf = lambda: gate.wait(SOON)  # noqa: E731
    workflow = split([deaf]) if inside == "branch" else single(deaf)
    with pytest.raises(WorkflowTimeoutError):
        workflow.with_timeout(0).orchestrate(Step.START)


def test_the_tasks_know_how_much_time_is_left() -> None:
    def start(store: Store, cancel: CancellationToken) -> Step:
        store.put("left", cancel.remaining())
        return Step.DONE

    store = MemoryStore()
    single(start).with_timeout(60).orchestrate(Step.START, store=store)
    assert 0 < store.get("left", float) <= 60
    single(start).orchestrate(Step.START, store=store)
    assert store.get("left") is None


def test_the_last_timeout_counts_and_none_takes_it_away(gate: threading.Event) -> None:
    workflow = single(lambda *, cancel: cancel.remaining() and Step.DONE).with_timeout(0.001)
    assert workflow.with_timeout(60).orchestrate(Step.START) is Step.DONE
    without = single(lambda store: store.put("thread", threading.get_ident()) or Step.DONE)
    store = MemoryStore()
    without.with_timeout(60).with_timeout(None).orchestrate(Step.START, store=store)
    assert store.get("thread") == threading.get_ident()


# One workflow, many runs.


def test_a_run_has_one_id_in_all_its_tasks_branches_and_errors() -> None:
    ids: list[str] = []

    def note(store: Store, context: TaskContext) -> Step:
        ids.append(context.run_id)
        return Step.WORK

    def fail(store: Store, context: TaskContext) -> Step:
        ids.append(context.run_id)
        raise Boom

    workflow = (
        Workflow()
        .register(Step.START, note)
        .register_split(Step.WORK, [note, fail], JoinConfig(JoinStrategy.ALL, Step.DONE))
        .add_exit_state(Step.DONE)
    )
    with pytest.raises(JoinError) as caught:
        workflow.orchestrate(Step.START)
    error = caught.value
    assert error.result is not None
    branch_error = error.result.errors[0].error
    assert branch_error is not None
    assert len({*ids, error.run_id, branch_error.run_id}) == 1
    assert len(ids) == 3
    assert (branch_error.state, branch_error.task) == (Step.WORK, "fail")
    ids.clear()
    with pytest.raises(JoinError) as again:
        workflow.orchestrate(Step.START)
    assert again.value.run_id != error.run_id


def test_one_workflow_runs_on_many_threads_at_once() -> None:
    count = 16
    together = threading.Barrier(count)

    def start(store: Store) -> Step:
        together.wait(SOON)
        store.put("mine", threading.get_ident())
        return Step.WORK

    def work(store: Store) -> Step:
        assert store.get("mine") == threading.get_ident()
        return Step.DONE

    workflow = (
        Workflow().register(Step.START, start).register(Step.WORK, work).add_exit_state(Step.DONE)
    )
    with ThreadPoolExecutor(count) as callers:
        futures = [callers.submit(workflow.orchestrate, Step.START) for _ in range(count)]
        assert [future.result(SOON) for future in futures] == [Step.DONE] * count
