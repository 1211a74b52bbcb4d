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
    "plain_lines",
    "say",
    "user_traceback",
    "write",
)

import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from .._base.text import error_text, one_line
from ..observe.tracebacks import is_ours

# The exit codes. 0 is an exit state, a valid workflow, a schedule that was stopped in order.
FAILED = 1  # a run, a workflow that is not valid, the code of the user's module
USAGE = 2  # what was typed is wrong: it names nothing, or nothing of that kind
FAIL_ON = 3  # an exit state that --fail-on names
CANCELLED = 4  # a run, by something else than a signal
TIMED_OUT = 124  # a run, as `timeout` says it
INTERRUPTED = 130  # by Ctrl-C; by SIGTERM it is 143: 128 and the signal's number, as shells do
BROKEN_PIPE = 141  # the reader of the output has gone; the number of SIGPIPE, likewise


def plain_lines(text: str) -> str:
    """Lines of text for a terminal: what would command it, such as an escape, is shown instead.

    >>> plain_lines("Traceback:\\n  \\x1b[2J")
    'Traceback:\\n  \\\\x1b[2J'
    """
    return "\n".join(map(one_line, text.split("\n")))


def write(text: str) -> None:
    """Write to stderr, whose lines are for the operator: stdout is for results.

    In one write, for it may come from several threads. Where nobody reads it any more, that is no
    reason to lose the result.
    """
    with suppress(BrokenPipeError):
        sys.stderr.write(text)
        sys.stderr.flush()


def say(text: object) -> None:
    """Write one line for the operator, whatever the text has in it."""
    write(f"cano-sync: {one_line(str(text).strip())}\n")


class CommandError(Exception):
    """What was typed is wrong: one line says what was found instead.

    Attributes:
        problems: what is wrong, as texts for a program to read.
    """

    exit_code = USAGE

    def __init__(self, message: object, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = problems or (str(message),)

    def show(self) -> None:
        """Show it to the operator."""
        say(self)


class ProgramError(CommandError):
    """What a command needs is not there, or has failed."""

    exit_code = FAILED


class InvalidError(ProgramError):
    """A workflow is not valid; all its problems, one a line."""

    def __init__(self, target: str, problems: Sequence[str]) -> None:
        super().__init__(f"{target} is not valid", problems)
        self.target = target

    def show(self) -> None:
        """Show all of them to the operator."""
        for problem in self.problems:
            say(f"{self.target}: {problem}")


class UserCodeError(ProgramError):
    """The user's own code raised outside of a run, while something was being done (`what`)."""

    def __init__(self, what: str, error: BaseException) -> None:
        super().__init__(what, [f"{what}: {error_text(error)}"])
        self.error = error

    def show(self) -> None:
        """Show the traceback, of that code only, and what was being done."""
        write("".join(user_traceback(self.error)))
        say(self)


def user_traceback(error: BaseException) -> Iterator[str]:
    """A traceback without the frames of this library and of the import system, line by line."""
    shown = traceback.TracebackException.from_exception(error)
    for part in _chain(shown):
        part.stack[:] = [frame for frame in part.stack if not _is_hidden(frame.filename)]
    return map(plain_lines, shown.format())


def _chain(shown: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    """The exception and all those that it is shown with."""
    yield shown
    for other in (shown.__cause__, shown.__context__, *(shown.exceptions or ())):
        if other is not None:
            yield from _chain(other)


def _is_hidden(filename: str) -> bool:
    is_importing = Path(filename).parts[-2:] == ("importlib", "__init__.py")
    return is_ours(filename) or is_importing or filename.startswith("<frozen importlib")
