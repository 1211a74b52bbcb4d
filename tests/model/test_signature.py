"""Reading a callable: what it is called with, what it is called, where it says that it goes."""

from __future__ import annotations

import asyncio
import enum
import functools
import inspect
import operator
import sys
import threading
import typing
from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import Annotated, Any, Literal, Optional, Union
from unittest import mock

import pytest

from cano_sync import ConfigurationError
from cano_sync._model import signature
from cano_sync._model.signature import Shape, declared_states, display_name, read_signature

if typing.TYPE_CHECKING:
    from nowhere_at_run_time import Missing


class Step(Enum):
    LOAD = auto()
    SAVE = auto()
    DONE = auto()


class Only(Enum):
    END = auto()


def shape(function: Any, *offer: str) -> Shape:
    return read_signature(function, offer=offer or ("store",), name="it")


def refused(function: Any, *words: str, **how: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read_signature(function, offer=("store",), name="it", **how)
    assert caught.value.task == "it"
    for word in words:
        assert word in str(caught.value)
    return str(caught.value)


# All forms of callable. Each is also called, with what its shape says that it takes.

got: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_got_yet() -> None:
    got.clear()


def nothing() -> None:
    got.append(())


def store_only(store):
    got.append((store,))


def any_name(whatever):
    got.append((whatever,))


def positional_only(store, /):
    got.append((store,))


def with_default(store=None):
    got.append((store,))


def store_and_cancel(store, cancel):
    got.append((store, cancel))


def all_of_them(store, cancel, context):
    got.append((store, cancel, context))


def other_order(store, context, cancel):
    got.append((store, cancel, context))


def keyword_only(*, cancel):
    got.append((cancel,))


def store_and_keyword_only(store, *, context):
    got.append((store, context))


def cancel_with_default(store, cancel=None):
    got.append((store, cancel))


def more_with_defaults(store, limit=10, *, flag=False, cancel):
    got.append((store, limit, flag, cancel))


def any_arguments(*args):
    got.append(args)


def any_arguments_and_cancel(*args, cancel):
    got.append((*args, cancel))


def any_keywords(**kwargs):
    got.append(tuple(kwargs.items()))


def anything(*args, **kwargs):
    got.append((*args, *kwargs.items()))


def first_is_cancel(cancel):
    raise AssertionError


def second_is_context(store, context):
    raise AssertionError


def positional_only_cancel(store, cancel=None, /):
    got.append((store, cancel))


def two_before(prefix, store, cancel):
    got.append((prefix, store, cancel))


class Methods:
    def plain(self, store):
        got.append((store,))

    def with_cancel(self, store, cancel):
        got.append((store, cancel))

    def nothing(self):
        got.append(())

    @classmethod
    def of_class(cls, store, context):
        got.append((store, context))

    @staticmethod
    def static(store, cancel):
        got.append((store, cancel))

    def __call__(self, store, cancel):
        got.append((store, cancel))

    bound_early = functools.partialmethod(two_before)


class NoStore:
    def __call__(self):
        got.append(())


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class SelfMadeSignature:
    """Says itself how it wants to be called."""

    __signature__ = inspect.signature(store_and_cancel)

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        got.append((*args, *kwargs.values()))


methods = Methods()
S, C, X = "the store", "the token", "the context"

FORMS: list[tuple[str, Any, Shape, tuple[Any, ...]]] = [
    ("nothing", nothing, Shape(0, False, False), ()),
    ("store", store_only, Shape(1, False, False), (S,)),
    ("any name", any_name, Shape(1, False, False), (S,)),
    ("positional-only", positional_only, Shape(1, False, False), (S,)),
    ("default", with_default, Shape(1, False, False), (S,)),
    ("store, cancel", store_and_cancel, Shape(1, True, False), (S, C)),
    ("all", all_of_them, Shape(1, True, True), (S, C, X)),
    ("all in other order", other_order, Shape(1, True, True), (S, C, X)),
    ("keyword-only", keyword_only, Shape(0, True, False), (C,)),
    ("store, keyword-only", store_and_keyword_only, Shape(1, False, True), (S, X)),
    ("cancel with default", cancel_with_default, Shape(1, True, False), (S, C)),
    ("more with defaults", more_with_defaults, Shape(1, True, False), (S, 10, False, C)),
    ("*args", any_arguments, Shape(1, False, False), (S,)),
    ("*args, cancel", any_arguments_and_cancel, Shape(1, True, False), (S, C)),
    ("**kwargs", any_keywords, Shape(0, False, False), ()),
    ("*args, **kwargs", anything, Shape(1, False, False), (S,)),
    ("positional-only cancel", positional_only_cancel, Shape(1, False, False), (S, None)),
    ("method", methods.plain, Shape(1, False, False), (S,)),
    ("method, cancel", methods.with_cancel, Shape(1, True, False), (S, C)),
    ("method, nothing", methods.nothing, Shape(0, False, False), ()),
    ("classmethod", Methods.of_class, Shape(1, False, True), (S, X)),
    ("classmethod of object", methods.of_class, Shape(1, False, True), (S, X)),
    ("staticmethod", Methods.static, Shape(1, True, False), (S, C)),
    ("partialmethod", methods.bound_early, Shape(1, True, False), (methods, S, C)),
    ("object", methods, Shape(1, True, False), (S, C)),
    ("object, nothing", NoStore(), Shape(0, False, False), ()),
    ("lambda", lambda store: got.append((store,)), Shape(1, False, False), (S,)),
    ("lambda, nothing", lambda: got.append(()), Shape(0, False, False), ()),
    ("partial", functools.partial(two_before, "p"), Shape(1, True, False), ("p", S, C)),
    ("partial, all", functools.partial(store_only, "s"), Shape(0, False, False), ("s",)),
    (
        "partial by keyword",
        functools.partial(store_and_cancel, cancel="bound"),
        Shape(1, False, False),
        (S, "bound"),
    ),
    (
        "partial, store by keyword",
        functools.partial(store_and_cancel, store="bound"),
        Shape(0, True, False),
        ("bound", C),
    ),
    (
        "partial of a method",
        functools.partial(methods.with_cancel, cancel="bound"),
        Shape(1, False, False),
        (S, "bound"),
    ),
    (
        "partial of an object",
        functools.partial(methods, cancel="bound"),
        Shape(1, False, False),
        (S, "bound"),
    ),
    ("decorated", traced(store_and_cancel), Shape(1, True, False), (S, C)),
    ("decorated twice", traced(traced(nothing)), Shape(0, False, False), ()),
    ("decorated partial", traced(functools.partial(store_only)), Shape(1, False, False), (S,)),
    ("cached", functools.lru_cache(store_and_cancel), Shape(1, True, False), (S, C)),
    ("its own signature", SelfMadeSignature(), Shape(1, True, False), (S, C)),
    ("builtin method", got.append, Shape(1, False, False), (S,)),
]


@pytest.mark.parametrize(
    ("function", "expected", "arguments"),
    [row[1:] for row in FORMS],
    ids=[row[0] for row in FORMS],
)
def test_a_callable_gets_what_it_takes(
    function: Any, expected: Shape, arguments: tuple[Any, ...]
) -> None:
    read = shape(function)
    assert read == expected
    named = {name: value for name, value in (("cancel", C), ("context", X)) if getattr(read, name)}
    function(*(S,)[: read.positional], **named)
    assert got == [arguments] or (function == got.append and got == [S])


@pytest.mark.parametrize(
    "function", [print, len, operator.itemgetter("n"), operator.methodcaller("keys"), repr]
)
def test_a_builtin_gets_the_store(function: Any) -> None:
    assert shape(function) == Shape(1, False, False)


def test_a_builtin_without_a_signature_gets_all_that_is_offered() -> None:
    class Secretive:
        __signature__ = "none to be had"

        def __call__(self) -> None: ...

    assert shape(Secretive()) == Shape(1, False, False)
    assert shape(Secretive(), "store", "result") == Shape(2, False, False)


def test_a_mock_gets_the_store() -> None:
    assert shape(mock.Mock()) == Shape(1, False, False)


@pytest.mark.parametrize(
    ("function", "positional"),
    [
        (lambda: None, 0),
        (lambda a: None, 1),
        (lambda a, b: None, 2),
        (lambda a, b, c=0: None, 2),
        (lambda a, *rest: None, 2),
        (lambda *all: None, 2),
    ],
)
def test_as_many_are_given_by_position_as_it_takes(function: Any, positional: int) -> None:
    assert shape(function, "store", "result").positional == positional


def test_a_shape_is_plain_where_nothing_is_passed_by_name() -> None:
    assert Shape(1, cancel=False, context=False).plain
    assert not Shape(1, cancel=True, context=False).plain
    assert not Shape(0, cancel=False, context=True).plain


# What nobody can supply.


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda store, url: None, "url"),
        (lambda store, *, url: None, "url"),
        (lambda store, cancel, /: None, "cancel"),
        (functools.partial(lambda a, url, c: None, c=1), "url"),
    ],
)
def test_what_nobody_supplies_is_named(function: Any, name: str) -> None:
    refused(function, f"wants {name!r}", "the store by position", "'cancel' and 'context'")


