"""Values as tagged JSON: what goes in comes out, of the same types, or an error says why not."""

from __future__ import annotations

import json
import string
import subprocess
import sys
import uuid
from collections import OrderedDict
from dataclasses import InitVar, dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, auto
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cano_sync import (
    CanoError,
    ConfigurationError,
    CorruptCheckpointError,
    JoinError,
    RecordedError,
    RetryExhaustedError,
    TaskExecutionError,
)
from cano_sync._base.codec import DEEPEST, Codec, Placeholder, Unencodable, ValueCodec, digest_of


class Colour(Enum):
    """An enum."""

    RED = auto()
    BLUE = auto()


class Rights(Flag):
    """A flag, whose combinations have no name."""

    READ = auto()
    WRITE = auto()


@dataclass
class Address:
    """A dataclass."""

    street: str
    lines: tuple[int, ...] = ()
    made: int = field(init=False, default=0)


@dataclass(frozen=True, slots=True)
class Money:
    """A frozen one, with slots."""

    amount: Decimal


class Point(NamedTuple):
    """A named tuple."""

    x: int
    y: Any


VALUES = ValueCodec([Colour, Rights, Address, Money, Point])


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, and of equal types all the way down; NaN equals NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return repr(one) == repr(other)
    if isinstance(one, complex):
        return repr(one) == repr(other)
    if isinstance(one, Decimal):
        return str(one) == str(other)
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same(left, right) for left, right in zip(one.items(), other.items(), strict=True)
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, set | frozenset):
        return sorted(map(repr, one)) == sorted(map(repr, other))
    if isinstance(one, Address | Money):
        names = list(one.__dataclass_fields__)
        return all(same(getattr(one, name), getattr(other, name)) for name in names)
    return bool(one == other)


ANY_TEXT = st.text(st.characters(), max_size=12) | st.text(
    st.sampled_from("a$\ud83d\ude00\x00é"), max_size=6
)
ZONES = st.none() | st.sampled_from(
    [UTC, timezone(timedelta(hours=5, minutes=30)), ZoneInfo("Europe/Zurich")]
)
HASHABLE_ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | ANY_TEXT
    | st.binary(max_size=8)
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.dates()
    | st.datetimes(timezones=ZONES)
    | st.times()
    | st.timedeltas()
    | st.sampled_from([*Colour, Rights.READ | Rights.WRITE, Rights(0)])
    | st.sampled_from(
        [Path("a/b"), PurePosixPath("/x"), PureWindowsPath("c:/y"), Path("\ud83d\ude00")]
    )
)
ATOMS = (
    HASHABLE_ATOMS
    | st.floats()
    | st.complex_numbers(allow_nan=True)
    | st.binary(max_size=4).map(bytearray)
    | st.sampled_from([Decimal("NaN"), Decimal("sNaN")])
)
ANY_VALUE = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.sets(HASHABLE_ATOMS, max_size=4)
        | st.frozensets(HASHABLE_ATOMS, max_size=4)
        | st.dictionaries(ANY_TEXT, inner, max_size=4)
        | st.dictionaries(HASHABLE_ATOMS, inner, max_size=4)
        | st.builds(Address, ANY_TEXT)
        | st.builds(Money, st.decimals(allow_nan=False))
        | st.builds(Point, st.integers(), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=300)
@given(ANY_VALUE)
def test_what_goes_in_comes_out_with_the_same_types(value: Any) -> None:
    text = VALUES.encode(value)
    assert text.isascii()
    again = VALUES.decode(text)
    assert same(again, value), (value, text, again)
    assert VALUES.encode(again) == text


