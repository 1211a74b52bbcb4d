"""`python -m cano_sync.demo`."""

__all__ = ()

import sys

from .exchange import main

if __name__ == "__main__":
    sys.exit(main(program="cano_sync.demo"))
