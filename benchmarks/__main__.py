"""`python -m benchmarks [NAME...]`: each case in an interpreter of its own, then one table."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from dataclasses import asdict

from .bench_around import bench_around
from .bench_checkpoints import bench_checkpoints
from .bench_exchange import bench_alone, bench_exchange, bench_load
from .bench_growth import bench_growth
from .bench_import import bench_import
from .bench_lateness import bench_lateness
from .bench_memory import bench_memory
from .bench_observers import bench_observers
from .bench_scheduler import bench_scheduler
from .bench_simulation import bench_simulation
from .bench_split import bench_split
from .bench_transitions import bench_transitions
from .bench_wide import bench_wide
from .harness import Bench, Row, table

CASES: dict[str, Bench] = {
    "transitions": bench_transitions,
    "around": bench_around,
    "checkpoints": bench_checkpoints,
    "observers": bench_observers,
    "split": bench_split,
    "growth": bench_growth,
    "exchange": bench_exchange,
    "alone": bench_alone,
    "load": bench_load,
    "lateness": bench_lateness,
    "wide": bench_wide,
    "import": bench_import,
    "memory": bench_memory,
    "scheduler": bench_scheduler,
    "simulation": bench_simulation,
}

try:
    from .bench_django import bench_django
except ModuleNotFoundError:  # Django or psycopg, which the extra "test" brings
    pass
else:
    CASES["django"] = bench_django


def main() -> int:
    """Run the cases that were asked for; 1 when a goal was not reached."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a case of --list; default: all")
    parser.add_argument("--list", action="store_true", help="show the cases and end")
    parser.add_argument("--quick", action="store_true", help="a rough look, in under half a minute")
    parser.add_argument("--rows", action="store_true", help="measure here, and print JSON")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in CASES]
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    if options.list:
        for name, bench in CASES.items():
            print(f"{name:12} {bench.__doc__}")
        return 0
    if options.rows:
        for name in options.names:
            for row in CASES[name](options.quick):
                print(json.dumps(asdict(row)), flush=True)
        return 0
    return _report(options.names or list(CASES), options.quick)


def _report(names: list[str], quick: bool) -> int:
    began = time.perf_counter()
    rows = [row for name in names for row in _in_child(name, quick)]
    print(f"Python {platform.python_version()}, {time.perf_counter() - began:.0f} s")
    print(table(rows))
    return int(any(row.reached is False for row in rows))


def _in_child(name: str, quick: bool) -> list[Row]:
    """One case in a fresh interpreter, so that no case runs among the threads of another."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "benchmarks", "--rows", name, *(["--quick"] if quick else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    rows = [Row(**json.loads(line)) for line in done.stdout.splitlines()]
    if done.returncode:
        rows.append(Row(name, f"ended with exit code {done.returncode}", reached=False))
    return rows


if __name__ == "__main__":
    sys.exit(main())
