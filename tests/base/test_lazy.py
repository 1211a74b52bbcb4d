"""Modules that are loaded when they are first used."""

from __future__ import annotations

import sys

import pytest

from cano_sync._base.lazy import Lazy


def test_a_module_is_loaded_by_its_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Lazy("colorsys")
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    assert "colorsys" not in sys.modules
    assert module.rgb_to_hsv(0, 0, 0) == (0.0, 0.0, 0)
    assert "colorsys" in sys.modules


def test_a_name_may_be_relative() -> None:
    assert Lazy(".errors", "cano_sync").root_of(None) is None


def test_what_is_not_there_says_so() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        Lazy("no_such_module").anything  # noqa: B018
    with pytest.raises(AttributeError, match="no_such_name"):
        Lazy("json").no_such_name  # noqa: B018
