"""A linear workflow: one task after the other, with a store that they share.

python examples/linear.py
"""

from decimal import Decimal
from enum import Enum, auto
from typing import Literal

from cano_sync import MemoryStore, Store, Workflow

ORDER = """\
3 hinge 2.50
1 handle 8.90
12 screw 0.15
"""


class Invoice(Enum):
    """The states."""

    READ = auto()
    ADD_UP = auto()
    WRITE = auto()
    DONE = auto()


def read(store: Store) -> Literal[Invoice.ADD_UP]:
    """What the annotation says, `workflow.validate()` checks: every state leads somewhere."""
    items = []
    for line in store.get("order", str).splitlines():
        amount, name, price = line.split()
        items.append((name, int(amount) * Decimal(price)))
    store.put("items", items)
    return Invoice.ADD_UP


def add_up(store: Store) -> Literal[Invoice.WRITE]:
    store.put("total", sum(price for _, price in store.get("items", list)))
    return Invoice.WRITE


def write(store: Store) -> Literal[Invoice.DONE]:
    rows = [*store.get("items", list), ("total", store.get("total", Decimal))]
    store.put("invoice", "\n".join(f"{name:<8}{price:>8}" for name, price in rows))
    return Invoice.DONE


# Built once, when the module is imported; it never changes, and any thread may run it.
workflow = (
    Workflow()
    .register(Invoice.READ, read)
    .register(Invoice.ADD_UP, add_up)
    .register(Invoice.WRITE, write)
    .add_exit_state(Invoice.DONE)
)


def main() -> None:
    store = MemoryStore({"order": ORDER})
    final = workflow.orchestrate(Invoice.READ, store=store)
    print(store.get("invoice", str))
    print(f"ended in {final.name}")


if __name__ == "__main__":
    main()