def test_all_that_nobody_supplies_is_named_at_once() -> None:
    refused(lambda store, url, cancel, *, retries: None, "'url', 'retries'")


def test_the_mend_names_the_first_of_them() -> None:
    refused(lambda store, url: None, "functools.partial(it, url=...)")


# What would run later, or not at all.


async def later(store):
    """A coroutine function."""


async def later_many(store):
    yield 1


def one_by_one(store):
    yield 1


class Later:
    async def __call__(self, store):
        """A coroutine function of an object."""

    def one_by_one(self, store):
        yield 1


@pytest.mark.parametrize(
    "function",
    [later, later_many, functools.partial(later), Later(), traced(later), Later().__call__],
)
def test_what_is_asynchronous_is_refused_with_the_mend(function: Any) -> None:
    refused(function, "is asynchronous", "asyncio.run")


@pytest.mark.parametrize(
    "function",
    [one_by_one, functools.partial(one_by_one), Later().one_by_one, traced(one_by_one)],
)
def test_a_generator_function_is_refused_unless_it_lists_tasks(function: Any) -> None:
    refused(function, "generator function", "`return`")
    listing = read_signature(function, offer=("store",), name="it", generator=True)
    assert listing == Shape(1, False, False)


def test_that_it_may_list_tasks_is_not_remembered_for_a_task() -> None:
    read_signature(one_by_one, offer=("store",), name="it", generator=True)
    refused(one_by_one, "generator function")


