"""What a simulation raises, and what it warns of."""

from __future__ import annotations

__all__ = (
    "ExplorationCutWarning",
    "ScheduleWarning",
    "SimulationError",
    "SimulationFailure",
    "SimulationOver",
)


class SimulationError(Exception):
    """The simulation itself cannot go on: something blocks outside it, or a second one is begun."""


class SimulationFailure(AssertionError):
    """A run did what it must not: an assertion of the test's, or a check that is always on.

    Its `__cause__` is what was raised, where a test of `explore` did so.

    Attributes:
        seed: the seed that showed it.
        schedule: the decisions that lead to it, to be given as `schedule=`.
        story: what happened, line by line.
    """

    def __init__(
        self, message: str, *, seed: int | None = None, schedule: str = "", story: str = ""
    ) -> None:
        super().__init__(message)
        self.seed = seed
        self.schedule = schedule
        self.story = story


class ScheduleWarning(UserWarning):
    """A schedule no longer fits: the workflow has other switch points than when it was recorded."""


class ExplorationCutWarning(UserWarning):
    """Not all schedules were tried: the exploration came to its `limit`."""


class SimulationOver(BaseException):
    """Raised at the switch points of what is still there when a simulation has ended.

    It derives from `BaseException`, so that neither the engine nor a task takes it for a failure.
    """
