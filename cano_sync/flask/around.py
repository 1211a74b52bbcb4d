"""A fresh app context around each task that is not on the thread of the one that it finds."""

from __future__ import annotations

__all__ = ("EXTENSION", "OWN_IN_G", "AppContextAround", "install")

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

from flask import Flask

from .. import Around, TaskContext, install_around
from .contexts import BranchContext, Home, current_app_context, is_at_home

EXTENSION = "cano_sync"
"""The key in `app.extensions` of an app that was given to `Cano`."""

OWN_IN_G = "CANO_OWN_IN_G"

_NOTHING: AbstractContextManager[Any] = nullcontext()


class AppContextAround(Around):
    """Tasks on another thread than that of the app context that they find get one of their own.

    Args:
        app: also tasks that find none, or one of another app, get one of this app; None for no
            such app: then only what was handed over from a context of an app with `Cano`.
    """

    def __init__(self, app: Flask | None = None) -> None:
        self._app = app

    def capture(self) -> Home | None:
        context = current_app_context()
        return None if context is None or not _has_cano(context.app) else Home(context)

    def task(self, context: TaskContext, captured: Any) -> AbstractContextManager[Any]:
        found = current_app_context()
        if found is None or not self._serves(found.app):
            return _NOTHING if self._app is None else BranchContext(self._app, {})
        if is_at_home(found, context):
            return _NOTHING
        if captured is None or captured.context is not found:
            return BranchContext(found.app, {})
        return BranchContext(found.app, _inherited(found.app, captured))

    def _serves(self, app: Flask) -> bool:
        return _has_cano(app) if self._app is None else app is self._app


def _has_cano(app: Flask) -> bool:
    return EXTENSION in app.extensions


def _inherited(app: Flask, home: Home) -> dict[str, Any]:
    """What of `g` is seen in a branch."""
    own = app.config[OWN_IN_G]
    return {name: value for name, value in home.values.items() if name not in own}


@cache
def install() -> None:
    """Surround all runs of the process: once for all apps, each known by its contexts."""
    install_around(AppContextAround())
