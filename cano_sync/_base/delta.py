"""Deltas: what has changed in a store from one step of a run to the next, as text."""

from __future__ import annotations

__all__ = ("REMOVED", "changes_in", "fold", "text_of")

import json
from collections.abc import Iterable, Mapping
from json.encoder import encode_basestring_ascii
from typing import Any

from ..errors import CorruptCheckpointError
from .text import error_text

REMOVED = '{"$removed":1}'
"""Stands for the value of a key that is gone. No value is written like this."""
_GONE = json.loads(REMOVED)


def text_of(changes: Mapping[str, str]) -> str:
    """A delta of keys and the texts of their values, of the codec or `REMOVED`.

    >>> text_of({"amount": "3", "order": REMOVED})
    '{"amount":3,"order":{"$removed":1}}'
    """
    return (
        "{"
        + ",".join([f"{encode_basestring_ascii(key)}:{text}" for key, text in changes.items()])
        + "}"
    )


def changes_in(delta: str) -> tuple[dict[str, Any], list[str]]:
    """What a delta sets, as JSON gives it, and which keys it removes.

    Raises:
        CorruptCheckpointError: it is no delta.
    """
    try:
        given = json.loads(delta)
        if type(given) is not dict:
            raise ValueError(f"it is no object, but {given!r}")
    except (ValueError, RecursionError) as error:
        raise CorruptCheckpointError(f"it cannot be read: {error_text(error)}") from error
    removed = [key for key, value in given.items() if value == _GONE]
    for key in removed:
        del given[key]
    return given, removed


def fold(deltas: Iterable[str]) -> dict[str, Any]:
    """What a store holds after these deltas, in their order: values as JSON gives them."""
    store: dict[str, Any] = {}
    for delta in deltas:
        given, removed = changes_in(delta)
        store.update(given)
        for key in removed:
            store.pop(key, None)
    return store
