"""The laws, with a hand-over possible at each line of the engine that holds no lock."""

from __future__ import annotations

import pytest

from cano_sync.testing import explore
from cano_sync.testing.simulation import simulate as simulate_module
from tests.laws.engine_lines import switching_at_engine_lines
from tests.laws.test_simulated_laws import LAWS

FEW, MANY = 4, 300


@pytest.fixture(autouse=True)
def engine_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `switch="line"` means here."""
    monkeypatch.setattr(simulate_module, "switching_at_lines", switching_at_engine_lines)


@pytest.mark.parametrize("name", LAWS)
def test_a_law_holds_between_any_two_lines(name: str) -> None:
    explore(FEW, switch="line")(LAWS[name])()


@pytest.mark.servers
@pytest.mark.timeout(600)
@pytest.mark.parametrize("strategy", ["pct", "random"])
@pytest.mark.parametrize("name", LAWS)
def test_a_law_holds_between_any_two_lines_many_times(name: str, strategy: str) -> None:
    explore(MANY, strategy=strategy, switch="line")(LAWS[name])()
