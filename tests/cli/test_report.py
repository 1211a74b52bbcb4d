"""What a run's values look like when they are printed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

import pytest

from cano_sync.cli.report import plain


class Colour(Enum):
    RED = 1


class Level(IntEnum):
    HIGH = 3


@dataclass
class Offer:
    price: Decimal
    colour: Colour


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("half made")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([1, 2.5, "a", True, None], [1, 2.5, "a", True, None]),
        ((1, {2}), [1, [2]]),
        ({1: "a", Colour.RED: "b"}, {"1": "a", "RED": "b"}),
        (Level.HIGH, "HIGH"),
        (Offer(Decimal("8.90"), Colour.RED), {"price": "8.90", "colour": "RED"}),
        (float("inf"), "inf"),
        (datetime(2026, 11, 25, tzinfo=UTC), "2026-11-25T00:00:00+00:00"),
        (date(2026, 11, 25), "2026-11-25"),
        (timedelta(seconds=90), 90.0),
        (Path("a/b"), "a/b"),
        (b"bytes", "b'bytes'"),
        (Broken(), "<Broken>"),
    ],
)
def test_json_says_what_it_can_and_python_the_rest(value: Any, said: Any) -> None:
    assert plain(value) == said
    json.dumps(plain(value), allow_nan=False)


def test_a_value_that_contains_itself_is_cut_short() -> None:
    ring: list[Any] = [1]
    ring.append(ring)
    assert plain(ring) == [1, "..."]


def test_one_that_is_too_deep_is_said_by_python() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert isinstance(plain(deep), str)
