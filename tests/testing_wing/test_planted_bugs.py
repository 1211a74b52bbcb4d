"""Every planted bug is found within 1,000 seeds, and no right program is ever accused."""

from __future__ import annotations

import pytest

from cano_sync.testing import SimulationFailure, explore
from tests.testing_wing.programs import BUGS, RIGHT, SETTINGS

WITHIN = 1_000
"""Seeds within which a bug is found."""


def test_there_are_twenty_of_each() -> None:
    assert len(BUGS) >= 20
    assert len(RIGHT) >= 20


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str) -> None:
    """And it is found again by the schedule that the failure shows."""
    program = BUGS[name]
    with pytest.raises(SimulationFailure) as caught:
        explore(WITHIN, **SETTINGS[name])(program)()
    failure = caught.value
    assert failure.seed is not None
    with pytest.raises(SimulationFailure) as again:
        explore([failure.seed], schedule=failure.schedule, **SETTINGS[name])(program)()
    assert again.value.story == failure.story


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_program_is_not_accused(name: str) -> None:
    explore(60, **SETTINGS[name])(RIGHT[name])()
    explore(20, strategy="random", **SETTINGS[name])(RIGHT[name])()


@pytest.mark.servers
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_program_is_never_accused(name: str) -> None:
    explore(8_000, **SETTINGS[name])(RIGHT[name])()
    explore(2_000, strategy="random", **SETTINGS[name])(RIGHT[name])()
