"""Switch points at each line of the engine itself, wherever it holds no lock: for our own laws.

In a simulation actors hand over at users' switch points. That is what users need; but a race of the
engine's own lies between two of its lines. Here they hand over at those, too, but for the lines
within a lock: whoever then wants it would wait for real. These lines are read off the source: the
`with` blocks on locks, and the functions whose docstring says that the lock is held.
"""

from __future__ import annotations

__all__ = ("switching_at_engine_lines",)

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import cano_sync
from cano_sync.testing.simulation.session import current_stage
from cano_sync.testing.simulation.stage import Stage

PACKAGE = Path(cano_sync.__file__).parent
# In what a `with` is about.
LOCKS = ("lock", "_changed", "_guard", "_locating", "_making", "passing")
UNDER_A_LOCK = {
    "__enter__", "__exit__", "_link", "_unlink", "_unlink_if_idle", "_mark", "_mark_rest",
    "_may_grow", "_new_thread", "_expect", "_next_due", "_wait_for_another",
}  # fmt: skip
SIMULATION = str(PACKAGE / "testing")
# The frames of the simulation that a whole run is below, in which nobody hands over yet.
OUTERMOST = {"run", "play", "_run", "first", "orchestrate", "_cancel", "_play", "_run_thread"}


def lines_under_locks(file: Path) -> set[int]:
    """The numbers of the lines at which a lock may be held."""
    held: set[int] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.With):
            about = " ".join(ast.unparse(item.context_expr) for item in node.items).lower()
            is_held = any(word in about for word in LOCKS)
        elif isinstance(node, ast.FunctionDef):
            said = (ast.get_docstring(node) or "").lower()
            is_held = node.name in UNDER_A_LOCK or "lock is held" in said
        else:
            continue
        if is_held:
            held.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return held


HELD = {
    str(file): lines_under_locks(file)
    for folder in ("_base", "_engine", "scheduler")
    for file in (PACKAGE / folder).glob("*.py")
    if file.name not in ("world.py", "lazy.py")
}


def may_switch(frame: FrameType) -> bool:
    """Whether no lock is held here, or in a frame above, and the simulation is not just at work."""
    inner: FrameType | None = frame
    while inner is not None:
        file = inner.f_code.co_filename
        if inner.f_lineno in HELD.get(file, ()):
            return False
        is_inside = file.startswith(SIMULATION) or file.endswith(("/threading.py", "/weakref.py"))
        if is_inside and inner.f_code.co_name not in OUTERMOST | {"_bootstrap", "_bootstrap_inner"}:
            return False
        inner = inner.f_back
    return True


@contextmanager
def switching_at_engine_lines(stage: Stage) -> Iterator[None]:
    """Within the block, actors of the stage switch at lines of the engine."""

    def local(frame: FrameType, event: str, argument: Any) -> Any:
        is_here = event == "line" and current_stage() is stage and not stage.is_aborting
        if is_here and may_switch(frame):
            stage.step()
        return local

    def begins(frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        is_ours = code.co_filename in HELD and code.co_name not in ("<module>", "wake")
        return local if is_ours else None

    stage.trace = begins
    try:
        yield
    finally:
        stage.trace = None
