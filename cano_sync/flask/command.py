"""`flask cano`: the command line, within the app's context."""

from __future__ import annotations

__all__ = ("command",)

from collections.abc import Sequence

import click
from flask.cli import with_appcontext

from ..cli import main


@click.command(
    "cano",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@with_appcontext
def command(arguments: Sequence[str]) -> None:
    """Run, check, draw and schedule workflows of cano_sync."""
    main(list(arguments), name="flask cano")
