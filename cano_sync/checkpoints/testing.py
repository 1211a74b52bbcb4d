"""For tests of checkpoints: a contract that each backend has to keep, and crashes at will."""

from __future__ import annotations

__all__ = ("CheckpointsContract", "crash_at")

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from .._base.delta import text_of
from .._model.checkpoint import Checkpoints, RunRow, RunStatus, StepKind, StepRow, Stored
from ..errors import ConfigurationError, RunLostError
from .sqlite import SQLiteCheckpoints


def crash_at(
    checkpoints: SQLiteCheckpoints, number: int, when: Literal["before", "after"] = "before"
) -> None:
    """Have this process killed, by SIGKILL, around its n-th statement that may write.

    What a program that is killed at any instruction leaves behind, a test can so go through one
    by one, in child processes.

    Args:
        checkpoints: whose statements are counted, from now on.
        number: of the statement, from 1.
        when: before it, or after it.

    Raises:
        ConfigurationError: there is no such moment.
    """
    if number < 1 or when not in ("before", "after"):
        raise ConfigurationError(
            f"crash_at({number!r}, {when!r}): give a number from 1, and 'before' or 'after'"
        )
    left = [number]

    def heard(moment: str) -> None:
        left[0] -= moment == "before"
        if left[0] == 0 and moment == when:
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoints._known().watch(heard)


