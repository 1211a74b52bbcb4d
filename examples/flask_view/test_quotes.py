"""The project's own tests: `python -m pytest examples/flask_view`."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from quotes import create_app
from quotes.models import Asked, add_samples, db
from quotes.workflow import Quote, workflow
from sqlalchemy import func, select

from cano_sync import MemoryStore
from cano_sync.testing import inline


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    """An app with the samples, and an empty log."""
    made = create_app({"SQLITE_FILE": tmp_path / "quotes.db", "CANO_REQUEST_TIMEOUT": 20})
    with made.app_context():
        add_samples()
    yield made
    with made.app_context():
        db.drop_all()
        db.engine.dispose()


def test_a_quote_is_the_cheapest_offer_for_the_amount(app: Flask) -> None:
    response = app.test_client().get("/quote?sku=A-17&amount=3")
    assert response.status_code == 200
    assert response.json == {"supplier": "slow motion", "price": "5.85", "sku": "A-17"}


def test_a_bad_amount_is_a_bad_request(app: Flask) -> None:
    response = app.test_client().get("/quote?sku=A-17&amount=-1")
    assert response.status_code == 400
    assert response.json == {"error": "'-1' is no amount"}


def test_a_supplier_that_is_late_is_a_gateway_timeout_and_leaves_nothing(app: Flask) -> None:
    app.config["CANO_REQUEST_TIMEOUT"] = 1
    client = app.test_client()
    response = client.get("/quote?sku=A-99", headers={"Accept": "application/json"})
    assert response.status_code == 504
    assert response.json == {"error": "This took longer than it may."}
    assert client.get("/log").json == ["A-99: acme", "A-99: bolts & co"]


def test_requests_at_the_same_time_do_not_mix(app: Flask) -> None:
    def get(amount: int) -> Any:
        return app.test_client().get(f"/quote?sku=B-{amount}&amount={amount}").json

    with ThreadPoolExecutor(4) as visitors:
        answers = list(visitors.map(get, range(1, 9)))
    assert [answer["sku"] for answer in answers] == [f"B-{amount}" for amount in range(1, 9)]
    with app.app_context():
        per_sku = select(func.count()).select_from(Asked).group_by(Asked.sku)
        assert list(db.session.scalars(per_sku)) == [3] * 8


def test_the_workflow_without_a_view_and_without_threads(app: Flask) -> None:
    """Inline, so that branches see what the test has only flushed."""
    store = MemoryStore()
    with app.test_request_context("/quote?amount=2"), inline():
        assert workflow.orchestrate(Quote.READ, store=store) is Quote.QUOTED
    assert store.get("answer", dict)["price"] == "3.90"
