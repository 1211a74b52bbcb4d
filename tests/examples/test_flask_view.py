"""The workflow in a Flask view, through Flask's own test client."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial

import flask
import flask_view
import pytest

from cano_sync import JoinConfig, JoinStrategy, Store, Workflow


@pytest.fixture
def client():
    return flask_view.app.test_client()


def test_a_quote_is_the_cheapest_offer_for_the_amount(client) -> None:
    response = client.get("/quote?sku=A-17&amount=3")
    assert response.status_code == 200
    assert response.json == {"supplier": "slow motion", "price": "5.85", "sku": "A-17"}


def test_a_branch_reads_the_request_of_its_view(client, monkeypatch) -> None:
    """Each branch notes what it sees of the request, and on which thread."""
    seen: list[tuple[str, str, int]] = []

    class Prices(dict[str, Decimal]):
        def __getitem__(self, supplier: str) -> Decimal:
            seen.append((supplier, flask.request.headers["X-Customer"], threading.get_ident()))
            return super().__getitem__(supplier)

    monkeypatch.setattr(flask_view, "PRICES", Prices(flask_view.PRICES))
    client.get("/quote?sku=A-17", headers={"X-Customer": "Ada"})
    assert sorted((supplier, customer) for supplier, customer, _ in seen) == [
        ("acme", "Ada"),
        ("bolts & co", "Ada"),
        ("slow motion", "Ada"),
    ]
    assert threading.get_ident() not in {thread for _, _, thread in seen}


def test_a_bad_amount_is_a_bad_request(client) -> None:
    response = client.get("/quote?sku=A-17&amount=-1")
    assert response.status_code == 400
    assert response.json == {"error": "'-1' is no amount"}


def test_a_supplier_that_is_late_is_a_gateway_timeout(client) -> None:
    response = client.get("/quote?sku=A-99")
    assert response.status_code == 504
    assert "was not reached within 0.5 s: 2 of 3 succeeded" in response.json["error"]


def test_requests_at_the_same_time_have_stores_of_their_own(monkeypatch) -> None:
    """All of them meet inside a branch, with their amounts stored, before any goes on."""
    crowd = 8
    meeting = threading.Barrier(crowd * len(flask_view.PRICES), timeout=30)

    def ask(supplier: str, store: Store) -> dict[str, str]:
        meeting.wait()
        return {"price": str(store.get("amount", int)), "sku": flask.request.args["sku"]}

    quote = flask_view.Quote
    join = JoinConfig(JoinStrategy.ALL, quote.CHOOSE, collect="offers")
    workflow = (
        Workflow()
        .register(quote.READ, flask_view.read)
        .register_split(quote.ASK, [partial(ask, name) for name in flask_view.PRICES], join)
        .register(quote.CHOOSE, flask_view.choose)
        .add_exit_states(flask_view.STATUS)
    )
    monkeypatch.setattr(flask_view, "workflow", workflow)

    def get(amount: int) -> dict[str, str]:
        client = flask_view.app.test_client()
        return client.get(f"/quote?sku=A-{amount}&amount={amount}").json

    with ThreadPoolExecutor(crowd) as visitors:
        answers = list(visitors.map(get, range(1, crowd + 1)))
    assert answers == [{"price": str(n), "sku": f"A-{n}"} for n in range(1, crowd + 1)]