@pytest.mark.parametrize(
    "value",
    [
        {"$tuple": [1]},
        {"$": 1, "a": 2},
        {"$removed": 1},
        {1: "int", "1": "text"},
        {True: 1, (1, (2,)): [3]},
        "\ud83d\ude00",
        ["\ud83d\ude00", "😀"],
        {"\ud83d\ude00": 1.5},
        datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Zurich")),
        -0.0,
        [10**5000, {1: -(10**4400)}],
        [float("inf"), (float("-inf"),)],
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_that_json_would_change_come_out_as_they_were(value: Any) -> None:
    again = VALUES.decode(VALUES.encode(value))
    assert same(again, value), VALUES.encode(value)[:50]
    if isinstance(value, datetime):
        assert again.fold == 1 and again.tzinfo is value.tzinfo


# Half-broken texts of our own kind, and any JSON at all.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "$tuple",
                    "$set",
                    "$dict",
                    "$type",
                    "$error",
                    "$datetime",
                    "$date",
                    "$time",
                    "$uuid",
                    "$path",
                    "$purepath",
                    "$int",
                    "$float",
                    "$str",
                    "$bytes",
                    "$decimal",
                    "$timedelta",
                    "$complex",
                    "$frozenset",
                    "$bytearray",
                    "$new",
                    "name",
                    "foreign",
                    "carried",
                ]
            ),
            inner | st.sampled_from(["Address", "Colour", "RED", "CanoError", "JoinError"]),
            max_size=2,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=300)
@given(JSON.map(json.dumps) | st.text(string.printable, max_size=20))
@example('{"$type":["Colour","GREEN"]}')
@example('{"$type":["Address",{"street":1,"floor":2}]}')
@example('{"$error":{"name":"KeyError","message":"","carried":{},"cause":null}}')
@example('{"$set":[[1]]}')
@example("[" * 100_000)
@example('{"$tuple":[' * 100_000)
def test_what_cannot_be_read_is_one_kind_of_error(text: str) -> None:
    for lenient in (False, True):
        try:
            VALUES.decode(text, lenient=lenient)
        except CorruptCheckpointError as error:
            assert str(error)


def test_a_digest_is_the_same_in_every_process() -> None:
    value = {"b": {3, 1, 2}, "a": (1.5, Decimal("2.50"), "é"), 7: frozenset("xyz")}
    script = (
        "from decimal import Decimal; from cano_sync._base.codec import ValueCodec, digest_of;"
        f"print(digest_of(ValueCodec().encode({value!r})))"
    )
    here = digest_of(ValueCodec().encode(value))
    for seed in ("1", "2"):
        there = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            cwd=Path(__file__).parents[2],
        )
        assert there.stdout.strip() == here
    # The same in every version of Python: what was recorded by one is compared by another.
    assert here == "28a6ff1ba48cf099f52140808dd73bce"


def test_an_unknown_type_is_named_with_the_mend() -> None:
    class Socket: ...

    for value in (Socket(), [Socket()], {"a": (Socket(),)}):
        with pytest.raises(Unencodable, match=r"Socket.*types=\[Socket\].*transient"):
            VALUES.encode(value)
    with pytest.raises(Unencodable, match="OrderedDict"):
        VALUES.encode(OrderedDict())
    with pytest.raises(Unencodable, match="Colour"):
        ValueCodec().encode(Colour.RED)
    with pytest.raises(CorruptCheckpointError, match="'Colour', which is not registered"):
        ValueCodec().decode(VALUES.encode(Colour.RED))


def test_where_values_are_only_looked_at_an_unknown_type_has_a_placeholder() -> None:
    seen = ValueCodec().decode(VALUES.encode({"at": Address("Bahnhofstrasse")}), lenient=True)
    assert isinstance(seen["at"], Placeholder)
    assert seen["at"].name == "Address"
    assert "Bahnhofstrasse" in repr(seen)


def test_a_value_that_contains_itself_or_is_too_deep_is_an_error() -> None:
    ring: list[Any] = [1]
    ring.append(ring)
    with pytest.raises(Unencodable, match="contains itself"):
        VALUES.encode(ring)
    deep: Any = 1
    for _ in range(DEEPEST + 1):
        deep = [deep, {}]
    with pytest.raises(Unencodable, match=f"deeper than {DEEPEST}"):
        VALUES.encode(deep)


def test_a_type_can_have_another_name_and_an_alias() -> None:
    @dataclass
    class Place:
        street: str
        made: int = 0
        lines: tuple[int, ...] = ()

    renamed = ValueCodec({"Address": Place, "place": Place})
    assert renamed.decode(VALUES.encode(Address("Gasse"))) == Place("Gasse")
    assert renamed.encode(Place("Gasse")).startswith('{"$type":["place"')


