"""What a task is: `Task`, `@task`, what they are bound to, what they get and may return."""

from __future__ import annotations

import copy
import functools
import pickle
from dataclasses import fields
from typing import Any, Literal

import pytest

from cano_sync import (
    CancellationToken,
    CanoError,
    ConfigurationError,
    MemoryStore,
    Store,
    Task,
    TaskConfig,
    TaskContext,
    TaskResult,
    task,
)
from cano_sync._model.task import BoundTask, bind
from tests.kit import Step

ONE = TaskConfig(attempt_timeout=1)
TWO = TaskConfig(attempt_timeout=2)
TOKEN = CancellationToken()
CONTEXT = TaskContext("run", Step.NEXT)


def call(bound: BoundTask, store: Store | None = None) -> Any:
    return bound.call(MemoryStore() if store is None else store, TOKEN, CONTEXT)


# TaskContext and TaskResult.


def test_a_context_of_a_single_states_first_attempt() -> None:
    assert (CONTEXT.run_id, CONTEXT.state) == ("run", Step.NEXT)
    assert (CONTEXT.index, CONTEXT.attempt, CONTEXT.error) == (None, 1, None)


def test_a_context_says_where_in_a_split_and_after_which_error() -> None:
    error = CanoError("it broke")
    context = TaskContext("run", Step.NEXT, index=3, attempt=2, error=error)
    assert (context.index, context.attempt, context.error) == (3, 2, error)


@pytest.mark.parametrize("value", [CONTEXT, TaskResult.single(Step.DONE)])
def test_contexts_and_results_do_not_change(value: Any) -> None:
    name = fields(value)[0].name
    with pytest.raises(AttributeError):
        setattr(value, name, None)


@pytest.mark.parametrize("value", [CONTEXT, TaskResult.single(Step.DONE)])
def test_contexts_and_results_can_be_copied_and_pickled(value: Any) -> None:
    assert copy.deepcopy(value) == value
    assert pickle.loads(pickle.dumps(value)) == value


def test_a_single_result_is_one_state() -> None:
    result = TaskResult.single(Step.DONE)
    assert result.states == (Step.DONE,)
    assert not result.is_split


def test_a_split_result_is_many_and_says_so_even_of_one() -> None:
    result = TaskResult.split(step for step in (Step.NEXT, Step.DONE))
    assert result.states == (Step.NEXT, Step.DONE)
    assert result.is_split
    assert TaskResult.split([Step.DONE]) != TaskResult.single(Step.DONE)


# Task.


class Count(Task):
    def run(self, store: Store) -> Literal[Step.DONE]:
        store.update("count", lambda n: n + 1, default=0)
        return Step.DONE


class Wishes(Task):
    name = "wishes"

    def run(self, store: Store, cancel: CancellationToken, context: TaskContext) -> Any:
        return store, cancel, context

    def config(self) -> TaskConfig:
        return ONE


def test_a_task_object_is_called_through_run() -> None:
    store = MemoryStore()
    assert call(bind(Count()), store) is Step.DONE
    assert store.get("count") == 1


def test_a_task_object_runs_once_and_is_called_by_its_class_unless_it_says_otherwise() -> None:
    plain, wishes = bind(Count()), bind(Wishes())
    assert (plain.name, plain.config.is_minimal) == ("Count", True)
    assert (wishes.name, wishes.config) == ("wishes", ONE)


def test_each_object_may_have_a_name_of_its_own() -> None:
    class Named(Count):
        def __init__(self, name: str) -> None:
            self.name = name

    assert [bind(Named(name)).name for name in ("first", "second")] == ["first", "second"]
    assert bind(Named("")).name == "Named"


def test_runs_annotation_declares_where_it_goes() -> None:
    assert bind(Count()).edges == {Step.DONE}
    assert bind(Wishes()).edges is None


def test_runs_parameters_follow_the_rules_of_a_plain_callable() -> None:
    store = MemoryStore()
    assert call(bind(Wishes()), store) == (store, TOKEN, CONTEXT)

    class Wants(Task):
        def run(self, store: Store, url: str) -> None: ...

    with pytest.raises(ConfigurationError, match="task 'Wants' wants 'url'"):
        bind(Wants())


