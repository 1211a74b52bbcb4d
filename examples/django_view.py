"""A workflow in a Django view: inside the view's transaction, with its request in the branches.

- A task with a state of its own runs on the view's thread: what it writes belongs to the
  transaction that the view has begun, and is rolled back with it.
- The branches of a split run on other threads, each in a copy of the view's context: a context
  variable is there, too. A database connection is not, as Django keeps one for each thread: leave
  it to the single states.

    python examples/django_view.py              three requests by the test client
    python examples/django_view.py --serve      a server: http://127.0.0.1:8000/order?amount=12&city=Bern
"""

import sys
from contextvars import ContextVar
from enum import Enum, auto
from functools import partial
from typing import Literal

from django import setup
from django.conf import settings
from django.core.management import execute_from_command_line
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import Client
from django.urls import path

from cano_sync import CancellationToken, JoinConfig, JoinStrategy, MemoryStore, Store, Workflow


class Order(Enum):
    """The states."""

    SAVE = auto()
    ASK = auto()
    PLACED = auto()
    BAD_REQUEST = auto()


DATABASE = "file:orders?mode=memory&cache=shared"
STATUS = {Order.PLACED: 200, Order.BAD_REQUEST: 400}

current_request: ContextVar[HttpRequest] = ContextVar("current_request")


def save(store: Store) -> Literal[Order.ASK, Order.BAD_REQUEST]:
    amount = current_request.get().GET.get("amount", "")
    if not amount.isdecimal():
        store.put("answer", f"{amount!r} is no amount")
        return Order.BAD_REQUEST
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO orders VALUES (%s)", [amount])
    store.put("amount", int(amount))
    return Order.ASK


def ask(carrier: str, store: Store, cancel: CancellationToken) -> str:
    """A branch: on another thread, and yet the request is the view's."""
    amount, city = store.get("amount", int), current_request.get().GET.get("city")
    if carrier == "snail" and amount > 50:
        cancel.sleep(60)  # so many need thought
    return f"{carrier} brings {amount} to {city}"


# At import time: what is wrong with it shows when the server starts, not at the first request.
workflow = (
    Workflow()
    .register(Order.SAVE, save)
    .register_split(
        Order.ASK,
        [partial(ask, "express"), partial(ask, "snail")],
        JoinConfig(JoinStrategy.ALL, Order.PLACED, timeout=0.5, collect="answer"),
    )
    .add_exit_states(STATUS)
)
workflow.validate()


def order(request: HttpRequest) -> HttpResponse:
    """The view."""
    store = MemoryStore()  # this request's own
    current_request.set(request)
    try:
        with transaction.atomic():
            final = workflow.orchestrate(Order.SAVE, store=store)
    except TimeoutError as error:  # a split's or a workflow's time was up: nothing was saved
        return JsonResponse({"error": str(error)}, status=504)
    return JsonResponse({final.name: store.get("answer")}, status=STATUS[final])


urlpatterns = [path("order", order)]


def configure() -> None:
    """What is a settings module and a migration in a project of more than one file."""
    settings.configure(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["127.0.0.1", "localhost", "testserver"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATABASE}},
    )
    setup()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE orders (amount INTEGER)")


def saved() -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT amount FROM orders")
        return [amount for (amount,) in cursor.fetchall()]


def main() -> None:
    configure()
    if "--serve" in sys.argv[1:]:
        execute_from_command_line([sys.argv[0], "runserver", "--noreload"])
        return
    client = Client()
    for amount in ("12", "many", "90"):
        response = client.get("/order", {"amount": amount, "city": "Bern"})
        print(f"GET /order?amount={amount}&city=Bern")
        print(f"  {response.status_code}: {response.json()}")
        print(f"  saved: {saved()}")


if __name__ == "__main__":
    main()
