"""The reference of the command line, from the commands themselves: `.. command-line::`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from cano_sync.cli.program import NAME, program


def _described(command: click.Command, name: str) -> Iterator[str]:
    context = click.Context(command, info_name=name)
    yield from (name, "-" * len(name), "", f".. program:: {name}", "")
    usage = " ".join(command.collect_usage_pieces(context))
    yield from (".. code-block:: text", "", f"   {name} {usage}", "")
    yield from (*_escaped(command.help or "").splitlines(), "")
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is None or not isinstance(parameter, click.Option) or "--help" in record[0]:
            continue
        names, _, metavar = (
            record[0].partition(" ") if "," not in record[0] else (record[0], "", "")
        )
        yield from (f".. option:: {names} {metavar}".rstrip(), "", f"   {_escaped(record[1])}", "")
    yield from (_escaped(command.epilog or ""), "")


def _escaped(text: str) -> str:
    """Help is plain text; what looks like markup in it is none."""
    text = text.replace("\b", "").replace("\\", "\\\\").replace("*", "\\*").replace("`", "\\`")
    return " ".join(text.split())


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
