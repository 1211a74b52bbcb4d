"""Small immutable values."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from cano_sync._base.value import Value


class Point(Value):
    __slots__ = ("x", "y")

    def __init__(self, x: Any, y: Any = 0) -> None:
        self._fill(x, y)


class Other(Value):
    __slots__ = ("x", "y")

    def __init__(self, x: Any, y: Any = 0) -> None:
        self._fill(x, y)


def test_values_are_equal_when_their_class_and_their_fields_are() -> None:
    assert Point(1, 2) == Point(1, 2)
    assert Point(1, 2) != Point(1, 3)
    assert Point(1, 2) != Other(1, 2)
    assert Point(1, 2) != (1, 2)
    assert len({Point(1, 2), Point(1, 2), Point(2, 1)}) == 2


def test_a_value_shows_its_fields() -> None:
    assert repr(Point("a")) == "Point(x='a', y=0)"


@pytest.mark.parametrize("name", ["x", "z"])
def test_a_value_cannot_be_changed(name: str) -> None:
    point = Point(1)
    with pytest.raises(AttributeError, match="Point cannot be changed"):
        setattr(point, name, 2)
    with pytest.raises(AttributeError, match="Point cannot be changed"):
        delattr(point, name)
    assert point == Point(1)


def test_a_replaced_field_makes_another_value() -> None:
    point = Point(1, 2)
    assert point.replace(y=3) == Point(1, 3)
    assert point == Point(1, 2)
    with pytest.raises(TypeError, match="z"):
        point.replace(z=1)


def test_a_value_can_be_copied_and_pickled() -> None:
    point = Point([1], {"a": 2})
    for twin in (copy.copy(point), copy.deepcopy(point), pickle.loads(pickle.dumps(point))):
        assert twin == point
    assert copy.copy(point).x is point.x


def test_a_field_that_is_forgotten_is_found_at_once() -> None:
    class Half(Value):
        __slots__ = ("x", "y")

        def __init__(self) -> None:
            self._fill(1)

    with pytest.raises(ValueError, match="shorter"):
        Half()
