"""`Node`: three steps, who gets what in them, and whose failure is whose."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from cano_sync import (
    CancellationToken,
    Cancelled,
    CanoError,
    ConfigurationError,
    KeyNotFoundError,
    MemoryStore,
    Node,
    NodeExecutionError,
    PreparationError,
    Store,
    Task,
    TaskConfig,
    TaskContext,
)
from cano_sync._model.task import bind
from tests.kit import Step

STORE = MemoryStore()
TOKEN = CancellationToken()
CONTEXT = TaskContext("run", Step.NEXT)


def call(node: Node, store: Store = STORE) -> Any:
    return bind(node).call(store, TOKEN, CONTEXT)


class Double(Node):
    def prep(self, store: Store) -> int:
        return store.get("n", int)

    def exec(self, prepared: int) -> int:
        return 2 * prepared

    def post(self, store: Store, result: int) -> Literal[Step.DONE]:
        store.put("n", result)
        return Step.DONE


def test_what_one_step_returns_the_next_one_gets() -> None:
    store = MemoryStore({"n": 4})
    assert call(Double(), store) is Step.DONE
    assert store.get("n") == 8


def test_the_steps_come_in_their_order_once_each() -> None:
    class Noting(Node):
        def prep(self, store: Store) -> None:
            store.append("steps", "prep")

        def exec(self, prepared: Any) -> None:
            store.append("steps", "exec")

        def post(self, store: Store, result: Any) -> None:
            store.append("steps", "post")

    store = MemoryStore()
    call(Noting(), store)
    assert store.get("steps") == ["prep", "exec", "post"]


def test_a_node_is_a_task() -> None:
    assert isinstance(Double(), Task)
    bound = bind(Double())
    assert bound.name == "Double"
    assert bound.edges == {Step.DONE}
    assert bound.is_simple
    assert not bound.wants_context


def test_a_node_may_have_a_name_and_a_config() -> None:
    class Named(Double):
        name = "double it"

        def config(self) -> TaskConfig:
            return TaskConfig(attempt_timeout=1)

    bound = bind(Named())
    assert (bound.name, bound.config.attempt_timeout) == ("double it", 1.0)


class HandsOn(Node):
    """Hands on what it got: the base of the nodes below."""

    def post(self, store: Store, result: Any) -> Any:
        return store, result


def test_without_prep_nothing_is_prepared() -> None:
    class Mine(HandsOn):
        def exec(self, prepared: Any) -> Any:
            return [prepared]

    assert call(Mine()) == (STORE, [None])


def test_without_exec_what_was_prepared_is_the_result() -> None:
    class Mine(HandsOn):
        def prep(self, store: Store) -> Any:
            return "prepared"

    assert call(Mine()) == (STORE, "prepared")


def test_exec_does_not_get_the_store() -> None:
    class Mine(HandsOn):
        def exec(self, *args: Any, **kwargs: Any) -> Any:
            return args, kwargs

    assert call(Mine()) == (STORE, ((None,), {}))


def test_each_step_gets_by_name_what_it_takes_and_no_more() -> None:
    class Mine(HandsOn):
        def prep(self, store: Store, cancel: CancellationToken) -> Any:
            return [cancel]

        def exec(self, prepared: list[Any], context: TaskContext) -> Any:
            return [*prepared, context]

        def post(self, store: Store, result: Any, context: Any, cancel: Any) -> Any:
            return [*result, cancel, context]

    assert call(Mine()) == [TOKEN, CONTEXT, TOKEN, CONTEXT]
    assert bind(Mine()).wants_context
    assert not bind(Mine()).is_simple


def test_one_step_that_takes_the_token_is_enough() -> None:
    class Mine(HandsOn):
        def exec(self, prepared: Any, cancel: CancellationToken) -> Any:
            return cancel

    assert call(Mine()) == (STORE, TOKEN)
    assert not bind(Mine()).wants_context


def test_steps_may_take_fewer_arguments() -> None:
    class Mine(HandsOn):
        def prep(self) -> Any:
            return "prepared"

        def exec(self) -> Any:
            return "executed"

        def post(self, store: Store) -> Any:
            return store

    assert call(Mine()) is STORE

    class Silent(Node):
        def post(self) -> Any:
            return Step.DONE

    assert call(Silent()) is Step.DONE


def test_steps_may_be_static() -> None:
    class Mine(HandsOn):
        @staticmethod
        def exec(prepared: Any) -> Any:
            return "executed"

    assert call(Mine()) == (STORE, "executed")


@pytest.mark.parametrize("step", ["prep", "exec", "post"])
def test_a_parameter_that_nobody_supplies_names_the_step(step: str) -> None:
    def wants(self: Any, first: Any, second: Any, url: str) -> None: ...

    fetch = type("Fetch", (HandsOn,), {step: wants})
    with pytest.raises(ConfigurationError, match=f"'Fetch.{step}' wants .*'url'"):
        bind(fetch())


@pytest.mark.parametrize(
    ("step", "offered"),
    [("prep", "the store by"), ("exec", "the prepared by"), ("post", "the store and the result")],
)
def test_the_message_says_what_the_step_can_have(step: str, offered: str) -> None:
    def wants(self: Any, first: Any, second: Any, url: str) -> None: ...

    with pytest.raises(ConfigurationError, match=offered):
        bind(type("Fetch", (HandsOn,), {step: wants})())


@pytest.mark.parametrize("step", ["prep", "exec", "post"])
def test_a_step_that_would_run_later_is_refused(step: str) -> None:
    async def later(self: Any, first: Any) -> None: ...

    def one_by_one(self: Any, first: Any) -> Any:
        yield 1

    for function, word in ((later, "asynchronous"), (one_by_one, "generator")):
        with pytest.raises(ConfigurationError, match=word):
            bind(type("Fetch", (HandsOn,), {step: function})())


def test_a_node_without_post_is_refused_with_the_mend() -> None:
    class Unfinished(Node):
        def exec(self, prepared: Any) -> Any: ...

    with pytest.raises(ConfigurationError, match=r"node 'Unfinished' has no post\(\)") as caught:
        bind(Unfinished())
    assert caught.value.task == "Unfinished"
    with pytest.raises(NotImplementedError):
        Unfinished().post(STORE, None)


# Whose failure is whose.


def failing(step: str, error: BaseException) -> Node:
    def fail(self: Any, first: Any = None) -> Any:
        raise error

    return type("Broken", (HandsOn,), {step: fail})()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("step", "kind", "text"),
    [
        ("prep", PreparationError, "node 'Broken': prep raised ValueError: no order"),
        ("exec", NodeExecutionError, "node 'Broken' raised ValueError: no order"),
        ("post", NodeExecutionError, "node 'Broken' raised ValueError: no order"),
    ],
)
def test_what_a_step_raises_is_the_cause_of_its_error(
    step: str, kind: type[CanoError], text: str
) -> None:
    error = ValueError("no order")
    with pytest.raises(kind) as caught:
        call(failing(step, error))
    assert type(caught.value) is kind
    assert str(caught.value) == text
    assert caught.value.__cause__ is error
    assert caught.value.task == "Broken"


@pytest.mark.parametrize("step", ["prep", "exec", "post"])
@pytest.mark.parametrize(
    "error",
    [
        CanoError("no"),
        KeyNotFoundError("no key"),
        Cancelled("enough"),
        KeyboardInterrupt(),
        SystemExit(1),
    ],
)
def test_errors_of_the_tree_and_what_is_no_exception_pass_as_they_are(
    step: str, error: BaseException
) -> None:
    with pytest.raises(type(error)) as caught:
        call(failing(step, error))
    assert caught.value is error
    assert error.__cause__ is None


def test_after_a_failed_step_the_next_one_does_not_come() -> None:
    class Broken(Double):
        def exec(self, prepared: int) -> int:
            raise ValueError

    store = MemoryStore({"n": 4})
    with pytest.raises(NodeExecutionError):
        call(Broken(), store)
    assert store.get("n") == 4
