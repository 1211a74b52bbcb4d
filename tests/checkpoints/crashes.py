"""`python -m tests.checkpoints.crashes SCENARIO FOLDER`: kill a run everywhere, and resume it.

A program of its own, for it forks: each run is begun in one child, which is killed, and gone on
with in others, until one comes to the end. Prints what is wrong, one line each, and how often it
has killed.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cano_sync import MemoryStore
from cano_sync.checkpoints import RunRecord, SQLiteCheckpoints
from cano_sync.checkpoints.testing import crash_at

from .scenarios import SCENARIOS, At

Arm = Callable[[SQLiteCheckpoints], object]


class Harness:
    """All crashes of one scenario, in one database: the runs do not know each other."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.problems: list[str] = []
        self.kills = 0

    def child(self, run_id: str, arm: Arm | float | None) -> int:
        """Run it, or go on with it, in a child; -9 where that was killed, by itself or in time."""
        pid = os.fork()
        if pid:
            if isinstance(arm, float):
                time.sleep(arm)
                os.kill(pid, signal.SIGKILL)  # not waited for yet, so nobody else has this number
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        try:
            checkpoints = SQLiteCheckpoints(self.folder / "runs.db")
            workflow = SCENARIOS[self.name](checkpoints, str(self.folder / f"{run_id}.effects"))
            if callable(arm):
                arm(checkpoints)
            workflow.orchestrate(At.FIRST, store=MemoryStore(), run_id=run_id)
            problems = list(self.differences(run_id, checkpoints))
            if problems:
                print(*(f"{run_id}: {problem}" for problem in problems), sep="\n", flush=True)
            os._exit(len(problems) and 1)
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    def crash(self, run_id: str, arms: Iterator[Arm | float | None]) -> bool:
        """Kill the run as each arm says, then let it come to its end; was it killed at all?"""
        was_killed = False
        for arm in arms:
            code = self.child(run_id, arm)
            if code == -signal.SIGKILL:
                self.kills += 1
                was_killed = True
            elif code != 0:
                self.problems.append(f"{run_id}: a child has ended with {code}, see above")
            else:
                break
        return was_killed

    def crash_opening(self, number: int, when: Any) -> bool:
        """Kill the process that makes a new file at this statement; was it killed at all?"""
        fresh = Harness(self.name, self.folder / f"new-{when}-{number}")
        fresh.folder.mkdir()
        code = fresh.child("of-a-new-file", lambda checkpoints: crash_at(checkpoints, number, when))
        fresh.crash("uncrashed", iter([None]))
        fresh.crash("of-a-new-file", iter([None]))
        self.kills += code == -signal.SIGKILL
        self.problems += fresh.problems
        return code == -signal.SIGKILL

    def differences(self, run_id: str, checkpoints: SQLiteCheckpoints) -> Iterator[str]:
        """What is not as it should be."""
        run, wanted = checkpoints.run(run_id), checkpoints.run("uncrashed")
        mine, theirs = shape_of(run), shape_of(wanted)
        if mine != theirs:
            yield f"it has come to {mine} instead of {theirs}"
        tokens = [step.token for step in run.steps]
        if tokens != sorted(tokens):
            yield f"its tokens fall: {tokens}"
        effects = self.effects(run_id)
        expected = {line.replace("uncrashed", run_id) for line in self.effects("uncrashed")}
        if set(effects) != expected:
            yield f"its effects are {effects}"
        for run_name in {line.split(" ")[-1].split(":")[0] for line in effects}:
            visits = [int(line.split(" ")[0]) for line in effects if line.endswith(run_name)]
            if visits != sorted(visits):
                yield f"a state was begun after the next was recorded: {effects}"

    def effects(self, run_id: str) -> list[str]:
        """What has happened, in order."""
        return (self.folder / f"{run_id}.effects").read_text().splitlines()


def shape_of(run: RunRecord) -> tuple[Any, ...]:
    """What is to be the same, however often it was killed."""
    steps = [(step.seq, step.state, dict(step.changes), step.removed) for step in run.steps]
    for _, _, changes, _ in steps:  # in whatever order the branches have come
        if "squares" in changes:
            changes["squares"] = sorted(changes["squares"])
        if "why" in changes:
            changes["why"] = changes["why"].replace(run.id, "")
    return run.status, run.state, steps, run.problem


def at_statement(number: int, when: Any) -> Iterator[Arm | None]:
    """Killed once, at this statement of the first process."""
    yield lambda checkpoints: crash_at(checkpoints, number, when)
    yield None


def at_each_in_turn(first: int) -> Iterator[Arm | None]:
    """Killed in each process again, a few statements later."""
    for number in range(first, first + 6):
        yield lambda checkpoints, number=number: crash_at(checkpoints, number)
    yield None


def at_random(longest: float) -> Iterator[float | None]:
    """Killed after so many seconds, three times."""
    for _ in range(3):
        yield random.uniform(0, longest)
    yield None


def main() -> int:
    name, folder, how = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    harness = Harness(name, folder)
    began = time.monotonic()
    assert harness.child("uncrashed", None) == 0
    took = time.monotonic() - began
    if how.startswith("random"):
        for number in range(int(how.removeprefix("random="))):
            harness.crash(f"random-{number}", at_random(took))
    else:
        moments = ("before", "after") if how == "all" else ("before",)
        stride = 1 if how == "all" else 3  # a transition has four: each of them comes in turn
        for when in moments:
            number = 1
            while harness.crash(f"{when}-{number}", at_statement(number, when)):
                number += stride
            for number in range(1, 25 if how == "all" else 1):
                harness.crash_opening(number, when)
        for first in range(1, 6 if how == "all" else 2):
            harness.crash(f"turn-{first}", at_each_in_turn(first))
    print(f"{harness.kills} kills, {len(harness.problems)} problems", *harness.problems, sep="\n")
    return len(harness.problems) and 1


if __name__ == "__main__":
    sys.exit(main())
