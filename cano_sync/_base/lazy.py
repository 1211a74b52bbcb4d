"""Modules that are loaded when they are first used, for what loading them all would cost."""

from __future__ import annotations

__all__ = ("Lazy",)

import os
import threading
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any

# Held while a module is loaded, and across a fork: a child must not inherit the lock of a module
# that another thread was just loading.
_loading = threading.RLock()


def _release_in_child() -> None:
    with suppress(RuntimeError):  # uWSGI forks by itself, and calls what comes after alone
        _loading.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_loading.acquire,
        after_in_parent=_loading.release,
        after_in_child=_release_in_child,
    )


class Lazy:
    """Stands for a module at the top of a file; safe from any thread.

    Args:
        name: the module's name, relative with a leading dot.
        package: what it is relative to: `__package__`.

    >>> Lazy("json").loads("[1, 2]")
    [1, 2]
    """

    __slots__ = ("_module", "_name", "_package")

    def __init__(self, name: str, package: str | None = None) -> None:
        self._name = name
        self._package = package
        self._module: ModuleType | None = None

    def __getattr__(self, attribute: str) -> Any:
        if self._module is None:
            with _loading:
                self._module = import_module(self._name, self._package)
        return getattr(self._module, attribute)
