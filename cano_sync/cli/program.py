"""The commands and their options, by click."""

from __future__ import annotations

__all__ = ("main", "program")

import io
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn

import click

from .._base.text import error_text, one_line
from ..demo.exchange import main as hold_auction
from ..errors import CanoError, ConfigurationError
from ..observe.recording.text import plural
from ..scheduler import Scheduler
from ..workflow import Workflow
from .completion import (
    SHELLS,
    complete_exit,
    complete_scheduler,
    complete_state,
    complete_workflow,
    script,
)
from .errors import BROKEN_PIPE, FAILED, INTERRUPTED, CommandError, ProgramError, plain_lines, write
from .graph import FORMATS
from .log import log_flows
from .process_exit import GRACE, SHORT_GRACE, ProcessExit
from .report import problems_as_json
from .run import RunOptions, run
from .serve import serve
from .target import find
from .values import read_duration, read_json, read_pair

NAME = "cano-sync"


class Program(click.Group):
    """The group of all commands: what ends one of them early is shown here, once."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # where nothing runs yet, or any more
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            ctx.exit(BROKEN_PIPE)
        except CommandError as error:
            _fail(ctx, error)
        except CanoError as error:  # what was asked for cannot be
            _fail(ctx, ProgramError(error))
        except OSError as error:  # a disk is full
            _fail(ctx, ProgramError(error_text(error)))


def _fail(ctx: click.Context, error: CommandError) -> NoReturn:
    error.show()
    ctx.exit(error.exit_code)


class RunCommand(click.Command):
    """The command `run`: what is wrong with its options is JSON, too, where that was asked for."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse them."""
        given = " ".join(args).replace("=", " ")
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if "--format json" in given and not ctx.resilient_parsing:
                click.echo(problems_as_json(None, [error.format_message()]), nl=False)
            raise


GRACE_OPTION = click.option(
    "--grace",
    metavar="DURATION",
    type=read_duration,
    help="How long abandoned tasks may hold the process at the end.  "
    f"[default: {GRACE:g}s; {SHORT_GRACE * 1000:g}ms after a signal]",
)

VERBOSE_OPTION = click.option(
    "-v",
    "--verbose",
    count=True,
    help="Log on stderr what runs do; -vv in every detail. What the module has set up for logging "
    "stays.",
)


def _version(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    try:
        number = version("cano_sync")
    except PackageNotFoundError:  # a checkout that is on the path
        number = "(not installed)"
    click.echo(f"{NAME} {number}")
    ctx.exit()


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="MODULE:ATTRIBUTE is like shop.orders:workflow or path/to/orders.py:workflow, and names "
    "the object or a function without parameters that makes it. The attribute may be left out "
    "where the module has only one.",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_version,
    help="Show the version and exit.",
)
def program() -> None:
    """Run, check, draw and schedule workflows of cano_sync."""


