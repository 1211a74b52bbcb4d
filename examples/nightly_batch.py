"""A nightly batch that survives its process: killed in the middle, it goes on where it was.

The program starts itself as a second process, which kills itself while it works on the third file;
then it runs the batch under the same id, as the next line of a crontab would.

    python examples/nightly_batch.py
"""

import os
import signal
import subprocess
import sys
from enum import Enum, auto
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from cano_sync import MemoryStore, Store, TaskContext, Workflow
from cano_sync.checkpoints import SQLiteCheckpoints

FILES = ("north.csv", "south.csv", "east.csv", "west.csv")


class Night(Enum):
    """The states."""

    COLLECT = auto()
    WORK = auto()
    REPORT = auto()
    DONE = auto()


def say(text: str) -> None:
    print(text, flush=True)  # at once: this process may not live to the end of its task


def collect(store: Store) -> Literal[Night.WORK]:
    say(f"collect: {len(FILES)} files")
    store.put("todo", list(FILES))
    store.put("lines", {})
    return Night.WORK


def work(store: Store, context: TaskContext) -> Literal[Night.WORK, Night.REPORT]:
    """One file in each visit: so much is lost at most."""
    file = store.get("todo", list).pop(0)
    say(f"work on {file}, key {context.key}" + (", once more" if context.redone else ""))
    if file == "east.csv" and "--die" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)  # the plug is pulled
    store.get("lines", dict)[file] = 10 * len(file)  # a change in place is recorded, too
    return Night.WORK if store.get("todo") else Night.REPORT


def report(store: Store) -> Literal[Night.DONE]:
    say(f"report: {sum(store.get('lines', dict).values())} lines")
    return Night.DONE


def batch(file: Path) -> Workflow[Night]:
    return (
        Workflow[Night]()
        .register(Night.COLLECT, collect)
        .register(Night.WORK, work)
        .register(Night.REPORT, report)
        .add_exit_state(Night.DONE)
        .with_checkpoints(SQLiteCheckpoints(file), name="nightly batch")
    )


def run(file: Path) -> None:
    """Begin the batch of this night, or go on with it, or see that it is done."""
    store = MemoryStore()
    final = batch(file).orchestrate(Night.COLLECT, store=store, run_id="2026-11-25")
    say(f"{final.name}: {store.get('lines')}")


def main() -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "nightly.db"
        child = subprocess.run([sys.executable, __file__, "--die", str(file)], check=False)
        say(f"-- the process has ended with {child.returncode}; the next one:")
        run(file)
        say("-- and the same once more:")
        run(file)
        with SQLiteCheckpoints(file) as checkpoints:
            for step in checkpoints.run("2026-11-25").steps:
                say(f"step {step.seq}, token {step.token}: {step.state}")


if __name__ == "__main__":
    if "--die" in sys.argv:
        run(Path(sys.argv[-1]))
    else:
        main()
