"""Four requests to the project's only view, on a database that is dropped afterwards.

    python examples/django_view/django_view.py

The same on PostgreSQL, as the variables of its own programs say where it is: set PGDATABASE.
"""

import os
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
django.setup()

from django.db import connection, connections  # noqa: E402  # after the setup, as in any program
from django.test import Client  # noqa: E402
from shop.models import Letter, Order  # noqa: E402

LONGEST = 10.0
"""Seconds that letters get, which are written in the background."""


def ask(client: Client, amount: str) -> None:
    response = client.post("/order", {"amount": amount, "city": "Bern"})
    print(f"POST /order amount={amount} city=Bern")
    print(f"  {response.status_code}: {response.json()}")
    orders = ", ".join(str(order) for order in Order.objects.order_by("pk"))
    print(f"  orders: {orders or 'none'}")


def wait_for_letters(count: int) -> None:
    end = time.monotonic() + LONGEST
    while Letter.objects.count() < count and time.monotonic() < end:
        time.sleep(0.01)


def main() -> None:
    own_name = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0)
    client = Client()
    for amount in ("12", "many", "90", "7"):
        ask(client, amount)
    wait_for_letters(2)
    for letter in Letter.objects.order_by("order"):
        print(letter.text)
    connections.close_all()
    connection.creation.destroy_test_db(own_name, verbosity=0)


if __name__ == "__main__":
    main()
