"""The command line options of the ad exchange."""

from __future__ import annotations

from importlib import resources

import pytest

from cano_sync.demo.options import read_options


def test_options_have_defaults() -> None:
    options = read_options([], program="auction")
    assert (
        options.request
        == resources.files("cano_sync.demo").joinpath("bid_request.json").read_bytes()
    )
    assert (options.floor, options.broken, options.records) == (None, {}, None)
    assert (options.pace, options.json, options.html) == (1.0, False, None)


def test_a_group_breaks_all_its_services_and_what_is_said_last_holds() -> None:
    broken = read_options(
        ["--break", "context=down", "--break", "geo=ok"], program="auction"
    ).broken
    assert broken == {"user": "down", "geo": "ok", "device": "down"}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--floor", "x"], "--floor: 'x' is not a number"),
        (["--floor", "nan"], "--floor: 'nan' is not a number"),
        (["--floor", "-1"], "--floor: -1 is no price: it must not be negative"),
        (["--pace", "0"], "--pace: 0 is no pace: it must be more than 0"),
        (["--pace", "inf"], "--pace: 'inf' is not a number"),
        (["--break", "geo"], "--break: 'geo' is not like geo=hang"),
        (["--break", "geo=tired"], "--break: 'tired' is not one of ok, down, garbage, 500, hang"),
        (["--break", "moon=down"], "--break: there is no service 'moon'; there are user, geo, "),
        (["--request", "no/such/file"], "--request: no/such/file: No such file or directory"),
        (["--request", "."], "--request: .: Is a directory"),
        (["--speed", "9"], "unrecognized arguments: --speed 9"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        read_options(arguments, program="auction")
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert out == ""
    assert line.startswith("auction: ")
    assert why in line
