"""The warning of a branch that queries beside an open transaction, at the place where it does."""

from __future__ import annotations

__all__ = ("OpenTransactionWarning", "warn_at_the_query")

import contextlib
import os
import sys
import warnings
from pathlib import Path

import django


class OpenTransactionWarning(RuntimeWarning):
    """A task on a pool thread queries a database on which its view holds an open transaction.

    It has a connection of its own. So it does not see what the transaction has written, what it
    writes stays when the transaction is rolled back, and it may wait, for ever, for a row that the
    transaction has locked. Python shows a warning once for each place. To make it an error in
    tests: `warnings.simplefilter("error", OpenTransactionWarning)`.
    """


# Frames of these are on the way from the user's code to the query, and are not the place.
_ON_THE_WAY = (
    f"{Path(django.__file__).parent}{os.sep}",
    f"{Path(__file__).parents[1]}{os.sep}",
    contextlib.__file__,  # which calls a function that atomic() decorates
)


def warn_at_the_query(message: str) -> None:
    """Warn with the place in the user's code that has led here."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_ON_THE_WAY):
        frame = frame.f_back
    warnings.warn_explicit(
        message,
        OpenTransactionWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=frame.f_globals.get("__name__"),
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )
