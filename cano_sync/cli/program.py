"""The commands and their options, by click."""

from __future__ import annotations

__all__ = ("main", "program")

import io
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn

import click

from .._base.text import error_text, one_line
from ..checkpoints import RunStatus
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
from .recorded import checkpoints_at, runs_text, show_text, write_page
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


EXIT_CODES = (
    "Exit code: 0 an exit state was reached; 1 the run failed, the workflow is not valid, or the "
    "module's own code failed; 2 wrong usage: what was typed names nothing; 3 the exit state is "
    "one of --fail-on; 4 the run was cancelled from inside; 124 timed out; 130 Ctrl-C; 143 SIGTERM."
)

TARGET = click.argument("target", metavar="MODULE:WORKFLOW", shell_complete=complete_workflow)

CHECKPOINTS_OPTION = click.option(
    "--checkpoints",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Record the run in this SQLite file, instead of where the workflow says, if it does.",
)

FORMAT_OPTION = click.option(
    "--format", "layout", type=click.Choice(["text", "json"]), default="text", show_default=True
)

HTML_OPTION = click.option(
    "--html",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write that as a page.",
)

# What `run` and `resume` have in common, in the order of their help.
RUN_OPTIONS = (
    click.option(
        "--timeout",
        metavar="DURATION",
        type=read_duration,
        help="Limit the run: 5s, 200ms, 2m, 1h, or seconds.",
    ),
    click.option("--live", is_flag=True, help="Show on stderr how the machine moves."),
    click.option("--timeline", is_flag=True, help="Draw on stderr what took how long."),
    HTML_OPTION,
    click.option(
        "--show", metavar="KEY", multiple=True, help="Print a value of the store at the end."
    ),
    FORMAT_OPTION,
    click.option(
        "--fail-on",
        metavar="STATE",
        multiple=True,
        shell_complete=complete_exit,
        help="Exit with 3 where the run ends in this exit state.",
    ),
    click.option(
        "--traceback", "trace", is_flag=True, help="Show where in the code a run has failed."
    ),
    GRACE_OPTION,
    VERBOSE_OPTION,
)


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The decorators of all of them."""
    for option in reversed(RUN_OPTIONS):
        command = option(command)
    return command


@program.command("run", cls=RunCommand, epilog=EXIT_CODES)
@TARGET
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
@CHECKPOINTS_OPTION
@click.option(
    "--id",
    "run_id",
    metavar="ID",
    help="The id of a recorded run: begin it; where it is there, go on with it, or give its end.",
)
@run_options
@click.pass_context
def run_command(ctx: click.Context, /, **given: Any) -> None:
    """Run a workflow until an exit state, and print that.

    Ctrl-C and SIGTERM cancel the run; a second one ends the process at once. One that is recorded
    goes on where it was when the same command is given again, whatever has ended the first.
    """
    ctx.exit(run(RunOptions(**given), ctx.ensure_object(ProcessExit)))


@program.command("resume", cls=RunCommand, epilog=EXIT_CODES)
@TARGET
@click.argument("run_id", metavar="ID")
@CHECKPOINTS_OPTION
@click.option(
    "--takeover",
    is_flag=True,
    help="Take the run from a process that lives, but is stuck: that one can record nothing more.",
)
@run_options
@click.pass_context
def resume_command(ctx: click.Context, /, **given: Any) -> None:
    """Go on with a recorded run until an exit state, and print that."""
    options = RunOptions(start=None, pairs=(), values=None, is_resumed=True, **given)
    ctx.exit(run(options, ctx.ensure_object(ProcessExit)))


RECORDED_OPTION = click.option(
    "--checkpoints",
    metavar="FILE",
    required=True,
    type=click.Path(path_type=Path),
    help="The SQLite file where runs are recorded.",
)


@program.command("runs")
@RECORDED_OPTION
@click.option("--workflow", metavar="NAME", help="Only the runs of this workflow.")
@click.option(
    "--status",
    type=click.Choice([status.name.lower() for status in RunStatus]),
    help="Only those of which this has become. A run whose process has died is still running.",
)
@click.option("--state", metavar="STATE", help="Only those that are in this state, by its name.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most.")
@FORMAT_OPTION
def runs_command(
    checkpoints: Path,
    workflow: str | None,
    status: str | None,
    state: str | None,
    limit: int,
    layout: str,
) -> None:
    """List recorded runs, the newest first."""
    with checkpoints_at(checkpoints) as file:
        runs = file.runs(
            workflow=workflow,
            status=None if status is None else RunStatus[status.upper()],
            state=state,
            limit=limit,
        )
    click.echo(runs_text(runs, layout), nl=False)


@program.command("show")
@click.argument("run_id", metavar="ID")
@RECORDED_OPTION
@HTML_OPTION
@FORMAT_OPTION
def show_command(run_id: str, checkpoints: Path, html: Path | None, layout: str) -> None:
    """Show a recorded run: its states, by whom and when they were entered, and what changed."""
    with checkpoints_at(checkpoints) as file:
        run = file.run(run_id)
    if html is not None:
        write_page(run, html)
    click.echo(show_text(run, layout), nl=False)


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
