"""Modules that are loaded when they are first used, for what loading them all would cost."""

from __future__ import annotations

__all__ = ("Lazy",)

from importlib import import_module
from typing import Any


class Lazy:
    """Stands for a module at the top of a file; safe from any thread.

    Args:
        name: the module's name, relative with a leading dot.
        package: what it is relative to: `__package__`.

    >>> Lazy("json").loads("[1, 2]")
    [1, 2]
    """

    __slots__ = ("_name", "_package")

    def __init__(self, name: str, package: str | None = None) -> None:
        self._name = name
        self._package = package

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name, self._package), attribute)
