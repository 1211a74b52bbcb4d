"""Shell completion: the script for each shell, and the states and workflows that can be named."""

from __future__ import annotations

__all__ = (
    "SHELLS",
    "complete_exit",
    "complete_scheduler",
    "complete_state",
    "complete_workflow",
    "script",
)

import io
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
)

from ..scheduler import Scheduler
from ..workflow import Workflow
from .states import names_of
from .target import candidates, find, load_module

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_CANO_SYNC_COMPLETE"

Items = list[CompletionItem]


@add_completion_class
class _Bash(BashComplete):
    """Bash breaks words at `:` and `=`, and replaces no more than the last piece."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words, put together again."""
        args, incomplete = super().get_completion_args()
        words: list[str] = []
        joined = False
        for piece in [*args, incomplete]:
            if piece in (":", "="):
                words[-1:] = [(words[-1] if words else "") + piece]
                joined = True
            elif joined:
                words[-1] += piece
                joined = False
            else:
                words.append(piece)
        return words[:-1], words[-1]

    def format_completion(self, item: CompletionItem) -> str:
        """The piece that bash replaces."""
        return f"{item.type},{str(item.value).rpartition(':')[2]}"


def script(program: click.Command, name: str, shell: str) -> str:
    """The script that makes a shell complete this program."""
    kind = get_completion_class(shell)
    assert kind is not None  # it is one of SHELLS
    return kind(program, {}, name, VARIABLE).source()


def complete_workflow(context: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """After the colon the workflows in that module, and what may make one; before it, files."""
    return _targets(incomplete, Workflow)


def complete_scheduler(context: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """After the colon the schedulers in that module; before it, files."""
    return _targets(incomplete, Scheduler)


def _targets(incomplete: str, kind: type[object]) -> Items:
    where, colon, _ = incomplete.rpartition(":")
    if not colon:
        return [CompletionItem(incomplete, type="file")]
    names = _quietly(lambda: candidates(load_module(where), kind))
    return _beginning(incomplete, [f"{where}:{name}" for name in names])


def complete_state(context: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """The states of the workflow that was named before."""
    return _beginning(incomplete, _states(context, "states"))


def complete_exit(context: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """The exit states of the workflow that was named before."""
    return _beginning(incomplete, _states(context, "exits"))


def _states(context: click.Context, kind: str) -> list[str]:
    # With an option at its end that has no value yet, click leaves arguments where they are.
    loose = (argument for argument in context.args if ":" in argument or argument.endswith(".py"))
    target = context.params.get("target") or next(loose, None)
    if target is None:
        return []
    return _quietly(lambda: names_of(getattr(find(target, Workflow).description, kind)))


def _beginning(incomplete: str, names: list[str]) -> Items:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _quietly(names: Callable[[], list[str]]) -> list[str]:
    """Names from the user's module; none where it raises, and nothing of what it prints."""
    nowhere = io.StringIO()
    with redirect_stdout(nowhere), redirect_stderr(nowhere):
        try:
            return names()
        except Exception:
            return []
