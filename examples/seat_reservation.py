"""Two customers, one seat: a simulation finds the double booking, and proves that the mend holds.

A look at the seat, a payment, and the booking are three steps; a second customer may look in
between. In a test with real threads that happens once in thousands of runs. `explore` chooses the
schedules itself: the first one that goes wrong is shrunk and shown, line by line; and with
`strategy="all"` every schedule there is was tried, so that the mend is proved.

Run it: python examples/seat_reservation.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from cano_sync import JoinConfig, JoinStrategy, Store, Task, Workflow
from cano_sync.testing import Simulation, SimulationFailure, explore


class Booking(Enum):
    """The states."""

    REQUESTS = auto()
    DONE = auto()


def book_by_looking(store: Store, name: str) -> str | None:
    """Book the seat if it is free: wrong, for it may be taken while this customer pays."""
    if store.get("seat") is not None:
        return None
    store.append("payments", name)
    store.put("seat", name)
    return name


def book_by_holding(store: Store, name: str) -> str | None:
    """Look and hold it in one step, then pay."""
    holder = store.update("seat", lambda held: name if held is None else held)
    if holder != name:
        return None
    store.append("payments", name)
    return name


class Customer(Task):
    """A branch: one request for the seat; returns the customer's name where it was booked."""

    def __init__(self, name: str, book: Callable[[Store, str], str | None]) -> None:
        self.name = name
        self._book = book

    def run(self, store: Store) -> str | None:
        """See above."""
        return self._book(store, self.name)


def reservation(book: Callable[[Store, str], str | None]) -> Workflow[Booking]:
    """Both ask at once."""
    customers = [Customer(name, book) for name in ("Ada", "Bob")]
    join = JoinConfig(JoinStrategy.ALL, Booking.DONE, collect="booked")
    return (
        Workflow[Booking]()
        .register_split(Booking.REQUESTS, customers, join)
        .add_exit_state(Booking.DONE)
    )


def check(sim: Simulation, workflow: Workflow[Booking]) -> None:
    """What must hold, whatever the schedule: one has the seat, and nobody else has paid."""
    run = sim.run(workflow, Booking.REQUESTS, store={"seat": None})
    assert [name for name in run.store["booked"] if name] == [run.store["seat"]]
    assert run.store["payments"] == [run.store["seat"]]


WRONG, MENDED = reservation(book_by_looking), reservation(book_by_holding)


# In a project these two are tests of pytest, in a file of their own.


@explore(seeds=1_000)
def test_the_seat_is_booked_once(sim: Simulation) -> None:
    """It fails."""
    check(sim, WRONG)


@explore(strategy="all")
def test_the_seat_is_held_before_it_is_paid(sim: Simulation) -> None:
    """It holds under every schedule."""
    check(sim, MENDED)


def main() -> int:
    """Run both, as pytest would."""
    try:
        test_the_seat_is_booked_once()
    except SimulationFailure as failure:
        print(failure)
    else:
        return 1
    test_the_seat_is_held_before_it_is_paid()
    proof: Any = test_the_seat_is_held_before_it_is_paid
    print(f"\nmended: {proof.exploration}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
