"""A workflow in a Flask view: built once, run for each request, with `request` in its branches.

python examples/flask_view.py --demo     three requests by the test client
python examples/flask_view.py            a server: http://127.0.0.1:5000/quote?sku=A-17
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
    TaskContext,
    Workflow,
)


class Quote(Enum):
    """The states."""

    READ = auto()
    ASK = auto()
    CHOOSE = auto()
    EXPLAIN = auto()
    QUOTED = auto()
    BAD_REQUEST = auto()


STATUS = {Quote.QUOTED: 200, Quote.BAD_REQUEST: 400}
PRICES = {"acme": Decimal("2.50"), "bolts & co": Decimal("2.35"), "slow motion": Decimal("1.95")}


def read(store: Store) -> Literal[Quote.ASK]:
    """What is wrong here goes to EXPLAIN: see `error_state` below."""
    sku, amount = request.args.get("sku", ""), request.args.get("amount", "1")
    if not sku.startswith("A-"):
        raise ValueError(f"there is no article {sku!r}")
    if not amount.isdecimal() or int(amount) < 1:
        raise ValueError(f"{amount!r} is no amount")
    store.put("amount", int(amount))
    return Quote.ASK


def ask(supplier: str, store: Store, cancel: CancellationToken) -> dict[str, str]:
    """A branch: on another thread, and yet Flask's `request` is the caller's."""
    if supplier == "slow motion" and request.args["sku"] == "A-99":
        cancel.sleep(60)  # it has to look for that one
    price = store.get("amount", int) * PRICES[supplier]
    return {"supplier": supplier, "price": str(price), "for": request.headers["X-Customer"]}


def choose(store: Store) -> Literal[Quote.QUOTED]:
    offers = store.get("offers", list)
    store.put("answer", min(offers, key=lambda offer: Decimal(offer["price"])))
    return Quote.QUOTED


def explain(store: Store, context: TaskContext) -> Literal[Quote.BAD_REQUEST]:
    assert context.error is not None  # an error is the only way to come here
    store.put("answer", {"error": str(context.error.__cause__)})
    return Quote.BAD_REQUEST


# At import time: what is wrong with it shows when the server starts, not at the first request.
workflow = (
    Workflow()
    .register(Quote.READ, read, error_state=Quote.EXPLAIN)
    .register_split(
        Quote.ASK,
        [partial(ask, supplier) for supplier in PRICES],
        JoinConfig(JoinStrategy.ALL, Quote.CHOOSE, timeout=0.5, collect="offers"),
    )
    .register(Quote.CHOOSE, choose)
    .register(Quote.EXPLAIN, explain)
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
    if "--demo" not in sys.argv[1:]:
        app.run()
        return
    client = app.test_client()
    for query in ("sku=A-17&amount=3", "sku=B-1", "sku=A-99"):
        response = client.get(f"/quote?{query}", headers={"X-Customer": "Ada"})
        print(
            f"GET /quote?{query}\n  {response.status}\n  {response.get_data(as_text=True).strip()}"
        )


if __name__ == "__main__":
    main()
