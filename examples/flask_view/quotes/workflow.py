"""The workflow: which suppliers there are, ask all of them at once, take the cheapest offer."""

from collections.abc import Iterator
from decimal import Decimal
from enum import Enum, auto
from functools import partial
from typing import Any, Literal

from flask import request
from sqlalchemy import select

from cano_sync import CancellationToken, JoinConfig, JoinStrategy, Store, Workflow

from .models import Asked, Supplier, db


class Quote(Enum):
    """The states."""

    READ = auto()
    ASK = auto()
    CHOOSE = auto()
    QUOTED = auto()
    BAD_REQUEST = auto()


def read(store: Store) -> Literal[Quote.ASK, Quote.BAD_REQUEST]:
    """On the view's thread, with the view's session."""
    amount = request.args.get("amount", "1")
    if not amount.isdecimal():
        store.put("answer", {"error": f"{amount!r} is no amount"})
        return Quote.BAD_REQUEST
    store.put("amount", int(amount))
    store.put("suppliers", list(db.session.scalars(select(Supplier.id).order_by(Supplier.id))))
    return Quote.ASK


def askings(store: Store) -> Iterator[Any]:
    """A branch for each supplier; they get ids, for objects belong to the session of a thread."""
    for supplier in store.get("suppliers", list):
        yield partial(ask, supplier)


def ask(supplier_id: int, store: Store, cancel: CancellationToken) -> dict[str, str]:
    """A branch: on another thread, with a session of its own; `request` is the caller's."""
    sku = request.args.get("sku", "")
    supplier = db.session.get_one(Supplier, supplier_id)
    name, price = supplier.name, supplier.price * store.get("amount", int)
    db.session.add(Asked(supplier=name, sku=sku))
    if name == "slow motion" and sku == "A-99":
        cancel.sleep(60)  # it has to look for that one
    cancel.check()  # nothing is committed once nobody waits for it
    db.session.commit()
    return {"supplier": name, "price": f"{price:.2f}", "sku": sku}


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
        askings,
        JoinConfig(JoinStrategy.ALL, Quote.CHOOSE, collect="offers"),
    )
    .register(Quote.CHOOSE, choose)
    .add_exit_states(Quote.QUOTED, Quote.BAD_REQUEST)
)
workflow.validate()
