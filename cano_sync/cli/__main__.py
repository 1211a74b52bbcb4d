"""`python -m cano_sync.cli`."""

__all__ = ()

from cano_sync.cli import main

if __name__ == "__main__":
    main()