def test_a_field_that_is_new_has_its_default_and_one_that_is_gone_is_an_error() -> None:
    text = '{"$type":["Address",{"street":"Gasse"}]}'
    assert VALUES.decode(text) == Address("Gasse")
    with pytest.raises(CorruptCheckpointError, match="field 'floor', which that type has no more"):
        VALUES.decode('{"$type":["Address",{"street":"Gasse","floor":3}]}')


def test_a_codec_serves_where_the_shape_does_not() -> None:
    class Secret:
        def __init__(self, text: str) -> None:
            self.text = text

    values = VALUES.with_types([Codec(Secret, lambda secret: secret.text, Secret)])
    assert values.decode(values.encode([Secret("x")]))[0].text == "x"
    broken = VALUES.with_types([Codec(Secret, lambda secret: 1 / 0, Secret)])
    with pytest.raises(Unencodable, match=r"Secret raised ZeroDivisionError"):
        broken.encode(Secret("x"))


def test_what_is_no_type_or_has_no_shape_is_refused_at_once() -> None:
    class Shapeless: ...

    @dataclass
    class Takes:
        given: InitVar[int]

    with pytest.raises(ConfigurationError, match=r"Shapeless.*Codec\(Shapeless"):
        ValueCodec([Shapeless])
    with pytest.raises(ConfigurationError, match="'given', which it does not keep"):
        ValueCodec([Takes])
    with pytest.raises(ConfigurationError, match="no type"):
        ValueCodec(["Address"])  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match="a list of types"):
        ValueCodec("Address")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="two types are called 'Address'"):
        VALUES.with_types({"Address": Money})


def test_our_own_errors_come_back_with_their_fields_and_a_users_as_a_recorded_one() -> None:
    def fails() -> None:
        raise LookupError("no such order")

    try:
        try:
            fails()
        except LookupError as cause:
            raise TaskExecutionError(
                "it failed", state=Colour.RED, task="fails", run_id="r"
            ) from cause
    except TaskExecutionError as error:
        outer = RetryExhaustedError("in 3 attempts", attempts=3, state=Colour.RED)
        outer.__cause__ = error
    again = VALUES.decode(VALUES.encode(outer))
    assert type(again) is RetryExhaustedError
    assert (str(again), again.attempts, again.state) == ("in 3 attempts", 3, Colour.RED)
    middle = again.__cause__
    assert type(middle) is TaskExecutionError
    assert (middle.task, middle.run_id) == ("fails", "r")
    root = middle.__cause__
    assert type(root) is RecordedError
    assert (root.kind, root.message) == ("LookupError", "no such order")
    assert "in fails" in root.trace
    assert VALUES.encode(again) == VALUES.encode(VALUES.decode(VALUES.encode(again)))


def test_of_an_error_what_cannot_be_recorded_is_left_out() -> None:
    error = JoinError("it failed", result=object(), state=object())  # type: ignore[arg-type]
    again = VALUES.decode(VALUES.encode(error))
    assert type(again) is JoinError
    assert again.result is None
    assert again.state.startswith("<object")


def test_a_users_error_below_ours_is_no_error_of_ours() -> None:
    class JoinError(CanoError):
        """It has the name of one of ours."""

    again = VALUES.decode(VALUES.encode(JoinError("mine")))
    assert type(again) is RecordedError


@pytest.mark.parametrize("library", ["attrs", "msgspec", "pydantic"])
def test_classes_of_other_libraries_are_known_by_their_shape(library: str) -> None:
    pytest.importorskip(library)
    made: Any
    if library == "attrs":
        import attrs

        made = attrs.make_class("Order", {"_sku": attrs.field(), "amount": attrs.field(default=1)})
        value = made("A-17", 3)
    elif library == "msgspec":
        import msgspec

        made = msgspec.defstruct("Order", [("sku", str), ("amount", int, 1)])
        value = made("A-17", 3)
    else:
        import pydantic

        made = pydantic.create_model("Order", sku=(str, ...), at=(date, ...), tags=(set[int], ...))
        value = made(sku="A-17", at=date(2026, 1, 1), tags={1, 2})
    values = ValueCodec([made])
    again = values.decode(values.encode([value, (uuid.uuid4(), time(1, 2))]))
    assert again[0] == value and type(again[0]) is made
