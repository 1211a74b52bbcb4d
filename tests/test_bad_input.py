"""Bad input: each mistake gets the error that DESIGN names, as early as it can be known."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, Literal

import pytest

from cano_sync import (
    CancellationToken,
    CanoError,
    ConfigurationError,
    JoinConfig,
    JoinError,
    JoinStrategy,
    MemoryStore,
    Node,
    Store,
    StoreError,
    Task,
    TaskConfig,
    TaskExecutionError,
    TaskResult,
    Workflow,
    WorkflowError,
    task,
)
from tests.kit import Boom, Step, done, nothing, single, split

NAN, INFINITY = math.nan, math.inf


def refused(
    call: Callable[[], object], *words: str, kind: type[CanoError] = ConfigurationError
) -> CanoError:
    """The call raises exactly that, and its message has the words."""
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    for word in words:
        assert word in str(caught.value)
    return caught.value


# No handlers, no exits.


def test_no_task_at_all() -> None:
    """Found by validate(), and before a run begins."""
    workflow = Workflow().add_exit_state(Step.DONE)
    refused(workflow.validate, "no state has a task", "register()", "register_split()")
    refused(lambda: workflow.orchestrate(Step.DONE), "no state has a task")


def test_no_exit() -> None:
    called: list[int] = []
    workflow = Workflow().register(Step.START, lambda: called.append(1))
    refused(workflow.validate, "no exit state", "add_exit_state()")
    refused(lambda: workflow.orchestrate(Step.START), "no exit state")
    assert called == []


def test_a_run_cannot_begin_where_nothing_is_registered() -> None:
    workflow = single(done)
    error = refused(lambda: workflow.orchestrate(Step.LOST), "Step.LOST", "Step.START", "Step.DONE")
    assert error.state is Step.LOST
    refused(lambda: workflow.orchestrate([]), "[]")
    refused(lambda: workflow.orchestrate(None), "None")


# A join state or a declared edge that leads nowhere, unreachable states: see test_validation.py
# for every case; here, that they are found before a task runs, and together.


def test_edges_that_lead_nowhere_and_what_else_is_wrong_are_reported_together() -> None:
    called: list[int] = []

    def start() -> Literal[Step.LOST]:
        called.append(1)
        return Step.LOST

    workflow = (
        Workflow()
        .register(Step.START, start, error_state="gone")
        .register_split(Step.WORK, [nothing], JoinConfig(JoinStrategy.ALL, "away"))
    )
    error = refused(
        lambda: workflow.orchestrate(Step.START),
        "4 problems",
        "no exit state",
        "state Step.START: task 'start' declares to go to Step.LOST",
        "state Step.START: error_state leads to 'gone'",
        "state Step.WORK: join_state leads to 'away'",
        "register() it or name it in add_exit_states()",
    )
    assert isinstance(error, ConfigurationError)
    assert len(error.problems) == 4
    assert called == []


def test_unreachable_states() -> None:
    def end() -> Literal[Step.DONE]:
        return Step.DONE

    workflow = (
        Workflow().register(Step.START, end).register(Step.WORK, end).add_exit_state(Step.DONE)
    )
    refused(workflow.validate, "state Step.WORK", "cannot be reached from Step.START", "declare")


# Parameters.


def wants_more(store: Store, database: object, url: str, timeout: float = 1.0) -> Step:
    return Step.DONE


class WantsMore(Task):
    def run(self, store: Store, database: object) -> Step:
        return Step.DONE


class NodeWantsMore(Node):
    def exec(self, prepared: object, database: object) -> object:
        return prepared

    def post(self, store: Store) -> Step:
        return Step.DONE


def keyword_only(*, database: object) -> Step:
    return Step.DONE


@pytest.mark.parametrize(
    ("form", "name"),
    [
        (wants_more, "wants_more"),
        (WantsMore(), "WantsMore"),
        (NodeWantsMore(), "NodeWantsMore.exec"),
        (keyword_only, "keyword_only"),
    ],
)
def test_an_unknown_parameter_is_refused_when_it_is_registered(form: Any, name: str) -> None:
    words = (repr(name), "'database'", "'cancel'", "'context'", "by name", "functools.partial")
    for make in (
        lambda: Workflow().register(Step.START, form),
        lambda: split([nothing, form]),
    ):
        error = refused(make, "state Step.START", *words)
        assert error.state is Step.START
        assert error.task == name


def test_all_unknown_parameters_are_named_and_no_others() -> None:
    error = refused(lambda: single(wants_more), "'database', 'url'")
    assert "timeout" not in str(error)


def test_a_store_by_name_is_told_that_it_comes_by_position() -> None:
    def by_name(*, store: Store) -> Step:
        return Step.DONE

    refused(lambda: single(by_name), "'store'", "the store by position")


def test_a_listing_with_an_unknown_parameter_is_refused_when_it_is_registered() -> None:
    refused(lambda: split(wants_more), "state Step.START", "'database'")


# What is no task.


class Unfinished(Task):
    pass


class UnfinishedNode(Node):
    pass


async def asynchronous(store: Store) -> Step:
    return Step.DONE


async def asynchronous_generator(store: Store) -> Any:
    yield Step.DONE


def generator(store: Store) -> Any:
    yield Step.DONE


class AsynchronousCall:
    async def __call__(self) -> Step:
        return Step.DONE


NO_TASKS: dict[str, tuple[Any, list[str]]] = {
    "None": (None, ["None of type NoneType", "register a function, a Task or a Node"]),
    "a number": (7, ["7 of type int", "cannot be called"]),
    "a string": ("load", ["'load' of type str", "cannot be called"]),
    "a list": ([done], ["of type list", "cannot be called"]),
    "a class": (Unfinished, ["Unfinished is a class", "register an instance: Unfinished(...)"]),
    "a task without run": (Unfinished(), ["'Unfinished'", "override `run(self, store)`"]),
    "a node without post": (
        UnfinishedNode(),
        ["'UnfinishedNode'", "override `post(self, store, result)`"],
    ),
    "a coroutine function": (asynchronous, ["'asynchronous'", "asynchronous", "asyncio.run"]),
    "an asynchronous generator": (asynchronous_generator, ["asyncio.run"]),
    "an asynchronous call": (AsynchronousCall(), ["'AsynchronousCall'", "asyncio.run"]),
    "a generator function": (generator, ["'generator'", "`return` instead of `yield`"]),
}


@pytest.mark.parametrize(("form", "words"), NO_TASKS.values(), ids=NO_TASKS)
def test_what_is_no_task_is_refused_when_it_is_registered(form: Any, words: list[str]) -> None:
    for make in (
        lambda: Workflow().register(Step.START, form),
        lambda: split([nothing, form]),
    ):
        error = refused(make, "state Step.START", *words)
        assert error.state is Step.START


@pytest.mark.parametrize("tasks", [None, 7, "abc", b"abc"], ids=repr)
def test_a_split_needs_a_list_of_tasks_or_a_callable(tasks: Any) -> None:
    refused(lambda: split(tasks), "state Step.START", repr(tasks), "a list of tasks", "a callable")


@pytest.mark.parametrize("join", [None, JoinStrategy.ALL, Step.DONE, "ALL"], ids=repr)
def test_a_split_needs_a_join_config(join: Any) -> None:
    refused(
        lambda: Workflow().register_split(Step.START, [nothing], join),
        "state Step.START",
        repr(join),
        "JoinConfig(JoinStrategy.ALL, next_state)",
    )


# Strategies.


@pytest.mark.parametrize("share", [0, 0.0, -0.5, 1.2, 75, NAN, INFINITY, "0.5", True, None])
def test_an_impossible_percentage(share: Any) -> None:
    refused(lambda: JoinStrategy.percentage(share), "percentage(p)", repr(share), "0.75 for 75")


@pytest.mark.parametrize("make", [JoinStrategy.quorum, JoinStrategy.partial_results])
@pytest.mark.parametrize("n", [0, -1, 1.5, 2.0, NAN, "2", True, None])
def test_an_impossible_quorum(make: Callable[[int], JoinStrategy], n: Any) -> None:
    refused(lambda: make(n), f"{make.__name__}(n)", repr(n), "1 or more")


@pytest.mark.parametrize("make", [JoinStrategy.quorum, JoinStrategy.partial_results])
def test_a_quorum_above_the_number_of_tasks_is_refused_when_it_is_registered(
    make: Callable[[int], JoinStrategy],
) -> None:
    refused(
        lambda: split([nothing] * 2, strategy=make(3)),
        "state Step.START",
        f"{make.__name__}(3)",
        "2 tasks",
        "ask for 2 or fewer, or register more tasks",
    )
    assert split([nothing] * 3, strategy=make(3)).orchestrate(Step.START) is Step.DONE


def test_partial_timeout_without_a_timeout() -> None:
    strategy = JoinStrategy.PARTIAL_TIMEOUT
    refused(lambda: JoinConfig(strategy, Step.DONE), "PARTIAL_TIMEOUT", "timeout=seconds")
    refused(lambda: JoinConfig(strategy, Step.DONE, timeout=1).with_timeout(None), "timeout=")


@pytest.mark.parametrize(
    "strategy",
    [JoinStrategy.ANY, JoinStrategy.quorum(1), JoinStrategy.percentage(0.5)],
    ids=repr,
)
def test_fail_fast_where_it_means_nothing(strategy: JoinStrategy) -> None:
    refused(
        lambda: JoinConfig(strategy, Step.DONE, fail_fast=True),
        "fail_fast",
        repr(strategy),
        "JoinStrategy.ALL",
    )


@pytest.mark.parametrize("strategy", [None, "ALL", 2, JoinStrategy], ids=repr)
def test_what_is_no_strategy(strategy: Any) -> None:
    refused(lambda: JoinConfig(strategy, Step.DONE), "JoinStrategy", repr(strategy))


def test_a_strategy_that_was_not_called() -> None:
    strategy: Any = JoinStrategy.quorum
    refused(lambda: JoinConfig(strategy, Step.DONE), "call it: JoinStrategy.quorum(...)")


@pytest.mark.parametrize("bulkhead", [0, -1, 1.5, NAN, "4", True])
def test_an_impossible_bulkhead(bulkhead: Any) -> None:
    for make in (
        lambda: JoinConfig(JoinStrategy.ALL, Step.DONE, bulkhead=bulkhead),
        lambda: JoinConfig(JoinStrategy.ALL, Step.DONE).with_bulkhead(bulkhead),
    ):
        refused(make, "bulkhead", repr(bulkhead), "1 or more", "None")


@pytest.mark.parametrize("key", [7, b"offers", True, ["offers"]], ids=repr)
def test_collect_needs_a_key(key: Any) -> None:
    refused(lambda: JoinConfig(JoinStrategy.ALL, Step.DONE, collect=key), "collect", repr(key))


# Durations.

DURATIONS: dict[str, tuple[Callable[[Any], object], str]] = {
    "with_timeout": (lambda value: Workflow().with_timeout(value), "with_timeout()"),
    "a join's timeout": (
        lambda value: JoinConfig(JoinStrategy.ALL, Step.DONE, timeout=value),
        "a join's timeout",
    ),
    "an attempt's": (lambda value: TaskConfig(attempt_timeout=value), "attempt_timeout"),
    "with_attempt_timeout": (
        lambda value: TaskConfig().with_attempt_timeout(value),
        "attempt_timeout",
    ),
    "a delay": (lambda value: TaskConfig().with_fixed_retry(1, value), "delay"),
    "a base delay": (
        lambda value: TaskConfig().with_exponential_retry(1, base_delay=value),
        "base_delay",
    ),
    "a longest delay": (
        lambda value: TaskConfig().with_exponential_retry(1, max_delay=value),
        "max_delay",
    ),
    "a token": (lambda value: CancellationToken(value), "a token's timeout"),
    "a child token": (lambda value: CancellationToken().child(value), "a token's timeout"),
    "wait": (lambda value: CancellationToken().wait(value), "a token's wait()"),
    "sleep": (lambda value: CancellationToken().sleep(value), "a token's sleep()"),
}


@pytest.mark.parametrize(("make", "name"), DURATIONS.values(), ids=DURATIONS)
@pytest.mark.parametrize("value", [-1, -0.001, NAN, INFINITY, -INFINITY])
def test_a_duration_that_is_none(make: Callable[[Any], object], name: str, value: float) -> None:
    refused(lambda: make(value), name, repr(value), "finite number of seconds, 0 or more")


@pytest.mark.parametrize(("make", "name"), DURATIONS.values(), ids=DURATIONS)
@pytest.mark.parametrize("value", ["1", True, [1], 1j], ids=repr)
def test_a_duration_that_is_no_number(make: Callable[[Any], object], name: str, value: Any) -> None:
    refused(lambda: make(value), name, repr(value), type(value).__name__, "timedelta")


# Retries.


@pytest.mark.parametrize(
    "make", [TaskConfig().with_fixed_retry, TaskConfig().with_exponential_retry]
)
@pytest.mark.parametrize("retries", [-1, 1.5, "3", None, True], ids=repr)
def test_an_impossible_number_of_retries(make: Callable[..., Any], retries: Any) -> None:
    refused(lambda: make(retries, 0.1), "retries", repr(retries), "whole number from 0")


@pytest.mark.parametrize("retry", [3, "fixed", done, Exception])
def test_a_retry_that_is_no_retrying_object(retry: Any) -> None:
    refused(lambda: TaskConfig(retry), "tenacity.Retrying", "with_fixed_retry")


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("multiplier", 0.5, "1 or more"),
        ("multiplier", NAN, "finite number"),
        ("multiplier", "2", "finite number"),
        ("jitter", -0.1, "0 to 1"),
        ("jitter", 1.5, "0 to 1"),
        ("jitter", NAN, "finite number"),
    ],
)
def test_an_impossible_back_off(setting: str, value: Any, words: str) -> None:
    refused(
        lambda: TaskConfig().with_exponential_retry(1, **{setting: value}),
        setting,
        repr(value),
        words,
    )


@pytest.mark.parametrize("config", [3, "retry", {}, JoinStrategy.ALL], ids=repr)
def test_a_tasks_config_that_is_none(config: Any) -> None:
    refused(
        lambda: Workflow().register(Step.START, done, config),
        "state Step.START",
        repr(config),
        "TaskConfig",
    )
    refused(lambda: task(config=config), repr(config), "TaskConfig")


def test_a_task_whose_config_method_returns_none() -> None:
    class Careless(Task):
        def config(self) -> Any:
            return None

        def run(self) -> Step:
            return Step.DONE

    refused(lambda: Workflow().register(Step.START, Careless()), "Careless", "TaskConfig")


def test_the_decorator_without_parentheses() -> None:
    decorator: Any = task
    refused(lambda: decorator(done), "@task()", "parentheses")


def test_the_decorator_on_a_class() -> None:
    refused(lambda: task()(Unfinished), "Unfinished", "config()")


def test_the_decorator_with_the_function_for_a_config() -> None:
    config: Any = done
    refused(lambda: task(config=config), "@task()", "parentheses")


# States.


@pytest.mark.parametrize("state", [[], {}, {1}, ("a", [])], ids=repr)
def test_a_state_that_cannot_be_hashed(state: Any) -> None:
    for call in (
        lambda: Workflow().register(state, done),
        lambda: Workflow().register_split(
            state, [nothing], JoinConfig(JoinStrategy.ALL, Step.DONE)
        ),
        lambda: Workflow().add_exit_state(state),
        lambda: Workflow().add_exit_states(Step.DONE, state),
    ):
        refused(call, repr(state), type(state).__name__, "cannot be hashed", "enum member")


def test_none_is_no_state() -> None:
    for call in (
        lambda: Workflow().register(None, done),
        lambda: Workflow().add_exit_state(None),
        lambda: Workflow().add_exit_states(Step.DONE, None),
    ):
        refused(call, "None cannot be a state")


def test_a_state_that_cannot_be_hashed_as_an_error_state_is_a_problem() -> None:
    bad: Any = []
    workflow = Workflow().register(Step.START, done, error_state=bad).add_exit_state(Step.DONE)
    refused(workflow.validate, "Step.START", "error_state leads to []")


def test_a_state_is_registered_once() -> None:
    base = single(done)
    for call in (
        lambda: base.register(Step.START, done),
        lambda: base.register_split(Step.START, [nothing], JoinConfig(JoinStrategy.ALL, Step.DONE)),
    ):
        error = refused(call, "Step.START has a task already")
        assert error.state is Step.START
    base.validate()


def test_a_state_is_a_task_or_an_exit() -> None:
    base = single(done)
    for call, state in (
        (lambda: base.add_exit_state(Step.START), Step.START),
        (lambda: base.register(Step.DONE, done), Step.DONE),
    ):
        error = refused(call, f"Step.{state.name}", "both have a task and be an exit")
        assert error.state is state
    base.validate()


def test_equal_states_are_one_state() -> None:
    refused(lambda: Workflow().register(1, done).register(1.0, done), "has a task already")


# Executors, stores, tokens.


@pytest.mark.parametrize("executor", ["pool", 4, ThreadPoolExecutor, done])
def test_what_is_no_executor(executor: Any) -> None:
    refused(lambda: Workflow().with_executor(executor), "with_executor()", "ThreadPoolExecutor(8)")


def test_an_executor_that_is_shut_down_is_refused_when_it_is_given() -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    refused(lambda: Workflow().with_executor(pool), "with_executor()", "shut down", "keep it open")


def test_an_executor_that_is_shut_down_later_is_found_at_the_split() -> None:
    """By a task of the run itself: it was open when the run began."""
    pool = ThreadPoolExecutor(1)
    workflow = (
        split([nothing])
        .register(Step.WORK, lambda: pool.shutdown() or Step.START)
        .with_executor(pool)
    )
    error = refused(
        lambda: workflow.orchestrate(Step.WORK),
        "state Step.START",
        "with_executor()",
        "keep it open",
        kind=WorkflowError,
    )
    assert error.state is Step.START


def test_an_executor_that_is_shut_down_is_found_before_a_task_runs() -> None:
    called: list[int] = []
    pool = ThreadPoolExecutor(1)
    workflow = (
        Workflow()
        .register(Step.START, lambda: called.append(1) or Step.WORK)
        .register_split(Step.WORK, [nothing], JoinConfig(JoinStrategy.ALL, Step.DONE))
        .add_exit_state(Step.DONE)
        .with_executor(pool)
    )
    pool.shutdown()
    with pytest.raises(CanoError):
        workflow.orchestrate(Step.START)
    assert called == []


def test_an_executor_of_processes() -> None:
    with ProcessPoolExecutor(1) as pool:
        refused(lambda: Workflow().with_executor(pool), "other processes", "use threads")


class Half:
    """A store with half of the methods."""

    def get(self, key: str) -> Any: ...
    def put(self, key: str, value: Any) -> None: ...


def test_what_is_no_store() -> None:
    store: Any
    workflow = single(done)
    for store, words in (
        ({}, ["a dict is not a store", "MemoryStore(the_dict)"]),
        (7, ["7 of type int", "not a store"]),
        (Half(), ["Half", "append, update, remove", "cano_sync.Store"]),
    ):
        refused(lambda store=store: Workflow(store), *words)
        refused(lambda store=store: workflow.orchestrate(Step.START, store=store), *words)
        refused(lambda store=store: workflow.submit(Step.START, store=store), *words)


def test_what_is_no_token() -> None:
    token: Any = object()
    refused(
        lambda: single(done).orchestrate(Step.START, cancel=token),
        "CancellationToken",
        repr(token),
    )


# Lists that are made when the state is entered. They can only be known at run time.


def test_a_list_that_raises_is_a_failure_of_its_state() -> None:
    def listing(store: Store) -> list[Any]:
        raise Boom("no list today")

    error = refused(
        lambda: split(listing).orchestrate(Step.START),
        "state Step.START",
        "Boom: no list today",
        kind=TaskExecutionError,
    )
    assert isinstance(error.__cause__, Boom)


@pytest.mark.parametrize("listed", [None, 7, "abc"], ids=repr)
def test_a_list_that_is_none(listed: Any) -> None:
    def listing(store: Store) -> Any:
        return listed

    refused(
        lambda: split(listing).orchestrate(Step.START),
        "state Step.START",
        "'listing'",
        "must return the list of tasks",
        repr(listed),
        type(listed).__name__,
        kind=WorkflowError,
    )


def test_a_list_with_something_else_in_it() -> None:
    def listing(store: Store) -> Any:
        return [nothing, 7]

    refused(
        lambda: split(listing).orchestrate(Step.START),
        "state Step.START",
        "task 1 of the list that 'listing' returned",
        "7 of type int",
        kind=WorkflowError,
    )


def test_a_list_that_raises_on_the_way_is_a_failure_of_its_state() -> None:
    called: list[int] = []

    def listing(store: Store) -> Iterator[Any]:
        yield lambda: called.append(1)
        raise Boom("the list broke off")

    error = refused(
        lambda: split(listing).orchestrate(Step.START),
        "state Step.START",
        "'listing'",
        "Boom: the list broke off",
        kind=TaskExecutionError,
    )
    assert isinstance(error.__cause__, Boom)
    assert called == []


@pytest.mark.parametrize("count", [0, 1])
def test_a_list_that_is_too_short_for_its_quorum_fails_before_a_branch_runs(count: int) -> None:
    called: list[int] = []

    def listing(store: Store) -> list[Any]:
        return [lambda: called.append(1)] * count

    refused(
        lambda: split(listing, strategy=JoinStrategy.quorum(2)).orchestrate(Step.START),
        "state Step.START",
        "JoinStrategy.quorum(2)",
        f"0 of {count} succeeded",
        kind=JoinError,
    )
    assert called == []


# What a task returns. It can only be known at run time.


def returns_nothing(store: Store) -> Any:
    store.put("worked", True)


def declares_work(store: Store) -> Literal[Step.WORK]:
    return Step.DONE  # type: ignore[return-value]


RETURNS: dict[str, tuple[Any, list[str]]] = {
    "nothing": (returns_nothing, ["'returns_nothing'", "returned None", "forget to return"]),
    "a state outside its declaration": (
        declares_work,
        ["'declares_work'", "returned Step.DONE", "only Step.WORK", "annotation"],
    ),
    "an unknown state": (
        lambda: Step.LOST,
        ["returned Step.LOST", "no state of this workflow", "add_exit_state()"],
    ),
    "a split": (lambda: TaskResult.split([Step.DONE]), ["cannot split", "register_split()"]),
    "something that cannot be hashed": (lambda: [Step.DONE], ["no state of this workflow"]),
}


@pytest.mark.parametrize(("form", "words"), RETURNS.values(), ids=RETURNS)
def test_a_task_that_returns(form: Any, words: list[str]) -> None:
    workflow = single(form).register(Step.WORK, done)
    error = refused(
        lambda: workflow.orchestrate(Step.START), "state Step.START", *words, kind=WorkflowError
    )
    assert error.state is Step.START
    assert error.task
    assert error.run_id


def test_a_task_that_returns_a_result_without_states() -> None:
    refused(
        lambda: single(lambda: TaskResult(())).orchestrate(Step.START),
        "TaskResult",
        kind=WorkflowError,
    )


def test_a_task_that_returns_a_coroutine_has_not_run() -> None:
    """An asynchronous function behind a lambda is only seen by what it returns."""

    async def later() -> Step:
        return Step.DONE

    words = ("state Step.START", "task '<lambda>'", "returned a coroutine", "asyncio.run(...)")
    refused(lambda: single(lambda: later()).orchestrate(Step.START), *words, kind=WorkflowError)
    refused(lambda: split([lambda: later()]).orchestrate(Step.START), *words, kind=JoinError)


def test_a_list_that_can_never_do_says_so() -> None:
    for listed, strategy, words in (
        ([nothing], JoinStrategy.quorum(2), "quorum(2) can never be reached by 1 task"),
        ([], JoinStrategy.ANY, "ANY failed over an empty list of tasks"),
    ):
        workflow = split(lambda store, listed=listed: listed, strategy=strategy)
        refused(lambda workflow=workflow: workflow.orchestrate(Step.START), words, kind=JoinError)


def test_a_class_for_a_store() -> None:
    workflow: Any = single(done)
    refused(lambda: workflow.orchestrate(Step.START, store=MemoryStore), "MemoryStore()")


@pytest.mark.parametrize("key", ["there", "absent"])
def test_a_default_by_position(key: str) -> None:
    """As one gives it to a dict. It fails alike whether the key is there or not."""
    store: Any = MemoryStore({"there": 1})
    refused(lambda: store.get(key, 0), "is a type", f"get({key!r}, default=0)", kind=StoreError)


# All of them.


def test_every_configuration_error_is_a_value_error_of_the_tree() -> None:
    with pytest.raises(ValueError) as caught:
        JoinStrategy.quorum(0)
    assert isinstance(caught.value, CanoError)
    assert isinstance(caught.value, ConfigurationError)
    assert caught.value.problems == (str(caught.value),)


def test_messages_name_states_as_they_are_written() -> None:
    """An enum member by type and name, anything else by its repr."""
    refused(lambda: single(done).orchestrate("nowhere"), "in 'nowhere'", "are Step.START")
    pair = ("a", 1)
    refused(lambda: Workflow().register(pair, done).register(pair, done), "state ('a', 1)")
