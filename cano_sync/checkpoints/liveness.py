"""Whether a process of this machine still lives: it holds a lock that ends with it."""

from __future__ import annotations

__all__ = ("ProcessLock",)

import atexit
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> bool:
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    # lockf, not flock: a lock of flock is inherited by a forked child, and outlives its owner
    # as long as that child lives.
    def _lock(file: int) -> bool:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


class ProcessLock:
    """This start of this process, as others see it: a locked file whose name is an id.

    The operating system frees the lock when the process ends, in whatever way, and at no other
    time: not while it is stopped, not when a clock is set. A forked child has to make one of its
    own. Never more than one for a folder and process: closing any descriptor of a file drops the
    locks on it that the process has.

    Args:
        folder: where the files are; made, if it is not there.

    Attributes:
        id: 128 random bits in hex, new for each start: never the name of a host, or a number
            that comes again.
        host: the machine's name.
        pid: the process's number.
        started_at: when this was made, in seconds since the epoch.

    Raises:
        OSError: the folder or the file could not be made.
    """

    def __init__(self, folder: Path) -> None:
        self.id = os.urandom(16).hex()
        self.host = socket.gethostname()
        self.pid = os.getpid()
        self.started_at = time.time()
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        self._path = folder / self.id
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        if not _lock(self._file):
            raise OSError(f"{self._path} could not be locked")
        atexit.register(self.close)

    def is_alive(self, owner: str) -> bool:
        """Whether the process with this id lives. One that is dead leaves nothing behind."""
        if owner == self.id:
            return True
        if not owner.isalnum():  # a damaged row: it must name no other file
            return False
        path = self._folder / owner
        try:
            file = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return False
        except OSError:  # another user's process: who cannot look takes nothing over
            return True
        try:
            if not _lock(file):
                return True
            with suppress(OSError):
                path.unlink()
            return False
        finally:
            os.close(file)

    @contextmanager
    def alone(self, what: str) -> Iterator[bool]:
        """Whether this is the only process, among all of the folder, that does this now.

        For one thread of the process at a time.
        """
        file = os.open(self._folder / f"{what}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield _lock(file)
        finally:
            os.close(file)

    def close(self) -> None:
        """Give the lock up: whatever this process still has is up for others."""
        atexit.unregister(self.close)
        if self._file >= 0 and self.pid == os.getpid():
            with suppress(OSError):
                self._path.unlink()
            os.close(self._file)
        self._file = -1

    def forget(self) -> None:
        """In a forked child: this is the parent's, and stays so."""
        atexit.unregister(self.close)
        if self._file >= 0:
            os.close(self._file)
        self._file = -1
