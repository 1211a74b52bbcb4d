"""`manage.py cano …`: the command line of cano_sync, after Django has been set up."""

from __future__ import annotations

__all__ = ("Command",)

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ....cli import main


class Command(BaseCommand):
    """Hands all that follows its name to the command line."""

    help = "Run, check, draw and schedule workflows: all that follows goes to cano-sync."

    def run_from_argv(self, argv: list[str]) -> None:
        """Called by `manage.py`; ends the process.

        Django has read its own options, wherever they stood; the rest is the command line's, with
        its `--help` and `--version`.
        """
        djangos = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        djangos.add_argument("--settings")
        djangos.add_argument("--pythonpath")
        main(djangos.parse_known_args(argv[2:])[1], name=f"{argv[0]} {argv[1]}")

    def handle(self, *args: Any, **options: Any) -> None:
        """Called by `call_command`."""
        raise CommandError(
            "cano is for the terminal, and ends the process: call workflow.orchestrate() instead"
        )
