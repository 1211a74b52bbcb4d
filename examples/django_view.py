"""A workflow in a Django view: in the view's transaction, and with its request in the branches.

- A task with a state of its own runs on the view's thread: what it writes belongs to the
  transaction that the view has begun, and is rolled back with it.
- The branches of a split run on other threads, each in a copy of the view's context: a context
  variable is there, too. What Django itself keeps for each thread is not: neither the connection,
  which branches should leave alone, nor the language, which they switch on again.

    python examples/django_view.py --demo    three requests by the test client
    python examples/django_view.py           a server: http://127.0.0.1:8000/order?amount=1200
"""

# mypy: disable-error-code="import-untyped"

import sys
from contextvars import ContextVar
from datetime import date
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
from django.utils.formats import date_format, number_format
from django.utils.translation import override

from cano_sync import CancellationToken, JoinConfig, JoinStrategy, MemoryStore, Store, Workflow


class Order(Enum):
    """The states."""

    CHECK = auto()
    SAVE = auto()
    ASK = auto()
    PLACED = auto()
    BAD_REQUEST = auto()


STATUS = {Order.PLACED: 200, Order.BAD_REQUEST: 400}

visitor: ContextVar[HttpRequest] = ContextVar("visitor")


def check(store: Store) -> Literal[Order.SAVE, Order.BAD_REQUEST]:
    amount = visitor.get().GET.get("amount", "")
    if not amount.isdecimal() or not 1 <= int(amount[:9]) <= 9999:
        store.put("answer", f"{amount!r} is no amount from 1 to 9999")
        return Order.BAD_REQUEST
    store.put("amount", int(amount))
    return Order.SAVE


def save(store: Store) -> Literal[Order.ASK]:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO orders VALUES (%s)", [store.get("amount", int)])
    return Order.ASK


def ask(carrier: str, days: int, store: Store, cancel: CancellationToken) -> str:
    amount = store.get("amount", int)
    if carrier == "snail" and amount > 5000:
        cancel.sleep(60)  # so many need thought
    with override(visitor.get().LANGUAGE_CODE):
        number = number_format(amount, force_grouping=True)
        return f"{number}, {carrier}: {date_format(date(2027, 3, days), 'MONTH_DAY_FORMAT')}"


# At import time: what is wrong with it shows when the server starts, not at the first request.
workflow = (
    Workflow()
    .register(Order.CHECK, check)
    .register(Order.SAVE, save)
    .register_split(
        Order.ASK,
        [partial(ask, "express", 2), partial(ask, "snail", 24)],
        JoinConfig(JoinStrategy.ALL, Order.PLACED, timeout=0.5, collect="answer"),
    )
    .add_exit_states(STATUS)
)
workflow.validate()


def order(request: HttpRequest) -> HttpResponse:
    """The view."""
    store = MemoryStore()  # this request's own
    before = visitor.set(request)
    try:
        with transaction.atomic():
            final = workflow.orchestrate(Order.CHECK, store=store)
    except TimeoutError as error:  # a split's or a workflow's time was up
        return JsonResponse({"error": str(error)}, status=504)
    finally:
        visitor.reset(before)
    return JsonResponse({final.name: store.get("answer")}, status=STATUS[final])


urlpatterns = [path("order", order)]


def configure() -> None:
    """What is a settings module and a migration in a project of more than one file."""
    database = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": "file:orders?mode=memory&cache=shared",
    }
    settings.configure(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["127.0.0.1", "localhost", "testserver"],
        MIDDLEWARE=["django.middleware.locale.LocaleMiddleware"],
        DATABASES={"default": database},
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
    if "--demo" not in sys.argv[1:]:
        execute_from_command_line([sys.argv[0], "runserver", "--noreload"])
        return
    client = Client(headers={"Accept-Language": "de"})
    for amount in ("1200", "many", "9000"):
        response = client.get("/order", {"amount": amount})
        print(f"GET /order?amount={amount}\n  {response.status_code} {response.json()}")
        print(f"  saved: {saved()}")


if __name__ == "__main__":
    main()
