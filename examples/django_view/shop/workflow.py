"""The workflows, made once, when the module is loaded.

- States of their own run on the view's thread. What they write belongs to the view's transaction
  (ATOMIC_REQUESTS), and is rolled back with it.
- Branches of a split run on other threads, beside that transaction: they ask others and compute.
  What they need of the database was read before, and lies in the store.
- What shall happen in the background begins when the transaction is committed.
"""

from enum import Enum, auto
from functools import partial
from typing import Literal

from django.utils import translation

from cano_sync import CancellationToken, JoinConfig, JoinStrategy, Store, Workflow

from .models import Letter, Order


class Step(Enum):
    """The states."""

    SAVE = auto()
    ASK = auto()
    CHOOSE = auto()
    PLACED = auto()
    WRITE = auto()
    WRITTEN = auto()


def save(store: Store) -> Literal[Step.ASK]:
    order = Order.objects.create(amount=store.get("amount", int), city=store.get("city", str))
    store.put("order", order.pk)
    return Step.ASK


def ask(carrier: str, price: int, store: Store, cancel: CancellationToken) -> tuple[int, str]:
    """A branch: it stands for a request to a carrier with `timeout=cancel.remaining()`."""
    if carrier == "snail" and store.get("amount", int) > 50:
        cancel.sleep(60)  # so many need thought
    return price, f"{carrier} ({translation.get_language()})"  # the view's language


def choose(store: Store) -> Literal[Step.PLACED]:
    _, carrier = min(store.get("offers", list))
    Order.objects.filter(pk=store.get("order")).update(carrier=carrier)
    return Step.PLACED


def write(store: Store) -> Literal[Step.WRITTEN]:
    order = Order.objects.get(pk=store.get("order"))
    Letter.objects.create(order=order, text=f"Dear customer, it comes: {order}")
    return Step.WRITTEN


ORDERS = (
    Workflow()
    .register(Step.SAVE, save)
    .register_split(
        Step.ASK,
        [partial(ask, "express", 12), partial(ask, "snail", 4)],
        JoinConfig(JoinStrategy.ALL, Step.CHOOSE, timeout=0.5, collect="offers"),
    )
    .register(Step.CHOOSE, choose)
    .add_exit_state(Step.PLACED)
)
LETTERS = Workflow().register(Step.WRITE, write).add_exit_state(Step.WRITTEN)

ORDERS.validate()  # what is wrong with them shows when the server starts
LETTERS.validate()
