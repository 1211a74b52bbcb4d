"""What a workflow is called in spans and labels."""

from __future__ import annotations

__all__ = ("check_name", "workflow_name")

from typing import Any

from ...errors import ConfigurationError


def check_name(name: object) -> None:
    """A name for workflows, or None.

    Raises:
        ConfigurationError: it is neither.
    """
    if name is not None and not (isinstance(name, str) and name):
        raise ConfigurationError(
            f"name is what the workflow is called in spans and labels, not {name!r}; leave it "
            "out (None) to call it after the enum of its states"
        )


def workflow_name(name: str | None, state: Any) -> str:
    """The name that it was given, or else that of its enum of states.

    >>> workflow_name("nightly", "START"), workflow_name(None, "START")
    ('nightly', 'str')
    """
    return type(state).__name__ if name is None else name
