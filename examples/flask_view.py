"""A workflow in a Flask view: built once, run for each request, with `request` in its branches.

The tasks read Flask's `request` wherever they run. The store is the request's own: two requests
at the same time share the workflow, and nothing else.

    python examples/flask_view.py              three requests by the test client
    python examples/flask_view.py --serve      a server: http://127.0.0.1:5000/quote?sku=A-17
"""

import sys
from decimal import Decimal
from enum import Enum, auto
from functools import partial
from typing import Literal

from flask import Flask, request
from flask.typing import ResponseReturnValue

from cano_sync import (
    CancellationToken,
    JoinConfig,
    JoinStrategy,
    MemoryStore,
    Store,
    Workflow,
)


class Quote(Enum):
    """The states."""

    READ = auto()
    ASK = auto()
    CHOOSE = auto()
    QUOTED = auto()
    BAD_REQUEST = auto()


STATUS = {Quote.QUOTED: 200, Quote.BAD_REQUEST: 400}
PRICES = {"acme": Decimal("2.50"), "bolts & co": Decimal("2.35"), "slow motion": Decimal("1.95")}


def read(store: Store) -> Literal[Quote.ASK, Quote.BAD_REQUEST]:
    amount = request.args.get("amount", "1")
    if not amount.isdecimal():
        store.put("answer", {"error": f"{amount!r} is no amount"})
        return Quote.BAD_REQUEST
    store.put("amount", int(amount))
    return Quote.ASK


def ask(supplier: str, store: Store, cancel: CancellationToken) -> dict[str, str | None]:
    """A branch: on another thread, and yet Flask's `request` is the caller's."""
    if supplier == "slow motion" and request.args.get("sku") == "A-99":
        cancel.sleep(60)  # it has to look for that one
    price = store.get("amount", int) * PRICES[supplier]
    return {"supplier": supplier, "price": str(price), "sku": request.args.get("sku")}


def choose(store: Store) -> Literal[Quote.QUOTED]:
    offers = store.get("offers", list)
    store.put("answer", min(offers, key=lambda offer: Decimal(offer["price"])))
    return Quote.QUOTED


# At import time: what is wrong with it shows when the server starts, not at the first request.
workflow = (
    Workflow()
    .register(Quote.READ, read)
    .register_split(
        Quote.ASK,
        [partial(ask, supplier) for supplier in PRICES],
        JoinConfig(JoinStrategy.ALL, Quote.CHOOSE, timeout=0.5, collect="offers"),
    )
    .register(Quote.CHOOSE, choose)
    .add_exit_states(STATUS)
)
workflow.validate()
app = Flask(__name__)


@app.get("/quote")
def quote() -> ResponseReturnValue:
    store = MemoryStore()  # this request's own
    final = workflow.orchestrate(Quote.READ, store=store)
    return store.get("answer", dict), STATUS[final]


@app.errorhandler(TimeoutError)
def too_late(error: TimeoutError) -> ResponseReturnValue:
    """A split's or a workflow's time was up."""
    return {"error": str(error)}, 504


def main() -> None:
    if "--serve" in sys.argv[1:]:
        app.run()
        return
    client = app.test_client()
    for query in ("sku=A-17&amount=3", "sku=A-17&amount=many", "sku=A-99"):
        response = client.get(f"/quote?{query}")
        print(f"GET /quote?{query}")
        print(f"  {response.status}: {response.get_data(as_text=True).strip()}")


if __name__ == "__main__":
    main()