def test_a_decorator_that_supplies_an_argument_itself_may_do_so() -> None:
    """functools.wraps says whose name it has, not that its parameters are the same."""

    @functools.wraps(two_before)
    def with_a_prefix(store: Any, cancel: Any) -> None:
        two_before("prefix", store, cancel)

    assert shape(with_a_prefix) == Shape(1, True, False)


def test_a_decorator_with_fewer_parameters_gets_no_more_than_it_takes() -> None:
    @functools.wraps(store_and_cancel)
    def without_token(store: Any) -> None:
        store_and_cancel(store, None)

    read = shape(without_token)
    without_token(S, **({"cancel": C} if read.cancel else {}))
    assert got == [(S, None)]


def test_a_decorator_that_runs_a_coroutine_to_its_end_makes_a_plain_function_of_it() -> None:
    @functools.wraps(later)
    def at_once(store: Any) -> Any:
        return asyncio.run(later(store))

    assert shape(at_once) == Shape(1, False, False)


def test_a_decorator_that_exhausts_a_generator_makes_a_plain_function_of_it() -> None:
    @functools.wraps(one_by_one)
    def all_at_once(store: Any) -> list[int]:
        return list(one_by_one(store))

    assert shape(all_at_once) == Shape(1, False, False)


# Shapes are remembered by code: functions that share their code may differ in the rest.


def variant(defaults: tuple[Any, ...] | None = None, **kwdefaults: Any) -> Any:
    """A function of the same code each time, with other defaults."""

    def function(store, url, *, cancel, retries): ...

    function.__defaults__ = defaults
    function.__kwdefaults__ = kwdefaults
    return function