class CheckpointsContract:
    """What every backend keeps, as tests for pytest: derive from it, and override two methods.

    ::

        class TestMine(CheckpointsContract):
            def make(self):
                return MyCheckpoints(new_database())

            def after_crash(self, checkpoints):
                return MyCheckpoints(checkpoints.database)
    """

    def make(self) -> Checkpoints:
        """A backend without any runs."""
        raise NotImplementedError

    def after_crash(self, checkpoints: Any) -> Checkpoints:
        """The same runs, as another process finds them when the one that had them is dead."""
        raise NotImplementedError

    # What the tests are written with.

    def begin(self, checkpoints: Checkpoints, run_id: str = "run") -> bool:
        """Begin a run with one key in its store."""
        now = time.time()
        row = RunRow(
            run_id, "flow", "0", "", RunStatus.RUNNING, "A", 0, 1, None, 0, "A", "", None, now, now,
            None,
        )  # fmt: skip
        return checkpoints.begin(row, self.step(0, "A", is_full=True), cancel=None)

    def step(self, seq: int, state: str, token: int = 1, *, is_full: bool = False) -> StepRow:
        """A step that sets one key."""
        delta = text_of({"n": str(seq)})
        return StepRow(seq, state, time.time(), token, StepKind.ENTERED, is_full, delta)

    def look(self, checkpoints: Checkpoints, run_id: str = "run") -> Stored:
        """The run, with all its steps."""
        stored = checkpoints.look(run_id, cancel=None, history=True)
        assert stored is not None
        return stored

    def end(self, checkpoints: Checkpoints, token: int, seq: int, state: str | None) -> None:
        """End the run in an exit state, or failed where there is none."""
        checkpoints.end(
            "run",
            token,
            RunStatus.FAILED if state is None else RunStatus.DONE,
            seq=seq,
            step=None if state is None else self.step(seq + 1, state, token),
            error='"it broke"' if state is None else None,
            cancel=None,
        )

    # The tests.

    def test_what_was_begun_is_there_and_is_this_process_s_own(self) -> None:
        checkpoints = self.make()
        assert checkpoints.look("run", cancel=None) is None
        assert self.begin(checkpoints)
        stored = self.look(checkpoints)
        assert (stored.run.status, stored.run.state) == (RunStatus.RUNNING, "A")
        assert (stored.run.seq, stored.run.token, stored.run.begun) == (0, 1, 0)
        assert stored.steps == (self.step(0, "A", is_full=True)._replace(
            entered_at=stored.steps[0].entered_at
        ),)  # fmt: skip
        assert stored.owner is not None and stored.owner.is_alive and stored.is_walked_here

    def test_an_id_is_begun_once(self) -> None:
        checkpoints = self.make()
        assert self.begin(checkpoints)
        before = self.look(checkpoints)
        assert not self.begin(checkpoints)
        assert self.look(checkpoints) == before

    def test_steps_are_numbered_without_gaps_and_a_second_one_of_a_number_is_refused(self) -> None:
        checkpoints = self.make()
        self.begin(checkpoints)
        checkpoints.move("run", 1, self.step(1, "B"), cancel=None)
        before = self.look(checkpoints)
        for step in (self.step(3, "X"), self.step(0, "X")):
            _lost(partial(checkpoints.move, "run", 1, step, cancel=None))
        after = self.look(checkpoints)
        assert (after.run, after.steps) == (before.run, before.steps)
        assert [(step.seq, step.state) for step in before.steps] == [(0, "A"), (1, "B")]
        assert (before.run.seq, before.run.state) == (1, "B")

    def test_a_run_is_the_one_s_that_has_claimed_it_last(self) -> None:
        first = self.make()
        self.begin(first)
        first.move("run", 1, self.step(1, "B"), cancel=None)
        seen = self.look(first).run
        claimed = first.claim(seen, cancel=None)
        assert claimed is not None
        assert (claimed.token, claimed.begun, claimed.seq) == (2, 1, 1)
        assert first.claim(seen, cancel=None) is None  # the row is another one by now
        _lost(lambda: first.move("run", 1, self.step(2, "C"), cancel=None))
        _lost(lambda: self.end(first, 1, 1, "Z"))
        _lost(lambda: self.end(first, 1, 1, None))
        first.rest("run", 1)  # of what is lost, nothing is given back
        assert self.look(first).run == claimed
        first.move("run", 2, self.step(2, "C", 2), cancel=None)
        assert self.look(first).run.begun == 0

    def test_what_was_given_back_is_ready_for_anybody(self) -> None:
        checkpoints = self.make()
        self.begin(checkpoints)
        checkpoints.rest("run", 1)
        stored = self.look(checkpoints)
        assert stored.run.status is RunStatus.READY
        assert stored.owner is None and not stored.is_walked_here
        _lost(lambda: checkpoints.move("run", 1, self.step(1, "B"), cancel=None))
        assert checkpoints.claim(stored.run, cancel=None) is not None

    def test_a_run_ends_once_in_an_exit_state_or_with_an_error(self) -> None:
        for state in ("Z", None):
            checkpoints = self.make()
            self.begin(checkpoints)
            self.end(checkpoints, 1, 0, state)
            run = self.look(checkpoints).run
            assert run.owner is None and run.ended_at is not None
            if state is None:
                assert (run.status, run.state, run.seq) == (RunStatus.FAILED, "A", 0)
                assert run.error == '"it broke"'
            else:
                assert (run.status, run.state, run.seq) == (RunStatus.DONE, "Z", 1)
            _lost(partial(self.end, checkpoints, 1, run.seq, "Y"))
            assert self.look(checkpoints).run == run

    def test_a_claim_can_put_the_run_elsewhere_in_the_same_moment(self) -> None:
        checkpoints = self.make()
        self.begin(checkpoints)
        checkpoints.rest("run", 1)
        seen = self.look(checkpoints).run
        step = self.step(0, "NEW", is_full=True)._replace(kind=StepKind.UPGRADED)
        claimed = checkpoints.claim(seen._replace(version="2"), step=step, cancel=None)
        assert claimed is not None and (claimed.state, claimed.seq) == ("NEW", 1)
        stored = self.look(checkpoints)
        assert stored.run == claimed and stored.run.version == "2"
        assert [(each.seq, each.kind, each.token) for each in stored.steps] == [
            (0, StepKind.ENTERED, 1),
            (1, StepKind.UPGRADED, 2),
        ]

    def test_only_steps_from_the_last_full_one_on_are_read(self) -> None:
        checkpoints = self.make()
        self.begin(checkpoints)
        for seq in range(1, 6):
            checkpoints.move("run", 1, self.step(seq, "B", is_full=seq == 3), cancel=None)
        stored = checkpoints.look("run", cancel=None)
        assert stored is not None
        assert [step.seq for step in stored.steps] == [3, 4, 5]
        assert [step.seq for step in self.look(checkpoints).steps] == [0, 1, 2, 3, 4, 5]

    def test_after_a_crash_all_is_there_and_its_owner_is_dead(self) -> None:
        dying = self.make()
        self.begin(dying)
        dying.move("run", 1, self.step(1, "B"), cancel=None)
        before = self.look(dying)
        other = self.after_crash(dying)
        stored = self.look(other)
        assert (stored.run, stored.steps) == (before.run, before.steps)
        assert stored.owner is not None and not stored.owner.is_alive
        assert not stored.is_walked_here
        claimed = other.claim(stored.run, cancel=None)
        assert claimed is not None
        other.move("run", 2, self.step(2, "C", 2), cancel=None)
        _lost(lambda: dying.move("run", 1, self.step(2, "X"), cancel=None))
        self.end(other, 2, 2, "Z")
        assert [step.state for step in self.look(other).steps] == ["A", "B", "C", "Z"]


def _lost(act: Callable[[], object]) -> RunLostError:
    """What the fence raises, as it has to."""
    try:
        act()
    except RunLostError as error:
        return error
    raise AssertionError("the fence is open: this was written by who has lost the run")
