"""`cano-sync graph`: a workflow as a picture, or as the text of one."""

from __future__ import annotations

__all__ = ("FORMATS",)

import shutil
import subprocess
from collections.abc import Callable
from typing import Any

from ..diagram import to_dot, to_mermaid
from ..workflow import Workflow
from .errors import ProgramError


def _svg(workflow: Workflow[Any]) -> str:
    """Drawn by Graphviz.

    Raises:
        ProgramError: that is not installed, or has failed.
    """
    program = shutil.which("dot")
    if program is None:
        raise ProgramError(
            "svg is drawn by Graphviz, whose program `dot` is not on the PATH; install Graphviz, "
            "or take --format dot or mermaid"
        )
    ended = subprocess.run(
        [program, "-Tsvg"], input=to_dot(workflow).encode(), capture_output=True, check=False
    )
    if ended.returncode != 0:
        said = ended.stderr.decode(errors="replace")
        raise ProgramError(f"Graphviz could not draw it (status {ended.returncode}): {said}")
    return ended.stdout.decode()


FORMATS: dict[str, Callable[[Workflow[Any]], str]] = {
    "mermaid": to_mermaid,
    "dot": to_dot,
    "svg": _svg,
}
