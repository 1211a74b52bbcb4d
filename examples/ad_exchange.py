"""A real-time ad auction: ten services asked over HTTP, and a winner after 300 milliseconds.

The whole of the library at work. It is part of the package, so that `python -m cano_sync.demo` and
`cano-sync demo` run it after a plain install, too; how it is done is in `cano_sync/demo`: the
machine in `exchange.py`, and the services, the HTTP calls and the books beside it. Try it:

    python examples/ad_exchange.py
    python examples/ad_exchange.py --floor 5
    python examples/ad_exchange.py --break steady=down --break brisk=garbage
    python examples/ad_exchange.py --break geo=hang
    python examples/ad_exchange.py --break bidders=500
    python examples/ad_exchange.py --html auction.html
    python examples/ad_exchange.py --help
"""

import sys

from cano_sync.demo.exchange import main

if __name__ == "__main__":
    sys.exit(main(program="ad_exchange.py"))
