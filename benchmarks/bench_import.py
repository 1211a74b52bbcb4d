"""Importing: what `import cano_sync` costs a fresh interpreter, and what it loads."""

from __future__ import annotations

__all__ = ("bench_import",)

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from tempfile import TemporaryDirectory

from .harness import Row, alternate, at_most, time_text

# Timed inside the child: the interpreter's own start is in neither figure.
CLOCKED = """
import time
begin = time.perf_counter()
import {module}
print(time.perf_counter() - begin)
"""

# What is neither the standard library's, nor ours, nor tenacity, the one that the core needs.
FOREIGN = """
import sys
before = set(sys.modules)
import cano_sync
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(loaded - set(sys.stdlib_module_names) - {"cano_sync", "tenacity"}))
"""


def bench_import(quick: bool) -> Iterator[Row]:
    """`import cano_sync` against `import concurrent.futures`, each in a fresh interpreter."""
    with TemporaryDirectory() as cache:
        # Compiled once, as an installed package is, whatever the environment says about that.
        run = partial(_child, {"PYTHONPYCACHEPREFIX": cache})
        ours, twin = (CLOCKED.format(module=name) for name in ("cano_sync", "concurrent.futures"))
        run(ours), run(twin)
        pairs = alternate(lambda: float(run(ours)), lambda: float(run(twin)), 5 if quick else 40)
        foreign = run(FOREIGN)
    goal, reached = at_most(3.6, pairs.ratio)
    extra = f" (but {foreign})" if foreign else ""
    yield pairs.row(
        "import", time_text, f"{goal}, nothing optional{extra}", reached and not foreign
    )


def _child(settings: dict[str, str], program: str) -> str:
    environment = {**os.environ, **settings}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return done.stdout.strip()
