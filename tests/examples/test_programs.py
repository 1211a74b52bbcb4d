"""Every example, run as a program: it prints what is recorded next to it, as `NAME.out.txt`.

To record anew: `python examples/NAME.py > examples/NAME.out.txt`, and read the difference.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

# Some are small projects: a folder, with a program of the same name in it.
PROJECTS = [path.parent for path in EXAMPLES.glob("*/*.py") if path.stem == path.parent.name]
NAMES = sorted([path.stem for path in EXAMPLES.glob("*.py")] + [path.name for path in PROJECTS])
FILES = sorted(
    [*EXAMPLES.glob("*.py"), *(file for path in PROJECTS for file in path.rglob("*.py"))]
)

# Six times as slow, so that who is in time does not depend on how busy this machine is.
ARGUMENTS = {"ad_exchange": ("--pace", "6")}


def without_figures(text: str) -> str:
    """A program's output without what differs from run to run, and from one Python to another.

    - Of the ad exchange: the axis of time, the bars along it, and the durations.
    - Of map-reduce: how many files and lines this Python's library has.
    """
    text = re.sub(r"(?m)^ +│0[ │.\d\w]*$", "AXIS", text)
    bar = r" [ █━╌┈◆✗]* (?:[\d.]+ [mµ]?s)? +"
    text = re.sub(rf"(?m)^( *\w+){bar}(?=[✓✗⊘▶])", r"\1 BAR ", text)
    text = re.sub(r"(?m)^(succeeded in \w+) after [\d.]+ m?s$", r"\1 after T", text)
    text = re.sub(r"\btotal \d+\.\d ms", "total T ms", text)
    return re.sub(r" *[\d,]+ (lines|files)\b", r" N \1", text)


def check_map_reduce(text: str) -> None:
    """Its figures are not compared with the record: here they are checked by themselves."""
    lines, files = re.match(r"([\d,]+) lines in (\d+) files", text).groups()
    assert 200 <= int(files) < 2000
    assert int(lines.replace(",", "")) > 100_000


CHECKS = {"map_reduce": check_map_reduce}
"""What else is to be said of an output, by the example's name."""


def test_every_example_has_a_recorded_output() -> None:
    assert sorted(path.name.removesuffix(".out.txt") for path in EXAMPLES.glob("*.txt")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_example_prints_what_is_recorded(name: str, program) -> None:
    """The exit status is 0, and nothing is on stderr."""
    recorded = (EXAMPLES / f"{name}.out.txt").read_text(encoding="utf-8")
    ended = program(name, *ARGUMENTS.get(name, ()))
    assert ended.stderr == ""
    assert ended.returncode == 0
    assert without_figures(ended.stdout) == without_figures(recorded)
    CHECKS.get(name, lambda text: None)(ended.stdout)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(EXAMPLES).as_posix())
def test_an_example_stays_short_and_says_what_it_is(path: Path) -> None:
    """One idea each, in one sitting."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 125
    assert text.startswith('"""')
