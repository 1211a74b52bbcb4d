"""The workflows that the system checks look at."""

from __future__ import annotations

__all__ = ("Known", "known_workflows", "listed_problems")

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django import conf
from django.urls import get_resolver
from django.utils.module_loading import import_string

from .. import Workflow
from .._base.text import error_text, full_name
from .._model.description import SplitState
from ..errors import ConfigurationError
from .options import workflow_paths


@dataclass(frozen=True, slots=True)
class Known:
    """A workflow, and the dotted path that it was found by."""

    path: str
    workflow: Workflow[Any]

    def splits(self) -> Iterator[tuple[str, int | None, bool]]:
        """Of each split its name, how many branches run at once (None: unknown), and whether
        a bulkhead says so."""
        for state, what in self.workflow.description.states.items():
            if isinstance(what, SplitState):
                named = f"{self.path}, state {full_name(state)}"
                count = len(what.tasks) if what.factory is None else None
                bulkhead = what.join.bulkhead
                if bulkhead is None:
                    yield named, count, False
                else:
                    yield named, bulkhead if count is None else min(bulkhead, count), True


def known_workflows() -> list[Known]:
    """Those of the setting, and those that modules of views have as global names."""
    found: dict[int, Known] = {}
    for path, given in _listed():
        if isinstance(given, Workflow):
            found.setdefault(id(given), Known(path, given))
    has_urls = getattr(conf.settings, "ROOT_URLCONF", None)
    for name in sorted(_modules_of_views(get_resolver())) if has_urls else ():
        for attribute, value in vars(sys.modules[name]).items():
            if isinstance(value, Workflow):
                found.setdefault(id(value), Known(f"{name}.{attribute}", value))
    return list(found.values())


def listed_problems() -> list[str]:
    """What in the setting's list is no workflow, a sentence each."""
    return [
        f"CANO_SYNC['WORKFLOWS'] has {path!r}: {error_text(given)}"
        if isinstance(given, Exception)
        else f"CANO_SYNC['WORKFLOWS'] has {path!r}, which is no Workflow but {given!r}"
        for path, given in _listed()
        if not isinstance(given, Workflow)
    ]


def _listed() -> Iterator[tuple[str, Any]]:
    """Each path with what it leads to, or with the error."""
    try:
        paths = workflow_paths()
    except ConfigurationError:  # which is said by another check
        return
    for path in paths:
        try:
            yield path, import_string(path)
        except Exception as error:
            yield path, error


def _modules_of_views(resolver: Any) -> set[str]:
    found = set()
    for pattern in resolver.url_patterns:
        if hasattr(pattern, "url_patterns"):
            found |= _modules_of_views(pattern)
            continue
        view = pattern.callback
        found |= {each.__module__ for each in (view, getattr(view, "view_class", view))}
    return found & set(sys.modules)
