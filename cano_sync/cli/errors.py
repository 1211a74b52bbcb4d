"""What ends a command, and how it is shown: each error knows its text and its exit code."""

from __future__ import annotations

__all__ = (
    "BROKEN_PIPE",
    "CANCELLED",
    "FAILED",
    "FAIL_ON",
    "INTERRUPTED",
    "TIMED_OUT",
    "USAGE",
    "CommandError",
    "InvalidError",
    "ProgramError",
    "UserCodeError",
    "near",
    "one_line",
    "say",
    "tell",
    "user_traceback",
)

import difflib
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from .._base.text import error_text
from ..observe.tracebacks import is_ours

# The exit codes. 0 is an exit state, a valid workflow, a schedule that was stopped in order.
FAILED = 1  # a run, a workflow that is not valid, the code of the user's module
USAGE = 2  # what the command was told is wrong: it names nothing, or nothing of that kind
FAIL_ON = 3  # an exit state that --fail-on names
CANCELLED = 4  # a run, by something else than a signal
TIMED_OUT = 124  # a run, as `timeout` says it
INTERRUPTED = 130  # by Ctrl-C; by SIGTERM it is 143: 128 and the signal's number, as shells do
BROKEN_PIPE = 141  # whoever read the output has gone; the number of SIGPIPE, likewise


def one_line(text: object) -> str:
    """The text without its line breaks."""
    return " ".join(str(text).split())


def tell(text: str) -> None:
    """Write to stderr, whose lines are for the operator: stdout is for results.

    In one write, for it may come from several threads. Where nobody reads it any more, that is no
    reason to lose the result.
    """
    with suppress(BrokenPipeError):
        sys.stderr.write(text)
        sys.stderr.flush()


def say(text: object) -> None:
    """Tell the operator one line."""
    tell(f"cano-sync: {one_line(text)}\n")


def near(wrong: str, known: Iterable[str], ending: str = "") -> str:
    """What to add to a message about a wrong name: those that are like it, or nothing.

    An `ending` that all have in common is shown, and makes none of them alike.

    >>> near("workfow", ["workflow", "states"])
    "; did you mean 'workflow'?"
    >>> near("nope", ["one", "syn"])
    ''
    """
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(wrong.lower(), by_lower, n=3, cutoff=0.7)
    names = [repr(by_lower[name] + ending) for name in found]
    return f"; did you mean {' or '.join(names)}?" if names else ""


class CommandError(Exception):
    """The command was told something wrong: one line says what was found instead."""

    exit_code = USAGE

    @property
    def problems(self) -> Sequence[str]:
        """What is wrong, as texts for a program to read."""
        return (str(self),)

    def show(self) -> None:
        """Tell the operator."""
        say(self)


class ProgramError(CommandError):
    """What a command needs is not there, or has failed."""

    exit_code = FAILED


class InvalidError(CommandError):
    """A workflow is not valid; all its problems, one a line."""

    exit_code = FAILED

    def __init__(self, target: str, problems: Sequence[str]) -> None:
        super().__init__(f"{target} is not valid")
        self.target = target
        self._problems = problems

    @property
    def problems(self) -> Sequence[str]:
        """All of them."""
        return self._problems

    def show(self) -> None:
        """Tell the operator all of them."""
        for problem in self.problems:
            say(f"{self.target}: {problem}")


class UserCodeError(CommandError):
    """The user's own code raised, outside of a run: the traceback, of that code only.

    Args:
        what: a line that says what was being done.
        error: what was raised.
    """

    exit_code = FAILED

    def __init__(self, what: str, error: BaseException) -> None:
        super().__init__(what)
        self.error = error

    @property
    def problems(self) -> Sequence[str]:
        """What was being done, and what was raised."""
        return (f"{self}: {error_text(self.error)}",)

    def show(self) -> None:
        """Tell where it was raised, and what we wanted."""
        tell("".join(user_traceback(self.error)))
        say(self)


def user_traceback(error: BaseException) -> Iterator[str]:
    """A traceback without the frames of this library and of the import system."""
    shown = traceback.TracebackException.from_exception(error)
    for part in _chain(shown):
        part.stack[:] = [frame for frame in part.stack if not _is_hidden(frame.filename)]
    return shown.format()


def _chain(shown: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    """The exception and all those that it is shown with."""
    yield shown
    for other in (shown.__cause__, shown.__context__, *(shown.exceptions or ())):
        if other is not None:
            yield from _chain(other)


def _is_hidden(filename: str) -> bool:
    is_importing = Path(filename).parts[-2:] == ("importlib", "__init__.py")
    return is_ours(filename) or is_importing or filename.startswith("<frozen importlib")
