"""The command line `cano-sync`, which needs the extra `cli`."""

import sys
from collections.abc import Sequence
from typing import NoReturn

try:
    from .program import main
except ModuleNotFoundError as error:
    if error.name not in ("click", "rich"):
        raise
    _missing = error.name

    def main(arguments: Sequence[str] | None = None, *, name: str = "cano-sync") -> NoReturn:
        """Say how to get what the command line needs."""
        sys.stderr.write(
            f"{name}: the command line needs {_missing}: pip install 'cano_sync[cli]'\n"
        )
        sys.exit(1)


__all__ = ("main",)