def test_functions_of_the_same_code_are_told_apart_by_their_defaults() -> None:
    for _ in range(2):  # the second time from memory
        assert shape(variant(("x",), retries=1)) == Shape(1, True, False)
        refused(variant(retries=1), "'url'")
        refused(variant(("x",)), "'retries'")
        refused(variant(), "'url', 'retries'")
        assert shape(variant(("x",), cancel=None, retries=1)) == Shape(1, True, False)


def test_partials_of_the_same_function_are_told_apart_by_what_they_bind() -> None:
    for _ in range(2):
        assert shape(functools.partial(two_before, "p")) == Shape(1, True, False)
        refused(functools.partial(two_before, "p", "s"), "'cancel' where it gets the store")
        assert shape(functools.partial(two_before, store="s", prefix="p")) == Shape(0, True, False)
        assert shape(functools.partial(all_of_them, cancel=1)) == Shape(1, False, True)
        assert shape(functools.partial(all_of_them, context=1)) == Shape(1, True, False)
        assert shape(functools.partial(all_of_them, context=1, cancel=1)) == Shape(1, False, False)
        refused(two_before, "'store'")


def test_a_function_and_the_method_made_of_it_are_told_apart() -> None:
    class Holder:
        method = store_and_cancel

    for _ in range(2):
        assert shape(store_and_cancel) == Shape(1, True, False)
        refused(Holder().method, "'cancel' where it gets the store")


def test_a_function_and_one_that_wraps_another_are_told_apart() -> None:
    """Both wrappers have the same code."""
    for _ in range(2):
        assert shape(traced(store_and_cancel)) == Shape(1, True, False)
        assert shape(traced(nothing)) == Shape(0, False, False)
        assert shape(traced(keyword_only)) == Shape(0, True, False)


def test_a_function_that_gets_a_signature_of_its_own_is_read_anew() -> None:
    def function(*args: Any, **kwargs: Any) -> None: ...

    assert shape(function) == Shape(1, False, False)
    function.__signature__ = SelfMadeSignature.__signature__  # type: ignore[attr-defined]
    assert shape(function) == Shape(1, True, False)


def test_what_is_offered_by_position_is_part_of_the_shape() -> None:
    def function(a, b=None, *, cancel): ...

    for _ in range(2):
        assert shape(function) == Shape(1, True, False)
        assert shape(function, "store", "result") == Shape(2, True, False)


def test_the_name_in_the_message_is_not_remembered() -> None:
    def function(store, url): ...

    for name in ("first", "second"):
        with pytest.raises(ConfigurationError, match=f"task '{name}'"):
            read_signature(function, offer=("store",), name=name)


def test_thousands_of_functions_are_read_without_being_kept() -> None:
    for number in range(3000):
        names: dict[str, Any] = {}
        exec(f"def function{number}(store, cancel): ...", names)
        assert shape(names[f"function{number}"]) == Shape(1, True, False)
    assert len(signature._shapes) <= signature._FEW


def test_many_threads_may_read_at_once() -> None:
    names: dict[str, Any] = {}
    for number in range(200):
        exec(f"def function{number}(store, cancel): ...", names)
    functions = [value for name, value in names.items() if name.startswith("function")]
    shapes: list[Shape] = []
    threads = [
        threading.Thread(target=lambda: shapes.extend(map(shape, functions))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shapes == [Shape(1, True, False)] * (8 * 200)


# Names.


def outer() -> tuple[Any, Any]:
    def inner() -> None: ...

    class Local:
        def __call__(self) -> None: ...

    return inner, Local


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (nothing, "nothing"),
        (lambda: None, "<lambda>"),
        (outer()[0], "inner"),
        (methods.plain, "Methods.plain"),
        (Methods.static, "Methods.static"),
        (methods, "Methods"),
        (outer()[1](), "Local"),
        (functools.partial(nothing), "nothing"),
        (functools.partial(functools.partial(methods)), "Methods"),
        (traced(nothing), "nothing"),
        (print, "print"),
        (got.append, "list.append"),
        (mock.Mock(), "Mock"),
    ],
)
def test_errors_call_it(function: Any, name: str) -> None:
    assert display_name(function) == name


