"""What is typed after an option."""

from __future__ import annotations

import click
import pytest

from cano_sync.cli.values import read_duration, read_pair


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5s", 5), ("200ms", 0.2), ("2m", 120), ("1h", 3600), ("1h30m", 5400), ("1.5", 1.5), ("0", 0)],
)
def test_durations_have_units_or_are_seconds(text: str, seconds: float) -> None:
    assert read_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "5 days", "-1", "1e3", "nan", "inf", "5sm", "9" * 400])
def test_what_is_no_duration_is_answered_by_what_is(text: str) -> None:
    with pytest.raises(
        click.BadParameter, match="is no duration; write 5s, 200ms, 2m, 1h30m, or seconds"
    ):
        read_duration(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=3", 3),
        ("a=null", None),
        ('a={"b": [1, 2]}', {"b": [1, 2]}),
        ("a=text", "text"),
        ("a=b=c", "b=c"),
        ("a=", ""),
        ("a=NaN", "NaN"),
        ("a=" + "[" * 100_000, "[" * 100_000),
    ],
)
def test_a_value_is_json_where_it_can_be(text: str, value: object) -> None:
    assert read_pair(text) == ("a", value)
