"""The reference of the command line, from the commands themselves: `.. command-line::`."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from inspect import cleandoc
from typing import Any

import click
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from cano_sync.cli.program import NAME, program
from cano_sync.demo.options import read_options

DEMO = f"{NAME} demo"
os.environ["COLUMNS"] = "80"


def _described(command: click.Command, name: str) -> Iterator[str]:
    context = click.Context(command, info_name=name)
    usage = " ".join(command.collect_usage_pieces(context))
    yield from (name, "-" * len(name), "", f".. program:: {name}", "")
    yield from (*_text(command.help or ""), "")
    if name == DEMO:  # it reads its options itself
        yield from (*_literal(_help_of_the_demo()), "")
        return
    yield from (*_literal(f"{name} {usage}"), "")
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is None or not isinstance(parameter, click.Option) or "--help" in record[0]:
            continue
        yield from (f".. option:: {record[0]}", "", f"   {_escaped(record[1])}", "")
    yield from (*_text(command.epilog or ""), "")


def _text(text: str) -> Iterator[str]:
    """The paragraphs of a help text; one after a backspace is kept as it is, as click does."""
    for paragraph in cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b"):
            yield from _literal(paragraph.removeprefix("\b").strip("\n"))
        else:
            yield from (_escaped(paragraph), "")


def _literal(text: str) -> Iterator[str]:
    yield from (".. code-block:: text", "", *(f"   {line}" for line in text.splitlines()), "")


def _escaped(text: str) -> str:
    """Help is plain text; of what looks like markup in it, only `code` is meant."""
    text = text.replace("\\", "\\\\").replace("*", "\\*").replace("`", "``")
    text = re.sub(r"(?<![\w`-])--?\w[\w-]*", r"``\g<0>``", text)  # an option, and no dash
    return " ".join(text.split())


def _help_of_the_demo() -> str:
    shown = io.StringIO()
    with redirect_stdout(shown), suppress(SystemExit):
        read_options(["--help"], program=DEMO)
    return shown.getvalue()


class CommandLine(SphinxDirective):
    """All commands, each with its options."""

    def run(self) -> list[nodes.Node]:
        """Called by Sphinx."""
        lines: list[str] = []
        for name, command in sorted(program.commands.items()):
            lines += _described(command, f"{NAME} {name}")
        section = nodes.section()
        section.document = self.state.document
        self.state.nested_parse(StringList(lines, NAME), 0, section, match_titles=True)
        return section.children


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True}