# Where it says that it goes. The annotations of this file are strings, all of them.


def to_save() -> Literal[Step.SAVE]: ...
def to_two() -> Literal[Step.SAVE, Step.DONE]: ...
def to_either() -> Literal[Step.SAVE] | Literal[Step.DONE]: ...
def to_the_only() -> Only: ...
def to_the_only_or_save() -> Only | Literal[Step.SAVE]: ...
def to_old_union() -> Union[Only, Literal[Step.SAVE]]: ...  # noqa: UP007
def to_strings() -> Literal["save", "done"]: ...
def to_nested() -> Literal[Literal[Step.SAVE], Step.DONE]: ...  # noqa: RUF041
def annotated() -> Annotated[Literal[Step.SAVE], "a note"]: ...
def quoted() -> "Literal[Step.SAVE]": ...  # noqa: UP037
def by_module() -> typing.Literal[Step.SAVE]: ...
def broken_parameter(store: Missing) -> Literal[Step.SAVE]: ...


Next = Literal[Step.SAVE, Step.DONE]


def by_alias() -> Next: ...


class Returns:
    def method(self) -> Literal[Step.SAVE]: ...
    def __call__(self) -> Literal[Step.SAVE]: ...
    @classmethod
    def of_class(cls) -> Literal[Step.SAVE]: ...
    @staticmethod
    def static() -> Literal[Step.SAVE]: ...


SAVE, BOTH = {Step.SAVE}, {Step.SAVE, Step.DONE}


@pytest.mark.parametrize(
    ("function", "states"),
    [
        (to_save, SAVE),
        (to_two, BOTH),
        (to_either, BOTH),
        (to_the_only, {Only.END}),
        (to_the_only_or_save, {Only.END, Step.SAVE}),
        (to_old_union, {Only.END, Step.SAVE}),
        (to_strings, {"save", "done"}),
        (to_nested, BOTH),
        (annotated, SAVE),
        (quoted, SAVE),
        (by_module, SAVE),
        (by_alias, BOTH),
        (broken_parameter, SAVE),
        (Returns().method, SAVE),
        (Returns(), SAVE),
        (Returns.of_class, SAVE),
        (Returns.static, SAVE),
        (functools.partial(to_save), SAVE),
        (functools.partial(Returns()), SAVE),
        (traced(to_save), SAVE),
        (functools.lru_cache(to_save), SAVE),
    ],
)
def test_a_return_annotation_declares_where_it_goes(function: Any, states: set[Any]) -> None:
    assert declared_states(function) == states


def unannotated(): ...
def to_any_step() -> Step: ...
def maybe() -> Optional[Literal[Step.SAVE]]: ...  # noqa: UP045
def maybe_in_new_words() -> Literal[Step.SAVE] | None: ...
def or_anything() -> Literal[Step.SAVE] | Step: ...
def to_none() -> None: ...
def to_text() -> str: ...
def to_anything() -> Any: ...
def a_list() -> list[Literal[Step.SAVE]]: ...
def not_there() -> Missing: ...
def not_a_state() -> Literal[Step.NOWHERE]: ...  # type: ignore[valid-type]
def no_type() -> 1 / 0: ...  # type: ignore[valid-type]


@pytest.mark.parametrize(
    "function",
    [
        unannotated,
        to_any_step,
        maybe,
        maybe_in_new_words,
        or_anything,
        to_none,
        to_text,
        to_anything,
        a_list,
        not_there,
        not_a_state,
        no_type,
        print,
        operator.itemgetter("n"),
        mock.Mock(),
        lambda: Step.SAVE,
    ],
)
def test_without_a_declaration_nothing_is_assumed(function: Any) -> None:
    assert declared_states(function) is None


def test_an_annotation_that_was_set_by_hand_is_read_too() -> None:
    def by_hand() -> None: ...

    by_hand.__annotations__["return"] = Literal[Step.DONE]
    assert declared_states(by_hand) == {Step.DONE}


