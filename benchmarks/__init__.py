"""How fast the engine is, against the same work written by hand: `python -m benchmarks`."""
