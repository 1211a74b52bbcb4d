"""The workflow in a Django view, through Django's own test client."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import django_view
import pytest
from django.test import Client


@pytest.fixture(scope="module")
def configured() -> Iterator[None]:
    """Django takes its settings once a process."""
    django_view.configure()
    yield
    django_view.connection.close()


@pytest.fixture
def client(configured: None) -> Client:
    with django_view.connection.cursor() as cursor:
        cursor.execute("DELETE FROM orders")
    return Client()


def test_an_order_is_saved_and_its_carriers_are_told(client: Client) -> None:
    response = client.get("/order", {"amount": "12", "city": "Bern"})
    assert response.status_code == 200
    assert response.json() == {
        "PLACED": ["express brings 12 to Bern", "snail brings 12 to Bern"],
    }
    assert django_view.saved() == [12]


def test_a_bad_amount_is_a_bad_request_and_nothing_is_saved(client: Client) -> None:
    response = client.get("/order", {"amount": "many"})
    assert response.status_code == 400
    assert django_view.saved() == []


def test_what_a_single_state_wrote_is_rolled_back_with_the_views_transaction(
    client: Client,
) -> None:
    """The row is written in the first state; then the split is late, and the view fails."""
    response = client.get("/order", {"amount": "90", "city": "Bern"})
    assert response.status_code == 504
    assert "1 of 2 succeeded, 0 failed, 1 cancelled" in response.json()["error"]
    assert django_view.saved() == []


def test_single_states_run_on_the_views_thread_and_branches_on_others(
    client: Client, monkeypatch
) -> None:
    """All of them read the same request, from a context variable."""
    seen: list[tuple[int, str]] = []

    request = django_view.current_request

    class Watched:
        set = request.set

        def get(self):
            seen.append((threading.get_ident(), request.get().path))
            return request.get()

    monkeypatch.setattr(django_view, "current_request", Watched())
    client.get("/order", {"amount": "12", "city": "Bern"})
    assert {path for _, path in seen} == {"/order"}
    first, *branches = [thread for thread, _ in seen]
    assert first == threading.get_ident()
    assert len(branches) == 2
    assert threading.get_ident() not in branches
