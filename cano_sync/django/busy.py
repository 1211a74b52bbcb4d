"""How many jobs pool threads are doing just now: tests wait for their end."""

from __future__ import annotations

__all__ = ("job_begins", "job_ends", "wait_until_idle")

import os
import threading
import time

from .._engine import occupancy

TO_BEGIN = 0.2
"""Seconds that a job gets at most to begin."""
STEP = 0.001

# The lock guards the number; it is notified when that becomes 0.
_idle = threading.Condition()
_jobs = 0


def job_begins() -> None:
    """A pool thread has begun a job."""
    global _jobs
    with _idle:
        _jobs += 1


def job_ends() -> None:
    """It has ended it, and closed its connections."""
    global _jobs
    with _idle:
        _jobs -= 1
        if not _jobs:
            _idle.notify_all()


def wait_until_idle(timeout: float) -> int:
    """Wait until no job is under way, at most `timeout` seconds; how many are there still?

    What was submitted a moment ago may not have begun: the pools know of it. They know of
    schedulers' threads as well, for which nobody waits longer than a moment.
    """
    end, moment = time.monotonic() + timeout, 0.0
    while True:
        with _idle:
            if not _idle.wait_for(lambda: not _jobs, max(0.0, end - time.monotonic())):
                return _jobs
        busy, _, waiting = occupancy()
        if moment > TO_BEGIN or not (busy or waiting):
            return 0
        time.sleep(STEP)
        moment += STEP


def _forget() -> None:
    """In a forked child: the parent's threads are not here, and one may have held the lock."""
    global _idle, _jobs
    _idle = threading.Condition()
    _jobs = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
