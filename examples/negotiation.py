"""Two states that lead to each other: a negotiation between two nodes, until they agree.

A `Node` works in three steps: `prep` reads the store, `exec` thinks without it, `post` writes what
came out and says who is next.

    python examples/negotiation.py
"""

from enum import Enum, auto
from typing import Literal

from cano_sync import MemoryStore, Node, Store, Workflow


class Deal(Enum):
    """The states."""

    BUYER = auto()
    SELLER = auto()
    AGREED = auto()
    BROKEN_OFF = auto()


class Buyer(Node):
    """Meets the seller half way, up to a limit."""

    def prep(self, store: Store) -> tuple[int, int, int]:
        return store.get("bid", int), store.get("price", int), store.get("limit", int)

    def exec(self, prepared: tuple[int, int, int]) -> int:
        bid, price, limit = prepared
        return min((bid + price + 1) // 2, limit)

    def post(self, store: Store, result: int) -> Literal[Deal.SELLER, Deal.AGREED, Deal.BROKEN_OFF]:
        price, before = store.get("price", int), store.get("bid", int)
        if result >= price:
            store.append("talk", f"buyer:  agreed, {price}")
            return Deal.AGREED
        if result == before:
            store.append("talk", f"buyer:  no more than {before}, goodbye")
            return Deal.BROKEN_OFF
        store.put("bid", result)
        store.append("talk", f"buyer:  I give {result}")
        return Deal.SELLER


class Seller(Node):
    """Comes down by a tenth each time, to what it must have."""

    def prep(self, store: Store) -> tuple[int, int]:
        return store.get("price", int), store.get("cost", int)

    def exec(self, prepared: tuple[int, int]) -> int:
        price, cost = prepared
        return max(price * 9 // 10, cost)

    def post(self, store: Store, result: int) -> Literal[Deal.BUYER, Deal.AGREED]:
        bid = store.get("bid", int)
        if bid >= result:
            store.put("price", bid)
            store.append("talk", f"seller: agreed, {bid}")
            return Deal.AGREED
        store.put("price", result)
        store.append("talk", f"seller: I ask {result}")
        return Deal.BUYER


workflow = (
    Workflow()
    .register(Deal.BUYER, Buyer())
    .register(Deal.SELLER, Seller())
    .add_exit_states(Deal.AGREED, Deal.BROKEN_OFF)
)


def main() -> None:
    for limit in (100, 80):
        store = MemoryStore({"bid": 50, "price": 120, "cost": 90, "limit": limit})
        final = workflow.orchestrate(Deal.SELLER, store=store)
        print(f"the buyer has {limit}")
        for line in store.get("talk", list):
            print(f"  {line}")
        print(f"  {final.name}")


if __name__ == "__main__":
    main()