def test_run_may_be_a_static_or_a_class_method_or_take_nothing() -> None:
    class Static(Task):
        @staticmethod
        def run(store: Store) -> Any:
            return store

    class OfClass(Task):
        @classmethod
        def run(cls, store: Store) -> Any:
            return cls, store

    class Nothing(Task):
        def run(self) -> Any:
            return "nothing"

    store = MemoryStore()
    assert call(bind(Static()), store) is store
    assert call(bind(OfClass()), store) == (OfClass, store)
    assert call(bind(Nothing())) == "nothing"


def test_a_task_without_run_is_refused_with_the_mend() -> None:
    class Unfinished(Task):
        pass

    with pytest.raises(ConfigurationError, match=r"task 'Unfinished' has no run\(\)") as caught:
        bind(Unfinished())
    assert caught.value.task == "Unfinished"
    with pytest.raises(NotImplementedError):
        Unfinished().run(MemoryStore())


def test_a_subclass_inherits_run() -> None:
    class Sub(Count):
        pass

    assert call(bind(Sub())) is Step.DONE


# @task.


def test_the_decorator_leaves_the_function_what_it_was() -> None:
    def load(store: Store) -> Step:
        return Step.DONE

    decorated = task(config=ONE, name="load the order")(load)
    assert decorated is load
    assert decorated(MemoryStore()) is Step.DONE


def test_what_the_decorator_attaches_is_found_when_the_task_is_bound() -> None:
    @task(config=ONE, name="load the order")
    def load(store: Store) -> Step:
        return Step.DONE

    assert (bind(load).name, bind(load).config) == ("load the order", ONE)


def test_the_decorator_may_attach_one_or_the_other_or_nothing() -> None:
    @task(config=ONE)
    def configured(store: Store) -> None: ...

    @task(name="by name")
    def named(store: Store) -> None: ...

    @task()
    def plain(store: Store) -> None: ...

    assert (bind(configured).name, bind(configured).config) == ("configured", ONE)
    assert (bind(named).name, bind(named).config) == ("by name", TaskConfig())
    assert (bind(plain).name, bind(plain).config) == ("plain", TaskConfig())


def test_the_last_decorator_counts() -> None:
    @task(config=TWO)
    @task(config=ONE, name="inner")
    def load(store: Store) -> None: ...

    assert (bind(load).name, bind(load).config) == ("load", TWO)


def test_what_was_attached_to_a_function_is_found_through_a_partial() -> None:
    @task(config=ONE, name="load")
    def load(store: Store, url: str) -> str:
        return url

    bound = bind(functools.partial(load, url="current"))
    assert (bound.name, bound.config) == ("load", ONE)
    assert call(bound) == "current"


def test_what_was_attached_to_a_partial_is_found() -> None:
    def load(store: Store, url: str) -> str:
        return url

    bound = bind(task(config=ONE, name="load here")(functools.partial(load, url="current")))
    assert (bound.name, bound.config) == ("load here", ONE)


def test_what_was_attached_to_a_method_is_found_on_its_object() -> None:
    class Loader:
        @task(config=ONE, name="load")
        def load(self, store: Store) -> Any:
            return self

    loader = Loader()
    bound = bind(loader.load)
    assert (bound.name, bound.config) == ("load", ONE)
    assert call(bound) is loader