def test_a_single_member_counts_whatever_its_aliases() -> None:
    class Aliased(Enum):
        END = 1
        FINISH = END

    class Empty(Enum):
        pass

    class Flag(enum.Flag):
        ONE = 1

    def function() -> None: ...

    for kind, states in ((Aliased, {Aliased.END}), (Empty, None), (Flag, {Flag.ONE})):
        function.__annotations__["return"] = kind
        assert declared_states(function) == states


def test_states_that_only_the_enclosing_function_knows_are_found_when_it_uses_them() -> None:
    class Local(Enum):
        NEXT = auto()
        END = auto()

    def function() -> Literal[Local.NEXT]:
        return Local.NEXT

    assert declared_states(function) == {Local.NEXT}


def test_an_enclosing_variable_that_is_not_there_yet_is_no_error() -> None:
    def function() -> Literal[Step.SAVE]:
        return unset

    def read() -> frozenset[Any] | None:
        return declared_states(function)

    assert read() == SAVE
    unset = Step.SAVE  # type: ignore[misc]
    assert read() == SAVE


needs_type_statement = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="the type statement came with Python 3.12"
)


def with_alias(statement: str, annotation: str) -> Any:
    names: dict[str, Any] = {"Literal": Literal, "Step": Step, "Only": Only}
    source = f"{statement}\ndef function() -> {annotation}: ..."
    # Without this file's own __future__: what it says is there, and not its text.
    exec(compile(source, "<test>", "exec", dont_inherit=True), names)
    return names["function"]


@needs_type_statement
@pytest.mark.parametrize(
    ("statement", "annotation", "states"),
    [
        ("type Next = Literal[Step.SAVE]", "Next", SAVE),
        ("type Next = Literal[Step.SAVE]", "'Next'", SAVE),
        ("type Next = Literal[Step.SAVE]", "Next | Literal[Step.DONE]", BOTH),
        ("type First = Literal[Step.SAVE]; type Next = First", "Next", SAVE),
        ("type Next = Only", "Next", {Only.END}),
        ("type Next[T] = Literal[Step.SAVE]", "Next[int]", SAVE),
        ("type Next = Step", "Next", None),
        ("type Next = Literal[Step.NOWHERE]", "Next", None),
        ("Next = Literal[Step.SAVE]", "'Next'", SAVE),
    ],
)
def test_a_type_alias_stands_for_its_value(
    statement: str, annotation: str, states: set[Any] | None
) -> None:
    assert declared_states(with_alias(statement, annotation)) == states


def test_annotations_that_are_no_strings_are_read_the_same() -> None:
    assert declared_states(with_alias("", "Literal[Step.SAVE]")) == SAVE
    assert declared_states(with_alias("", "Literal[Step.SAVE] | Only")) == {Step.SAVE, Only.END}
    assert declared_states(with_alias("", "'Literal[Step.SAVE]'")) == SAVE
    assert declared_states(with_alias("", "None")) is None


@needs_type_statement
@pytest.mark.parametrize(
    "statement",
    ["type Next = Missing", "type Next = Next | Only"],
)
def test_a_type_alias_that_cannot_be_read_declares_nothing(statement: str) -> None:
    assert declared_states(with_alias(statement, "Next")) is None


def iterate() -> Iterator[int]: ...


def test_a_listing_declares_nothing() -> None:
    assert declared_states(iterate) is None


def test_a_token_or_a_context_where_the_store_comes_is_refused() -> None:
    """Nobody who writes `def load(cancel)` wants the store there."""
    with pytest.raises(
        ConfigurationError, match=r"'cancel' where it gets the store.*\(\*, cancel\)"
    ):
        shape(first_is_cancel)
    with pytest.raises(ConfigurationError, match=r"take \(store, result, context\)"):
        shape(second_is_context, "store", "result")


def test_a_partial_that_binds_too_few_says_which_parameter_the_store_would_go_to() -> None:
    def ask(carrier: str, seconds: float, store: Any, cancel: Any) -> None: ...

    refused(functools.partial(ask, "snail"), "the store would go to 'seconds'", "bind 'seconds'")
