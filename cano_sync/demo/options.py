"""The command line options of the ad exchange."""

__all__ = ("Options", "read_options")

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Never

from .services import GROUPS, MODES, SERVICES


@dataclass(frozen=True, slots=True)
class Options:
    """The options, checked.

    Attributes:
        request: what the publisher has sent, as it came.
        floor: a floor price that goes before the request's own, or None.
        broken: which services are not "ok", by name: their modes.
        records: the folder for the database and the log; None for one that is thrown away.
        pace: what all latencies and limits are multiplied by.
        json: whether the report is for a program.
        html: the file for the report as a page; None for no page.
    """

    request: bytes
    floor: float | None
    broken: dict[str, str]
    records: Path | None
    pace: float
    json: bool
    html: Path | None


def read_options(arguments: Sequence[str] | None = None, *, program: str) -> Options:
    """Read the command line; what is wrong with it ends the program, with status 2 and one line."""
    modes = "\n".join(f"  {mode:<9}{what}" for mode, what in MODES.items())
    names = ", ".join([*SERVICES, *GROUPS])
    parser = _Parser(
        prog=program,
        description="A real-time ad auction among services on this machine.",
        epilog=f"NAME is one of {names}.\nMODE is one of\n{modes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--request", metavar="FILE", type=_content, help="a bid request")
    add("--floor", metavar="PRICE", type=_price, help="instead of the request's floor price, USD")
    add(
        "--break",
        dest="broken",
        metavar="NAME=MODE",
        type=_broken,
        action="append",
        default=[],
        help="break a service or a group of them, and another with another --break",
    )
    add("--records", metavar="FOLDER", type=Path, help="keep the database and the log there")
    add("--pace", metavar="N", type=_pace, default=1.0, help="make all times N times as long")
    add("--json", action="store_true", help="report as JSON")
    add("--html", metavar="FILE", type=Path, help="write the report as a page, too")
    given = parser.parse_args(arguments)
    broken = {name: mode for modes in given.broken for name, mode in modes.items()}
    request = given.request
    if request is None:
        request = resources.files("cano_sync.demo").joinpath("bid_request.json").read_bytes()
    return Options(request, given.floor, broken, given.records, given.pace, given.json, given.html)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Never:
        self.exit(2, f"{self.prog}: {message}\n")


# What these raise is the message.


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path}: {error.strerror}") from error


def _price(text: str) -> float:
    value = _number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is no price: it must not be negative")
    return value


def _pace(text: str) -> float:
    value = _number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is no pace: it must be more than 0")
    return value


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


def _broken(text: str) -> dict[str, str]:
    name, equals, mode = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not like geo=hang")
    if name not in SERVICES and name not in GROUPS:
        known = ", ".join([*SERVICES, *GROUPS])
        raise argparse.ArgumentTypeError(f"there is no service {name!r}; there are {known}")
    if mode not in MODES:
        raise argparse.ArgumentTypeError(f"{mode!r} is not one of {', '.join(MODES)}")
    return dict.fromkeys(GROUPS.get(name, [name]), mode)