def test_what_was_attached_below_another_decorator_is_found() -> None:
    def traced(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    @traced
    @task(config=ONE, name="load")
    def load(store: Store, cancel: CancellationToken) -> Any:
        return cancel

    assert (bind(load).name, bind(load).config) == ("load", ONE)
    assert call(bind(load)) is TOKEN


def test_two_functions_of_the_same_code_keep_their_own_configs() -> None:
    def make() -> Any:
        def load(store: Store) -> None: ...

        return load

    first, second, third = task(config=ONE)(make()), task(config=TWO)(make()), make()
    assert [bind(load).config for load in (first, second, third)] == [
        ONE,
        TWO,
        TaskConfig(),
    ]


def test_an_attribute_of_the_marks_name_that_is_something_else_is_not_looked_at() -> None:
    def load(store: Store) -> None: ...

    load.__cano_task__ = "mine"  # type: ignore[attr-defined]
    assert bind(load).name == "load"


def test_the_decorator_on_what_can_hold_no_attribute_says_so() -> None:
    with pytest.raises(ConfigurationError, match="print"):
        task(name="show")(print)


def test_the_decorator_without_parentheses_says_how_it_is_written() -> None:
    decorator: Any = task
    with pytest.raises(ConfigurationError, match=r"write @task\(\), with parentheses"):
        decorator(nothing)
    with pytest.raises(ConfigurationError, match=r"write @task\(\), with parentheses"):
        decorator(config=nothing)


def test_the_decorator_refuses_a_config_that_is_none() -> None:
    config: Any = 3
    with pytest.raises(ConfigurationError, match="needs a TaskConfig, not 3"):
        task(config=config)


def test_the_decorator_on_a_class_says_what_a_class_does_instead() -> None:
    with pytest.raises(ConfigurationError, match=r"the class Count .* config\(\) method"):
        task(config=ONE)(Count)


# bind().


def nothing() -> str:
    return "nothing"


def store_only(store: Store) -> Any:
    return store


def cancel_only(*, cancel: CancellationToken) -> Any:
    return cancel


def with_context(store: Store, context: TaskContext) -> Any:
    return store, context


def with_all(store: Store, cancel: CancellationToken, context: TaskContext) -> Any:
    return store, cancel, context


STORE = MemoryStore()


@pytest.mark.parametrize(
    ("function", "result"),
    [
        (nothing, "nothing"),
        (store_only, STORE),
        (cancel_only, TOKEN),
        (with_context, (STORE, CONTEXT)),
        (with_all, (STORE, TOKEN, CONTEXT)),
    ],
)
def test_a_bound_task_is_called_with_what_it_takes(function: Any, result: Any) -> None:
    assert bind(function).call(STORE, TOKEN, CONTEXT) == result


@pytest.mark.parametrize(("function", "result"), [(nothing, "nothing"), (store_only, STORE)])
def test_one_that_takes_nothing_by_name_is_called_with_the_store_alone(
    function: Any, result: Any
) -> None:
    bound = bind(function)
    assert bound.plain(STORE) == result
    assert bound.is_simple
    assert not bound.wants_context


def test_one_that_takes_the_store_is_the_users_function_itself() -> None:
    """Nothing is wrapped around it: the happy path costs no call of ours."""
    assert bind(store_only).plain is store_only


@pytest.mark.parametrize("function", [cancel_only, with_context, with_all])
def test_one_that_takes_something_by_name_is_not_simple(function: Any) -> None:
    assert not bind(function).is_simple


def test_one_that_wants_the_context_says_so() -> None:
    assert bind(with_context).wants_context
    assert not bind(cancel_only).wants_context


def test_one_with_a_config_is_not_simple() -> None:
    assert not bind(store_only, ONE).is_simple
    assert bind(store_only, TaskConfig()).is_simple


@task(config=ONE)
def decorated() -> None: ...


@pytest.mark.parametrize("form", [Wishes(), decorated])
def test_a_config_given_beside_goes_before_the_tasks_own(form: Any) -> None:
    assert bind(form).config == ONE
    assert bind(form, TWO).config == TWO


@pytest.mark.parametrize("form", [5, None, "load", [nothing], TaskResult.single(1)])
def test_what_cannot_be_called_is_refused_by_value_and_type(form: Any) -> None:
    with pytest.raises(ConfigurationError, match="is not a task: it cannot be called") as caught:
        bind(form)
    assert type(form).__name__ in str(caught.value)


@pytest.mark.parametrize("form", [Count, Wishes, dict])
def test_a_class_is_refused_with_the_mend(form: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"register an instance: {form.__name__}\("):
        bind(form)


@pytest.mark.parametrize("config", [3, "often", {"retry": 3}])
@pytest.mark.parametrize("form", [nothing, Count()])
def test_what_is_no_config_is_refused(form: Any, config: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be a TaskConfig"):
        bind(form, config)


def test_a_generator_function_is_bound_only_as_a_listing() -> None:
    def listing(store: Store) -> Any:
        yield nothing

    assert list(call(bind(listing, generator=True))) == [nothing]
    with pytest.raises(ConfigurationError, match="generator"):
        bind(listing)
