"""An observer that notes all it receives, for tests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from cano_sync._model.hooks import HOOKS, Observer

RunEvents = tuple[str, dict[str, Any]]


class Notes(Observer):
    """Notes each hook with what it was given, and `thread`: the name of the one it came on."""

    def __init__(self) -> None:
        self.all: list[RunEvents] = []  # append() is atomic

    def names(self, *only: str) -> list[str]:
        """The hooks in the order in which they came, or only some of them."""
        return [hook for hook, _ in list(self.all) if not only or hook in only]

    def of(self, hook: str) -> list[dict[str, Any]]:
        """What this hook was given, each time."""
        return [facts for name, facts in list(self.all) if name == hook]

    def one(self, hook: str) -> dict[str, Any]:
        """What this hook was given, which came once."""
        (facts,) = self.of(hook)
        return facts


def _noting(hook: str) -> Callable[..., None]:
    def note(self: Notes, **facts: Any) -> None:
        self.all.append((hook, {**facts, "thread": threading.current_thread().name}))

    return note


for _hook in HOOKS:
    setattr(Notes, _hook, _noting(_hook))