@program.command(
    "run",
    cls=RunCommand,
    epilog="Exit code: 0 an exit state was reached; 1 the run failed, the workflow is not valid, "
    "or the module's own code failed; 2 wrong usage: what was typed names nothing; 3 the exit "
    "state is one of --fail-on; 4 the run was cancelled from "
    "inside; 124 timed out; 130 Ctrl-C; 143 SIGTERM.",
)
@click.argument("target", metavar="MODULE:WORKFLOW", shell_complete=complete_workflow)
@click.option(
    "--start",
    metavar="STATE",
    shell_complete=complete_state,
    help="Where to begin; may be left out where only one state can be it.",
)
@click.option(
    "--store",
    "pairs",
    metavar="KEY=VALUE",
    multiple=True,
    type=read_pair,
    help="Put a value into the store: JSON, or else text. May be repeated.",
)
@click.option(
    "--json",
    "values",
    metavar="FILE",
    type=read_json,
    help="Put the values of a JSON object into the store; - reads stdin. Where both name a key, "
    "--store wins.",
)
@click.option(
    "--timeout",
    metavar="DURATION",
    type=read_duration,
    help="Limit the run: 5s, 200ms, 2m, 1h, or seconds.",
)
@click.option("--live", is_flag=True, help="Show on stderr how the machine moves.")
@click.option("--timeline", is_flag=True, help="Draw on stderr what took how long.")
@click.option(
    "--html",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write that as a page.",
)
@click.option("--show", metavar="KEY", multiple=True, help="Print a value of the store at the end.")
@click.option(
    "--format", "layout", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@click.option(
    "--fail-on",
    metavar="STATE",
    multiple=True,
    shell_complete=complete_exit,
    help="Exit with 3 where the run ends in this exit state.",
)
@click.option("--traceback", "trace", is_flag=True, help="Show where in the code a run has failed.")
@GRACE_OPTION
@VERBOSE_OPTION
@click.pass_context
def run_command(ctx: click.Context, /, **given: Any) -> None:
    """Run a workflow until an exit state, and print that.

    Ctrl-C and SIGTERM cancel the run; a second one ends the process at once.
    """
    ctx.exit(run(RunOptions(**given), ctx.ensure_object(ProcessExit)))


@program.command()
@click.argument("target", metavar="MODULE:WORKFLOW", shell_complete=complete_workflow)
@click.pass_context
def validate(ctx: click.Context, target: str) -> None:
    """Print every problem of a workflow, one a line; exit with 1 when there are any."""
    workflow: Workflow[Any] = find(target, Workflow)
    try:
        workflow.validate()
    except ConfigurationError as error:
        for problem in error.problems:
            click.echo(f"{target}: {one_line(problem)}")
        ctx.exit(FAILED)
    described = workflow.description
    states, exits = plural(len(described.states), "state"), plural(len(described.exits), "exit")
    click.echo(f"{target} is valid: {states}, {exits}")


@program.command("graph")
@click.argument("target", metavar="MODULE:WORKFLOW", shell_complete=complete_workflow)
@click.option(
    "--format", "layout", type=click.Choice([*FORMATS]), default="mermaid", show_default=True
)
def graph_command(target: str, layout: str) -> None:
    """Print a workflow as a diagram. svg is drawn by Graphviz."""
    click.echo(FORMATS[layout](find(target, Workflow)).rstrip("\n"))


@program.command(
    epilog="The first signal lets running flows finish, the second cancels them, the third ends "
    "the process. Exit code: 0 all could finish; 1 some were cancelled, or the module's own code "
    "failed; 2 wrong usage: what was typed names nothing."
)
@click.argument("target", metavar="MODULE:SCHEDULER", shell_complete=complete_scheduler)
@click.option(
    "--stop-timeout",
    metavar="DURATION",
    type=read_duration,
    help="Cancel flows that take longer to finish after Ctrl-C or SIGTERM.  [default: wait]",
)
@GRACE_OPTION
@VERBOSE_OPTION
@click.pass_context
def schedule(
    ctx: click.Context, target: str, stop_timeout: float | None, grace: float | None, verbose: int
) -> None:
    """Run a scheduler until Ctrl-C or SIGTERM, with a table of its flows."""
    scheduler = find(target, Scheduler)
    code = serve(
        scheduler,
        stop_timeout=stop_timeout,
        grace=grace,
        is_logged=log_flows(scheduler, verbose),
        process_exit=ctx.ensure_object(ProcessExit),
    )
    ctx.exit(code)


@program.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def demo(ctx: click.Context, arguments: Sequence[str]) -> None:
    """Hold a real-time ad auction over HTTP; `demo --help` says what can go wrong."""
    ctx.exit(hold_auction(list(arguments), program=f"{NAME} demo"))


@program.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash: eval "$(cano-sync completion bash)"         in ~/.bashrc
    zsh:  eval "$(cano-sync completion zsh)"          in ~/.zshrc
    fish: cano-sync completion fish | source          in ~/.config/fish/config.fish
    """
    click.echo(script(program, NAME, shell))


def main(arguments: Sequence[str] | None = None, *, name: str = NAME) -> NoReturn:
    """Run the command line, and end the process.

    Args:
        arguments: what to run; None for what the process was started with.
        name: how usage messages call the command, where another one hands over to it.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # what it cannot encode is no reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")
    process_exit = ProcessExit()
    process_exit.listen()
    code: object = INTERRUPTED
    with suppress(KeyboardInterrupt):  # after the command, but before its end
        try:
            program.main(args=arguments, prog_name=name, obj=process_exit)
        except SystemExit as ending:
            # It may also have interrupted click, which has a code of its own for that.
            code = INTERRUPTED if process_exit.was_interrupted else ending.code
        process_exit.is_over = True
    if isinstance(code, str):  # as a task may have said it
        write(f"{plain_lines(code)}\n")
    process_exit(code if isinstance(code, int) else 0 if code is None else 1)
