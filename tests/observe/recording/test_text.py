"""Texts: names that fit on a line, widths in cells, durations and round moments."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cano_sync._base.text import one_line
from cano_sync.observe.recording.text import (
    cells,
    clip,
    duration_text,
    error_line,
    name_of,
    pad,
    safe_repr,
    tick_text,
    ticks,
)

NASTY = ["", "two\nlines", "\x1b[31mred", "\u202ereversed", "\ud800", "日本語", "\u2028", "\x00"]


@pytest.mark.parametrize("text", NASTY)
def test_a_name_is_one_printable_line(text: str) -> None:
    name = name_of(text)
    assert name
    assert name.isprintable()
    name.encode()


def test_states_of_any_kind_have_a_name() -> None:
    kind: Any = Enum("kind", {"A B": 1})
    assert name_of(kind["A B"]) == "A B"
    assert name_of(("a", 1)) == "('a', 1)"
    assert name_of(None) == "None"


def test_joined_emoji_and_letters_stay_whole() -> None:
    family = "👩‍👩‍👧"
    assert one_line(family) == family
    assert one_line("no-break\u00a0space") == "no-break space"


@given(st.text(), st.integers(1, 60))
def test_a_clipped_text_is_never_too_wide_and_a_padded_one_just_right(text: str, to: int) -> None:
    text = one_line(text)
    assert cells(clip(text, to)) <= to
    assert cells(pad(text, to)) == to


@given(st.floats(0, 1e12))
def test_durations_are_short_and_never_shrink_to_nothing(seconds: float) -> None:
    text = duration_text(seconds)
    assert len(text) <= 8 or seconds > 8e8  # from 9999 days on
    assert text != "0 s" or seconds == 0
    assert "1000" not in text or seconds >= 8e7


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (0.00099949, "999 µs"),
        (0.0009996, "1.00 ms"),
        (0.9996, "1.00 s"),
        (59.4, "59.4 s"),
        (59.99, "1m 00s"),
        (3599.9, "1h 00m"),
        (10_800, "3h 00m"),
        (86_399, "1d 00h"),
    ],
)
def test_a_duration_changes_its_unit_where_it_rounds_up(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@given(st.floats(1e-7, 1e9), st.integers(2, 30))
@example(total=1.9, most=19)
def test_ticks_are_even_within_the_axis_and_not_too_many(total: float, most: int) -> None:
    moments = ticks(total, most)
    assert moments[0] == 0
    assert len(moments) <= most
    assert moments[-1] <= total * 1.001
    texts = [tick_text(moment) for moment in moments]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("total", [1e-5, 0.308, 1, 59, 600, 10_800, 1e6])
def test_an_axis_has_some_ticks_whatever_its_length(total: float) -> None:
    assert 3 <= len(ticks(total, 8)) <= 8


def test_errors_and_values_that_cannot_be_shown_are_shown_as_such() -> None:
    class Shy(Exception):
        def __str__(self) -> str:
            raise ValueError

    class list:  # noqa: N801
        """Not what reprlib takes it for."""

    assert error_line(Shy()) == "Shy (its text raised ValueError)"
    assert safe_repr(list()) == "<list, whose repr raised TypeError>"
