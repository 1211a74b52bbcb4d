"""Both backends keep the contract of backends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cano_sync.checkpoints import MemoryCheckpoints, SQLiteCheckpoints
from cano_sync.checkpoints.database import Database
from cano_sync.checkpoints.testing import CheckpointsContract


class TestMemory(CheckpointsContract):
    """In memory."""

    def make(self) -> MemoryCheckpoints:
        return MemoryCheckpoints()

    def after_crash(self, checkpoints: Any) -> MemoryCheckpoints:
        made: MemoryCheckpoints = checkpoints.after_crash()
        return made


@pytest.mark.parametrize("survive", ["crash", "power"])
class TestSQLite(CheckpointsContract):
    """In a file, each time a new one."""

    @pytest.fixture(autouse=True)
    def files(self, tmp_path: Path, survive: Any) -> Iterator[None]:
        self.folder, self.survive, self.opened = tmp_path, survive, list[SQLiteCheckpoints]()
        yield
        for checkpoints in self.opened:
            checkpoints.close()

    def make(self) -> SQLiteCheckpoints:
        path = self.folder / f"{len(self.opened)}.db"
        self.opened.append(SQLiteCheckpoints(path, survive=self.survive))
        return self.opened[-1]

    def after_crash(self, checkpoints: Any) -> SQLiteCheckpoints:
        """Another database object of this process, whose own lock file is gone, stands for it."""
        there = checkpoints._known()
        other = SQLiteCheckpoints(there.path)
        other._database = Database(there.path)
        there.process.close()
        self.opened.append(other)
        return other
