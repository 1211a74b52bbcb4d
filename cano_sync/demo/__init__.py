"""A demonstration: a real-time ad auction among services on this machine, over real HTTP.

`python -m cano_sync.demo --help` says what it can do, and `exchange.py` how. It is written as a
program of a user's would be: it takes the library by its front door.
"""
